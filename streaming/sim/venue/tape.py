"""Where the venue stands now: market hours around an instant, and what happened between two instants.

Rule 1: the position on the tape is the wall clock (UTC); whoever connects sees the same market as everybody else.
Rule 2: `load` computes and may take a while, so the server calls it in a thread; everything else only looks up.
"""

from collections.abc import Iterator

import numpy as np

from streaming.sim.markets.generator import HOUR_MS, Generator, MarketHour
from streaming.sim.markets.noise import Ints

Place = tuple[MarketHour, int]
"""A row of an hour's columns."""

_COLUMNS = {"bbo": "bbo_ts_ms", "ctx": "ctx_ts_ms", "trades": "trade_ts_ms"}


class Tape:
    """The loaded hours of all markets."""

    def __init__(self, generator: Generator) -> None:
        """Play all markets of `generator`."""
        self.generator = generator
        self.universe = generator.scenario.universe
        self.markets = self.universe.markets
        self._hours: dict[int, dict[str, MarketHour]] = {}

    def is_loaded(self, hour: int) -> bool:
        """Tell whether an hour can be played."""
        return hour in self._hours

    def load(self, hour: int) -> None:
        """Generate an hour and forget those before the one that precedes it."""
        columns = {market.coin: self.generator.hour(market.coin, hour) for market in self.markets}
        self._hours = {known: value for known, value in self._hours.items() if known >= hour - 2} | {hour: columns}

    def latest(self, kind: str, coin: str, now_ms: int) -> Place:
        """Return the row of `bbo` or `ctx` that is in force."""
        for hour in (now_ms // HOUR_MS, now_ms // HOUR_MS - 1):
            columns = self._hours[hour][coin]
            row = int(np.searchsorted(_times(columns, kind), now_ms, side="right")) - 1
            if row >= 0:
                return columns, row
        raise LookupError(f"no {kind} of {coin} before {now_ms}")

    def between(self, kind: str, coin: str, after_ms: int, until_ms: int) -> Iterator[Place]:
        """Yield the rows with after < time <= until."""
        for hour in range(after_ms // HOUR_MS, until_ms // HOUR_MS + 1):
            columns = self._hours[hour][coin]
            ts_ms = _times(columns, kind)
            first, last = np.searchsorted(ts_ms, [after_ms, until_ms], side="right")
            for row in range(int(first), int(last)):
                yield columns, row


def _times(columns: MarketHour, kind: str) -> Ints:
    ts_ms: Ints = getattr(columns, _COLUMNS[kind])
    return ts_ms
