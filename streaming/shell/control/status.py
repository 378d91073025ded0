"""The read-only views of `/v1/status`, `/v1/rotation` and `/readyz`, taken from the engine's state."""

from streaming.contracts.control import MarketStatusView, RotationAnswer, StatusView
from streaming.core.calendar import NEVER_TS_NS, is_session_open, next_change_ts_ns
from streaming.core.effects import GateId, GateStatus
from streaming.core.signals import EXIT_ONLY
from streaming.core.state import EngineState, MarketState, Readiness
from streaming.core.stop import entries_closed_by
from streaming.core.underlyings import session_kind_of
from streaming.core.units import NS_PER_S, ZERO
from streaming.shell.control.status_trading import trading_view
from streaming.shell.telemetry.meter import Telemetry


def status_view(
    state: EngineState,
    telemetry: Telemetry,
    *,
    version: str,
    config_hash: str,
    now_mono_ns: int,
    started_mono_ns: int,
) -> StatusView:
    """Return everything an operator asks first, as of now."""
    control, rotation = state.control, state.control.rotation
    markets = tuple(_market_view(state, market, now_mono_ns) for market in state.markets.values())
    return StatusView(
        version=version,
        session_id=state.session.session_id,
        venue=state.session.venue,
        account=state.session.account,
        config_hash=config_hash,
        phase=control.phase,
        is_armed=control.is_armed,
        stop_reason=None if control.latch is None else control.latch.reason,
        is_connected=state.is_connected,
        generation=state.generation,
        reconnect_count=telemetry.reconnect_count,
        seq=state.seq,
        uptime_s=round((now_mono_ns - started_mono_ns) / NS_PER_S, 3),
        ready_count=ready_count(state),
        market_count=len(markets),
        entries_closed_by=entries_closed_by(state),
        rate_use_ratio=float(state.rate_use_ratio),
        rotation_version=0 if rotation is None else rotation.version,
        rotation_sha256="" if rotation is None else rotation.sha256,
        rotation_expires_ts_ns=0 if rotation is None else rotation.expires_ts_ns,
        event_count=state.seq,
        signal_count=state.signal_count,
        episode_count=state.episode_count,
        disabled_gates=state.limits.gates.disabled_gates,
        markets=markets,
        trading=trading_view(state, now_mono_ns),
    )


def rotation_view(state: EngineState) -> RotationAnswer:
    """Return the rotation in force; version 0 and an empty sha256 stand for none."""
    rotation = state.control.rotation
    if rotation is None:
        return RotationAnswer(is_accepted=False, version=0, sha256="", reasons=("no rotation was accepted yet",))
    reasons = ("expired: real entries are off",) if rotation.is_expired else ()
    return RotationAnswer(
        is_accepted=not rotation.is_expired, version=rotation.version, sha256=rotation.sha256, reasons=reasons
    )


def ready_count(state: EngineState) -> int:
    """Return how many markets are ready."""
    return sum(market.readiness is Readiness.READY for market in state.markets.values())


def _market_view(state: EngineState, market: MarketState, now_mono_ns: int) -> MarketStatusView:
    book = market.snapshot(now_mono_ns)
    coin = market.spec.coin
    position = state.positions.get(coin)
    session = session_kind_of(coin)
    change_ts_ns = next_change_ts_ns(session, state.ts_ns)
    return MarketStatusView(
        coin=coin,
        state=market.readiness,
        reason=_reason(market),
        book_class=market.book_class,
        bid_px=book.bid_px,
        ask_px=book.ask_px,
        oracle_px=book.oracle_px,
        mark_px=book.mark_px,
        spread_bps=book.spread_bps,
        bbo_age_ms=book.bbo_age_ms,
        ctx_age_ms=book.ctx_age_ms,
        blocking_gates=tuple(
            gate for gate, status in zip(GateId, market.gate_statuses, strict=False) if status is GateStatus.BLOCK
        ),
        episode_count=market.episode_count,
        signal_count=market.signal_count,
        is_allowed=not market.is_exit_only and _is_allowed(state, coin),
        position_sz=ZERO if position is None else position.sz,
        stopped_by=state.live.stops.get(coin, EXIT_ONLY if market.is_exit_only else ""),
        is_session_open=is_session_open(session, state.ts_ns),
        session_change_ts_ns=None if change_ts_ns == NEVER_TS_NS else change_ts_ns,
    )


def _reason(market: MarketState) -> str:
    if market.readiness is Readiness.READY:
        return ""
    waiting = (
        ("bbo_ack", market.is_bbo_acked),
        ("ctx_ack", market.is_ctx_acked),
        ("bbo", market.has_bbo),
        ("ctx", market.has_ctx),
    )
    return " ".join(f"no_{name}" for name, is_there in waiting if not is_there)


def _is_allowed(state: EngineState, coin: str) -> bool:
    rotation = state.control.rotation
    if rotation is None or rotation.is_expired or coin in rotation.blacklist:
        return False
    return any(allowance.coin == coin for allowance in rotation.markets)
