"""Every recorded body and frame of shared/data/wire has the shape our venue gives, or the difference is explained.

Rule: an explanation that explains nothing any more fails too, so the list stays as long as it must be.
"""

import gzip
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from venue_client import VenueClient
from wire_shapes import differences

Json = Any
NVDA, HOOD = 110_002, 110_004
OLD = "a body of 2023 or a trimmed copy of one; the newer recordings and our venue agree"
SELECTOR = "added, counted or flattened by who selected the values, never on the wire"
MOVED = "moved into meta.universe by September 2026 (reference, section 0, fact 9)"
EXPLAINED = {
    "*ssetContexts[[]].index: only recorded": SELECTOR,
    "*ssetContexts[[]].name: only recorded": SELECTOR,
    "*Universe[[]].index: only recorded": SELECTOR,
    "*Universe[[]].marginTable: only recorded": SELECTOR,
    "*Universe[[]].isDelisted: only recorded": "only a delisted market has the key, and none is in our scenario",
    "hip3*niverse[[]].lastGrowthModeChangeTime: only recorded": "gone by September 2026 (reference, section 2)",
    "hip3Meta.marginTableCount: only recorded": SELECTOR,
    "*ex*.assetTo*Count: only recorded": SELECTOR,
    "*ex*.dexIndex: only recorded": SELECTOR,
    "*ex*.subDeployers[[]]: recorded scalar, ours list": SELECTOR,
    "*ex*.deployerFeeScale: only recorded": MOVED,
    "*ex*.lastDeployerFeeScaleChangeTime: only recorded": MOVED,
    "meta.collateralToken: only ours": OLD,
    "meta.marginTables: only ours": OLD,
    "meta.universe[[]].marginTableId: only ours": OLD,
    "clearinghouseState.assetPositions[[]].position.cumFunding: only ours": OLD,
    "clearinghouseState.assetPositions[[]].position.maxLeverage: only ours": OLD,
    "clearinghouseState.assetPositions[[]].position.maxTradeSzs: only recorded": OLD,
    "clearinghouseState.assetPositions[[]].position.leverage.rawUsd: only ours": "they held none that is isolated",
    "clearinghouseState.crossMaintenanceMarginUsed: only ours": OLD,
    "clearinghouseState.time: only ours": OLD,
    "frontendOpenOrders[[]].cloid: only ours": OLD,
    "openOrders[[]].origSz: only ours": OLD,
    "openOrders[[]].cloid: only ours": "keys that stand there only when set; that account set none",
    "openOrders[[]].reduceOnly: only ours": "keys that stand there only when set; that account set none",
    "userFills*[[]].feeToken: only ours": OLD,
    "userFills*[[]].tid: only ours": OLD,
    "userFills*[[]].twapId: only ours": OLD,
    "userRateLimit.nRequestsSurplus: only ours": "newer than the recording (reference, section 2)",
}


class Pair(NamedTuple):
    name: str
    recorded: Json
    ours: Json
    is_whole: bool = True
    """False: the recording is a selection, so keys that only we have say nothing."""


@pytest.fixture(scope="module")
def client(base_url: str) -> VenueClient:
    """An account with a past: positions, resting orders, fills, refusals."""
    client = VenueClient(base_url, bytes(31) + b"\x07")
    mids = client.info("allMids", dex="xyz")
    nvda, hood = (float(mids[coin]) for coin in ("xyz:NVDA", "xyz:HOOD"))
    client.act({"type": "updateLeverage", "asset": HOOD, "isCross": False, "leverage": 2})
    client.order(NVDA, True, f"{nvda * 1.02:.2f}", "1", "Ioc")
    client.order(HOOD, False, f"{hood * 0.98:.2f}", "2", "Ioc")
    client.order(NVDA, True, f"{nvda * 0.9:.2f}", "1", c="0x000000000000000000000000000000ee")
    client.order(NVDA, False, f"{nvda * 1.1:.2f}", "1", r=True)
    return client


