"""Clients that mean no good, and clocks that do as they like: nothing raises, stalls, grows or dies."""

import asyncio
import gzip
import json
import signal
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import product
from typing import Any

import aiohttp
import pytest
from children import running
from hypothesis import given
from hypothesis import strategies as st
from sim_requests import Wallet, order_action, order_item
from typing_extensions import override
from venue_bench import GENERATOR, NOW_MS, USER, Bench, scenario_with
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import connect

from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.view import Listed
from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS, Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.rules import LimitRules
from streaming.sim.venue import desk, server
from streaming.sim.venue.feed import clients
from streaming.sim.venue.feed.clients import Client
from streaming.sim.venue.feed.due import TOPICS_PER_STEP
from streaming.sim.venue.feed.subscriptions import UnreadableError, UnsupportedError, wanted
from streaming.sim.venue.hooks import Overrides, VenueHooks
from streaming.sim.venue.market import tape
from streaming.sim.venue.market.tape import Tape
from streaming.sim.venue.market.wire import TEXT_COUNT_MAX, Texts
from streaming.sim.venue.server import GREETING, VenueServer
from streaming.sim.venue.venue import Venue

Json = Any
NVDA, NVDA_ASSET = "xyz:NVDA", 110_002
DAY_MS = 24 * HOUR_MS
COINS = frozenset(DEMO.universe.by_coin)
MEGABYTE = 1_048_576


# A real server, its standard error watched

BODIES = {
    b'"\xff\xfe"': 400,
    b'{"type":"l2Book","coin":"\xed\xa0\x80"}': 400,
    b'"\\ud800"': 400,
    b"[" * 500_000: 400,
    b"[" * 900 + b"]" * 900: 422,
    b'{"action":' + b'{"a":' * 800 + b"1" + b"}" * 800 + b',"nonce":1,"signature":{"r":"0x1","s":"0x1","v":27}}': 422,
    b"1" * 5_000: 400,
    b"1e400": 400,
    b"NaN": 400,
    b'{"type":"meta","type":"bogus"}': 422,
    b"": 400,
    b"null": 422,
    b'"' + b"a" * (MEGABYTE - 2) + b'"': 422,
    b"x" * (MEGABYTE + 1): 413,
}
FRAMES = (
    "{",
    "[" * 50_000,
    "null",
    '"ping"',
    '{"method":"ping","method":"x"}',
    '{"method":["ping"]}',
    '{"method":"post","id":true,"request":{"type":"info","payload":{"type":"exchangeStatus"}}}',
    '{"method":"post","id":-1,"request":{"type":"info","payload":{"type":"exchangeStatus"}}}',
    '{"method":"post","id":18446744073709551616,"request":{"type":"info","payload":{"type":"exchangeStatus"}}}',
    '{"method":"post","id":1.5,"request":{"type":"info","payload":{"type":"exchangeStatus"}}}',
    '{"method":"subscribe","subscription":{"type":"userFills","user":"' + USER + '","aggregateByTime":"yes"}}',
    '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":["1m"]}}',
    '{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","nSigFigs":true}}',
    "x" * 1_000_000,
)


