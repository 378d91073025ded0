"""The one generator: columns of one market and UTC hour, from which frames are played and history is written.

Rule 1: `Generator.hour(coin, hour)` is a pure function of (seed, scenario, coin, hour). No hour needs another one.
Rule 2: prices and sizes are integers (10^-(6-szDecimals) quote units, 10^-szDecimals base units), times are ms UTC, so
that equal columns give equal wire text and equal rows. `NONE` marks a missing value.
Rule 3: hours join: at each full hour underlying, oracle and makers stand on an anchor that both hours can compute.
"""

from dataclasses import dataclass

import numpy as np

from streaming.sim.markets.noise import Floats, Ints, generator_of, key_of, lattice, smooth
from streaming.sim.markets.paths import HOUR_S, Path, Windows, make_path, make_windows, session_factor
from streaming.sim.scenario.characters import Character
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Market

NONE = -(2**63)
HOUR_MS = HOUR_S * 1000
BLOCK_MS = 68
_POWERS = 10 ** np.arange(18, dtype=np.int64)
_TRADE_RATE_S = 0.05
_SCALE_E10 = 1e10


@dataclass(frozen=True, slots=True)
class MarketHour:
    """All that happens in one market in one UTC hour, in columns; see the module's rule 2 for units."""

    market: Market
    hour: int
    """Hours since 1970-01-01."""
    bbo_ts_ms: Ints
    """Time of the block that changed the touch; the first is the hour's first block."""
    bid_px: Ints
    bid_sz: Ints
    ask_px: Ints
    ask_sz: Ints
    ctx_ts_ms: Ints
    oracle_px: Ints
    mark_px: Ints
    mid2_px: Ints
    """Twice the mid of the touch in force, so that it stays an integer."""
    impact_bid_px: Ints
    impact_ask_px: Ints
    open_interest_sz: Ints
    funding_e10: Ints
    premium_e10: Ints
    volume_e6: Ints
    """Notional of a day in 10^-6 quote units."""
    prev_day_px: int
    trade_ts_ms: Ints
    trade_px: Ints
    trade_sz: Ints
    trade_is_buy: Ints
    trade_tid: Ints


def tick_of(px: Ints, px_decimals: int) -> Ints:
    """Return the venue's tick at scaled prices: 5 significant figures, integers always legal."""
    digits = np.searchsorted(_POWERS, px, side="right")
    return np.clip(_POWERS[np.maximum(digits - 5, 0)], 1, 10**px_decimals)


def _to_tick(px: Floats, px_decimals: int) -> Ints:
    whole = np.rint(px).astype(np.int64)
    tick = tick_of(whole, px_decimals)
    return np.rint(px / tick).astype(np.int64) * tick


@dataclass(frozen=True, slots=True)
class _Touch:
    """The touch after each block that changed it."""

    ts_ms: Ints
    bid_px: Ints
    bid_sz: Ints
    ask_px: Ints
    ask_sz: Ints

    def at(self, ts_ms: Ints) -> Ints:
        """Row in force at instants that are not before the first row."""
        return np.searchsorted(self.ts_ms, ts_ms, side="right") - 1


