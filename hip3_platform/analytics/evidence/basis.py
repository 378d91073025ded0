"""What closed the gap: how much of an episode's entry edge the quote gave up, and how much the oracle took back.

Source: section 5 of the evidence method. Buying at ask a0 under oracle O0, with a and O in force some seconds later:

    quote share q = (a - a0) / (O0 - a0)        oracle share o = (O0 - O) / (O0 - a0)        still open = 1 - q - o

Only q is money for a taker: where o closes the gap the oracle was wrong, which the predecessor counted as profit.

Rule 1: one row a decision of T = 5 bps (12 s apart), oracle-led and quote-led ones alike, with their origin.
Rule 2: a share whose end lies in a feed gap, in a closed time or on a book without two sides is null, never 0.
Rule 3: the age of a quote is the time since the last bbo: the venue sends one whenever the touch changes.
"""

from typing import Any

import numpy as np
import polars as pl
from statsmodels.tsa.stattools import acf

from hip3_platform.analytics.evidence.columns import E8, MarketDay
from hip3_platform.analytics.evidence.episodes import Decisions, Events, decisions_of, valid_books
from hip3_platform.analytics.evidence.family import HORIZONS_S, Floats, Ints
from streaming.core.units import NS_PER_MS, NS_PER_S

BASIS_THRESHOLD_BPS = 5
GAP_GRID_NS = 10 * NS_PER_S
GAP_LAG = 6
"""Steps of the grid: 60 s."""
GAP_SAMPLES_MIN = 60

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "ts_ns": pl.Int64,
    "side": pl.String,
    "origin": pl.String,
    "session": pl.String,
    "entry_edge_bps": pl.Float64,
    "quote_age_ms": pl.Float64,
    "depth_usd": pl.Float64,
    "spread_bps": pl.Float64,
    **{f"quote_share_{h}s": pl.Float64 for h in HORIZONS_S},
    **{f"oracle_share_{h}s": pl.Float64 for h in HORIZONS_S},
    **{f"spread_ratio_{h}s": pl.Float64 for h in HORIZONS_S},
}
"""Columns of gold/basis, one row a decision."""

ABOUT: dict[str, str] = {
    "venue": "venue of the rows",
    "day": "UTC day",
    "coin": "market",
    "ts_ns": "ns UTC, instant of the decision",
    "side": "buy or sell, the side we would take",
    "origin": "oracle_led or quote_led",
    "session": "of the underlying's own market: open, closed, empty where not known",
    "entry_edge_bps": "edge of the touch against the oracle, bps of the oracle",
    "quote_age_ms": "ms since the last bbo",
    "depth_usd": "notional of the touch we would take",
    "spread_bps": "spread at the decision, bps of mid",
    **{f"quote_share_{h}s": f"share of the entry edge the quote closed within {h} s" for h in HORIZONS_S},
    **{f"oracle_share_{h}s": f"share of the entry edge the oracle closed within {h} s" for h in HORIZONS_S},
    **{f"spread_ratio_{h}s": f"spread after {h} s over the spread at the decision" for h in HORIZONS_S},
}
"""What each column is, for the UI."""

GAP_SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "session": pl.String,
    "sample_count": pl.Int64,
    "gap_bps_mean": pl.Float64,
    "autocorrelation_60s": pl.Float64,
}
"""Columns of gold/basis_gaps, one row a session of a day: does the gap of mid to oracle persist?"""

GAP_ABOUT: dict[str, str] = {
    "venue": "venue of the rows",
    "day": "UTC day",
    "coin": "market",
    "session": "open, closed, empty where not known",
    "sample_count": "samples of (mid - oracle) / oracle, one in 10 s",
    "gap_bps_mean": "mean of the gap, bps of the oracle",
    "autocorrelation_60s": "of the gap with itself 60 s before; null with fewer than 60 samples or a constant gap",
}
"""What each column is, for the UI."""


