"""What happens to a listing: halts, delistings and changed parameters, as functions of time.

Rule 1: everything here is a pure function of (seed, scenario, coin, time): a halt belongs to the day in which it
begins and ends in it, a parameter has one value an epoch, a delisting comes round with its period.
Rule 2: what `changes` announces is what `listed` says from that instant on.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

import msgspec

from streaming.sim.exchange.view import Listed
from streaming.sim.markets.noise import generator_of, unit_of
from streaming.sim.scenario.characters import Character
from streaming.sim.scenario.universe import Market

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_HALT_MIN_MS = 20_000
_DAY_EDGE_MS = 60_000


class ChangeKind(StrEnum):
    """What changed."""

    HALT = "halt"
    """Trading stopped: orders cancelled, positions settled at mark, no book."""
    RESUME = "resume"
    """Trading goes on after a halt, or begins anew after a delisting."""
    DELIST = "delist"
    LEVERAGE_MAX = "leverage_max"
    GROWTH_MODE = "growth_mode"
    FEE_SCALE = "fee_scale"
    MARGIN_MODE = "margin_mode"
    OI_CAP = "oi_cap"


Value = int | float | bool | str | Decimal | None


@dataclass(frozen=True, slots=True)
class MarketChange:
    """One change of one listing."""

    ts_ms: int
    kind: ChangeKind
    value: Value = None
    """New value of a parameter: the type of the field of `Market`; None for the other kinds."""


_FIELDS = {
    ChangeKind.LEVERAGE_MAX: "leverage_max",
    ChangeKind.GROWTH_MODE: "is_growth_mode",
    ChangeKind.FEE_SCALE: "fee_scale",
    ChangeKind.MARGIN_MODE: "margin_mode",
    ChangeKind.OI_CAP: "oi_cap_usd",
}
Span = tuple[int, int]


class Lifecycle:
    """Listing of one market over time."""

    def __init__(self, seed: int, market: Market, character: Character) -> None:
        """Keep what everything follows from."""
        self._seed = seed
        self._market = market
        self._character = character
        self._plain = Listed(market, is_at_oi_cap=market.oi_usd >= market.oi_cap_usd)
        self._is_plain = not (character.halt_rate_day or character.change_every_days or character.delisted_days)
        self._halts_of = lru_cache(maxsize=8)(self._draw_halts)

    def listed(self, ts_ms: int) -> Listed:
        """Return the listing in force."""
        if self._is_plain:
            return self._plain
        if not self._character.change_every_days:
            listed = self._plain
        else:
            values = {name: self._value(kind, self._epoch(kind, ts_ms)) for kind, name in _FIELDS.items()}
            market = msgspec.structs.replace(self._market, **values)
            listed = Listed(market, is_at_oi_cap=market.oi_usd >= market.oi_cap_usd)
        is_delisted = any(begin <= ts_ms < end for begin, end in self.delistings(ts_ms, ts_ms + 1))
        is_halted = not is_delisted and any(begin <= ts_ms < end for begin, end in self.halts(ts_ms, ts_ms + 1))
        return dataclasses.replace(listed, is_halted=is_halted, is_delisted=is_delisted)

    def changes(self, begin_ms: int, end_ms: int) -> tuple[MarketChange, ...]:
        """Return what changes with begin <= time < end, in time order."""
        if self._is_plain:
            return ()
        found = [
            *self._edges(self.halts(begin_ms, end_ms), ChangeKind.HALT),
            *self._edges(self.delistings(begin_ms, end_ms), ChangeKind.DELIST),
        ]
        if self._character.change_every_days:
            for kind in _FIELDS:
                found += self._parameter_changes(kind, begin_ms, end_ms)
        return tuple(sorted((c for c in found if begin_ms <= c.ts_ms < end_ms), key=lambda change: change.ts_ms))

    def halts(self, begin_ms: int, end_ms: int) -> tuple[Span, ...]:
        """Return the halts that touch a span of time."""
        if not self._character.halt_rate_day:
            return ()
        return tuple(
            (begin, end)
            for day in range(begin_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1)
            for begin, end in self._halts_of(day)
            if begin < end_ms and end > begin_ms and not self.delistings(begin, end)
        )

    def delistings(self, begin_ms: int, end_ms: int) -> tuple[Span, ...]:
        """Return the delisted spans that touch a span of time; both ends are full hours."""
        if not self._character.delisted_days:
            return ()
        period = max(2, round(self._character.cycle_days * 24)) * HOUR_MS
        length = min(max(1, round(self._character.delisted_days * 24)) * HOUR_MS, period - HOUR_MS)
        phase = int(unit_of(self._seed, self._market.coin, "cycle") * (period // HOUR_MS)) * HOUR_MS
        spans = []
        for index in range((begin_ms - phase) // period - 1, (end_ms - phase) // period + 1):
            begin = phase + index * period
            if begin < end_ms and begin + length > begin_ms:
                spans.append((begin, begin + length))
        return tuple(spans)

    def _edges(self, spans: tuple[Span, ...], kind: ChangeKind) -> Iterator[MarketChange]:
        for begin, end in spans:
            yield MarketChange(begin, kind)
            yield MarketChange(end, ChangeKind.RESUME)

    def _draw_halts(self, day: int) -> tuple[Span, ...]:
        rng = generator_of(self._seed, self._market.coin, "halts", day)
        count = int(rng.poisson(self._character.halt_rate_day))
        begins = day * DAY_MS + rng.integers(_DAY_EDGE_MS, DAY_MS - 2 * _DAY_EDGE_MS, count)
        lengths = _HALT_MIN_MS + rng.exponential(self._character.halt_s * 1000.0, count)
        last = (day + 1) * DAY_MS - _DAY_EDGE_MS
        spans: list[Span] = []
        for begin, length in sorted(zip(begins.tolist(), lengths.tolist(), strict=True)):
            end = min(begin + int(length), last)
            # A halt that began while the market was halted is the same halt.
            if not spans or begin > spans[-1][1] + _DAY_EDGE_MS:
                spans.append((begin, end))
        return tuple(spans)

    def _epoch(self, kind: ChangeKind, ts_ms: int) -> int:
        """Return the epoch of a parameter; its begin lies somewhere in the slot of the same number."""
        slot_ms = max(int(self._character.change_every_days * DAY_MS), HOUR_MS)
        slot = ts_ms // slot_ms
        return slot if ts_ms >= self._epoch_begin_ms(kind, slot) else slot - 1

    def _epoch_begin_ms(self, kind: ChangeKind, slot: int) -> int:
        slot_ms = max(int(self._character.change_every_days * DAY_MS), HOUR_MS)
        return slot * slot_ms + int(unit_of(self._seed, self._market.coin, kind, "at", slot) * slot_ms)

    def _parameter_changes(self, kind: ChangeKind, begin_ms: int, end_ms: int) -> Iterator[MarketChange]:
        for slot in range(self._epoch(kind, begin_ms), self._epoch(kind, end_ms) + 1):
            if self._value(kind, slot) != self._value(kind, slot - 1):
                yield MarketChange(self._epoch_begin_ms(kind, slot), kind, self._value(kind, slot))

    def _value(self, kind: ChangeKind, epoch: int) -> Value:
        """Return a parameter's value in an epoch: that of the scenario half of the time."""
        market = self._market
        draw = unit_of(self._seed, market.coin, kind, epoch)
        base: Value = getattr(market, _FIELDS[kind])
        if draw < 0.5:
            return base
        match kind:
            case ChangeKind.LEVERAGE_MAX:
                return max(1, market.leverage_max // 2)
            case ChangeKind.GROWTH_MODE:
                # Ten times the fee, or a tenth of it: rarer than the rest.
                return not market.is_growth_mode if draw > 0.8 else base
            case ChangeKind.FEE_SCALE:
                return Decimal("0.5") if draw < 0.75 else Decimal("1.5")
            case ChangeKind.MARGIN_MODE:
                # Cross margin is never taken back (section 9), so it does not change there.
                return base if base == "cross" else "strictIsolated" if base == "noCross" else "noCross"
            case _:
                return round(market.oi_usd * (0.9 if draw < 0.7 else 1.5), 2)
