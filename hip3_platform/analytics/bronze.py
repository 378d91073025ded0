"""Sealed parts of one table and day → one sorted file a market.

Rule 1: rows are gathered by market, then each market is sorted and written. A usual day is gathered in memory; of one
with more than `MEMORY_ROWS_MAX` rows memory holds one part and one market, the rest is spooled to disk.
Rule 2: equal rows for one key become one row; different rows for one key are a finding, and nothing is replaced (F-80).
Rule 3: the order is the table's sort key, then its primary key: a re-run writes the same bytes (F-97).
Rule 4: texts that repeat stay dictionaries from the part to the file. To spell them out and hash them again was half of
the work; files say in their own schema that they are texts.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hip3_platform.analytics.quality import Findings, plain_type, read_part
from hip3_platform.analytics.store import replace_synced
from streaming.contracts.manifest import ManifestLine
from streaming.contracts.paths import bronze_path, checked_name
from streaming.contracts.tables import TABLES, Table

NO_MARKET = "_"
"""File name of rows that belong to no market (coin is empty there)."""
MEMORY_ROWS_MAX = 1_500_000
"""With two tables of so many rows at once, a run holds about 1 GB."""


@dataclass(slots=True)
class Compacted:
    """What became of one table and day."""

    table: str
    findings: Findings
    row_count: int = 0
    byte_count: int = 0
    duplicate_count: int = 0
    part_count: int = 0
    row_counts: dict[str, int] | None = None
    """Market → rows; None if nothing was written because of findings."""


class _Memory:
    """Keeps the rows of a usual day by market: nothing is copied, a market's rows are slices of its parts."""

    def __init__(self) -> None:
        self._runs: dict[str, list[pa.Table]] = {}

    def add(self, coin: str, rows: pa.Table) -> None:
        self._runs.setdefault(coin, []).append(rows)

    @property
    def coins(self) -> list[str]:
        return sorted(self._runs)

    def take(self, coin: str) -> pa.Table:
        return pa.concat_tables(self._runs.pop(coin)).unify_dictionaries().combine_chunks()


class _Spool:
    """Keeps the rows of a large day by market, as Arrow streams below a temporary folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._writers: dict[str, pa.RecordBatchStreamWriter] = {}
        self._paths: dict[str, Path] = {}

    def add(self, coin: str, rows: pa.Table) -> None:
        if coin not in self._writers:
            self._paths[coin] = self._folder / f"{len(self._writers)}.arrows"
            sink = self._stack.enter_context(pa.OSFile(str(self._paths[coin]), "wb"))
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[coin] = self._stack.enter_context(pa.ipc.new_stream(sink, rows.schema, options=options))
        self._writers[coin].write_table(rows)

    @property
    def coins(self) -> list[str]:
        return sorted(self._paths)

    def take(self, coin: str) -> pa.Table:
        with pa.memory_map(str(self._paths[coin])) as source, pa.ipc.open_stream(source) as reader:
            return reader.read_all().unify_dictionaries().combine_chunks()


def _runs_of(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (market, rows); a part is sorted by market, so a market is usually one run. Slices copy nothing."""
    coins = rows.column("coin").combine_chunks()
    codes = coins.indices.to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for begin, end in pairwise(bounds):
        yield coins.dictionary[int(codes[begin])].as_py(), rows[begin:end]


def _order(rows: pa.Table, table: Table) -> pa.Table:
    ts = rows.column(table.day_column).to_numpy()
    if bool(np.all(ts[1:] > ts[:-1])):
        return rows  # the usual case: one session, written in order
    keys = list(dict.fromkeys((*table.sort_key, *table.primary_key)))
    spelled = rows.select(keys).cast(pa.schema([table.schema.field(key) for key in keys]))
    return rows.take(pc.sort_indices(spelled, sort_keys=[(key, "ascending") for key in keys]))


def _is_plainly_unique(rows: pa.Table, table: Table) -> bool:
    """Tell cheaply that no key repeats: one session whose seq only grows, where seq is part of the key."""
    if "seq" not in table.primary_key or len(pc.unique(rows.column("session_id"))) > 1:
        return False
    seq = rows.column("seq").to_numpy()
    return bool(np.all(seq[1:] > seq[:-1]))


