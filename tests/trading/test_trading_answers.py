"""What the venue answers, or does not: refusals, lost and broken answers, and exits that go all the same."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from children import hip3
from trading_process import ALPHA, BETA, GAMMA, Desk, SimVenue, Trader, sim_venue, until

from streaming.core.effects import GatesEvaluated
from streaming.core.trading.effects import ActionEnded, LiveFillApplied
from streaming.core.trading.model import LiveOrder, OrderStatus
from streaming.core.trading.refusal import RefusalCode

STREAMS = ("userFills", "orderUpdates")
Json = Any


@pytest.fixture(scope="module")
def shared_trader(shared_venue: SimVenue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trader]:
    desk = Desk(shared_venue, tmp_path_factory.mktemp("shared"), (ALPHA,), {})
    with desk.trading() as trader:
        yield trader
        assert trader.child.end() == 0
        desk.check_books()


@pytest.fixture
def trader(venue: SimVenue, shared_trader: Trader) -> Trader:
    """The module's sidecar, flat and ready, whatever the test before did to it."""
    assert venue is shared_trader.venue
    until(lambda: not shared_trader.status().trading.action_in_flight_count)
    if shared_trader.status().stop_reason is not None:
        shared_trader.reset()
    shared_trader.until_calm()
    shared_trader.until_flat()
    shared_trader.until_trading()
    return shared_trader


@contextmanager
def struck(trader: Trader, kind: str, *channels: str, **spec: Json) -> Iterator[int]:
    """Strike the desk's requests until the end of the block."""
    narrowed = {"channels": list(channels)} if channels else {}
    number = trader.venue.switch(kind, users=[trader.desk.user], **narrowed, **spec)
    yield number
    trader.venue.clear(number)


def next_entry(trader: Trader) -> Callable[[], LiveOrder | None]:
    """Make an opportunity; what is returned finds the entry that comes of it, once it is over."""
    known = {order.cloid for order in trader.desk.entries()}
    trader.until_calm()
    trader.venue.shift(ALPHA)

    def found() -> LiveOrder | None:
        return next((o for o in trader.desk.entries() if o.cloid not in known and o.is_settled), None)

    return found


def check_position_is_right(trader: Trader, order: LiveOrder) -> None:
    """What the order filled is held here and there, and the venue has one order for it."""
    desk = trader.desk
    assert desk.venue.positions(desk.user) == trader.held() == {ALPHA: order.applied_sz}
    assert [item["cloid"] for item in desk.venue_entries()].count(order.cloid) == 1
    assert len(desk.venue_entries()) == len({item["cloid"] for item in desk.venue_entries()})
    desk.check_books()


# --- unknown outcomes


def test_trading_answers_f26_lost_answer_of_an_executed_order_is_found_by_asking(trader: Trader) -> None:
    """Nothing is told: neither the answer nor the fill nor the order's update."""
    with struck(trader, "lost_answer", "order"), struck(trader, "mute", *STREAMS):
        order = until(next_entry(trader), 20)
    assert trader.desk.statuses(order.cloid)[-2:] == [OrderStatus.IN_DOUBT, OrderStatus.FILLED]
    [fill] = [output for output in trader.desk.outputs(LiveFillApplied) if output.fill.cloid == order.cloid]
    assert fill.source == "gap"
    check_position_is_right(trader, order)


def test_trading_answers_f27_lost_request_is_proved_never_to_have_arrived(trader: Trader) -> None:
    before = len(trader.desk.venue.orders(trader.desk.user))
    with struck(trader, "lost_request", "order"):
        order = until(next_entry(trader), 20)
    assert trader.desk.statuses(order.cloid)[-2:] == [OrderStatus.IN_DOUBT, OrderStatus.NEVER_ARRIVED]
    assert len(trader.desk.venue.orders(trader.desk.user)) == before, "never sent again"
    assert trader.status().stop_reason is None


