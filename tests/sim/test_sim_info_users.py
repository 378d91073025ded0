import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sim_accounts import ANN, BOB
from sim_market_view import BTC, FOO, GOLD, NVDA, START_MS, FakeView, small_universe

from streaming.sim.exchange.accounts.clearing import Setting
from streaming.sim.exchange.accounts.executions import Execution
from streaming.sim.exchange.exchange import Exchange
from streaming.sim.exchange.orders.orders import Order
from streaming.sim.scenario.rules import VenueRules
from streaming.sim.venue.info.requests import BadShapeError, NullError
from streaming.sim.venue.info.users import BODIES, EMPTY

D = Decimal
Json = Any
NOBODY = f"0x{'0c' * 20}"
CLOID = "0x000000000000000000000000000000ab"


class Desk:
    """An exchange with accounts that a test fills by hand."""

    def __init__(self) -> None:
        universe = small_universe()
        self.view = FakeView(universe)
        self.exchange = Exchange(universe, VenueRules(), self.view, seed=7, begin_ms=START_MS)
        self.count = 0

    def ask(self, kind: str, user: str = ANN, **fields: object) -> Json:
        return BODIES[kind](self.exchange, {"type": kind, "user": user} | fields, START_MS + 1_000)

    def trade(self, sz: str, px: str, coin: str = NVDA, *, oid: int | None = None, time_ms: int = START_MS) -> Json:
        self.count += 1
        signed = D(sz)
        execution = Execution(
            coin=coin,
            is_buy=signed > 0,
            px=D(px),
            sz=abs(signed),
            time_ms=time_ms,
            oid=oid or self.count,
            tid=self.count,
            is_taker=True,
        )
        return self.exchange.accounts.apply_fill(ANN, execution)

    def rest(self, sz: str, px: str, coin: str = NVDA, cloid: str | None = None) -> Order:
        self.count += 1
        order = Order(
            oid=self.count,
            user=ANN,
            coin=coin,
            asset=self.exchange.accounts.universe.asset_ids[coin],
            is_buy=D(sz) > 0,
            px=D(px),
            sz=abs(D(sz)),
            orig_sz=abs(D(sz)),
            tif="Gtc",
            is_reduce_only=False,
            cloid=cloid,
            placed_ms=START_MS,
        )
        self.exchange.orders.add(order)
        return order


@pytest.fixture
def desk() -> Desk:
    return Desk()


def recorded_state(shared_data: Path) -> Json:
    rows = [json.loads(line) for line in (shared_data / "wire/rest_responses.jsonl").read_text().splitlines()]
    return next(row["body"] for row in rows if row["request"] == {"type": "clearinghouseState", "dex": "xyz"})


def cassette(shared_data: Path, name: str) -> Json:
    """First body of a recorded SDK test; YAML folds the JSON text over lines."""
    text = (shared_data / f"wire/sdk-cassettes/test_{name}.yaml").read_text()
    folded = text.split("string: '", 1)[1].split("'\n", 1)[0]
    return json.loads(" ".join(line.strip() for line in folded.splitlines()))


# --- clearinghouseState


def test_clearinghouse_state_reproduces_the_recorded_short_byte_for_byte(desk: Desk, shared_data: Path) -> None:
    real = recorded_state(shared_data)
    account = desk.exchange.accounts.of(ANN)
    account.settings[NVDA] = Setting(2, is_cross=False)
    desk.trade("-56", "217.058")
    position = account.position(NVDA)
    assert position is not None
    account.houses["xyz"].raw_usd = D("17832.00223")
    position.raw_usd, position.entry_ntl = D("18485.872074"), D("12155.245972")
    position.funding_since_open, position.funding_since_change = D("-310.436405"), D("-27.857483")
    account.funding_all_time[NVDA] = D("-469.942577")
    desk.view.set_px(NVDA, "216.08")
    ours = desk.ask("clearinghouseState", dex="xyz")
    assert json.dumps(ours | {"time": 0}) == json.dumps(real | {"time": 0})