def _deduplicate(rows: pa.Table, table: Table, coin: str, findings: Findings) -> pa.Table:
    if _is_plainly_unique(rows, table):
        return rows
    frame = pl.DataFrame(pl.from_arrow(rows.cast(table.schema))).with_row_index("_row")
    key = list(table.primary_key)
    if not frame.select(key).is_duplicated().any():
        return rows
    distinct = frame.unique(subset=list(table.names), keep="first")
    clashing = distinct.filter(pl.struct(key).is_duplicated())
    if clashing.height:
        first = clashing.sort(key).row(0, named=True)
        shown = ", ".join(f"{name}={first[name]}" for name in key)
        findings.completeness.append(f"{coin or 'no market'}: different rows for one key ({shown})")
        return rows
    return rows.take(pa.array(distinct["_row"].sort().to_numpy()))


def write_market(rows: pa.Table, path: Path) -> None:
    """Write one market's rows as bronze has them; texts may be dictionaries."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(at, field, _named(rows.column(at).combine_chunks()))
    texts = [field.name for field in rows.schema if pa.types.is_string(plain_type(field.type))]
    with pq.ParquetWriter(
        path, rows.schema, compression="zstd", store_decimal_as_integer=True, write_page_checksum=True,
        use_dictionary=texts,
        store_schema=False,  # it would say that they are dictionaries, and every reader would make them so
    ) as writer:  # fmt: skip
        writer.write_table(rows)
        writer.add_key_value_metadata(rows.schema.metadata or {})  # table and version, which went with the schema


def _named(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return a column with a dictionary of what it names, in order: the bytes then follow from the rows alone."""
    codes = column.indices.to_numpy()
    used = np.flatnonzero(np.bincount(codes, minlength=len(column.dictionary)))
    values = column.dictionary.take(pa.array(used))
    order = pc.sort_indices(values).to_numpy()
    places = np.zeros(len(column.dictionary), dtype=np.int32)
    places[used[order]] = np.arange(len(used), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(places[codes]), values.take(pa.array(order)))


def _spool_folder(root: Path, table: str, day: str) -> Path:
    """Return an empty scratch folder on the warehouse's own file system; a killed run's rest is removed first."""
    folder = root / "bronze" / ".spool" / f"{table}-{day}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def compact(root: Path, table_name: str, venue: str, day: str, lines: Iterable[ManifestLine]) -> Compacted:
    """Verify the parts of one table and day and write one sorted file a market.

    Nothing is replaced when any part or row is in doubt; the findings then say why.

    Args:
        root: Warehouse.
        table_name: Name of a contract table.
        venue: Venue of the lines.
        day: UTC day, YYYY-MM-DD.
        lines: Manifest lines of that table and day.
    """
    table = TABLES[table_name]
    result = Compacted(table_name, Findings())
    announced = list(lines)
    folder = _spool_folder(root, table_name, day)
    try:
        with ExitStack() as stack:
            is_usual = sum(line.row_count for line in announced) <= MEMORY_ROWS_MAX
            markets = _Memory() if is_usual else _Spool(folder, stack)
            for line in announced:
                result.part_count += 1
                rows = read_part(root, line, result.findings)
                if rows is not None and rows.num_rows:
                    for coin, run in _runs_of(rows):
                        markets.add(coin, run)
        if result.findings.is_clean:
            target = bronze_path(root, table=table_name, venue=venue, day=day, coin=NO_MARKET).parent
            _write_markets(markets, folder, table, target, result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _write_markets(markets: _Memory | _Spool, folder: Path, table: Table, target: Path, result: Compacted) -> None:
    counts: dict[str, int] = {}
    for coin in markets.coins:
        rows = _order(markets.take(coin), table)
        kept = _deduplicate(rows, table, coin, result.findings)
        result.duplicate_count += rows.num_rows - kept.num_rows
        name = checked_name(coin or NO_MARKET)
        counts[name] = kept.num_rows
        write_market(kept, folder / f"{name}.parquet")
    if not result.findings.is_clean:
        return
    target.mkdir(parents=True, exist_ok=True)
    for name in counts:
        result.byte_count += replace_synced(folder / f"{name}.parquet", target / f"{name}.parquet")
    for path in target.glob("*.parquet"):
        if path.stem not in counts:
            path.unlink()  # a market whose rows were withdrawn
    result.row_counts = counts
    result.row_count = sum(counts.values())
