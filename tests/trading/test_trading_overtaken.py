"""What the process tests found about answers, step by step in the engine: each failed before it was mended."""

import msgspec
import pytest
from core_builders import COIN, of_type
from trading_builders import OTHER, a_desk, refuse

from streaming.core.limits import ActionLimits, Limits
from streaming.core.trading.effects import ActionEnded, LiveOrderChanged
from streaming.core.trading.model import ActionStatus, OrderStatus
from streaming.core.trading.refusal import RefusalCode


@pytest.mark.parametrize("is_stream_first", [True, False])
def test_trading_overtaken_f22_refusal_counts_and_keeps_its_text_whoever_tells_it_first(is_stream_first: bool) -> None:
    """The stream has a word for it, often just `rejected`; the reason comes with the answer, before or after."""
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.HALTED)
    desk.cross()
    action = desk.take_action()
    result = desk.execute(action)
    [update] = result.updates.updates
    update = msgspec.structs.replace(update, status="rejected", code=RefusalCode.UNKNOWN)
    updates = msgspec.structs.replace(result.updates, updates=(update,))
    outputs = desk.feed(desk.sent(action), *([updates, result.answer] if is_stream_first else [result.answer, updates]))
    [order] = [changed.order for changed in of_type(outputs, LiveOrderChanged) if changed.order.is_over]
    assert (order.status, order.code, order.text) == (OrderStatus.REJECTED, RefusalCode.HALTED, "refused: halted")
    assert [ended.detail for ended in of_type(outputs, ActionEnded)] == ["refused: halted"]
    assert desk.live.rejection_weight == 1


def test_trading_overtaken_f21_refusal_counts_when_the_stream_has_said_why() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    desk.cross()
    action = desk.take_action()
    result = desk.execute(action)
    desk.feed(desk.sent(action), result.updates)
    assert not desk.live.orders, "over by its update"
    desk.feed(result.answer)
    assert desk.live.rejection_weight == 1


def test_trading_overtaken_f40_market_at_its_cap_pauses_when_the_stream_has_said_so_first() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.OI_CAP)
    desk.cross()
    action = desk.take_action()
    result = desk.execute(action)
    desk.feed(desk.sent(action), result.updates, result.answer)
    desk.calm()
    desk.run(300)
    desk.cross()
    assert not [action for action in desk.actions if action.kind == "order"]


def test_trading_overtaken_f26_bare_rejection_ends_the_order_once_the_answer_is_given_up() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.HALTED)
    desk.cross()
    action = desk.take_action()
    result = desk.execute(action)
    [update] = result.updates.updates
    update = msgspec.structs.replace(update, status="rejected", code=RefusalCode.UNKNOWN)
    updates = msgspec.structs.replace(result.updates, updates=(update,))
    desk.feed(desk.sent(action), updates, desk.unknown(action))
    assert [order.status for order in desk.live.orders.values()] == [OrderStatus.IN_DOUBT]
    desk.feed(updates)
    assert not desk.live.orders


@pytest.mark.parametrize("code", [RefusalCode.NO_MATCH, RefusalCode.MARGIN, RefusalCode.REDUCE_ONLY])
def test_trading_overtaken_f24_one_error_of_the_book_is_not_the_error_of_a_whole_batch(code: RefusalCode) -> None:
    """Only what the venue refuses before it looks at the book comes once for all."""
    desk = a_desk(COIN, OTHER, limits=Limits(actions=ActionLimits(entry_batch_ms=100)))
    desk.cross(COIN)
    desk.cross(OTHER)
    desk.run(200)
    action = desk.take_action()
    error = ActionStatus(kind="error", code=code, text="refused")
    desk.feed(desk.sent(action), desk.answered(action, statuses=(error,)))
    assert [order.status for order in desk.live.orders.values()] == [OrderStatus.IN_DOUBT] * 2
