"""What becomes of an order: answers, updates and fills in every order, refusals, and what the latch counts."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest
from core_builders import COIN, of_type
from trading_builders import (
    OTHER,
    Desk,
    a_desk,
    account_of,
    blocked_by,
    fill_all,
    fill_nothing,
    fill_part,
    latch_reasons,
    ledger_sums,
    refuse,
    statuses,
)

from streaming.core.events import AnyEvent
from streaming.core.limits import Limits
from streaming.core.market import Side
from streaming.core.trading.dispatch import schedule_cancel
from streaming.core.trading.effects import ActionDecided, ActionEnded, LiveFillApplied
from streaming.core.trading.events import ActionAnswered, FillsReceived
from streaming.core.trading.model import ActionStatus, OrderStatus, OrderUpdate
from streaming.core.trading.orders import TRANSITIONS
from streaming.core.trading.refusal import AUTH_CODES, BENIGN, NONCE_CODES, RefusalCode

D = Decimal
PER_ORDER_CODES = sorted(set(RefusalCode) - {RefusalCode.NONE} - AUTH_CODES - NONCE_CODES)


def an_entry(desk: Desk) -> ActionDecided:
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    return action


def a_cancel(desk: Desk) -> ActionDecided:
    """Take the next cancel; the venue's own switch may stand before it."""
    while (action := desk.take_action()).kind != "cancel":
        pass
    return action


def one_fill_each(event: FillsReceived) -> list[AnyEvent]:
    return [msgspec.structs.replace(event, fills=(fill,)) for fill in event.fills]


def test_every_status_has_a_row_in_the_transition_table_and_over_is_final() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)
    over = [status for status in OrderStatus if not TRANSITIONS[status]]
    assert OrderStatus.IN_DOUBT not in over
    assert OrderStatus.RESTING not in over
    assert OrderStatus.NEVER_ARRIVED in over


def test_i02_an_intent_with_cloid_and_nonce_is_recorded_before_its_action() -> None:
    desk = a_desk()
    first, *told = desk.cross()
    action = desk.take_action()
    assert first == action  # what the shell writes before it sends is the intent; its explanation follows
    assert [type(output).__name__ for output in told][-1] == "LiveOrderChanged"
    (order,) = desk.orders()
    assert order.status is OrderStatus.INTENT
    assert (order.nonce, order.expires_ts_ms) == (action.nonce, action.expires_ts_ms)
    assert [ticket.cloid for ticket in action.orders] == [order.cloid]


def test_i06_an_order_names_its_signal_spec_and_the_receipt_that_led_to_it() -> None:
    desk = a_desk()
    desk.cross()
    (order,) = desk.orders()
    assert order.signal_id
    assert order.spec_version == desk.state.markets[COIN].spec.spec_version
    assert order.received_mono_ns == desk.state.mono_ns


@pytest.mark.parametrize("parts", [1, 2])
def test_f29_answer_update_and_fills_in_every_order_end_in_one_state(parts: int) -> None:
    ends = set()
    for order in permutations(range(2 + parts)):
        desk = a_desk()
        desk.venue.parts = parts
        action = an_entry(desk)
        found = desk.execute(action)
        events: list[AnyEvent] = [found.answer, found.updates, *one_fill_each(found.fills)]
        outputs = desk.feed(*[events[index] for index in order])
        assert desk.latch == "", order
        assert not desk.live.orders, order
        position = desk.position()
        ends.add((position.sz, position.cost_ntl, position.fees, position.opened_sz, position.fill_count))
        assert desk.live.cash["xyz"] == D(1_000) - position.fees
        assert len(of_type(outputs, LiveFillApplied)) == parts
        assert not any(ledger_sums(outputs).values())
    assert len(ends) == 1


