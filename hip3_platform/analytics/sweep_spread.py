"""Gate 3 on columns: the mean spread, the k a market learned, and where its spread was a shock.

Rule 1: what enters the mean is at most k x the mean, so mean and k are learned together, as in `streaming.core.feed`.
Rule 2: k is learned by the production code itself (`streaming.core.spread`), from one sample a second.
Rule 3: shocks are rare: between them the gate's level is worked out by intervals, not book by book.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from hip3_platform.analytics.evidence.family import Floats, Ints
from hip3_platform.analytics.sweep_exact import exceeds
from hip3_platform.analytics.sweep_tape import NONE, Tape
from streaming.core.limits import GateLimits
from streaming.core.market import BookClass, MarketSpec
from streaming.core.spread import learn_spread, shock_ratio_of
from streaming.core.state import MarketState
from streaming.core.units import NS_PER_MS, ZERO

MEAN_UNIT = Decimal("1e-12")
"""What the engine rounds the mean spread to."""
_SPREAD_TO_MEAN = 10_000
"""1e-8 to 1e-12."""


@dataclass(frozen=True, slots=True)
class Shocks:
    """Books whose spread was a shock, in order; index arrays count valid books from 0."""

    book: Ints
    level: Ints
    """Worst level since the last recovery, this book included: 1 above k, 2 above 2k."""
    after_mono_ns: Ints
    """Receipt of the next valid book, since when the spread was back under k; NONE when that was a shock as well, or
    there is none."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a market learned of its own spreads."""

    means: Ints
    """What the spread of every valid book is compared with, in 1e-12: the mean before it."""
    ratios: list[Decimal]
    """k after every look of the fixed clock."""


def learned_of(tape: Tape, limits: GateLimits) -> Learned:
    """Return mean and k of a session under one set of limits.

    Raises:
        ValueError: The weight of a spread is no number that a mean can have.
    """
    alpha = limits.spread_ewma_alpha
    if not alpha.is_finite() or alpha < 0:
        raise ValueError(f"spread_ewma_alpha: expected a finite number >= 0, found {alpha}")
    market = MarketState(spec=_NO_SPEC)
    spreads: list[int] = (tape.spread_px * _SPREAD_TO_MEAN).tolist()
    ends = np.searchsorted(tape.valid_seq, tape.sweep_seq).tolist()
    following = _Mean(spreads, alpha)
    ratios: list[Decimal] = []
    for end, is_valid in zip(ends, tape.is_sweep_valid.tolist(), strict=True):
        following.follow(end, shock_ratio_of(market, limits))
        market.book_class = BookClass.VALID if is_valid and end else BookClass.NONE
        if market.book_class is BookClass.VALID:
            market.spread_count = end
            market.spread_px = Decimal(int(tape.spread_px[end - 1])).scaleb(-8)
            market.spread_reference_px = Decimal(following.means[end - 1]) * MEAN_UNIT
        learn_spread(market, limits)
        ratios.append(shock_ratio_of(market, limits))
    following.follow(len(spreads), shock_ratio_of(market, limits))
    return Learned(np.array(following.means, dtype=np.int64), ratios)


class _Mean:
    """The mean spread, book by book, in whole numbers of 1e-12."""

    def __init__(self, spreads: list[int], alpha: Decimal) -> None:
        self.means: list[int] = []
        """Before every book so far."""
        self._spreads = spreads
        self._mean = spreads[0] if spreads else 0
        self._weight, self._scale = alpha.as_integer_ratio()

    def follow(self, end: int, ratio: Decimal) -> None:
        """Go on to the book `end`, itself not included, while k is `ratio`."""
        weight, scale, means, mean = self._weight, self._scale, self.means, self._mean
        k, unit = ratio.as_integer_ratio()
        for spread in self._spreads[len(means) : end]:
            means.append(mean)
            if spread * unit > k * mean:  # it enters as what just passes
                mean = _rounded(mean * scale * unit + weight * (k - unit) * mean, scale * unit)
            elif spread != mean:
                mean = _rounded(mean * scale + weight * (spread - mean), scale)
        self._mean = mean


def _rounded(numerator: int, denominator: int) -> int:
    # Half to even, as the engine's context rounds.
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole & 1))


def shocks_of(tape: Tape, learned: Learned, limits: GateLimits) -> Shocks:
    """Return the shocks of a session under one set of limits."""
    looks = np.searchsorted(tape.sweep_seq, tape.valid_seq, side="right") - 1
    exact = [limits.spread_shock_ratio_max, *learned.ratios]
    floats: Floats = np.array([float(ratio) for ratio in exact])[looks + 1]
    spreads = tape.spread_px * _SPREAD_TO_MEAN

    def ratio_of(place: int) -> Decimal:
        return exact[int(looks[place]) + 1]

    is_known = np.arange(spreads.size) + 1 > limits.spread_ewma_count_min
    safe = np.maximum(learned.means, 1)
    is_over = is_known & exceeds(spreads, safe, floats, ratio_of)
    is_far = is_over & exceeds(spreads, safe, floats, ratio_of, factor=2)
    book = np.flatnonzero(is_over)
    following = np.where(book + 1 < spreads.size, book + 1, NONE)
    is_single = (following != NONE) & ~is_over[following]
    after = np.where(is_single, tape.valid_mono_ns[following] if spreads.size else NONE, NONE)
    levels = _levels(tape, book, after, is_far, limits.spread_shock_cooldown_ms * NS_PER_MS)
    return Shocks(book, levels, after)


def levels_at(tape: Tape, shocks: Shocks, places: Ints, limits: GateLimits) -> Ints:
    """Return the level of gate 3 at events of the tape: 0 none, 1 reduces, 2 blocks."""
    if not shocks.book.size:
        return np.zeros(places.size, dtype=np.int64)
    books = tape.valid[places] - 1
    last = np.searchsorted(shocks.book, books, side="right") - 1
    at = np.maximum(last, 0)
    since = shocks.after_mono_ns[at]
    is_under = (shocks.book[at] < books) & (since != NONE)
    is_over_again = is_under & (tape.mono_ns[places] - since >= limits.spread_shock_cooldown_ms * NS_PER_MS)
    return np.where((last < 0) | is_over_again, 0, shocks.level[at])


def _levels(tape: Tape, book: Ints, after: Ints, is_far: np.ndarray, cooldown_ns: int) -> Ints:
    levels: list[int] = []
    before = NONE
    for place, at in enumerate(book.tolist()):
        level = 2 if is_far[at] else 1
        if place and (since := int(after[place - 1])) != NONE:
            # The last book before this shock was under k; the level fell if it came late enough.
            is_recovered = int(tape.valid_mono_ns[at - 1]) - since >= cooldown_ns
            before = NONE if is_recovered else before
        before = max(before, level)
        levels.append(before)
    return np.array(levels, dtype=np.int64)


_NO_SPEC = MarketSpec(
    coin="",
    dex="",
    asset_id=-1,
    sz_decimals=0,
    leverage_max=1,
    margin_mode="cross",
    is_growth_mode=False,
    deployer_fee_scale=ZERO,
    taker_fee_bps=ZERO,
    is_delisted=False,
    collateral_token=0,
    spec_version="",
)
"""Learning a spread asks nothing of a spec."""
