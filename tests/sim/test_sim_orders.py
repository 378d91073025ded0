"""What orders, cancels and modifies are answered, text by text."""

from decimal import Decimal
from typing import Any

import pytest
from sim_market_view import BTC, GOLD, NVDA
from sim_requests import Venue, Wallet, order_action, order_item
from typing_extensions import override

from streaming.sim.exchange.events import Filled, Json, OrderUpdated
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.orders.checks import market_ntl_max
from streaming.sim.exchange.orders.orders import REMEMBERED_COUNT

CLOID = "0x0000000000000000000000000000abcd"


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def ann() -> Wallet:
    return Wallet(1)


@pytest.fixture
def bob() -> Wallet:
    return Wallet(2)


def place(venue: Venue, wallet: Wallet, *items: dict[str, Any], **changes: Json) -> list[Json]:
    return venue.statuses(wallet.sign({**order_action(*items), **changes}))


def error(venue: Venue, wallet: Wallet, *items: dict[str, Any]) -> str:
    (status,) = place(venue, wallet, *items)
    return str(status["error"])


def updates(venue: Venue, oid: int) -> list[str]:
    return [
        event.update["status"]
        for event in venue.events
        if isinstance(event, OrderUpdated) and event.update["order"]["oid"] == oid
    ]


def last_status(venue: Venue, wallet: Wallet) -> str:
    return str(venue.exchange.orders.history(wallet.address)[0]["status"])


# --- answers


def test_ioc_that_fills_is_answered_with_size_and_mean_price(venue: Venue, ann: Wallet) -> None:
    (status,) = place(venue, ann, order_item(True, "190.03", "8", cloid=CLOID))
    filled = status["filled"]
    assert (filled["totalSz"], filled["avgPx"], filled["cloid"]) == ("8.0", "190.02375", CLOID)
    assert updates(venue, filled["oid"]) == ["filled"]


def test_ioc_that_fills_in_part_is_filled_without_error_and_never_rests(venue: Venue, ann: Wallet) -> None:
    (status,) = place(venue, ann, order_item(True, "190.02", "8"))
    assert status["filled"]["totalSz"] == "5.0"
    assert updates(venue, status["filled"]["oid"]) == ["canceled"]
    assert venue.exchange.orders.live(ann.address) == []


def test_gtc_takes_and_rests_with_the_remainder(venue: Venue, ann: Wallet) -> None:
    (status,) = place(venue, ann, order_item(True, "190.02", "8", tif="Gtc"))
    (order,) = venue.exchange.orders.live(ann.address)
    assert status == {"resting": {"oid": order.oid}}
    assert (order.open_body()["sz"], order.open_body()["origSz"]) == ("3.0", "8.0")
    assert venue.exchange.book(NVDA, venue.now_ms).bids[0].px == Decimal("190.02")


def test_statuses_are_as_many_as_orders_and_in_their_order(venue: Venue, ann: Wallet) -> None:
    statuses = place(
        venue,
        ann,
        order_item(True, "189", "1", tif="Gtc"),
        order_item(True, "190.0001", "1", tif="Gtc"),
        order_item(True, "190.02", "1"),
    )
    assert [next(iter(status)) for status in statuses] == ["resting", "error", "filled"]


# --- refusals of one order

REFUSALS = {
    "tick": (order_item(True, "190.001", "1"), "Price must be divisible by tick size.", "tickRejected"),
    "lot": (order_item(True, "190.02", "1.0001"), "Order has invalid size.", "rejected"),
    "value": (order_item(True, "190.02", "0.052"), "Order must have minimum value of $10.", "minTradeNtlRejected"),
    "flat": (
        order_item(False, "190", "1", is_reduce_only=True),
        "Reduce only order would increase position.",
        "reduceOnlyRejected",
    ),
    "margin": (order_item(True, "190.02", "5000"), "Insufficient margin to place order.", "perpMarginRejected"),
    "oracle": (order_item(True, "90", "1", tif="Gtc"), "Price too far from oracle", "oracleRejected"),
    "alo": (
        order_item(True, "190.05", "1", tif="Alo"),
        "Post only order would have immediately matched, bbo was 190@190.02.",
        "badAloPxRejected",
    ),
    "ioc": (
        order_item(True, "190", "1"),
        "Order could not immediately match against any resting orders.",
        "iocCancelRejected",
    ),
}