def test_f29_the_exit_ends_flat_in_every_order_of_answer_update_and_fills() -> None:
    for order in permutations(range(4)):
        desk = a_desk()
        desk.enter()
        desk.venue.parts = 2
        desk.run(5_100)
        action = desk.take_action()
        desk.feed(desk.sent(action))
        found = desk.execute(action)
        events: list[AnyEvent] = [found.answer, found.updates, *one_fill_each(found.fills)]
        desk.feed(*[events[index] for index in order])
        assert desk.latch == "", order
        assert not desk.live.positions, order
        assert not desk.live.orders, order
        assert desk.live.cash == desk.venue.cash


def test_f29_without_any_update_answer_and_fill_are_enough() -> None:
    desk = a_desk()
    action = an_entry(desk)
    found = desk.execute(action)
    desk.feed(found.answer, found.fills)
    assert not desk.live.orders
    assert desk.position().sz == D("0.499")


def test_f29_fill_before_the_note_that_it_was_sent() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    outputs = desk.feed(found.fills, desk.sent(action), found.answer)
    assert statuses(outputs)[-1] == "filled"
    assert not desk.live.orders
    assert not desk.live.actions


def test_an_answer_before_the_note_that_it_was_sent() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.execute(action).answer, desk.sent(action))
    (order,) = desk.orders()
    assert order.status is OrderStatus.FILLED
    assert not order.is_settled  # its fill has not arrived yet


def test_f30_partial_fill_counts_all_tids_and_the_exit_is_sized_from_the_position() -> None:
    desk = a_desk()
    desk.venue.plan, desk.venue.parts = fill_part("0.4"), 3
    outputs = desk.enter()
    position = desk.position()
    assert position.sz == sum(f.fill.sz for f in of_type(outputs, LiveFillApplied)) == D("0.200")
    assert position.fill_count == 3
    assert not desk.live.orders
    desk.run(5_100)
    (ticket,) = desk.take_action().orders
    assert (ticket.sz, ticket.is_reduce_only) == (D("0.200"), True)


def test_f30_an_update_that_says_canceled_keeps_what_was_filled_before() -> None:
    desk = a_desk()
    desk.venue.plan = fill_part("0.4")
    action = an_entry(desk)
    found = desk.execute(action)
    desk.feed(found.updates)
    (order,) = desk.orders()
    assert (order.status, order.filled_sz) == (OrderStatus.PARTLY_FILLED, D("0.200"))
    assert order.open_sz == D("0.200")
    desk.feed(found.fills)
    assert not desk.live.orders


def test_f31_one_fill_by_stream_twice_query_and_snapshot_counts_once() -> None:
    desk = a_desk()
    action = an_entry(desk)
    found = desk.execute(action)
    outputs = desk.feed(found.answer, found.fills, found.fills, desk.snapshot_of_fills())
    desk.run(2_000)
    assert len(of_type(outputs, LiveFillApplied)) == 1
    assert desk.position().sz == D("0.499")
    assert desk.latch == ""


@pytest.mark.parametrize("code", PER_ORDER_CODES)
def test_f21_each_refusal_of_an_order_is_terminal_and_only_those_that_are_not_benign_count(code: RefusalCode) -> None:
    desk = a_desk()
    desk.venue.plan = refuse(code)
    desk.enter()
    assert not desk.live.orders
    assert not desk.live.positions
    counted = 0 if code in BENIGN else 2 if code is RefusalCode.UNKNOWN else 1
    assert desk.live.rejection_weight == counted
    assert desk.latch == ""


def test_f22_an_unknown_text_counts_double_and_is_kept() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.UNKNOWN)
    outputs = desk.enter()
    refused = [o.order for o in outputs if getattr(getattr(o, "order", None), "code", None) is RefusalCode.UNKNOWN]
    assert refused[-1].status is OrderStatus.REJECTED
    assert refused[-1].text == "refused: unknown"
    assert desk.live.rejection_weight == 2


