"""Bodies about an account: own small ones here, recorded ones of the venue where the real data is present."""

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import OutcomeUnknown
from streaming.core.market import Side
from streaming.core.trading.model import DexAccount, VenueFill, VenuePosition
from streaming.hyperliquid import account, account_history
from streaming.hyperliquid.account import AddressBudget, AgentInfo, AssetLeverage, SpotBalance, UserRole

D = Decimal
Json = Any
ANN, BOB = "0x" + "aA" * 20, "0x" + "bb" * 20
CLOID = "0x000000000000000000000000000000AB"

POSITION = {
    "coin": "xyz:NVDA",
    "szi": "-56.0",
    "leverage": {"type": "isolated", "value": 2, "rawUsd": "18485.872074"},
    "entryPx": "217.057",
    "unrealizedPnl": "-0.0",
    "liquidationPx": "322.053520453",
    "marginUsed": "6385.392074",
}
STATE = {
    "marginSummary": {"accountValue": "24217.394304"},
    "withdrawable": "17832.00223",
    "assetPositions": [{"type": "oneWay", "position": POSITION}],
    "time": 1_785_923_125_277,
}
ORDER = {
    "coin": "xyz:NVDA",
    "side": "A",
    "limitPx": "190.5",
    "sz": "0.0",
    "oid": 7,
    "timestamp": 5,
    "origSz": "2.0",
    "cloid": CLOID,
    "reduceOnly": True,
}
FILL = {
    "coin": "xyz:NVDA",
    "px": "190.5",
    "sz": "2.0",
    "side": "B",
    "time": 9,
    "startPosition": "-3695042.8999999999",
    "dir": "Close Short",
    "closedPnl": "-0.0",
    "hash": "0x1",
    "oid": 7,
    "crossed": True,
    "fee": "0.03429",
    "tid": 8,
    "feeToken": "USDC",
    "twapId": None,
}


def dumped(body: object) -> bytes:
    return json.dumps(body).encode()


PARSERS: dict[str, tuple[Callable[[bytes], object], object]] = {
    "clearinghouseState": (lambda body: account.parse_clearinghouse_state(body, "xyz"), STATE),
    "spotClearinghouseState": (account.parse_spot_state, {"balances": [{"coin": "USDC", "token": 0, "total": "1"}]}),
    "userRateLimit": (account.parse_user_rate_limit, {"cumVlm": "1", "nRequestsUsed": 1, "nRequestsCap": 2}),
    "extraAgents": (account.parse_extra_agents, [{"name": "bot", "address": ANN, "validUntil": 5}]),
    "userRole": (account.parse_user_role, {"role": "user"}),
    "userAbstraction": (account.parse_user_abstraction, "disabled"),
    "activeAssetData": (
        account.parse_active_asset_data,
        {"coin": "xyz:A", "leverage": {"type": "cross", "value": 20}, "availableToTrade": ["10.5", "20.0"]},
    ),
    "openOrders": (account_history.parse_open_orders, [ORDER]),
    "orderStatus": (
        account_history.parse_order_status,
        {"status": "order", "order": {"order": ORDER, "status": "filled", "statusTimestamp": 6}},
    ),
    "userFills": (account_history.parse_user_fills, [FILL]),
}


# --- who the address is


@pytest.mark.parametrize(
    ("body", "role"),
    [
        ({"role": "user"}, UserRole(role="user")),
        ({"role": "missing"}, UserRole(role="missing")),
        ({"role": "agent", "data": {"user": ANN}}, UserRole(role="agent", master=ANN.lower())),
        ({"role": "subAccount", "data": {"master": BOB}}, UserRole(role="subAccount", master=BOB)),
    ],
)
def test_user_role_names_the_master_in_lower_case(body: Json, role: UserRole) -> None:
    assert account.parse_user_role(dumped(body)) == role


def test_extra_agents_may_have_no_end() -> None:
    body = [{"name": "ok", "address": ANN, "validUntil": 1_767_776_120_478}, {"name": "x", "address": BOB}]
    assert account.parse_extra_agents(dumped(body)) == (
        AgentInfo(name="ok", address=ANN.lower(), valid_until_ms=1_767_776_120_478),
        AgentInfo(name="x", address=BOB, valid_until_ms=None),
    )


