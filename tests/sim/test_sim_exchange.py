"""The facade: what time does to requests, in which order a block works, and what the venue does by itself."""

from decimal import Decimal
from typing import Any

import pytest
from sim_market_view import FOO, NVDA, START_MS
from sim_requests import BLOCK_MS, SETTLED_MS, Venue, Wallet, order_action, order_item
from typing_extensions import override

from streaming.sim.exchange.accounts.settlement import DELEVERAGED
from streaming.sim.exchange.events import (
    AccountChanged,
    Answered,
    BookChanged,
    Filled,
    Json,
    OrderUpdated,
    Traded,
    UserEvent,
)
from streaming.sim.exchange.exchange import Refused
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.view import PublicTrade

HOUR_MS = 3_600_000
BUY = order_action(order_item(True, "190.02", "1"))
REST = order_action(order_item(True, "180", "1", tif="Gtc"))
REST_ALO = order_action(order_item(True, "180", "1", tif="Alo"))


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def ann() -> Wallet:
    return Wallet(1)


@pytest.fixture
def bob() -> Wallet:
    return Wallet(2)


def time_of(venue: Venue, kind: type[Any], ticket: int | None = None) -> int:
    """Step the venue ms by ms until an event comes; returns how long that took."""
    begin_ms = venue.now_ms
    for _ in range(2_000):
        found = [e for e in venue.run(1) if isinstance(e, kind) and (ticket is None or e.ticket == ticket)]
        if found:
            return venue.now_ms - begin_ms
    raise AssertionError("no such event in two seconds")


def statuses_of(venue: Venue, wallet: Wallet) -> list[str]:
    return [e.update["status"] for e in venue.events if isinstance(e, OrderUpdated) and e.user == wallet.address]


# --- arrival


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"action": {"type": "order"}, "nonce": 1, "signature": {}}, {"action": BUY, "nonce": "1"}],
    ids=["null", "list", "empty", "fields", "unsigned"],
)
def test_receive_unreadable_body_is_422_with_the_text(venue: Venue, body: Json) -> None:
    assert venue.refusal(body) == Refused(422, "Failed to deserialize the JSON body into the target type")


def test_receive_more_than_200_items_is_refused_whole(venue: Venue, ann: Wallet) -> None:
    cancels = [{"a": 110_000, "o": oid} for oid in range(201)]
    refused = venue.refusal(ann.sign({"type": "cancel", "cancels": cancels}))
    assert (refused.status, refused.body["response"]) == (200, "Signed action over weight limit of 200.")
    assert len(venue.statuses(ann.sign({"type": "cancel", "cancels": cancels[:200]}))) == 200


def test_receive_used_nonce_is_refused_at_once(venue: Venue, ann: Wallet) -> None:
    body = ann.sign({"type": "noop"}, nonce=START_MS + 5)
    assert venue.call(body) == {"status": "ok", "response": {"type": "default"}}
    assert venue.refusal(body).body == {"status": "err", "response": f"Invalid nonce: duplicate nonce {START_MS + 5}"}


def test_unsupported_action_is_refused_clearly(venue: Venue, ann: Wallet) -> None:
    answer = venue.call(ann.sign({"type": "twapOrder", "twap": {}}))
    assert answer["status"] == "err"
    assert "twapOrder" in answer["response"]


def test_budget_is_given_back_for_what_was_refused_as_a_whole(ann: Wallet) -> None:
    venue = Venue(limits={"address_request_count": 3})
    for _ in range(5):
        assert venue.call(ann.sign(order_action()))["status"] == "err"
    assert venue.exchange.budget.body(ann.address)["nRequestsUsed"] == 0
    venue.call(ann.sign(order_action(*(order_item(True, "180", "1", tif="Alo") for _ in range(3)))))
    assert venue.exchange.budget.body(ann.address)["nRequestsUsed"] == 3
    venue.call(ann.sign(REST_ALO))
    assert venue.refusal(ann.sign(REST_ALO)).body["response"].startswith("Too many cumulative requests sent (5 > 3)")


# --- time


def test_taker_waits_longer_than_maker_and_answers_come_with_the_commit(venue: Venue, ann: Wallet) -> None:
    venue.send(ann.sign(BUY))
    taking_ms = time_of(venue, Filled)
    assert venue.rules.taker_delay_ms <= taking_ms <= venue.rules.taker_delay_ms + BLOCK_MS
    ticket = venue.send(ann.sign(REST_ALO))
    resting_ms = time_of(venue, OrderUpdated)
    assert venue.rules.maker_delay_ms <= resting_ms <= venue.rules.maker_delay_ms + BLOCK_MS
    assert time_of(venue, Answered, ticket) == venue.rules.commit_ms