def test_f21_five_refusals_in_a_row_set_the_latch_and_a_fill_forgets_them() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    for _ in range(4):
        desk.enter()
        desk.calm()
        desk.run(300)
    assert desk.latch == ""
    desk.venue.plan = fill_part("1")
    desk.enter()
    assert desk.live.rejection_weight == 0
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    for coin_try in range(5):
        assert desk.latch == "", coin_try
        desk.feed(*[])
        exits = desk.run(5_100 if coin_try == 0 else 600)
        assert exits
        desk.complete()
    assert desk.latch.startswith("rejections: margin")


def test_f23_one_error_for_a_batch_is_the_error_of_every_order_in_it() -> None:
    desk = a_desk(COIN, OTHER, limits=batched(100))
    desk.cross(COIN)
    desk.cross(OTHER)
    desk.run(200)
    action = desk.take_action()
    assert len(action.orders) == 2
    error = ActionStatus(kind="error", code=RefusalCode.TICK, text="tick")
    outputs = desk.feed(desk.sent(action), desk.answered(action, statuses=(error,)))
    for coin in (COIN, OTHER):
        assert statuses(outputs, coin) == ["sent", "rejected"]
    assert not desk.live.orders


@pytest.mark.parametrize("count", [0, 1, 3])
def test_f24_another_number_of_statuses_proves_nothing_about_any_order(count: int) -> None:
    desk = a_desk(COIN, OTHER, limits=batched(100))
    desk.cross(COIN)
    desk.cross(OTHER)
    desk.run(200)
    action = desk.take_action()
    filled = ActionStatus(kind="filled", total_sz=D("0.499"), oid=3)
    desk.feed(desk.sent(action), desk.answered(action, statuses=(filled,) * count))
    assert [order.status for order in desk.live.orders.values()] == [OrderStatus.IN_DOUBT] * 2


@pytest.mark.parametrize(("is_fills_first", "latch"), [(False, "evidence_contradicted: "), (True, "")])
def test_f24_statuses_in_another_order_move_no_position_and_stop_us_when_fills_contradict_them(
    *, is_fills_first: bool, latch: str
) -> None:
    """Fills that were promised and never come stay owed after the stop: only a person can say what is wrong there."""
    desk = a_desk(COIN, OTHER, limits=batched(100))
    desk.cross(COIN)
    desk.cross(OTHER)
    desk.run(200)
    action = desk.take_action()
    desk.venue.plan = lambda ticket: fill_all(ticket) if ticket.coin == COIN else fill_nothing(ticket)
    done = desk.execute(action)
    swapped = msgspec.structs.replace(done.answer, statuses=done.answer.statuses[::-1])
    told = (done.fills, done.updates, swapped) if is_fills_first else (swapped, done.updates, done.fills)
    desk.feed(desk.sent(action), *told)
    held = {coin: position.sz for coin, position in desk.live.positions.items() if position.sz}
    assert held == desk.venue.positions == {COIN: action.orders[0].sz}
    desk.venue.plan = fill_all
    for _ in range(300):
        desk.run(200)
        desk.complete()
    assert desk.latch.startswith(latch) if latch else not desk.latch
    assert desk.venue.positions == {}
    assert not any(position.sz for position in desk.live.positions.values())
    assert [order.coin for order in desk.live.orders.values()] == ([OTHER] if latch else [])


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("no_connection", "not_sent"),
        ("expired", "expired"),
        ("stop_latch", "aborted"),
        ("not_allowed", "aborted"),
        ("rest_in_flight", "not_sent"),
    ],
)
def test_f25_what_never_left_is_released_at_once(reason: str, status: str) -> None:
    desk = a_desk()
    desk.cross()
    outputs = desk.feed(desk.not_sent(desk.take_action(), reason))
    assert statuses(outputs) == [status]
    assert not desk.live.orders
    assert not desk.live.actions
    assert desk.live.budget.in_flight_count == 0
    assert [o.outcome for o in of_type(outputs, ActionEnded)] == ["not_sent"]


def test_f25_not_sent_after_the_answer_was_given_up_is_still_a_proof() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.run(5_100)
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    desk.feed(desk.not_sent(action, "expired"))
    assert not desk.live.orders
    assert desk.latch == ""


