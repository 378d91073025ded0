"""The end of a step for real orders: first what must stop, then what may leave.

Rule 1: a latch that was set in this step ends waiting entries and closes every position before anything of the step is
sent (I-20); the shell reads it once more right before signing.
Rule 2: SIGTERM and `hip3 stop` leave by the same door: cancel, then reduce-only until flat.
"""

from streaming.core.effects import AnyOutput
from streaming.core.latch import report_entries
from streaming.core.paper import abort_entries
from streaming.core.state import EngineState
from streaming.core.stop import answer
from streaming.core.trading.dispatch import abort_waiting, dispatch
from streaming.core.trading.events import FlattenRequested
from streaming.core.trading.exits import exit_all
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.orders import queue_cancel
from streaming.core.trading.ready import is_signing, report_ready
from streaming.core.trading.resting import watch_resting


def settle(state: EngineState, out: list[AnyOutput]) -> None:
    """Stop what the latch forbids, then send what this step decided."""
    state.must_settle = False
    live = state.live
    if state.control.latch is not None and not live.is_latch_applied:
        live.is_latch_applied = True
        abort_entries(state, out, "stop_latch")
        stop_trading(state, out, "stop_latch")
    elif live.is_latch_applied or live.is_flattening:
        exit_all(state, out, "stop_latch" if live.is_latch_applied else "flattening")  # filled after the stop
    dispatch(state, out)
    watch_resting(state, out)
    if is_signing(state):
        report_ready(state, out)


def on_flatten(state: EngineState, event: FlattenRequested, out: list[AnyOutput]) -> None:
    """Close everything; entries stay shut for the rest of the session."""
    live = state.live
    if not live.is_flattening:
        live.is_flattening = True
        report_entries(state, out, "flattening", is_open=False, detail=event.reason)
        stop_trading(state, out, event.reason)
    answer(state, out, event.command_id)


def stop_trading(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """End entries that have not left, take back what rests, close every position."""
    abort_waiting(state, out, "", reason)
    for order in state.live.orders.values():
        if order.status is OrderStatus.RESTING:
            queue_cancel(state, order)
    exit_all(state, out, reason)
    state.must_settle = True
