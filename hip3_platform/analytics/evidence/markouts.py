"""What decisions would have earned if they had been taken: executable markouts, on a grid and under the exit rules.

Source: section 2 of the evidence method, made exact in docs/truth.md. An order is an IOC at the touch of its decision.

Rule 1: it arrives `latency` later and fills at the touch in force then if that is not worse than its limit; else it is
missed: counted, without a result. Its size is that of `order_usd`, at most what is shown.
Rule 2: the position leaves `horizon` after its arrival at the opposite touch in force; if that side is missing, at the
first that comes. One that meets a closing market ends at the mark then, without a fee; so does one that finds no quote.
Rule 3: an exit larger than the size shown walks: 3 x half spread x (size / shown - 1), at most 60 bps. The spread is
that of the book left by, or of the one decided on where that book has no two sides.
Rule 4: result = sign x (exit - entry) / entry - fee at the entry - fee at the exit - walk, bps.
Rule 5: a decision whose arrival or one of whose exits lies behind a feed gap is void at that latency, at all horizons:
neither filled nor missed, and counted. So is one whose end is not in the data.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hip3_platform.analytics.evidence.columns import E8, MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import BUY, Decisions
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, Flags, Floats, Ints
from streaming.core.units import NS_PER_MS, NS_PER_S

ORDER_USD = 50.0
"""The sidecar's largest order, `limits.sizing.order_ntl_max`, and that of the truth files."""
WALK_FACTOR = 3.0
WALK_BPS_MAX = 60.0


class State(enum.IntEnum):
    """What became of an order."""

    MISSED = 0
    FILLED = 1
    VOID = 2


@dataclass(frozen=True, slots=True)
class Markouts:
    """Of decisions in their order."""

    state: NDArray[np.int8]
    """A `State`, shape (decisions, latencies)."""
    net_bps: Floats
    """Shape (decisions, latencies, horizons); 0 where not filled."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Orders that filled."""

    decided_ns: Ints
    at_ns: Ints
    """Arrival."""
    side: Ints
    px: Ints
    sz: Floats
    """1e-8 base units."""
    half_spread_bps: Floats
    """Of the book decided on."""


def markouts_of(
    day: MarketDay,
    decisions: Decisions,
    *,
    order_usd: float = ORDER_USD,
    latencies_ms: Sequence[int] = LATENCIES_MS,
    horizons_s: Sequence[int] = HORIZONS_S,
) -> Markouts:
    """Return the results of decisions for every latency and horizon.

    Args:
        day: The columns the decisions were made on.
        decisions: Of any thresholds.
        order_usd: Notional of an order, > 0.
        latencies_ms: From the decision to the match.
        horizons_s: From the match to the exit.
    """
    # One event is often a decision of several thresholds: each order is marked out once.
    first, back = _distinct(decisions)
    shape = (first.size, len(latencies_ms))
    decided = np.repeat(decisions.ts_ns[first], shape[1])
    at_ns = decided + np.tile(np.array(latencies_ms, dtype=np.int64) * NS_PER_MS, shape[0])
    state, entries = orders_of(day, decisions, np.repeat(first, shape[1]), at_ns, order_usd)
    filled = np.flatnonzero(state == State.FILLED)
    net = np.zeros((state.size, len(horizons_s)))
    is_void = np.zeros(filled.size, dtype=np.bool_)
    exits = Exits(day)
    for place, horizon in enumerate(horizons_s):
        net[filled, place], until_ns = exits.results(entries, entries.at_ns + horizon * NS_PER_S)
        is_void |= day.touches_gap(entries.decided_ns, until_ns)
    net[filled[is_void]] = 0.0
    state[filled[is_void]] = State.VOID
    return Markouts(state=state.reshape(shape)[back], net_bps=net.reshape(*shape, len(horizons_s))[back])


def _distinct(decisions: Decisions) -> tuple[Ints, Ints]:
    """Places of one decision of every event and side, in time, and the place among these of every decision."""
    order = np.lexsort((decisions.side, decisions.row, decisions.ts_ns))
    ts_ns, row, side = decisions.ts_ns[order], decisions.row[order], decisions.side[order]
    is_new = np.ones(order.size, dtype=np.bool_)
    is_new[1:] = (ts_ns[1:] != ts_ns[:-1]) | (row[1:] != row[:-1]) | (side[1:] != side[:-1])
    back = np.empty(order.size, dtype=np.int64)
    back[order] = np.cumsum(is_new) - 1
    return order[is_new], back


