"""The touch of an hour: which blocks change it, its prices on the venue's tick, the sizes shown.

Rule: a row is a change. The first row of an hour is the exception: it repeats what stands, so an hour needs no other.
"""

from dataclasses import dataclass

import numpy as np

from streaming.sim.markets.levels import CLOSED_SPREAD_FACTOR, HOUR_S, SIZE_SIGMA, Place
from streaming.sim.markets.noise import Floats, Ints, key_of, lattice, smooth
from streaming.sim.markets.paths import Path
from streaming.sim.markets.sessions import activity, open_window
from streaming.sim.markets.windows import Flags, Windows
from streaming.sim.scenario.universe import Market

NONE = -(2**63)
HOUR_MS = HOUR_S * 1000
BLOCK_MS = 68
POWERS = 10 ** np.arange(18, dtype=np.int64)
_BUMP_CHANCE = 0.12
_BUMP_MAX = 1.8
_NEW_SIZE_CHANCE = 0.85


@dataclass(frozen=True, slots=True)
class Touch:
    """The touch after each block that changed it."""

    ts_ms: Ints
    bid_px: Ints
    bid_sz: Ints
    ask_px: Ints
    ask_sz: Ints

    def at(self, ts_ms: Ints) -> Ints:
        """Row in force at instants that are not before the first row."""
        return np.searchsorted(self.ts_ms, ts_ms, side="right") - 1


def tick_of(px: Ints, px_decimals: int) -> Ints:
    """Return the venue's tick at scaled prices: 5 significant figures, integers always legal."""
    digits = np.searchsorted(POWERS, px, side="right")
    return np.clip(POWERS[np.maximum(digits - 5, 0)], 1, 10**px_decimals)


