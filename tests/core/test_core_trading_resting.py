"""The venue's own switch is armed while an order of ours rests, pushed back in time, and cleared afterwards."""

from core_builders import COIN, of_type
from trading_builders import Desk, a_desk, canceled

from streaming.core.events import AnyEvent
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.events import ActionAnswered, OrderUpdatesReceived
from streaming.core.trading.model import ActionStatus, OrderUpdate
from streaming.core.trading.refusal import RefusalCode


def a_resting_desk() -> Desk:
    """An entry that the venue, against all documents, put into the book."""
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action), an_answer(desk, action, ActionStatus(kind="resting", oid=77)))
    return desk


def an_answer(desk: Desk, action: ActionDecided, status: ActionStatus) -> ActionAnswered:
    return ActionAnswered(**desk.stamped(), action_id=action.action_id, generation=desk.generation, statuses=(status,))


def the_end(desk: Desk) -> AnyEvent:
    (order,) = desk.orders()
    update = OrderUpdate(
        coin=COIN, cloid=order.cloid, oid=77, side=order.side, limit_px=order.limit_px, left_sz=order.sz,
        original_sz=order.sz, status="canceled", code=RefusalCode.CANCELED, venue_ts_ms=1,
    )  # fmt: skip
    return OrderUpdatesReceived(**desk.stamped(), generation=desk.generation, updates=(canceled(update),))


def switches(desk: Desk) -> list[int | None]:
    """When the venue was asked to cancel everything, relative to now; None clears."""
    now_ms = desk.state.ts_ns // 1_000_000
    return [
        None if action.schedule_ts_ms is None else action.schedule_ts_ms - now_ms
        for action in of_type(desk.outputs, ActionDecided)
        if action.kind == "schedule_cancel"
    ]


def test_an_order_that_rests_arms_the_switch_and_is_taken_back() -> None:
    desk = a_resting_desk()
    assert switches(desk) == [20_000]
    assert [action.kind for action in desk.actions] == ["cancel", "schedule_cancel"]


def test_the_switch_is_pushed_back_before_it_fires_and_cleared_with_the_last_order() -> None:
    desk = a_resting_desk()
    desk.run(8_000)
    assert len(switches(desk)) == 2
    assert switches(desk)[-1] == 20_000
    desk.feed(the_end(desk))
    assert switches(desk)[-1] is None
    count = len(switches(desk))
    desk.run(30_000)
    assert len(switches(desk)) == count


def test_without_the_volume_the_venue_asks_for_it_is_not_tried_again() -> None:
    desk = a_resting_desk()
    switch = next(action for action in desk.actions if action.kind == "schedule_cancel")
    text = "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $0."
    desk.feed(
        desk.sent(switch),
        ActionAnswered(
            **desk.stamped(), action_id=switch.action_id, generation=desk.generation,
            code=RefusalCode.SCHEDULE_VOLUME, text=text,
        ),
    )  # fmt: skip
    count = len(switches(desk))
    desk.run(30_000)
    desk.feed(the_end(desk))
    assert len(switches(desk)) == count


def test_nothing_that_rests_arms_nothing() -> None:
    desk = a_desk()
    desk.cross()
    desk.run(30_000)
    assert switches(desk) == []