@pytest.mark.parametrize("shape", ["html", "cut", "gzip"])
def test_trading_answers_f28_garbage_after_execution_changes_nothing(trader: Trader, shape: str) -> None:
    number = trader.venue.switch("garbage", channels=["order"], parameters={"shape": shape})
    order = until(next_entry(trader))
    until(lambda: trader.venue.strikes(number))
    trader.venue.clear(number)
    assert order.status is OrderStatus.FILLED
    check_position_is_right(trader, order)


@pytest.mark.parametrize("shape", ["short", "long", "shuffled"])
def test_trading_answers_f24_wrong_number_of_statuses_proves_nothing(
    make_desk: Callable[..., Desk], venue: SimVenue, shape: str
) -> None:
    """A batch of two: nobody guesses which status is whose; the fills say what happened."""
    desk = make_desk(ALPHA, BETA, limits__actions={"entry_batch_ms": 1_000})
    with desk.trading() as trader, struck(trader, "statuses", "order", parameters={"shape": shape}):
        enter_both(trader)
        orders = until(lambda: [o for o in desk.entries() if o.is_settled][1:] and desk.entries())
        assert len({order.action_id for order in orders}) == 1
        assert [order.status for order in orders] == [OrderStatus.FILLED] * 2
        assert venue.positions(desk.user) == trader.held() == {order.coin: order.applied_sz for order in orders}
        venue.clear()
        trader.until_flat()
        desk.check_books()
        assert trader.child.end() == 0


def enter_both(trader: Trader) -> None:
    """Make two opportunities in the same batch."""
    trader.until_calm(ALPHA, BETA)
    trader.venue.shift(ALPHA, BETA)  # in one request: two of a busy machine can be further apart than a batch is long


# --- refusals


@pytest.mark.parametrize("shape", ["single", "top"])
def test_trading_answers_f23_one_error_ends_every_order_of_a_batch(make_desk: Callable[..., Desk], shape: str) -> None:
    desk = make_desk(ALPHA, BETA, limits__actions={"entry_batch_ms": 1_000})
    with desk.trading() as trader, struck(trader, "batch_error", "order", parameters={"shape": shape}):
        enter_both(trader)
        orders = until(lambda: [o for o in desk.entries() if o.is_settled][1:] and desk.entries())
        assert len({order.action_id for order in orders}) == 1
        assert {order.code for order in orders} == {RefusalCode.FAR_FROM_REFERENCE}
        assert {order.status for order in orders} == {OrderStatus.REJECTED}
        assert trader.status().stop_reason is None
        assert trader.child.end() == 0


def test_trading_answers_f21_f22_refusals_count_towards_the_latch_as_they_should(trader: Trader) -> None:
    """Benign ones not at all, documented ones once, an unknown text twice; the fifth stops trading."""
    unknown = "Order refused for a reason nobody has written down."
    for kind, parameters, code, is_latched in (
        ("reject", {"code": "ioc"}, RefusalCode.NO_MATCH, False),
        ("reject", {"code": "min_ntl"}, RefusalCode.MIN_NOTIONAL, False),
        ("reject", {"code": "margin"}, RefusalCode.MARGIN, False),
        ("reject", {"code": "spot_balance"}, RefusalCode.SPOT_BALANCE, False),
        ("reject_text", {"text": unknown}, RefusalCode.UNKNOWN, False),
        ("reject", {"code": "open_orders"}, RefusalCode.TOO_MANY_OPEN_ORDERS, True),
    ):
        with struck(trader, kind, parameters=parameters) as number:
            order = until(next_entry(trader), what=str(parameters))
            assert (order.code, order.applied_sz) == (code, 0)
            assert order.status is (OrderStatus.UNFILLED if code is RefusalCode.NO_MATCH else OrderStatus.REJECTED)
            detail = until(lambda number=order.action_id: detail_of(trader, number), what="until answered")
            assert detail.startswith(unknown) or code is not RefusalCode.UNKNOWN
            assert trader.venue.strikes(number) == 1, "an entry that was refused is not tried again"
            until(lambda: not trader.status().trading.action_in_flight_count, what="until it counts")
            assert (trader.status().stop_reason is not None) is is_latched, order
        trader.venue.clear()
    assert trader.until_stopped("rejections").startswith("rejections: too_many_open_orders")


