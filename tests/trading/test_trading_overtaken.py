"""What the process tests found about answers, step by step in the engine: each failed before it was mended."""

import pytest
from core_builders import COIN, of_type
from trading_builders import OTHER, a_desk, refuse

from streaming.core.limits import ActionLimits, Limits
from streaming.core.trading.effects import ActionEnded
from streaming.core.trading.model import ActionStatus, OrderStatus
from streaming.core.trading.refusal import RefusalCode


@pytest.mark.parametrize("is_stream_first", [True, False])
def test_trading_overtaken_f22_refusal_counts_and_keeps_its_text_whoever_tells_it_first(is_stream_first: bool) -> None:
    """The order's update comes on the stream, its reason with the answer: either may be first."""
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.UNKNOWN)
    desk.cross()
    action = desk.take_action()
    result = desk.execute(action)
    events = [result.updates, result.answer] if is_stream_first else [result.answer, result.updates]
    outputs = desk.feed(desk.sent(action), *events)
    assert desk.live.rejection_weight == 2
    assert [ended.detail for ended in of_type(outputs, ActionEnded)] == ["refused: unknown"]


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