def empty_touch(hour: int) -> Touch:
    """Return the touch of an hour in which nobody may trade."""
    none = np.array([NONE], dtype=np.int64)
    first = np.array([-(-hour * HOUR_MS // BLOCK_MS) * BLOCK_MS], dtype=np.int64)
    return Touch(first, none, none, none, none)


def make_touch(place: Place, path: Path, windows: Windows, rng: np.random.Generator) -> Touch:
    """Draw the touch of one hour."""
    market, character = place.market, place.character
    ts_ms = _block_times(place, path, windows, rng)
    ts_s = (ts_ms - place.hour * HOUR_MS) / 1000.0
    absolute_s = place.hour * float(HOUR_S) + ts_s
    middle = path.maker_bps[np.searchsorted(path.maker_s, ts_s, side="right") - 1]
    middle = middle + np.interp(absolute_s, path.basis_ts_s, path.basis_bps)
    middle += windows.shift_bps(ts_s) + character.offset_bps
    half = _spread_bps(place, path, windows, ts_s, rng) * 0.5e-4
    units = market.px * 10**market.px_decimals * np.exp(middle * 1e-4)
    bid = _to_tick(units * (1.0 - half), market.px_decimals)
    ask = _to_tick(units * (1.0 + half), market.px_decimals)
    ask = np.maximum(ask, bid + tick_of(bid, market.px_decimals))
    bid_sz = _sizes(market, bid, rng)
    ask_sz = _sizes(market, ask, rng)
    bid, ask, bid_gone, ask_gone = windows.apply(ts_s, bid, ask)
    touch = Touch(
        ts_ms=ts_ms,
        bid_px=np.where(bid_gone, NONE, bid),
        bid_sz=np.where(bid_gone, NONE, bid_sz),
        ask_px=np.where(ask_gone, NONE, ask),
        ask_sz=np.where(ask_gone, NONE, ask_sz),
    )
    return _changes_only(touch)


def _changes_only(touch: Touch) -> Touch:
    columns = (touch.bid_px, touch.bid_sz, touch.ask_px, touch.ask_sz)
    keep: Flags = np.zeros(touch.ts_ms.size, dtype=np.bool_)
    keep[0] = True
    for column in columns:
        keep[1:] |= column[1:] != column[:-1]
    return Touch(touch.ts_ms[keep], *(column[keep] for column in columns))


def _spread_bps(place: Place, path: Path, windows: Windows, ts_s: Floats, rng: np.random.Generator) -> Floats:
    market, character = place.market, place.character
    wave = smooth(key_of(place.seed, market.coin, "spread"), place.hour * float(HOUR_S) + ts_s, 60.0)
    level = market.spread_bps * place.regime.spread_factor * (1.0 if place.is_external else CLOSED_SPREAD_FACTOR)
    spread = level * np.exp(0.3 * wave) * windows.spread_factor(ts_s)
    spread *= np.where(rng.random(ts_s.size) < _BUMP_CHANCE, rng.uniform(1.0, _BUMP_MAX, ts_s.size), 1.0)
    if character.widen_factor > 1.0 and path.big_s.size:
        last = np.searchsorted(path.big_s, ts_s, side="right") - 1
        is_wide = (last >= 0) & (ts_s < path.big_s[np.maximum(last, 0)] + character.widen_s)
        spread *= np.where(is_wide, character.widen_factor, 1.0)
    window = open_window(market.session, place.hour)
    if character.open_widen_factor > 1.0 and window is not None:
        spread *= np.where((ts_s >= window[0]) & (ts_s < window[1]), character.open_widen_factor, 1.0)
    return np.asarray(spread)


def _block_times(place: Place, path: Path, windows: Windows, rng: np.random.Generator) -> Ints:
    """Blocks in which the touch may change: at random, when makers move, and at the edges of windows."""
    begin_ms = place.hour * HOUR_MS
    first = -(-begin_ms // BLOCK_MS)
    last = -(-(begin_ms + HOUR_MS) // BLOCK_MS)
    wave = 1.0 + 0.2 * lattice(key_of(place.seed, place.market.coin, "rate"), np.array([place.hour]))[0]
    rate = place.character.bbo_rate_s * wave * (0.8 + 0.4 * activity(place.market.session, place.hour))
    at_random = rng.integers(first, last, rng.poisson(rate * HOUR_S))
    forced_ms = begin_ms + 1000.0 * np.concatenate([path.follow_s, windows.edges_s])
    forced = np.ceil(forced_ms / BLOCK_MS).astype(np.int64)
    is_due = np.zeros(last - first, dtype=np.bool_)
    is_due[0] = True
    is_due[at_random - first] = True
    is_due[forced[(forced >= first) & (forced < last)] - first] = True
    blocks = first + np.flatnonzero(is_due)
    ts_s = (blocks * BLOCK_MS - begin_ms) / 1000.0
    keep = ~windows.is_frozen(ts_s)
    keep[0] = True
    return np.asarray(blocks[keep] * BLOCK_MS)


def _to_tick(px: Floats, px_decimals: int) -> Ints:
    whole = np.rint(px).astype(np.int64)
    tick = tick_of(whole, px_decimals)
    return np.maximum(np.rint(px / tick).astype(np.int64), 1) * tick


def _sizes(market: Market, px: Ints, rng: np.random.Generator) -> Ints:
    """Displayed lots of one side: drawn when its price changes or someone joins, else as before."""
    lots = market.touch_usd / market.px * 10**market.sz_decimals * np.exp(SIZE_SIGMA * rng.standard_normal(px.size))
    is_new = rng.random(px.size) < _NEW_SIZE_CHANCE
    is_new[0] = True
    is_new[1:] |= px[1:] != px[:-1]
    source = np.maximum.accumulate(np.where(is_new, np.arange(px.size), 0))
    whole = np.maximum(1, lots[source]).astype(np.int64)
    # Three significant digits: people type round sizes.
    step = POWERS[np.maximum(np.searchsorted(POWERS, whole, side="right") - 3, 0)]
    return np.asarray(whole // step * step)