def detail_of(trader: Trader, action_id: int) -> str:
    """Return what the venue said to an action of the desk's only session."""
    return next((a.detail for a in trader.desk.outputs(ActionEnded) if a.action_id == action_id), "")


def test_trading_answers_f33_second_nonce_refusal_in_a_row_stops(trader: Trader) -> None:
    with struck_all(trader, "nonce", "order", parameters={"reason": "low"}):
        assert until(next_entry(trader)).code is RefusalCode.NONCE_LOW
        assert trader.status().stop_reason is None
        clear_shifts(trader)
        assert until(next_entry(trader)).code is RefusalCode.NONCE_LOW
    trader.until_stopped("nonce_refused")


@contextmanager
def struck_all(trader: Trader, kind: str, *channels: str, **spec: Json) -> Iterator[int]:
    """Strike everybody's requests: faults outside of the exchange know no users."""
    number = trader.venue.switch(kind, channels=list(channels), **spec)
    yield number
    trader.venue.clear(number)


def clear_shifts(trader: Trader) -> None:
    """Put the oracles back and leave other faults on."""
    for number in trader.venue.numbers("oracle"):
        trader.venue.clear(number)


def test_trading_answers_f25_f51_order_that_comes_too_late_has_expired(trader: Trader) -> None:
    with struck(trader, "latency", "order", parameters={"arrival_ms": 2_000}):
        order = until(next_entry(trader))
    assert (order.status, order.applied_sz) == (OrderStatus.EXPIRED, Decimal(0))
    assert trader.desk.venue.positions(trader.desk.user) == {}
    assert trader.status().stop_reason is None


# --- exits go all the same


def test_trading_answers_f30_partial_fills_leave_by_what_was_filled(trader: Trader) -> None:
    with struck(trader, "partial", parameters={"ratio": 0.5}):
        order = until(next_entry(trader))
        assert order.status is OrderStatus.PARTLY_FILLED
        assert Decimal(0) < order.applied_sz < order.sz
        check_position_is_right(trader, order)
        first = len(trader.desk.exits())
        clear_shifts(trader)
        until(lambda: len(trader.desk.exits()) > first + 1)
    trader.until_flat()
    exits = trader.desk.exits()[first:]
    assert exits[0].sz == order.applied_sz
    assert exits[1].sz == order.applied_sz - exits[0].applied_sz
    trader.desk.check_books()


def test_trading_answers_f52_makers_that_pull_are_benign_and_not_chased(trader: Trader) -> None:
    with struck(trader, "pull") as number:
        order = until(next_entry(trader))
        assert (order.status, order.code) == (OrderStatus.UNFILLED, RefusalCode.NO_MATCH)
        assert trader.venue.strikes(number) == 1
    assert trader.status().stop_reason is None


def test_trading_answers_f34_exit_goes_another_way_after_a_429(trader: Trader) -> None:
    """A 429 is no proof of anything; the position leaves as soon as that exit is decided, by HTTP."""
    until(next_entry(trader))
    with struck_all(trader, "rate_limit", "order", count=1):
        trader.venue.clear()
        trader.venue.switch("rate_limit", channels=["order"], count=1)
        trader.until_flat(30)
    assert len(trader.desk.venue.positions(trader.desk.user)) == 0
    assert trader.status().stop_reason is None
    trader.desk.check_books()