def test_clearinghouse_state_cross_has_no_raw_usd_and_separate_summaries(desk: Desk) -> None:
    desk.trade("10", "190")
    desk.trade("1", "4000", GOLD)
    body = desk.ask("clearinghouseState", dex="xyz")
    cross, isolated = (item["position"] for item in body["assetPositions"])
    assert cross["leverage"] == {"type": "cross", "value": 20}
    assert cross["liquidationPx"] is None
    assert isolated["leverage"]["type"] == "isolated"
    assert body["crossMarginSummary"]["totalNtlPos"] == "1900.0"
    assert body["marginSummary"]["totalNtlPos"] == "5900.0"
    assert body["marginSummary"]["accountValue"] == "9996.229"
    assert body["crossMaintenanceMarginUsed"] == "47.5"


def test_clearinghouse_state_withdrawable_leaves_room_for_orders(desk: Desk) -> None:
    assert desk.ask("clearinghouseState", dex="xyz")["withdrawable"] == "10000.0"
    desk.rest("20", "190")
    assert desk.ask("clearinghouseState", dex="xyz")["withdrawable"] == "9810.0"


def test_clearinghouse_state_dexes_are_apart(desk: Desk) -> None:
    desk.trade("10", "190")
    assert desk.ask("clearinghouseState")["assetPositions"] == []
    assert len(desk.ask("clearinghouseState", dex="xyz")["assetPositions"]) == 1


def test_first_sight_opens_an_account_with_the_balance_on_every_dex(desk: Desk) -> None:
    assert desk.ask("userRole", NOBODY) == {"role": "missing"}
    for dex in ("", "xyz", "abc"):
        assert desk.ask("clearinghouseState", NOBODY, dex=dex)["marginSummary"]["accountValue"] == "10000.0"
    assert desk.ask("userRole", NOBODY) == {"role": "user"}


def test_agent_address_has_empty_bodies(desk: Desk) -> None:
    desk.exchange.accounts.of(ANN)
    assert desk.exchange.authority.approve_agent(ANN, BOB, "bot", START_MS) is None
    assert desk.ask("clearinghouseState", BOB, dex="xyz")["marginSummary"]["accountValue"] == "0.0"
    assert desk.ask("userRole", BOB) == {"role": "agent", "data": {"user": ANN}}
    (agent,) = desk.ask("extraAgents")
    assert (agent["name"], agent["address"]) == ("bot", BOB)
    assert not desk.exchange.accounts.is_known(BOB)


# --- fills


def test_user_fills_newest_first_and_by_time_oldest_first(desk: Desk) -> None:
    for place in range(3):
        desk.trade("1", "190", time_ms=START_MS + place)
    assert [fill["tid"] for fill in desk.ask("userFills")] == [3, 2, 1]
    between = desk.ask("userFillsByTime", startTime=START_MS + 1, endTime=START_MS + 2)
    assert [fill["tid"] for fill in between] == [2, 3]
    backwards = desk.ask("userFillsByTime", startTime=START_MS, reversed=True)
    assert [fill["tid"] for fill in backwards] == [3, 2, 1]


def test_user_fills_keep_2000_a_page_and_the_next_begins_at_the_last(desk: Desk) -> None:
    for place in range(2_100):
        desk.trade("1" if place % 2 else "-1", "190", time_ms=START_MS - 2_100 + place)
    assert len(desk.ask("userFills")) == 2_000
    page = desk.ask("userFillsByTime", startTime=START_MS - 2_100)
    rest = desk.ask("userFillsByTime", startTime=page[-1]["time"])
    assert (len(page), len(rest), rest[0]["tid"]) == (2_000, 101, page[-1]["tid"])


