"""ccxt, a client that shares no code with the official SDK, trades on the simulated venue."""

from decimal import Decimal
from typing import Any

import pytest
from interop_peers import Peer

# A key of nobody, published as a test key by many projects.
KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
ADDRESS = "0x14791697260e4c9a71f18484c9f997b308e59325"


@pytest.fixture(scope="module")
def said(peer: Peer, base_url: str) -> dict[str, Any]:
    return peer("ccxt", "ccxt_session.py", base_url, ADDRESS, KEY)


def test_ccxt_reads_the_builder_market(said: dict[str, Any]) -> None:
    assert said["market"]["baseId"] == "110002"
    assert said["book"]["bids"][0][0] < said["book"]["asks"][0][0]
    assert said["ticker"]["last"] or said["ticker"]["markPrice"]
    assert len(said["candles"]) == 5
    assert said["balance"]["USDC"] == 10_000


def test_ccxt_order_rests_is_edited_and_cancelled(said: dict[str, Any]) -> None:
    assert said["leverage"]["status"] == "ok"
    assert [order["id"] for order in said["open_orders"]] == [said["rest"]["id"]]
    assert int(said["edited"]["id"]) > int(said["rest"]["id"])
    assert said["order"]["status"] == "open"
    assert said["order"]["amount"] == 0.4
    assert "minimum value of $10" in said["too_small"]


def test_ccxt_position_opens_and_closes(said: dict[str, Any]) -> None:
    (held,) = said["positions"]
    assert (held["side"], held["contracts"], held["leverage"]) == ("long", 0.5, 5.0)
    trades = said["my_trades"]
    assert sum(Decimal(str(t["amount"])) * (1 if t["side"] == "buy" else -1) for t in trades) == 0
    assert all(trade["fee"]["cost"] > 0 for trade in trades)


def test_ccxt_websocket_streams_and_trades(said: dict[str, Any]) -> None:
    stream = said["stream"]
    assert stream["bids"]
    assert stream["ticker"]
    assert stream["order"]["id"]
    assert stream["cancelled"]