def test_events_carry_the_time_of_their_block(venue: Venue, ann: Wallet) -> None:
    venue.run(11)
    venue.call(ann.sign(BUY))
    (fill,) = [e.fill for e in venue.events if isinstance(e, Filled)]
    assert fill["time"] % BLOCK_MS == 0
    assert START_MS + 11 + venue.rules.taker_delay_ms <= fill["time"] < venue.now_ms


def test_priority_shortens_the_takers_delay(ann: Wallet, bob: Wallet) -> None:
    venue = Venue(taker_delay_ms=500)
    venue.send(ann.sign(order_action(order_item(True, "190.02", "5"))))
    venue.run(BLOCK_MS)
    venue.send(bob.sign(order_action(order_item(True, "190.02", "5"), grouping={"p": 80_000})))
    venue.run(2 * SETTLED_MS)
    assert (venue.szi(ann), venue.szi(bob)) == (0, 5)


def test_cancel_sent_with_a_taker_beats_it(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    (status,) = venue.statuses(bob.sign(order_action(order_item(False, "190.01", "1", tif="Gtc"))))
    venue.send(ann.sign(order_action(order_item(True, "190.01", "1"))))
    venue.send(bob.sign({"type": "cancel", "cancels": [{"a": 110_000, "o": status["resting"]["oid"]}]}))
    venue.run(SETTLED_MS)
    assert venue.szi(ann) == 0


def test_block_runs_passive_actions_then_cancels_then_takers(ann: Wallet, bob: Wallet) -> None:
    venue = Venue(taker_delay_ms=60, maker_delay_ms=60)
    (status,) = venue.statuses(bob.sign(order_action(order_item(False, "190.01", "1", tif="Gtc"))))
    resting = [{"a": 110_000, "o": status["resting"]["oid"]}]
    venue.send(ann.sign(order_action(order_item(True, "190.01", "2"))))
    venue.send(bob.sign({"type": "cancel", "cancels": resting}))
    venue.send(bob.sign(order_action(order_item(False, "190.01", "1", tif="Alo"))))
    venue.run(SETTLED_MS)
    # The cancelled one is gone when the taker comes, the one placed after it was sent is there.
    assert venue.szi(ann) == 1
    assert statuses_of(venue, bob) == ["open", "open", "canceled", "filled"]


def test_noop_with_the_same_nonce_stops_an_order_on_its_way(venue: Venue, ann: Wallet) -> None:
    nonce = ann.next_nonce()
    ticket = venue.send(ann.sign(BUY, nonce=nonce))
    venue.send(ann.sign({"type": "noop"}, nonce=nonce))
    venue.run(SETTLED_MS)
    assert venue.answer(ticket) == {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"}
    assert venue.szi(ann) == 0


def test_action_that_expires_on_its_way_is_not_executed_and_costs_five_requests(venue: Venue, ann: Wallet) -> None:
    answer = venue.call(ann.sign(BUY, expires_after=venue.now_ms + 100))
    assert answer == {"status": "err", "response": "Action already expired"}
    assert venue.exchange.budget.body(ann.address)["nRequestsUsed"] == 5


def test_next_due_is_when_something_happens(venue: Venue, ann: Wallet) -> None:
    assert venue.exchange.next_due_ms() is None
    venue.send(ann.sign(BUY))
    due_ms = venue.exchange.next_due_ms()
    assert due_ms is not None
    assert venue.exchange.advance(due_ms - 1) == []
    assert any(isinstance(event, Filled) for event in venue.exchange.advance(due_ms))


def test_advance_in_one_step_or_in_many_gives_the_same_events() -> None:
    def played(step_ms: int) -> list[Any]:
        venue, wallets = Venue(), (Wallet(1), Wallet(2))
        venue.view.stands[NVDA].trades = [PublicTrade(START_MS + 900, is_buy=False, px=Decimal(179), sz=Decimal(2))]
        for wallet in wallets:
            venue.send(wallet.sign(REST))
            venue.send(wallet.sign(BUY))
        for _ in range(0, 2_040, step_ms):
            venue.run(step_ms)
        return [event for event in venue.events if not isinstance(event, Answered)]

    whole = played(2_040)
    assert len([event for event in whole if isinstance(event, Filled)]) == 4
    assert played(17) == played(68) == whole


def test_advance_over_a_long_pause_does_not_replay_it(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign(REST))
    ticket = venue.send(ann.sign(REST))
    venue.run(8 * HOUR_MS)
    assert venue.answer(ticket)["status"] == "ok"


# --- what others see


def test_fill_tells_trade_fill_book_and_account_once(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign(order_action(order_item(True, "190.03", "7"))))
    kinds = [type(event) for event in venue.events]
    assert kinds == [Traded, Filled, Traded, Filled, OrderUpdated, BookChanged, AccountChanged, Answered]


def test_book_shows_resting_orders_and_is_touched_only_then(venue: Venue, ann: Wallet) -> None:
    assert not venue.exchange.is_touched(NVDA)
    venue.call(
        ann.sign(order_action(order_item(True, "190.00", "3", tif="Alo"), order_item(True, "190.01", "2", tif="Alo")))
    )
    assert venue.exchange.is_touched(NVDA)
    assert [(level.px, level.sz, level.n) for level in venue.exchange.book(NVDA, venue.now_ms).bids[:2]] == [
        (Decimal("190.01"), 2, 1),
        (Decimal("190.00"), 8, 2),
    ]
    for order in venue.exchange.orders.live(ann.address):
        venue.call(ann.sign({"type": "cancel", "cancels": [{"a": 110_000, "o": order.oid}]}))
    assert not venue.exchange.is_touched(NVDA)


def test_market_that_comes_to_a_resting_order_fills_it(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign(order_action(order_item(True, "189.50", "2", tif="Gtc"))))
    venue.view.set_book(NVDA, [("189.30", "5")], [("189.40", "5")])
    venue.run(BLOCK_MS)
    (fill,) = [e.fill for e in venue.events if isinstance(e, Filled)]
    assert (fill["px"], fill["sz"], fill["crossed"]) == ("189.5", "2.0", False)
    assert statuses_of(venue, ann) == ["open", "filled"]


# --- the venue's own acts


def test_funding_is_paid_at_the_hour(venue: Venue, ann: Wallet) -> None:
    venue.now_ms = (START_MS // HOUR_MS + 1) * HOUR_MS - 2_000
    venue.call(ann.sign(BUY))
    venue.run(2_000)
    (funding,) = [e.data["funding"] for e in venue.events if isinstance(e, UserEvent)]
    assert (funding["coin"], funding["usdc"], funding["szi"]) == (NVDA, "-0.0019", "1.0")
    assert 0 <= funding["time"] % HOUR_MS < BLOCK_MS


@pytest.mark.parametrize("change", [{"is_halted": True}, {"is_delisted": True}], ids=["halt", "delist"])
def test_market_that_closes_cancels_orders_and_settles_positions_at_the_mark(
    venue: Venue, ann: Wallet, change: dict[str, bool]
) -> None:
    venue.call(ann.sign(BUY))
    venue.call(ann.sign(REST))
    venue.view.set_px(NVDA, "200")
    venue.view.set_listed(NVDA, **change)
    venue.run(BLOCK_MS)
    assert statuses_of(venue, ann)[-1] == "delistedCanceled"
    assert venue.szi(ann) == 0
    fill = venue.exchange.accounts.of(ann.address).fills[-1]
    assert (fill["px"], fill["closedPnl"]) == ("200.0", "9.98")
    assert not venue.exchange.orders.live(ann.address)


def test_position_taken_away_ends_the_reduce_only_orders_on_it(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign(order_action(order_item(True, "190.02", "4"))))
    venue.call(ann.sign(order_action(order_item(False, "195", "4", tif="Alo", is_reduce_only=True))))
    settlements = venue.exchange.upkeep.settlements
    for left, status in ((1, "open"), (0, "reduceOnlyCanceled")):
        sz = venue.szi(ann) - left
        venue.exchange.publish(settlements.close(ann.address, NVDA, sz, direction=DELEVERAGED, now_ms=venue.now_ms))
        venue.run(BLOCK_MS)
        assert statuses_of(venue, ann)[-1] == status
        assert sum(order.sz for order in venue.exchange.orders.live(ann.address)) == left


def test_open_interest_cap_cancels_opening_orders_priced_beyond_the_oracle(
    venue: Venue, ann: Wallet, bob: Wallet
) -> None:
    venue.call(ann.sign(order_action(order_item(True, "190.02", "4"))))
    reducing = order_item(False, "190.01", "4", tif="Alo")
    opening, behind = order_item(False, "190.01", "1", tif="Alo"), order_item(True, "190.00", "1", tif="Alo")
    venue.call(ann.sign(order_action(reducing)))
    statuses = venue.statuses(bob.sign(order_action(opening, behind)))
    venue.view.set_px(NVDA, "190.03")
    venue.view.set_listed(NVDA, is_at_oi_cap=True)
    venue.run(BLOCK_MS)
    assert statuses_of(venue, ann)[-1] == "open"
    assert statuses_of(venue, bob) == ["open", "open", "openInterestCapCanceled"]
    told = [e.data["nonUserCancel"] for e in venue.events if isinstance(e, UserEvent)]
    assert told == [[{"coin": NVDA, "oid": statuses[0]["resting"]["oid"]}]]


def test_scheduled_cancel_ends_all_orders_at_its_time(ann: Wallet) -> None:
    venue = Venue(schedule_cancel_volume_usd="0")
    venue.call(ann.sign(REST))
    assert venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 4_000}))["status"] == "err"
    assert venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))["status"] == "ok"
    venue.run(5_000)
    assert statuses_of(venue, ann) == ["open"]
    venue.run(1_000)
    assert statuses_of(venue, ann) == ["open", "scheduledCancel"]


