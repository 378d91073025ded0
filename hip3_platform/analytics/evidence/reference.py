"""Runs `reference.sql`: the same episodes and markouts as the kernel, by another mind's tool, for tests and benches."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pyarrow as pa

from hip3_platform.analytics.evidence.columns import CTX_SILENCE_NS
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, SPACING_MS, THRESHOLDS_BPS
from hip3_platform.analytics.evidence.markouts import ORDER_USD
from streaming.core.units import NS_PER_MS

SQL_PATH = Path(__file__).with_name("reference.sql")

EPISODE_COLUMNS = (
    "coin", "threshold_bps", "side", "origin", "begin_ns", "end_ns", "ended_by", "is_decided", "tick_count",
    "entry_edge_bps", "peak_edge_bps", "seq",
)  # fmt: skip
MARKOUT_COLUMNS = (
    "coin", "threshold_bps", "begin_ns", "side", "origin", "latency_ms", "horizon_s", "state", "net_bps",
)  # fmt: skip


class Grid(NamedTuple):
    """For which the reference is computed."""

    thresholds_bps: Sequence[int] = THRESHOLDS_BPS
    latencies_ms: Sequence[int] = LATENCIES_MS
    horizons_s: Sequence[int] = HORIZONS_S


def run_reference(
    connection: duckdb.DuckDBPyConnection, span: tuple[int, int], grid: Grid | None = None, order_usd: float = ORDER_USD
) -> None:
    """Fill the temporary tables `episode` and `markout` of a connection that has bbo, ctx, specs and closed.

    Args:
        connection: With the four relations that `reference.sql` names, as tables, views or registered Arrow tables.
        span: First instant that may decide, and first that may not any more, ns UTC.
        grid: Thresholds, latencies and horizons; the family's if left out.
        order_usd: Notional of an order, > 0.
    """
    grid = grid or Grid()
    for name, column, values in (
        ("thresholds", "threshold_bps", grid.thresholds_bps),
        ("latencies", "latency_ms", grid.latencies_ms),
        ("horizons", "horizon_s", grid.horizons_s),
    ):
        connection.register(name, pa.table({column: pa.array(values, pa.int64())}))
    settings: dict[str, float] = {
        "begin_ns": span[0],
        "end_ns": span[1],
        "spacing_ns": SPACING_MS * NS_PER_MS,
        "silence_ns": CTX_SILENCE_NS,
        "order_usd": order_usd,
    }
    for name, value in settings.items():
        connection.execute(f"set variable {name} = {value}")
    connection.execute(SQL_PATH.read_text(encoding="utf-8"))


def episodes(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return what `run_reference` found, in the order (coin, threshold, begin)."""
    frame: pl.DataFrame = connection.table("episode").pl()
    return frame.select(EPISODE_COLUMNS).sort("coin", "threshold_bps", "begin_ns", "seq")


def markouts(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return the markouts of its decisions; `net_bps` is null where not filled."""
    frame: pl.DataFrame = connection.table("markout").pl()
    return frame.select(MARKOUT_COLUMNS).sort("coin", "threshold_bps", "begin_ns", "latency_ms", "horizon_s")
