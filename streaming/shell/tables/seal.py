"""Sealed parts: rows become a Parquet file that never changes, and a manifest line that says so.

Rule 1: a part is written aside, synced, renamed, and its folder synced; only then is it announced (M2, M4, F-56).
Rule 2: a value its column can not hold exactly is a `StoreError`, never a silent cast (I-28, F-84).
Rule 3: rows are sorted by the table's sort key, so the same rows make the same file.
Rule 4: every page carries a checksum; readers verify it (M3).
"""

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from streaming.contracts.manifest import ManifestLine, encode_line, read_manifest
from streaming.contracts.paths import checked_name, day_begin_ns, manifest_path, part_path
from streaming.contracts.projection import Row
from streaming.contracts.tables import SESSION_COLUMNS, TABLES, Column, Table
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY

ROW_GROUP_COUNT = 131_072
_CHUNK_COUNT = 8_192
"""Rows transposed at once: few enough that their values are still in the cache when every column has read them."""
_CODES = pa.dictionary(pa.int32(), pa.string())
"""A text column may come, and is written, as codes of few texts: half the time. The file's schema says text."""

_FILE_MODE = 0o644
_TMP_SUFFIX = ".tmp"


class PartWriter:
    """Seal the parts of one session and announce them.

    Args:
        root: The warehouse.
        venue: Constant column of every row, and the partition.
        session_id: Constant column of every row; part numbers count per session.
        config_hash: Constant column of every row.
    """

    def __init__(self, root: Path, *, venue: str, session_id: str, config_hash: str) -> None:
        self._root = root
        self._venue = checked_name(venue)
        self._session_id = checked_name(session_id)
        self._constants = {"venue": venue, "config_hash": config_hash, "session_id": session_id}
        self._manifest = manifest_path(root, venue, session_id)
        self._announced = {line.path: line for line in self._read_lines()}
        self._part_last = max((line.part for line in self._announced.values()), default=0)

    def has_part(self, table: str, day: str, part: int) -> bool:
        """Tell whether a part stands in the manifest."""
        return self._path(table, day, part) in self._announced

    def seal(self, table: str, day: str, rows: Sequence[Row], *, part: int | None = None) -> ManifestLine:
        """Write rows as one part and return its line, which `announce` still has to make known.

        Args:
            table: Name of the table.
            day: UTC day of every row.
            rows: At least one row in `Table.names` order without `SESSION_COLUMNS`.
            part: Number of the part; None takes the one after the highest of the session.

        Raises:
            StoreError: No space, a value that its column can not hold exactly, or a row of another day.
        """
        return self.seal_columns(table, day, transposed(TABLES[table], rows), part=part)

    def seal_columns(
        self, table: str, day: str, columns: Mapping[str, pa.Array], *, part: int | None = None
    ) -> ManifestLine:
        """Do what `seal` does with columns that are Arrow arrays of the contract's types already.

        A text column may be dictionary-encoded (int32 codes).
        """
        return self._write(*self._build(table, day, columns, self._next_part() if part is None else part))

    def verify(self, table: str, day: str, rows: Sequence[Row], *, part: int) -> bool:
        """Prove that an announced part holds exactly these rows; a lost or damaged file is written again.

        Returns:
            True if the file had to be written again.

        Raises:
            StoreError: The rows differ from the sealed ones: a sealed part never changes (I-26).
        """
        line, raw = self._build(table, day, transposed(TABLES[table], rows), part)
        known = self._announced[line.path]
        path = self._root / line.path
        is_intact = path.exists() and file_sha256(path) == known.sha256
        if line.sha256 == known.sha256:
            if not is_intact:
                self._write(line, raw)
            return not is_intact
        # Other bytes can still be the same rows: another pyarrow encodes differently.
        if not is_intact or not pq.read_table(path).equals(pq.read_table(pa.BufferReader(raw))):
            raise StoreError(f"{line.path}: the journal projects to other rows than those sealed; nothing was changed")
        return False

    def _build(
        self, table: str, day: str, columns: Mapping[str, pa.Array], part: int
    ) -> tuple[ManifestLine, pa.Buffer]:
        spec = TABLES[table]
        body = _sorted(spec, _checked(spec, columns))
        raw = self._encode(spec, body)
        line = ManifestLine(
            table=table,
            table_version=spec.version,
            venue=self._venue,
            day=day,
            session_id=self._session_id,
            part=part,
            path=self._path(table, day, part),
            row_count=body.num_rows,
            byte_count=raw.size,
            sha256=hashlib.sha256(raw).hexdigest(),
            coins=tuple(sorted(pc.unique(body["coin"]).to_pylist())),
            **_bounds(spec, body, day),
        )
        return line, raw

    def _write(self, line: ManifestLine, raw: pa.Buffer) -> ManifestLine:
        try:
            write_sealed(self._root / line.path, raw)
        except OSError as error:
            raise StoreError(f"can not seal {line.path}: {error}") from error
        return line

    def announce(self, lines: Iterable[ManifestLine]) -> None:
        """Append the lines of sealed parts with one write and sync it; a line that stands already is left out.

        Raises:
            StoreError: The write failed, or a part that stands in the manifest would change (I-26).
        """
        fresh = []
        for line in lines:
            known = self._announced.get(line.path)
            if known is None:
                fresh.append(line)
            elif known != line:
                raise StoreError(f"{line.path} is sealed with sha256 {known.sha256[:12]}, found {line.sha256[:12]}")
        if fresh:
            append_lines(self._manifest, b"".join(encode_line(line) for line in fresh))
            self._announced.update({line.path: line for line in fresh})
            self._part_last = max(self._part_last, *(line.part for line in fresh))

    def _path(self, table: str, day: str, part: int) -> str:
        return part_path(table=table, venue=self._venue, day=day, session_id=self._session_id, part=part)

    def _next_part(self) -> int:
        self._part_last += 1
        return self._part_last

    def _read_lines(self) -> list[ManifestLine]:
        try:
            return list(read_manifest(self._manifest)) if self._manifest.exists() else []
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"expected manifest lines in {self._manifest}, found {error}; restore the file") from error

    def _encode(self, spec: Table, body: pa.Table) -> pa.Buffer:
        # Texts and prices come again. Times, sequence numbers and ages do not, but each is near the one before it: a
        # dictionary of them, or of statistics, would be filled, given up, and the file larger by half.
        repeating = [c.name for c in spec.columns if pa.types.is_string(c.type) or pa.types.is_decimal(c.type)]
        near = [c.name for c in spec.columns if pa.types.is_integer(c.type)]
        count = min(body.num_rows, ROW_GROUP_COUNT)
        constants = {name: _repeated(text, count) for name, text in self._constants.items()}
        types = dict.fromkeys(constants, _CODES) | {field.name: field.type for field in body.schema}
        schema = pa.schema([field.with_type(types[field.name]) for field in spec.schema])
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            write_page_checksum=True,
            store_decimal_as_integer=True,
            write_statistics=True,
            use_dictionary=repeating,
            column_encoding=dict.fromkeys(near, "DELTA_BINARY_PACKED"),
            store_schema=False,
        ) as writer:
            for begin in range(0, body.num_rows, ROW_GROUP_COUNT):
                group = body.slice(begin, ROW_GROUP_COUNT)
                arrays = [
                    constants[name].slice(0, len(group)) if name in constants else group[name] for name in spec.names
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=ROW_GROUP_COUNT)
            writer.add_key_value_metadata(_declared(spec))
        return sink.getvalue()


