"""What the stopping gates do to a market, and how it comes back.

    trading ─► stopped            flat: cancel all
    trading ─► shrinking ─► stopped    in position: cancel all, reduce-only until flat
    stopped ─► trading            every stopping gate passes again, each after its own cooldown

Rule 1: the gate table says which gates stop, flat and in position; here is only the machine that obeys it.
Rule 2: exits always go at full size; a stopped market takes no entries whatever its other gates say.
Rule 3: recovery needs all stopping gates to pass, their cooldowns included: the gates hold those themselves.
"""

from streaming.core.effects import AnyOutput, GateStatus
from streaming.core.gates import GATES
from streaming.core.state import EngineState
from streaming.core.trading.account import open_orders_of
from streaming.core.trading.dispatch import abort_waiting
from streaming.core.trading.effects import MarketStopChanged
from streaming.core.trading.exits import request_exit
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.orders import queue_cancel

_STOPS_FLAT = tuple([index for index, row in enumerate(GATES) if row.action_flat == "cancel all, stop market"])
_STOPS_IN_POSITION = tuple([index for index, row in enumerate(GATES) if row.action_in_position == "shrink, then stop"])


def watch_gates(state: EngineState, coin: str, statuses: list[GateStatus], out: list[AnyOutput]) -> None:
    """Bring a market in line with its gates; called with the statuses of each second.

    Args:
        state: The engine's state.
        coin: A market that is traded for real, or that we hold something in.
        statuses: Of all gates, in the order of the table.
        out: Where outputs go.
    """
    live = state.live
    is_held = coin in live.positions
    gate = _tripped(statuses, _STOPS_IN_POSITION if is_held else _STOPS_FLAT)
    if gate and is_held and coin not in live.shrinking:
        _stop(state, out, coin, gate)
        live.shrinking.append(coin)
        _report(state, out, coin, "shrinking", live.stops[coin])
        request_exit(state, out, coin, f"gate_{gate}")
    elif gate and coin not in live.stops:
        _stop(state, out, coin, gate)
        _report(state, out, coin, "stopped", gate)
    elif coin in live.shrinking and not is_held:
        live.shrinking.remove(coin)
        _report(state, out, coin, "stopped", live.stops[coin])
    elif coin in live.stops and not is_held and not _tripped(statuses, _STOPS_IN_POSITION):
        _report(state, out, coin, "trading", live.stops.pop(coin))


def _stop(state: EngineState, out: list[AnyOutput], coin: str, gate: str) -> None:
    # A market that was stopped flat and is filled afterwards keeps the gate that stopped it first.
    state.live.stops.setdefault(coin, gate)
    abort_waiting(state, out, coin, f"gate_{gate}")
    for order in open_orders_of(state.live, coin):
        if order.status is OrderStatus.RESTING:
            queue_cancel(state, order)


def _tripped(statuses: list[GateStatus], indices: tuple[int, ...]) -> str:
    return next((GATES[index].id.value for index in indices if statuses[index] is GateStatus.BLOCK), "")


def _report(state: EngineState, out: list[AnyOutput], coin: str, name: str, gate: str) -> None:
    reason = "the gate passes again" if name == "trading" else f"the gate {gate} blocks"
    out.append(
        MarketStopChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, coin=coin, state=name, gate=gate, reason=reason)
    )
