"""The stop latch, flattening, and what rests: nothing that adds risk leaves, everything held is closed."""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, a_timer, limits_with, of_type
from trading_builders import OTHER, Desk, a_desk, blocked_by, latch_reasons, refuse, statuses

from streaming.core.effects import CommandAnswered, EntriesChanged, LatchChanged
from streaming.core.events import ArmRequested
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.core.trading.resting import ARM_AGAIN_MS, SWITCH_MS

D = Decimal


def rested(desk: Desk, coin: str = COIN) -> ActionDecided:
    """Let the venue answer that an entry rests, and take what leaves because of it out of the way."""
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.cross(coin)
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.execute(action).answer)
    return action


def test_i17_the_latch_closes_every_position_in_the_same_step_and_entries_stay_shut() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter(COIN)
    desk.enter(OTHER)
    outputs = desk.stop("enough")
    (action,) = of_type(outputs, ActionDecided)
    assert {ticket.coin for ticket in action.orders} == {COIN, OTHER}
    assert all(ticket.is_reduce_only for ticket in action.orders)
    assert not action.may_add_risk
    assert {position.exit_reason for position in desk.live.positions.values()} == {"stop_latch"}
    desk.complete()
    desk.calm()
    desk.run(3_000)
    assert "stop_latch" in blocked_by(desk.cross())
    assert not desk.actions


def test_i20_a_latch_that_is_set_in_the_step_of_an_entry_lets_nothing_of_it_leave() -> None:
    desk = a_desk(COIN, limits=limits_with(actions={"entry_batch_ms": 100}))
    desk.cross()
    desk.at_ms += 100  # the batch is due in the step in which a foreign fill stops trading
    foreign = desk.foreign(OTHER)
    desk.at_ms -= 50
    early = msgspec.structs.replace(foreign, **desk.stamped())
    outputs = desk.feed(early)
    assert desk.latch.startswith("foreign_activity")
    assert statuses(outputs) == ["aborted"]
    desk.run(300)
    assert not [action for action in desk.actions if action.may_add_risk]


def test_f116_what_was_decided_before_the_latch_and_not_sent_ends_as_aborted() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.stop()
    assert desk.orders()[0].status is OrderStatus.INTENT  # only the shell knows whether it left
    outputs = desk.feed(desk.not_sent(action, "stop_latch"))
    assert statuses(outputs) == ["aborted"]
    assert not desk.actions


def test_i18_an_entry_that_fills_after_the_stop_is_closed_at_once() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    desk.stop()
    found = desk.execute(action)
    outputs = desk.feed(found.answer, found.fills)
    assert desk.position().exit_reason == "stop_latch"
    (leaving,) = of_type(outputs, ActionDecided) or (desk.run(600) and [desk.actions[0]])
    assert leaving.orders[0].is_reduce_only


def test_i17_the_first_reason_is_kept_and_only_an_operator_with_a_reason_resets_it() -> None:
    desk = a_desk()
    desk.stop("first")
    desk.stop("second")
    desk.feed(desk.foreign())
    assert desk.latch == "first"
    outputs = desk.reset("  ")
    assert of_type(outputs, CommandAnswered)[0].is_accepted is False
    assert desk.latch == "first"
    desk.complete()
    desk.reset("looked at it")
    assert desk.latch == ""
    assert desk.folded().control.is_armed is False
    desk.calm()
    desk.run(8_000)
    desk.cross()
    assert desk.actions == [], "a reset alone sends nothing"
    desk.arm()
    desk.calm()
    desk.run(8_000)
    desk.cross()
    assert [action.may_add_risk for action in desk.actions] == [True]


def test_after_a_reset_a_second_stop_acts_again() -> None:
    desk = a_desk()
    desk.stop()
    desk.reset()
    desk.arm()
    desk.run(300)
    desk.enter()
    outputs = desk.stop("again")
    assert len(of_type(outputs, ActionDecided)) == 1


def test_a_reset_begins_the_counts_and_the_drawdown_anew_and_writes_it_down() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    for _ in range(5):
        desk.enter()
        desk.calm()
        desk.run(300)
    assert desk.latch.startswith("rejections")
    desk.live.losses.peak_pnl_usd = D(5)
    desk.reset()
    assert desk.live.rejection_weight == 0
    assert desk.live.losses.peak_pnl_usd == desk.live.losses.total_pnl_usd
    assert desk.folded().live.losses == desk.live.losses


def test_f67_sigterm_flattens_without_the_latch_and_entries_stay_shut() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter()
    outputs = desk.flatten()
    assert desk.latch == ""
    assert [(o.control, o.is_open) for o in of_type(outputs, EntriesChanged)] == [("flattening", False)]
    assert of_type(outputs, CommandAnswered)[0].is_accepted
    assert desk.position().exit_reason == "SIGTERM"
    (action,) = of_type(outputs, ActionDecided)
    assert [ticket.is_reduce_only for ticket in action.orders] == [True]
    assert "flattening" in blocked_by(desk.cross(OTHER))
    desk.complete()
    assert not desk.live.positions


