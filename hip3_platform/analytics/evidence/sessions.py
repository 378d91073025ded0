"""When a market may be entered: the hours that evidence counts.

While the underlying's own market is closed, its oracle is made of the book itself, so a gap between the two means
nothing, and the sidecar enters no market. What a policy would have earned then is nobody's result: it must neither
prove an edge nor hide one. Spreads are wide at weekends: with seed 8 of the scenario `universe`, xyz:EUR earns 6 bps a
fill from Monday to Friday and loses 20 from Saturday to Sunday.

Rule 1: hours are those of `streaming.core.calendar`, by which the sidecar decides; they change on full hours of UTC.
Rule 2: a market whose hours the calendar does not know is counted at all hours: the sidecar refuses it by itself.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.family import HOURS, Flags, HourSums
from streaming.contracts.paths import day_begin_ns
from streaming.core.calendar import NS_PER_HOUR
from streaming.core.underlyings import is_known_closed


def tradable_hours(coin: str, days: Iterable[str]) -> Flags:
    """Return whether a market may be entered, by (days, 24)."""
    hours = [day_begin_ns(day) // NS_PER_HOUR + at for day in days for at in range(HOURS)]
    return np.array([not is_known_closed(coin, hour) for hour in hours], dtype=np.bool_).reshape(-1, HOURS)


def in_tradable_hours(sums: HourSums, coin: str) -> HourSums:
    """Return the sums of a market as if nothing had been decided in any other hour."""
    is_open = tradable_hours(coin, sums.days)[:, :, None, None]
    return replace(
        sums,
        decisions=sums.decisions * is_open,
        fills=sums.fills * is_open[..., None],
        net_bps=sums.net_bps * is_open[..., None, None],
        net_bps2=sums.net_bps2 * is_open[..., None, None],
    )


def tradable_rows(rows: pl.LazyFrame, coins: Iterable[str], days: Iterable[str]) -> pl.LazyFrame:
    """Keep rows (`coin`, `ts_ns` and others) of these markets and days that lie in tradable hours, in their order."""
    first_hours = [day_begin_ns(day) // NS_PER_HOUR for day in days]
    open_hours = [
        (coin, first + at) for coin in coins for first in first_hours for at in range(HOURS)
        if not is_known_closed(coin, first + at)
    ]  # fmt: skip
    wanted = pl.LazyFrame(open_hours, schema={"coin": pl.String, "_hour": pl.Int64}, orient="row")
    placed = rows.with_columns(_hour=pl.col("ts_ns") // NS_PER_HOUR)
    return placed.join(wanted, on=["coin", "_hour"], how="semi", maintain_order="left").drop("_hour")