def posted(url: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_server_hostile_bodies_and_frames_leave_no_trace_and_it_serves_on() -> None:
    with running("venue", "--port", "0") as venue:
        base = f"http://127.0.0.1:{venue.said['port']}"
        for path, (body, status) in product(("/info", "/exchange"), BODIES.items()):
            assert posted(base + path, body) == status, (path, body[:40])
        packed = gzip.compress(b" " * 50 * MEGABYTE)
        assert posted(base + "/info", packed, **{"Content-Encoding": "gzip"}) == 400
        assert posted(base + "/admin/faults", b"[" * 100_000) == 400
        assert posted(base + "/admin/faults", b'"\xff"') == 400
        with connect(f"ws://127.0.0.1:{venue.said['port']}/ws", compression=None, max_size=None) as client:
            client.recv(timeout=5)
            for text in FRAMES:
                client.send(text)
                answer = json.loads(client.recv(timeout=5))
                refusal = f"Error parsing JSON into valid websocket request: {text}"
                assert answer == {"channel": "error", "data": refusal}, text[:80]
            client.send(b"\xff\xfe")
            assert json.loads(client.recv(timeout=5))["channel"] == "error"
            client.send('{"method":"ping"}')
            assert json.loads(client.recv(timeout=5)) == {"channel": "pong"}
            with pytest.raises(ConnectionClosed):  # noqa: PT012 - whichever of the two meets the end first
                client.send("x" * (MEGABYTE + 1))
                client.recv(timeout=5)
            assert client.close_code == CloseCode.MESSAGE_TOO_BIG
        half_open = [socket.create_connection(("127.0.0.1", venue.said["port"])) for _ in range(100)]
        for each in half_open[:50]:
            each.sendall(
                b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
        assert posted(base + "/info", b'{"type":"exchangeStatus"}') == 200
        for each in half_open:
            each.close()
        assert posted(base + "/info", b'{"type":"exchangeStatus"}') == 200
        assert venue.end(signal.SIGTERM) == 0
        assert venue.process.stderr is not None
        assert "Traceback" not in venue.process.stderr.read()


# Every field of every request

VALUES: tuple[Json, ...] = (
    *(None, True, 0, -1, 2**53, 2**63, 2**64, -(2**63), 10**30, 1.5, 1e300),
    *("", "0", "NaN", "x" * 10_000, [], [[]], {}, {"a": 1}, "0x" + "0" * 40, NVDA, "BTC", "xyz"),
)
GOOD: dict[str, Json] = {
    "dex": "xyz",
    "coin": NVDA,
    "user": USER,
    "builder": USER,
    "oid": 1,
    "startTime": NOW_MS - HOUR_MS,
    "endTime": None,
    "id": 20,
    "aggregateByTime": False,
    "reversed": False,
    "nSigFigs": None,
    "mantissa": None,
}
CANDLES: dict[str, Json] = {"coin": NVDA, "interval": "1h", "startTime": NOW_MS - HOUR_MS, "endTime": None}
INFO_TYPES = (
    *("perpDexs", "meta", "allPerpMetas", "metaAndAssetCtxs", "spotMeta", "perpDexLimits", "perpDexStatus"),
    *("perpsAtOpenInterestCap", "allMids", "l2Book", "recentTrades", "clearinghouseState", "spotClearinghouseState"),
    *("openOrders", "frontendOpenOrders", "orderStatus", "historicalOrders", "userFills", "userFillsByTime"),
    *("userFees", "userRateLimit", "userRole", "userAbstraction", "extraAgents", "activeAssetData", "fundingHistory"),
    *("exchangeStatus", "marginTable", "userFunding", "userNonFundingLedgerUpdates", "webData3", "maxBuilderFee"),
)


def test_info_any_value_in_any_field_is_answered_or_refused_as_documented() -> None:
    bench = Bench()
    seen: Counter[int] = Counter()
    requests = [{**GOOD, "type": kind, name: value} for kind, name, value in product(INFO_TYPES, GOOD, VALUES)]
    requests += [
        {"type": "candleSnapshot", "req": {**CANDLES, name: value}} for name, value in product(CANDLES, VALUES)
    ]
    requests += [{"type": "candleSnapshot", "req": value} for value in VALUES]
    for request in requests:
        status, body = bench.info(request)
        seen[status] += 1
        assert status in {200, 422} or (status, body) == (500, None), request
    assert set(seen) == {200, 422, 500}


def test_info_of_all_time_is_bounded_by_what_the_venue_keeps() -> None:
    bench = Bench()
    everything = {"coin": NVDA, "interval": "1m", "startTime": 0, "endTime": 2**64 - 1}
    assert len(bench.info({"type": "candleSnapshot", "req": everything})[1]) == 5_000
    paid = bench.info({"type": "fundingHistory", "coin": NVDA, "startTime": 0, "endTime": 2**64 - 1})[1]
    assert 0 < len(paid) <= 500
    assert bench.info({"type": "fundingHistory", "coin": NVDA, "startTime": 2**64 - 1})[1] == []


def test_exchange_any_value_in_any_field_of_an_order_is_answered() -> None:
    bench, wallet = Bench(), Wallet(31)
    order = order_item(True, "190", "1", asset=NVDA_ASSET, tif="Gtc", cloid="0x" + "1" * 32)
    odd = (*VALUES, "9" * 18 + "." + "9" * 18, "0." + "0" * 17 + "1", "1e10", {"limit": {"tif": "Ioc"}})
    for name, value in product(order, odd):
        action = order_action({**order, name: value})
        body = {"action": action, "nonce": wallet.next_nonce(), "signature": {"r": "0x1", "s": "0x1", "v": 27}}
        if not (isinstance(value, int) and abs(value) > 2**63):
            body = wallet.sign(action)  # what msgpack can not hold nobody can sign
        bench.venue.exchange.receive(body, bench.now_ms)
        bench.run(BLOCK_MS)
    assert bench.info({"type": "clearinghouseState", "user": wallet.address, "dex": "xyz"})[0] == 200


@pytest.mark.parametrize("user", [USER.upper().replace("0X", "0x"), USER])
def test_subscription_ack_has_the_address_in_lower_case(user: str) -> None:
    assert wanted({"type": "userFills", "user": user}, COINS).echo["user"] == USER


def test_subscription_of_an_endless_dex_is_refused_not_kept() -> None:
    with pytest.raises(UnsupportedError):
        wanted({"type": "allMids", "dex": "y" * 65}, COINS)
    with pytest.raises(UnreadableError):
        wanted({"type": "allMids", "dex": 5}, COINS)
    assert wanted({"type": "allMids", "dex": "gone"}, COINS).topic.dex == "gone"


# Floods

UNLIMITED = Generator(7, scenario_with(limits=LimitRules(is_enforced=False)))
Test = Callable[[VenueServer, aiohttp.ClientSession, str], Awaitable[None]]


def with_server(test: Test, hooks: VenueHooks | None = None) -> None:
    async def main() -> None:
        served = VenueServer(UNLIMITED, hooks=hooks)
        async with served.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(30):
            await test(served, http, f"http://127.0.0.1:{port}")

    asyncio.run(main())


class Turns:
    """Counts turns of the loop while calls are noted."""

    def __init__(self) -> None:
        self.now = 0
        self.noted: list[int] = []

    async def count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)

    def noting(self, function: Callable[..., Json]) -> Callable[..., Json]:
        def call(*args: Json) -> Json:
            self.noted.append(self.now)
            return function(*args)

        return call


def test_server_flood_of_posts_is_answered_one_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: VenueServer, http: aiohttp.ClientSession, base: str) -> None:
        turns = Turns()
        monkeypatch.setattr(served.venue.info, "answer", turns.noting(served.venue.info.answer))
        request = {"type": "info", "payload": {"type": "l2Book", "coin": NVDA, "nSigFigs": 5, "mantissa": 2}}
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(http.ws_connect(base + "/ws")) for _ in range(8)]
            counting = asyncio.create_task(turns.count())
            for number, each in product(range(40), sockets):
                await each.send_json({"method": "post", "id": number, "request": request})
            for each in sockets:
                assert (await each.receive()).data == GREETING
                answers = [(await each.receive()).json()["data"]["id"] for _ in range(40)]
                assert sorted(answers) == list(range(40))
            counting.cancel()
        assert max(Counter(turns.noted).values()) <= 2, "the counter may run before or after the answer in a turn"

    with_server(test)