def test_scheduled_cancel_can_be_dropped(ann: Wallet) -> None:
    venue = Venue(schedule_cancel_volume_usd="0")
    venue.call(ann.sign(REST))
    venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))
    venue.call(ann.sign({"type": "scheduleCancel"}))
    venue.run(10_000)
    assert statuses_of(venue, ann) == ["open"]


def test_scheduled_cancel_needs_volume(venue: Venue, ann: Wallet) -> None:
    answer = venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))
    assert answer["response"] == (
        "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $0."
    )


def test_scheduled_cancel_triggers_ten_times_a_day(ann: Wallet) -> None:
    venue = Venue(schedule_cancel_volume_usd="0")
    for _ in range(10):
        assert venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))["status"] == "ok"
        venue.run(6_000)
    assert venue.call(ann.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))["status"] == "err"


def test_position_below_maintenance_margin_is_liquidated_through_the_book(venue: Venue, ann: Wallet) -> None:
    venue.view.set_book(NVDA, [("190.00", "5000")], [("190.02", "5000")])
    venue.call(ann.sign(order_action(order_item(True, "190.02", "500"))))
    venue.call(ann.sign(order_action(order_item(True, "120", "1", tif="Alo"))))
    venue.view.set_px(NVDA, "173")
    venue.view.set_book(NVDA, [("172.90", "5000")], [("173.10", "5000")])
    venue.run(BLOCK_MS)
    liquidated = [e.data["liquidation"] for e in venue.events if isinstance(e, UserEvent) and "liquidation" in e.data]
    assert liquidated
    assert "liquidatedCanceled" in statuses_of(venue, ann)
    fill = venue.exchange.accounts.of(ann.address).fills[-1]
    assert fill["liquidation"]["liquidatedUser"] == ann.address
    assert abs(venue.szi(ann)) < 500
    assert venue.exchange.orders.live(ann.address) == []