@pytest.mark.parametrize(("item", "text", "status"), REFUSALS.values(), ids=REFUSALS)
def test_refused_order_has_the_documented_text_asset_and_status(
    venue: Venue, ann: Wallet, item: dict[str, Any], text: str, status: str
) -> None:
    assert error(venue, ann, item) == f"{text} asset=110000"
    assert last_status(venue, ann) == status
    assert venue.szi(ann) == 0


def test_market_order_of_the_venues_page_without_any_offer_has_its_own_text(venue: Venue, ann: Wallet) -> None:
    venue.view.set_book(NVDA, [("190", "5")], [])
    text = error(venue, ann, order_item(True, "195", "1", tif="FrontendMarket"))
    assert text == "No liquidity available for market order. asset=110000"


@pytest.mark.parametrize("change", [{"is_halted": True}, {"is_delisted": True}], ids=["halted", "delisted"])
def test_closed_market_takes_no_order(venue: Venue, ann: Wallet, change: dict[str, bool]) -> None:
    venue.view.set_listed(NVDA, **change)
    assert error(venue, ann, order_item(True, "190.02", "1")) == "Trading is halted. asset=110000"


def test_open_interest_cap_lets_positions_shrink_only(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    place(venue, ann, order_item(True, "190.02", "2"))
    venue.view.set_listed(NVDA, is_at_oi_cap=True)
    assert error(venue, bob, order_item(True, "190.03", "1")).startswith("Order would increase open interest")
    assert last_status(venue, bob) == "positionIncreaseAtOpenInterestCapRejected"
    error(venue, ann, order_item(False, "190", "3"))
    assert last_status(venue, ann) == "positionFlipAtOpenInterestCapRejected"
    assert "more aggressive than oracle" in error(venue, ann, order_item(False, "189.99", "1"))
    (status,) = place(venue, ann, order_item(False, "189.99", "1", is_reduce_only=True))
    assert "filled" in status


def test_beyond_the_number_of_open_orders_only_taking_goes_on(ann: Wallet) -> None:
    venue = Venue(limits={"open_order_count_max": 2})
    place(venue, ann, *(order_item(True, f"{px}", "1", tif="Gtc") for px in (180, 181)))
    assert error(venue, ann, order_item(True, "182", "1", tif="Alo")).startswith("Too many open orders")
    assert last_status(venue, ann) == "tooManyOpenOrdersRejected"
    (status,) = place(venue, ann, order_item(True, "190.02", "1"))
    assert "filled" in status


def test_small_order_that_closes_the_whole_position_is_allowed(venue: Venue, ann: Wallet) -> None:
    place(venue, ann, order_item(True, "190.02", "0.06"), order_item(False, "190", "0.06"))
    place(venue, ann, order_item(True, "190.02", "0.06"))
    assert error(venue, ann, order_item(False, "190", "0.02", is_reduce_only=True)).startswith("Order must have")
    venue.view.set_px(NVDA, "150")
    venue.view.set_book(NVDA, [("150", "5")], [("150.02", "5")])
    (status,) = place(venue, ann, order_item(False, "150", "0.06"))
    assert status["filled"]["totalSz"] == "0.06"


def test_reduce_only_larger_than_the_position_is_shrunk_and_never_flips(venue: Venue, ann: Wallet) -> None:
    place(venue, ann, order_item(True, "190.02", "2"))
    (status,) = place(venue, ann, order_item(False, "190", "5", is_reduce_only=True))
    assert status["filled"]["totalSz"] == "2.0"
    assert updates(venue, status["filled"]["oid"]) == ["filled"]
    assert venue.szi(ann) == 0


def test_trigger_order_is_refused_clearly(venue: Venue, ann: Wallet) -> None:
    item = order_item(False, "180", "1", is_reduce_only=True)
    item["t"] = {"trigger": {"isMarket": True, "triggerPx": "180", "tpsl": "sl"}}
    assert "Trigger orders are not supported" in error(venue, ann, item)


def test_post_only_window_takes_alo_only(ann: Wallet) -> None:
    class Upgrade(ExchangeHooks):
        @override
        def is_post_only(self, now_ms: int) -> bool:
            return True

    venue = Venue(hooks=Upgrade())
    assert error(venue, ann, order_item(True, "190.02", "1")).startswith("Only post-only orders allowed")
    (status,) = place(venue, ann, order_item(True, "189", "1", tif="Alo"))
    assert "resting" in status


# --- refusals of a whole batch


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (order_item(True, "0", "1"), "Order has invalid price."),
        (order_item(True, "190", "-1"), "Order has invalid size."),
        (order_item(True, "190", "0"), "Order has zero size."),
        (order_item(True, "343", "1"), "Order price cannot be more than 80% away from the reference price"),
    ],
    ids=["price", "size", "zero", "band"],
)
def test_bad_payload_is_one_error_for_the_batch_and_leaves_no_trace(
    venue: Venue, ann: Wallet, item: dict[str, Any], text: str
) -> None:
    assert error(venue, ann, order_item(True, "190.02", "1"), item) == f"{text} asset=110000"
    assert venue.exchange.orders.history(ann.address) == []
    assert venue.szi(ann) == 0


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (order_action(), "Orders are empty"),
        (order_action(order_item(True, "190", "1"), grouping="normalTpsl"), "Only grouping na is supported"),
        (
            order_action(order_item(True, "190", "1"), order_item(True, "180", "1", tif="Alo"), grouping={"p": 10_000}),
            "Priority fee needs orders",
        ),
        (
            {**order_action(order_item(True, "190", "1")), "builder": {"b": "0x" + "11" * 20, "f": 10}},
            "Builder fee has not been approved",
        ),
    ],
    ids=["empty", "grouping", "priority", "builder"],
)
def test_bad_terms_refuse_the_whole_action(venue: Venue, ann: Wallet, action: Json, text: str) -> None:
    answer = venue.call(ann.sign(action))
    assert answer["status"] == "err"
    assert answer["response"].startswith(text)


