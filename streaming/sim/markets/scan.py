"""Episodes and executable markouts of one market's columns, all policies and latencies in one pass.

Definitions: section 2 of the evidence method, made exact in docs/truth.md. In short:

Rule 1: edges are compared in integers: e > T means (oracle - ask) * 10^4 > T * oracle when buying. No rounding decides.
Rule 2: events are received in venue time; of a bbo and a ctx of the same millisecond the bbo comes first. A book with a
side missing, or with bid >= ask, is no event: it neither begins nor re-arms. Nor is a ctx with the oracle of the one
before, nor anything in a closed market.
Rule 3: a scan begins unarmed: the first edge of at most T/2 arms a side.
Rule 4: decisions of one T, both sides and origins together, are at least 12 s apart; an episode that begins earlier
passes without a decision. `oracle_led` policies take the decisions of that origin.
Rule 5: what is held when the market closes is settled at its mark then, without a fee.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from streaming.sim.markets.generator import NONE, MarketHour
from streaming.sim.markets.noise import Floats, Ints

THRESHOLDS_BPS = (3, 5, 8, 11, 15, 20, 30)
ORIGINS = ("any", "oracle_led")
HORIZONS_S = (1, 3, 5, 10)
LATENCIES_MS = (100, 200, 400, 500, 800)
SPACING_MS = 12_000
"""Largest latency + largest horizon + 1 s, rounded up: decisions of one threshold never overlap."""
DEPTH_FACTOR = 3.0
DEPTH_PENALTY_BPS_MAX = 60.0

_FAR = 2**62
_COLUMNS = ("bbo_ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz", "ctx_ts_ms", "oracle_px", "mark_px")

Flags = NDArray[np.bool_]

PulledMask = Callable[[Ints, Ints], Flags]
"""Arrival times and sides (+1 buys) → whether makers withdraw what the order would have hit."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Consecutive hours of one market; units as in `MarketHour`, times not decreasing."""

    bbo_ts_ms: Ints
    bid_px: Ints
    bid_sz: Ints
    ask_px: Ints
    ask_sz: Ints
    ctx_ts_ms: Ints
    oracle_px: Ints
    mark_px: Ints

    @classmethod
    def of(cls, hours: Sequence[MarketHour]) -> "Columns":
        """Join hours that follow each other."""
        return cls(**{name: np.concatenate([getattr(hour, name) for hour in hours]) for name in _COLUMNS})


