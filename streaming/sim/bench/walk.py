"""Frames of many markets that move a little: what a busy but uneventful minute looks like on the socket.

Rule 1: a quote stays within the width in which no market crosses; every bbo has another price or size.
Rule 2: four of five frames are bbo; every fourth context moves its oracle.
Rule 3: what happens follows from the seed; only the venue's time is put in when a frame is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from streaming.sim.bench.market import BenchMarket

CTX_EVERY = 5
_ORACLE_MOVES_EVERY = 4
_OFFSET_MAX = 14
_DRIFT_MAX = 6
_MARK = 8_888_888_888_888
"""Stands for the time in a frame that is not sent yet; no number of a frame looks like it."""


@dataclass(frozen=True, slots=True)
class Walked:
    """A frame but for its time."""

    before: bytes
    after: bytes
    is_ctx: bool

    def at(self, now_ms: int) -> bytes:
        """Return the whole frame."""
        return self.before if self.is_ctx else b"%b%d%b" % (self.before, now_ms, self.after)


@dataclass(slots=True)
class _Place:
    offset: int = 0
    drift: int = 0
    ctx_count: int = 0


class Walk:
    """Makes frames of markets in turn."""

    def __init__(self, markets: Sequence[BenchMarket], *, seed: int) -> None:
        """Walk from the oracles of `markets`."""
        self._markets = markets
        self._random = Random(seed)  # noqa: S311 - reproducible, no secret
        self._places = [_Place() for _ in markets]

    def frames(self, count: int) -> list[Walked]:
        """Return the next `count` frames; the markets come in random order."""
        return [self._frame(number) for number in range(count)]

    def _frame(self, number: int) -> Walked:
        random = self._random
        index = random.randrange(len(self._markets))
        market, place = self._markets[index], self._places[index]
        if number % CTX_EVERY == CTX_EVERY - 1:
            place.ctx_count += 1
            if place.ctx_count % _ORACLE_MOVES_EVERY == 0:
                place.drift = _bounded(place.drift + random.choice((-1, 1)), _DRIFT_MAX)
            open_interest = f"{random.randrange(1_000_000, 9_999_999) / 100:.2f}"
            return Walked(market.ctx(place.offset, place.drift, open_interest), b"", is_ctx=True)
        place.offset = _bounded(place.offset + random.choice((-1, 0, 1)), _OFFSET_MAX)
        bid_sz, ask_sz = (f"{random.randrange(100, 200_000) / 100:.2f}" for _ in range(2))
        before, _, after = market.quiet_bbo(_MARK, place.offset, (bid_sz, ask_sz)).partition(b"%d" % _MARK)
        return Walked(before, after, is_ctx=False)


def _bounded(value: int, most: int) -> int:
    return max(-most, min(most, value))
