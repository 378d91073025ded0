"""Builders of core values with units in their names; every default is a healthy market `xyz:NVDA` around 100."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.engine import new_state, step
from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    BookLevel,
    BookUpdated,
    ConnectionOpened,
    CtxUpdated,
    MarketAllowance,
    MarketStatusReceived,
    RotationReceived,
    SubscriptionAcked,
    TimerFired,
    Trade,
    TradesReceived,
)
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.recovery import Carried
from streaming.core.state import EngineState, SessionInfo

COIN = "xyz:NVDA"
START_TS_NS = 1_790_000_000_000_000_000
START_MONO_NS = 5_000_000_000
NS_PER_MS = 1_000_000


def dec(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def stamps(at_ms: float) -> dict[str, int]:
    """Receive stamps `at_ms` after the start of the test's world."""
    offset_ns = round(at_ms * NS_PER_MS)
    return {"recv_mono_ns": START_MONO_NS + offset_ns, "recv_ts_ns": START_TS_NS + offset_ns}


def venue_ms(at_ms: float) -> int:
    return START_TS_NS // NS_PER_MS + int(at_ms)


def a_bbo(
    at_ms: float = 0,
    *,
    bid_px: str | None = "99.98",
    ask_px: str | None = "100.02",
    bid_sz: str | None = "50",
    ask_sz: str | None = "50",
    coin: str = COIN,
    generation: int = 1,
    venue_ts_ms: int | None = None,
) -> BboUpdated:
    return BboUpdated(
        **stamps(at_ms),
        coin=coin,
        generation=generation,
        venue_ts_ms=venue_ms(at_ms) if venue_ts_ms is None else venue_ts_ms,
        bid_px=dec(bid_px),
        bid_sz=dec(bid_sz) if bid_px is not None else None,
        ask_px=dec(ask_px),
        ask_sz=dec(ask_sz) if ask_px is not None else None,
    )


def a_ctx(
    at_ms: float = 0,
    *,
    oracle_px: str = "100",
    mark_px: str = "100",
    mid_px: str | None = "100",
    open_interest_sz: str = "1000",
    coin: str = COIN,
    generation: int = 1,
) -> CtxUpdated:
    return CtxUpdated(
        **stamps(at_ms),
        coin=coin,
        generation=generation,
        oracle_px=Decimal(oracle_px),
        mark_px=Decimal(mark_px),
        mid_px=dec(mid_px),
        impact_bid_px=None,
        impact_ask_px=None,
        open_interest_sz=Decimal(open_interest_sz),
        funding_ratio=0.0,
        premium_ratio=None,
        day_ntl_vlm_usd=0.0,
    )


def a_book(
    at_ms: float = 0,
    *,
    bid_px: str = "99.98",
    ask_px: str = "100.02",
    bid_sz: str = "50",
    ask_sz: str = "50",
    is_fast: bool = True,
    coin: str = COIN,
    generation: int = 1,
    venue_ts_ms: int | None = None,
) -> BookUpdated:
    return BookUpdated(
        **stamps(at_ms),
        coin=coin,
        generation=generation,
        venue_ts_ms=venue_ms(at_ms) if venue_ts_ms is None else venue_ts_ms,
        is_fast=is_fast,
        bids=(BookLevel(Decimal(bid_px), Decimal(bid_sz), 1),),
        asks=(BookLevel(Decimal(ask_px), Decimal(ask_sz), 1),),
    )


def a_trade(at_ms: float = 0, *, tid: int = 1, coin: str = COIN) -> Trade:
    return Trade(coin=coin, side="buy", px=Decimal(100), sz=Decimal(1), venue_ts_ms=venue_ms(at_ms), tid=tid)


def some_trades(at_ms: float, *trades: Trade, generation: int = 1) -> TradesReceived:
    return TradesReceived(**stamps(at_ms), generation=generation, trades=trades)


def a_spec(coin: str = COIN, *, taker_fee_bps: str = "0.9", sz_decimals: int = 3, **changes: object) -> MarketSpec:
    fields: dict[str, Any] = {
        "coin": coin,
        "dex": "xyz",
        "asset_id": 110_002,
        "sz_decimals": sz_decimals,
        "leverage_max": 10,
        "margin_mode": "strictIsolated",
        "is_growth_mode": True,
        "deployer_fee_scale": Decimal(1),
        "taker_fee_bps": Decimal(taker_fee_bps),
        "is_delisted": False,
        "collateral_token": 0,
        "spec_version": f"{coin}-{taker_fee_bps}-{sz_decimals}",
    }
    return MarketSpec(**(fields | changes))


