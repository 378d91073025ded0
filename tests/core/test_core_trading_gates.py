"""Each of the 8 gates on a market that is traded for real: it trips, it acts flat and in position, and it recovers."""

from collections.abc import Callable

import msgspec
import pytest
from core_builders import COIN, a_bbo, a_ctx, a_poll, a_spec, a_status, limits_with, of_type
from trading_builders import ACCOUNT, Desk, a_desk, blocked_by, statuses

from streaming.core.effects import AnyOutput, GateChanged, GateId, GateStatus
from streaming.core.events import SpecApproved, SpecsReceived
from streaming.core.gates import GATES
from streaming.core.trading.effects import MarketStopChanged
from streaming.core.trading.model import OrderStatus

STOPPING_FLAT = {GateId.PARAM_CHANGE, GateId.HALT, GateId.TIME_REGRESSION}
STOPPING_HELD = STOPPING_FLAT | {GateId.NO_BBO_UPDATE}


class Fault(msgspec.Struct, frozen=True):
    """How a gate is brought to trip by real events, and how its cause goes away."""

    trip: Callable[[Desk], object]
    heal: Callable[[Desk], object]
    recovery_ms: int
    """Cooldown of the gate; 0 recovers with its input."""


def quiet(desk: Desk, ms: int, *, is_bbo: bool) -> None:
    """Let only one of the two feeds go on."""
    for _ in range(ms // 100):
        desk.at_ms += 100
        event = (
            a_bbo(desk.at_ms)
            if is_bbo
            else a_ctx(desk.at_ms, mid_px="100.5", oracle_px=desk.quotes[COIN][2], generation=desk.generation)
        )
        desk.feed(event)


def diverge(desk: Desk) -> None:
    desk.feed(a_ctx(desk.at_ms, mark_px="101", oracle_px=desk.quotes[COIN][2]))
    desk.at_ms += 1_000
    desk.feed(a_bbo(desk.at_ms), a_ctx(desk.at_ms, mark_px="101", oracle_px=desk.quotes[COIN][2]))


def shock(desk: Desk) -> None:
    desk.quotes[COIN] = ("99.82", "100.18", desk.quotes[COIN][2])
    desk.run(1_100)


def cap(desk: Desk) -> None:
    desk.feed(a_poll(desk.at_ms, a_status(COIN, is_at_oi_cap=True)))
    desk.run(1_000)


def halt(desk: Desk) -> None:
    desk.feed(a_poll(desk.at_ms, a_status(COIN, is_halted=True)))
    desk.run(1_000)


def change_spec(desk: Desk) -> None:
    spec = a_spec(COIN, asset_id=110_000, leverage_max=5, spec_version="changed")
    desk.feed(SpecsReceived(**desk.stamped(), specs=(spec,)))
    desk.run(1_000)


def poll_again(desk: Desk) -> None:
    spec = a_spec(COIN, asset_id=110_000, leverage_max=5, spec_version="changed")
    desk.feed(SpecsReceived(**desk.stamped(), specs=(spec,)))


def regress(desk: Desk) -> None:
    desk.feed(a_bbo(desk.at_ms, venue_ts_ms=1))
    desk.run(1_000)


def reconnect(desk: Desk) -> None:
    desk.lose()
    desk.at_ms += 100
    desk.connect()


def nothing(desk: Desk) -> None:
    """The next quotes are the cure."""


FAULTS: dict[GateId, Fault] = {
    GateId.ORACLE_FRESH: Fault(lambda desk: quiet(desk, 9_100, is_bbo=True), nothing, 0),
    GateId.MARK_MID_DIVERGENCE: Fault(diverge, nothing, 0),
    GateId.SPREAD_SHOCK: Fault(
        shock, lambda desk: desk.quotes.__setitem__(COIN, ("99.98", "100.02", desk.quotes[COIN][2])), 5_000
    ),
    GateId.OI_CAP: Fault(cap, lambda desk: desk.feed(desk.status()), 0),
    GateId.PARAM_CHANGE: Fault(change_spec, poll_again, 30_000),
    GateId.HALT: Fault(halt, lambda desk: desk.feed(desk.status()), 60_000),
    GateId.NO_BBO_UPDATE: Fault(lambda desk: quiet(desk, 3_100, is_bbo=False), nothing, 0),
    GateId.TIME_REGRESSION: Fault(regress, reconnect, 0),
}


def gate_status(desk: Desk, gate: GateId) -> GateStatus:
    index = [row.id for row in GATES].index(gate)
    return desk.state.markets[COIN].gate_statuses[index]


def held_desk() -> Desk:
    patient = limits_with(exits={"time_stop_ms": 600_000})
    desk = a_desk(limits=patient)
    desk.enter()
    desk.run(200)
    return desk


def test_every_gate_of_the_table_has_a_fault_here() -> None:
    assert list(FAULTS) == [row.id for row in GATES]
    assert {row.id for row in GATES if row.action_flat == "cancel all, stop market"} == STOPPING_FLAT
    assert {row.id for row in GATES if row.action_in_position == "shrink, then stop"} == STOPPING_HELD


@pytest.mark.parametrize("gate", list(FAULTS))
def test_a_gate_trips_flat_forbids_the_entry_stops_the_market_if_it_is_of_that_kind_and_recovers(gate: GateId) -> None:
    desk = a_desk()
    fault = FAULTS[gate]
    fault.trip(desk)
    assert gate_status(desk, gate) is not GateStatus.PASS
    outputs = signal_that_heals_nothing(desk, gate)
    assert gate.value in blocked_by(outputs)
    assert not desk.actions
    assert (COIN in desk.live.stops) is (gate in STOPPING_FLAT)
    desk.calm()
    before = desk.at_ms
    fault.heal(desk)
    if fault.recovery_ms:
        desk.run(fault.recovery_ms - 2_000)
        assert gate_status(desk, gate) is not GateStatus.PASS
    desk.run(5_000)
    assert gate_status(desk, gate) is GateStatus.PASS
    assert desk.at_ms - before >= fault.recovery_ms
    assert COIN not in desk.live.stops
    desk.cross()
    assert [action.may_add_risk for action in desk.actions] == [True]


def signal_that_heals_nothing(desk: Desk, gate: GateId) -> list[AnyOutput]:
    """Raise a signal by the feed that the gate does not look at."""
    if gate in {GateId.ORACLE_FRESH, GateId.MARK_MID_DIVERGENCE}:
        return desk.feed(a_bbo(desk.at_ms, ask_px="99.9", bid_px="99.86"))
    if gate is GateId.NO_BBO_UPDATE:
        return desk.feed(a_ctx(desk.at_ms, oracle_px="100.3", mid_px="100.5"))
    return desk.cross()


@pytest.mark.parametrize("gate", list(FAULTS))
def test_a_gate_trips_in_position_and_exits_at_full_size_exactly_if_it_is_of_that_kind(gate: GateId) -> None:
    desk = held_desk()
    FAULTS[gate].trip(desk)
    exits = [action for action in desk.actions if not action.may_add_risk]
    if gate in STOPPING_HELD:
        (action,) = exits
        (ticket,) = action.orders
        assert ticket.sz == abs(desk.position().sz)
        assert ticket.is_reduce_only
        assert desk.position().exit_reason == f"gate_{gate}"
        assert COIN in desk.live.shrinking
        changes = [(o.state, o.gate) for o in of_type(desk.outputs, MarketStopChanged)]
        assert changes[-1] == ("shrinking", gate.value)
        desk.complete()
        assert not desk.live.positions
        desk.run(1_100, is_quoting=False)
        assert COIN not in desk.live.shrinking
    else:
        assert not desk.position().exit_reason.startswith("gate_")
        assert COIN not in desk.live.stops


@pytest.mark.parametrize("gate", sorted(STOPPING_HELD))
def test_a_market_that_was_shrunk_trades_again_only_after_the_gate_passes(gate: GateId) -> None:
    desk = held_desk()
    fault = FAULTS[gate]
    fault.trip(desk)
    desk.complete()
    desk.calm()
    fault.heal(desk)
    desk.is_executing = True
    desk.run(fault.recovery_ms + 5_000)
    states = [o.state for o in of_type(desk.outputs, MarketStopChanged)]
    assert states[-3:] == ["shrinking", "stopped", "trading"]
    assert desk.live.stops == {}
    desk.is_executing = False
    desk.cross()
    assert desk.actions


def test_f37_a_halt_while_flat_stops_the_market_once_and_says_so() -> None:
    desk = a_desk()
    halt(desk)
    desk.run(3_000)
    changes = [(o.state, o.gate, o.reason) for o in of_type(desk.outputs, MarketStopChanged)]
    assert changes == [("stopped", "halt", "the gate halt blocks")]


def test_an_entry_in_flight_that_fills_after_the_stop_is_shrunk_at_once() -> None:
    desk = a_desk(limits=limits_with(exits={"time_stop_ms": 600_000}))
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    halt(desk)
    assert COIN in desk.live.stops
    desk.feed(*desk.execute(action).all())
    desk.run(1_100)
    (leaving,) = desk.actions
    assert leaving.orders[0].is_reduce_only
    assert desk.position().exit_reason == "gate_halt"


def test_an_entry_that_waits_for_its_batch_ends_when_its_market_stops() -> None:
    desk = a_desk(limits=limits_with(actions={"entry_batch_ms": 1_000}))
    desk.run(100)
    desk.cross()
    assert desk.orders()[0].status is OrderStatus.INTENT
    outputs = desk.feed(a_poll(desk.at_ms, a_status(COIN, is_halted=True)))
    outputs += desk.run(950)
    assert statuses(outputs) == ["aborted"]
    assert not desk.actions


def test_what_rests_is_taken_back_when_its_market_stops() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    (order,) = desk.orders()
    desk.live.orders[order.cloid] = msgspec.structs.replace(order, status=OrderStatus.RESTING)
    halt(desk)
    (cancel,) = [action for action in desk.actions if action.kind == "cancel"]
    assert [ticket.cloid for ticket in cancel.cancels] == [order.cloid]


def test_a_repeated_change_of_the_spec_stays_stopped_until_an_operator_approves_it() -> None:
    desk = a_desk()
    change_spec(desk)
    poll_again(desk)
    desk.run(32_000)
    assert desk.live.stops == {}
    spec = a_spec(COIN, asset_id=110_000, leverage_max=3, spec_version="changed again")
    for _ in range(2):
        desk.feed(SpecsReceived(**desk.stamped(), specs=(spec,)))
        desk.run(40_000)
    assert COIN in desk.live.stops
    desk.feed(SpecApproved(**desk.stamped(), command_id=4, coin=COIN, operator="op"))
    desk.run(1_100)
    assert desk.live.stops == {}


def test_transitions_of_gates_are_written_for_a_real_market() -> None:
    desk = a_desk()
    cap(desk)
    changed = [o for o in of_type(desk.outputs, GateChanged) if o.gate is GateId.OI_CAP]
    assert changed[-1].current is GateStatus.BLOCK
    assert desk.state.session.account == ACCOUNT