def test_f25_not_sent_after_it_was_sent_is_no_proof_but_a_contradiction() -> None:
    desk = a_desk()
    action = an_entry(desk)
    desk.feed(desk.not_sent(action, "what?"))
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT


def test_f33_the_first_nonce_refusal_raises_the_floor_and_the_second_in_a_row_sets_the_latch() -> None:
    desk = a_desk()
    action = an_entry(desk)
    desk.feed(desk.answered(action, code=RefusalCode.NONCE_LOW, text="nonce too low"))
    assert desk.latch == ""
    assert not desk.live.orders
    desk.calm()
    desk.run(200)
    second = an_entry(desk)
    assert second.nonce > action.nonce
    outputs = desk.feed(desk.answered(second, code=RefusalCode.NONCE_DUPLICATE, text="dup"))
    assert latch_reasons(outputs) == ["nonce_refused: dup"]


def test_f33_a_nonce_refusal_is_forgotten_by_an_action_that_went_well() -> None:
    desk = a_desk()
    desk.feed(desk.answered(an_entry(desk), code=RefusalCode.NONCE_LOW, text="low"))
    desk.calm()
    desk.run(200)
    desk.venue.plan = fill_nothing
    desk.enter()
    desk.calm()
    desk.run(200)
    desk.feed(desk.answered(an_entry(desk), code=RefusalCode.NONCE_LOW, text="low"))
    assert desk.latch == ""


@pytest.mark.parametrize("code", sorted(AUTH_CODES))
@pytest.mark.parametrize("is_whole_action", [True, False])
def test_f43_the_first_refusal_of_our_signature_sets_the_latch(code: RefusalCode, *, is_whole_action: bool) -> None:
    desk = a_desk()
    action = an_entry(desk)
    if is_whole_action:
        outputs = desk.feed(desk.answered(action, code=code, text="not you"))
    else:
        outputs = desk.feed(desk.answered(action, statuses=(ActionStatus(kind="error", code=code, text="not you"),)))
    assert latch_reasons(outputs) == ["agent_refused: not you"]
    assert not desk.live.orders


def test_f51_expired_actions_end_their_orders_close_entries_after_three_and_count_until_the_latch() -> None:
    desk = a_desk()
    for count in range(5):
        assert desk.latch == ""
        action = an_entry(desk)
        desk.at_ms += 3_100
        desk.feed(desk.execute(action).answer)
        assert not desk.live.orders
        desk.calm()
        desk.run(300)
        if 2 <= count < 4:
            assert "budget_circuit_open" in blocked_by(desk.cross())
            desk.calm()
            desk.run(60_000)
    assert desk.latch.startswith("rejections: expired")


def test_f51_an_action_in_time_ends_the_row_of_late_ones() -> None:
    desk = a_desk()
    for is_late in (True, True, False, True, True):
        action = an_entry(desk)
        desk.at_ms += 3_100 * is_late
        desk.venue.plan = fill_nothing
        desk.feed(desk.execute(action).answer)
        desk.calm()
        desk.run(300)
    assert "budget_circuit_open" not in blocked_by(desk.cross())


def test_f52_an_ioc_that_finds_nothing_is_benign_and_nobody_chases() -> None:
    desk = a_desk()
    desk.venue.plan = fill_nothing
    outputs = desk.enter()
    outputs += desk.run(3_000)
    assert statuses(outputs)[-1] == "unfilled"
    assert not desk.actions
    assert desk.live.rejection_weight == 0
    assert not desk.live.is_flattening


def test_f53_slippage_is_counted_against_the_touch_that_was_decided_on() -> None:
    desk = a_desk()
    action = an_entry(desk)
    found = desk.execute(action)
    worse = tuple(msgspec.structs.replace(f, px=D("100.12002")) for f in found.fills.fills)
    outputs = desk.feed(msgspec.structs.replace(found.fills, fills=worse))
    (applied,) = of_type(outputs, LiveFillApplied)
    assert applied.slippage_bps == D("10")