def _declared(spec: Table) -> dict[str, str]:
    """Return what tells readers the table's schema, however its texts were encoded here."""
    metadata = {key.decode(): value.decode() for key, value in spec.schema.metadata.items()}
    return metadata | {"ARROW:schema": base64.b64encode(spec.schema.serialize()).decode()}


def _repeated(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), pa.array([text]))


def transposed(spec: Table, rows: Sequence[Row]) -> dict[str, pa.Array]:
    """Return rows as columns of the table's types.

    Raises:
        StoreError: A row of another length, or a value that its column can not hold exactly.
    """
    wanted = [c for c in spec.columns if c.name not in SESSION_COLUMNS]
    chunks: list[list[pa.Array]] = [[] for _ in wanted]
    remaining = iter(rows)
    while batch := list(islice(remaining, _CHUNK_COUNT)):
        if {len(row) for row in batch} != {len(wanted)}:
            raise StoreError(f"table {spec.name}: expected rows of {len(wanted)} values, found {len(batch[0])}")
        for column, values, arrays in zip(wanted, zip(*batch, strict=True), chunks, strict=True):
            arrays.append(_array(spec, column, values))
    return {column.name: pa.chunked_array(arrays, column.type) for column, arrays in zip(wanted, chunks, strict=True)}


def _array(spec: Table, column: Column, values: Sequence[Any]) -> pa.Array:
    # Decimals are converted to the type, which refuses loss and overflow. Of everything else the type is inferred and
    # compared: told int64, pyarrow would cut 1.5 to 1 without a word.
    try:
        if pa.types.is_decimal(column.type):
            return pa.array(values, column.type)
        array = pa.array(values)
        if array.type == column.type:
            return array
        if pa.types.is_null(array.type) or (pa.types.is_integer(array.type) and pa.types.is_floating(column.type)):
            return array.cast(column.type)
    except (pa.ArrowException, OverflowError) as error:
        raise StoreError(f"table {spec.name}, column {column.name} ({column.type}): {error}") from error
    raise StoreError(f"table {spec.name}, column {column.name}: expected {column.type}, found {array.type}")


