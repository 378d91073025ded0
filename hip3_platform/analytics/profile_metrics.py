"""One row a market about gold/daily_metrics: its figures against bronze, against themselves and against other days."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from hip3_platform.analytics.baseline import VOLUMES, Baseline, compare
from hip3_platform.analytics.frames import markets_of
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.analytics.metrics import SCHEMA, SOURCE_TABLES
from streaming.contracts.paths import bronze_path, gold_path

COUNTED = {"signals": "signal_count", "bbo": "bbo_count"}
"""Bronze table → the figure that must equal its rows."""
_SHOWN = ("bbo_null_rate", "ctx_age_ms_clock_p95", "ready_rate")


def _row_count(root: Path, venue: str, day: str, table: str, coin: str) -> int:
    path = bronze_path(root, table=table, venue=venue, day=day, coin=coin)
    return int(pq.read_metadata(path).num_rows) if path.is_file() else 0


def read_metrics(root: Path, venue: str, day: str) -> pl.DataFrame:
    """Return gold/daily_metrics of a day; raises FileNotFoundError where there is none."""
    return pl.read_parquet(gold_path(root, table=DAILY_METRICS, venue=venue, day=day))


def profile_metrics(
    root: Path, venue: str, day: str, metrics: pl.DataFrame, baseline: Baseline
) -> list[dict[str, Any]]:
    """Return one record a market, those without a row included.

    Args:
        root: Warehouse.
        venue: Venue.
        day: UTC day.
        metrics: Rows of gold/daily_metrics of the day.
        baseline: Of the days before.
    """
    counts = [name for name, kind in SCHEMA.items() if kind == pl.Int64]
    rates = [name for name in SCHEMA if name.endswith("_rate")]
    quantiles = [name.removesuffix("_p50") for name in SCHEMA if name.endswith("_p50")]
    judged = metrics.select(
        "coin", *_SHOWN, *COUNTED.values(),
        row_repeat_count=pl.len().over("coin") - 1,
        count_negative_count=pl.sum_horizontal(pl.col(name) < 0 for name in counts),
        rate_outside_count=pl.sum_horizontal(~pl.col(name).is_between(0, 1) for name in rates),
        quantile_order_count=pl.sum_horizontal(
            (pl.col(f"{name}_p50") > pl.col(f"{name}_p95")) | (pl.col(f"{name}_p95") > pl.col(f"{name}_p99"))
            for name in quantiles
        ),
    )  # fmt: skip
    volumes = {record["coin"]: record for record in compare(metrics.unique("coin"), baseline)}
    records = [
        {
            **row,
            **{
                f"{figure}_difference": row[figure] - _row_count(root, venue, day, table, row["coin"])
                for table, figure in COUNTED.items()
            },
            "market_missing_count": 0,
            **volumes[row["coin"]],
        }
        for row in judged.sort("coin").to_dicts()
    ]
    absent = sorted(set(markets_of(root, venue, day, SOURCE_TABLES)) - set(metrics["coin"]))
    zeros = dict.fromkeys(
        ("row_repeat_count", "count_negative_count", "rate_outside_count", "quantile_order_count",
         *(f"{figure}_difference" for figure in COUNTED.values())), 0,
    )  # fmt: skip
    nothing = dict.fromkeys((*_SHOWN, *VOLUMES))
    return [
        *records,
        *({"coin": coin, **zeros, **nothing, "market_missing_count": 1, "history_days": 0} for coin in absent),
    ]