def cassettes(folder: Path) -> Iterator[tuple[str, Json, Json]]:
    for path in sorted((folder / "sdk-cassettes").glob("*.yaml")):
        for item in yaml.safe_load(path.read_text())["interactions"]:
            raw = item["response"]["body"]["string"]
            raw = gzip.decompress(raw) if isinstance(raw, bytes) and raw[:2] == b"\x1f\x8b" else raw
            yield path.stem, json.loads(item["request"]["body"]), json.loads(raw)


def of_us(client: VenueClient, request: Json) -> Json:
    """Ask our venue the recorded question about our account and our market."""
    asked = dict(request)
    if "user" in asked or asked["type"] == "clearinghouseState":
        asked["user"] = client.address
        asked |= {"dex": "xyz"} if asked["type"] in {"clearinghouseState", "openOrders", "frontendOpenOrders"} else {}
    if asked.get("coin"):
        asked["coin"] = "xyz:NVDA"
    now_ms = client.info("exchangeStatus")["time"]
    if "startTime" in asked:
        asked |= {"startTime": now_ms - 7_200_000}
        asked.pop("endTime", None)
    if "req" in asked:
        asked["req"] = {"coin": "xyz:NVDA", "interval": "1m", "startTime": now_ms - 600_000, "endTime": now_ms}
    return client.post("/info", asked)[1]


def unexplained(pairs: list[Pair]) -> tuple[list[str], set[str]]:
    """Return the differences that nothing explains, and the explanations that were needed."""
    found = {
        line
        for pair in pairs
        for line in differences(pair.recorded, pair.ours, pair.name)
        if pair.is_whole or not line.endswith("only ours")
    }
    used = {pattern for pattern in EXPLAINED for line in found if fnmatch(line, pattern)}
    return sorted(line for line in found if not any(fnmatch(line, pattern) for pattern in EXPLAINED)), used


def of_sdk(client: VenueClient, folder: Path) -> list[Pair]:
    return [Pair(request["type"], body, of_us(client, request)) for _, request, body in cassettes(folder)]


def of_rest(client: VenueClient, folder: Path) -> list[Pair]:
    """Bodies from several sources, some trimmed; two are texts of refused orders and one a fill."""
    pairs = []
    for line in (folder / "rest_responses.jsonl").read_text().splitlines():
        item = json.loads(line)
        request, is_whole = item["request"], "trimmed" not in item["claim"]
        if isinstance(request, dict) and "status" not in item:
            pairs.append(Pair(request["type"], item["body"], of_us(client, request), is_whole))
    return pairs


def of_minnzen(client: VenueClient, folder: Path) -> list[Pair]:
    """Selections of live bodies under the selector's own names."""
    now_ms = client.info("exchangeStatus")["time"]
    meta, ctxs = client.info("metaAndAssetCtxs", dex="xyz")
    spot_meta, spot_ctxs = client.info("spotMetaAndAssetCtxs")
    fees = client.info("userFees", user=client.address)
    state = client.info("clearinghouseState", user=client.address, dex="xyz")
    fills = client.info("userFills", user=client.address)
    ours = {
        "perpUniverse": meta["universe"],
        "hip3Universe": meta["universe"],
        "spotUniverse": spot_meta["universe"],
        "spotTokens": spot_meta["tokens"],
        "spotAssetContexts": spot_ctxs,
        "perpDexs": client.info("perpDexs")[1:],
        "hip3Dex": client.info("perpDexs")[1],
        "assetContexts": ctxs,
        "hip3AssetContexts": ctxs,
        "btcAssetContext": ctxs[2],
        "btcFundingHistory": client.info("fundingHistory", coin="xyz:NVDA", startTime=now_ms - 7_200_000),
        "positions": [each["position"] for each in state["assetPositions"]],
        "marginSummary": state["marginSummary"],
        "crossMarginSummary": state["crossMarginSummary"],
        "crossMaintenanceMarginUsed": state["crossMaintenanceMarginUsed"],
        "fills": fills,
        "funding": client.info("userFunding", user=client.address, startTime=0),
        "userFees": fees | {"feeSchedule": fees["feeSchedule"] | fees["feeSchedule"]["tiers"]},
        "orderStatus": client.info("orderStatus", user=client.address, oid=fills[0]["oid"]),
        "openOrders": client.info("openOrders", user=client.address, dex="xyz"),
        "allMids": [list(each) for each in client.info("allMids", dex="xyz").items()],
        "spotClearinghouseState": client.info("spotClearinghouseState", user=client.address),
        "hip3Meta": meta,
        "l2Book": client.info("l2Book", coin="xyz:NVDA"),
    }
    pairs = []
    for path in sorted((folder / "minnzen-2026-07-19").glob("*-m?.json")):
        capture = json.loads(path.read_text())
        selected = capture["selection"] | ({"l2Book": capture["l2Book"]} if "l2Book" in capture else {})
        pairs += [Pair(name, body, ours[name], is_whole=False) for name, body in selected.items()]
    return pairs


