"""Whether the platform and the SQL reference found the same of a day: counts exact, sums within rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics import metrics
from hip3_platform.analytics.evidence.reference import EPISODE_COLUMNS
from hip3_platform.analytics.evidence.sums import KEYS
from hip3_platform.bench.day import VENUE
from hip3_platform.bench.ways.files import MADE
from streaming.contracts.paths import gold_path

RELATIVE, ABSOLUTE = 1e-9, 1e-9
_EPISODE_ORDER = ["coin", "threshold_bps", "begin_ns", "seq", "side"]
_HOUR_VALUES = ("decisions", "fills", "voids", "net_bps", "net_bps2")


def differences(root: Path, out: Path, day: str) -> list[str]:
    """Return what differs between gold of `day` and the tables the reference left in `out`; empty when nothing does."""
    gold, found = {}, {}
    for name, table in MADE.items():
        gold[name] = pl.read_parquet(gold_path(root, table=table, venue=VENUE, day=day), hive_partitioning=False)
        found[name] = pl.read_parquet(out / f"{name}.parquet")
    hours = ["coin", *KEYS]
    return [
        *_differing(
            "daily metrics", _plain(found["daily_metric"]), gold["daily_metric"].drop("venue", "day"), ["coin"]
        ),
        *_differing("sums by hour", found["policy_hour"], gold["policy_hour"].select(*hours, *_HOUR_VALUES), hours),
        *_differing("episodes", found["episode"], gold["episode"].select(EPISODE_COLUMNS), _EPISODE_ORDER),
    ]


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the reference's metrics under the names of gold: quantiles and gates as columns."""
    columns: dict[str, Any] = {"blocked_by": [f"blocked_by_{gate}" for gate in metrics.GATES]}
    columns |= {
        name.removesuffix("_p50"): [name, name.replace("_p50", "_p95"), name.replace("_p50", "_p99")]
        for name in metrics.SCHEMA
        if name.endswith("_p50")
    }
    spread = [pl.col(name).list.get(at).alias(to) for name, tos in columns.items() for at, to in enumerate(tos)]
    return rows.with_columns(spread)


def _differing(what: str, reference: pl.DataFrame, ours: pl.DataFrame, order: list[str]) -> list[str]:
    if reference.height != ours.height:
        return [f"{what}: the reference has {reference.height} rows, ours {ours.height}"]
    expected, found = reference.sort(order), ours.sort(order)
    return [f"{what}: {name} differs" for name in ours.columns if not _is_equal(expected[name], found[name])]


def _is_equal(expected: pl.Series, found: pl.Series) -> bool:
    if found.dtype.is_float():
        both = [each.cast(pl.Float64).to_numpy() for each in (expected, found)]
        return bool(np.allclose(both[0], both[1], rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    return expected.cast(found.dtype).equals(found, null_equal=True, check_names=False)