def test_user_fills_aggregated_join_one_order_in_one_block(desk: Desk) -> None:
    desk.trade("1", "190", oid=7)
    desk.trade("3", "192", oid=7)
    desk.trade("1", "190", oid=8)
    last, joined = desk.ask("userFills", aggregateByTime=True)
    assert (joined["sz"], joined["px"], joined["startPosition"]) == ("4.0", "191.5", "0.0")
    assert D(joined["fee"]) == sum(D(fill["fee"]) for fill in desk.ask("userFills")[1:])
    assert last["startPosition"] == "4.0"


def test_user_fills_have_the_recorded_keys(desk: Desk, shared_data: Path) -> None:
    frames = [json.loads(line)["raw"] for line in (shared_data / "wire/frames.jsonl").read_text().splitlines()]
    real = next(frame for frame in frames if frame["channel"] == "userFills")["data"]["fills"][0]
    assert list(desk.trade("1", "190")) == list(real)


# --- orders


def test_open_orders_of_one_dex_newest_first(desk: Desk) -> None:
    desk.rest("1", "180")
    desk.rest("-2", "200.5", cloid=CLOID)
    desk.rest("0.001", "80000", BTC)
    rows = desk.ask("openOrders", dex="xyz")
    assert [(row["side"], row["limitPx"], row["sz"]) for row in rows] == [("A", "200.5", "2.0"), ("B", "180.0", "1.0")]
    assert rows[0]["cloid"] == CLOID
    assert "cloid" not in rows[1]
    assert [row["coin"] for row in desk.ask("openOrders")] == [BTC]


def test_frontend_open_orders_have_the_recorded_keys(desk: Desk, shared_data: Path) -> None:
    desk.rest("1", "180")
    real = cassette(shared_data, "get_frontend_open_orders")[-1]
    ours = desk.ask("frontendOpenOrders", dex="xyz")[0]
    assert set(ours) == set(real) | {"cloid"}
    assert {type(ours[key]) for key in real} == {type(real[key]) for key in real}


def test_historical_orders_have_the_recorded_keys(desk: Desk, shared_data: Path) -> None:
    order = desk.rest("1", "180")
    order.status = "canceled"
    desk.exchange.orders.note(order)
    (ours,), real = desk.ask("historicalOrders"), cassette(shared_data, "historical_orders")[0]
    assert list(ours) == list(real)
    assert list(ours["order"]) == list(real["order"])


@pytest.mark.parametrize("key", [1, CLOID, CLOID.upper().replace("0X", "0x")])
def test_order_status_by_oid_and_cloid(desk: Desk, key: int | str) -> None:
    desk.rest("1", "180", cloid=CLOID)
    body = desk.ask("orderStatus", oid=key)
    assert body["status"] == "order"
    assert (body["order"]["order"]["oid"], body["order"]["status"]) == (1, "open")


def test_order_status_unknown_and_of_others(desk: Desk) -> None:
    desk.rest("1", "180")
    assert desk.ask("orderStatus", oid=99) == {"status": "unknownOid"}
    assert desk.ask("orderStatus", BOB, oid=1) == {"status": "unknownOid"}


# --- the rest


def test_active_asset_data_flat_is_the_balance_at_the_leverage(desk: Desk) -> None:
    assert desk.ask("activeAssetData", coin=GOLD) == {
        "user": ANN,
        "coin": GOLD,
        "leverage": {"type": "isolated", "value": 20, "rawUsd": "0.0"},
        "maxTradeSzs": ["50.0", "50.0"],
        "availableToTrade": ["10000.0", "10000.0"],
        "markPx": "4000.0",
    }


def test_active_asset_data_against_a_position_closing_comes_on_top(desk: Desk) -> None:
    desk.trade("100", "190")
    body = desk.ask("activeAssetData", coin=NVDA)
    buy, sell = (D(sz) for sz in body["maxTradeSzs"])
    assert sell == buy + 200
    assert desk.exchange.accounts.of(ANN).szi(NVDA) == 100


