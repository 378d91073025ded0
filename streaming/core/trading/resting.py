"""The venue's own switch: while an order of ours rests, the venue cancels everything unless we say otherwise in time.

Rule 1: armed with the first resting order, armed again before it fires, cleared with the last one: a process that
dies leaves nothing in the book for longer than `SWITCH_MS`.
Rule 2: the venue asks for a volume that small accounts lack (`Cannot set scheduled cancel time until …`): then it is
not tried again, `hip3 doctor` says so, and the watchdog does the same from outside.

Source: hyperliquid.gitbook.io, "Schedule cancel (dead man's switch)": at least 5 s ahead, at most 10 triggers a day.
"""

from streaming.core.effects import AnyOutput
from streaming.core.state import EngineState, TimerKind, schedule
from streaming.core.trading.dispatch import schedule_cancel
from streaming.core.trading.model import OrderStatus
from streaming.core.units import NS_PER_MS

SWITCH_MS = 20_000
ARM_AGAIN_MS = 8_000


def watch_resting(state: EngineState, out: list[AnyOutput]) -> None:
    """Arm the switch with the first order that rests, clear it with the last one that did."""
    live = state.live
    rests = any(order.status is OrderStatus.RESTING for order in live.orders.values())
    if rests and not live.is_switch_armed and live.may_schedule_cancel:
        live.is_switch_armed = True
        _arm(state, out)
    elif live.is_switch_armed and not rests:
        live.is_switch_armed = False
        if live.may_schedule_cancel:
            schedule_cancel(state, out, None)


def arm_again(state: EngineState, out: list[AnyOutput]) -> None:
    """Push the switch back while something still rests."""
    live = state.live
    is_due = state.mono_ns >= live.switch_due_mono_ns  # else it was armed anew meanwhile, with a deadline of its own
    if is_due and live.is_switch_armed and live.may_schedule_cancel:
        _arm(state, out)


def _arm(state: EngineState, out: list[AnyOutput]) -> None:
    schedule_cancel(state, out, state.ts_ns // NS_PER_MS + SWITCH_MS)
    due_mono_ns = state.live.switch_due_mono_ns = state.mono_ns + ARM_AGAIN_MS * NS_PER_MS
    schedule(state, due_mono_ns, TimerKind.CANCEL_SWITCH)