def test_builder_that_was_approved_gets_its_fee(venue: Venue, ann: Wallet) -> None:
    builder = "0x" + "11" * 20
    nonce = ann.next_nonce()
    approval = {
        "type": "approveBuilderFee", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "maxFeeRate": "0.01%", "builder": builder, "nonce": nonce,
    }  # fmt: skip
    assert venue.call(ann.sign_user(approval, nonce))["status"] == "ok"
    place(venue, ann, order_item(True, "190.02", "1"), builder={"b": builder, "f": 10})
    (fill,) = [event.fill for event in venue.events if isinstance(event, Filled)]
    assert fill["builderFee"] == "0.019002"
    answer = venue.call(ann.sign({**order_action(order_item(True, "190.03", "1")), "builder": {"b": builder, "f": 11}}))
    assert answer == {"status": "err", "response": "Builder fee has not been approved"}
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"), builder={"b": builder, "f": 10})
    venue.call(ann.sign(modify(old["resting"]["oid"], order_item(True, "181", "1", tif="Gtc"))))
    assert [order.builder for order in venue.exchange.orders.live(ann.address)] == [builder]


# --- cloids


def test_cloid_of_a_live_order_is_refused_and_of_an_ended_one_accepted(venue: Venue, ann: Wallet) -> None:
    (resting,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc", cloid=CLOID))
    assert error(venue, ann, order_item(True, "181", "1", tif="Gtc", cloid=CLOID)).startswith("Cloid already used")
    venue.statuses(ann.sign({"type": "cancel", "cancels": [{"a": 110_000, "o": resting["resting"]["oid"]}]}))
    (status,) = place(venue, ann, order_item(True, "181", "1", tif="Gtc", cloid=CLOID))
    assert venue.exchange.orders.status(ann.address, CLOID)["order"]["order"]["oid"] == status["resting"]["oid"]


@pytest.mark.parametrize("is_accepted", [True, False])
def test_cloid_that_was_filled_has_both_answers(ann: Wallet, is_accepted: bool) -> None:
    class Policy(ExchangeHooks):
        @override
        def is_duplicate_cloid_accepted(self, user: str, now_ms: int) -> bool | None:
            return is_accepted

    venue = Venue(hooks=Policy())
    for _ in range(2):
        place(venue, ann, order_item(True, "190.03", "1", cloid=CLOID))
    assert venue.szi(ann) == (2 if is_accepted else 1)


def test_same_cloid_of_two_users_are_two_orders(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    for wallet in (ann, bob):
        (status,) = place(venue, wallet, order_item(True, "180", "1", tif="Gtc", cloid=CLOID))
        assert "resting" in status


# --- cancels


def test_cancel_answers_success_or_the_text_with_the_asset(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    (mine,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    (other,) = place(venue, bob, order_item(True, "180", "1", tif="Gtc"))
    oid = mine["resting"]["oid"]
    cancels = [
        {"a": 110_000, "o": oid},
        {"a": 110_000, "o": oid},
        {"a": 110_000, "o": other["resting"]["oid"]},
        {"a": 110_001, "o": oid},
    ]
    unknown = "Order was never placed, already canceled, or filled. asset="
    assert venue.statuses(ann.sign({"type": "cancel", "cancels": cancels})) == [
        "success",
        {"error": f"{unknown}110000"},
        {"error": f"{unknown}110000"},
        {"error": f"{unknown}110001"},
    ]
    assert updates(venue, oid) == ["open", "canceled"]
    assert venue.exchange.orders.live_count(bob.address) == 1


def test_cancel_by_cloid_ends_the_order(venue: Venue, ann: Wallet) -> None:
    place(venue, ann, order_item(True, "180", "1", tif="Gtc", cloid=CLOID.upper().replace("X", "x")))
    action = {"type": "cancelByCloid", "cancels": [{"asset": 110_000, "cloid": CLOID}]}
    assert venue.statuses(ann.sign(action)) == ["success"]
    assert not venue.exchange.is_touched(NVDA)


def test_refused_copy_of_a_cloid_does_not_hide_the_live_order(venue: Venue, ann: Wallet) -> None:
    item = order_item(True, "180", "1", tif="Gtc", cloid=CLOID)
    (live,) = place(venue, ann, item)
    assert error(venue, ann, item).startswith("Cloid already used")
    assert venue.exchange.orders.status(ann.address, CLOID)["order"]["order"]["oid"] == live["resting"]["oid"]
    cancel = {"type": "cancelByCloid", "cancels": [{"asset": 110_000, "cloid": CLOID}]}
    assert venue.statuses(ann.sign(cancel)) == ["success"]


@pytest.mark.parametrize(("tif", "is_refused"), [("Ioc", False), ("FrontendMarket", True)])
def test_market_order_has_a_tenth_of_the_maximum_value_of_a_limit_order(
    ann: Wallet, tif: str, is_refused: bool
) -> None:
    venue = Venue(initial_balance_usd="1e9")
    text = error(venue, ann, order_item(True, "180", "30000", tif=tif))
    assert text.startswith("Order exceeds maximum order value.") is is_refused
    assert error(venue, ann, order_item(True, "180", "300000")).startswith("Order exceeds maximum order value.")


@pytest.mark.parametrize(
    ("leverage_max", "usd"),
    [(50, 30_000_000), (25, 30_000_000), (24, 5_000_000), (20, 5_000_000), (10, 2_000_000), (9, 500_000)],
)
def test_market_ntl_max_by_maximum_leverage(leverage_max: int, usd: int) -> None:
    assert market_ntl_max(leverage_max) == usd


# --- modifies


def modify(oid: int | str, item: dict[str, Any], *, is_always: bool = False) -> dict[str, Any]:
    action = {"type": "modify", "oid": oid, "order": item}
    return {**action, "a": True} if is_always else action


def test_modify_cancels_and_places_under_a_new_oid(venue: Venue, ann: Wallet) -> None:
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    oid = old["resting"]["oid"]
    answer = venue.call(ann.sign(modify(oid, order_item(True, "181", "2", tif="Gtc"))))
    assert answer == {"status": "ok", "response": {"type": "default"}}
    (order,) = venue.exchange.orders.live(ann.address)
    assert order.oid > oid
    assert (order.px, order.sz, order.tif) == (181, 2, "Alo")
    assert updates(venue, oid) == ["open", "canceled"]


def test_modify_of_an_ended_order_is_refused_unless_always(venue: Venue, ann: Wallet) -> None:
    item = order_item(True, "181", "2", tif="Gtc")
    answer = venue.call(ann.sign(modify(CLOID, item)))
    assert answer == {"status": "err", "response": "Cannot modify canceled or filled order"}
    assert venue.call(ann.sign(modify(CLOID, item, is_always=True)))["status"] == "ok"
    assert venue.exchange.orders.live_count(ann.address) == 1


@pytest.mark.parametrize(
    "item",
    [
        order_item(True, "190.02", "1"),
        order_item(False, "195", "1", tif="Alo"),
        order_item(True, "180", "0.01", tif="Gtc"),
        order_item(True, "180.001", "1", tif="Gtc"),
        order_item(True, "3900", "1", tif="Gtc", asset=110_001),
        order_item(True, "180", "1", tif="Gtc", is_reduce_only=True),
    ],
    ids=["ioc", "other side", "too small", "tick", "other market", "reduce-only"],
)
def test_modify_to_an_order_that_is_wrong_by_itself_leaves_the_old_one(
    venue: Venue, ann: Wallet, item: dict[str, Any]
) -> None:
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    oid = old["resting"]["oid"]
    refused = {"status": "err", "response": "Attempted to modify to invalid new order"}
    assert venue.call(ann.sign(modify(oid, item))) == refused
    assert venue.statuses(ann.sign({"type": "batchModify", "modifies": [{"oid": oid, "order": item}]})) == [
        {"error": refused["response"]}
    ]
    assert [order.oid for order in venue.exchange.orders.live(ann.address)] == [oid]


def test_modify_to_an_order_that_crosses_loses_the_old_one_too(venue: Venue, ann: Wallet) -> None:
    crossing = order_item(True, "190.02", "1", tif="Gtc")
    text = "Post only order would have immediately matched, bbo was 190@190.02. asset=110000"
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    answer = venue.call(ann.sign(modify(old["resting"]["oid"], crossing)))
    assert answer == {"status": "err", "response": f"Error placing new order during modify: {text}"}
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    modifies = [{"oid": old["resting"]["oid"], "order": crossing}]
    assert venue.statuses(ann.sign({"type": "batchModify", "modifies": modifies})) == [{"error": text}]
    assert venue.exchange.orders.live(ann.address) == []
    assert venue.szi(ann) == 0


@pytest.mark.parametrize("is_always", [True, False])
def test_modify_to_a_trigger_is_refused_and_leaves_the_old_one(venue: Venue, ann: Wallet, is_always: bool) -> None:
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    trigger = {"trigger": {"isMarket": True, "triggerPx": "200", "tpsl": "tp"}}
    item = {**order_item(True, "180", "1"), "t": trigger}
    answer = venue.call(ann.sign(modify(old["resting"]["oid"], item, is_always=is_always)))
    assert answer["response"].startswith("Trigger orders are not supported")
    assert venue.exchange.orders.live_count(ann.address) == 1


def test_modify_with_always_may_take(venue: Venue, ann: Wallet) -> None:
    (old,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    answer = venue.call(ann.sign(modify(old["resting"]["oid"], order_item(True, "190.02", "1"), is_always=True)))
    assert answer["status"] == "ok"
    assert venue.szi(ann) == 1
    assert venue.exchange.orders.live(ann.address) == []


def test_batch_modify_answers_like_orders(venue: Venue, ann: Wallet) -> None:
    placed = place(venue, ann, *(order_item(True, px, "1", tif="Gtc") for px in ("180", "181")))
    modifies = [{"oid": placed[0]["resting"]["oid"], "order": order_item(True, "182", "1", tif="Gtc")}]
    modifies.append({"oid": 1, "order": order_item(True, "183", "1", tif="Gtc")})
    statuses = venue.statuses(ann.sign({"type": "batchModify", "modifies": modifies}))
    assert [next(iter(status)) for status in statuses] == ["resting", "error"]
    assert sorted(order.px for order in venue.exchange.orders.live(ann.address)) == [181, 182]


# --- what is remembered


def test_bodies_of_an_order_have_the_documented_keys(venue: Venue, ann: Wallet) -> None:
    place(venue, ann, order_item(True, "180", "1", tif="Alo", cloid=CLOID))
    (order,) = venue.exchange.orders.live(ann.address)
    assert order.open_body() == {
        "coin": NVDA, "side": "B", "limitPx": "180.0", "sz": "1.0", "oid": order.oid,
        "timestamp": order.placed_ms, "origSz": "1.0", "cloid": CLOID,
    }  # fmt: skip
    status = venue.exchange.orders.status(ann.address, order.oid)
    assert status["status"] == "order"
    assert set(status["order"]) == {"order", "status", "statusTimestamp"}
    assert set(status["order"]["order"]) == {
        "coin", "side", "limitPx", "sz", "oid", "timestamp", "triggerCondition", "isTrigger", "triggerPx", "children",
        "isPositionTpsl", "reduceOnly", "orderType", "origSz", "tif", "cloid",
    }  # fmt: skip


def test_status_of_an_unknown_or_foreign_oid_is_unknown(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    (status,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    unknown = {"status": "unknownOid"}
    assert venue.exchange.orders.status(bob.address, status["resting"]["oid"]) == unknown
    assert venue.exchange.orders.status(ann.address, 1) == unknown


def test_only_the_newest_orders_are_remembered_live_ones_always(venue: Venue, ann: Wallet) -> None:
    (live,) = place(venue, ann, order_item(True, "180", "1", tif="Gtc"))
    place(venue, ann, order_item(True, "189", "1", cloid=CLOID))
    orders = venue.exchange.orders
    assert orders.find(ann.address, CLOID) is not None
    for _ in range(REMEMBERED_COUNT // 200):
        place(venue, ann, *(order_item(True, "189", "1") for _ in range(200)))
    assert len(orders.history(ann.address)) == REMEMBERED_COUNT
    assert orders.status(ann.address, live["resting"]["oid"])["order"]["status"] == "open"
    assert orders.status(ann.address, CLOID) == {"status": "unknownOid"}


def test_assets_are_those_of_the_universe(venue: Venue, ann: Wallet) -> None:
    venue.view.set_book(BTC, [("84000", "1")], [("84001", "1")])
    venue.view.set_book(GOLD, [("4000", "1")], [("4000.1", "1")])
    statuses = place(
        venue, ann, order_item(True, "84001", "0.01", asset=0), order_item(True, "4000.1", "0.1", asset=110_001)
    )
    assert all("filled" in status for status in statuses)
    assert (venue.szi(ann, BTC), venue.szi(ann, GOLD)) == (Decimal("0.01"), Decimal("0.1"))
    assert error(venue, ann, order_item(True, "10", "10", asset=999)) == "Unknown asset. asset=999"
