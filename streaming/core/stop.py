"""Stop latch, arming, phase, limits at run time, and the account-wide reasons against entries.

Rule 1: the latch keeps its first reason and is reset by an operator only, with a reason; it survives restarts (I-17).
Rule 2: a phase above `paper` needs a session that can sign, and a verdict (`phase`); arming is an act of its own.
Rule 3: limits may tighten at run time, never widen (I-32).
Rule 4: every command is answered, accepted or with every reason at once.
"""

from decimal import Decimal

from streaming.core.allowance import share_allowances
from streaming.core.effects import (
    AnyOutput,
    ArmChanged,
    CommandAnswered,
    LatchChanged,
    LimitsChanged,
    PhaseChanged,
)
from streaming.core.events import (
    ArmRequested,
    LimitsReloaded,
    PhaseRequested,
    RateUseReported,
    ResetRequested,
    StopRequested,
    WriterHealthReported,
)
from streaming.core.latch import report_entries, set_latch
from streaming.core.limits import widened
from streaming.core.phase import PAPER_PHASES, is_promotion, promotion_reasons
from streaming.core.state import EngineState, Latch
from streaming.core.trading.doubts import renew_doubts
from streaming.core.trading.effects import LadderChanged
from streaming.core.trading.fills import report_losses
from streaming.core.trading.losses import rebase_drawdown
from streaming.core.trading.reconcile import adopt_positions, restart_cash
from streaming.core.trigger import set_threshold
from streaming.core.units import NS_PER_S, ONE

LADDER_NO_ENTRIES, LADDER_STOPPED = 3, 4
_LADDER = ((3, Decimal("0.95")), (2, Decimal("0.9")), (1, Decimal("0.8")))
"""Step of the degradation ladder → use of any rate limit from which it holds: polls shed, fewer streams, no entries."""
LADDER_STOP_NS = 10 * NS_PER_S
"""A limit that stays used up for this long stops trading: nothing of ours gets through any more."""


def entries_closed_by(state: EngineState) -> tuple[str, ...]:
    """Name the account-wide controls that forbid entries now; empty when none does."""
    closed: tuple[str, ...] = ()
    if state.control.latch is not None:
        closed += ("stop_latch",)
    if state.is_rate_closed:
        closed += ("rate_limit",)
    if state.is_writer_closed:
        closed += ("writer",)
    if state.is_post_only:
        closed += ("venue_post_only",)
    if state.venue_clock.is_offset_closed:
        closed += ("venue_clock",)
    if state.venue_clock.is_lag_closed:
        closed += ("venue_lag",)
    return closed


def answer(state: EngineState, out: list[AnyOutput], command_id: int, reasons: tuple[str, ...] = ()) -> None:
    """Answer a command: accepted unless there is a reason."""
    out.append(
        CommandAnswered(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            command_id=command_id,
            is_accepted=not reasons,
            reasons=reasons,
        )
    )


def on_stop(state: EngineState, event: StopRequested, out: list[AnyOutput]) -> None:
    """Set the latch, end entries in flight; a second stop is accepted and keeps the first reason."""
    set_latch(state, out, reason=event.reason, operator=event.operator)
    answer(state, out, event.command_id)


def on_reset(state: EngineState, event: ResetRequested, out: list[AnyOutput]) -> None:
    """Clear the latch for an operator who says why; that entries may go on is his next word (`on_arm`)."""
    reasons = _missing(event.reason, event.operator)
    latch = state.control.latch
    if latch is None:
        reasons += ("the stop latch is not set",)
    if not reasons and latch is not None:
        state.control.latch = None
        _start_over(state, out, latch)
        out.append(
            LatchChanged(
                ts_ns=state.ts_ns, mono_ns=state.mono_ns, is_set=False, reason=event.reason, operator=event.operator
            )
        )
        report_entries(state, out, "stop_latch", is_open=True, detail=event.reason)
        _set_armed(state, out, is_armed=False, operator=event.operator)
    answer(state, out, event.command_id, reasons)


def _start_over(state: EngineState, out: list[AnyOutput], latch: Latch) -> None:
    # What an operator's reset means for real trading: he has looked, and takes over what he saw.
    live = state.live
    live.is_latch_applied = live.is_flattening = False
    live.rejection_weight = live.nonce_refusal_count = 0
    live.reset_mono_ns = state.mono_ns
    renew_doubts(state)
    rebase_drawdown(live.losses)
    report_losses(state, out)
    if latch.reason.startswith("foreign_activity"):
        adopt_positions(state, out)
    elif latch.reason.startswith("conservation"):
        restart_cash(state, out)


