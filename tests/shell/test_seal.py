import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_builders import START_TS_NS, a_bbo, a_spec
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.manifest import ManifestLine, read_manifest
from streaming.contracts.paths import day_of, manifest_path
from streaming.contracts.projection import Projector
from streaming.contracts.tables import TABLES
from streaming.core.errors import StoreError
from streaming.shell.tables import seal as seal_module
from streaming.shell.tables.seal import PartWriter, append_lines, file_sha256, sweep_tmp, write_sealed

DAY = day_of(START_TS_NS)
NAMES = TABLES["bbo"].names


def _writer(root: Path, **changes: str) -> PartWriter:
    return PartWriter(root, **({"venue": "sim", "session_id": "s1", "config_hash": "c0"} | changes))


def _rows(count: int = 3, **changes: object) -> list[tuple[Any, ...]]:
    projector = Projector([a_spec()])
    for seq in range(1, count + 1):
        projector.feed(seq, a_bbo(seq), ())
    rows = projector.take()["bbo", DAY]
    names = [name for name in NAMES if name not in {"venue", "config_hash", "session_id"}]
    return [tuple(changes.get(name, value) for name, value in zip(names, row, strict=True)) for row in rows]


def _read(root: Path, line: ManifestLine) -> pa.Table:
    return pq.ParquetFile(root / line.path, page_checksum_verification=True).read()


def test_seal_line_describes_the_file_exactly(tmp_path: Path) -> None:
    line = _writer(tmp_path).seal("bbo", DAY, _rows())
    path = tmp_path / line.path
    assert (line.row_count, line.seq_min, line.seq_max, line.coins) == (3, 1, 3, ("xyz:NVDA",))
    assert (line.byte_count, line.sha256) == (path.stat().st_size, file_sha256(path))
    assert (line.ts_ns_min, line.ts_ns_max) == (START_TS_NS + 1_000_000, START_TS_NS + 3_000_000)
    table = _read(tmp_path, line)
    assert table.schema.equals(TABLES["bbo"].schema, check_metadata=True)
    assert set(table["session_id"].to_pylist()) == {"s1"}
    assert not list((tmp_path / "landing").rglob("*.tmp"))


def test_seal_stores_decimals_as_integers_with_page_checksums(tmp_path: Path) -> None:
    line = _writer(tmp_path).seal("bbo", DAY, _rows())
    column = pq.ParquetFile(tmp_path / line.path).schema.column(NAMES.index("bid_px"))
    assert column.physical_type == "INT64"
    path = tmp_path / line.path
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(NAMES.index("bid_px"))
    raw = bytearray(path.read_bytes())
    raw[chunk.dictionary_page_offset + chunk.total_compressed_size - 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(OSError, match="CRC"):
        _read(tmp_path, line)


_EXACT = st.decimals(min_value=-(10**10) + 1, max_value=10**10 - 1, places=8)


@given(values=st.lists(st.one_of(st.none(), _EXACT), min_size=1, max_size=20))
def test_seal_decimals_come_back_exact(tmp_path_factory: pytest.TempPathFactory, values: list[Decimal | None]) -> None:
    root = tmp_path_factory.mktemp("exact")
    names = [name for name in NAMES if name not in {"venue", "config_hash", "session_id"}]
    template = dict(zip(names, _rows(1)[0], strict=True))
    rows = [tuple((template | {"seq": i, "bid_px": value}).values()) for i, value in enumerate(values)]
    line = _writer(root).seal("bbo", DAY, rows)
    assert _read(root, line)["bid_px"].to_pylist() == values


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("bid_px", Decimal("0.123456789")),
        ("bid_px", Decimal(12345678901)),
        ("bid_px", Decimal("NaN")),
        ("bid_px", 1.5),
        ("bid_px", "1.5"),
        ("venue_ts_ms", 1.5),
        ("venue_ts_ms", Decimal(1)),
        ("venue_ts_ms", 2**63),
        ("venue_ts_ms", None),
        ("generation", True),
        ("spec_version", b"bytes"),
        ("spec_version", None),
    ],
)
def test_seal_i28_value_its_column_can_not_hold_is_refused(tmp_path: Path, column: str, value: object) -> None:
    with pytest.raises(StoreError, match=column):
        _writer(tmp_path).seal("bbo", DAY, _rows(**{column: value}))
    assert not (tmp_path / "landing").exists(), "nothing half done is left"


