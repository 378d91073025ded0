"""How late our orders meet the book: what is assumed, and what real orders say of it.

A policy that is proved at a latency better than ours proves nothing: with 200 ms assumed and 500 ms true, 9 % of
approvals were false (evidence method, section 4). So the assumption follows the orders that were really sent.

Rule 1: an order's latency is decision to answer on our own clock. The way back is in it: it is never too short.
Rule 2: entries and exits count, filled or not, for what came too late is what missed; one that left and was never
answered came later than all. Paper orders say nothing.
Rule 3: the p90 over all markets of the window, never the median: one connection serves them all. Of fewer than
`ORDERS_MIN` orders it says nothing, and the setting stands.
Rule 4: rounded up to the grid, and never below the setting: good weeks do not loosen what decides.
Rule 5: later than the grid ends, nothing is known of orders like ours, and no market is proved.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.family import LATENCIES_MS, Floats
from hip3_platform.analytics.frames import markets_of, read_market

ORDERS_MIN: Final = 50
"""The p90 of 50 lies, with 95 %, between the p80 and the p97 of all."""
QUANTILE: Final = 0.9
_COLUMNS: Final = ("session_id", "cloid", "seq", "ordinal", "mode", "sent_us", "answered_us")


@dataclass(frozen=True, slots=True)
class Latency:
    """What markets are judged at, and why."""

    ms: int
    """Of the grid."""
    set_ms: int
    order_count: int
    """Real orders of the window that left."""
    measured_ms: float | None
    """Their p90; None for too few, inf when more than a tenth was never answered."""

    @property
    def is_known(self) -> bool:
        """Whether the grid reaches as far as our orders are late."""
        return self.measured_ms is None or self.measured_ms <= LATENCIES_MS[-1]

    @property
    def text(self) -> str:
        """Say it in words, with figures."""
        if self.measured_ms is None:
            return f"{self.ms} ms as set: {self.order_count} real orders, {ORDERS_MIN} needed to measure"
        found = f"p90 of {self.order_count} real orders is {self.measured_ms:.0f} ms"
        if not self.is_known:
            return f"{found}, the grid ends at {LATENCIES_MS[-1]} ms: nothing is known of orders that late"
        return f"{self.ms} ms: {found}" if self.ms > self.set_ms else f"{self.ms} ms as set: {found}"


def latency_of(delays_ms: Floats, set_ms: int) -> Latency:
    """Return what to assume.

    Args:
        delays_ms: Decision to answer of every real order that left; inf where no answer came.
        set_ms: The least to assume, on the grid.
    """
    if delays_ms.size < ORDERS_MIN:
        return Latency(ms=set_ms, set_ms=set_ms, order_count=delays_ms.size, measured_ms=None)
    measured = float(np.quantile(delays_ms, QUANTILE, method="higher"))  # one that happened: inf has no middle
    reached = next((each for each in LATENCIES_MS if each >= measured), LATENCIES_MS[-1])
    return Latency(ms=max(set_ms, reached), set_ms=set_ms, order_count=delays_ms.size, measured_ms=measured)


def measured_latency(root: Path, venue: str, days: Iterable[str], set_ms: int) -> Latency:
    """Return what to assume by the real orders of `days` in bronze."""
    found = [
        _delays_ms(read_market(root, "orders", venue, day, coin, _COLUMNS))
        for day in days
        for coin in markets_of(root, venue, day, ("orders",))
    ]
    return latency_of(np.concatenate(found) if found else np.empty(0), set_ms)


def _delays_ms(orders: pl.DataFrame) -> Floats:
    last = (
        orders.filter(pl.col("mode") == "live")
        .sort("session_id", "seq", "ordinal")
        .group_by("session_id", "cloid", maintain_order=True)
        .agg(pl.col("sent_us", "answered_us").last())
    )
    left = last.filter(pl.col("sent_us").is_not_null())
    return (left["answered_us"].cast(pl.Float64) / 1_000).fill_null(np.inf).to_numpy()