def orders_of(
    day: MarketDay, decisions: Decisions, which: Ints, at_ns: Ints, order_usd: float = ORDER_USD
) -> tuple[NDArray[np.int8], Entries]:
    """Return the state at arrival of one order for each of `which` (places of decisions), and those that filled."""
    side, row, limit = decisions.side[which], decisions.row[which], decisions.limit_px[which]
    decided_ns = decisions.ts_ns[which]
    hit = np.searchsorted(day.bbo_ts_ns, at_ns, side="right") - 1
    is_buy = side == BUY
    px = np.where(is_buy, day.ask_px[hit], day.bid_px[hit])
    is_filled = (px != MISSING) & (side * px <= side * limit) & ~day.is_closed(at_ns)
    state = np.where(day.touches_gap(decided_ns, at_ns), State.VOID, is_filled).astype(np.int8)
    filled = np.flatnonzero(state == State.FILLED)
    shown = np.where(is_buy[filled], day.ask_sz[hit[filled]], day.bid_sz[hit[filled]])
    return state, Entries(
        decided_ns=decided_ns[filled],
        at_ns=at_ns[filled],
        side=side[filled],
        px=px[filled],
        sz=np.minimum(order_usd * E8 * E8 / limit[filled], shown),
        half_spread_bps=half_spreads_bps(day.bid_px[row[filled]], day.ask_px[row[filled]]),
    )


def half_spreads_bps(bid_px: Ints, ask_px: Ints) -> Floats:
    """Return half the spread in bps of the mid."""
    return np.asarray((ask_px - bid_px) / (ask_px + bid_px) * 1e4)


class Exits:
    """Prices and costs of leaving, for one market-day."""

    def __init__(self, day: MarketDay) -> None:
        """Look up where missing sides come back."""
        self._day = day
        self._next_bid = _next_present(day.bid_px)
        self._next_ask = _next_present(day.ask_px)

    def results(self, entries: Entries, due_ns: Ints) -> tuple[Floats, Ints]:
        """Return the result (Rule 4) of leaving at the first quote from `due_ns` on, and when it is known."""
        day = self._day
        is_long = entries.side == BUY
        row = np.searchsorted(day.bbo_ts_ns, due_ns, side="right") - 1
        row = np.where(is_long, self._next_bid[row], self._next_ask[row])
        is_there = row < day.bbo_ts_ns.size
        row = np.where(is_there, row, 0)
        leave_ns = np.where(is_there, np.maximum(due_ns, day.bbo_ts_ns[row]), np.maximum(due_ns, day.data_end_ns))
        close_ns = day.next_close_ns(entries.at_ns)
        is_settled = ~is_there | (leave_ns >= close_ns)
        leave_ns = np.minimum(leave_ns, close_ns)
        px = np.where(is_long, day.bid_px[row], day.ask_px[row])
        cost = day.fee_at(leave_ns) + self._walk_bps(entries, row, is_long)
        if is_settled.any():
            mark = np.searchsorted(day.ctx_ts_ns, leave_ns[is_settled], side="right") - 1
            px[is_settled] = day.mark_px[mark]
            cost[is_settled] = 0.0
        gross = entries.side * (px - entries.px) / entries.px * 1e4
        return gross - day.fee_at(entries.at_ns) - cost, leave_ns

    def _walk_bps(self, entries: Entries, row: Ints, is_long: Flags) -> Floats:
        day = self._day
        shown = np.where(is_long, day.bid_sz[row], day.ask_sz[row])
        beyond = entries.sz / np.maximum(shown, 1) - 1.0
        walk = np.zeros(row.size)
        deep = np.flatnonzero(beyond > 0)
        bid, ask = day.bid_px[row[deep]], day.ask_px[row[deep]]
        is_book = (bid != MISSING) & (ask != MISSING) & (bid < ask)
        half = np.where(is_book, half_spreads_bps(bid, ask), entries.half_spread_bps[deep])
        walk[deep] = np.minimum(WALK_FACTOR * half * beyond[deep], WALK_BPS_MAX)
        return walk


def _next_present(px: Ints) -> Ints:
    """For every row the first from it on with a price; the count of rows where there is none."""
    is_there = px != MISSING
    if is_there.all():
        return np.arange(px.size)
    row = np.where(is_there, np.arange(px.size), px.size)
    return np.asarray(np.minimum.accumulate(row[::-1])[::-1])
