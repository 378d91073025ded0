"""Levels of a market as functions of time: what any hour can compute of any other, so that hours need not be joined.

Rule: everything here depends on (seed, scenario, coin, time) alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streaming.sim.markets.noise import Floats, key_of, node_of, smooth, smooth_at
from streaming.sim.markets.regimes import Regime
from streaming.sim.markets.sessions import is_open
from streaming.sim.scenario.characters import Character
from streaming.sim.scenario.universe import Market

HOUR_S = 3600
_DAY_S = 24 * HOUR_S
_BASIS_PERIOD_S = 2.5 * HOUR_S
_BASIS_GAIN = 3.0
"""The basis stands near one of its ends more often than between them."""
_IMPACT_USD, _IMPACT_MAJOR_USD = 6_000.0, 20_000.0
_MAJORS = frozenset({"BTC", "ETH"})
_AWAY_BPS_MAX = 60.0
_EMA_S = 1800.0
_MEMORY_H = 4
BOOK_STEP_S = 60.0
_NORMAL_POINTS = ((-math.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (math.sqrt(3.0), 1.0 / 6.0))
"""Gauss-Hermite: an average over a normal variable from three of its values."""
CLOSED_SPREAD_FACTOR = 1.3
"""How much wider books are while there is no outside price."""
SIZE_SIGMA = 0.8
"""Of the log of the sizes shown at the touch."""


Books = Callable[[int], Floats]
"""Hour → where the book of a market stands after every `BOOK_STEP_S` of it, in bps, without the lasting offset."""


@dataclass(frozen=True, slots=True)
class Place:
    """One market-hour to be made."""

    seed: int
    market: Market
    character: Character
    hour: int
    regime: Regime

    @property
    def is_external(self) -> bool:
        """Whether the oracle has an outside price in this hour."""
        return self.is_external_at(self.hour)

    def is_external_at(self, hour: int) -> bool:
        """Whether the oracle has an outside price in another hour of this market."""
        return self.character.is_always_open or is_open(self.market.session, hour * HOUR_S * 1000)


@lru_cache(maxsize=65_536)
def anchor_bps(seed: int, coin: str, hour: int) -> float:
    """Log price at a full hour: waves of weeks and days, a kick for every hour, a part common to all markets."""
    at_s = float(hour * HOUR_S)
    total = 0.0
    for name, share in ((coin, 1.0), ("common", 0.6)):
        total += share * 220.0 * smooth_at(key_of(seed, name, "weeks"), at_s, 9.3 * _DAY_S)
        total += share * 90.0 * smooth_at(key_of(seed, name, "days"), at_s, 1.7 * _DAY_S)
        total += share * 18.0 * node_of(key_of(seed, name, "hours"), hour)
    return total


def level_px(seed: int, market: Market, hour: int) -> int:
    """Return the price of the underlying at a full hour in the columns' unit."""
    units: float = market.px * 10**market.px_decimals
    return round(units * math.exp(anchor_bps(seed, market.coin, hour) * 1e-4))


def basis_at(place: Place, ts_s: Floats) -> Floats:
    """Return the slow difference between book and oracle at absolute instants in seconds, without the lasting one."""
    key = key_of(place.seed, place.market.coin, "basis")
    return np.asarray(place.character.basis_bps * np.tanh(_BASIS_GAIN * smooth(key, ts_s, _BASIS_PERIOD_S)))


def away_bps(market: Market, shown_usd: Floats) -> Floats:
    """Return how far behind the touch the impact price lies, for a notional shown at the touch.

    Impact notional: 20,000 USD for BTC and ETH, 6,000 for the others (section 9); the depth lies evenly in 10 bps.
    """
    impact_usd = _IMPACT_MAJOR_USD if market.coin in _MAJORS else _IMPACT_USD
    return np.clip((impact_usd - shown_usd) * 10.0 / market.depth_usd, 0.0, _AWAY_BPS_MAX)


def internal_oracle(place: Place, slot_s: Floats, book_bps: Floats, books: Books) -> Floats:
    """Return the oracle of an hour without outside price: S += (1 - exp(-dt / 30 min)) x impact price difference.

    Args:
        place: The hour.
        slot_s: When the oracle is updated.
        book_bps: Where the book stands then, without the lasting offset.
        books: Where it stood in other hours, at `BOOK_STEP_S`.
    """
    begin = _internal_at(place, place.hour, books)
    share = -np.expm1(-np.diff(slot_s, prepend=0.0) / _EMA_S)
    oracle = np.array(_ema(begin, book_bps, share, _halves(place.market)))
    if not place.is_external_at(place.hour + 1):
        # What the next hour, which looks less closely, takes for it, spread over this one: far below a basis point.
        oracle += slot_s / HOUR_S * (_internal_at(place, place.hour + 1, books) - oracle[-1])
    return oracle


@lru_cache(maxsize=1024)
def _halves(market: Market) -> tuple[tuple[float, float], ...]:
    """Return three typical distances of the impact prices from the mid and their weights: sizes are lognormal."""
    half_bps = 0.5 * market.spread_bps * CLOSED_SPREAD_FACTOR
    shown = [(market.touch_usd * math.exp(SIZE_SIGMA * deviation), weight) for deviation, weight in _NORMAL_POINTS]
    return tuple((half_bps + float(away_bps(market, np.array(usd))), weight) for usd, weight in shown)


def _internal_at(place: Place, hour: int, books: Books) -> float:
    """Return the internal oracle at a full hour: from the close, or from the book some memories ago."""
    first = hour
    while hour - first < _MEMORY_H and not place.is_external_at(first - 1):
        first -= 1
    level = anchor_bps(place.seed, place.market.coin, first)
    if first == hour:
        return level
    book = np.concatenate([books(each) for each in range(first, hour)])
    if hour - first == _MEMORY_H:
        level = float(book[0])
    share = np.full(book.size, -np.expm1(-BOOK_STEP_S / _EMA_S))
    return _ema(level, book, share, _halves(place.market))[-1]


def _ema(level: float, book: Floats, shares: Floats, halves: tuple[tuple[float, float], ...]) -> list[float]:
    """Follow the book as section 9 says: only so far as an impact price has crossed the level."""
    levels = []
    for middle, share in zip(book.tolist(), shares.tolist(), strict=True):
        gap = middle - level
        for half_bps, weight in halves:
            if gap > half_bps:
                level += share * weight * (gap - half_bps)
            elif gap < -half_bps:
                level += share * weight * (gap + half_bps)
        levels.append(level)
    return levels
