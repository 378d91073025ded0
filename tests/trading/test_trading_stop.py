"""Stopping: the kill switch while entries are under way, and signals with a position (I-17, I-18, I-20, L-5)."""

import signal
import time
from collections.abc import Callable

import pytest
from children import hip3
from trading_process import ALPHA, BETA, GAMMA, Desk, SimVenue, Trader, until

from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.model import OrderStatus

END_S_MAX = 10.0
SHORTENED_S_MAX = 4.0
"""Trying to get flat alone takes 4 s when nobody hurries."""


def test_trading_stop_i17_i18_kill_switch_with_entries_in_flight(
    make_desk: Callable[..., Desk], venue: SimVenue
) -> None:
    """Nothing that adds risk leaves after the answer; what was under way is closed; only reset and arm go on."""
    desk = make_desk(ALPHA, BETA, GAMMA)
    place = ("--config", str(desk.config_file))
    with desk.trading() as trader:
        slow = venue.switch("latency", channels=["order"], users=[desk.user], parameters={"arrival_ms": 700})
        trader.until_calm(ALPHA, BETA, GAMMA)
        shifts = [venue.shift(coin) for coin in (ALPHA, BETA)]
        until(lambda: len(trader.status().trading.orders) == 2)
        assert trader.post("/v1/stop", {"reason": "drill", "operator": "ann"})[0] == 200
        answered_ts_ns = time.time_ns()
        venue.clear(slow)
        shifts.append(venue.shift(GAMMA))
        sent = {order.cloid for order in desk.entries()}
        assert len(sent) == 2
        until(lambda: len(venue.fills(desk.user)) >= 4, what="entries filled late and closed again")
        trader.until_flat()
        until(lambda: trader.status().markets[2].signal_count)
        assert {order["cloid"] for order in desk.venue_entries()} == sent
        assert all(not a.may_add_risk for a in desk.outputs(ActionDecided) if a.ts_ns > answered_ts_ns)
        assert venue.positions(desk.user) == {}
        desk.check_books()
        trader.child.end(signal.SIGKILL)
    with desk.sidecar() as trader:
        until(lambda: trader.status().trading.is_ready)
        assert trader.status().stop_reason == "drill", "a restart forgets nothing"
        refused = hip3("arm", *place)
        assert (refused.returncode, "drill" in refused.stderr) == (1, True)
        assert hip3("reset", *place, "--reason", "drill over").returncode == 0
        assert hip3("arm", *place).returncode == 0
        for number in shifts:
            venue.clear(number)
        trader.until_calm(ALPHA)
        trader.until_trading()
        trader.enter()
        assert trader.child.end() == 0
    assert venue.positions(desk.user) == {}


def test_trading_stop_from_the_command_line_flattens_and_keeps_the_first_reason(desk: Desk) -> None:
    place = ("--config", str(desk.config_file))
    with desk.trading() as trader:
        trader.enter()
        assert hip3("stop", *place, "--reason", "first").returncode == 0
        assert hip3("stop", *place, "--reason", "second").returncode == 0
        trader.until_flat()
        assert trader.status().stop_reason == "first"
        assert desk.venue.positions(desk.user) == {}
        assert [order.status for order in desk.exits()] == [OrderStatus.FILLED]
        assert trader.child.end() == 0


def end_with(trader: Trader, number: int) -> tuple[int, float]:
    """Send a signal and return exit code and seconds."""
    began_s = time.monotonic()
    trader.child.process.send_signal(number)
    return trader.child.process.wait(15), time.monotonic() - began_s


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_trading_stop_f67_signal_flattens_and_ends_in_time(desk: Desk, number: int) -> None:
    with desk.trading() as trader:
        trader.enter()
        code, seconds = end_with(trader, number)
        assert (code, seconds < END_S_MAX) == (0, True)
    assert desk.venue.positions(desk.user) == {}
    desk.check_books()
    with desk.sidecar() as trader:
        assert trader.status().stop_reason is None, "a signal is no stop latch"
        trader.until_trading()
        assert trader.child.end() == 0


def test_trading_stop_f67_policy_leave_says_what_is_left(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(**{"": {"shutdown_policy": "leave"}})
    with desk.trading() as trader:
        trader.enter()
        code, seconds = end_with(trader, signal.SIGTERM)
        assert (code, seconds < END_S_MAX) == (7, True)
        [left] = [line for line in trader.log() if line["event"] == "position_left"]
        assert ALPHA in str(left["positions"])
    assert desk.venue.positions(desk.user)[ALPHA] > 0
    assert len(desk.venue.orders(desk.user)) == 1, "nothing was sent at the end"


def test_trading_stop_f67_position_that_can_not_be_closed_is_left_with_a_code(desk: Desk, venue: SimVenue) -> None:
    with desk.trading() as trader:
        trader.enter()
        venue.switch("pull", users=[desk.user])
        code, seconds = end_with(trader, signal.SIGTERM)
        assert (code, seconds < END_S_MAX) == (7, True)
        assert any(line["event"] == "position_left" for line in trader.log())
    assert len(desk.exits()) >= 3, "it tried again"


def test_trading_stop_f68_second_signal_only_shortens_the_waits(desk: Desk, venue: SimVenue) -> None:
    with desk.trading() as trader:
        trader.enter()
        venue.switch("pull", users=[desk.user])
        trader.child.process.send_signal(signal.SIGTERM)
        until(lambda: trader.status().trading.is_flattening)
        code, seconds = end_with(trader, signal.SIGTERM)
        assert (code, seconds < SHORTENED_S_MAX) == (7, True)
        assert any(line["event"] == "position_left" for line in trader.log())
