"""Bronze: a part in doubt is named and nothing is replaced; what is good becomes one sorted file, byte for byte."""

from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from platform_warehouse import CONFIG_HASH, DAY_1, DAY_2, VENUE, MarketDay, a_row, write_day

from hip3_platform.analytics import bronze
from hip3_platform.analytics.bronze import Compacted, compact
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.upgrades import ADDED
from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import bronze_path, day_begin_ns, manifest_path
from streaming.contracts.tables import TABLES
from streaming.core.errors import StoreError
from streaming.shell.tables.seal import PartWriter

COIN = "xyz:GOOD"
DAY_BEGIN_NS = day_begin_ns(DAY_1)


@pytest.fixture
def lines(tmp_path: Path) -> list[ManifestLine]:
    return write_day(tmp_path, DAY_1, [MarketDay(COIN, signal_count=5), MarketDay("xyz:LOSS", signal_count=2)])


def _compact(root: Path, table: str, day: str = DAY_1) -> Compacted:
    return compact(root, table, VENUE, day, read_landing(root, VENUE).of(day, table))


def _first(lines: list[ManifestLine], table: str) -> ManifestLine:
    return next(line for line in lines if line.table == table)


def _rewrite(root: Path, line: ManifestLine, rows: pa.Table, **options: object) -> None:
    """Replace a part and its manifest line, as a writer with a bug would."""
    path = root / line.path
    pq.write_table(rows, path, store_decimal_as_integer=True, **options)
    import hashlib

    new = msgspec.structs.replace(line, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    manifest = manifest_path(root, VENUE, line.session_id)
    kept = [known for known in read_landing(root, VENUE).lines if known.path != line.path]
    manifest.write_bytes(b"".join(encode_line(known) for known in [*kept, new]))


def test_compact_sealed_parts_gives_one_sorted_file_a_market(tmp_path: Path, lines: list[ManifestLine]) -> None:
    result = _compact(tmp_path, "bbo")
    assert result.findings.is_clean
    assert result.row_counts == {COIN: 300, "xyz:LOSS": 300}
    path = bronze_path(tmp_path, table="bbo", venue=VENUE, day=DAY_1, coin=COIN)
    rows = pq.read_table(path, partitioning=None)
    assert rows.schema.equals(TABLES["bbo"].schema, check_metadata=False)
    assert rows.schema.metadata[b"hip3_version"] == b"1"
    seqs = rows.column("seq").to_pylist()
    assert seqs == sorted(seqs)
    assert result.part_count == len([line for line in lines if line.table == "bbo"])


def test_compact_twice_writes_the_same_bytes(tmp_path: Path, lines: list[ManifestLine]) -> None:
    assert lines
    files = {}
    for _ in range(2):
        for table in TABLES:
            _compact(tmp_path, table)
        files[len(files)] = {p: p.read_bytes() for p in sorted((tmp_path / "bronze").rglob("*.parquet"))}
    assert files[0] == files[1]
    assert not list((tmp_path / "bronze" / ".spool").iterdir())


def test_compact_large_day_is_spooled_and_becomes_the_same_bytes(
    tmp_path: Path, lines: list[ManifestLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines
    write_day(tmp_path, DAY_1, [MarketDay(COIN, signal_count=3)], session_id="another", first_seq=1)
    files = []
    for rows_max in (10**6, 10):
        monkeypatch.setattr(bronze, "MEMORY_ROWS_MAX", rows_max)
        counts = {table: _compact(tmp_path, table).row_counts for table in TABLES}
        assert counts["bbo"] == {COIN: 600, "xyz:LOSS": 300}
        files.append({path: path.read_bytes() for path in sorted((tmp_path / "bronze").rglob("*.parquet"))})
    assert files[0] == files[1]


def test_compact_file_names_its_own_market_and_sessions_and_is_read_as_texts(
    tmp_path: Path, lines: list[ManifestLine]
) -> None:
    assert lines
    write_day(tmp_path, DAY_1, [MarketDay(COIN, signal_count=3)], session_id="another", first_seq=1)
    _compact(tmp_path, "bbo")
    path = bronze_path(tmp_path, table="bbo", venue=VENUE, day=DAY_1, coin=COIN)
    named = pq.read_table(path, partitioning=None, read_dictionary=["coin", "session_id"])
    dictionaries = {name: named.column(name).combine_chunks().dictionary.to_pylist() for name in ("coin", "session_id")}
    assert dictionaries == {"coin": [COIN], "session_id": ["another", "s1"]}
    assert pl.read_parquet(path).schema["session_id"] == pl.String


def test_compact_flipped_byte_is_a_contract_finding_and_keeps_the_old_file(
    tmp_path: Path, lines: list[ManifestLine]
) -> None:
    good = _compact(tmp_path, "bbo")
    path = bronze_path(tmp_path, table="bbo", venue=VENUE, day=DAY_1, coin=COIN)
    before = path.read_bytes()
    part = tmp_path / _first(lines, "bbo").path
    raw = bytearray(part.read_bytes())
    raw[len(raw) // 2] ^= 1
    part.write_bytes(raw)
    result = _compact(tmp_path, "bbo")
    assert good.findings.is_clean
    assert "sha256" in result.findings.contract[0]
    assert result.row_counts is None
    assert path.read_bytes() == before


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1 no footer PAR1"])
def test_compact_truncated_part_is_a_contract_finding(tmp_path: Path, lines: list[ManifestLine], raw: bytes) -> None:
    line = _first(lines, "ctx")
    (tmp_path / line.path).write_bytes(raw)
    assert line.path in _compact(tmp_path, "ctx").findings.contract[0]


def test_compact_damaged_page_with_a_matching_sha_fails_the_page_checksum(
    tmp_path: Path, lines: list[ManifestLine]
) -> None:
    line = _first(lines, "health")
    rows = pq.read_table(tmp_path / line.path, partitioning=None)
    _rewrite(tmp_path, line, rows, compression="none", write_page_checksum=True, use_dictionary=False)
    path = tmp_path / line.path
    raw = bytearray(path.read_bytes())
    raw[400] ^= 1
    path.write_bytes(raw)
    import hashlib

    sha256 = hashlib.sha256(raw).hexdigest()
    landing = read_landing(tmp_path, VENUE)
    told = [
        msgspec.structs.replace(x, sha256=sha256) if x.path == line.path else x for x in landing.of(DAY_1, "health")
    ]
    result = compact(tmp_path, "health", VENUE, DAY_1, told)
    assert "can not be read" in result.findings.contract[0]


def test_compact_missing_file_is_a_contract_finding(tmp_path: Path, lines: list[ManifestLine]) -> None:
    line = _first(lines, "gates")
    (tmp_path / line.path).unlink()
    assert "the file is missing" in _compact(tmp_path, "gates").findings.contract[0]


def _renamed(rows: pa.Table) -> pa.Table:
    names = [name.replace("bid_px", "bidPx") for name in rows.column_names]
    return rows.rename_columns(names).replace_schema_metadata(rows.schema.metadata)


def _reordered(rows: pa.Table) -> pa.Table:
    return rows.select(sorted(rows.column_names)).replace_schema_metadata(rows.schema.metadata)


def _retyped(rows: pa.Table) -> pa.Table:
    at = rows.schema.get_field_index("venue_ts_ms")
    return rows.set_column(
        at, pa.field("venue_ts_ms", pa.int32(), nullable=False), pa.array([1] * rows.num_rows, pa.int32())
    )


def _nullable(rows: pa.Table) -> pa.Table:
    at = rows.schema.get_field_index("generation")
    return rows.set_column(at, pa.field("generation", pa.int64(), nullable=True), rows.column("generation"))


def _newer(rows: pa.Table) -> pa.Table:
    return rows.replace_schema_metadata({"hip3_table": "bbo", "hip3_version": "2"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_renamed, "expected columns"),
        (_reordered, "expected columns"),
        (_retyped, "expected int64, found int32"),
        (_nullable, "nullable"),
        (_newer, "newer"),
    ],
)
def test_compact_drifted_schema_is_refused_without_a_cast(tmp_path: Path, lines, change, text) -> None:
    line = _first(lines, "bbo")
    _rewrite(tmp_path, line, change(pq.read_table(tmp_path / line.path, partitioning=None)))
    findings = _compact(tmp_path, "bbo").findings
    assert text in findings.contract[0]
    assert line.path in findings.contract[0]


# --- older versions


def _paper_rows(table: str) -> MarketDay:
    """Rows as today's projection writes them for paper outputs."""
    market = MarketDay(COIN, signal_count=0, bbo_count=0)
    for seq in (5, 5, 7):
        ts_ns = DAY_BEGIN_NS + seq * 1_234_567_891
        ordinal = len(market.rows.get(table, ())) % 2
        if table == "orders":
            market.add(
                table, seq=seq, ordinal=ordinal, cloid=f"c{seq}{ordinal}", ts_ns=ts_ns, decided_ts_ns=ts_ns,
                mode="paper", tif="Ioc", filled_sz=Decimal(2), applied_sz=Decimal(2), status="filled",
            )  # fmt: skip
        elif table == "fills":
            market.add(
                table, seq=seq, tid=100 + seq + ordinal, ts_ns=ts_ns, venue_ts_ms=ts_ns // 10**6, mode="paper",
                source="paper", builder_fee=Decimal(0),
            )  # fmt: skip
        else:
            market.add(table, seq=seq, posting_id=f"p{seq}", account=f"a{ordinal}", ts_ns=ts_ns, mode="paper")
    return market


def _as_version_1(root: Path, line: ManifestLine, drop: str = "") -> None:
    rows = pq.read_table(root / line.path, partitioning=None)
    added = [*ADDED[(line.table, "1")], *([drop] if drop else [])]
    older = rows.drop_columns(added).replace_schema_metadata({"hip3_table": line.table, "hip3_version": "1"})
    _rewrite(root, msgspec.structs.replace(line, table_version=1), older)


@pytest.mark.parametrize("table", ["orders", "fills", "ledger"])
def test_compact_part_of_version_1_becomes_what_todays_projection_writes(tmp_path: Path, table: str) -> None:
    write_day(tmp_path, DAY_1, [_paper_rows(table)], part_count=1)
    assert _compact(tmp_path, table).findings.is_clean
    path = bronze_path(tmp_path, table=table, venue=VENUE, day=DAY_1, coin=COIN)
    expected = pl.read_parquet(path)
    (line,) = read_landing(tmp_path, VENUE).of(DAY_1, table)
    _as_version_1(tmp_path, line)
    result = _compact(tmp_path, table)
    assert result.findings.is_clean, result.findings
    assert pl.read_parquet(path).equals(expected)
    assert pq.read_schema(path).metadata[b"hip3_version"] == b"2"


@pytest.mark.parametrize("table", ["orders", "fills", "ledger"])
def test_version_1_names_exactly_the_columns_of_its_published_text(table: str) -> None:
    text = (Path(__file__).parents[1] / "contracts" / "golden" / f"{table}.v1.txt").read_text()
    published = [line.split(":")[0] for line in text.splitlines() if " null | " in line]
    assert [name for name in TABLES[table].names if name not in ADDED[(table, "1")]] == published


def test_compact_part_of_version_1_with_other_columns_is_a_contract_finding(tmp_path: Path) -> None:
    write_day(tmp_path, DAY_1, [_paper_rows("fills")], part_count=1)
    (line,) = read_landing(tmp_path, VENUE).of(DAY_1, "fills")
    _as_version_1(tmp_path, line, drop="px")
    (finding,) = _compact(tmp_path, "fills").findings.contract
    assert "expected fills v2, the file is v1" in finding


def test_compact_newer_manifest_version_is_refused_by_name(tmp_path: Path, lines: list[ManifestLine]) -> None:
    line = msgspec.structs.replace(_first(lines, "bbo"), table_version=9)
    result = compact(tmp_path, "bbo", VENUE, DAY_1, [line])
    assert "bbo v9 is newer than v1" in result.findings.contract[0]


def test_compact_same_rows_in_two_parts_become_one_row(tmp_path: Path) -> None:
    _write_signals(tmp_path, [{"seq": 7, "signal_id": "a"}], [{"seq": 7, "signal_id": "a"}])
    result = _compact(tmp_path, "signals")
    assert result.findings.is_clean
    assert (result.row_count, result.duplicate_count) == (1, 1)


def test_compact_different_rows_for_one_key_are_a_finding(tmp_path: Path) -> None:
    _write_signals(tmp_path, [{"seq": 7, "signal_id": "a"}], [{"seq": 7, "signal_id": "a", "is_blocked": True}])
    result = _compact(tmp_path, "signals")
    assert "different rows for one key" in result.findings.completeness[0]
    assert "signal_id=a" in result.findings.completeness[0]
    assert not (tmp_path / "bronze" / "signals").exists()


def _write_signals(root: Path, *parts: list[dict[str, object]]) -> None:
    from streaming.contracts.paths import day_begin_ns

    writer = PartWriter(root, venue=VENUE, session_id="s1", config_hash=CONFIG_HASH)
    ts_ns = day_begin_ns(DAY_1) + 5
    writer.announce(
        [
            writer.seal("signals", DAY_1, [a_row("signals", coin=COIN, ts_ns=ts_ns, **row) for row in part])
            for part in parts
        ]
    )


def test_compact_two_sessions_of_a_day_are_merged_by_time(tmp_path: Path) -> None:
    write_day(tmp_path, DAY_1, [MarketDay(COIN, signal_count=1)], session_id="s2", first_seq=1)
    write_day(tmp_path, DAY_1, [MarketDay(COIN, signal_count=1)], session_id="s1", first_seq=1)
    result = _compact(tmp_path, "bbo")
    assert result.findings.is_clean
    assert result.row_counts == {COIN: 600}
    times = pl.read_parquet(bronze_path(tmp_path, table="bbo", venue=VENUE, day=DAY_1, coin=COIN))["recv_ts_ns"]
    assert times.is_sorted()


def test_compact_wrong_row_count_and_bounds_are_completeness_findings(
    tmp_path: Path, lines: list[ManifestLine]
) -> None:
    line = msgspec.structs.replace(_first(lines, "bbo"), row_count=3, seq_max=1, coins=("xyz:X",), ts_ns_min=0)
    texts = "\n".join(compact(tmp_path, "bbo", VENUE, DAY_1, [line]).findings.completeness)
    for word in ("expected 3 rows", "expected seq", "markets differ", "bounds of its manifest line"):
        assert word in texts


def test_compact_row_of_another_day_is_a_completeness_finding(tmp_path: Path, lines: list[ManifestLine]) -> None:
    line = msgspec.structs.replace(_first(lines, "bbo"), day=DAY_2)
    result = compact(tmp_path, "bbo", VENUE, DAY_2, [line])
    assert "rows outside 2026-11-21" in result.findings.completeness[0]


def test_compact_rows_of_no_market_go_to_the_underscore_file(tmp_path: Path) -> None:
    from streaming.contracts.paths import day_begin_ns

    writer = PartWriter(tmp_path, venue=VENUE, session_id="s1", config_hash=CONFIG_HASH)
    row = a_row("configs", coin="", asset_id=-1, seq=1, ts_ns=day_begin_ns(DAY_1), config_json="{}")
    writer.announce([writer.seal("configs", DAY_1, [row])])
    assert _compact(tmp_path, "configs").row_counts == {"_": 1}


def test_compact_day_without_parts_is_clean_and_empty(tmp_path: Path) -> None:
    result = _compact(tmp_path, "fills")
    assert (result.row_count, result.row_counts) == (0, {})
    assert result.findings.is_clean


def test_landing_torn_line_and_repeated_line_count_once(tmp_path: Path, lines: list[ManifestLine]) -> None:
    manifest = manifest_path(tmp_path, VENUE, "s1")
    digest = read_landing(tmp_path, VENUE).digest(DAY_1)
    manifest.write_bytes(manifest.read_bytes() + encode_line(lines[0]) + b'{"table": "bb')
    landing = read_landing(tmp_path, VENUE)
    assert len(landing.lines) == len(lines)
    assert landing.digest(DAY_1) == digest
    assert not landing.conflicts


def test_landing_contradicting_lines_are_a_conflict_of_that_day(tmp_path: Path, lines: list[ManifestLine]) -> None:
    manifest = manifest_path(tmp_path, VENUE, "s1")
    manifest.write_bytes(manifest.read_bytes() + encode_line(msgspec.structs.replace(lines[0], sha256="0" * 64)))
    assert lines[0].path in read_landing(tmp_path, VENUE).conflicts[DAY_1][0]


@pytest.mark.parametrize("change", [{"path": "landing/../../etc/passwd"}, {"table": "nosuch"}, {"day": "2026-13-01"}])
def test_landing_line_outside_the_contract_is_a_store_error(tmp_path: Path, lines, change) -> None:
    manifest = manifest_path(tmp_path, VENUE, "s1")
    manifest.write_bytes(encode_line(msgspec.structs.replace(lines[0], **change)))
    with pytest.raises(StoreError, match=r"s1\.jsonl"):
        read_landing(tmp_path, VENUE)


def test_landing_file_without_a_line_does_not_exist(tmp_path: Path, lines: list[ManifestLine]) -> None:
    part = tmp_path / lines[0].path
    part.with_name("s1-000999.parquet").write_bytes(part.read_bytes())
    assert len(read_landing(tmp_path, VENUE).lines) == len(lines)


def test_compact_after_a_killed_run_starts_clean(tmp_path: Path, lines: list[ManifestLine]) -> None:
    assert lines
    rest = tmp_path / "bronze" / ".spool" / f"bbo-{DAY_1}"
    rest.mkdir(parents=True)
    (rest / "0.arrows").write_bytes(b"half a market")
    assert _compact(tmp_path, "bbo").row_counts == {COIN: 300, "xyz:LOSS": 300}
    assert not rest.exists()