def test_seal_i29_row_of_another_day_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="I-29"):
        _writer(tmp_path).seal("bbo", "2020-01-01", _rows())


def test_seal_row_of_another_length_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected rows of 12 values, found 2"):
        _writer(tmp_path).seal("bbo", DAY, [(1, 2)])
    with pytest.raises(StoreError):
        _writer(tmp_path).seal("bbo", DAY, [])


def test_seal_sorts_by_market_then_time_whatever_came_first(tmp_path: Path) -> None:
    projector = Projector([a_spec("xyz:B"), a_spec("xyz:A")])
    for seq, (coin, at_ms) in enumerate([("xyz:B", 5), ("xyz:A", 4), ("xyz:B", 3), ("xyz:A", 6)], 1):
        projector.feed(seq, a_bbo(at_ms, coin=coin), ())
    rows = projector.take()["bbo", DAY]
    line = _writer(tmp_path).seal("bbo", DAY, rows)
    sealed = _read(tmp_path, line)
    ordered = list(zip(sealed["coin"].to_pylist(), sealed["seq"].to_pylist(), strict=True))
    assert ordered == [("xyz:A", 2), ("xyz:A", 4), ("xyz:B", 3), ("xyz:B", 1)]
    monotone = sorted(rows, key=lambda row: row[4])
    assert _writer(tmp_path).seal("bbo", DAY, monotone).row_count == 4


def test_seal_same_rows_make_the_same_file(tmp_path: Path) -> None:
    lines = [_writer(tmp_path / name).seal("bbo", DAY, _rows(50)) for name in ("a", "b")]
    assert lines[0] == lines[1]


def test_seal_rows_transposed_in_chunks_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _writer(tmp_path / "a").seal("bbo", DAY, _rows(50))
    monkeypatch.setattr(seal_module, "_CHUNK_COUNT", 7)
    assert _writer(tmp_path / "b").seal("bbo", DAY, _rows(50)) == whole


def test_seal_columns_takes_arrow_arrays_and_checks_their_types(tmp_path: Path) -> None:
    table = TABLES["bbo"]
    columns = seal_module.transposed(table, _rows())
    writer = _writer(tmp_path)
    assert writer.seal_columns("bbo", DAY, columns).sha256 == writer.seal("bbo", DAY, _rows(), part=1).sha256
    with pytest.raises(StoreError, match="expected columns"):
        writer.seal_columns("bbo", DAY, {name: array for name, array in columns.items() if name != "bid_px"})
    with pytest.raises(StoreError, match="expected int64, found double"):
        writer.seal_columns("bbo", DAY, columns | {"seq": pa.array([1.0, 2.0, 3.0])})


def test_seal_columns_texts_as_codes_make_the_same_rows_under_the_same_schema(tmp_path: Path) -> None:
    table = TABLES["bbo"]
    columns = seal_module.transposed(table, _rows(50))
    coded = {
        name: array.dictionary_encode().combine_chunks() if pa.types.is_string(array.type) else array
        for name, array in columns.items()
    }
    texts = _writer(tmp_path / "a").seal_columns("bbo", DAY, columns)
    codes = _writer(tmp_path / "b").seal_columns("bbo", DAY, coded)
    sealed = _read(tmp_path / "b", codes)
    assert sealed.equals(_read(tmp_path / "a", texts))
    assert sealed.schema.equals(table.schema, check_metadata=True)