def test_f40_an_entry_refused_at_the_cap_ends_and_a_reduce_only_order_still_works() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter(OTHER)
    desk.venue.plan = lambda ticket: ("filled", ticket.sz) if ticket.is_reduce_only else ("oi_cap", D(0))
    desk.enter()
    assert not desk.orders()
    desk.run(6_000)
    desk.complete()
    assert not desk.live.positions
    assert desk.latch == ""


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("canceled", RefusalCode.CANCELED, OrderStatus.CANCELED),
        ("iocCancelRejected", RefusalCode.NO_MATCH, OrderStatus.UNFILLED),
        ("perpMarginRejected", RefusalCode.MARGIN, OrderStatus.REJECTED),
        ("marginCanceled", RefusalCode.MARGIN, OrderStatus.CANCELED),
        ("scheduledCancel", RefusalCode.SCHEDULED_CANCEL, OrderStatus.CANCELED),
        ("delistedCanceled", RefusalCode.DELISTED, OrderStatus.CANCELED),
    ],
)
@pytest.mark.parametrize("is_open_first", [False, True])
def test_i03_a_status_of_the_stream_ends_the_order_it_names(
    status: str, code: RefusalCode, expected: OrderStatus, *, is_open_first: bool
) -> None:
    desk = a_desk()
    desk.venue.plan = fill_nothing
    found = desk.execute(an_entry(desk))
    (update,) = found.updates.updates
    ended = msgspec.structs.replace(update, status=status, code=code, left_sz=update.original_sz)
    events: list[OrderUpdate] = [msgspec.structs.replace(update, status="open")] if is_open_first else []
    outputs = desk.feed(msgspec.structs.replace(found.updates, updates=(*events, ended)))
    assert statuses(outputs)[-1] == expected.value
    assert not desk.live.orders


def test_i03_a_status_word_that_nobody_knows_ends_nothing() -> None:
    desk = a_desk()
    found = desk.execute(an_entry(desk))
    (update,) = found.updates.updates
    strange = msgspec.structs.replace(update, status="pondering", code=RefusalCode.UNKNOWN)
    desk.feed(msgspec.structs.replace(found.updates, updates=(strange,)))
    assert desk.orders()[0].status is OrderStatus.SENT


def test_i03_an_answer_without_an_outcome_leaves_the_order_in_doubt_until_the_venue_is_asked() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("waiting", D(0))
    action = an_entry(desk)
    desk.feed(desk.execute(action).answer)
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT


def test_an_ioc_that_rests_is_taken_back_until_it_is_gone() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.feed(desk.execute(an_entry(desk)).answer)
    lost = a_cancel(desk)
    assert not lost.may_add_risk
    desk.feed(desk.sent(lost), desk.unknown(lost))  # the cancel itself is lost
    desk.run(8_000)
    again = a_cancel(desk)
    desk.feed(desk.sent(again), *desk.execute(again).all())
    assert not desk.live.orders
    assert desk.latch == ""


def test_an_ioc_that_the_stream_calls_open_and_that_never_ends_is_taken_back() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("waiting", D(0))
    found = desk.execute(an_entry(desk))
    desk.feed(found.updates, found.answer)
    desk.run(7_000)
    assert a_cancel(desk).cancels


def test_a_cancel_that_was_answered_leaves_nothing_behind() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.feed(desk.execute(an_entry(desk)).answer)
    desk.complete()
    assert not desk.live.actions
    assert not desk.live.orders


def test_no_cancel_leaves_for_an_order_that_ended_in_the_same_step() -> None:
    desk = a_desk()
    found = desk.execute(an_entry(desk))
    (update,) = found.updates.updates
    opened = msgspec.structs.replace(update, status="open")
    desk.feed(msgspec.structs.replace(found.updates, updates=(opened, update)))
    assert not desk.actions


def test_f42_fills_of_nobody_and_of_an_order_that_is_over_do_not_reopen_it() -> None:
    desk = a_desk()
    desk.venue.plan = fill_nothing
    action = an_entry(desk)
    found = desk.execute(action)
    desk.feed(found.answer)
    desk.feed(found.answer, found.updates)
    assert not desk.live.orders
    assert not desk.live.positions


