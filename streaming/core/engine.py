"""The engine: one synchronous function from (state, event) to outputs.

Rule 1: every call of `step` is one event and one sequence number; nothing else changes the state.
Rule 2: deadlines up to the event's receive stamp run before it, each as of its own due time.
Rule 3: the monotonic stamp of a deadline or event never runs behind the state's; a late stamp is clamped, not refused.
Rule 4: equal state and event give equal outputs, also across a snapshot that was written and read.
Rule 5: a step is `decide`, which ends with an entry's action if there is one, then `explain`, which tells why: the
shell may write and send in between, because nothing of the explanation can change the action. `step` is both.
"""

from collections.abc import Callable
from heapq import heappop
from typing import Any

import msgspec

from streaming.core.allowance import share_allowances
from streaming.core.effects import AnyOutput
from streaming.core.episodes import end_all
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    BboUpdated,
    BookUpdated,
    ConnectionLost,
    ConnectionOpened,
    CtxUpdated,
    FrameMalformed,
    LimitsReloaded,
    MarketStatusReceived,
    PhaseRequested,
    RateUseReported,
    ResetRequested,
    RotationReceived,
    SessionClosed,
    SessionFrameReceived,
    SpecApproved,
    SpecsReceived,
    StopRequested,
    SubscriptionAcked,
    TimerFired,
    TradesReceived,
    UserFrameReceived,
    VenueErrorReceived,
    WriterHealthReported,
)
from streaming.core.feed import on_bbo, on_book, on_ctx
from streaming.core.followups import close_followups, take_followup
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.paper import abort_all, exit_position, match_order, resume_exits
from streaming.core.readiness import end_exclusion, on_acked, on_lost, on_malformed, on_opened, time_out
from streaming.core.recovery import Carried
from streaming.core.rotation import expire_rotation, on_rotation, watch_expiry
from streaming.core.signals import explain_entry
from streaming.core.specs import end_param_cooldown, observe_spec, on_spec_approved, on_specs, on_status
from streaming.core.state import ControlState, EngineState, MarketState, SessionInfo, TimerKind
from streaming.core.stop import (
    on_arm,
    on_limits,
    on_phase,
    on_rate_use,
    on_reset,
    on_stop,
    on_writer_health,
)
from streaming.core.sweep import start_sweep, sweep
from streaming.core.trades import on_trades
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.answers import on_answered, on_not_sent, on_outcome_unknown, on_sent, time_out_answer
from streaming.core.trading.deadlines import ask_account_again, ask_fills_again, on_address_budget, resume_trading
from streaming.core.trading.dispatch import release_batch
from streaming.core.trading.doubts import on_order_read, pursue_doubt
from streaming.core.trading.events import (
    AccountRead,
    ActionAnswered,
    ActionNotSent,
    ActionOutcomeUnknown,
    ActionSent,
    AddressBudgetRead,
    FillsRead,
    FillsReceived,
    FlattenRequested,
    FundingsReceived,
    OrderRead,
    OrderUpdatesReceived,
    QueryFailed,
    TransfersReceived,
)
from streaming.core.trading.exits import reach_exit
from streaming.core.trading.orders import on_order_updates
from streaming.core.trading.questions import on_query_failed
from streaming.core.trading.ready import on_fills, on_fills_read, on_fundings, on_transfers
from streaming.core.trading.reconcile import on_account_read
from streaming.core.trading.resting import arm_again
from streaming.core.trading.settle import on_flatten, settle
from streaming.core.trigger import set_threshold


def new_state(
    session: SessionInfo,
    limits: Limits,
    specs: tuple[MarketSpec, ...],
    *,
    exit_only: tuple[str, ...] = (),
    carried: Carried | None = None,
) -> EngineState:
    """Return the state of a session before its first event.

    Args:
        session: Its identity.
        limits: Its limits.
        specs: The approved ones of the watched markets.
        exit_only: Markets of `specs` in which nothing may be entered.
        carried: What the session before left; None if there was none.
    """
    state = EngineState(
        session=session,
        limits=limits,
        control=ControlState() if carried is None else carried.control,
        markets={
            spec.coin: MarketState(
                spec=spec, approved_spec_version=spec.spec_version, is_exit_only=spec.coin in exit_only
            )
            for spec in specs
        },
        positions={} if carried is None else carried.positions,
        live=LiveAccount() if carried is None else carried.live,
    )
    # Nothing of ours could be told from a foreign position in a market that we trade: there it counts again.
    state.live.ignored_coins = [coin for coin in state.live.ignored_coins if coin not in state.markets]
    for market in state.markets.values():
        set_threshold(market, limits.detector)
    share_allowances(state)
    return state


def step(state: EngineState, event: AnyEvent) -> list[AnyOutput]:
    """Apply one event to the state and return what follows from it, deadlines that are due first.

    Raises:
        InvariantViolation: Our bug; the process must stop.
    """
    out = decide(state, event)
    if state.entered is not None:
        out += explain(state)
    return out


def decide(state: EngineState, event: AnyEvent) -> list[AnyOutput]:
    """Do the first part of a step; while `state.entered` is set, `explain` has to follow before anything else.

    Raises:
        InvariantViolation: Our bug; the process must stop.
    """
    seq = state.seq + 1
    state.seq = seq
    out: list[AnyOutput] = []
    recv_mono_ns = event.recv_mono_ns
    state.event_mono_ns = recv_mono_ns
    if seq == 1:
        _begin(state, event, out)
    elif state.timers[0][0] <= recv_mono_ns:
        _run_deadlines(state, recv_mono_ns, event.recv_ts_ns, out)
    state.mono_ns = max(state.mono_ns, recv_mono_ns)
    state.ts_ns = event.recv_ts_ns
    _EVENTS[type(event)](state, event, out)
    if state.must_settle:
        settle(state, out)
    return out