@pytest.mark.parametrize("seed", range(8))
def test_seal_rows_in_any_order_come_out_by_market_time_and_sequence(tmp_path: Path, seed: int) -> None:
    rows = [
        (seq, f"xyz:{'BA'[seq % 2]}", asset_id, version, START_TS_NS + seq // 8, *rest)
        for seq, _, asset_id, version, _, *rest in _rows(40)
    ]
    random.Random(seed).shuffle(rows)
    if seed == 0:
        rows.sort(key=lambda row: (row[1], row[4], row[0]))  # in order already
    sealed = _read(tmp_path, _writer(tmp_path).seal("bbo", DAY, rows))
    keys = list(zip(*(sealed[name].to_pylist() for name in ("coin", "recv_ts_ns", "seq")), strict=True))
    assert keys == sorted((row[1], row[4], row[0]) for row in rows)


def test_announce_appends_each_part_once_and_numbers_go_on(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    first = writer.seal("bbo", DAY, _rows())
    writer.announce([first])
    writer.announce([first])
    again = _writer(tmp_path)
    second = again.seal("bbo", DAY, _rows())
    again.announce([first, second])
    assert list(read_manifest(manifest_path(tmp_path, "sim", "s1"))) == [first, second]
    assert (first.part, second.part) == (1, 2)


def test_announce_i26_refuses_a_part_that_would_change(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.announce([writer.seal("bbo", DAY, _rows(3), part=1)])
    with pytest.raises(StoreError, match="is sealed with sha256"):
        writer.announce([writer.seal("bbo", DAY, _rows(4), part=1)])


def test_announce_f56_cuts_a_half_line_of_a_killed_writer(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    first = writer.seal("bbo", DAY, _rows(3), part=1)
    writer.announce([first])
    path = manifest_path(tmp_path, "sim", "s1")
    with path.open("ab") as file:
        file.write(b'{"table":"bbo","table_ver')
    assert list(read_manifest(path)) == [first], "readers do not see it"
    again = _writer(tmp_path)
    second = again.seal("bbo", DAY, _rows(4), part=2)
    again.announce([second])
    assert list(read_manifest(path)) == [first, second]


def test_announce_no_space_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    append_lines(path, b"one\n")
    write = os.write
    monkeypatch.setattr(seal_module.os, "write", lambda fd, raw: write(fd, raw[:2]))
    with pytest.raises(StoreError, match="short write"):
        append_lines(path, b"second\n")
    assert path.read_bytes() == b"one\n"
    with pytest.raises(StoreError):
        append_lines(Path("/dev/full/x"), b"line\n")


def test_seal_f59_full_disk_is_a_store_error_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _raw: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seal_module, "write_sealed", full)
    with pytest.raises(StoreError, match="No space left"):
        _writer(tmp_path).seal("bbo", DAY, _rows())


def test_verify_proves_repairs_or_refuses(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    line = writer.seal("bbo", DAY, _rows(), part=1)
    writer.announce([line])
    assert not writer.verify("bbo", DAY, _rows(), part=1)
    (tmp_path / line.path).write_bytes(b"")
    assert writer.verify("bbo", DAY, _rows(), part=1), "a truncated part is made again (F-76)"
    assert file_sha256(tmp_path / line.path) == line.sha256
    with pytest.raises(StoreError, match="nothing was changed"):
        writer.verify("bbo", DAY, _rows(4), part=1)
    assert file_sha256(tmp_path / line.path) == line.sha256


def test_sweep_removes_only_this_sessions_leftovers(tmp_path: Path) -> None:
    line = _writer(tmp_path).seal("bbo", DAY, _rows())
    mine, other = (tmp_path / line.path).with_name("s1-9.parquet.tmp"), (tmp_path / line.path).with_name("s2-9.tmp")
    mine.touch()
    other.touch()
    assert sweep_tmp(tmp_path, venue="sim", session_id="s1") == 1
    assert other.exists()
    assert (tmp_path / line.path).exists()


def test_write_sealed_replaces_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "file"
    write_sealed(path, b"old")
    monkeypatch.setattr(seal_module.os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(5, "EIO")))
    with pytest.raises(OSError, match="EIO"):
        write_sealed(path, b"new")
    assert path.read_bytes() == b"old"


def test_writer_names_are_checked(tmp_path: Path) -> None:
    for bad in ({"session_id": "../x"}, {"venue": "a/b"}):
        with pytest.raises(ValueError, match="expected 1-64 characters"):
            _writer(tmp_path, **bad)