def test_leverage_and_isolated_margin_reach_the_account(venue: Venue, ann: Wallet) -> None:
    venue.view.set_book(FOO, [("50", "100")], [("50.1", "100")])
    leverage = {"type": "updateLeverage", "asset": 120_000, "isCross": False, "leverage": 5}
    assert venue.call(ann.sign(leverage)) == {"status": "ok", "response": {"type": "default"}}
    venue.call(ann.sign(order_action(order_item(True, "50.1", "10", asset=120_000))))
    position = venue.exchange.accounts.of(ann.address).position(FOO)
    assert position is not None
    assert position.leverage == 5
    before = position.raw_usd
    margin = {"type": "updateIsolatedMargin", "asset": 120_000, "isBuy": True, "ntli": 25_000_000}
    assert venue.call(ann.sign(margin))["status"] == "ok"
    assert position.raw_usd == before + 25
    top_up = {"type": "topUpIsolatedOnlyMargin", "asset": 120_000, "leverage": "2"}
    assert venue.call(ann.sign(top_up))["status"] == "ok"
    assert position.equity(Decimal(50)) == 250
    assert venue.call(ann.sign({**leverage, "leverage": 11}))["status"] == "err"
    assert venue.call(ann.sign({**leverage, "asset": 999}))["status"] == "err"


