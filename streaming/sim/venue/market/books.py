"""Books behind the touch: the first level is the touch, the others are drawn from the depth within 10 bps.

Rule 1: a level is `(px, sz, n)`, scaled integers as in the columns; a side is best first, a missing side is empty.
Rule 2: the first 20 levels are the same however many are asked for; only aggregated books look further.
"""

import numpy as np

from streaming.sim.markets.generator import NONE, MarketHour, tick_of
from streaming.sim.markets.noise import key_of, lattice
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.hooks import Touch
from streaming.sim.venue.market.wire import MarketTexts

SLOW_LEVELS = 20
FAST_LEVELS = 5
DEEP_LEVELS = 300
_LEVELS_WITHIN_10_BPS = 12
_DEEP_STEP = 1.02
"""Beyond the 20th level gaps grow by this much, so that 300 levels reach about 30 %."""

RawLevel = tuple[int, int, int]
Side = list[RawLevel]


def touch_of(hour: MarketHour, row: int) -> Touch:
    """Return the best prices of a row."""
    return Touch(int(hour.bid_px[row]), int(hour.bid_sz[row]), int(hour.ask_px[row]), int(hour.ask_sz[row]))


def ladder(market: Market, touch: Touch, ts_ms: int, count: int = SLOW_LEVELS) -> tuple[Side, Side]:
    """Return bids and asks behind a touch that has stood since `ts_ms`."""
    return (
        _side(market, touch.bid_px, touch.bid_sz, ts_ms, -count),
        _side(market, touch.ask_px, touch.ask_sz, ts_ms, count),
    )


def book(
    market: Market, texts: MarketTexts, hour: MarketHour, row: int, count: int
) -> list[list[dict[str, str | int]]]:
    """Return `[bids, asks]` of `count` levels of a generated row as on the wire."""
    sides = ladder(market, touch_of(hour, row), int(hour.bbo_ts_ms[row]), count)
    return [[texts.level(*level) for level in side] for side in sides]


def aggregate(side: Side, sign: int, figures: int, mantissa: int) -> Side:
    """Return a side with prices at `figures` significant figures in steps of `mantissa`: bids down, asks up."""
    levels: dict[int, tuple[int, int]] = {}
    for px, sz, n in side:
        step = mantissa * 10 ** max(0, len(str(px)) - figures)
        at = px // step * step if sign < 0 else -(-px // step) * step
        known_sz, known_n = levels.get(at, (0, 0))
        levels[at] = (known_sz + sz, known_n + n)
    return [(px, sz, n) for px, (sz, n) in levels.items()][:SLOW_LEVELS]


def _side(market: Market, px: int, sz: int, ts_ms: int, signed_count: int) -> Side:
    if px == NONE:
        return []
    sign, count = (1 if signed_count > 0 else -1), abs(signed_count)
    levels = np.arange(1, count, dtype=np.int64)
    # The tick a little above, so that steps stay legal where the number of digits changes.
    tick = int(tick_of(np.array([px + px // 500]), market.px_decimals)[0])
    gap = max(1, round(px * 1e-3 / _LEVELS_WITHIN_10_BPS / tick)) * tick
    far = np.maximum(0, levels - SLOW_LEVELS)
    prices = px + sign * gap * (levels + (SLOW_LEVELS * (_DEEP_STEP**far - 1.0)).astype(np.int64))
    prices = prices[prices > tick]
    ticks = tick_of(prices, market.px_decimals)
    prices = prices // ticks * ticks if sign < 0 else -(-prices // ticks) * ticks
    draws = lattice(key_of(market.coin, sign, ts_ms // 5000), levels[: prices.size])
    median = market.depth_usd / _LEVELS_WITHIN_10_BPS / market.px * 10**market.sz_decimals
    sizes = np.maximum(1, median * np.exp(0.8 * draws)).astype(np.int64)
    counts = 1 + (sizes % 5)
    # How many orders stand there is drawn too: it only has to look like a count.
    return [(px, sz, 1 + sz % 7), *zip(prices.tolist(), sizes.tolist(), counts.tolist(), strict=True)]