def test_server_reads_one_frame_of_a_socket_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: VenueServer, http: aiohttp.ClientSession, base: str) -> None:
        turns = Turns()
        monkeypatch.setattr(served._sockets, "receive", turns.noting(served._sockets.receive))
        async with http.ws_connect(base + "/ws") as one:
            assert (await one.receive()).data == GREETING
            counting = asyncio.create_task(turns.count())
            for _ in range(2_000):
                await one.send_str('{"method":"ping"}')
            for _ in range(2_000):
                await one.receive()
            counting.cancel()
        assert max(Counter(turns.noted).values()) <= 2

    with_server(test)


def test_server_the_same_history_asked_by_many_is_generated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: VenueServer, http: aiohttp.ClientSession, base: str) -> None:
        turns = Turns()
        monkeypatch.setattr(served.venue.history, "load", turns.noting(served.venue.history.load))
        begin_ms = served.venue.now_ms() - 10 * HOUR_MS
        body = {"type": "candleSnapshot", "req": {"coin": NVDA, "interval": "1m", "startTime": begin_ms}}

        async def ask() -> int:
            async with http.post(base + "/info", json=body) as response:
                return len(await response.json())

        lengths = await asyncio.gather(*(ask() for _ in range(8)))
        assert min(lengths) > 500
        assert len(turns.noted) == 1

    with_server(test)


