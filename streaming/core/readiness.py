"""READY-MD per market: when its data may be judged.

Rule 1: ready = bbo and ctx subscriptions acked, a first valid bbo and a first ctx, all of the current connection.
Rule 2: a market that is not ready in time is excluded, tried again after its TTL, and never holds up another one.
Rule 3: a name that carries a spot context is another market: it stays excluded for the session (F-20).
Rule 4: a lost connection makes every market wait and forgets what its feed said.
"""

from streaming.core.effects import AnyOutput, ConnectionChanged, MarketReadyChanged, Reconnect, Resubscribe
from streaming.core.episodes import end_all
from streaming.core.events import ConnectionLost, ConnectionOpened, FrameMalformed, SubscriptionAcked
from streaming.core.market import BookClass
from streaming.core.state import EngineState, MarketState, Readiness, TimerKind, schedule
from streaming.core.trading.ready import begin_connection, end_connection, is_signing, user_channel_acked
from streaming.core.units import NS_PER_MS, ZERO

BBO_CHANNEL = "bbo"
CTX_CHANNEL = "activeAssetCtx"
SPOT_CONTEXT = "spot_context"
"""`FrameMalformed.reason` of a context that belongs to a spot market."""


def on_opened(state: EngineState, event: ConnectionOpened, out: list[AnyOutput]) -> None:
    """Start a connection generation: every market has to become ready on it."""
    if event.generation <= state.generation:
        state.stale_frame_count += 1
        return
    if state.is_connected:
        _forget_connection(state, out, "replaced")
    state.generation = state.live_generation = event.generation
    state.is_connected = True
    state.is_reconnect_requested = False
    state.connection_count += 1
    _report_connection(state, out, is_open=True, reason="")
    for market in state.markets.values():
        _watch_timeout(state, market)
    if is_signing(state):
        begin_connection(state, out)


def on_lost(state: EngineState, event: ConnectionLost, out: list[AnyOutput]) -> None:
    """End the connection: nothing that arrives late from it counts."""
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    _report_connection(state, out, is_open=False, reason=event.reason)
    _forget_connection(state, out, event.reason)


def on_acked(state: EngineState, event: SubscriptionAcked, out: list[AnyOutput]) -> None:
    """Note an acknowledged subscription."""
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    market = state.markets.get(event.coin)
    if market is None:
        if event.user and is_signing(state):
            user_channel_acked(state, event.channel, out)
        return
    if event.channel == BBO_CHANNEL:
        market.is_bbo_acked = True
    elif event.channel == CTX_CHANNEL:
        market.is_ctx_acked = True
    progress(state, market, out)


def on_malformed(state: EngineState, event: FrameMalformed, out: list[AnyOutput]) -> None:
    """Count a frame that could not be read; a spot context drops its market."""
    state.malformed_count += 1
    market = state.markets.get(event.coin)
    if event.reason != SPOT_CONTEXT or market is None or market.is_dropped:
        return
    market.is_dropped = True
    market.retry_mono_ns = None
    end_all(state, market, out, "market_stopped")
    _change(state, market, out, Readiness.EXCLUDED, SPOT_CONTEXT)


def progress(state: EngineState, market: MarketState, out: list[AnyOutput]) -> None:
    """Make a waiting market ready once nothing is missing."""
    if market.readiness is Readiness.WAITING and not _missing(market):
        _change(state, market, out, Readiness.READY, "")


def time_out(state: EngineState, coin: str, generation: int, out: list[AnyOutput]) -> None:
    """Exclude a market that still waits when its time is over, naming what is missing."""
    market = state.markets[coin]
    if generation != state.live_generation or market.readiness is not Readiness.WAITING:
        return
    retry_mono_ns = state.mono_ns + state.limits.detector.exclusion_ttl_ms * NS_PER_MS
    market.retry_mono_ns = retry_mono_ns
    schedule(state, retry_mono_ns, TimerKind.EXCLUSION_END, coin, generation)
    _change(state, market, out, Readiness.EXCLUDED, f"missing: {', '.join(_missing(market))}")


def end_exclusion(state: EngineState, coin: str, generation: int, out: list[AnyOutput]) -> None:
    """Try an excluded market again with a new subscription and new first data."""
    market = state.markets[coin]
    if generation != state.live_generation or market.readiness is not Readiness.EXCLUDED or market.is_dropped:
        return
    market.retry_mono_ns = None
    market.has_bbo = market.has_ctx = False
    _change(state, market, out, Readiness.WAITING, "exclusion ended")
    out.append(Resubscribe(ts_ns=state.ts_ns, mono_ns=state.mono_ns, coin=coin))
    _watch_timeout(state, market)


def request_reconnect(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """Ask for a new connection, once per connection."""
    if not state.is_reconnect_requested:
        state.is_reconnect_requested = True
        out.append(Reconnect(ts_ns=state.ts_ns, mono_ns=state.mono_ns, reason=reason))


def _missing(market: MarketState) -> list[str]:
    needed = (
        ("bbo ack", market.is_bbo_acked),
        ("ctx ack", market.is_ctx_acked),
        ("valid bbo", market.has_bbo),
        ("ctx", market.has_ctx),
    )
    return [name for name, is_there in needed if not is_there]


def _watch_timeout(state: EngineState, market: MarketState) -> None:
    due = state.mono_ns + state.limits.detector.bbo_init_timeout_ms * NS_PER_MS
    schedule(state, due, TimerKind.READY_TIMEOUT, market.spec.coin, state.generation)


def _forget_connection(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    state.is_connected = False
    state.live_generation = -1
    if is_signing(state):
        end_connection(state, out, reason)
    for market in state.markets.values():
        end_all(state, market, out, "connection_lost")
        _forget_feed(market)
        if market.readiness is not Readiness.WAITING and not market.is_dropped:
            _change(state, market, out, Readiness.WAITING, reason)


def _forget_feed(market: MarketState) -> None:
    # Prices of a lost connection must not decide anything (I-21); the spread's own history stays valid.
    market.bbo = market.ctx = None
    market.book_class = BookClass.NONE
    market.confirmation_mono_ns = market.oracle_mono_ns = None
    market.bbo_venue_ts_ms = market.book_fast_venue_ts_ms = market.book_slow_venue_ts_ms = 0
    market.is_time_regressed = False
    market.is_bbo_acked = market.is_ctx_acked = market.has_bbo = market.has_ctx = False
    market.retry_mono_ns = None
    market.is_touch_consumed = False
    market.bid_consumed_sz = market.ask_consumed_sz = ZERO


def _change(state: EngineState, market: MarketState, out: list[AnyOutput], readiness: Readiness, reason: str) -> None:
    market.readiness = readiness
    out.append(
        MarketReadyChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=market.spec.coin,
            state=readiness,
            reason=reason,
            retry_mono_ns=market.retry_mono_ns,
        )
    )


def _report_connection(state: EngineState, out: list[AnyOutput], *, is_open: bool, reason: str) -> None:
    out.append(
        ConnectionChanged(
            ts_ns=state.ts_ns, mono_ns=state.mono_ns, generation=state.generation, is_open=is_open, reason=reason
        )
    )