def test_address_budget_counts_what_was_reserved_and_never_below_zero() -> None:
    body = {"cumVlm": "12.5", "nRequestsUsed": 10_000, "nRequestsCap": 10_012, "nRequestsSurplus": 100}
    budget = account.parse_user_rate_limit(dumped(body))
    assert (budget.left_count, budget.cum_vlm_usd) == (112, D("12.5"))
    assert AddressBudget(used_count=11_000, cap_count=10_000, surplus_count=0, cum_vlm_usd=D(0)).left_count == 0


# --- balances and positions


def test_clearinghouse_state_has_exact_signed_positions() -> None:
    assert account.parse_clearinghouse_state(dumped(STATE), "xyz") == DexAccount(
        dex="xyz",
        account_value=D("24217.394304"),
        withdrawable=D("17832.00223"),
        positions=(
            VenuePosition(
                coin="xyz:NVDA",
                sz=D("-56.0"),
                entry_px=D("217.057"),
                unrealised_pnl=D(0),
                margin_used=D("6385.392074"),
                liquidation_px=D("322.053520453"),
                leverage=2,
                is_isolated=True,
            ),
        ),
        venue_ts_ms=1_785_923_125_277,
    )


def test_clearinghouse_state_leaves_out_a_position_of_zero() -> None:
    flat = {"type": "oneWay", "position": POSITION | {"szi": "0.0", "entryPx": None, "liquidationPx": None}}
    assert account.parse_clearinghouse_state(dumped(STATE | {"assetPositions": [flat]}), "").positions == ()


def test_spot_state_and_asset_data() -> None:
    body = {"balances": [{"coin": "USDC", "token": 0, "total": "14.625485", "hold": "2.5", "entryNtl": "0.0"}]}
    assert account.parse_spot_state(dumped(body)) == (
        SpotBalance(coin="USDC", token=0, total=D("14.625485"), hold=D("2.5")),
    )
    parse, asset = PARSERS["activeAssetData"]
    assert parse(dumped(asset)) == AssetLeverage(
        coin="xyz:A", leverage=20, is_isolated=False, buy_usd_max=D("10.5"), sell_usd_max=D(20)
    )


# --- orders and fills


def test_order_status_says_what_is_left_and_unknown_is_none() -> None:
    _, body = PARSERS["orderStatus"]
    found = account_history.parse_order_status(dumped(body))
    assert found is not None
    assert (found.cloid, found.side, found.left_sz, found.original_sz) == (CLOID.lower(), Side.SELL, D(0), D(2))
    assert (found.status, found.venue_ts_ms) == ("filled", 6)
    assert account_history.parse_order_status(b'{"status":"unknownOid"}') is None


def test_order_status_without_the_order_it_promises_is_no_answer() -> None:
    with pytest.raises(OutcomeUnknown, match="without an order"):
        account_history.parse_order_status(b'{"status":"order"}')


def test_fill_is_as_on_the_websocket_and_optional_fields_have_their_meaning() -> None:
    assert account_history.parse_user_fills(dumped([FILL])) == (
        VenueFill(
            coin="xyz:NVDA",
            side=Side.BUY,
            px=D("190.5"),
            sz=D(2),
            venue_ts_ms=9,
            oid=7,
            tid=8,
            fee=D("0.03429"),
            start_position_sz=D("-3695042.9"),
            closed_pnl=D(0),
            direction="Close Short",
        ),
    )
    more = FILL | {"cloid": CLOID, "liquidation": {"method": "market"}, "builderFee": "0.01", "crossed": False}
    (fill,) = account_history.parse_user_fills(dumped([more | {"fee": "-0.002"}]))
    assert (fill.cloid, fill.is_liquidation, fill.builder_fee) == (CLOID.lower(), True, D("0.01"))
    assert (fill.is_crossed, fill.fee) == (False, D("-0.002"))


def test_open_order_of_an_old_body_has_its_size_twice() -> None:
    old = {key: ORDER[key] for key in ("coin", "side", "limitPx", "oid", "timestamp")} | {"sz": "2.5"}
    (order,) = account_history.parse_open_orders(dumped([old]))
    assert (order.left_sz, order.original_sz, order.cloid, order.is_reduce_only) == (D("2.5"), D("2.5"), "", False)


