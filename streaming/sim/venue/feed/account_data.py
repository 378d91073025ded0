"""Snapshots of the user channels: the bodies of the info endpoint in the shapes of the websocket.

Rule: the channels that only report events (`orderUpdates`, `userEvents`, `notification`) have no snapshot.

Source: hyperliquid-protocol.md, section 1.6.
"""

from collections.abc import Callable, Mapping

from streaming.sim.exchange.events import Json
from streaming.sim.venue.feed.subscriptions import Topic

Value = Callable[[Json], Json]
"""Answers an info request as of now (`Info.value`)."""


def _fills(value: Value, topic: Topic) -> Json:
    request = {"type": "userFills", "user": topic.user, "aggregateByTime": topic.is_aggregated}
    return {"isSnapshot": True, "user": topic.user, "fills": value(request)}


def _fundings(value: Value, topic: Topic) -> Json:
    paid = value({"type": "userFunding", "user": topic.user, "startTime": 0})
    fundings = [
        {"time": item["time"], **{key: part for key, part in item["delta"].items() if key != "type"}} for item in paid
    ]
    return {"isSnapshot": True, "user": topic.user, "fundings": fundings}


def _ledger(value: Value, topic: Topic) -> Json:
    items = value({"type": topic.channel, "user": topic.user, "startTime": 0})
    return {"isSnapshot": True, "user": topic.user, "nonFundingLedgerUpdates": items}


def _clearinghouse_of_dex(value: Value, topic: Topic) -> Json:
    state = value({"type": "clearinghouseState", "user": topic.user, "dex": topic.dex})
    return {"dex": topic.dex, "user": topic.user, "clearinghouseState": state}


def _clearinghouse_of_all(value: Value, topic: Topic) -> Json:
    dexes = ["" if dex is None else dex["name"] for dex in value({"type": "perpDexs"})]
    states = [[dex, value({"type": "clearinghouseState", "user": topic.user, "dex": dex})] for dex in dexes]
    return {"user": topic.user, "clearinghouseStates": states}


def _open_orders(value: Value, topic: Topic) -> Json:
    orders = value({"type": "frontendOpenOrders", "user": topic.user, "dex": topic.dex})
    return {"dex": topic.dex, "user": topic.user, "orders": orders}


def _web_data(value: Value, topic: Topic) -> Json:
    return value({"type": "webData3", "user": topic.user})


def _asset(value: Value, topic: Topic) -> Json:
    return value({"type": "activeAssetData", "user": topic.user, "coin": topic.coin})


def _spot(value: Value, topic: Topic) -> Json:
    return {"user": topic.user, "spotState": value({"type": "spotClearinghouseState", "user": topic.user})}


SNAPSHOTS: Mapping[str, Callable[[Value, Topic], Json]] = {
    "userFills": _fills,
    "userFundings": _fundings,
    "userNonFundingLedgerUpdates": _ledger,
    "clearinghouseState": _clearinghouse_of_dex,
    "allDexsClearinghouseState": _clearinghouse_of_all,
    "openOrders": _open_orders,
    "webData3": _web_data,
    "activeAssetData": _asset,
    "spotState": _spot,
}
"""Channel → data of its snapshot."""
