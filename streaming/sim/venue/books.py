"""Books behind the touch: the first level is the touch, the others are drawn from the depth within 10 bps."""

import numpy as np

from streaming.sim.markets.generator import NONE, MarketHour, tick_of
from streaming.sim.markets.noise import key_of, lattice
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.wire import MarketTexts

SLOW_LEVELS = 20
FAST_LEVELS = 5
_LEVELS_WITHIN_10_BPS = 12


def book(
    market: Market, texts: MarketTexts, hour: MarketHour, row: int, count: int
) -> list[list[dict[str, str | int]]]:
    """Return `[bids, asks]` of `count` levels as on the wire; a missing side is empty."""
    sides = (
        (int(hour.bid_px[row]), int(hour.bid_sz[row]), -1),
        (int(hour.ask_px[row]), int(hour.ask_sz[row]), 1),
    )
    return [_side(market, texts, side, int(hour.bbo_ts_ms[row]), count) for side in sides]


def _side(
    market: Market, texts: MarketTexts, touch: tuple[int, int, int], ts_ms: int, count: int
) -> list[dict[str, str | int]]:
    px, sz, sign = touch
    if px == NONE:
        return []
    levels = np.arange(1, count, dtype=np.int64)
    # The tick a little above, so that steps stay legal where the number of digits changes.
    tick = int(tick_of(np.array([px + px // 500]), market.px_decimals)[0])
    gap = max(1, round(px * 1e-3 / _LEVELS_WITHIN_10_BPS / tick)) * tick
    prices = px + sign * gap * levels
    ticks = tick_of(prices, market.px_decimals)
    prices = prices // ticks * ticks if sign < 0 else -(-prices // ticks) * ticks
    draws = lattice(key_of(market.coin, sign, ts_ms // 5000), levels)
    median = market.depth_usd / _LEVELS_WITHIN_10_BPS / market.px * 10**market.sz_decimals
    sizes = np.maximum(1, median * np.exp(0.8 * draws)).astype(np.int64)
    counts = 1 + (sizes % 5)
    first = texts.level(px, sz, 1 + sz % 7)
    rest = zip(prices.tolist(), sizes.tolist(), counts.tolist(), strict=True)
    return [first, *(texts.level(*level) for level in rest)]