def _checked(spec: Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    wanted = [c for c in spec.columns if c.name not in SESSION_COLUMNS]
    if set(columns) != {c.name for c in wanted}:
        raise StoreError(f"table {spec.name}: expected columns {[c.name for c in wanted]}, found {sorted(columns)}")
    for column in wanted:
        array = columns[column.name]
        if array.type != column.type and not (column.type == pa.string() and array.type == _CODES):
            raise StoreError(f"table {spec.name}, column {column.name}: expected {column.type}, found {array.type}")
        if array.null_count and not column.is_nullable:
            raise StoreError(f"table {spec.name}, column {column.name}: {array.null_count} nulls are not allowed")
    body = pa.table({column.name: columns[column.name] for column in wanted})
    if not body.num_rows:
        raise StoreError(f"table {spec.name}: a part needs at least one row")
    return body


def _sorted(spec: Table, body: pa.Table) -> pa.Table:
    ts, seq = (body[name].to_numpy() for name in (spec.day_column, "seq"))
    rank = _coin_ranks(body["coin"])
    turn = np.diff(rank)
    is_onward = (np.diff(ts) >= 0) & (np.diff(seq) >= 0)
    if ((turn > 0) | ((turn == 0) & is_onward)).all():
        return body
    # The sort key of every table is market, day column, seq. Of rows as received, a stable sort by market alone gives
    # it, several times faster.
    order = np.argsort(rank, kind="stable") if is_onward.all() else np.lexsort((seq, ts, rank))
    return body.take(pa.array(order))


def _coin_ranks(coin: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return the place of every row's market in the order of names."""
    codes = (coin if coin.type == _CODES else coin.dictionary_encode()).combine_chunks()
    names = codes.dictionary.to_pylist()
    ranks = np.empty(len(names), dtype=np.int32)
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names), dtype=np.int32)
    places: NDArray[np.int32] = codes.indices.to_numpy()
    return ranks[places]


def _bounds(spec: Table, body: pa.Table, day: str) -> dict[str, int]:
    ts, seq = (pc.min_max(body[name]).as_py() for name in (spec.day_column, "seq"))
    begin_ns = day_begin_ns(day)
    if not (begin_ns <= ts["min"] and ts["max"] < begin_ns + NS_PER_DAY):
        raise StoreError(f"table {spec.name}: rows from {ts['min']} to {ts['max']} ns do not lie in {day} (I-29)")
    return {"seq_min": seq["min"], "seq_max": seq["max"], "ts_ns_min": ts["min"], "ts_ns_max": ts["max"]}


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path) -> None:
    """Create a folder with its parents so that it survives a machine crash."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable: a rename or a new file counts only afterwards."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_sealed(path: Path, raw: bytes | pa.Buffer, *, mode: int = _FILE_MODE) -> None:
    """Write a whole file aside, sync it, give it its name, and sync the folder; raises OSError."""
    make_folder(path.parent)
    aside = path.with_name(path.name + _TMP_SUFFIX)
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with open(fd, "wb", buffering=0, closefd=False) as file:
            view = memoryview(raw)
            while view:
                view = view[file.write(view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.replace(path)
    sync_folder(path.parent)


def append_lines(path: Path, raw: bytes) -> None:
    """Append whole lines with one write and sync them; a torn last line of an earlier crash is cut off first (F-56).

    Raises:
        StoreError: The lines could not be written whole.
    """
    try:
        is_new = not path.exists()
        make_folder(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            end = _cut_torn_line(fd)
            if os.write(fd, raw) != len(raw):
                os.ftruncate(fd, end)
                raise StoreError(f"short write to {path}: no space left?")
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"can not append to {path}: {error}") from error


def _cut_torn_line(fd: int) -> int:
    """Truncate the file behind its last newline and return its size."""
    size = os.fstat(fd).st_size
    end = size
    while end and os.pread(fd, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(fd, end)
    return end


def sweep_tmp(root: Path, *, venue: str, session_id: str) -> int:
    """Remove what a killed writer of this session left aside; return how many files."""
    swept = 0
    for path in (root / "landing").glob(
        f"*/venue={checked_name(venue)}/day=*/{checked_name(session_id)}-*{_TMP_SUFFIX}"
    ):
        path.unlink(missing_ok=True)
        swept += 1
    return swept