def test_evidence_that_promises_more_fills_than_came_waits_for_them_and_then_asks() -> None:
    desk = a_desk()
    desk.venue.parts = 2
    action = an_entry(desk)
    found = desk.execute(action)
    first, _ = one_fill_each(found.fills)
    desk.feed(found.answer, first)
    (order,) = desk.orders()
    assert order.is_over
    assert not order.is_settled
    desk.run(1_200)
    assert not desk.live.orders
    assert desk.position().sz == D("0.499")
    assert desk.position().fill_count == 2


def test_evidence_whose_fills_never_come_keeps_asking_and_sets_the_latch_after_a_minute() -> None:
    desk = a_desk()
    action = an_entry(desk)
    filled = ActionStatus(kind="filled", total_sz=D("0.499"), oid=3)
    desk.feed(desk.answered(action, statuses=(filled,)))
    desk.run(59_000)
    assert desk.latch == ""
    desk.run(4_000)
    assert desk.latch.startswith("fills_missing")
    assert desk.orders()[0].open_sz == D("0.499")
    desk.reset("looked")
    desk.run(59_000)
    assert desk.latch == "", "he has looked: they have another minute"
    desk.run(4_000)
    assert desk.latch.startswith("fills_missing")


def test_f32_a_cloid_is_never_used_again_by_us() -> None:
    desk = a_desk()
    desk.venue.plan = fill_nothing
    seen: set[str] = set()
    for _ in range(4):
        desk.cross()
        (ticket,) = desk.actions[0].orders
        assert ticket.cloid not in seen
        seen.add(ticket.cloid)
        desk.complete()
        desk.calm()
        desk.run(200)


@pytest.mark.parametrize("sz", ["0.499", "0.001"])
def test_f32_fills_beyond_what_an_order_asked_for_are_applied_and_stop_trading(sz: str) -> None:
    """A second order with our cloid (I-01): what is held is more than was ever decided, so no cap of ours bounds it."""
    desk = a_desk()
    desk.cross()
    (ticket,) = desk.actions[0].orders
    desk.complete()
    assert (desk.position().sz, desk.latch) == (ticket.sz, "")
    desk.feed(desk.foreign(sz=sz, cloid=ticket.cloid))
    assert desk.latch.startswith("evidence_contradicted: ")
    assert desk.position().sz == ticket.sz + D(sz)
    desk.run(2_000)
    desk.complete()
    assert not desk.live.positions
    assert desk.venue.positions == {}


def test_frames_of_another_connection_are_counted_and_change_nothing() -> None:
    desk = a_desk()
    action = an_entry(desk)
    found = desk.venue.execute(action, desk.at_ms, generation=desk.generation - 1)
    stale = desk.state.stale_frame_count
    desk.feed(found.updates, found.fills)
    assert desk.state.stale_frame_count == stale + 2
    assert not desk.live.positions


def test_f118_a_rebate_pays_us_and_balances() -> None:
    desk = a_desk()
    desk.venue.fee_ratio = D("-0.0001")
    outputs = desk.enter()
    assert not any(ledger_sums(outputs).values())
    assert account_of(outputs, "fees") < 0
    assert desk.live.cash["xyz"] > D(1_000)
    assert desk.live.cash == desk.venue.cash


def batched(ms: int) -> Limits:
    base = Limits()
    return msgspec.structs.replace(base, actions=msgspec.structs.replace(base.actions, entry_batch_ms=ms))


def test_f33_the_least_nonce_the_venue_keeps_is_taken_over_from_its_words() -> None:
    desk = a_desk()
    action = an_entry(desk)
    least = action.nonce + 50_000
    text = f"Invalid nonce: nonce too low {action.nonce} < {least}"
    desk.feed(
        ActionAnswered(
            **desk.stamped(), action_id=action.action_id, generation=desk.generation, code=RefusalCode.NONCE_LOW,
            text=text,
        )
    )  # fmt: skip
    assert desk.live.nonce.last == least


