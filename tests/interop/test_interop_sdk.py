"""The official SDK, unmodified and only given our url, does on the simulated venue what it does on the real one."""

from decimal import Decimal
from typing import Any

import pytest
from interop_peers import Peer

NVDA, HOOD = 110_002, 110_004
ADDRESS = "0x00000000000000000000000000000000000000aa"


def statuses(answer: dict[str, Any]) -> list[Any]:
    assert answer["status"] == "ok", answer
    found = answer["response"]["data"]["statuses"]
    assert isinstance(found, list)
    return found


def position(state: dict[str, Any], coin: str) -> dict[str, Any] | None:
    return next((p["position"] for p in state["assetPositions"] if p["position"]["coin"] == coin), None)


@pytest.fixture(scope="module")
def traded(peer: Peer, base_url: str) -> dict[str, Any]:
    return peer("sdk", "sdk_trade.py", base_url)


def test_sdk_info_reads_every_documented_body(peer: Peer, fresh_url: str) -> None:
    read = peer("sdk", "sdk_read.py", fresh_url, ADDRESS)
    assert read["asset"] == NVDA
    assert read["perp_dexs"][0] is None
    assert read["perp_dexs"][1]["name"] == "xyz"
    assert read["meta"]["universe"][2]["name"] == "xyz:NVDA"
    assert len(read["meta_and_asset_ctxs"][0]["universe"]) == len(read["meta_and_asset_ctxs"][1])
    assert "xyz:NVDA" in read["all_mids"]
    bids, asks = read["l2_snapshot"]["levels"]
    assert Decimal(bids[0]["px"]) < Decimal(asks[0]["px"])
    assert 9 <= len(read["candles"]) <= 11
    assert [candle["s"] for candle in read["candles"]] == ["xyz:NVDA"] * len(read["candles"])
    assert 5 <= len(read["funding_history"]) <= 6
    assert read["user_state"]["marginSummary"]["accountValue"] == "10000.0"
    assert read["user_fees"]["userCrossRate"] == "0.00045"
    assert read["order_by_oid"] == read["order_by_cloid"] == {"status": "unknownOid"}
    for empty in ("open_orders", "frontend_open_orders", "user_fills", "user_fills_by_time", "historical_orders",
                  "extra_agents", "user_funding_history"):  # fmt: skip
        assert read[empty] == [], empty


def test_sdk_leverage_is_set_and_cross_refused_where_it_is_not_allowed(traded: dict[str, Any]) -> None:
    done = {"status": "ok", "response": {"type": "default"}}
    assert traded["leverage"] == traded["leverage_isolated"] == done
    assert traded["leverage_refused"] == {"status": "err", "response": "Cross margin is not allowed for this asset."}


def test_sdk_order_rests_is_modified_and_cancelled_by_oid(traded: dict[str, Any]) -> None:
    oid = statuses(traded["rest"])[0]["resting"]["oid"]
    assert [(order["oid"], order["coin"], order["sz"]) for order in traded["open_orders"]] == [(oid, "xyz:NVDA", "0.5")]
    assert traded["frontend_open_orders"][0]["tif"] == "Gtc"
    assert traded["status_resting"]["order"]["status"] == "open"
    assert statuses(traded["modify"])[0]["resting"]["oid"] > oid
    assert traded["status_modified"]["order"]["status"] == "canceled"
    assert statuses(traded["cancel"]) == ["success"]
    (again,) = statuses(traded["cancel_again"])
    assert again == {"error": f"Order was never placed, already canceled, or filled. asset={NVDA}"}


def test_sdk_order_is_found_and_cancelled_by_cloid(traded: dict[str, Any]) -> None:
    assert statuses(traded["rest_cloid"])[0]["resting"]["cloid"] == "0x0000000000000000000000000000abcd"
    assert traded["status_cloid"]["order"]["order"]["cloid"] == "0x0000000000000000000000000000abcd"
    assert statuses(traded["cancel_cloid"]) == ["success"]
    assert traded["status_cancelled"]["order"]["status"] == "canceled"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("alo_crossing", "Post only order would have immediately matched, bbo was "),
        ("too_small", "Order must have minimum value of $10."),
        ("reduce_only_flat", "Reduce only order would increase position."),
        ("ioc_unfilled", "Order could not immediately match against any resting orders."),
        ("tick", "Price must be divisible by tick size."),
    ],
)
def test_sdk_refused_order_gets_the_venues_own_text(traded: dict[str, Any], step: str, text: str) -> None:
    (status,) = statuses(traded[step])
    assert status["error"].startswith(text)
    assert status["error"].endswith(f"asset={NVDA}")


def test_sdk_trigger_order_is_refused_clearly(traded: dict[str, Any]) -> None:
    assert "rigger" in str(traded["trigger"])
    assert "error" in str(traded["trigger"]) or traded["trigger"]["status"] == "err"


