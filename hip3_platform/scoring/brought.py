"""Universes that were made elsewhere: tables in a folder with a truth file. Format: docs/evidence.md.

Rule 1: only venue `sim` is scored: there is no truth about a real market.
Rule 2: in a warehouse, parts without a manifest line do not exist; elsewhere every Parquet file below `<table>/` is
read. Each row must be there once.
Rule 3: a truth file has hidden rules in, so what tables show of a market that has some is not known: it has no interval
and no fills on the boundary.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import lib

from hip3_platform.analytics.evidence.columns import (
    BBO_COLUMNS,
    CTX_COLUMNS,
    DAY_NS,
    Feed,
    MissingSpecError,
    Spec,
    feeds_of,
    head_of,
    specs_of,
    tail_of,
)
from hip3_platform.analytics.landing import read_landing
from hip3_platform.scoring.universe import VENUE, Found, MarketPath, found_of
from streaming.contracts.paths import day_begin_ns
from streaming.core.errors import ConfigError
from streaming.sim.markets.truth import Hours, TruthFile, read_truth

TRUTH = "truth.json"
_SPEC_COLUMNS = ("spec_version", "taker_fee_bps", "is_delisted")
_TEXTS = {"coin", "spec_version", "session_id"}
_ORDER = [("coin", "ascending"), ("recv_ts_ns", "ascending"), ("seq", "ascending")]


class TablesTask(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Decide on the tables of a folder."""

    folder: str
    days: tuple[str, ...]
    coins: tuple[str, ...]
    shifts_bps: dict[str, float | None]
    hours: Hours
    """Whose decisions the truth is about."""


def universes_in(folder: Path) -> list[Path]:
    """Return the folders with a truth file: `folder` itself, or those directly in it, by name.

    Raises:
        ConfigError: There is none.
    """
    if (folder / TRUTH).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{TRUTH}"))
    if not found:
        raise ConfigError(f"--tables {folder}: expected {TRUTH} in it or in its folders (docs/evidence.md), found none")
    return found


def truth_in(folder: Path) -> TruthFile:
    """Read the truth file of a universe; raises ConfigError if it is of another venue, or not readable."""
    truth = read_truth(folder / TRUTH)
    if truth.venue != VENUE:
        raise ConfigError(f"{folder / TRUTH}: expected venue {VENUE}, found {truth.venue[:40]!r}")
    return truth


def days_of(truth: TruthFile) -> tuple[str, ...]:
    """Return the dates a truth file is about."""
    first = date.fromisoformat(truth.first_day)
    return tuple((first + timedelta(days=at)).isoformat() for at in range(truth.window_days))


def work_tables(task: TablesTask, on_day: Callable[[], None]) -> Found:
    """Decide on a universe that was brought.

    Raises:
        ConfigError: A table is missing, has a market that the truth does not know, or rows that can not be read.
    """
    folder = Path(task.folder)
    try:
        return _work(task, _Tables(folder), on_day)
    except (lib.ArrowException, MissingSpecError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder}: {error}") from error


def _work(task: TablesTask, tables: "_Tables", on_day: Callable[[], None]) -> Found:
    paths = {coin: MarketPath(coin, tables.specs, task.hours) for coin in task.coins}
    tails: dict[str, Feed] = {}
    feeds = tables.day(task.days[0])
    for at, day in enumerate(task.days):
        strange = sorted({*feeds} - {*paths})
        if strange:
            raise ConfigError(f"{tables.folder}: expected markets of {TRUTH}, found {', '.join(strange[:3])} in tables")
        following = tables.day(task.days[at + 1]) if at + 1 < len(task.days) else {}
        for coin, path in paths.items():
            after = head_of(following[coin], task.days[at + 1]) if coin in following else None
            path.add(day, feeds.get(coin), tails.get(coin), after)
            on_day()
        tails = {coin: tail_of(feed, day) for coin, feed in feeds.items()}
        feeds = following
    return found_of({coin: path.end() for coin, path in paths.items()}, task.shifts_bps, folder_name(tables.folder))


def folder_name(folder: Path) -> str:
    """Return the name of a universe that was brought."""
    return f"tables {folder.resolve().name}"


class _Tables:
    """Reads a folder a day at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bbo, self._ctx, specs = (self._dataset(name) for name in ("bbo", "ctx", "specs"))
        self.specs: dict[str, Spec] = specs_of([specs.to_table(columns=list(_SPEC_COLUMNS))])

    def day(self, day: str) -> dict[str, Feed]:
        """Return the rows of a UTC day by market."""
        begin_ns = day_begin_ns(day)
        inside = (ds.field("recv_ts_ns") >= begin_ns) & (ds.field("recv_ts_ns") < begin_ns + DAY_NS)
        bbo, ctx = (
            _sorted(dataset.to_table(columns=_present(dataset, names), filter=inside))
            for dataset, names in ((self._bbo, BBO_COLUMNS), (self._ctx, CTX_COLUMNS))
        )
        return feeds_of(bbo, ctx)

    def _dataset(self, table: str) -> ds.Dataset:
        files = list(self._files(table))
        if not files:
            raise ConfigError(f"{self.folder}: expected Parquet files of table {table} (docs/evidence.md), found none")
        return ds.dataset(files, format=_FORMAT)

    def _files(self, table: str) -> Iterator[str]:
        if (self.folder / "manifest").is_dir():
            for line in read_landing(self.folder, VENUE).lines:
                if line.table == table:
                    yield str(self.folder / line.path)
            return
        for path in sorted((self.folder / table).rglob("*.parquet")):
            yield str(path)


_FORMAT = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=_TEXTS))


def _present(dataset: ds.Dataset, names: tuple[str, ...]) -> list[str]:
    """Columns to read: tables of one session need not say so."""
    return ["coin", *(name for name in names if name != "session_id" or name in dataset.schema.names)]


def _sorted(rows: pa.Table) -> pa.Table:
    """Sort rows as the contract's sort key does; parts that were written in order are joined by market first."""
    return rows.take(pc.sort_indices(rows.set_column(0, "coin", _codes(rows.column("coin"))), sort_keys=_ORDER))


def _codes(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers for the texts of a dictionary, which have no order of their own."""
    return pa.chunked_array([chunk.indices for chunk in texts.unify_dictionaries().chunks], type=pa.int32())