def test_trading_answers_f35_address_without_budget_still_closes(tmp_path: Path) -> None:
    """L-3: flat within 30 s; nothing that adds risk is sent meanwhile. Only a venue with limits has a budget."""
    coins = (ALPHA, BETA, GAMMA)
    with (
        sim_venue(tmp_path, coins, is_limited=True) as venue,
        (desk := Desk(venue, tmp_path, coins, {})).trading() as trader,
    ):
        trader.enter()
        trader.until_calm(BETA, GAMMA)
        desk.venue.switch("pull", coins=[BETA])
        desk.venue.happen("budget", users=[desk.user])
        desk.venue.shift(BETA)  # takes the one request of ten seconds
        until(lambda: any(order.coin == BETA and order.is_settled for order in desk.entries()))
        clear_shifts(trader)
        until(lambda: any(action.outcome == "refused" for action in desk.outputs(ActionEnded)))
        desk.venue.shift(GAMMA)
        [signal] = until(lambda: [output for output in desk.outputs(GatesEvaluated) if output.coin == GAMMA])
        assert signal.blocked_by == ("budget_address_limited",)
        trader.until_flat(30)
        assert desk.venue.positions(desk.user) == {}
        assert len(desk.venue_entries()) == 2
        assert trader.status().stop_reason is None
        desk.check_books()


def test_trading_answers_f36_slow_venue_leaves_exits_a_place(make_desk: Callable[..., Desk]) -> None:
    limits = {"in_flight_count_max": 2, "exit_in_flight_count": 1, "answer_timeout_ms": 5_000}
    desk = make_desk(ALPHA, BETA, GAMMA, limits__actions=limits)
    with desk.trading() as trader:
        shift = trader.enter(GAMMA)
        trader.until_calm(ALPHA, BETA)
        with struck(trader, "latency", "order", parameters={"arrival_ms": 0, "answer_ms": 4_000}):
            desk.venue.shift(ALPHA)
            until(lambda: trader.status().trading.action_in_flight_count == 1)
            desk.venue.shift(BETA)
            until(lambda: any(output.coin == BETA for output in desk.outputs(GatesEvaluated)))
            [signal] = [output for output in desk.outputs(GatesEvaluated) if output.coin == BETA]
            assert signal.blocked_by == ("budget_in_flight",)
            desk.venue.clear(shift)
            until(lambda: GAMMA not in desk.venue.positions(desk.user), 5)
        desk.venue.clear()
        trader.until_flat()
        desk.check_books()


def test_trading_answers_f43_revoked_agent_stops_at_the_first_refusal(desk: Desk) -> None:
    """The position can not be closed by us: that is said; with a new approval and a reset it is."""
    with desk.trading() as trader:
        trader.enter()
        desk.venue.happen("agents_revoked", users=[desk.user])
        desk.venue.clear()
        trader.until_stopped("agent_refused")
        assert desk.venue.positions(desk.user) == trader.held()
        desk.venue.approve(desk.master, desk.agent)
        trader.reset()
        trader.until_flat(30)
        assert desk.venue.positions(desk.user) == {}
        desk.check_books()
        assert trader.child.end() == 0


def test_trading_answers_f44_agent_that_was_seen_gone_never_trades_again(desk: Desk) -> None:
    """The venue forgot its nonces, so all it ever signed can be replayed: approved again, it still is refused."""
    with desk.trading() as trader:
        trader.enter()
        desk.venue.clear()
        trader.until_flat()
        desk.venue.happen("agents_revoked", users=[desk.user])
        desk.venue.shift(ALPHA)
        trader.until_stopped("agent_refused")
        assert trader.child.end() == 0
    files = ("--key-file", str(desk.key_file), "--config", str(desk.config_file))
    seen = hip3("keys", "revoke", "--verify", *files, "--json")
    assert json.loads(seen.stdout)["is_revoked"], seen.stderr
    desk.venue.approve(desk.master, desk.agent)
    known = len(desk.venue.orders(desk.user))
    refused = r"(?s)exit 2: .*expected an agent that was never deregistered"
    with pytest.raises(AssertionError, match=refused), desk.sidecar():
        pass
    assert len(desk.venue.orders(desk.user)) == known