def a_status(
    coin: str = COIN,
    *,
    is_halted: bool | None = False,
    is_at_oi_cap: bool | None = False,
    oi_cap_ntl: str | None = "10000000",
) -> MarketStatus:
    return MarketStatus(coin=coin, is_halted=is_halted, is_at_oi_cap=is_at_oi_cap, oi_cap_ntl=dec(oi_cap_ntl))


def a_poll(at_ms: float, *statuses: MarketStatus, is_post_only: bool = False) -> MarketStatusReceived:
    return MarketStatusReceived(**stamps(at_ms), statuses=statuses, is_post_only=is_post_only)


def a_timer(at_ms: float) -> TimerFired:
    return TimerFired(**stamps(at_ms))


def an_ack(at_ms: float = 0, *, channel: str = "bbo", coin: str = COIN, generation: int = 1) -> SubscriptionAcked:
    return SubscriptionAcked(**stamps(at_ms), generation=generation, channel=channel, coin=coin)


def an_opening(at_ms: float = 0, *, generation: int = 1) -> ConnectionOpened:
    return ConnectionOpened(**stamps(at_ms), generation=generation)


def an_allowance(coin: str = COIN, ntl_max: str = "50") -> MarketAllowance:
    return MarketAllowance(coin=coin, ntl_max=Decimal(ntl_max))


def a_rotation(at_ms: float = 0, **changes: object) -> RotationReceived:
    fields: dict[str, Any] = {
        "command_id": 1,
        "version": 1,
        "sha256": "a" * 64,
        "replaces_sha256": "",
        "venue": "sim",
        "account": "paper",
        "expires_ts_ns": START_TS_NS + 3_600_000 * NS_PER_MS,
        "markets": (an_allowance(),),
        "blacklist": (),
    }
    return RotationReceived(**stamps(at_ms), **(fields | changes))


def a_session(**changes: str) -> SessionInfo:
    fields = {"session_id": "s1", "venue": "sim", "account": "", "code_version": "test", "config_hash": "c0"}
    return SessionInfo(**(fields | changes))


def limits_with(**sections: dict[str, Any]) -> Limits:
    """`limits_with(gates={"ctx_age_ms_max": 1})`: the defaults with some fields replaced."""
    base = Limits()
    parts = {name: msgspec.structs.replace(getattr(base, name), **changes) for name, changes in sections.items()}
    return msgspec.structs.replace(base, **parts)


def an_engine(
    *specs: MarketSpec, limits: Limits | None = None, carried: Carried | None = None, session: SessionInfo | None = None
) -> EngineState:
    """Return an engine before its first event."""
    return new_state(session or a_session(), limits or Limits(), specs or (a_spec(),), carried=carried)


def feed(state: EngineState, *events: AnyEvent) -> list[AnyOutput]:
    """Step through events and return all outputs in order."""
    return [output for event in events for output in step(state, event)]


def events_until_ready(at_ms: float = 0, *, coins: Iterable[str] = (COIN,), generation: int = 1) -> list[AnyEvent]:
    """Connection, acks, a normal status, first ctx and bbo: all within `at_ms` … `at_ms` + 1."""
    names = tuple(coins)
    events: list[AnyEvent] = [an_opening(at_ms, generation=generation)]
    events.append(a_poll(at_ms, *[a_status(coin) for coin in names]))
    for coin in names:
        events += [
            an_ack(at_ms, channel="bbo", coin=coin, generation=generation),
            an_ack(at_ms, channel="activeAssetCtx", coin=coin, generation=generation),
            a_ctx(at_ms + 1, coin=coin, generation=generation),
            a_bbo(at_ms + 1, coin=coin, generation=generation),
        ]
    return events


def warm_events(from_ms: float, count: int = 30, *, step_ms: float = 100, coin: str = COIN) -> list[AnyEvent]:
    """`count` equal quotes and one ctx: afterwards every gate passes."""
    events: list[AnyEvent] = [a_bbo(from_ms + i * step_ms, coin=coin) for i in range(count)]
    return [*events, a_ctx(from_ms + count * step_ms, coin=coin)]


WARM_MS = 3_100
"""When `a_warm_engine` has seen its last event: the next one may come at this time."""


def a_warm_engine(*specs: MarketSpec, limits: Limits | None = None) -> EngineState:
    """Return an engine whose markets are ready with all gates passing, its clock at `WARM_MS`."""
    state = an_engine(*specs, limits=limits)
    coins = tuple(state.markets)
    feed(state, *events_until_ready(0, coins=coins))
    per_market = [warm_events(100, coin=coin) for coin in coins]
    events = [event for market_events in per_market for event in market_events]
    feed(state, *sorted(events, key=lambda event: event.recv_mono_ns))
    return state


def of_type(outputs: Iterable[AnyOutput], kind: type) -> list[Any]:
    """Return the outputs of one type."""
    return [output for output in outputs if isinstance(output, kind)]