def of_frames(client: VenueClient, folder: Path) -> list[Pair]:
    """Websocket frames: ours are the first of each channel, acks by subscription type."""
    subscriptions = [
        *({"type": type_, "coin": "xyz:NVDA"} for type_ in ("bbo", "trades", "activeAssetCtx", "l2Book")),
        {"type": "userFills", "user": client.address},
    ]
    with client.socket() as socket:
        for subscription in subscriptions:
            socket.send(json.dumps({"method": "subscribe", "subscription": subscription}))
        socket.send(json.dumps({"method": "ping"}))
        post = {"method": "post", "id": 7, "request": {"type": "info", "payload": {"type": "l2Book", "coin": "NOPE"}}}
        socket.send(json.dumps(post))
        socket.send(json.dumps({"method": "unsubscribe", "subscription": {"type": "bbo", "coin": "xyz:TSLA"}}))
        acks, first = {}, {}
        wanted = {"bbo", "trades", "activeAssetCtx", "l2Book", "userFills", "pong", "post", "error"}
        while wanted - set(first) or len(acks) < len(subscriptions):
            frame = json.loads(socket.recv(timeout=10))
            if frame["channel"] == "subscriptionResponse":
                acks[frame["data"]["subscription"]["type"]] = frame
            first.setdefault(frame["channel"], frame)
    pairs = []
    for line in (folder / "frames.jsonl").read_text().splitlines():
        item = json.loads(line)
        frame, is_whole = item["raw"], "trim" not in item["claim"]
        if frame["channel"] == "subscriptionResponse":
            type_ = frame["data"]["subscription"]["type"]
            pairs.append(Pair(f"ack {type_}", frame, acks[type_], is_whole))
        else:
            pairs.append(Pair(f"frame {frame['channel']}", frame, first[frame["channel"]], is_whole))
    return pairs


def test_recorded_errors_are_our_errors(client: VenueClient, shared_data: Path) -> None:
    items = [json.loads(line) for line in (shared_data / "wire" / "rest_responses.jsonl").read_text().splitlines()]
    errors = [item for item in items if "status" in item]
    assert len(errors) >= 3
    for item in errors:
        status, body = client.post("/info", item["request"])
        said = body if isinstance(body, str) else json.dumps(body)
        assert (status, said) == (item["status"], item["body"]), item["request"]


def test_recorded_exchange_texts_are_our_texts(client: VenueClient, shared_data: Path) -> None:
    items = [json.loads(line) for line in (shared_data / "wire" / "rest_responses.jsonl").read_text().splitlines()]
    texts = [item["body"]["error"].rpartition(" asset=")[0] for item in items if "error" in (item["body"] or ())]
    refused = [
        client.order(NVDA, True, "100", "0.01")["response"]["data"]["statuses"][0]["error"],
        client.order(NVDA, True, "100", "1", r=True)["response"]["data"]["statuses"][0]["error"],
    ]
    assert [text.rpartition(" asset=") for text in refused] == [(text, " asset=", str(NVDA)) for text in texts]


def test_recorded_bodies_and_frames_have_our_shape(client: VenueClient, shared_data: Path) -> None:
    folder = shared_data / "wire"
    pairs = [pair for source in (of_sdk, of_rest, of_minnzen, of_frames) for pair in source(client, folder)]
    left, used = unexplained(pairs)
    assert not left, "\n".join(left)
    assert set(EXPLAINED) - used == set(), "explanations that explain nothing"
    assert len(pairs) >= 100
