"""Where the venue stands now: market hours around an instant, and what happened between two instants.

Rule 1: the position on the tape is the wall clock (UTC); whoever connects sees the same market as everybody else.
Rule 2: `load` computes and may take a while, so the server calls it in a thread; everything else only looks up.
Rule 3: an instant outside the loaded hours has what the nearest of them has: after a pause nobody watched the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from streaming.sim.exchange.view import Listed
from streaming.sim.markets.generator import HOUR_MS, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.scenario.scenario import Scenario

Place = tuple[MarketHour, int]
"""A row of an hour's columns."""

_COLUMNS = {"bbo": "bbo_ts_ms", "ctx": "ctx_ts_ms", "trades": "trade_ts_ms"}
_NOTHING: tuple[Place, ...] = ()
_Hours = dict[int, dict[str, MarketHour]]


class Change(Protocol):
    """A change of a market's facts."""

    @property
    def ts_ms(self) -> int:
        """When it comes into force."""
        ...


class HourSource(Protocol):
    """Where market hours come from: the generator, or a recording."""

    @property
    def seed(self) -> int:
        """Seed of the generator."""
        ...

    @property
    def scenario(self) -> Scenario:
        """Universe, rules and name."""
        ...

    def hour(self, coin: str, hour: int) -> MarketHour:
        """Return the columns of a market and UTC hour; LookupError where a recording has none."""
        ...

    def listed(self, coin: str, ts_ms: int) -> Listed:
        """Return the market as it stands at an instant."""
        ...

    def changes(self, coin: str, begin_ms: int, end_ms: int) -> Sequence[Change]:
        """Return what changes `listed` with begin <= time < end, in time order."""
        ...

    def is_pulled(self, coin: str, ts_ms: int, oid: int) -> bool:
        """Tell whether makers withdraw when this order arrives."""
        ...


@dataclass(frozen=True, slots=True)
class _Span:
    """The time from one row to the next, within one hour."""

    begin_ms: int
    end_ms: int
    place: Place | None
    """None before the first row of all that are loaded."""


class _Loaded(NamedTuple):
    """Hours in memory, and the spans found in them."""

    hours: _Hours
    spans: dict[tuple[str, str], _Span]


class Tape:
    """The loaded hours of all markets."""

    def __init__(self, source: HourSource) -> None:
        """Play all markets of `source`."""
        self.source = source
        self.universe = source.scenario.universe
        self.markets = self.universe.markets
        self._loaded = _Loaded({}, {})

    def is_loaded(self, hour: int) -> bool:
        """Tell whether an hour can be played."""
        return hour in self._loaded.hours

    def load(self, hour: int) -> None:
        """Make an hour and forget those before the one that precedes it."""
        columns = {market.coin: self.source.hour(market.coin, hour) for market in self.markets}
        kept = {known: value for known, value in self._loaded.hours.items() if known >= hour - 2}
        # One assignment: a search that goes on in the loop meanwhile can not leave its result with the new hours.
        self._loaded = _Loaded(kept | {hour: columns}, {})

    def columns(self, coin: str, hour: int) -> MarketHour | None:
        """Return a loaded hour."""
        columns = self._loaded.hours.get(hour)
        return None if columns is None else columns[coin]

    def latest(self, kind: str, coin: str, now_ms: int) -> Place:
        """Return the row of `bbo` or `ctx` that is in force.

        Raises:
            LookupError: Nothing is loaded.
        """
        place = self.last(kind, coin, now_ms)
        if place is not None:
            return place
        hours = self._loaded.hours
        for hour in sorted(hours):
            columns = hours[hour][coin]
            if _times(columns, kind).size:
                return columns, 0
        raise LookupError(f"no {kind} of {coin} at {now_ms}")

    def last(self, kind: str, coin: str, now_ms: int) -> Place | None:
        """Return the newest row at or before an instant, None without one in the loaded hours."""
        return self._span(kind, coin, now_ms).place

    def between(self, kind: str, coin: str, after_ms: int, until_ms: int) -> Sequence[Place]:
        """Return the rows with after < time <= until."""
        if until_ms < self._span(kind, coin, after_ms).end_ms:
            return _NOTHING
        places: list[Place] = []
        for hour in range(after_ms // HOUR_MS, until_ms // HOUR_MS + 1):
            columns = self.columns(coin, hour)
            if columns is not None:
                first, last = np.searchsorted(_times(columns, kind), [after_ms, until_ms], side="right")
                places += [(columns, row) for row in range(int(first), int(last))]
        return places

    def _span(self, kind: str, coin: str, now_ms: int) -> _Span:
        hours, spans = self._loaded
        span = spans.get((kind, coin))
        if span is None or not span.begin_ms <= now_ms < span.end_ms:
            span = spans[kind, coin] = _find(hours, kind, coin, now_ms)
        return span


def _find(hours: _Hours, kind: str, coin: str, now_ms: int) -> _Span:
    """Return the span an instant lies in; one search an hour, newest first."""
    now_hour = now_ms // HOUR_MS
    begin_ms, end_ms = now_hour * HOUR_MS, (now_hour + 1) * HOUR_MS
    for hour in sorted(hours, reverse=True):
        if hour > now_hour:
            continue
        columns = hours[hour][coin]
        ts_ms = _times(columns, kind)
        row = int(np.searchsorted(ts_ms, now_ms, side="right")) - 1
        if hour == now_hour and row + 1 < ts_ms.size:
            end_ms = int(ts_ms[row + 1])
        if row >= 0:
            return _Span(max(begin_ms, int(ts_ms[row])), end_ms, (columns, row))
    return _Span(begin_ms, end_ms, None)


def _times(columns: MarketHour, kind: str) -> Ints:
    ts_ms: Ints = getattr(columns, _COLUMNS[kind])
    return ts_ms