def test_user_funding_and_ledger_pages(desk: Desk) -> None:
    account = desk.exchange.accounts.of(ANN)
    account.fundings.extend({"time": START_MS - 600 + place, "hash": "0x", "delta": {}} for place in range(600))
    page = desk.ask("userFunding", startTime=START_MS - 600, endTime=None)
    assert (len(page), page[0]["time"]) == (500, START_MS - 600)
    assert len(desk.ask("userFunding", startTime=page[-1]["time"])) == 101
    desk.exchange.accounts.deposit(ANN, "xyz", D(5), START_MS)
    assert [item["delta"] for item in desk.ask("userNonFundingLedgerUpdates", startTime=0)] == [
        {"type": "deposit", "usdc": "5.0"}
    ]


def test_user_rate_limit_counts_weighted_volume(desk: Desk) -> None:
    desk.trade("10", "190")
    body = desk.ask("userRateLimit")
    assert (body["cumVlm"], body["nRequestsUsed"], body["nRequestsCap"]) == ("190.0", 0, 10_190)


def test_web_data3_has_a_state_for_every_dex_and_names_capped_markets(desk: Desk) -> None:
    desk.view.set_listed(FOO, is_at_oi_cap=True)
    body = desk.ask("webData3")
    assert body["userState"]["user"] == ANN
    assert body["userState"]["cumLedger"] == "30000.0"
    assert body["perpDexStates"] == [
        {"totalVaultEquity": "0.0"},
        {"totalVaultEquity": "0.0"},
        {"totalVaultEquity": "0.0", "perpsAtOpenInterestCap": [FOO]},
    ]


def test_portfolio_periods_and_points_as_recorded(desk: Desk, shared_data: Path) -> None:
    real = cassette(shared_data, "portfolio")
    ours = desk.ask("portfolio")
    assert [period for period, _ in ours] == [period for period, _ in real]
    assert {frozenset(points) for _, points in ours} == {frozenset(points) for _, points in real}


def test_abstraction_builders_and_referral(desk: Desk) -> None:
    account = desk.exchange.accounts.of(ANN)
    account.builder_fee_max[BOB] = D("0.0001")
    assert desk.ask("userAbstraction") == "disabled"
    assert desk.ask("maxBuilderFee", builder=BOB) == 10
    assert desk.ask("approvedBuilders") == [BOB]
    assert desk.ask("referral")["cumVlm"] == "0.0"
    assert desk.ask("spotClearinghouseState") == {"balances": []}
    account.spot_usd = D("2.5")
    assert desk.ask("spotClearinghouseState")["balances"][0]["total"] == "2.5"


@pytest.mark.parametrize("kind", sorted(EMPTY))
def test_empty_types_answer_their_shape(desk: Desk, kind: str) -> None:
    assert desk.ask(kind) == EMPTY[kind]


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_user_missing_or_malformed_is_a_bad_shape(desk: Desk, kind: str) -> None:
    fields = {"startTime": 0, "oid": 1, "coin": NVDA, "builder": BOB}
    for user in ({}, {"user": "0x12"}, {"user": 5}):
        with pytest.raises(BadShapeError):
            BODIES[kind](desk.exchange, {"type": kind} | fields | user, START_MS)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("orderStatus", {}),
        ("orderStatus", {"oid": "0x12"}),
        ("orderStatus", {"oid": -1}),
        ("userFillsByTime", {}),
        ("userFunding", {"startTime": "5"}),
        ("userFills", {"aggregateByTime": "yes"}),
        ("activeAssetData", {}),
    ],
)
def test_fields_missing_or_malformed_are_a_bad_shape(desk: Desk, kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(BadShapeError):
        desk.ask(kind, **fields)


@pytest.mark.parametrize(
    ("kind", "fields"), [("clearinghouseState", {"dex": "nope"}), ("activeAssetData", {"coin": "xyz:NOPE"})]
)
def test_unknown_dex_or_coin_is_null(desk: Desk, kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(NullError):
        desk.ask(kind, **fields)


def test_user_address_of_any_case_is_one_account(desk: Desk) -> None:
    desk.trade("1", "190")
    assert len(desk.ask("userFills", ANN.upper().replace("0X", "0x"))) == 1