def on_arm(state: EngineState, event: ArmRequested, out: list[AnyOutput]) -> None:
    """Arm or disarm; arming needs an open latch, disarming is always accepted."""
    reasons: tuple[str, ...] = ()
    latch = state.control.latch
    if event.is_armed and latch is not None:
        reasons = (f"the stop latch is set: {latch.reason}; reset it first",)
    if not reasons:
        _set_armed(state, out, is_armed=event.is_armed, operator=event.operator)
    answer(state, out, event.command_id, reasons)


def _set_armed(state: EngineState, out: list[AnyOutput], *, is_armed: bool, operator: str) -> None:
    if state.control.is_armed != is_armed:
        state.control.is_armed = is_armed
        out.append(ArmChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, is_armed=is_armed, operator=operator))


def on_phase(state: EngineState, event: PhaseRequested, out: list[AnyOutput]) -> None:
    """Approve a phase, or go back to one; micro and above need orders that can be signed, and a verdict to rely on."""
    reasons = _missing(event.reason, event.operator)
    if event.phase not in PAPER_PHASES and not state.session.agent:
        reasons += ("this session can not sign orders: set account and agent_key_file, then start again",)
    elif is_promotion(state.control.phase, event.phase):
        reasons += promotion_reasons(state, event)
    if not reasons and event.phase is not state.control.phase:
        previous, state.control.phase = state.control.phase, event.phase
        share_allowances(state)
        out.append(
            PhaseChanged(
                ts_ns=state.ts_ns,
                mono_ns=state.mono_ns,
                phase=event.phase,
                previous=previous,
                reason=event.reason,
                operator=event.operator,
                verdict_sha256=event.verdict_sha256,
            )
        )
    answer(state, out, event.command_id, reasons)


def on_limits(state: EngineState, event: LimitsReloaded, out: list[AnyOutput]) -> None:
    """Take over tighter limits, whole or not at all."""
    reasons = tuple([f"{name} would get wider" for name in widened(state.limits, event.limits)])
    if not reasons:
        state.limits = event.limits
        share_allowances(state)
        state.venue_clock.forget_bounds()
        for market in state.markets.values():
            set_threshold(market, event.limits.detector)
        out.append(LimitsChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, config_hash=event.config_hash))
    answer(state, out, event.command_id, reasons)


def on_rate_use(state: EngineState, event: RateUseReported, out: list[AnyOutput]) -> None:
    """Close entries at 95 % of any rate limit, open them below, and move along the degradation ladder."""
    state.rate_use_ratio = event.use_ratio
    _move_ladder(state, out, event)
    is_closed = event.use_ratio >= state.limits.rate_use_entries_ratio_max
    if is_closed != state.is_rate_closed:
        state.is_rate_closed = is_closed
        detail = f"{event.limit_name} {_percent(event.use_ratio)}"
        report_entries(state, out, "rate_limit", is_open=not is_closed, detail=detail)


def _move_ladder(state: EngineState, out: list[AnyOutput], event: RateUseReported) -> None:
    live = state.live
    step = next((step for step, ratio in _LADDER if event.use_ratio >= ratio), 0)
    if step < LADDER_NO_ENTRIES:
        live.ladder_full_mono_ns = 0
    elif event.use_ratio >= ONE:
        live.ladder_full_mono_ns = live.ladder_full_mono_ns or state.mono_ns
        if state.mono_ns - live.ladder_full_mono_ns >= LADDER_STOP_NS:
            step = LADDER_STOPPED
    if step == live.ladder_step:
        return
    live.ladder_step = step
    detail = f"{event.limit_name} {_percent(event.use_ratio)}"
    out.append(LadderChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, step=step, reason=detail))
    if step == LADDER_STOPPED:
        set_latch(state, out, reason=f"rate_limit_exhausted: {detail}", operator="engine")


def on_writer_health(state: EngineState, event: WriterHealthReported, out: list[AnyOutput]) -> None:
    """Close entries while what we decide may not reach the disk, or the loop lags."""
    if event.is_healthy == state.is_writer_closed:
        state.is_writer_closed = not event.is_healthy
        detail = f"sync_lag_ms={event.sync_lag_ms} loop_lag_ms={event.loop_lag_ms} queue_count={event.queue_count}"
        report_entries(state, out, "writer", is_open=event.is_healthy, detail=detail)


def _missing(reason: str, operator: str) -> tuple[str, ...]:
    missing = () if reason.strip() else ("a reason is needed",)
    return missing if operator.strip() else (*missing, "an operator is needed")


def _percent(ratio: Decimal) -> str:
    return f"{ratio * 100:.0f} %"
