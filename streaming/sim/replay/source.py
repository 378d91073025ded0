"""A recording as a source of market hours, moved to now.

Rule 1: recorded instant t plays at begin + (t - first) / speed; before and after the recording the market stands still.
Rule 2: asset ids are the recorded ones: dexes and markets that nobody recorded have delisted stand-ins in their places.
Rule 3: halts, caps and changed parameters come when the recorded polls saw them. Size decimals stay those of the
beginning, which all columns are scaled with.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from streaming.core.market import MarketSpec
from streaming.sim.exchange.view import Listed
from streaming.sim.markets.generator import HOUR_MS, NONE, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.replay.columns import BBO, CTX, Columns, Rows
from streaming.sim.replay.recording import Fact, Recording
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import VALIDATOR_DEX, Dex, Market, Universe

_BUILDER_BASE, _DEX_STEP = 100_000, 10_000
_DEPTH_FACTOR = 8.0
"""Depth within 10 bps over the touch, where no book was recorded."""
_EMPTY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Change:
    """The facts of a market change."""

    ts_ms: int


class ReplaySource:
    """Implements `venue.market.tape.HourSource`.

    Args:
        recording: What is played.
        seed: Makes the ids of the exchange.
        begin_ms: Venue time at which the first recorded row plays.
        speed: How much faster than recorded.
    """

    def __init__(self, recording: Recording, *, seed: int, begin_ms: int, speed: float = 1.0) -> None:
        self.seed = seed
        self._begin_ms = begin_ms
        self._speed = speed
        self._first_ms, last_ms = recording.span_ms
        self.length_s = (last_ms - self._first_ms) / 1000 / speed
        """How long it plays."""
        self._facts = {coin: recording.facts[coin] for coin in recording.markets}
        self._streams = {coin: self._mapped(recording.columns[coin]) for coin in recording.markets}
        universe = _universe(recording)
        self._markets = universe.by_coin
        self.scenario = Scenario(name=f"replay-{recording.session_id}"[:64], universe=universe, characters={})

    def hour(self, coin: str, hour: int) -> MarketHour:
        """Return the columns of a market and UTC hour.

        Raises:
            LookupError: It lies more than an hour before the recording.
        """
        if hour < self._begin_ms // HOUR_MS - 1:
            raise LookupError(f"{coin}: nothing was recorded in hour {hour}")
        market = self._markets[coin]
        streams = self._streams.get(coin)
        bbo, ctx, trades = streams if streams is not None else _standing(market)
        bbo_ts_ms, bbo_columns = _within(bbo, hour, is_state=True)
        ctx_ts_ms, ctx_columns = _within(ctx, hour, is_state=True)
        trade_ts_ms, trade_columns = _within(trades, hour, is_state=False)
        return MarketHour(
            market=market,
            hour=hour,
            bbo_ts_ms=bbo_ts_ms,
            **bbo_columns,
            ctx_ts_ms=ctx_ts_ms,
            **ctx_columns,
            prev_day_px=int(ctx.columns["mark_px"][0]),
            trade_ts_ms=trade_ts_ms,
            **trade_columns,
        )

    def listed(self, coin: str, ts_ms: int) -> Listed:
        """Return the market as the recorded polls saw it."""
        facts = self._facts.get(coin)
        if facts is None:
            return Listed(self._markets[coin], is_delisted=True)
        fact = facts[0]
        for later in facts[1:]:
            if self._at(later.ts_ms) > ts_ms:
                break
            fact = later
        return _listed(self._markets[coin], fact)

    def changes(self, coin: str, begin_ms: int, end_ms: int) -> tuple[Change, ...]:
        """Return when facts change with begin <= time < end."""
        times = (self._at(fact.ts_ms) for fact in self._facts.get(coin, ())[1:])
        return tuple(Change(ts_ms) for ts_ms in times if begin_ms <= ts_ms < end_ms)

    def is_pulled(self, coin: str, ts_ms: int, oid: int) -> bool:
        """Nobody knows what recorded makers would have done."""
        del coin, ts_ms, oid
        return False

    def _at(self, ts_ms: int) -> int:
        return self._begin_ms + int((ts_ms - self._first_ms) / self._speed)

    def _mapped(self, columns: Columns) -> tuple["_Stream", "_Stream", "_Stream"]:
        bbo, ctx, trades = (self._stream(rows) for rows in (columns.bbo, columns.ctx, columns.trades))
        if not bbo.ts_ms.size:
            bbo = _Stream(ctx.ts_ms[:1], {name: np.array([NONE], dtype=np.int64) for name in BBO})
        return bbo, ctx, trades

    def _stream(self, rows: Rows) -> "_Stream":
        since_ms = (rows.times() - self._first_ms) / self._speed
        return _Stream(self._begin_ms + since_ms.astype(np.int64), rows.columns())


@dataclass(frozen=True, slots=True)
class _Stream:
    """Rows of one market at the times at which they play."""

    ts_ms: Ints
    columns: dict[str, Ints]


def _within(stream: _Stream, hour: int, *, is_state: bool) -> tuple[Ints, dict[str, Ints]]:
    """Return the rows of an hour; of a state without any, the one in force at its beginning, or the first of all."""
    begin_ms = hour * HOUR_MS
    first, last = (int(i) for i in np.searchsorted(stream.ts_ms, [begin_ms, begin_ms + HOUR_MS]))
    ts_ms = stream.ts_ms[first:last]
    if not ts_ms.size and is_state:
        first = max(0, first - 1)
        last, ts_ms = first + 1, np.array([begin_ms], dtype=np.int64)
    return ts_ms, {name: column[first:last] for name, column in stream.columns.items()}


def _standing(market: Market) -> tuple[_Stream, _Stream, _Stream]:
    """Return a market that was never recorded: no book, prices of one."""
    at = np.zeros(1, dtype=np.int64)
    one = 10**market.px_decimals
    values = dict.fromkeys(CTX, 0) | dict.fromkeys(("mid2_px", "impact_bid_px", "impact_ask_px", "premium_e10"), NONE)
    values |= {"oracle_px": one, "mark_px": one}
    return (
        _Stream(at, {name: np.array([NONE], dtype=np.int64) for name in BBO}),
        _Stream(at, {name: np.array([value], dtype=np.int64) for name, value in values.items()}),
        _Stream(_EMPTY, dict.fromkeys(("trade_px", "trade_sz", "trade_is_buy", "trade_tid"), _EMPTY)),
    )


def _listed(market: Market, fact: Fact) -> Listed:
    status = fact.status
    facts = _facts_of(fact.spec) | {"sz_decimals": market.sz_decimals}
    known = {name: getattr(market, name) for name in Market.__struct_fields__}
    return Listed(
        market=Market(**(known | facts)),
        is_halted=status is not None and status.is_halted is True,
        is_delisted=fact.spec.is_delisted,
        is_at_oi_cap=status is not None and status.is_at_oi_cap is True,
    )


def _facts_of(spec: MarketSpec) -> dict[str, Any]:
    return {
        "sz_decimals": spec.sz_decimals,
        "leverage_max": spec.leverage_max,
        "margin_mode": spec.margin_mode,
        "is_growth_mode": spec.is_growth_mode,
        "fee_scale": spec.deployer_fee_scale,
    }


def _universe(recording: Recording) -> Universe:
    places = {_place_of(recording.specs[coin]): coin for coin in recording.markets}
    names = {dex: recording.specs[coin].dex for (dex, _), coin in places.items()} | {0: VALIDATOR_DEX}
    dexes, markets = [], []
    for dex in range(max(names) + 1):
        name = names.get(dex, f"gap{chr(ord('a') + dex % 26)}")
        tokens = [recording.specs[coin].collateral_token for (at, _), coin in places.items() if at == dex]
        dexes.append(Dex(name=name, full_name=name, collateral_token=tokens[0] if tokens else 0))
        for index in range(max((at for d, at in places if d == dex), default=-1) + 1):
            coin = places.get((dex, index))
            markets.append(_stand_in(name, index) if coin is None else _market(recording, coin))
    return Universe(dexes=tuple(dexes), markets=tuple(markets))


def _place_of(spec: MarketSpec) -> tuple[int, int]:
    return divmod(spec.asset_id - _BUILDER_BASE, _DEX_STEP) if spec.dex else (0, spec.asset_id)


def _stand_in(dex: str, index: int) -> Market:
    coin = f"NOT-RECORDED-{index}"
    return Market(
        coin=f"{dex}:{coin}" if dex else coin, sz_decimals=2, leverage_max=1, px=1.0, spread_bps=1.0, touch_usd=1.0,
        depth_usd=1.0, vol_bps=0.0, oi_usd=0.0, volume_usd=0.0,
    )  # fmt: skip


def _market(recording: Recording, coin: str) -> Market:
    """Return a market whose levels are medians of what was recorded."""
    spec, columns = recording.specs[coin], recording.columns[coin]
    px_scale, sz_scale = 10 ** (6 - spec.sz_decimals), 10**spec.sz_decimals
    ctx, bbo = columns.ctx.columns(), columns.bbo.columns()
    px = float(np.median(ctx["oracle_px"])) / px_scale
    is_whole = (bbo["bid_px"] != NONE) & (bbo["ask_px"] != NONE)
    spreads = (bbo["ask_px"] - bbo["bid_px"])[is_whole] / px_scale / px * 1e4
    touches = np.where(is_whole, bbo["bid_sz"], 0)[is_whole] / sz_scale * px
    touch_usd = max(1.0, float(np.median(touches))) if touches.size else 1_000.0
    depths = columns.depth_usd
    caps = [
        fact.status.oi_cap_ntl for fact in recording.facts[coin] if fact.status is not None and fact.status.oi_cap_ntl
    ]
    oi_usd = float(np.median(ctx["open_interest_sz"])) / sz_scale * px
    return Market(
        coin=coin,
        px=px,
        spread_bps=max(0.01, float(np.median(spreads))) if spreads.size else 1.0,
        touch_usd=touch_usd,
        depth_usd=float(np.median(depths)) if depths else touch_usd * _DEPTH_FACTOR,
        vol_bps=0.0,
        oi_usd=oi_usd,
        volume_usd=float(np.median(ctx["volume_e6"])) / 1e6,
        oi_cap_usd=float(caps[0]) if caps else max(500e6, 2 * oi_usd),
        **_facts_of(spec),
    )
