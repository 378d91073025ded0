"""Episodes as rows for people and gold: one for every cross of every threshold, with the state it began in and its end.

Rule 1: rows are the episodes of `episodes.begins_of`; `is_decided` marks those that Rule 4 there lets decide.
Rule 2: an episode belongs to the UTC day in which it begins. One that outlives the 60 s read of the next day ends
there, by `data_end`: its duration is a lower bound.
Rule 3: ticks are events (bbo with two sides, changed oracles) from the begin to before the end.
Rule 4: what the live session said of an episode (signal, gates) is joined by the event that began it: both count
crosses on the same rows, but its threshold is another, so most rows have no signal.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.columns import E8, FAR_NS, MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import (
    BUY,
    SELL,
    Events,
    begins_of,
    edges_bps,
    events_of,
    spaced,
    valid_books,
)
from hip3_platform.analytics.evidence.family import THRESHOLDS_BPS, Flags, Floats, Ints
from streaming.core.effects import GateId
from streaming.core.units import NS_PER_MS

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "threshold_bps": pl.Int16,
    "side": pl.String,
    "origin": pl.String,
    "begin_ns": pl.Int64,
    "end_ns": pl.Int64,
    "duration_ms": pl.Int64,
    "tick_count": pl.Int64,
    "entry_edge_bps": pl.Float64,
    "peak_edge_bps": pl.Float64,
    "ended_by": pl.String,
    "is_decided": pl.Boolean,
    "oracle_age_ms": pl.Int64,
    "quote_age_ms": pl.Int64,
    "spread_bps": pl.Float64,
    "bid_depth_usd": pl.Float64,
    "ask_depth_usd": pl.Float64,
    "session": pl.String,
    "spec_version": pl.String,
    "seq": pl.Int64,
}
"""Columns of `episode_rows`, one row an episode, in the order (threshold, begin)."""

GATES_SCHEMA: dict[str, Any] = {
    "signal_id": pl.String,
    "blocked_by": pl.String,
    **{f"gate_{gate.value}": pl.String for gate in GateId},
}
"""What `with_gates` adds; null where the live session had no signal."""

ABOUT: dict[str, str] = {
    "venue": "venue of the market",
    "day": "UTC day in which the episode begins",
    "coin": "market",
    "threshold_bps": "edge above which it begins, bps of the oracle; it ends at half of that",
    "side": "buy or sell, the side we would take",
    "origin": "oracle_led: a changed oracle crossed; quote_led: the quote did",
    "begin_ns": "ns UTC, first event over the threshold",
    "end_ns": "ns UTC, when it ended",
    "duration_ms": "begin to end, ms; a lower bound where the data end first",
    "tick_count": "events while it was open",
    "entry_edge_bps": "edge at the begin, bps of the oracle",
    "peak_edge_bps": "largest edge, bps of the oracle",
    "ended_by": "quote_moved, oracle_moved, side_vanished, book_void, market_stopped, feed_gap or data_end",
    "is_decided": "a decision: at least 12 s after the one before of its threshold",
    "oracle_age_ms": "ms since the oracle changed, at the begin",
    "quote_age_ms": "ms since the last bbo, at the begin",
    "spread_bps": "spread at the begin, bps of the mid",
    "bid_depth_usd": "notional shown at the best bid, at the begin",
    "ask_depth_usd": "notional shown at the best ask, at the begin",
    "session": "open or closed: the underlying's own market; empty where its hours are not known",
    "spec_version": "spec in force; resolves in table specs",
    "seq": "sequence number of the event that began it, in its session",
    "signal_id": "signal of the live session on that event; null where it had none",
    "blocked_by": "gates and controls that blocked the signal",
    **{f"gate_{gate.value}": f"what the gate {gate.value} said: pass, reduce or block" for gate in GateId},
}
"""What each column is, for the UI."""


_ENDS = ("quote_moved", "oracle_moved", "market_stopped", "side_vanished", "book_void", "feed_gap", "data_end")
_QUOTE_MOVED, _MARKET_STOPPED, _SIDE_VANISHED, _FEED_GAP, _DATA_END = 0, 2, 3, 5, 6


class _Part(NamedTuple):
    """Episodes of one threshold and side."""

    bps: Ints
    side: Ints
    at: Ints
    """Begin, as a place among the events."""
    is_decided: Flags
    end_ns: Ints
    end_code: Ints
    """Place in `_ENDS`."""
    tick_count: Ints
    peak_edge_bps: Floats


def episode_rows(
    day: MarketDay, thresholds_bps: Sequence[int] = THRESHOLDS_BPS, events: Events | None = None
) -> pl.DataFrame:
    """Return the episodes of a market-day (see `SCHEMA`); arguments and errors as `decisions_of`."""
    events = events or events_of(day, thresholds_bps)
    stops = _Stops(day, events)
    oracle = day.oracle_px[events.step]
    parts = []
    for side, px in ((BUY, day.ask_px), (SELL, day.bid_px)):
        edges = edges_bps(np.array(side), px[events.row], oracle)
        parts += [_part(day, events, stops, edges, bps, side) for bps in thresholds_bps]
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    whole = _Part._make(columns)
    order = np.lexsort((whole.at, whole.bps))
    return _frame(day, events, _Part._make(column[order] for column in columns))


def with_gates(rows: pl.DataFrame, signals: pl.DataFrame, gates: pl.DataFrame) -> pl.DataFrame:
    """Add `GATES_SCHEMA` to episodes of one market: the live session's signal on the same event, and its gates.

    Args:
        rows: Of `episode_rows`.
        signals: Rows of that market and day with signal_id, side, seq, ts_ns and blocked_by.
        gates: Rows with signal_id, gate and status.
    """
    statuses = [
        pl.col("status").filter(pl.col("gate") == gate.value).first().alias(f"gate_{gate.value}") for gate in GateId
    ]
    vectors = gates.group_by("signal_id", maintain_order=True).agg(statuses)
    known = signals.select("signal_id", "side", "seq", "blocked_by", begin_ns="ts_ns")
    joined = rows.join(
        known.join(vectors, on="signal_id", how="left", maintain_order="left"),
        on=["side", "seq", "begin_ns"],
        how="left",
        maintain_order="left",
    )
    return joined.select(pl.col(name).cast(kind) for name, kind in (SCHEMA | GATES_SCHEMA).items())


def _part(day: MarketDay, events: Events, stops: "_Stops", edges: Floats, bps: int, side: int) -> _Part:
    at, sides = begins_of(events, bps)
    is_decided = np.zeros(at.size, dtype=np.bool_)
    is_decided[spaced(events.ts_ns[at])] = True
    ts_ns = events.ts_ns[at]
    mine = (sides == side) & (ts_ns >= day.begin_ns) & (ts_ns < day.end_ns)
    at = at[mine]
    place, end_ns, end_code = stops.ends(at, side, bps)
    last = np.searchsorted(events.place, place)
    return _Part(
        bps=np.full(at.size, bps),
        side=sides[mine],
        at=at,
        is_decided=is_decided[mine],
        end_ns=end_ns,
        end_code=end_code,
        tick_count=last - at,
        peak_edge_bps=_peaks(edges, at, last),
    )


class _Stops:
    """What can end an episode besides its edge."""

    def __init__(self, day: MarketDay, events: Events) -> None:
        merged = events.merged
        self._day = day
        self._merged = merged
        self._events = events
        is_book = valid_books(day)
        self._void = np.flatnonzero(~merged.is_step & ~is_book[merged.row]) if is_book.size else np.empty(0, np.int64)
        self._close_ns, self._gap_ns = day.closed_ns[:, 0], day.gap_ns[:, 0]
        self._close = np.searchsorted(merged.ts_ns, self._close_ns, side="left")
        self._gap = np.searchsorted(merged.ts_ns, self._gap_ns, side="right")

    def ends(self, at: Ints, side: int, bps: int) -> tuple[Ints, Ints, Ints]:
        """Return place (among all rows received), time and `_ENDS` code of how episodes of one side end."""
        events, merged, day = self._events, self._merged, self._day
        level = events.buy_level if side == BUY else events.sell_level
        begin, begin_ns = events.place[at], events.ts_ns[at]
        size = merged.ts_ns.size
        places = [events.place[level < bps], self._close, self._void, self._gap]
        nexts = np.stack([*(_next(each, begin) for each in places), np.full(at.size, size)])
        place = nexts.min(axis=0)
        within = np.minimum(place, size - 1)
        seen_ns = merged.ts_ns[within]
        close_ns, gap_ns = _next(self._close_ns, begin_ns), _next(self._gap_ns, begin_ns - 1)
        times = np.stack([seen_ns, close_ns, seen_ns, gap_ns, np.full(at.size, day.data_end_ns)])
        # Of several ends before one row the earliest says why.
        times = np.where(nexts == place, times, FAR_NS)
        kind, end_ns = times.argmin(axis=0), times.min(axis=0)
        px = day.ask_px if side == BUY else day.bid_px
        has_side = px[merged.row[within]] != MISSING
        codes = [
            _QUOTE_MOVED + merged.is_step[within],
            _MARKET_STOPPED,
            _SIDE_VANISHED + has_side,
            _FEED_GAP,
            _DATA_END,
        ]
        return place, end_ns, np.choose(kind, codes)


def _next(values: Ints, after: Ints) -> Ints:
    """Return the first of ascending `values` beyond each of `after`; `FAR_NS` where there is none."""
    return np.asarray(np.append(values, FAR_NS)[np.searchsorted(values, after, side="right")])


def _frame(day: MarketDay, events: Events, part: _Part) -> pl.DataFrame:
    at = part.at
    row, step, begin_ns = events.row[at], events.step[at], events.ts_ns[at]
    bid, ask, is_led = day.bid_px[row], day.ask_px[row], events.is_oracle_led[at]
    limit = np.where(part.side == BUY, ask, bid)
    columns = {
        "threshold_bps": part.bps,
        "side": np.where(part.side == BUY, "buy", "sell"),
        "origin": np.where(is_led, "oracle_led", "quote_led"),
        "begin_ns": begin_ns,
        "end_ns": part.end_ns,
        "duration_ms": (part.end_ns - begin_ns) // NS_PER_MS,
        "tick_count": part.tick_count,
        "entry_edge_bps": edges_bps(part.side, limit, day.oracle_px[step]),
        "peak_edge_bps": part.peak_edge_bps,
        "ended_by": np.array(_ENDS)[part.end_code],
        "is_decided": part.is_decided,
        "oracle_age_ms": (begin_ns - day.ctx_ts_ns[step]) // NS_PER_MS,
        "quote_age_ms": (begin_ns - day.bbo_ts_ns[row]) // NS_PER_MS,
        "spread_bps": (ask - bid) / (ask + bid) * 2e4,
        "bid_depth_usd": bid / E8 * (day.bid_sz[row] / E8),
        "ask_depth_usd": ask / E8 * (day.ask_sz[row] / E8),
        "session": pl.Series(day.sessions_at(begin_ns), dtype=pl.String),
        "spec_version": pl.Series([day.spec_versions[place] for place in day.spec_at(begin_ns)], dtype=pl.String),
        "seq": np.where(is_led, day.ctx_seq[step], day.bbo_seq[row]),
    }
    named = {"venue": pl.lit(day.venue), "day": pl.lit(day.day), "coin": pl.lit(day.coin)}
    frame = pl.DataFrame(columns).with_columns(**named)
    return frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def _peaks(edges: Floats, first: Ints, last: Ints) -> Floats:
    """Largest edge of every span of events; spans follow each other."""
    if not first.size:
        return np.empty(0)
    bounds = np.stack([first, last], axis=1).ravel()
    # reduceat takes spans up to the next bound; the one past the end needs a place.
    return np.asarray(np.maximum.reduceat(np.append(edges, -np.inf), bounds)[::2])