def explain(state: EngineState) -> list[AnyOutput]:
    """Do the second part of a step whose first one entered a market: episode, signal, gates, order, follow-ups."""
    out: list[AnyOutput] = []
    explain_entry(state, out)
    return out


def next_deadline_mono_ns(state: EngineState) -> int | None:
    """Return when the engine wants to be called at the latest; None before the first event."""
    return state.timers[0][0] if state.timers else None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(EngineState)


def encode_snapshot(state: EngineState) -> bytes:
    """Return the whole state as msgpack."""
    return _ENCODER.encode(state)


def decode_snapshot(raw: bytes) -> EngineState:
    """Return a state that continues as the encoded one would; raises `msgspec.DecodeError` for foreign bytes."""
    return _DECODER.decode(raw)


def _begin(state: EngineState, event: AnyEvent, out: list[AnyOutput]) -> None:
    # Time is known from the first event on: the fixed clock starts, carried positions and rotation get deadlines.
    state.mono_ns = event.recv_mono_ns
    state.ts_ns = event.recv_ts_ns
    for market in state.markets.values():
        observe_spec(state, market, out)
    start_sweep(state)
    resume_exits(state)
    watch_expiry(state)
    resume_trading(state, out)


def _run_deadlines(state: EngineState, recv_mono_ns: int, recv_ts_ns: int, out: list[AnyOutput]) -> None:
    offset_ns = recv_ts_ns - recv_mono_ns
    timers = state.timers
    while timers and timers[0][0] <= recv_mono_ns:
        due_mono_ns, _, kind, reference, number = heappop(timers)
        state.mono_ns = max(state.mono_ns, due_mono_ns)
        state.ts_ns = state.mono_ns + offset_ns
        _DEADLINES[kind](state, reference, number, out)
        if state.must_settle:
            settle(state, out)


def _count_venue_error(state: EngineState, event: VenueErrorReceived, out: list[AnyOutput]) -> None:  # noqa: ARG001
    state.venue_error_count += 1


def _pass(state: EngineState, event: AnyEvent, out: list[AnyOutput]) -> None:
    """Frames without meaning for markets, and the timer, whose deadlines have run already."""


def _close(state: EngineState, event: SessionClosed, out: list[AnyOutput]) -> None:
    for market in state.markets.values():
        end_all(state, market, out, "session_closed")
    close_followups(state, out, "session_closed")
    abort_all(state, out, f"session_closed: {event.reason}")


_EVENTS: dict[type, Callable[[EngineState, Any, list[AnyOutput]], None]] = {
    BboUpdated: on_bbo,
    CtxUpdated: on_ctx,
    BookUpdated: on_book,
    TradesReceived: on_trades,
    UserFrameReceived: _pass,
    FillsReceived: on_fills,
    OrderUpdatesReceived: on_order_updates,
    FundingsReceived: on_fundings,
    TransfersReceived: on_transfers,
    ActionAnswered: on_answered,
    ActionSent: on_sent,
    ActionNotSent: on_not_sent,
    ActionOutcomeUnknown: on_outcome_unknown,
    AccountRead: on_account_read,
    FillsRead: on_fills_read,
    OrderRead: on_order_read,
    QueryFailed: on_query_failed,
    AddressBudgetRead: on_address_budget,
    FlattenRequested: on_flatten,
    ConnectionOpened: on_opened,
    ConnectionLost: on_lost,
    SubscriptionAcked: on_acked,
    SessionFrameReceived: _pass,
    VenueErrorReceived: _count_venue_error,
    FrameMalformed: on_malformed,
    TimerFired: _pass,
    SpecsReceived: on_specs,
    MarketStatusReceived: on_status,
    RateUseReported: on_rate_use,
    WriterHealthReported: on_writer_health,
    RotationReceived: on_rotation,
    StopRequested: on_stop,
    ResetRequested: on_reset,
    ArmRequested: on_arm,
    PhaseRequested: on_phase,
    SpecApproved: on_spec_approved,
    LimitsReloaded: on_limits,
    SessionClosed: _close,
}

_DEADLINES: dict[TimerKind, Callable[[EngineState, str, int, list[AnyOutput]], None]] = {
    TimerKind.SWEEP: lambda state, _reference, _number, out: sweep(state, out),
    TimerKind.READY_TIMEOUT: time_out,
    TimerKind.EXCLUSION_END: end_exclusion,
    TimerKind.FOLLOWUP: take_followup,
    TimerKind.PAPER_MATCH: lambda state, cloid, _number, out: match_order(state, cloid, out),
    TimerKind.PAPER_EXIT: exit_position,
    TimerKind.PARAM_COOLDOWN: lambda state, coin, number, _out: end_param_cooldown(state, coin, number),
    TimerKind.ROTATION_EXPIRY: lambda state, _reference, version, out: expire_rotation(state, version, out),
    TimerKind.LIVE_EXIT: reach_exit,
    TimerKind.ENTRY_BATCH: lambda state, _reference, _number, out: release_batch(state, out),
    TimerKind.ANSWER_TIMEOUT: lambda state, _reference, action_id, out: time_out_answer(state, out, action_id),
    TimerKind.CANCEL_SWITCH: lambda state, _reference, _number, out: arm_again(state, out),
    TimerKind.DOUBT: lambda state, cloid, _number, out: pursue_doubt(state, out, cloid),
    TimerKind.ACCOUNT: ask_account_again,
    TimerKind.FILLS: ask_fills_again,
}