# --- hostile bodies


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe", b"[" * 100_000, b"7", b"null", b'{"a":1}'])
def test_garbage_is_an_unknown_outcome_that_names_the_question(name: str, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown, match=name):
        PARSERS[name][0](body)


@given(body=st.binary(max_size=100), name=st.sampled_from(sorted(PARSERS)))
def test_any_bytes_give_an_answer_or_an_unknown_outcome(body: bytes, name: str) -> None:
    with suppress(OutcomeUnknown):
        PARSERS[name][0](body)


@pytest.mark.parametrize("number", ["NaN", "1e400", "", "0.1.2", " 1", "1_0", 5, 1.5])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("clearinghouseState", lambda number: STATE | {"withdrawable": number}),
        ("clearinghouseState", lambda n: STATE | {"assetPositions": [{"position": POSITION | {"szi": n}}]}),
        ("userFills", lambda number: [FILL | {"px": number}]),
        ("userFills", lambda number: [FILL | {"fee": number}]),
        ("openOrders", lambda number: [ORDER | {"sz": number}]),
        ("userRateLimit", lambda number: {"cumVlm": number, "nRequestsUsed": 1, "nRequestsCap": 2}),
    ],
)
def test_hostile_number_is_no_answer(name: str, body: Callable[[object], Json], number: object) -> None:
    with pytest.raises(OutcomeUnknown):
        PARSERS[name][0](dumped(body(number)))


@pytest.mark.parametrize(
    "odd",
    [{"oid": 2**63}, {"tid": -1}, {"side": "X"}, {"time": 0}, {"cloid": "0x12"}, {"coin": "x" * 65}, {"sz": "0.0"}],
)
def test_fill_that_no_journal_could_hold_is_no_answer(odd: Json) -> None:
    with pytest.raises(OutcomeUnknown):
        account_history.parse_user_fills(dumped([FILL | odd]))


# --- recorded bodies


def cassette(shared_data: Path, name: str) -> bytes:
    """First body of a recorded SDK test; YAML folds the JSON text over lines."""
    text = (shared_data / f"wire/sdk-cassettes/test_{name}.yaml").read_text()
    folded = text.split("string: '", 1)[1].split("'\n", 1)[0]
    return " ".join(line.strip() for line in folded.splitlines()).encode()


def test_recorded_state_of_a_short(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "wire/rest_responses.jsonl").read_text().splitlines()]
    body = next(row["body"] for row in rows if row["request"] == {"type": "clearinghouseState", "dex": "xyz"})
    (position,) = account.parse_clearinghouse_state(dumped(body), "xyz").positions
    assert (position.coin, position.sz, position.is_isolated, position.leverage) == ("xyz:NVDA", D(-56), True, 2)


def test_recorded_cassettes_are_read(shared_data: Path) -> None:
    dated = json.loads(cassette(shared_data, "get_user_state")) | {"time": 1}  # of 2023, when states had no time
    state = account.parse_clearinghouse_state(dumped(dated), "")
    assert (len(state.positions) > 10, state.positions[0].sz) == (True, D("-0.00785"))
    assert [agent.name for agent in account.parse_extra_agents(cassette(shared_data, "extra_agents"))] == ["ok", "new"]
    assert account.parse_user_role(cassette(shared_data, "user_role")) == UserRole(role="vault")
    budget = account.parse_user_rate_limit(cassette(shared_data, "user_rate_limit"))
    assert budget.cap_count == 10_000 + int(budget.cum_vlm_usd)
    assert len(account_history.parse_open_orders(cassette(shared_data, "get_open_orders"))) > 100


def test_recorded_fills_and_order_status_of_mainnet(shared_data: Path) -> None:
    path = shared_data / "wire" / "minnzen-2026-07-19" / "2026-07-19-mainnet-m4.json"
    selection = json.loads(path.read_text())["selection"]
    fills = account_history.parse_user_fills(dumped(selection["fills"]))
    assert [fill.tid for fill in fills] == [fill["tid"] for fill in selection["fills"]]
    assert [str(fill.start_position_sz) for fill in fills] == [fill["startPosition"] for fill in selection["fills"]]
    update = account_history.parse_order_status(dumped(selection["orderStatus"]))
    assert update is not None
    assert update.oid == 498_601_872_037
    assert account_history.parse_open_orders(dumped(selection["openOrders"]))
