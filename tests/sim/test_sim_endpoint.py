"""The exchange over HTTP and websocket, the frames of accounts, and the limits of an IP, with real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from sim_requests import Wallet, order_action, order_item
from typing_extensions import override
from venue_bench import GENERATOR, USER, Bench, scenario_with

from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.rules import LimitRules
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.hooks import HttpAnswer, Outgoing, Peer, VenueHooks
from streaming.sim.venue.server import GREETING, VenueServer, system_now_ms

NVDA, NVDA_ASSET = "xyz:NVDA", 110_002
Frame = dict[str, Any]


class Venue:
    def __init__(self, server: VenueServer, http: aiohttp.ClientSession, port: int) -> None:
        self.server = server
        self.http = http
        self.base = f"http://127.0.0.1:{port}"

    async def post(self, path: str, body: object) -> tuple[int, str]:
        async with self.http.post(self.base + path, json=body) as response:
            return response.status, await response.text()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.http.ws_connect(self.base + "/ws") as socket:
            assert (await socket.receive()).data == GREETING
            yield socket


def with_venue(
    test: Callable[[Venue], Awaitable[None]], scenario: Scenario = DEMO, hooks: VenueHooks | None = None
) -> None:
    async def main() -> None:
        source = GENERATOR if scenario is DEMO else Generator(7, scenario)
        server = VenueServer(source, hooks=hooks)
        async with server.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(30):
            await test(Venue(server, http, port))

    asyncio.run(main())


def limited(**limits: int) -> Scenario:
    return scenario_with(limits=LimitRules(**limits))


def buy(px: str, sz: str, tif: str = "Ioc", cloid: str | None = None) -> Frame:
    return order_action(order_item(True, px, sz, tif=tif, asset=NVDA_ASSET, cloid=cloid))


def now_signed(wallet: Wallet, action: Frame) -> Frame:
    return wallet.sign(action, nonce=max(system_now_ms(), wallet.next_nonce()))


async def until(socket: aiohttp.ClientWebSocketResponse, channel: str) -> Frame:
    while True:
        frame: Frame = (await socket.receive()).json()
        if frame["channel"] == channel:
            return frame


# Orders


def test_exchange_order_is_filled_over_http_and_everybody_is_told() -> None:
    async def test(venue: Venue) -> None:
        wallet = Wallet(11)
        async with venue.socket() as socket:
            for kind in ("orderUpdates", "userEvents", "userFills", "clearinghouseState", "openOrders"):
                dex = {"dex": "xyz"} if kind in {"clearinghouseState", "openOrders"} else {}
                subscription = {"type": kind, "user": wallet.address, **dex}
                await socket.send_json({"method": "subscribe", "subscription": subscription})
            await until(socket, "openOrders")
            cloid = "0x" + "0" * 31 + "1"
            status, text = await venue.post("/exchange", now_signed(wallet, buy("260", "0.5", cloid=cloid)))
            assert status == 200
            answer = json.loads(text)
            filled = answer["response"]["data"]["statuses"][0]["filled"]
            assert (filled["totalSz"], filled["cloid"]) == ("0.5", cloid)
            updates = await until(socket, "orderUpdates")
            fills = await until(socket, "user")
            mine = await until(socket, "userFills")
            state = await until(socket, "clearinghouseState")
        assert {update["order"]["oid"] for update in updates["data"]} == {filled["oid"]}
        assert updates["data"][-1]["status"] == "filled"
        assert fills["data"]["fills"] == mine["data"]["fills"]
        assert "isSnapshot" not in mine["data"]
        assert mine["data"]["user"] == wallet.address
        assert sum(Decimal(fill["sz"]) for fill in mine["data"]["fills"]) == Decimal("0.5")
        position = state["data"]["clearinghouseState"]["assetPositions"][0]["position"]
        assert (position["coin"], position["szi"]) == (NVDA, "0.5")
        status, text = await venue.post("/info", {"type": "userFills", "user": wallet.address})
        assert json.loads(text) == mine["data"]["fills"][::-1]

    with_venue(test)


def test_exchange_answers_over_a_post_as_over_http() -> None:
    async def test(venue: Venue) -> None:
        wallet = Wallet(12)
        async with venue.socket() as socket:

            async def ask(number: int, payload: object, kind: str = "action") -> Frame:
                request = {"type": kind, "payload": payload}
                await socket.send_json({"method": "post", "id": number, "request": request})
                data = (await until(socket, "post"))["data"]
                assert data["id"] == number
                return data["response"]

            first = now_signed(wallet, buy("150", "0.1", tif="Alo"))
            answer = await ask(1, first)
            assert answer["type"] == "action"
            assert "resting" in answer["payload"]["response"]["data"]["statuses"][0]
            again = await ask(2, first)
            nonce = first["nonce"]
            text = f"Invalid nonce: duplicate nonce {nonce}"
            assert again == {"type": "action", "payload": {"status": "err", "response": text}}
            for number, payload in ((3, {}), (4, []), (5, {"action": {"type": "order"}, "nonce": 1})):
                bad = await ask(number, payload)
                assert bad["type"] == "error"
                assert bad["payload"].startswith("422 Failed to deserialize the JSON body into the target type")
            orders = await ask(6, {"type": "openOrders", "user": wallet.address, "dex": "xyz"}, "info")
            assert orders["payload"]["type"] == "openOrders"
            assert [order["coin"] for order in orders["payload"]["data"]] == [NVDA]
            assert (await ask(7, None, "info"))["type"] == "error"
            explorer = {"method": "post", "id": 8, "request": {"type": "explorer", "payload": {}}}
            await socket.send_json(explorer)
            assert (await until(socket, "error"))["data"].startswith("Error parsing JSON into valid websocket request")

    with_venue(test)


def test_exchange_unreadable_requests_get_the_documented_errors() -> None:
    async def test(venue: Venue) -> None:
        assert (await venue.post("/exchange", {}))[0] == 422
        json_type = {"Content-Type": "application/json"}
        async with venue.http.post(venue.base + "/exchange", data=b"{", headers=json_type) as response:
            assert response.status == 400
        async with venue.http.post(venue.base + "/exchange", data=b"{}") as response:
            assert response.status == 415
        async with venue.http.get(venue.base + "/exchange") as response:
            assert response.status == 405
        wallet = Wallet(13)
        body = now_signed(wallet, buy("150", "0.1"))
        body["signature"]["r"] = "0x0"
        status, text = await venue.post("/exchange", body)
        assert (status, json.loads(text)["status"]) == (200, "err")

    with_venue(test)


def test_exchange_request_of_a_socket_that_went_away_is_executed() -> None:
    async def test(venue: Venue) -> None:
        wallet = Wallet(14)
        async with venue.socket() as socket:
            payload = now_signed(wallet, buy("150", "0.1", tif="Alo"))
            await socket.send_json({"method": "post", "id": 1, "request": {"type": "action", "payload": payload}})
            await socket.send_json({"method": "ping"})
            await until(socket, "pong")
        orders: list[Frame] = []
        while not orders:
            _, text = await venue.post("/info", {"type": "openOrders", "user": wallet.address, "dex": "xyz"})
            orders = json.loads(text)
        assert orders[0]["limitPx"] == "150.0"

    with_venue(test, limited(is_enforced=False))


# Frames of accounts, without sockets


def test_streams_tell_only_those_who_follow_and_once_a_block() -> None:
    bench, wallet = Bench(), Wallet(15)
    mine = {kind: bench.listen(type=kind, user=wallet.address) for kind in ("orderUpdates", "userFills", "userEvents")}
    other = bench.listen(type="userFills", user=USER)
    aggregated = bench.listen(type="userFills", user=wallet.address, aggregateByTime=True)
    thin, thin_asset = "xyz:COIN", 110_007
    touch = bench.venue.quotes.liquidity(thin, bench.now_ms).asks[0]
    order = order_item(True, str(round(touch.px * Decimal("1.1"))), str(touch.sz + 5), asset=thin_asset)
    bench.call(wallet.sign(order_action(order)))
    [data] = mine["userFills"].data("userFills")
    assert len(data["fills"]) > 1, "several levels, so several tids"
    assert len({fill["tid"] for fill in data["fills"]}) == len(data["fills"])
    assert mine["userEvents"].data("user") == [{"fills": data["fills"]}]
    [whole] = aggregated.data("userFills")
    assert [Decimal(fill["sz"]) for fill in whole["fills"]] == [sum(Decimal(fill["sz"]) for fill in data["fills"])]
    assert other.texts == []
    assert all(isinstance(data, list) for data in mine["orderUpdates"].data("orderUpdates"))
    bench.run(10_000)
    assert len(mine["userFills"].texts) == 1


def test_streams_states_come_with_changes_and_every_five_seconds() -> None:
    bench, wallet = Bench(), Wallet(16)
    state = bench.listen(type="clearinghouseState", user=wallet.address, dex="xyz")
    elsewhere = bench.listen(type="openOrders", user=wallet.address)
    orders = bench.listen(type="openOrders", user=wallet.address, dex="xyz")
    bench.run(20_000)
    assert len(state.texts) == 4
    assert orders.texts == []
    bench.call(wallet.sign(buy("150", "1", tif="Alo")))
    assert [len(data["orders"]) for data in orders.data("openOrders")] == [1]
    assert elsewhere.texts == []
    assert len(state.texts) in {5, 6}


def test_streams_snapshots_have_the_documented_shapes() -> None:
    bench = Bench()
    keys = {
        "userFills": {"isSnapshot", "user", "fills"},
        "userFundings": {"isSnapshot", "user", "fundings"},
        "userNonFundingLedgerUpdates": {"isSnapshot", "user", "nonFundingLedgerUpdates"},
        "clearinghouseState": {"dex", "user", "clearinghouseState"},
        "openOrders": {"dex", "user", "orders"},
        "allDexsClearinghouseState": {"user", "clearinghouseStates"},
        "webData3": {"userState", "perpDexStates"},
        "spotState": {"user", "spotState"},
    }
    for channel, expected in keys.items():
        [frame] = bench.snapshot(type=channel, user=USER)
        assert (frame["channel"], set(frame["data"])) == (channel, expected)
    [frame] = bench.snapshot(type="activeAssetData", user=USER, coin=NVDA)
    assert {"user", "coin", "leverage", "maxTradeSzs", "availableToTrade", "markPx"} == set(frame["data"])
    for channel in ("orderUpdates", "userEvents", "notification"):
        assert bench.snapshot(type=channel, user=USER) == []
    assert bench.snapshot(type="openOrders", user=USER, dex="nope") == []


def test_streams_funding_reaches_those_who_follow() -> None:
    hour_ms = 3_600_000
    bench, wallet = Bench(now_ms=(Bench().now_ms // hour_ms + 1) * hour_ms - 5_000), Wallet(17)
    bench.call(wallet.sign(buy("260", "1")))
    events = bench.listen(type="userEvents", user=wallet.address)
    fundings = bench.listen(type="userFundings", user=wallet.address)
    bench.venue.load()
    bench.run(hour_ms - bench.now_ms % hour_ms - 1_000)
    bench.venue.world.tape.load(bench.now_ms // hour_ms + 1)
    bench.run(3_000)
    [paid] = [data["funding"] for data in events.data("user")]
    assert (paid["coin"], paid["szi"]) == (NVDA, "1.0")
    assert fundings.data("userFundings") == [{"user": wallet.address, "fundings": [paid]}]
    [snapshot] = bench.snapshot(type="userFundings", user=wallet.address)
    assert [item["usdc"] for item in snapshot["data"]["fundings"]] == [paid["usdc"]]


def test_streams_money_sent_reaches_those_who_follow_either_side() -> None:
    bench, wallet, other = Bench(), Wallet(18), Wallet(19)
    bench.call(other.sign(buy("260", "1")))  # an account that nobody knows takes no money
    mine, theirs = (bench.listen(type="userNonFundingLedgerUpdates", user=w.address) for w in (wallet, other))
    action = {
        "type": "usdSend", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "destination": other.address, "amount": "12.5", "time": bench.now_ms,
    }  # fmt: skip
    assert bench.call(wallet.sign_user(action, bench.now_ms))["status"] == "ok"
    [sent], [got] = mine.data("userNonFundingLedgerUpdates"), theirs.data("userNonFundingLedgerUpdates")
    assert (sent["user"], got["user"]) == (wallet.address, other.address)
    assert "isSnapshot" not in sent
    [item] = sent["nonFundingLedgerUpdates"]
    assert got["nonFundingLedgerUpdates"] == [item]
    [snapshot] = bench.snapshot(type="userNonFundingLedgerUpdates", user=wallet.address)
    assert snapshot["data"]["nonFundingLedgerUpdates"] == [item]
    bench.run(1_000)
    assert len(mine.texts) == 1


# Limits of an IP


def test_limits_weight_beyond_a_minutes_is_429_over_http_and_post() -> None:
    async def test(venue: Venue) -> None:
        assert (await venue.post("/info", {"type": "meta"}))[0] == 200
        assert (await venue.post("/info", {"type": "exchangeStatus"}))[0] == 200
        assert await venue.post("/info", {"type": "meta"}) == (429, "null")
        async with venue.socket() as socket:
            payload = {"type": "meta", "dex": "xyz"}
            await socket.send_json({"method": "post", "id": 1, "request": {"type": "info", "payload": payload}})
            data = (await until(socket, "post"))["data"]
            assert data["response"] == {"type": "error", "payload": "429 null"}
        assert (await venue.post("/exchange", now_signed(Wallet(18), buy("150", "0.1"))))[0] == 200

    with_venue(test, limited(weight_per_minute=23))


def test_limits_eleventh_connection_is_refused_until_one_ends() -> None:
    async def test(venue: Venue) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(10):
                await stack.enter_async_context(venue.socket())
            with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
                await venue.http.ws_connect(venue.base + "/ws")
        async with venue.socket() as socket:
            await socket.send_json({"method": "ping"})
            await until(socket, "pong")

    with_venue(test)


def test_limits_eleventh_user_is_refused_over_all_sockets_and_freed_with_its_socket() -> None:
    async def follow(socket: aiohttp.ClientWebSocketResponse, number: int) -> Frame:
        subscription = {"type": "notification", "user": f"0x{number:040x}"}
        await socket.send_json({"method": "subscribe", "subscription": subscription})
        answer: Frame = (await socket.receive()).json()
        return answer

    async def test(venue: Venue) -> None:
        async with venue.socket() as one:
            async with venue.socket() as two:
                for number in range(5):
                    assert (await follow(one, number))["channel"] == "subscriptionResponse"
                    assert (await follow(two, 5 + number))["channel"] == "subscriptionResponse"
                refusal = {"channel": "error", "data": "Cannot track more than 10 total users."}
                assert await follow(one, 10) == refusal
                assert (await follow(one, 7))["channel"] == "subscriptionResponse", "known already"
            while (await follow(one, 11))["channel"] == "error":
                pass

    with_venue(test)


def test_limits_messages_posts_and_subscriptions_have_texts_and_leave_the_socket_open() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            for coin in ("xyz:TSLA", "xyz:GOLD", NVDA):
                await socket.send_json(
                    {"method": "subscribe", "subscription": {"type": "candle", "coin": coin, "interval": "1m"}}
                )
            answers = [(await socket.receive()).json()["data"] for _ in range(3)]
            assert answers[2] == "Cannot track more than 2 total subscriptions."
            wallet = Wallet(19)
            for number in (1, 2):
                payload = now_signed(wallet, buy("150", "0.1", tif="Alo"))
                await socket.send_json(
                    {"method": "post", "id": number, "request": {"type": "action", "payload": payload}}
                )
            assert (await until(socket, "error"))["data"] == "too many pending post requests id=2"
            assert (await until(socket, "post"))["data"]["id"] == 1
            await socket.send_json({"method": "ping"})
            refusal = await until(socket, "error")
            assert refusal["data"] == "Cannot send more than 5 messages per minute."

    with_venue(test, limited(subscription_count_max=2, inflight_post_count_max=1, messages_per_minute=5))


# Hook points


class Faults(VenueHooks):
    """One of everything."""

    def __init__(self) -> None:
        self.is_refusing = False

    @property
    @override
    def is_feed_faulty(self) -> bool:
        return True

    @override
    def frames_out(self, peer: Peer, channel: str, topic: Topic | None, text: str, now_ms: int) -> Sequence[Outgoing]:
        if channel == "subscriptionResponse" and topic is not None and topic.channel == "trades":
            return ()
        if channel == "pong":
            return (Outgoing(text, 30), Outgoing(text))
        return (Outgoing(text),)

    @override
    def connecting(self, ip: str, now_ms: int) -> int | None:
        return 503 if self.is_refusing else None

    @override
    def frame_in(self, peer: Peer, text: str, now_ms: int) -> str | None:
        return None if "lost" in text else text

    @override
    def subscribing(self, peer: Peer, topic: Topic, now_ms: int) -> str | None:
        return "no books today" if topic.channel == "l2Book" else None

    @override
    def info(self, ip: str, request: Any, answer: Callable[[], HttpAnswer], now_ms: int) -> HttpAnswer:
        if request["type"] == "meta":
            return HttpAnswer(200, b"{}", is_dropped=True)
        return HttpAnswer(502, b"<html>", "text/html") if request["type"] == "allMids" else answer()

    @override
    def exchange_request(self, ip: str, body: Any, now_ms: int) -> HttpAnswer | None:
        return HttpAnswer(500, b"busy", "text/plain") if body["action"]["type"] == "noop" else None

    @override
    def exchange_answer(self, ip: str, body: Any, answer: HttpAnswer, now_ms: int) -> HttpAnswer:
        return HttpAnswer(200, answer.body[:20])


def test_hooks_take_hold_at_every_point() -> None:
    hooks = Faults()

    async def test(venue: Venue) -> None:
        wallet = Wallet(20)
        async with venue.socket() as socket:
            await socket.send_json({"method": "ping", "lost": 1})
            await socket.send_json({"method": "subscribe", "subscription": {"type": "l2Book", "coin": NVDA}})
            assert (await socket.receive()).json() == {"channel": "error", "data": "no books today"}
            await socket.send_json({"method": "subscribe", "subscription": {"type": "trades", "coin": NVDA}})
            assert (await socket.receive()).json()["channel"] == "trades", "the ack was dropped"
            await socket.send_json({"method": "ping"})
            for _ in range(2):  # doubled, the second one later
                await until(socket, "pong")
            hooks.is_refusing = True
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await venue.http.ws_connect(venue.base + "/ws")
            assert await venue.post("/info", {"type": "allMids"}) == (502, "<html>")
            with pytest.raises(aiohttp.ClientError):
                await venue.post("/info", {"type": "meta"})
            assert await venue.post("/exchange", now_signed(wallet, {"type": "noop"})) == (500, "busy")
            _, text = await venue.post("/exchange", now_signed(wallet, buy("150", "0.1", tif="Alo")))
            assert text == '{"status":"ok","resp'
            [peer] = venue.server.venue.peers()
            assert [topic.channel for topic in peer.topics()] == ["trades"]
            peer.close(1012, "restart")
            message = await socket.receive()
            while message.type is aiohttp.WSMsgType.TEXT:
                message = await socket.receive()
            assert socket.close_code == 1012
        _, text = await venue.post("/info", {"type": "openOrders", "user": wallet.address, "dex": "xyz"})
        assert len(json.loads(text)) == 1, "executed, though its answer was cut"

    with_venue(test, hooks=hooks)