def _no_span() -> Ints:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order costs and may do, beside the columns."""

    order_lots_px: float
    """Notional of an order, in price units times lots: quote units * 10^(pxDecimals + szDecimals)."""
    fee_bps: Floats
    """Taker fee of one side, in force from the instant of the same place in `fee_from_ms`; the first holds before."""
    fee_from_ms: Ints
    closed_ms: Ints = field(default_factory=_no_span)
    """Begin and end of every time in which nobody can trade, in order, shape (n, 2)."""
    is_pulled: PulledMask | None = None

    def fee_at(self, ts_ms: Ints) -> Floats:
        """Fee in force at instants."""
        place = np.searchsorted(self.fee_from_ms, ts_ms, side="right") - 1
        return self.fee_bps[np.maximum(place, 0)]

    def is_closed(self, ts_ms: Ints) -> Flags:
        """Whether nobody can trade at instants."""
        return np.asarray(np.searchsorted(self.closed_ms.ravel(), ts_ms, side="right") % 2 == 1)

    def next_close_ms(self, ts_ms: Ints) -> Ints:
        """Begin of the first closed time that begins after an instant; far away when there is none."""
        begins = np.append(self.closed_ms[:, 0], _FAR)
        return begins[np.searchsorted(begins[:-1], ts_ms, side="right")]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in the order (threshold, time), with their markouts."""

    ts_ms: Ints
    threshold: Ints
    """Place in `THRESHOLDS_BPS`."""
    side: Ints
    """+1 buys, -1 sells."""
    is_oracle_led: Flags
    limit_px: Ints
    edge_bps: Floats
    is_filled: Flags
    """Shape (decisions, latencies)."""
    net_bps: Floats
    """Shape (decisions, latencies, horizons); 0 where not filled."""

    def where(self, keep: Flags) -> "Decisions":
        """Return those that `keep` marks."""
        return Decisions(**{each.name: getattr(self, each.name)[keep] for each in fields(self)})


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over decisions, by threshold and origin (any, oracle_led)."""

    decisions: Ints
    """(thresholds, origins)"""
    fills: Ints
    """(thresholds, origins, latencies)"""
    net_bps: Floats
    """(thresholds, origins, latencies, horizons)"""
    net_bps2: Floats
    """Sums of squares, likewise."""


def scan(columns: Columns, terms: Terms, begin_ms: int, end_ms: int) -> Decisions:
    """Return the decisions with begin <= time < end.

    Columns before `begin_ms` warm up; those after `end_ms` resolve the last markouts (60 s are enough).
    """
    events = _events(columns, terms)
    place, threshold, side = _decisions(events)
    keep = (events.ts_ms[place] >= begin_ms) & (events.ts_ms[place] < end_ms)
    place, threshold, side = place[keep], threshold[keep], side[keep]
    row = events.row[place]
    ts_ms = events.ts_ms[place]
    limit = np.where(side > 0, columns.ask_px[row], columns.bid_px[row])
    oracle = events.oracle_px[place]
    is_filled, net_bps = _markouts(columns, terms, ts_ms, side, row)
    return Decisions(
        ts_ms=ts_ms,
        threshold=threshold,
        side=side,
        is_oracle_led=events.is_oracle_led[place],
        limit_px=limit,
        edge_bps=side * (oracle - limit) / oracle * 1e4,
        is_filled=is_filled,
        net_bps=net_bps,
    )


def sums_of(decisions: Decisions) -> Sums:
    """Add up what the policies of every threshold and origin made."""
    groups = len(THRESHOLDS_BPS) * len(ORIGINS)
    key = 2 * decisions.threshold + decisions.is_oracle_led

    def added(weights: Floats) -> Floats:
        shape = weights.shape[1:]
        columns = np.moveaxis(weights, 0, -1).reshape(math.prod(shape), key.size)
        parts = [np.bincount(key, column, groups) for column in columns]
        by_group = np.stack(parts, axis=-1).astype(np.float64).reshape(len(THRESHOLDS_BPS), len(ORIGINS), *shape)
        by_group[:, 0] += by_group[:, 1]
        return by_group

    return Sums(
        decisions=np.rint(added(np.ones((key.size, 1)))[..., 0]).astype(np.int64),
        fills=np.rint(added(decisions.is_filled.astype(np.float64))).astype(np.int64),
        net_bps=added(decisions.net_bps),
        net_bps2=added(decisions.net_bps**2),
    )


@dataclass(frozen=True, slots=True)
class _Events:
    """Events at which the level of an edge may have changed, in the order of receipt."""

    ts_ms: Ints
    row: Ints
    """Row of the touch in force."""
    oracle_px: Ints
    is_oracle_led: Flags
    buy_level: Ints
    sell_level: Ints


def _events(columns: Columns, terms: Terms) -> _Events:
    """Merge bbo with those ctx whose oracle is new: with any other the edge is what it was."""
    bbo_ts, ctx_ts = columns.bbo_ts_ms, columns.ctx_ts_ms
    is_new = np.zeros(ctx_ts.size, dtype=np.bool_)
    is_new[1:] = columns.oracle_px[1:] != columns.oracle_px[:-1]
    steps = is_new.copy()
    steps[:1] = True
    step_ts = ctx_ts[steps]
    rows = np.arange(bbo_ts.size)
    # At one instant the bbo comes first, so it still sees the ctx before.
    seen = np.searchsorted(ctx_ts, bbo_ts, side="left") - 1
    under = np.searchsorted(bbo_ts, step_ts, side="right") - 1
    ts_ms = np.concatenate([bbo_ts, step_ts])
    order = np.argsort(ts_ms, kind="stable")
    row = np.concatenate([rows, under])[order]
    ctx_row = np.concatenate([seen, np.flatnonzero(steps)])[order]
    led = np.concatenate([np.zeros(bbo_ts.size, dtype=np.bool_), is_new[steps]])[order]
    ts_ms = ts_ms[order]
    bid, ask = columns.bid_px, columns.ask_px
    is_valid = (bid != NONE) & (ask != NONE) & (bid < ask)
    use = (row >= 0) & (ctx_row >= 0)
    use[use] = is_valid[row[use]]
    if terms.closed_ms.size:
        use &= ~terms.is_closed(ts_ms)
    ts_ms, row, led, oracle = ts_ms[use], row[use], led[use], columns.oracle_px[ctx_row[use]]
    buy, sell = _level(oracle - ask[row], oracle), _level(bid[row] - oracle, oracle)
    # Nothing begins or re-arms while both levels stay what they were.
    change = np.ones(ts_ms.size, dtype=np.bool_)
    change[1:] = (buy[1:] != buy[:-1]) | (sell[1:] != sell[:-1])
    return _Events(
        ts_ms=ts_ms[change],
        row=row[change],
        oracle_px=oracle[change],
        is_oracle_led=led[change],
        buy_level=buy[change],
        sell_level=sell[change],
    )


def _level(beyond: Ints, oracle: Ints) -> Ints:
    """Largest whole m with edge > m/2 bps, clipped to what thresholds distinguish."""
    return np.asarray(np.clip((beyond * 20_000 - 1) // oracle, THRESHOLDS_BPS[0] - 1, 2 * THRESHOLDS_BPS[-1]))


def _decisions(events: _Events) -> tuple[Ints, Ints, Ints]:
    """Place among events, threshold and side of every decision."""
    places, thresholds, sides = [], [], []
    for index, bps in enumerate(THRESHOLDS_BPS):
        buys, sells = _begins(events.buy_level, bps), _begins(events.sell_level, bps)
        place = np.concatenate([buys, sells])
        side = np.concatenate([np.ones(buys.size, dtype=np.int64), np.full(sells.size, -1, dtype=np.int64)])
        order = np.argsort(place, kind="stable")
        place, side = place[order], side[order]
        chosen = _spaced(events.ts_ms[place])
        places.append(place[chosen])
        thresholds.append(np.full(chosen.size, index, dtype=np.int64))
        sides.append(side[chosen])
    return np.concatenate(places), np.concatenate(thresholds), np.concatenate(sides)


def _begins(level: Ints, bps: int) -> Ints:
    """Events at which an armed side exceeds the threshold."""
    hot = np.flatnonzero(level >= 2 * bps)
    # How often the side has been at most half the threshold: more than at the hot event before means re-armed.
    armed = np.cumsum(level < bps)[hot]
    return hot[np.diff(armed, prepend=0) > 0]


def _spaced(ts_ms: Ints) -> Ints:
    """Places that are taken when each forbids those of the next 12 s."""
    after = np.searchsorted(ts_ms, ts_ms + SPACING_MS, side="left").tolist()
    chosen = []
    place = 0
    while place < len(after):
        chosen.append(place)
        place = after[place]
    return np.array(chosen, dtype=np.int64)


def _markouts(columns: Columns, terms: Terms, ts_ms: Ints, side: Ints, row: Ints) -> tuple[Flags, Floats]:
    is_filled = np.zeros((ts_ms.size, len(LATENCIES_MS)), dtype=np.bool_)
    net_bps = np.zeros((ts_ms.size, len(LATENCIES_MS), len(HORIZONS_S)))
    limit = np.where(side > 0, columns.ask_px[row], columns.bid_px[row])
    half_spread = _half_spread_bps(columns.bid_px[row], columns.ask_px[row])
    exits = _Exits(columns, terms)
    for place, latency in enumerate(LATENCIES_MS):
        at_ms = ts_ms + latency
        hit = np.searchsorted(columns.bbo_ts_ms, at_ms, side="right") - 1
        px = np.where(side > 0, columns.ask_px[hit], columns.bid_px[hit])
        filled = (px != NONE) & (side * px <= side * limit) & ~terms.is_closed(at_ms)
        if terms.is_pulled is not None:
            filled &= ~terms.is_pulled(at_ms, side)
        is_filled[:, place] = filled
        way, entry = side[filled], px[filled]
        shown = np.where(side > 0, columns.ask_sz[hit], columns.bid_sz[hit])[filled]
        lots = np.minimum(terms.order_lots_px / limit[filled], shown)
        fee = terms.fee_at(at_ms[filled])
        for column, horizon in enumerate(HORIZONS_S):
            out_ms = at_ms[filled] + 1000 * horizon
            exit_px, cost = exits.at(at_ms[filled], out_ms, way, lots, half_spread[filled])
            net_bps[filled, place, column] = way * (exit_px - entry) / entry * 1e4 - fee - cost
    return is_filled, net_bps


def _half_spread_bps(bid: Ints, ask: Ints) -> Floats:
    return np.asarray((ask - bid) / (ask + bid) * 1e4)


class _Exits:
    """Prices and costs of leaving a position."""

    def __init__(self, columns: Columns, terms: Terms) -> None:
        self._columns = columns
        self._terms = terms
        self._next_bid = _next_present(columns.bid_px)
        self._next_ask = _next_present(columns.ask_px)

    def at(self, in_ms: Ints, out_ms: Ints, side: Ints, lots: Floats, half_spread: Floats) -> tuple[Floats, Floats]:
        """Return price and cost in bps (fee and depth) of leaving at the first quote from `out_ms` on."""
        columns, terms = self._columns, self._terms
        row = np.searchsorted(columns.bbo_ts_ms, out_ms, side="right") - 1
        row = np.where(side > 0, self._next_bid[row], self._next_ask[row])
        is_there = row < columns.bbo_ts_ms.size
        row = np.minimum(row, columns.bbo_ts_ms.size - 1)
        bid, ask = columns.bid_px[row], columns.ask_px[row]
        leave_ms = np.maximum(out_ms, columns.bbo_ts_ms[row])
        close_ms = terms.next_close_ms(in_ms)
        is_settled = ~is_there | (leave_ms >= close_ms)
        shown = np.where(side > 0, columns.bid_sz[row], columns.ask_sz[row])
        is_book = (bid != NONE) & (ask != NONE) & (bid < ask)
        half = half_spread.copy()
        half[is_book] = _half_spread_bps(bid[is_book], ask[is_book])
        beyond = np.maximum(lots / np.maximum(shown, 1) - 1.0, 0.0)
        walked = np.minimum(DEPTH_FACTOR * half * beyond, DEPTH_PENALTY_BPS_MAX)
        mark_row = np.searchsorted(columns.ctx_ts_ms, close_ms, side="right") - 1
        mark = columns.mark_px[np.maximum(mark_row, 0)]
        px = np.where(is_settled, mark, np.where(side > 0, bid, ask))
        return px.astype(np.float64), np.where(is_settled, 0.0, terms.fee_at(leave_ms) + walked)


def _next_present(px: Ints) -> Ints:
    """For every row the first row from it on with a price; the count of rows where there is none."""
    row = np.where(px != NONE, np.arange(px.size), px.size)
    return np.asarray(np.minimum.accumulate(row[::-1])[::-1])
