"""Every modelled fill as a row, with the size the book showed: what money and drawings are computed from.

Sums by hour (gold/policy_hours) are enough for statistics; dollars need the touches of each fill, because a market that
is right by many basis points on a few dollars earns the few dollars (evidence method, section 9).
"""

from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.columns import E8, MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import BUY, Decisions
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, THRESHOLDS_BPS, Flags, Floats, Ints
from hip3_platform.analytics.evidence.markouts import Markouts, State
from streaming.core.units import NS_PER_MS, NS_PER_S

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "ts_ns": pl.Int64,
    "side": pl.String,
    "threshold_bps": pl.Int16,
    "is_oracle_led": pl.Boolean,
    "latency_ms": pl.Int32,
    "horizon_s": pl.Int16,
    "edge_bps": pl.Float64,
    "net_bps": pl.Float64,
    "entry_touch_usd": pl.Float64,
    "exit_touch_usd": pl.Float64,
}
"""Columns of gold/policy_fills, by threshold and time of the decision."""

ABOUT: dict[str, str] = {
    "venue": "venue of the book",
    "day": "UTC day of the decision",
    "coin": "market",
    "ts_ns": "ns UTC, instant of the decision",
    "side": "buy or sell, the side we would take",
    "threshold_bps": "edge above which was decided, bps of the oracle",
    "is_oracle_led": "whether the oracle moved first",
    "latency_ms": "assumed time from the decision to the match",
    "horizon_s": "time from the match to the exit",
    "edge_bps": "edge of the touch decided on, bps of the oracle",
    "net_bps": "result after fees and depth",
    "entry_touch_usd": "notional of the touch at the match",
    "exit_touch_usd": "notional of the touch at the exit; 0 where there is none",
}
"""What each column is, for the UI."""


def fill_rows(day: MarketDay, decisions: Decisions, markouts: Markouts) -> pl.DataFrame:
    """Return the fills of every policy on one market-day (see `SCHEMA`).

    Args:
        day: The columns the decisions were made on.
        decisions: Of the family's thresholds.
        markouts: Of these decisions, on the family's grid.
    """
    place, latency = np.nonzero(markouts.state == State.FILLED)
    is_buy = decisions.side[place] == BUY
    at_ns = decisions.ts_ns[place] + np.array(LATENCIES_MS, dtype=np.int64)[latency] * NS_PER_MS
    entry_usd = _touch_usd(day, at_ns, is_ask=is_buy)
    parts = [
        {
            "ts_ns": decisions.ts_ns[place],
            "side": np.where(is_buy, "buy", "sell"),
            "threshold_bps": np.array(THRESHOLDS_BPS)[decisions.threshold[place]],
            "is_oracle_led": decisions.is_oracle_led[place],
            "latency_ms": np.array(LATENCIES_MS)[latency],
            "horizon_s": np.full(place.size, horizon_s),
            "edge_bps": decisions.edge_bps[place],
            "net_bps": markouts.net_bps[place, latency, column],
            "entry_touch_usd": entry_usd,
            "exit_touch_usd": _touch_usd(day, at_ns + horizon_s * NS_PER_S, is_ask=~is_buy),
        }
        for column, horizon_s in enumerate(HORIZONS_S)
    ]
    rows = pl.concat([pl.DataFrame(part) for part in parts])
    named = rows.with_columns(venue=pl.lit(day.venue), day=pl.lit(day.day), coin=pl.lit(day.coin))
    ordered = named.sort("threshold_bps", "ts_ns", "latency_ms", "horizon_s")
    return ordered.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def _touch_usd(day: MarketDay, at_ns: Ints, *, is_ask: Flags) -> Floats:
    """Notional of the ask (else the bid) in force at instants; 0 where that side is not there."""
    row = np.searchsorted(day.bbo_ts_ns, at_ns, side="right") - 1
    px = np.where(is_ask, day.ask_px[row], day.bid_px[row])
    sz = np.where(is_ask, day.ask_sz[row], day.bid_sz[row])
    return np.asarray(np.where(px == MISSING, 0.0, px / E8 * (sz / E8)))
