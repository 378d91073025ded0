"""Follow-ups: the market at fixed offsets after every signal, taken or blocked, both book sides.

Rule 1: missing data is a row that says so, with its reason; a horizon never silently disappears.
Rule 2: a connection that was lost in between voids the horizon, although the market may be back (evidence section 2).
"""

from decimal import Decimal

from streaming.core.effects import AnyOutput, FollowupTaken
from streaming.core.market import BookClass, Side
from streaming.core.state import EngineState, PendingFollowup, TimerKind, schedule
from streaming.core.units import NS_PER_MS


def plan_followups(state: EngineState, coin: str, signal_id: str, side: Side, entry_px: Decimal) -> None:
    """Schedule the configured offsets for a signal raised now."""
    offsets_ms = state.limits.detector.followup_offsets_ms
    if not offsets_ms:
        return
    state.followups[signal_id] = PendingFollowup(
        coin=coin,
        side=side,
        entry_px=entry_px,
        signal_ts_ns=state.ts_ns,
        generation=state.generation,
        remaining_count=len(offsets_ms),
    )
    for offset_ms in offsets_ms:
        schedule(state, state.mono_ns + offset_ms * NS_PER_MS, TimerKind.FOLLOWUP, signal_id, offset_ms)


def take_followup(state: EngineState, signal_id: str, offset_ms: int, out: list[AnyOutput]) -> None:
    """Write one follow-up as of its deadline."""
    _take(state, signal_id, offset_ms, out, "")


def close_followups(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """Write every outstanding follow-up as missing, in the order of their deadlines."""
    for timer in sorted(timer for timer in state.timers if timer[2] is TimerKind.FOLLOWUP):
        _take(state, timer[3], timer[4], out, reason)


def _take(state: EngineState, signal_id: str, offset_ms: int, out: list[AnyOutput], missing_reason: str) -> None:
    pending = state.followups.get(signal_id)
    if pending is None:
        return
    pending.remaining_count -= 1
    if pending.remaining_count == 0:
        del state.followups[signal_id]
    market = state.markets[pending.coin]
    if not missing_reason:
        if pending.generation != state.live_generation:
            missing_reason = "connection_lost"
        elif market.is_time_regressed:
            missing_reason = "time_regression"
        elif market.book_class is not BookClass.VALID:
            missing_reason = f"book_{market.book_class}"
    out.append(
        FollowupTaken(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=pending.coin,
            signal_id=signal_id,
            side=pending.side,
            offset_ms=offset_ms,
            signal_ts_ns=pending.signal_ts_ns,
            entry_px=pending.entry_px,
            is_missing=bool(missing_reason),
            missing_reason=missing_reason,
            book=market.snapshot(state.mono_ns),
        )
    )
