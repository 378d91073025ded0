"""The venue's clock against ours: late data looks fresh by its receipt, and a wrong clock makes every stamp lie.

The delay of a bbo, our wall clock at receipt minus the venue's time, is the latency of the way plus the offset of the
two clocks. The least one of the last windows stands for that offset; what a delay has beyond the least is lag.

Rule 1: an offset of `venue_offset_ms_max` or more, either way, closes entries as `venue_clock` (F-62).
Rule 2: a lag above `venue_lag_ms_max` closes entries as `venue_lag` until none was seen for `HOLD_NS` (F-06).
Rule 3: the first bbo of a subscription repeats an old one, and a jump of the venue's time is not believed (F-16):
neither is observed. A jump is ahead of where the venue's clock must be by now, by what all markets have shown and our
monotonic clock: a market's last time may be that of a touch of long ago, and our wall clock may step.
Rule 4: a delay inside the bounds says nothing new, so the hot path is one subtraction and two comparisons.
"""

from streaming.core.effects import AnyOutput
from streaming.core.latch import report_entries
from streaming.core.state import EngineState
from streaming.core.units import NS_PER_MS, NS_PER_S

JUMP_MS_MAX = 60_000
"""A venue time further ahead than this earns no freshness, and is not observed (F-16)."""
WINDOW_NS = 30 * NS_PER_S
"""The least delay is that of this window and the one before, so a way that got longer is accepted after a minute."""
HOLD_NS = 2 * NS_PER_S


def observe_delay(state: EngineState, out: list[AnyOutput], delay_ns: int) -> None:
    """Take a delay outside the bounds: a new least one, or one that is too long."""
    clock, now = state.venue_clock, state.mono_ns
    if clock.window_least_ns is None or delay_ns < clock.window_least_ns:
        clock.window_least_ns = delay_ns
        clock.window_lead_ns = state.ts_ns - delay_ns - now
        _judge_offset(state, out)
    lag_ns = delay_ns - clock.offset_ns
    if lag_ns > state.limits.venue_lag_ms_max * NS_PER_MS:
        clock.late_mono_ns = now
        _close_for_lag(state, out, lag_ns, is_closed=True)
    elif now - clock.late_mono_ns >= HOLD_NS:
        _close_for_lag(state, out, lag_ns, is_closed=False)
    _set_bounds(state)


def roll_window(state: EngineState, out: list[AnyOutput]) -> None:
    """Begin the next window once `window_end_mono_ns` has been reached."""
    clock = state.venue_clock
    clock.window_end_mono_ns = state.mono_ns + WINDOW_NS
    clock.window_before_least_ns, clock.window_least_ns = clock.window_least_ns, None
    if clock.window_lead_ns is not None:  # without a bbo in a window the one before stands
        clock.window_before_lead_ns, clock.window_lead_ns = clock.window_lead_ns, None
    _judge_offset(state, out)
    _set_bounds(state)


def is_jump(state: EngineState, venue_ts_ms: int) -> bool:
    """Tell whether the venue time of the event in hand is too far ahead of where the venue's clock must be by now.

    Never while the offset of the clocks closes entries: then what was seen before is as doubtful as this time is, and
    only times that are believed can open them again.
    """
    clock = state.venue_clock
    leads = [ns for ns in (clock.window_lead_ns, clock.window_before_lead_ns) if ns is not None]
    if not leads or clock.is_offset_closed:
        return False
    return venue_ts_ms * NS_PER_MS - state.mono_ns > max(leads) + JUMP_MS_MAX * NS_PER_MS


def _judge_offset(state: EngineState, out: list[AnyOutput]) -> None:
    clock = state.venue_clock
    known = [ns for ns in (clock.window_least_ns, clock.window_before_least_ns) if ns is not None]
    if known:  # without a bbo in two windows the last offset stands
        clock.offset_ns = min(known)
    is_closed = abs(clock.offset_ns) >= state.limits.venue_offset_ms_max * NS_PER_MS
    if is_closed is not clock.is_offset_closed:
        clock.is_offset_closed = is_closed
        detail = f"offset_ms={clock.offset_ns // NS_PER_MS}"
        report_entries(state, out, "venue_clock", is_open=not is_closed, detail=detail)


def _close_for_lag(state: EngineState, out: list[AnyOutput], lag_ns: int, *, is_closed: bool) -> None:
    clock = state.venue_clock
    if is_closed is not clock.is_lag_closed:
        clock.is_lag_closed = is_closed
        report_entries(state, out, "venue_lag", is_open=not is_closed, detail=f"lag_ms={lag_ns // NS_PER_MS}")


def _set_bounds(state: EngineState) -> None:
    clock = state.venue_clock
    least_ns = clock.window_least_ns
    if least_ns is None or clock.is_lag_closed:
        clock.forget_bounds()
        return
    clock.low_ns = least_ns
    clock.high_ns = clock.offset_ns + state.limits.venue_lag_ms_max * NS_PER_MS
