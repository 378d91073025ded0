"""What real trading does by the clock, and how it begins again after a restart.

Rule 1: reads of the account repeat by themselves while a connection lives; fills that are owed are asked for without.
Rule 2: after a restart nothing is decided anew: orders that were under way are in doubt, positions get their exit back.
"""

from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.state import EngineState, TimerKind
from streaming.core.trading.action_budget import budget_read
from streaming.core.trading.doubts import resume_doubts
from streaming.core.trading.events import AddressBudgetRead
from streaming.core.trading.exit_rules import ExitTrack
from streaming.core.trading.exits import schedule_exit
from streaming.core.trading.losses import after_restart
from streaming.core.trading.questions import RETRY_MS, ask_account, ask_fills, ask_later, is_due
from streaming.core.units import NS_PER_MS, NS_PER_S

RESUME_NS = 3 * NS_PER_S
"""Exits of carried positions wait this long: the account may be proved by then, and they are reduce-only anyway."""
FILLS_MISSING_NS = 60 * NS_PER_S


def ask_account_again(state: EngineState, _: str, due_mono_ns: int, out: list[AnyOutput]) -> None:
    """Read the account, while a connection whose fills are proved stands."""
    if is_due(state, TimerKind.ACCOUNT, due_mono_ns) and state.live.is_fills_proved:
        ask_account(state, out)


def ask_fills_again(state: EngineState, _: str, due_mono_ns: int, out: list[AnyOutput]) -> None:
    """Ask for fills that evidence promised, or that are not proved yet."""
    if not is_due(state, TimerKind.FILLS, due_mono_ns):
        return
    live = state.live
    late = [order for order in live.orders.values() if order.is_over and not order.is_settled]
    if late or (state.is_connected and not live.is_fills_proved):
        ask_fills(state, out, min((order.decided_ts_ns // NS_PER_MS for order in late), default=None))
    if late:
        ask_later(state, TimerKind.FILLS, RETRY_MS)
    for order in late:
        since_mono_ns = max(order.answered_mono_ns, live.reset_mono_ns)  # who resets has just looked
        if order.answered_mono_ns and state.mono_ns - since_mono_ns >= FILLS_MISSING_NS:
            reason = f"fills_missing: {order.coin} {order.cloid}: {order.applied_sz} of {order.filled_sz}"
            set_latch(state, out, reason=reason, operator="engine")


def on_address_budget(state: EngineState, event: AddressBudgetRead, out: list[AnyOutput]) -> None:  # noqa: ARG001
    """Take over what is left of the address budget."""
    budget_read(state.live.budget, event.used_count, event.cap_count, state.mono_ns)


def resume_trading(state: EngineState, out: list[AnyOutput]) -> None:
    """Take up what the session before left."""
    live = state.live
    after_restart(live.losses, state.mono_ns, state.limits.losses)
    resume_doubts(state, out)
    live.is_latch_applied = False
    state.must_settle = state.must_settle or state.control.latch is not None
    for coin in live.positions:
        live.tracks[coin] = ExitTrack()
        schedule_exit(state, coin, state.mono_ns + RESUME_NS)
