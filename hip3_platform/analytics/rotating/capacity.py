"""What a fill may have been worth in money: results in bps times the size that both touches and our cap allow.

Source: evidence method, section 9: Q = min(alpha x entry touch, exit touch, order cap), 0 below the least order;
dollars of a day = sum Q x r / 1e4, funding deducted.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class CapacityRule:
    """How large an order may be; the defaults are the sidecar's."""

    alpha_ratio: float = 0.10
    """Share of the touch that is taken."""
    order_usd_max: float = 50.0
    order_usd_min: float = 11.0
    """The venue refuses orders below 10; after rounding down to the lot 11 are needed."""


FILLS: dict[str, Any] = {
    "day": pl.String,
    "coin": pl.String,
    "net_bps": pl.Float64,
    "funding_bps": pl.Float64,
    "entry_touch_usd": pl.Float64,
    "exit_touch_usd": pl.Float64,
}
"""Modelled fills of a market's final policy at the measured latency, one row each.

`net_bps` is after fees and depth; `funding_bps` is what was paid while it was held (0 for most; < 0 was received);
touches are price x displayed size of the side that is taken, in quote units. Missed decisions are no rows.
"""
WATCHED: dict[str, Any] = {"day": pl.String, "coin": pl.String}
"""One row for every day on which a market was watched, with or without fills."""
DAILY: dict[str, Any] = {"day": pl.String, "coin": pl.String, "usd": pl.Float64, "fills": pl.Int64}
"""Dollars and fills of each watched day. A day without fills is 0 dollars; a day that was not watched is no row."""
SIZES: dict[str, Any] = {
    "coin": pl.String,
    "fill_usd_p50": pl.Float64,
    "worst_bps": pl.Float64,
    "fills": pl.Int64,
}
"""Median capacity of a market's fills, and the worst of them as a loss in bps, at least 0."""


def _capacity_usd(rule: CapacityRule) -> pl.Expr:
    usd = pl.min_horizontal(
        pl.col("entry_touch_usd") * rule.alpha_ratio, pl.col("exit_touch_usd"), pl.lit(rule.order_usd_max)
    )
    return pl.when(usd >= rule.order_usd_min).then(usd).otherwise(0.0)


def daily_usd(fills: pl.DataFrame, watched: pl.DataFrame, rule: CapacityRule) -> pl.DataFrame:
    """Return `DAILY`, sorted by market and day.

    Args:
        fills: Rows of `FILLS`; every (day, coin) of them must be watched.
        watched: Rows of `WATCHED`.
        rule: Sizes.

    Raises:
        ValueError: If a fill lies on a day on which its market was not watched.
    """
    earned = fills.select("day", "coin", usd=_capacity_usd(rule) * (pl.col("net_bps") - pl.col("funding_bps")) / 10_000)
    by_day = earned.sort("day", "coin", "usd").group_by("day", "coin", maintain_order=True).agg(
        pl.col("usd").sum(), fills=pl.len().cast(pl.Int64)
    )  # fmt: skip
    days = watched.select("day", "coin").unique()
    stray = by_day.join(days, on=["day", "coin"], how="anti")
    if stray.height:
        raise ValueError(f"expected fills on watched days only, found {stray.row(0)[:2]}")
    joined = days.join(by_day, on=["day", "coin"], how="left")
    filled = joined.with_columns(pl.col("usd").fill_null(0.0), pl.col("fills").fill_null(0))
    return filled.select(list(DAILY)).cast(pl.Schema(DAILY)).sort("coin", "day")


def fill_sizes(fills: pl.DataFrame, rule: CapacityRule) -> pl.DataFrame:
    """Return `SIZES` of the markets that have fills, sorted by market."""
    sized = fills.with_columns(capacity_usd=_capacity_usd(rule))
    return (
        sized.group_by("coin")
        .agg(
            fill_usd_p50=pl.col("capacity_usd").median(),
            worst_bps=(pl.col("funding_bps") - pl.col("net_bps")).max().clip(lower_bound=0.0),
            fills=pl.len().cast(pl.Int64),
        )
        .select(list(SIZES))
        .sort("coin")
    )
