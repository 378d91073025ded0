"""Reading bronze: one market of one table and day, only the columns asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from streaming.contracts.paths import bronze_path
from streaming.contracts.tables import TABLES

Floats = npt.NDArray[np.float64]


def read_market(root: Path, table: str, venue: str, day: str, coin: str, columns: Sequence[str]) -> pl.DataFrame:
    """Return `columns` of one market's rows, in the table's sort order; no file is no rows."""
    path = bronze_path(root, table=table, venue=venue, day=day, coin=coin)
    if path.is_file():
        return pl.read_parquet(path, columns=list(columns), use_statistics=False)
    schema = TABLES[table].schema
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    return empty.select(columns)


def markets_of(root: Path, venue: str, day: str, tables: Sequence[str]) -> tuple[str, ...]:
    """Return the markets that have rows in any of `tables` on that day, sorted."""
    found: set[str] = set()
    for table in tables:
        folder = bronze_path(root, table=table, venue=venue, day=day, coin=NO_MARKET).parent
        if folder.is_dir():
            found |= {path.stem for path in folder.glob("*.parquet")}
    return tuple(sorted(found - {NO_MARKET}))


def floats(frame: pl.DataFrame, column: str) -> Floats:
    """Return the known values of a numeric column as float64: statistics, never a decision."""
    return frame[column].drop_nulls().cast(pl.Float64).to_numpy()


def quantiles(values: Floats, prefix: str) -> dict[str, float | None]:
    """Return P50, P95 and P99 of `values` under `<prefix>_p50`, ...; None without values."""
    names = (f"{prefix}_p50", f"{prefix}_p95", f"{prefix}_p99")
    if values.size == 0:
        return dict.fromkeys(names)
    return dict(zip(names, (float(q) for q in np.quantile(values, (0.5, 0.95, 0.99))), strict=True))
