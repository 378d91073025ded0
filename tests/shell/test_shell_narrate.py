"""What an operator reads on stderr of what the engine decided: transitions, and no flood at a start or a reconnect."""

import pytest
from core_builders import (
    COIN,
    a_bbo,
    a_ctx,
    a_timer,
    a_warm_engine,
    an_engine,
    events_until_ready,
    feed,
    of_type,
    stamps,
    warm_events,
)
from core_builders import (
    WARM_MS as T,
)
from live_builders import (
    NOW,
    account_checked,
    action_ended,
    fill_applied,
    fill_gap_checked,
    order_changed,
    trade_closed,
)
from structlog.testing import capture_logs

from streaming.core.effects import AnyOutput, GateChanged, MarketReadyChanged
from streaming.core.events import ConnectionLost
from streaming.core.state import GATE_COUNT
from streaming.core.trading.effects import LadderChanged, MarketStopChanged, TradingReadyChanged
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.shell.telemetry.narrate import Narrator


def told(*outputs: AnyOutput, narrator: Narrator | None = None) -> list[tuple[str, str]]:
    """Return (level, event) of each line."""
    with capture_logs() as lines:
        (narrator or Narrator()).tell(outputs)
    return [(line["log_level"], line["event"]) for line in lines]


def test_narrator_logs_transitions_and_no_ticks() -> None:
    state = a_warm_engine()
    lines = told(*feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 10_000), a_timer(T + 11_000)))
    assert {event for _, event in lines} <= {"gate_blocked", "gate_changed"}
    assert ("info", "gate_blocked") in lines


def test_narrator_session_start_tells_no_gate_that_opens() -> None:
    """Every gate counts as blocking at the start: 8 lines a market would say nothing."""
    state = an_engine()
    outputs = feed(state, *events_until_ready(0), *warm_events(100))
    lines = told(*outputs)
    assert ("debug", "gate_changed") in lines
    assert [line for line in lines if line[0] != "debug"] == [("info", "market_ready_changed")]
    assert len(of_type(outputs, GateChanged)) >= GATE_COUNT - 1, "they are recorded all the same"


def test_narrator_gate_that_closed_is_told_when_it_opens_and_a_waiting_market_is_quiet() -> None:
    state, narrator = a_warm_engine(), Narrator()
    silence = feed(state, a_timer(T + 9_000))
    assert ("info", "gate_blocked") in told(*silence, narrator=narrator)
    back = feed(state, a_bbo(T + 9_100), a_ctx(T + 9_100), a_timer(T + 10_200))
    assert ("info", "gate_changed") in told(*back, narrator=narrator)
    lost = ConnectionLost(**stamps(T + 10_300), generation=1, reason="closed")
    lines = told(*feed(state, lost, a_timer(T + 12_000)), narrator=narrator)
    assert ("debug", "gate_blocked") in lines
    assert [line for line in lines if line[0] != "debug"] == [("info", "market_ready_changed")]


# Real trading.


def test_narrator_order_in_doubt_is_told_once_and_again_when_it_is_resolved() -> None:
    lines = told(
        order_changed(),
        order_changed(OrderStatus.SENT),
        order_changed(OrderStatus.IN_DOUBT, text="answer_timeout"),
        order_changed(OrderStatus.IN_DOUBT, text="answer_timeout", oid=7),
        order_changed(OrderStatus.FILLED),
    )
    assert lines == [("warning", "order_in_doubt"), ("info", "order_doubt_resolved")]


@pytest.mark.parametrize(
    ("code", "level"),
    [(RefusalCode.NO_MATCH, "info"), (RefusalCode.MARGIN, "warning"), (RefusalCode.UNKNOWN, "warning")],
)
def test_narrator_refusal_that_is_part_of_trading_is_no_warning(code: RefusalCode, level: str) -> None:
    assert told(order_changed(OrderStatus.REJECTED, code=code)) == [(level, "order_rejected")]


def test_narrator_orders_that_went_well_are_rows_and_no_lines() -> None:
    assert told(*(order_changed(status) for status in (OrderStatus.INTENT, OrderStatus.SENT, OrderStatus.FILLED))) == []
    assert told(fill_applied(), action_ended()) == []
    assert told(trade_closed()) == [("info", "trade_closed")]


def test_narrator_trade_closed_tells_the_result_after_costs() -> None:
    with capture_logs() as lines:
        Narrator().tell([trade_closed()])
    assert str(lines[0]["pnl"]) == "0.011"


def test_narrator_account_mismatch_is_one_error_until_it_changes_and_one_line_when_it_is_over() -> None:
    lines = told(
        account_checked(),
        account_checked("0.001"),  # rounding
        account_checked("5", is_judged=False),  # proves nothing
        account_checked("-0.5"),
        account_checked("-0.5"),
        account_checked("-0.7"),
        account_checked("-0.7", "xyz:NVDA: ours 1, venue 0"),
        account_checked(),
        account_checked(),
    )
    assert lines == [("error", "account_mismatch")] * 3 + [("info", "account_agreed")]


def test_narrator_fill_gap_that_is_not_proved_is_an_error() -> None:
    assert told(fill_gap_checked(is_proved=False)) == [("error", "fill_gap_unproved")]
    assert told(fill_gap_checked(is_proved=True)) == [("warning", "fill_gap_filled")]
    assert told(fill_gap_checked(is_proved=True, applied_count=0)) == []


@pytest.mark.parametrize(
    ("reason", "level"), [("settlement", "warning"), ("liquidation", "error"), ("foreign", "error")]
)
def test_narrator_fill_that_we_did_not_order_reaches_a_human(reason: str, level: str) -> None:
    assert told(fill_applied(reason=reason)) == [(level, "foreign_fill_applied")]


def _stop(state: str) -> MarketStopChanged:
    return MarketStopChanged(**NOW, coin=COIN, state=state, gate="halt", reason="the gate halt blocks")


def test_narrator_market_that_stops_with_a_position_warns_until_it_resumes() -> None:
    lines = told(_stop("shrinking"), _stop("stopped"), _stop("trading"))
    assert lines == [("warning", "market_shrinking"), ("info", "market_stopped"), ("info", "market_resumed")]


def test_narrator_stop_of_a_market_that_waits_for_data_is_quiet() -> None:
    narrator = Narrator()
    waiting = MarketReadyChanged(**NOW, coin=COIN, state="waiting", reason="no_bbo", retry_mono_ns=None)
    told(waiting, narrator=narrator)
    assert {level for level, _ in told(_stop("stopped"), _stop("trading"), narrator=narrator)} == {"debug"}


def test_narrator_readiness_ladder_and_actions_that_did_not_leave() -> None:
    assert told(TradingReadyChanged(**NOW, is_ready=False, reason="no_account_read")) == [
        ("warning", "trading_ready_changed")
    ]
    assert told(TradingReadyChanged(**NOW, is_ready=True, reason="")) == [("info", "trading_ready_changed")]
    ladder = [line for step in (1, 4, 0) for line in told(LadderChanged(**NOW, step=step, reason="address_limit"))]
    assert ladder == [("warning", "ladder_changed"), ("error", "ladder_changed"), ("info", "ladder_changed")]
    assert told(action_ended("not_sent", is_sent=False)) == [("warning", "action_not_sent")]
    assert told(action_ended("refused")) == [("warning", "action_refused")]