def basis_of(day: MarketDay, events: Events | None = None) -> pl.DataFrame:
    """Return how the gap of every decision of a market-day closed (see `SCHEMA`), in the order of time.

    `events` as in `decisions_of`.
    """
    decisions = decisions_of(day, (BASIS_THRESHOLD_BPS,), events)
    columns: dict[str, Any] = {
        "venue": day.venue,
        "day": day.day,
        "coin": day.coin,
        "ts_ns": decisions.ts_ns,
        "side": np.where(decisions.side > 0, "buy", "sell"),
        "origin": np.where(decisions.is_oracle_led, "oracle_led", "quote_led"),
        "session": day.sessions_at(decisions.ts_ns),
        "entry_edge_bps": decisions.edge_bps,
        "quote_age_ms": (decisions.ts_ns - day.bbo_ts_ns[decisions.row]) / NS_PER_MS,
        "depth_usd": _depth_usd(day, decisions),
        "spread_bps": _spread_bps(day, decisions.row),
    }
    for horizon_s in HORIZONS_S:
        quote, oracle, ratio = _shares(day, decisions, horizon_s)
        columns |= {
            f"quote_share_{horizon_s}s": quote,
            f"oracle_share_{horizon_s}s": oracle,
            f"spread_ratio_{horizon_s}s": ratio,
        }
    frame = pl.DataFrame({name: columns[name] for name in SCHEMA}, schema=SCHEMA)
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def gaps_of(day: MarketDay) -> pl.DataFrame:
    """Return how persistent the gap of mid to oracle is (see `GAP_SCHEMA`), one row a session with samples."""
    grid = np.arange(day.begin_ns, day.end_ns, GAP_GRID_NS)
    row, step = _in_force(day.bbo_ts_ns, grid), _in_force(day.ctx_ts_ns, grid)
    is_known = (row >= 0) & (step >= 0) & ~day.is_closed(grid) & ~day.touches_gap(grid, grid)
    is_known[is_known] &= valid_books(day)[row[is_known]]
    gap = np.full(grid.size, np.nan)
    row, step = row[is_known], step[is_known]
    gap[is_known] = ((day.bid_px[row] + day.ask_px[row]) / 2.0 / day.oracle_px[step] - 1.0) * 1e4
    sessions = np.array(day.sessions_at(grid))
    rows = [_gap_row(day, session, gap[sessions == session]) for session in sorted(set(sessions[is_known].tolist()))]
    return pl.DataFrame(rows, schema=GAP_SCHEMA, orient="row")


def _gap_row(day: MarketDay, session: str, gap_bps: Floats) -> dict[str, Any]:
    known = gap_bps[~np.isnan(gap_bps)]
    is_enough = known.size >= GAP_SAMPLES_MIN and float(np.ptp(known)) > 0.0
    # Missing samples are skipped in place, so that a lag of the grid stays 60 s of time.
    correlation = float(acf(gap_bps, nlags=GAP_LAG, missing="conservative", fft=False)[GAP_LAG]) if is_enough else None
    return {
        "venue": day.venue,
        "day": day.day,
        "coin": day.coin,
        "session": session,
        "sample_count": int(known.size),
        "gap_bps_mean": float(known.mean()),
        "autocorrelation_60s": correlation,
    }


def _in_force(ts_ns: Ints, at_ns: Ints) -> Ints:
    """Return the last row received at or before instants, -1 before the first."""
    return np.asarray(np.searchsorted(ts_ns, at_ns, side="right") - 1)


def _depth_usd(day: MarketDay, decisions: Decisions) -> Floats:
    size = np.where(decisions.side > 0, day.ask_sz[decisions.row], day.bid_sz[decisions.row])
    return np.asarray(decisions.limit_px / E8 * (size / E8))


def _spread_bps(day: MarketDay, row: Ints) -> Floats:
    bid, ask = day.bid_px[row], day.ask_px[row]
    return np.asarray((ask - bid) / ((ask + bid) / 2.0) * 1e4)


def _shares(day: MarketDay, decisions: Decisions, horizon_s: int) -> tuple[Floats, Floats, Floats]:
    """Quote share, oracle share and ratio of spreads; nan where Rule 2 says that they are not known."""
    end_ns = decisions.ts_ns + horizon_s * NS_PER_S
    row, step = _in_force(day.bbo_ts_ns, end_ns), _in_force(day.ctx_ts_ns, end_ns)
    is_known = valid_books(day)[row] & ~day.touches_gap(decisions.ts_ns, end_ns) & ~day.is_closed(end_ns)
    side, entry = decisions.side, decisions.limit_px
    px = np.where(side > 0, day.ask_px[row], day.bid_px[row])
    oracle, now = day.oracle_px[decisions.step], day.oracle_px[step]
    edge = side * (oracle - entry)
    quote, taken = side * (px - entry) / edge, side * (oracle - now) / edge
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = _spread_bps(day, row) / _spread_bps(day, decisions.row)

    def known(values: Floats) -> Floats:
        return np.asarray(np.where(is_known, values, np.nan))

    return known(quote), known(taken), known(ratio)