def test_agent_trades_for_its_master(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    nonce = ann.next_nonce()
    approval = {
        "type": "approveAgent", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "agentAddress": bob.address, "agentName": "bot", "nonce": nonce,
    }  # fmt: skip
    assert venue.call(ann.sign_user(approval, nonce))["status"] == "ok"
    venue.call(bob.sign(BUY))
    assert (venue.szi(ann), venue.szi(bob)) == (1, 0)


def test_market_order_of_the_venue_trades_for_a_user_and_is_told(venue: Venue, ann: Wallet) -> None:
    traded = venue.exchange.upkeep.market_order(ann.address, NVDA, Decimal(2), is_buy=True, now_ms=venue.now_ms)
    assert traded == venue.szi(ann) == 2
    events = venue.run(0)
    assert [type(event) for event in events] == [Traded, Filled, OrderUpdated, BookChanged, AccountChanged]


# --- faults


class Faults(ExchangeHooks):
    """Every hook answers with what a test puts here."""

    def __init__(self, **answers: Json) -> None:
        self.answers = answers

    @override
    def drop_before(self, user: str, action_type: str, now_ms: int) -> bool:
        return bool(self.answers.get("drop_before"))

    @override
    def drop_answer(self, user: str, action_type: str, now_ms: int) -> bool:
        return bool(self.answers.get("drop_answer"))

    @override
    def extra_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        return int(self.answers.get("extra_delay_ms", 0))

    @override
    def answer_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        return int(self.answers.get("answer_delay_ms", 0))

    @override
    def refuse_action(self, user: str, action_type: str, now_ms: int) -> str | None:
        return self.answers.get("refuse_action")

    @override
    def refuse_batch(self, user: str, action_type: str, now_ms: int) -> str | None:
        return self.answers.get("refuse_batch")

    @override
    def refuse(self, user: str, coin: str, now_ms: int) -> str | None:
        return self.answers.get("refuse")

    @override
    def partial_ratio(self, user: str, coin: str, now_ms: int) -> Decimal | None:
        return self.answers.get("partial_ratio")

    @override
    def reshape_answer(self, user: str, action_type: str, body: Json, now_ms: int) -> Json:
        return self.answers.get("reshape_answer", body)


def test_request_lost_is_neither_executed_nor_answered(ann: Wallet) -> None:
    venue = Venue(hooks=Faults(drop_before=True))
    venue.send(ann.sign(BUY))
    assert venue.run(SETTLED_MS) == []
    assert venue.szi(ann) == 0


def test_answer_lost_is_executed_all_the_same(ann: Wallet) -> None:
    venue = Venue(hooks=Faults(drop_answer=True))
    venue.send(ann.sign(BUY))
    assert not any(isinstance(event, Answered) for event in venue.run(SETTLED_MS))
    assert venue.szi(ann) == 1


def test_delays_of_faults_add_to_those_of_the_rules(ann: Wallet) -> None:
    venue = Venue(hooks=Faults(extra_delay_ms=340, answer_delay_ms=500))
    ticket = venue.send(ann.sign(BUY))
    assert time_of(venue, Filled) >= venue.rules.taker_delay_ms + 340
    assert time_of(venue, Answered, ticket) == venue.rules.commit_ms + 500


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("refuse_action", {"status": "err", "response": "no"}),
        ("refuse_batch", {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"error": "no"}]}}}),
        (
            "refuse",
            {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"error": "no asset=110000"}] * 2}}},
        ),
    ],
)
def test_refusals_of_faults_have_their_shapes_and_nothing_trades(ann: Wallet, hook: str, answer: Json) -> None:
    venue = Venue(hooks=Faults(**{hook: "no"}))
    item = order_item(True, "190.02", "1")
    assert venue.call(ann.sign(order_action(item, item))) == answer
    assert venue.szi(ann) == 0


def test_partial_fill_of_a_fault_cancels_the_rest(ann: Wallet) -> None:
    venue = Venue(hooks=Faults(partial_ratio=Decimal("0.25")))
    (status,) = venue.statuses(ann.sign(order_action(order_item(True, "190.02", "2"))))
    assert status["filled"]["totalSz"] == "0.5"


def test_answer_is_reshaped_after_execution(ann: Wallet) -> None:
    venue = Venue(hooks=Faults(reshape_answer="garbage"))
    assert venue.call(ann.sign(BUY)) == "garbage"
    assert venue.szi(ann) == 1
