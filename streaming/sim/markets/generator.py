"""The one generator: columns of one market and UTC hour, from which frames are played and history is written.

Rule 1: `Generator.hour(coin, hour)` is a pure function of (seed, plan seed, scenario, coin, hour), of no other hour.
Rule 2: prices and sizes are integers (10^-(6-szDecimals) quote units, 10^-szDecimals base units), times are ms UTC, so
that equal columns give equal wire text and equal rows. `NONE` marks a missing value.
Rule 3: hours join: at each full hour underlying, oracle and makers stand on an anchor that both hours can compute.
Rule 4: labels decide nothing here; `pull_ratio` is read by `pulls` and `is_pulled` alone.
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from streaming.sim.exchange.view import Listed
from streaming.sim.markets.changes import Lifecycle, MarketChange
from streaming.sim.markets.levels import HOUR_S, Place, away_bps, level_px
from streaming.sim.markets.noise import Floats, Ints, generator_of, key_of, smooth, unit_of
from streaming.sim.markets.paths import Path, book_of, make_path
from streaming.sim.markets.regimes import Regime, regime_at, regimes_between
from streaming.sim.markets.touch import BLOCK_MS, HOUR_MS, NONE, Touch, empty_touch, make_touch, tick_of
from streaming.sim.markets.windows import make_windows
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import VALIDATOR_DEX, Market

__all__ = ["BLOCK_MS", "HOUR_MS", "NONE", "Generator", "MarketHour", "Pulls", "tick_of"]

_TRADE_RATE_S = 0.05
_SCALE_E10 = 1e10
_FUNDING_CLAMP, _VALIDATOR_FUNDING_CLAMP = 3e-4, 5e-4
"""How far the interest rate may pull funding from the premium (reference, section 9)."""
_PULLS_KEPT = 256
_BOOKS_KEPT = 6
"""Hours of a market that its internal oracle remembers."""


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


@dataclass(frozen=True, slots=True)
class Pulls:
    """Spans of an hour in which makers still have to follow a true step, and the share of orders they run from."""

    begin_ms: Ints
    end_ms: Ints
    ratio: float

    def covers(self, ts_ms: int) -> bool:
        """Tell whether an instant lies in one of the spans (begin <= ts < end)."""
        return bool(((self.begin_ms <= ts_ms) & (ts_ms < self.end_ms)).any())


class Generator:
    """Makes market hours of one seed and scenario."""

    def __init__(self, seed: int, scenario: Scenario, *, plan_seed: int | None = None) -> None:
        """Keep what everything follows from.

        Args:
            seed: Of all noise.
            scenario: Markets and characters.
            plan_seed: Of what is planned: regimes, halts, delistings, changed parameters. That of the noise by default;
                another day of the same run has the run's plan and noise of its own.
        """
        self.seed = seed
        self.plan_seed = seed if plan_seed is None else plan_seed
        self.scenario = scenario
        self._markets = scenario.universe.by_coin
        self._multipliers = {dex.name: dex.funding_multiplier for dex in scenario.universe.dexes}
        self._lives = {
            coin: Lifecycle(self.plan_seed, market, scenario.characters[coin]) for coin, market in self._markets.items()
        }
        self._late = lru_cache(maxsize=_PULLS_KEPT)(self._find_late)
        self._book = lru_cache(maxsize=_BOOKS_KEPT * len(self._markets))(self._make_book)

    def listed(self, coin: str, ts_ms: int) -> Listed:
        """Return the market as it stands at an instant; KeyError for a coin that does not exist."""
        return self._lives[coin].listed(ts_ms)

    def changes(self, coin: str, begin_ms: int, end_ms: int) -> tuple[MarketChange, ...]:
        """Return what changes in a listing with begin <= time < end, in time order."""
        return self._lives[coin].changes(begin_ms, end_ms)

    def regimes(self, coin: str, begin_ms: int, end_ms: int) -> tuple[Regime, ...]:
        """Return the regimes of a market that touch a span of time, in order."""
        strength = self.scenario.characters[coin].regime_strength
        return regimes_between(self.plan_seed, coin, strength, begin_ms, end_ms)

    def pulls(self, coin: str, hour: int) -> Pulls:
        """Return when makers withdraw from taker orders, in one UTC hour (hidden: no column shows it)."""
        begin_ms, end_ms = self._late(coin, hour)
        return Pulls(begin_ms, end_ms, self.scenario.characters[coin].pull_ratio)

    def is_pulled(self, coin: str, ts_ms: int, oid: int) -> bool:
        """Tell whether the touch is withdrawn because the taker order `oid` arrives."""
        ratio = self.scenario.characters[coin].pull_ratio
        if not ratio or unit_of(self.seed, coin, "pull", oid) >= ratio:
            return False
        return self.pulls(coin, ts_ms // HOUR_MS).covers(ts_ms)

    def hour(self, coin: str, hour: int) -> MarketHour:
        """Return the columns of one market and UTC hour (hours since 1970)."""
        place = self._place(coin, hour)
        begin_ms, end_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS
        life = self._lives[coin]
        delistings = life.delistings(begin_ms, end_ms)
        if delistings:
            return self._delisted_hour(place, delistings[0][0] // HOUR_MS)
        rng = self._rng(coin, hour)
        path = self._path(coin, hour, rng)
        halts = ((begin - begin_ms, end - begin_ms) for begin, end in life.halts(begin_ms, end_ms))
        closed = tuple((max(begin, 0) / 1000.0, min(end, HOUR_MS) / 1000.0) for begin, end in halts)
        windows = make_windows(place.character, closed, rng)
        touch = make_touch(place, path, windows, rng)
        return MarketHour(
            market=place.market,
            hour=hour,
            bbo_ts_ms=touch.ts_ms,
            bid_px=touch.bid_px,
            bid_sz=touch.bid_sz,
            ask_px=touch.ask_px,
            ask_sz=touch.ask_sz,
            prev_day_px=level_px(self.seed, place.market, hour - 24),
            **self._ctx_columns(place, path, touch),
            **_trade_columns(touch, rng),
        )

    def _find_late(self, coin: str, hour: int) -> tuple[Ints, Ints]:
        if not self.scenario.characters[coin].pull_ratio or self._is_delisted(coin, hour):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        begin_s, end_s = self._path(coin, hour, self._rng(coin, hour)).late_s
        begin_ms, end_ms = (hour * HOUR_MS + np.rint(edge_s * 1000.0).astype(np.int64) for edge_s in (begin_s, end_s))
        return begin_ms, end_ms

    def _is_delisted(self, coin: str, hour: int) -> bool:
        return bool(self._lives[coin].delistings(hour * HOUR_MS, (hour + 1) * HOUR_MS))

    def _path(self, coin: str, hour: int, rng: np.random.Generator) -> Path:
        return make_path(self._place(coin, hour), partial(self._book, coin), rng)

    def _make_book(self, coin: str, hour: int) -> Floats:
        return book_of(self._place(coin, hour), self._rng(coin, hour))

    def _rng(self, coin: str, hour: int) -> np.random.Generator:
        return generator_of(self.seed, self.scenario.name, coin, hour)

    def _place(self, coin: str, hour: int) -> Place:
        character = self.scenario.characters[coin]
        regime = regime_at(self.plan_seed, coin, character.regime_strength, hour)
        return Place(self.seed, self._markets[coin], character, hour, regime)

    def _ctx_ts_ms(self, coin: str, hour: int) -> Ints:
        # One phase per market: the venue samples every coin once a second, not all coins at the same instant.
        phase_ms = 80 + key_of(self.seed, coin, "phase") % 850
        late_ms = generator_of(self.seed, coin, "ctx", hour).integers(0, 25, HOUR_S)
        return np.asarray(hour * HOUR_MS + np.arange(HOUR_S, dtype=np.int64) * 1000 + phase_ms + late_ms)

    def _ctx_columns(self, place: Place, path: Path, touch: Touch) -> dict[str, Ints]:
        market = place.market
        ts_ms = self._ctx_ts_ms(market.coin, place.hour)
        row = touch.at(ts_ms)
        slot = np.searchsorted(path.oracle_ms, ts_ms, side="right") - 1
        # Every 5 s, as the venue refreshes its estimate.
        five_s = (ts_ms // 5000 * 5).astype(np.float64)
        # Without the lasting offset: where it is large, deployers set the multiplier near zero (UNITREE 0.005).
        basis = np.interp(five_s, path.basis_ts_s, path.basis_bps) * 1e-4
        clamp = _VALIDATOR_FUNDING_CLAMP if market.dex == VALIDATOR_DEX else _FUNDING_CLAMP
        funding = self._multipliers[market.dex] * (basis + np.clip(1e-4 - basis, -clamp, clamp)) / 8.0
        lots = market.oi_usd / market.px * 10**market.sz_decimals
        oi_wave = smooth(key_of(self.seed, market.coin, "oi"), five_s, 4.0 * HOUR_S)
        volume_wave = smooth(key_of(self.seed, market.coin, "volume"), ts_ms / 1000.0, 6.0 * HOUR_S)
        return {
            "ctx_ts_ms": ts_ms,
            "oracle_px": path.oracle_px[slot],
            "mark_px": path.mark_px[slot],
            **_impact_columns(market, touch, row, path.oracle_px[slot]),
            "open_interest_sz": np.rint(lots * (1.0 + 0.05 * oi_wave)).astype(np.int64),
            "funding_e10": np.rint(funding * _SCALE_E10).astype(np.int64),
            "volume_e6": np.rint(market.volume_usd * 1e6 * (1.0 + 0.3 * volume_wave)).astype(np.int64),
        }

    def _delisted_hour(self, place: Place, since_hour: int) -> MarketHour:
        """Return an hour without a market: contexts go on, oracle and mark as they were, everything else is gone."""
        market = place.market
        px = np.full(HOUR_S, level_px(self.seed, market, since_hour), dtype=np.int64)
        touch = empty_touch(place.hour)
        none, zero = np.full(HOUR_S, NONE, dtype=np.int64), np.zeros(HOUR_S, dtype=np.int64)
        nothing = np.empty(0, dtype=np.int64)
        return MarketHour(
            market=market,
            hour=place.hour,
            bbo_ts_ms=touch.ts_ms,
            bid_px=touch.bid_px,
            bid_sz=touch.bid_sz,
            ask_px=touch.ask_px,
            ask_sz=touch.ask_sz,
            ctx_ts_ms=self._ctx_ts_ms(market.coin, place.hour),
            oracle_px=px,
            mark_px=px,
            mid2_px=none,
            impact_bid_px=none,
            impact_ask_px=none,
            open_interest_sz=zero,
            funding_e10=zero,
            premium_e10=none,
            volume_e6=zero,
            prev_day_px=level_px(self.seed, market, min(place.hour - 24, since_hour)),
            trade_ts_ms=nothing,
            trade_px=nothing,
            trade_sz=nothing,
            trade_is_buy=nothing,
            trade_tid=nothing,
        )


def _impact_columns(market: Market, touch: Touch, row: Ints, oracle: Ints) -> dict[str, Ints]:
    """Return mid, impact prices and premium; all are missing where a side of the book is."""
    bid, ask = touch.bid_px[row], touch.ask_px[row]
    has_mid = (bid != NONE) & (ask != NONE)
    shown = 10.0 ** -(market.px_decimals + market.sz_decimals)
    impact = []
    for px, sz, sign in ((bid, touch.bid_sz[row], -1.0), (ask, touch.ask_sz[row], 1.0)):
        level = np.where(has_mid, px, 1).astype(np.float64)
        away = away_bps(market, level * np.where(has_mid, sz, 1) * shown)
        impact.append(np.rint(level * (1.0 + sign * away * 1e-4)))
    impact_bid, impact_ask = impact
    if market.dex == VALIDATOR_DEX:
        premium = (np.maximum(impact_bid - oracle, 0.0) - np.maximum(oracle - impact_ask, 0.0)) / oracle
    else:
        premium = (impact_bid + impact_ask) * 0.5 / oracle - 1.0
    return {
        "mid2_px": np.where(has_mid, bid + ask, NONE),
        "impact_bid_px": np.where(has_mid, impact_bid.astype(np.int64), NONE),
        "impact_ask_px": np.where(has_mid, impact_ask.astype(np.int64), NONE),
        "premium_e10": np.where(has_mid, np.rint(premium * _SCALE_E10).astype(np.int64), NONE),
    }


def _trade_columns(touch: Touch, rng: np.random.Generator) -> dict[str, Ints]:
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