def test_sdk_schedule_cancel_needs_volume(traded: dict[str, Any]) -> None:
    assert traded["schedule_cancel"]["status"] == "err"
    assert traded["schedule_cancel"]["response"].startswith(
        "Cannot set scheduled cancel time until enough volume traded. Required: $1000000"
    )


def test_sdk_position_opens_closes_and_its_fills_add_up(traded: dict[str, Any]) -> None:
    opened = statuses(traded["open"])[0]["filled"]
    assert opened["totalSz"] == "0.5"
    held = position(traded["state_open"], "xyz:NVDA")
    assert held is not None
    assert held["szi"] == "0.5"
    assert held["leverage"] == {"type": "cross", "value": 5}
    assert position(traded["state_closed"], "xyz:NVDA") is None
    fills = traded["fills"]
    assert {fill["dir"] for fill in fills} == {"Open Long", "Close Long"}
    assert len({fill["tid"] for fill in fills}) == len(fills)
    assert sum(Decimal(f["sz"]) * (1 if f["side"] == "B" else -1) for f in fills) == 0
    # 4.5 bps x 2 (deployer scale 1) x 0.1 (growth mode) of the notional of every fill.
    for fill in fills:
        assert abs(Decimal(fill["fee"]) - Decimal(fill["px"]) * Decimal(fill["sz"]) * Decimal("0.00009")) < Decimal(
            "1e-6"
        )
    paid = sum(Decimal(f["closedPnl"]) - Decimal(f["fee"]) for f in fills)
    value = Decimal(traded["state_closed"]["marginSummary"]["accountValue"])
    assert abs(value - (10_000 + paid)) < Decimal("0.00001")
    assert sorted(f["tid"] for f in traded["fills_by_time"]) == sorted(f["tid"] for f in fills)


def test_sdk_isolated_position_takes_margin_and_closes(traded: dict[str, Any]) -> None:
    assert traded["margin_added"] == {"status": "ok", "response": {"type": "default"}}
    held = position(traded["state_isolated"], "xyz:HOOD")
    assert held is not None
    assert held["leverage"]["type"] == "isolated"
    assert Decimal(held["szi"]) == -1
    assert statuses(traded["close_isolated"])[0]["filled"]["totalSz"] == "1.0"


def test_sdk_batch_is_answered_item_by_item(traded: dict[str, Any]) -> None:
    good, bad = statuses(traded["bulk"])
    assert "resting" in good
    assert bad["error"].startswith("Order must have minimum value of $10.")
    assert statuses(traded["bulk_cancel"])[0] == "success"
    assert "error" in statuses(traded["bulk_cancel"])[1]


def test_sdk_agent_trades_for_its_master(traded: dict[str, Any]) -> None:
    assert traded["approve_agent"] == {"status": "ok", "response": {"type": "default"}}
    assert "resting" in statuses(traded["agent_order"])[0]
    assert statuses(traded["agent_cancel"]) == ["success"]
    (agent,) = traded["extra_agents"]
    assert agent["name"] == "probe"
    assert traded["agent_role"] == {"role": "agent", "data": {"user": traded["user"].lower()}}


def test_sdk_expired_action_and_used_nonce_are_refused(traded: dict[str, Any]) -> None:
    assert traded["expired"]["status"] == "err"
    assert traded["noop"] == {"status": "ok", "response": {"type": "default"}}
    assert traded["nonce_used"]["status"] == "err"
    assert traded["nonce_used"]["response"].startswith("Invalid nonce: duplicate nonce")


def test_sdk_history_and_budget_know_what_was_done(traded: dict[str, Any]) -> None:
    known = {(item["order"]["coin"], item["status"]) for item in traded["historical_orders"]}
    assert {("xyz:NVDA", "filled"), ("xyz:NVDA", "canceled"), ("xyz:HOOD", "filled")} <= known
    assert traded["user_rate_limit"]["nRequestsUsed"] > 15
    assert traded["user_rate_limit"]["nRequestsCap"] >= 10_000


def stream_is_clean(heard: dict[str, Any]) -> None:
    assert heard["problems"] == heard["logs"] == []
    assert [list(status) for answer in heard["trades"] for status in statuses(answer)] == [["filled"]] * len(
        heard["trades"]
    )
    counts = heard["counts"]
    for channel in ("bbo", "l2Book", "trades", "activeAssetCtx", "candle", "allMids", "user", "userFills",
                    "orderUpdates", "activeAssetData"):  # fmt: skip
        assert counts.get(channel, 0) > 0, channel
    assert counts["activeAssetCtx"] >= 2.5 * heard["seconds"]


def test_sdk_websocket_hears_every_channel_without_an_error(peer: Peer, fresh_url: str) -> None:
    stream_is_clean(peer("sdk", "sdk_stream.py", fresh_url, "12"))


@pytest.mark.soak
@pytest.mark.timeout(720)
def test_sdk_websocket_runs_ten_minutes_without_an_error(peer: Peer, fresh_url: str) -> None:
    heard = peer("sdk", "sdk_stream.py", fresh_url, "600", timeout_s=700)
    stream_is_clean(heard)
    assert heard["seconds"] >= 600
