"""The published text of every table version, and what the file layout promises."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts import paths
from streaming.contracts.manifest import ManifestLine, digest_of, encode_line, read_manifest
from streaming.contracts.rotation import RotationDoc, decode_rotation, encode_rotation, rotation_sha256
from streaming.contracts.tables import SESSION_COLUMNS, TABLES, Table

GOLDEN = Path(__file__).parent / "golden"
DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_table_of_published_version_equals_golden_text(table: Table, is_golden_run: bool) -> None:
    path = GOLDEN / f"{table.name}.v{table.version}.txt"
    if is_golden_run:
        path.parent.mkdir(exist_ok=True)
        path.write_text(table.golden_text())
    assert path.read_text() == table.golden_text(), "a changed table is a new version; keep the old golden text"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_table_columns_carry_unit_source_and_common_columns(table: Table) -> None:
    names = table.schema.names
    assert names[: len(SESSION_COLUMNS)] == list(SESSION_COLUMNS)
    assert len(set(names)) == len(names)
    assert {"seq", "coin", "asset_id", "spec_version"} <= set(names)
    assert {*table.primary_key, *table.sort_key, table.day_column} <= set(names)
    assert table.schema.field(table.day_column).type == pa.int64()
    for field in table.schema:
        assert field.metadata[b"unit"]
        assert field.metadata[b"source"]


def test_table_prices_are_exact_decimals() -> None:
    for table in TABLES.values():
        for field in table.schema:
            if field.name.endswith(("_px", "_sz")) and field.name != "open_interest_sz":
                assert field.type == pa.decimal128(18, 8), f"{table.name}.{field.name}"
            if field.name.endswith("_bps"):
                assert field.type == pa.decimal128(18, 6), f"{table.name}.{field.name}"


@given(st.integers(min_value=0, max_value=200 * 365 * DAY_NS))
def test_day_of_any_instant_contains_it(ts_ns: int) -> None:
    begin = paths.day_begin_ns(paths.day_of(ts_ns))
    assert begin <= ts_ns < begin + DAY_NS


def test_day_of_last_nanosecond_is_its_own_day() -> None:
    begin = paths.day_begin_ns("2026-03-29")
    assert paths.day_of(begin + DAY_NS - 1) == "2026-03-29"
    assert paths.day_of(begin + DAY_NS) == "2026-03-30"


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "a\nb", "\x1b[31m", "", "x" * 65, "a b", "a;b", "%s{}"])
def test_path_of_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        paths.part_path(table="bbo", venue="sim", day="2026-11-22", session_id=name, part=1)


def test_path_of_part_carries_venue_and_day() -> None:
    path = paths.part_path(table="bbo", venue="sim", day="2026-11-22", session_id="s1", part=3)
    assert path == "landing/bbo/venue=sim/day=2026-11-22/s1-000003.parquet"
    with pytest.raises(ValueError, match="expected one of"):
        paths.part_path(table="nope", venue="sim", day="2026-11-22", session_id="s1", part=3)
    with pytest.raises(ValueError, match="day"):
        paths.part_path(table="bbo", venue="sim", day="2026-11-31", session_id="s1", part=3)


def _line(part: int, sha256: str = "00") -> ManifestLine:
    return ManifestLine(
        table="bbo", table_version=1, venue="sim", day="2026-11-22", session_id="s", part=part, path=f"p{part}",
        row_count=1, byte_count=1, sha256=sha256, seq_min=1, seq_max=1, ts_ns_min=1, ts_ns_max=1, coins=("xyz:A",),
    )  # fmt: skip


def test_manifest_torn_last_line_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(encode_line(_line(1)) + encode_line(_line(2))[:-5])
    assert [line.part for line in read_manifest(file)] == [1]


def test_manifest_digest_changes_iff_a_part_does() -> None:
    assert digest_of([_line(1), _line(2)]) == digest_of([_line(2), _line(1)])
    assert digest_of([_line(1)]) != digest_of([_line(1), _line(2)])
    assert digest_of([_line(1)]) != digest_of([_line(1, sha256="ff")])


def test_rotation_document_round_trip_keeps_its_identity() -> None:
    doc = RotationDoc(
        version=1, venue="sim", account="paper", as_of_day="2026-11-22", created_ts_ns=1, expires_ts_ns=2,
        code_version="0", config_hash="", markets=(), excluded=(),
    )  # fmt: skip
    raw = encode_rotation(doc)
    assert decode_rotation(raw) == doc
    assert rotation_sha256(encode_rotation(decode_rotation(raw))) == rotation_sha256(raw)
