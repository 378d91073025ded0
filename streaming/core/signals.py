"""A signal: the moment at which an episode is worth a decision, and everything that stood for or against it.

Rule 1: all 8 gates are evaluated for every signal, and every control beside them is named; nothing is skipped (I-07).
Rule 2: an entry for real is decided first and explained when it is on its way; the explanation must come to the same
end, or something is wrong with us (I-07).
Rule 3: taken and blocked signals are followed up alike, else what the gates are worth could never be measured.
"""

from decimal import Decimal

from streaming.core.effects import AnyOutput, GateResult, GatesEvaluated, GateStatus, SignalRaised
from streaming.core.episodes import begin as begin_episode
from streaming.core.errors import check
from streaming.core.followups import plan_followups
from streaming.core.gates import evaluate
from streaming.core.orders import signal_id_of
from streaming.core.paper import enter, has_order
from streaming.core.state import EngineState, Episode, MarketState
from streaming.core.stop import entries_closed_by
from streaming.core.trading.entries import book_entry, enter_real, is_real, real_controls
from streaming.core.units import quantize_bps

EXIT_ONLY = "not_configured"
"""Control of a market that is watched only until what is open there is closed; on paper nothing is entered either."""


def raise_signal(
    state: EngineState,
    market: MarketState,
    episode: Episode,
    out: list[AnyOutput],
    *,
    limit_px: Decimal,
    touch_sz: Decimal,
    edge_bps: Decimal,
) -> None:
    """Write the signal of an episode that has just begun, judge it, follow it up, and enter if nothing blocks."""
    spec = market.spec
    signal_id = signal_id_of(state.session.session_id, state.seq, spec.coin, episode.side)
    signal = _told(
        state, market, episode, out, signal_id=signal_id, limit_px=limit_px, touch_sz=touch_sz, edge_bps=edge_bps
    )
    results = evaluate(market, state.mono_ns, state.limits.gates)
    blocked_by = tuple([r.gate.value for r in results if r.status is GateStatus.BLOCK])
    is_for_real = is_real(state, spec.coin)
    controls = (
        real_controls(state, spec.coin, episode.side, episode.origin)
        if is_for_real
        else _paper_controls(state, spec.coin)
    )
    if market.is_exit_only:
        controls += (EXIT_ONLY,)
    blocked_by += entries_closed_by(state) + controls
    _judged(state, out, signal, results, blocked_by)
    if not blocked_by:
        is_reduced = any(r.status is GateStatus.REDUCE for r in results)
        begin = enter_real if is_for_real else enter
        begin(state, market, signal, out, is_reduced=is_reduced)


def explain_entry(state: EngineState, out: list[AnyOutput]) -> None:
    """Write everything about an entry that was decided in this step: its episode, signal, gates and order."""
    entered, state.entered = state.entered, None
    if entered is None:
        return
    market = state.markets[entered.coin]
    episode = begin_episode(state, market, entered.side, out, origin=entered.origin, edge_bps=entered.edge_bps)
    signal = _told(
        state,
        market,
        episode,
        out,
        signal_id=entered.signal_id,
        limit_px=entered.limit_px,
        touch_sz=market.touch_sz(entered.side),
        edge_bps=entered.edge_bps,
    )
    results = evaluate(market, state.mono_ns, state.limits.gates)
    blocked_by = tuple([r.gate.value for r in results if r.status is GateStatus.BLOCK])
    blocked_by += entries_closed_by(state) + real_controls(state, entered.coin, entered.side, entered.origin)
    check(not blocked_by, "I-07", cloid=entered.cloid, blocked_by=blocked_by)
    _judged(state, out, signal, results, blocked_by)
    book_entry(state, market, entered, signal, out)


def _told(
    state: EngineState,
    market: MarketState,
    episode: Episode,
    out: list[AnyOutput],
    *,
    signal_id: str,
    limit_px: Decimal,
    touch_sz: Decimal,
    edge_bps: Decimal,
) -> SignalRaised:
    spec = market.spec
    net_bps = edge_bps - 2 * spec.taker_fee_bps - state.limits.detector.slippage_bps
    market.signal_count += 1
    state.signal_count += 1
    signal = SignalRaised(
        ts_ns=state.ts_ns,
        mono_ns=state.mono_ns,
        coin=spec.coin,
        signal_id=signal_id,
        episode_id=episode.episode_id,
        side=episode.side,
        origin=episode.origin,
        limit_px=limit_px,
        touch_sz=touch_sz,
        raw_edge_bps=quantize_bps(edge_bps),
        net_edge_bps=quantize_bps(net_bps),
        threshold_bps=market.threshold_bps,
        taker_fee_bps=spec.taker_fee_bps,
        book=market.snapshot(state.mono_ns),
        bbo_seq=market.bbo_seq,
        ctx_seq=market.ctx_seq,
    )
    out.append(signal)
    return signal


def _judged(
    state: EngineState,
    out: list[AnyOutput],
    signal: SignalRaised,
    results: tuple[GateResult, ...],
    blocked_by: tuple[str, ...],
) -> None:
    out.append(
        GatesEvaluated(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=signal.coin,
            signal_id=signal.signal_id,
            results=results,
            is_blocked=bool(blocked_by),
            blocked_by=blocked_by,
        )
    )
    plan_followups(state, signal.coin, signal.signal_id, signal.side, signal.limit_px)


def _paper_controls(state: EngineState, coin: str) -> tuple[str, ...]:
    controls: tuple[str, ...] = ()
    if coin in state.positions:
        controls += ("position_open",)
    if has_order(state, coin):
        controls += ("order_in_flight",)
    return controls
