"""Crosses of the oracle as units of opportunity: when each begins, which are decided on, what became of them.

Source: section 2 of the evidence method, made exact in docs/truth.md. An event is a bbo, or a ctx whose oracle differs
from the one before, in the order of receipt.

Rule 1: edges are compared as whole numbers, e > T being (oracle - ask) * 10^4 > T * oracle when buying.
Rule 2: a book without two sides or with bid >= ask is no event, nor is anything while the market is closed: neither
begins an episode nor arms a side.
Rule 3: an episode of a side begins at an event with e > T while the side is armed; e <= T/2 arms it. Sides are unarmed
where we begin to know the market: at the first row, and after a feed gap.
Rule 4: decisions of one T, both sides together, are at least 12 s apart; an episode that begins earlier passes.
Rule 5: as a row, an episode ends when its edge is back at T/2, or when nobody could have taken it any more: the book is
void, the market closed, the feed lost, or the data at their end. Only the first arms its side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hip3_platform.analytics.evidence.columns import FAR_NS, MISSING, MarketDay
from hip3_platform.analytics.evidence.family import SPACING_MS, THRESHOLDS_BPS, Flags, Floats, Ints
from streaming.core.units import NS_PER_MS

Levels = NDArray[np.int16]

BUY, SELL = 1, -1
ORACLE_PX_MAX = 2**54
"""1e-8 quote units, 180 million: up to here 20 000 times an edge that is told apart is a 64-bit integer."""
THRESHOLD_BPS_MAX = 75
"""Edges are told apart up to this."""


@dataclass(frozen=True, slots=True)
class Events:
    """Every event with a valid book and a known oracle while the market is open, in the order of receipt."""

    place: Ints
    """Place among all bbo and oracle steps received, those that are no event included."""
    ts_ns: Ints
    row: Ints
    """Row of the touch in force, in the bbo columns."""
    step: Ints
    """Row of the oracle in force, in the ctx columns."""
    is_oracle_led: Flags
    buy_level: Levels
    """Largest whole m with e > m/2 bps when buying, cut to what the thresholds distinguish."""
    sell_level: Levels
    unarmed: Ints
    """First events after feed gaps (Rule 3)."""
    merged: "Merged"
    """What `place` counts."""


@dataclass(frozen=True, slots=True)
class Merged:
    """All bbo and some ctx, the steps, in the order of receipt."""

    ts_ns: Ints
    row: Ints
    """Touch in force, -1 before the first."""
    step: Ints
    """Last of the steps, as a row of ctx; -1 before the first."""
    is_step: Flags


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in the order (threshold, time)."""

    ts_ns: Ints
    threshold: Ints
    """Place in the thresholds asked for."""
    side: Ints
    """1 buys, -1 sells."""
    is_oracle_led: Flags
    row: Ints
    """Row of the touch decided on, in the bbo columns."""
    step: Ints
    """Row of the oracle in force, in the ctx columns."""
    limit_px: Ints
    """The touch, 1e-8 quote units."""
    edge_bps: Floats


def decisions_of(
    day: MarketDay, thresholds_bps: Sequence[int] = THRESHOLDS_BPS, events: Events | None = None
) -> Decisions:
    """Return what is decided in [day.begin_ns, day.end_ns), for every threshold on its own.

    Args:
        day: The columns of a market-day.
        thresholds_bps: Edges above which is decided.
        events: Those of `day`, made for thresholds between whose least and largest these lie; found if left out.

    Raises:
        ValueError: A threshold is not a whole number of 1 to `THRESHOLD_BPS_MAX`, or an oracle is not below
            `ORACLE_PX_MAX`.
    """
    events = events or events_of(day, thresholds_bps)
    begins = [begins_of(events, bps) for bps in thresholds_bps]
    chosen = [spaced(events.ts_ns[at]) for at, _ in begins]
    at = np.concatenate([places[keep] for (places, _), keep in zip(begins, chosen, strict=True)])
    side = np.concatenate([sides[keep] for (_, sides), keep in zip(begins, chosen, strict=True)])
    threshold = np.repeat(np.arange(len(begins)), [keep.size for keep in chosen])
    ts_ns = events.ts_ns[at]
    inside = (ts_ns >= day.begin_ns) & (ts_ns < day.end_ns)
    at, side = at[inside], side[inside]
    row, step = events.row[at], events.step[at]
    limit = np.where(side == BUY, day.ask_px[row], day.bid_px[row])
    return Decisions(
        ts_ns=ts_ns[inside],
        threshold=threshold[inside],
        side=side,
        is_oracle_led=events.is_oracle_led[at],
        row=row,
        step=step,
        limit_px=limit,
        edge_bps=edges_bps(side, limit, day.oracle_px[step]),
    )


def edges_bps(side: Ints, px: Ints, oracle_px: Ints) -> Floats:
    """Return how far `px` is beyond the oracle in our favour, bps of the oracle."""
    return np.asarray(side * (oracle_px - px) / oracle_px * 1e4)