def test_notes_about_actions_that_nobody_knows_are_nothing() -> None:
    desk = a_desk()
    known = an_entry(desk)
    strange = msgspec.structs.replace(known, action_id=999)
    notes = [desk.sent(strange), desk.not_sent(strange, "expired"), desk.unknown(strange), desk.answered(strange)]
    assert desk.feed(*notes) == []
    assert desk.orders()[0].status is OrderStatus.SENT


def test_a_doubt_that_is_one_already_stays_as_it_is() -> None:
    desk = a_desk()
    action = an_entry(desk)
    desk.feed(desk.unknown(action, "first"))
    (before,) = desk.orders()
    desk.run(300)
    desk.feed(desk.unknown(action, "second"))
    assert desk.orders() == [before]
    desk.feed(desk.execute(action).fills)
    assert desk.feed(desk.unknown(action, "third")) == []


def test_a_cancel_that_never_left_is_tried_again() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.feed(desk.execute(an_entry(desk)).answer)
    cancels = [action for action in desk.actions if action.kind == "cancel"]
    desk.feed(*[desk.not_sent(action, "no_connection") for action in cancels])
    assert desk.orders()[0].status is OrderStatus.RESTING
    desk.actions = []
    desk.run(7_000)
    assert [action for action in desk.actions if action.kind == "cancel"]


def test_an_answer_that_says_resting_before_the_note_that_it_was_sent() -> None:
    desk = a_desk()
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.cross()
    action = desk.take_action()
    outputs = desk.feed(desk.execute(action).answer, desk.execute(action).answer)
    assert statuses(outputs) == ["sent", "resting", "rejected"]  # the second one: our cloid was used (HL-01)


def test_an_answer_raises_what_an_update_promised_and_the_rest_is_waited_for() -> None:
    desk = a_desk()
    found = desk.execute(an_entry(desk))
    (update,) = found.updates.updates
    early = msgspec.structs.replace(update, status="canceled", code=RefusalCode.CANCELED, left_sz=D("0.299"))
    desk.feed(msgspec.structs.replace(found.updates, updates=(early,)), found.answer)
    (order,) = desk.orders()
    assert (order.status, order.filled_sz, order.is_settled) == (OrderStatus.PARTLY_FILLED, D("0.499"), False)
    desk.run(1_200)
    assert not desk.live.orders
    assert desk.position().sz == D("0.499")


def test_an_exit_that_is_reported_as_filled_when_nothing_is_held_any_more_owes_nothing() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    desk.feed(desk.sent(action))
    settled = desk.foreign(COIN, Side.SELL, "0.499", direction="Settlement")
    (order,) = desk.orders()
    told = OrderUpdate(
        coin=COIN,
        cloid=order.cloid,
        oid=9,
        side=order.side,
        limit_px=order.limit_px,
        left_sz=D(0),
        original_sz=order.sz,
        status="filled",
        code=RefusalCode.NONE,
        venue_ts_ms=1,
    )
    desk.feed(settled)
    desk.feed(msgspec.structs.replace(desk.execute(action).updates, updates=(told,)))
    assert not desk.live.orders
    assert desk.latch == ""


def test_settled_orders_are_remembered_for_what_comes_late_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.core.trading.account.RECENT_COUNT_MAX", 2)
    desk = a_desk()
    desk.venue.plan = fill_nothing
    for _ in range(4):
        desk.enter()
        desk.calm()
        desk.run(200)
    assert len(desk.live.recent_orders) == 2


def test_the_venues_switch_beyond_the_budget_is_left_out() -> None:
    desk = a_desk()
    desk.live.budget.lacking_token_nanos = 39 * 10**9
    desk.live.budget.refill_mono_ns = desk.state.mono_ns
    out: list[Any] = []
    schedule_cancel(desk.state, out, 1_790_000_100_000)
    assert out == []