def test_server_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_BODY_S_MAX", 0.01)

    async def test(_: VenueServer, __: aiohttp.ClientSession, base: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        writer.write(b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()

    with_server(test)


def test_server_client_that_provokes_and_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "QUEUE_BYTES_MAX", 2 * MEGABYTE)

    async def test(_: VenueServer, __: aiohttp.ClientSession, base: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        text = b"x" * 1_000_000
        with pytest.raises(ConnectionError):  # noqa: PT012 - which write fails depends on the buffers of the system
            for _number in range(60):
                writer.write(b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text)
                await writer.drain()
        with pytest.raises(ConnectionError):
            await reader.read()

    with_server(test)


def test_client_queue_is_bounded_by_bytes_and_what_was_sent_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Transport(asyncio.Transport):
        abort_count = 0

        @override
        def abort(self) -> None:
            self.abort_count += 1

    class Socket(aiohttp.web.WebSocketResponse):
        @override
        async def send_str(self, data: str, compress: int | None = None) -> None:
            await asyncio.sleep(0)

    async def test() -> None:
        transport = Transport()
        client = Client(Socket(), transport)
        writer = asyncio.create_task(client.write())
        for _ in range(10):
            client.push("x" * 60)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert transport.abort_count < 1
        client.push("x" * 60)
        client.push("x" * 60)
        assert transport.abort_count == 1
        writer.cancel()

    monkeypatch.setattr(clients, "QUEUE_BYTES_MAX", 100)
    asyncio.run(test())


def test_player_makes_a_bounded_number_of_bodies_a_block_and_forgets_nobody() -> None:
    bench = Bench()
    depths: list[Json] = [
        {},
        *({"nSigFigs": n} for n in (2, 3, 4, 5)),
        *({"nSigFigs": 5, "mantissa": m} for m in (1, 2, 5)),
    ]
    listeners = [
        bench.listen(type="l2Book", coin=coin, fast=True, **depth) for coin, depth in product(sorted(COINS), depths)
    ]
    assert len(listeners) > TOPICS_PER_STEP
    for _ in range(8):
        before = sum(len(each.texts) for each in listeners)
        bench.run(BLOCK_MS)
        assert sum(len(each.texts) for each in listeners) - before <= TOPICS_PER_STEP
    assert {len(each.texts) for each in listeners} <= {1, 2}


def test_texts_are_remembered_up_to_a_number() -> None:
    texts = Texts(2)
    assert [texts[units] for units in range(TEXT_COUNT_MAX + 10)][-1] == texts[TEXT_COUNT_MAX + 9] == "500.09"
    assert len(texts) <= TEXT_COUNT_MAX


class Losing(VenueHooks):
    """A venue that loses every request."""

    class Exchange(ExchangeHooks):
        @override
        def drop_before(self, user: str, action: str, now_ms: int) -> bool:
            return True

    exchange = Exchange()


def test_desk_gives_up_a_request_of_which_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "ANSWER_S_MAX", 0.3)

    async def test(served: VenueServer, http: aiohttp.ClientSession, base: str) -> None:
        wallet = Wallet(32)
        body = wallet.sign({"type": "noop"}, nonce=served.venue.now_ms())
        async with http.post(base + "/exchange", json=body) as response:
            assert response.status == 504
        async with http.ws_connect(base + "/ws") as one:
            await one.receive()
            payload = wallet.sign({"type": "noop"}, nonce=served.venue.now_ms())
            await one.send_json({"method": "post", "id": 1, "request": {"type": "action", "payload": payload}})
            answer = (await one.receive()).json()["data"]["response"]
            assert answer == {"type": "error", "payload": "504 Gateway Timeout"}
        assert served.venue.desk._waiting == {}
        assert served.venue.limits.of("127.0.0.1").inflight_post_count == 0

    with_server(test, Losing())


# Clocks


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS


@given(steps=st.lists(st.integers(-2 * HOUR_MS, 2 * HOUR_MS), max_size=30))
def test_venue_time_never_goes_back_and_runs_while_the_clock_runs(steps: list[int]) -> None:
    clock = Clock()
    venue = Venue(GENERATOR, lambda: clock.now_ms)
    at_ms = venue.now_ms()
    for step_ms in steps:
        clock.now_ms = max(0, clock.now_ms + step_ms)
        assert venue.now_ms() >= at_ms
        for _ in range(5):
            clock.now_ms += 1_000
            venue.now_ms()
        assert venue.now_ms() > at_ms, "a venue that stands still is no market"
        at_ms = venue.now_ms()
        assert at_ms >= clock.now_ms


def test_venue_clock_put_back_an_hour_and_forth_again_is_followed() -> None:
    bench = Bench()
    listener = bench.listen(type="activeAssetCtx", coin=NVDA)
    bench.run(2_000)
    before = len(listener.texts)
    bench.now_ms -= HOUR_MS
    bench.run(3_000)
    assert len(listener.texts) - before in {2, 3, 4}
    bench.now_ms += HOUR_MS
    bench.venue.step()
    assert bench.venue.now_ms() == bench.now_ms
    bench.now_ms -= 500
    bench.venue.step()
    assert bench.venue.now_ms() == bench.now_ms + 500, "a small correction is waited for"


def test_venue_after_an_hour_asleep_replays_little_and_pays_the_funding(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, wallet = Bench(now_ms=NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS // 2), Wallet(33)
    bench.call(wallet.sign(order_action(order_item(True, "260", "1", asset=NVDA_ASSET))))
    bbo = bench.listen(type="bbo", coin=NVDA)
    fills = bench.listen(type="userFills", user=wallet.address)
    state = bench.listen(type="clearinghouseState", user=wallet.address, dex="xyz")
    blocks: list[int] = []
    run_block = bench.venue.exchange._run_block

    def counted(after_ms: int, block_ms: int) -> None:
        blocks.append(block_ms)
        run_block(after_ms, block_ms)

    monkeypatch.setattr(bench.venue.exchange, "_run_block", counted)
    bench.jump(HOUR_MS)
    assert len(blocks) <= 10_000 // BLOCK_MS + 1
    assert len(bbo.texts) == 1
    assert fills.texts == []
    assert len(state.texts) >= 1
    paid = bench.info({"type": "userFunding", "user": wallet.address, "startTime": 0})[1]
    assert [item["delta"]["coin"] for item in paid] == [NVDA]
    bench.jump(40 * DAY_MS)
    bench.run(2_000)
    assert bench.info({"type": "metaAndAssetCtxs", "dex": "xyz"})[0] == 200


def test_venue_over_a_utc_day_keeps_playing_to_all() -> None:
    begin_ms = (NOW_MS // DAY_MS + 1) * DAY_MS
    bench = Bench(now_ms=begin_ms - 3_000)
    bench.venue.world.tape.load(begin_ms // HOUR_MS)
    ctx = bench.listen(type="activeAssetCtx", coin=NVDA)
    others = [bench.listen(type=kind, coin=NVDA) for kind in ("bbo", "trades", "l2Book")]
    candle = bench.listen(type="candle", coin=NVDA, interval="1d")
    bench.info({"type": "candleSnapshot", "req": {"coin": NVDA, "interval": "1d", "startTime": begin_ms - DAY_MS}})
    bench.run(60_000)
    volumes = [float(data["ctx"]["dayNtlVlm"]) for data in ctx.data("activeAssetCtx")]
    assert max(volumes[:2]) > max(volumes[5:])
    assert all(each.texts for each in others)
    assert {data["t"] for data in candle.data("candle")} <= {begin_ms - DAY_MS, begin_ms}
    assert candle.data("candle")[-1]["t"] == begin_ms


def test_tape_hour_loaded_during_a_search_is_found_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    played, find = Tape(GENERATOR), tape._find
    hour = NOW_MS // HOUR_MS
    played.load(hour - 1)

    def interrupted(*args: Json) -> Json:
        found = find(*args)
        if not played.is_loaded(hour):
            played.load(hour)  # as the thread does
        return found

    monkeypatch.setattr(tape, "_find", interrupted)
    at_ms = hour * HOUR_MS + HOUR_MS // 2
    played.latest("bbo", NVDA, at_ms)
    columns, _ = played.latest("bbo", NVDA, at_ms)
    assert columns is played.columns(NVDA, hour)


# What feeds must not say


class Delisted(VenueHooks):
    class Overrides(Overrides):
        @override
        def listed(self, listed: Listed, now_ms: int) -> Listed:
            return Listed(listed.market, is_delisted=listed.market.coin == NVDA)

    overrides = Overrides()


def test_player_delisted_market_has_an_empty_book_and_a_silent_bbo() -> None:
    bench = Bench(hooks=Delisted())
    assert bench.snapshot(type="bbo", coin=NVDA) == []
    assert bench.snapshot(type="l2Book", coin=NVDA)[0]["data"]["levels"] == [[], []]
    assert bench.snapshot(type="bbo", coin="xyz:TSLA") != []


def test_player_fast_ctxs_of_a_late_listener_end_where_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    said: list[Json] = []

    def noted(ctxs: Json) -> str:
        said.append(ctxs)
        return json.dumps(ctxs)

    monkeypatch.setattr("streaming.sim.venue.feed.player._deflated", noted)
    prices = iter(("1.0", "2.0", "1.0"))
    bench.listen(type="fastAssetCtxs")

    def scripted() -> dict[str, dict[str, Json]]:
        return {NVDA: {"markPx": next(prices), "midPx": None}}

    monkeypatch.setattr(bench.venue.player, "_all_fast", scripted)
    bench.run(1_000)
    first = bench.snapshot(type="fastAssetCtxs")[0]
    late = {coin: dict(ctx) for coin, ctx in first.items()}
    for _ in range(2):
        said.clear()
        bench.run(1_000)
        for changes in said:
            for coin, ctx in changes.items():
                late[coin] |= ctx
    assert late[NVDA]["markPx"] == "1.0"


def test_info_max_market_order_ntls_has_the_documented_table() -> None:
    _, table = Bench().info({"type": "maxMarketOrderNtls"})
    assert table == [[25, "30000000.0"], [20, "5000000.0"], [10, "2000000.0"], [0, "500000.0"]]