def events_of(day: MarketDay, thresholds_bps: Sequence[int] = THRESHOLDS_BPS) -> Events:
    """Return the events of a market-day with their levels for these thresholds; raises as `decisions_of`."""
    low, high = min(thresholds_bps), max(thresholds_bps)
    if low < 1 or high > THRESHOLD_BPS_MAX:
        raise ValueError(f"expected thresholds of 1 to {THRESHOLD_BPS_MAX} bps, found {low} to {high}")
    merged = merged_of(day)
    is_book = valid_books(day)
    use = (merged.row >= 0) & (merged.step >= 0)
    use &= is_book[merged.row] if is_book.size else False
    if day.closed_ns.size:
        use &= ~day.is_closed(merged.ts_ns)
    place = np.flatnonzero(use)
    row, step = merged.row[place], merged.step[place]
    oracle = day.oracle_px[step]
    if oracle.size and oracle.max() >= ORACLE_PX_MAX:
        raise ValueError(f"{day.coin}: expected oracle prices below {ORACLE_PX_MAX / 1e8:.0f}, found larger ones")
    ts_ns = merged.ts_ns[place]
    levels = (_level(beyond, oracle, low, high) for beyond in (oracle - day.ask_px[row], day.bid_px[row] - oracle))
    buy_level, sell_level = levels
    return Events(
        place=place,
        ts_ns=ts_ns,
        row=row,
        step=step,
        is_oracle_led=merged.is_step[place] & (step > 0),
        buy_level=buy_level,
        sell_level=sell_level,
        unarmed=np.searchsorted(ts_ns, day.gap_ns[:, 1]),
        merged=merged,
    )


def _level(beyond: Ints, oracle: Ints, low: int, high: int) -> Levels:
    """Largest whole number below 2 e, that is, one less than 2 e rounded up."""
    doubled = beyond * 20_000.0 / oracle
    nearest = np.rint(doubled)
    level = np.ceil(doubled)
    # Rounding moves 2 e by far less than this, so it can hide on which side of a whole number it lies only here.
    close = np.flatnonzero(np.abs(doubled - nearest) < 1e-6)
    close = close[np.abs(nearest[close]) <= 2 * high + 1]  # beyond that all are cut anyway
    level[close] = -((-20_000 * beyond[close]) // oracle[close])
    return np.asarray(np.clip(level - 1.0, low - 1, 2 * high), dtype=np.int16)


def valid_books(day: MarketDay) -> Flags:
    """Tell which bbo rows have two sides that are apart."""
    return np.asarray((day.bid_px != MISSING) & (day.ask_px != MISSING) & (day.bid_px < day.ask_px))


def merged_of(day: MarketDay) -> Merged:
    """Merge every bbo with those ctx whose oracle is another than before, in the order of receipt."""
    is_new = np.ones(day.oracle_px.size, dtype=np.bool_)
    is_new[1:] = day.oracle_px[1:] != day.oracle_px[:-1]
    return merged_with(day, np.flatnonzero(is_new))


def merged_with(day: MarketDay, steps: Ints) -> Merged:
    """Merge every bbo with some rows of ctx, in the order of receipt."""
    ts_ns = day.ctx_ts_ns[steps]
    before = bbo_before(day, ts_ns, day.ctx_seq[steps])
    is_step = np.zeros(day.bbo_ts_ns.size + steps.size, dtype=np.bool_)
    is_step[before + np.arange(steps.size)] = True
    known = np.cumsum(is_step)
    row = np.arange(is_step.size) - known
    merged_ns = np.empty(is_step.size, dtype=np.int64)
    merged_ns[is_step] = ts_ns
    merged_ns[~is_step] = day.bbo_ts_ns
    return Merged(ts_ns=merged_ns, row=row, step=np.append(-1, steps)[known], is_step=is_step)


def bbo_before(day: MarketDay, ts_ns: Ints, seq: Ints) -> Ints:
    """Count the bbo rows that were received before rows of another table."""
    count = np.searchsorted(day.bbo_ts_ns, ts_ns, side="left")
    # Of rows with one receipt time the lower seq came first; several bbo at one instant are rare.
    next_ns = np.append(day.bbo_ts_ns, FAR_NS)
    tied = np.flatnonzero(next_ns[count] == ts_ns)
    while tied.size:
        tied = tied[day.bbo_seq[count[tied]] < seq[tied]]
        count[tied] += 1
        tied = tied[next_ns[count[tied]] == ts_ns[tied]]
    return np.asarray(count)


def begins_of(events: Events, bps: int) -> tuple[Ints, Ints]:
    """Return place among the events and side of every episode that begins, in the order of receipt."""
    buys = _begins(events.buy_level, events.unarmed, bps)
    sells = _begins(events.sell_level, events.unarmed, bps)
    places = np.concatenate([buys, sells])
    sides = np.repeat(np.array([BUY, SELL]), [buys.size, sells.size])
    order = np.argsort(places, kind="stable")
    return places[order], sides[order]


def _begins(level: Levels, unarmed: Ints, bps: int) -> Ints:
    hot = np.flatnonzero(level >= 2 * bps)
    if not hot.size:
        return hot
    # An event arms where e <= T/2. One is needed since the event over the threshold before, and since the last gap.
    cool = np.flatnonzero(level < bps)
    armings = np.searchsorted(cool, hot)
    needed = np.append(0, armings[:-1])
    if unarmed.size:
        gap = np.searchsorted(unarmed, hot, side="right") - 1
        needed = np.maximum(needed, np.where(gap >= 0, np.searchsorted(cool, unarmed)[np.maximum(gap, 0)], 0))
    return hot[armings > needed]


def spaced(ts_ns: Ints) -> Ints:
    """Places that are taken when each forbids those of the next 12 s."""
    after = np.searchsorted(ts_ns, ts_ns + SPACING_MS * NS_PER_MS).tolist()
    taken = []
    place = 0
    while place < len(after):
        taken.append(place)
        place = after[place]
    return np.array(taken, dtype=np.int64)
