"""Sums by hour of what every policy of a market made: all that statistics and the score read of a market-day.

As a table (gold/policy_hours) they are long and sparse: one row for every hour, threshold, origin, latency and horizon
that was decided on at least once, in the order of these keys. What has no row is zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.columns import DAY_NS, MarketDay
from hip3_platform.analytics.evidence.episodes import Decisions, decisions_of
from hip3_platform.analytics.evidence.family import (
    HORIZONS_S,
    HOURS,
    LATENCIES_MS,
    ORIGINS,
    THRESHOLDS_BPS,
    Floats,
    HourSums,
    Ints,
)
from hip3_platform.analytics.evidence.markouts import ORDER_USD, Markouts, State, markouts_of

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "hour": pl.Int8,
    "threshold_bps": pl.Int16,
    "origin": pl.String,
    "latency_ms": pl.Int32,
    "horizon_s": pl.Int16,
    "decisions": pl.Int64,
    "fills": pl.Int64,
    "voids": pl.Int64,
    "net_bps": pl.Float64,
    "net_bps2": pl.Float64,
}
"""Columns of gold/policy_hours."""

ABOUT: dict[str, str] = {
    "venue": "venue the sums were earned on",
    "day": "UTC day of the decisions",
    "coin": "market",
    "hour": "UTC hour of the decisions, 0-23",
    "threshold_bps": "edge above which is decided, bps of the oracle",
    "origin": "any, or oracle_led only",
    "latency_ms": "assumed time from the decision to the match, ms",
    "horizon_s": "time from the match to the exit, s",
    "decisions": "decisions of the hour",
    "fills": "of these filled at that latency",
    "voids": "of these not known: behind a feed gap or the end of the data",
    "net_bps": "sum of the results of fills after fees and depth, bps",
    "net_bps2": "sum of their squares",
}
"""What each column is, for the UI."""

KEYS = ("hour", "threshold_bps", "origin", "latency_ms", "horizon_s")
_SHAPE = (HOURS, len(THRESHOLDS_BPS), len(ORIGINS), len(LATENCIES_MS), len(HORIZONS_S))


@dataclass(frozen=True, slots=True)
class DaySums:
    """One market-day."""

    hours: HourSums
    """Of one day: axes (1, 24, thresholds, origins[, latencies[, horizons]])."""
    voids: Ints
    """(1, 24, thresholds, origins, latencies): decisions that are neither filled nor missed."""


def day_sums(day: MarketDay, order_usd: float = ORDER_USD) -> DaySums:
    """Return the sums of one market-day over the whole family of policies."""
    decisions = decisions_of(day)
    return sums_of(day, decisions, markouts_of(day, decisions, order_usd=order_usd))


def sums_of(day: MarketDay, decisions: Decisions, markouts: Markouts) -> DaySums:
    """Add up markouts of the family's thresholds, latencies and horizons by hour of the decision."""
    hour = (decisions.ts_ns - day.begin_ns) * HOURS // DAY_NS
    group = (hour * len(THRESHOLDS_BPS) + decisions.threshold) * len(ORIGINS) + decisions.is_oracle_led
    order = np.argsort(group, kind="stable")
    group = group[order]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    state, net = markouts.state[order], markouts.net_bps[order]

    def added(values: Floats) -> Floats:
        """Sum rows by group: (1, hours, thresholds, origins, ...); `any` contains `oracle_led`."""
        sums = np.zeros((_SHAPE[0] * _SHAPE[1] * _SHAPE[2], *values.shape[1:]))
        if first.size:
            sums[group[first]] = np.add.reduceat(values, first, axis=0)
        by_origin = sums.reshape(1, *_SHAPE[:3], *values.shape[1:])
        by_origin[:, :, :, 0] += by_origin[:, :, :, 1]
        return by_origin

    def counted(flags: Ints) -> Ints:
        return np.rint(added(flags.astype(np.float64))).astype(np.int64)

    return DaySums(
        hours=HourSums(
            days=(day.day,),
            decisions=counted(np.ones(group.size, dtype=np.int64)),
            fills=counted((state == State.FILLED).astype(np.int64)),
            net_bps=added(net),
            net_bps2=added(net**2),
        ),
        voids=counted((state == State.VOID).astype(np.int64)),
    )


def to_frame(sums: DaySums, venue: str, coin: str) -> pl.DataFrame:
    """Return the rows of gold/policy_hours (see `SCHEMA`) of one market-day, sorted by `KEYS`."""
    hours = sums.hours
    at = np.nonzero(np.broadcast_to(hours.decisions[0][..., None, None] > 0, _SHAPE))
    axes = (np.arange(HOURS), THRESHOLDS_BPS, ORIGINS, LATENCIES_MS, HORIZONS_S)
    keys = {name: np.array(axis)[places] for name, axis, places in zip(KEYS, axes, at, strict=True)}
    values = {
        "decisions": hours.decisions[0][at[:3]],
        "fills": hours.fills[0][at[:4]],
        "voids": sums.voids[0][at[:4]],
        "net_bps": hours.net_bps[0][at],
        "net_bps2": hours.net_bps2[0][at],
    }
    named = {"venue": pl.lit(venue), "day": pl.lit(hours.days[0]), "coin": pl.lit(coin)}
    frame = pl.DataFrame(keys | values).with_columns(**named)
    return frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def from_frame(frame: pl.DataFrame, days: Iterable[str]) -> HourSums:
    """Return the sums of one market over `days` (ascending) from rows of gold/policy_hours; other days are ignored."""
    wanted = tuple(days)
    sums = HourSums.empty(wanted)
    rows = frame.filter(pl.col("day").is_in(wanted))
    axes: dict[str, tuple[Any, ...]] = {
        "day": wanted,
        "hour": tuple(range(HOURS)),
        "threshold_bps": THRESHOLDS_BPS,
        "origin": ORIGINS,
        "latency_ms": LATENCIES_MS,
        "horizon_s": HORIZONS_S,
    }
    at = tuple(_places(rows[name], axis) for name, axis in axes.items())
    sums.decisions[at[:4]] = rows["decisions"].to_numpy()
    sums.fills[at[:5]] = rows["fills"].to_numpy()
    sums.net_bps[at] = rows["net_bps"].to_numpy()
    sums.net_bps2[at] = rows["net_bps2"].to_numpy()
    return sums


def _places(column: pl.Series, axis: tuple[Any, ...]) -> Ints:
    return column.replace_strict(list(axis), list(range(len(axis))), return_dtype=pl.Int64).to_numpy()
