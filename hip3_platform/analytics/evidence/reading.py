"""A market-day from bronze: only the pages of its neighbours that it needs."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from hip3_platform.analytics.evidence.columns import (
    BBO_COLUMNS,
    CTX_COLUMNS,
    DAY_NS,
    MARGIN_NS,
    Feed,
    MarketDay,
    Spec,
    market_day,
    specs_of,
)
from streaming.contracts.paths import bronze_path, day_begin_ns, day_of
from streaming.contracts.tables import TABLES

_TEXTS = ["spec_version", "session_id"]


def read_market_day(root: Path, venue: str, day: str, coin: str) -> MarketDay:
    """Return the columns of one market and day from bronze; a file that is not there is no rows.

    The next day is not read: what is derived must not depend on whether that day has been judged already, so markouts
    that end after midnight are void. Raises as `market_day`.
    """
    begin_ns = day_begin_ns(day)
    eve, margin = day_of(begin_ns - DAY_NS), (begin_ns - MARGIN_NS, begin_ns)

    def path(table: str, of_day: str) -> Path:
        return bronze_path(root, table=table, venue=venue, day=of_day, coin=coin)

    return market_day(
        venue=venue,
        day=day,
        coin=coin,
        feed=Feed(*(_read(path(table, day), table) for table in Feed._fields)),
        specs=read_specs(root, venue, coin),
        before=Feed(*(_read_run(path(table, eve), table, margin) for table in Feed._fields)),
    )


def read_specs(root: Path, venue: str, coin: str) -> dict[str, Spec]:
    """Return every spec of a market that bronze knows, of any day: a session writes a spec once, when it sees it."""
    folder = bronze_path(root, table="specs", venue=venue, day="1970-01-01", coin=coin).parent.parent
    paths = sorted(folder.glob(f"day=*/{coin}.parquet")) if folder.is_dir() else []
    return specs_of(pq.read_table(path, columns=["spec_version", "taker_fee_bps", "is_delisted"]) for path in paths)


def _names(table: str) -> list[str]:
    return list(BBO_COLUMNS if table == "bbo" else CTX_COLUMNS)


def _read(path: Path, table: str) -> pa.Table:
    if not path.is_file():
        return TABLES[table].schema.empty_table().select(_names(table))
    return pq.ParquetFile(path, read_dictionary=_TEXTS).read(columns=_names(table))


def _read_run(path: Path, table: str, span: tuple[int, int]) -> pa.Table:
    """Read the rows of a time and the one before it; pages that hold none of them are skipped."""
    if not path.is_file():
        return TABLES[table].schema.empty_table().select(_names(table))
    ts_ns = pq.ParquetFile(path).read(columns=["recv_ts_ns"]).column(0).to_numpy()
    first, last = max(int(np.searchsorted(ts_ns, span[0])) - 1, 0), int(np.searchsorted(ts_ns, span[1]))
    lazy = pl.scan_parquet(path, hive_partitioning=False).select(_names(table)).slice(first, last - first)
    plain = lazy.collect().to_arrow().cast(pa.schema([TABLES[table].schema.field(name) for name in _names(table)]))
    # As `_read` has them, so that both can be joined.
    for name in _TEXTS:
        at = plain.column_names.index(name)
        plain = plain.set_column(at, name, plain.column(name).dictionary_encode())
    return plain