def test_f68_a_second_request_is_answered_and_changes_nothing() -> None:
    desk = a_desk()
    desk.enter()
    desk.flatten()
    outputs = desk.flatten("again")
    assert [type(output) for output in outputs] == [CommandAnswered]


def test_f67_an_entry_that_fills_while_we_flatten_is_closed_too() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    desk.flatten()
    desk.feed(*desk.execute(action).all())
    desk.is_executing = True
    desk.run(1_100)
    assert not desk.live.positions


def test_disarming_leaves_what_is_held_to_its_exits() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(ArmRequested(**desk.stamped(), command_id=3, is_armed=False, operator="op"))
    assert not of_type(outputs, ActionDecided)
    assert not of_type(outputs, LatchChanged)
    desk.is_executing = True
    desk.run(5_200)
    assert not desk.live.positions


def test_a_stop_takes_back_what_rests() -> None:
    desk = a_desk()
    rested(desk)
    desk.actions = [action for action in desk.actions if action.kind != "cancel"]
    desk.live.actions = {i: a for i, a in desk.live.actions.items() if a.kind != "cancel"}
    outputs = desk.stop()
    assert [action.kind for action in of_type(outputs, ActionDecided)] == ["cancel"]


def test_a_cancel_beyond_the_budget_is_tried_again_until_it_leaves() -> None:
    desk = a_desk(limits=limits_with(actions={"action_burst_count": 12, "exit_token_count": 10, "action_rate_per_s": 1,
                                              "address_reserve_count": 0}))  # fmt: skip
    desk.live.budget.lacking_token_nanos = 0
    rested(desk)
    first = [action for action in desk.actions if action.kind == "cancel"]
    desk.live.budget.lacking_token_nanos = 12 * 10**9
    for action in first:
        desk.feed(desk.sent(action), desk.unknown(action))
    desk.actions = []
    desk.run(20_000)
    assert [action.kind for action in desk.actions if action.kind == "cancel"]


def test_the_venues_switch_is_armed_once_while_something_rests_and_cleared_with_it() -> None:
    desk = a_desk()
    rested(desk)
    switches = [action for action in desk.actions if action.kind == "schedule_cancel"]
    assert [action.schedule_ts_ms for action in switches] == [switches[0].ts_ns // 10**6 + SWITCH_MS]
    cancels = [action for action in desk.actions if action.kind == "cancel"]
    desk.actions = []
    desk.feed(*[desk.answered(action, statuses=()) for action in switches])
    for action in cancels:
        desk.feed(desk.sent(action), *desk.execute(action).all())
    assert [action.schedule_ts_ms for action in desk.actions] == [None]


def test_a_switch_that_was_cleared_and_armed_anew_has_one_deadline() -> None:
    desk = a_desk(COIN, OTHER)
    rested(desk)
    desk.complete()  # taken back: cleared
    desk.at_ms += 100
    rested(desk, OTHER)
    desk.actions = []
    begin_ms = desk.at_ms
    armed: list[float] = []
    desk.is_answering = False
    while desk.at_ms < begin_ms + ARM_AGAIN_MS + 300:
        desk.at_ms += 50
        desk.feed(a_timer(desk.at_ms))
        armed += [desk.at_ms - begin_ms for action in desk.actions if action.kind == "schedule_cancel"]
        desk.actions = []
    assert armed == [ARM_AGAIN_MS]


def test_a_refused_switch_is_not_tried_again() -> None:
    desk = a_desk()
    rested(desk)
    (switch,) = [action for action in desk.actions if action.kind == "schedule_cancel"]
    desk.feed(desk.answered(switch, code=RefusalCode.SCHEDULE_VOLUME, text="Cannot set scheduled cancel time"))
    desk.actions = []
    desk.run(ARM_AGAIN_MS + 1_000)
    assert not [action for action in desk.actions if action.kind == "schedule_cancel"]


@pytest.mark.parametrize("what", ["stop", "flatten"])
def test_i18_while_stopped_only_reduce_only_orders_and_cancels_leave(what: str) -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter()
    getattr(desk, what)()
    desk.venue.plan = refuse(RefusalCode.NO_MATCH)
    for round_trip in range(10):
        desk.cross(OTHER) if round_trip % 2 else desk.calm(OTHER)
        desk.run(700)
        for action in desk.actions:
            assert not action.may_add_risk
            assert all(ticket.is_reduce_only for ticket in action.orders)
        desk.complete()
    assert desk.position().sz == D("0.499")
    assert latch_reasons(desk.outputs) in ([], ["stop it"])