class Generator:
    """Makes market hours of one seed and scenario."""

    def __init__(self, seed: int, scenario: Scenario) -> None:
        """Keep what everything follows from."""
        self.seed = seed
        self.scenario = scenario
        self._markets = scenario.universe.by_coin
        self._multipliers = {dex.name: dex.funding_multiplier for dex in scenario.universe.dexes}

    def hour(self, coin: str, hour: int) -> MarketHour:
        """Return the columns of one market and UTC hour (hours since 1970)."""
        market, character = self._markets[coin], self.scenario.characters[coin]
        rng = generator_of(self.seed, self.scenario.name, coin, hour)
        path = make_path(self.seed, market, character, hour, rng)
        windows = make_windows(character, rng)
        touch = _make_touch(market, character, path, windows, rng)
        ctx = self._ctx_columns(market, path, touch, rng)
        return MarketHour(
            market=market,
            hour=hour,
            bbo_ts_ms=touch.ts_ms,
            bid_px=touch.bid_px,
            bid_sz=touch.bid_sz,
            ask_px=touch.ask_px,
            ask_sz=touch.ask_sz,
            prev_day_px=int(path.prev_day_px),
            **ctx,
            **_trade_columns(touch, rng),
        )

    def _ctx_columns(self, market: Market, path: Path, touch: _Touch, rng: np.random.Generator) -> dict[str, Ints]:
        begin_ms = path.hour * HOUR_MS
        # One phase per market: the venue samples every coin once a second, not all coins at the same instant.
        phase_ms = 80 + key_of(self.seed, market.coin, "phase") % 850
        ts_ms = begin_ms + np.arange(HOUR_S, dtype=np.int64) * 1000 + phase_ms + rng.integers(0, 25, HOUR_S)
        row = touch.at(ts_ms)
        bid, ask = touch.bid_px[row], touch.ask_px[row]
        has_mid = (bid != NONE) & (ask != NONE)
        slot = np.searchsorted(path.oracle_ms, ts_ms, side="right") - 1
        oracle, mark = path.oracle_px[slot], path.mark_px[slot]
        away = np.maximum(1, np.rint(market.px * 10**market.px_decimals * market.spread_bps * 0.4e-4)).astype(np.int64)
        impact_bid = np.where(has_mid, bid - away, NONE)
        impact_ask = np.where(has_mid, ask + away, NONE)
        premium = np.where(has_mid, ((bid + ask) * 0.5 / oracle - 1.0) * _SCALE_E10, 0.0)
        # Every 5 s, as the venue refreshes its estimate.
        five_s = (ts_ms // 5000 * 5).astype(np.float64)
        basis = np.interp(five_s, path.basis_ts_s, path.basis_bps) * 1e-4
        funding = self._multipliers[market.dex] * (basis + np.clip(1e-4 - basis, -3e-4, 3e-4)) / 8.0
        lots = market.oi_usd / market.px * 10**market.sz_decimals
        oi_wave = smooth(key_of(self.seed, market.coin, "oi"), five_s, 4 * HOUR_S)
        volume_wave = smooth(key_of(self.seed, market.coin, "volume"), ts_ms / 1000.0, 6 * HOUR_S)
        return {
            "ctx_ts_ms": ts_ms,
            "oracle_px": oracle,
            "mark_px": mark,
            "mid2_px": np.where(has_mid, bid + ask, NONE),
            "impact_bid_px": impact_bid,
            "impact_ask_px": impact_ask,
            "open_interest_sz": np.rint(lots * (1.0 + 0.05 * oi_wave)).astype(np.int64),
            "funding_e10": np.rint(funding * _SCALE_E10).astype(np.int64),
            "premium_e10": np.where(has_mid, np.rint(premium).astype(np.int64), NONE),
            "volume_e6": np.rint(market.volume_usd * 1e6 * (1.0 + 0.3 * volume_wave)).astype(np.int64),
        }


def _make_touch(market: Market, character: Character, path: Path, windows: Windows, rng: np.random.Generator) -> _Touch:
    ts_ms = _block_times(market, character, path, windows, rng)
    ts_s = (ts_ms - path.hour * HOUR_MS) / 1000.0
    maker = path.maker_bps[np.searchsorted(path.maker_s, ts_s, side="right") - 1]
    absolute_s = path.hour * float(HOUR_S) + ts_s
    maker = maker + np.interp(absolute_s, path.basis_ts_s, path.basis_bps)
    spread = market.spread_bps * np.exp(0.3 * smooth(key_of(path.seed, market.coin, "spread"), absolute_s, 60.0))
    spread *= np.where(rng.random(ts_s.size) < 0.12, rng.uniform(1.0, 1.8, ts_s.size), 1.0)
    spread *= windows.spread_factor(ts_s)
    units = market.px * 10**market.px_decimals * np.exp(maker * 1e-4)
    bid = _to_tick(units * (1.0 - spread * 0.5e-4), market.px_decimals)
    ask = _to_tick(units * (1.0 + spread * 0.5e-4), market.px_decimals)
    ask = np.maximum(ask, bid + tick_of(bid, market.px_decimals))
    bid_sz = _sizes(market, bid, rng)
    ask_sz = _sizes(market, ask, rng)
    bid, ask, bid_gone, ask_gone = windows.apply(ts_s, bid, ask)
    return _Touch(
        ts_ms=ts_ms,
        bid_px=np.where(bid_gone, NONE, bid),
        bid_sz=np.where(bid_gone, NONE, bid_sz),
        ask_px=np.where(ask_gone, NONE, ask),
        ask_sz=np.where(ask_gone, NONE, ask_sz),
    )


def _block_times(market: Market, character: Character, path: Path, windows: Windows, rng: np.random.Generator) -> Ints:
    """Blocks in which the touch changes: at random, when makers move, and at the edges of windows."""
    begin_ms = path.hour * HOUR_MS
    first = -(-begin_ms // BLOCK_MS)
    last = -(-(begin_ms + HOUR_MS) // BLOCK_MS)
    wave = 1.0 + 0.2 * lattice(key_of(path.seed, market.coin, "rate"), np.array([path.hour]))[0]
    rate = character.bbo_rate_s * wave * (0.8 + 0.4 * session_factor(path.hour))
    at_random = rng.integers(first, last, rng.poisson(rate * HOUR_S))
    forced_ms = begin_ms + 1000.0 * np.concatenate([path.follow_s, windows.edges_s])
    forced = np.ceil(forced_ms / BLOCK_MS).astype(np.int64)
    blocks = np.unique(np.concatenate([[first], at_random, forced[forced < last]]))
    ts_s = (blocks * BLOCK_MS - begin_ms) / 1000.0
    keep = ~windows.is_frozen(ts_s)
    keep[0] = True
    return np.asarray(blocks[keep] * BLOCK_MS)


def _sizes(market: Market, px: Ints, rng: np.random.Generator) -> Ints:
    """Displayed lots of one side: drawn when its price changes or someone joins, else as before."""
    lots = market.touch_usd / market.px * 10**market.sz_decimals * np.exp(0.8 * rng.standard_normal(px.size))
    is_new = rng.random(px.size) < 0.6
    is_new[0] = True
    is_new[1:] |= px[1:] != px[:-1]
    source = np.maximum.accumulate(np.where(is_new, np.arange(px.size), 0))
    whole = np.maximum(1, lots[source]).astype(np.int64)
    # Three significant digits: people type round sizes.
    step = _POWERS[np.maximum(np.searchsorted(_POWERS, whole, side="right") - 3, 0)]
    return np.asarray(whole // step * step)


def _trade_columns(touch: _Touch, rng: np.random.Generator) -> dict[str, Ints]:
    count = rng.poisson(_TRADE_RATE_S * HOUR_S)
    row = np.sort(rng.integers(0, touch.ts_ms.size, count))
    is_buy = rng.random(count) < 0.5
    px = np.where(is_buy, touch.ask_px[row], touch.bid_px[row])
    shown = np.where(is_buy, touch.ask_sz[row], touch.bid_sz[row])
    lots = np.maximum(1, np.minimum(shown, shown * rng.random(count) ** 2)).astype(np.int64)
    tid = rng.integers(1, 2**50, count)
    there = px != NONE
    return {
        "trade_ts_ms": touch.ts_ms[row][there],
        "trade_px": px[there],
        "trade_sz": lots[there],
        "trade_is_buy": is_buy[there].astype(np.int64),
        "trade_tid": tid[there],
    }
