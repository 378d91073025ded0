"""How much wider than usual is a shock: each market learns it from its own spreads, and only ever becomes stricter.

Rule 1: a sample is the spread over its own EWMA on the fixed clock, once a second: quotes that flicker count by their
time, not by their number.
Rule 2: the 99 % quantile moves up by `_UP` with a sample above it and down by a 99th of that with one below: no history
is kept, and equal samples give equal state (no libm, no division).
Rule 3: a shock enters the EWMA as k x the EWMA, the most that passes: one spike leaves the measure of the next one as
it was, and a market that stays wide is learned at alpha x (k - 1) a quote at most.
Rule 4: k = margin x quantile, never below its floor and never above the configured k (gate 3, only tightening).
"""

from decimal import Decimal

from streaming.core.limits import GateLimits
from streaming.core.market import BookClass
from streaming.core.state import MarketState
from streaming.core.units import ONE

_UP = Decimal("0.0495")
_DOWN = Decimal("0.0005")


def shock_ratio_of(market: MarketState, limits: GateLimits) -> Decimal:
    """Return k of a market: what its spread may be of its own EWMA."""
    ratio = market.shock_ratio
    return limits.spread_shock_ratio_max if ratio is None else min(ratio, limits.spread_shock_ratio_max)


def learn_spread(market: MarketState, limits: GateLimits) -> None:
    """Take one sample a second of a valid book with enough history."""
    if market.book_class is not BookClass.VALID or market.spread_count < limits.spread_ewma_count_min:
        return
    quantile = market.shock_quantile_ratio
    if quantile is None:
        quantile = limits.spread_shock_ratio_max
    is_above = market.spread_px > quantile * market.spread_reference_px
    quantile = min(quantile + _UP, limits.spread_shock_ratio_max) if is_above else max(quantile - _DOWN, ONE)
    market.shock_quantile_ratio = quantile
    market.shock_ratio = max(limits.spread_shock_margin_ratio * quantile, limits.spread_shock_ratio_min)
