import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override
from venue_bench import GENERATOR, NOW_MS, USER, Bench

from streaming.core.events import BboUpdated
from streaming.hyperliquid.decode import decode_frame
from streaming.hyperliquid.session import Drop, Send, Session, Subscription
from streaming.shell.info.registry import load_registry
from streaming.shell.info.rest import InfoClient
from streaming.sim.history.listing import Polls
from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.venue.feed import clients
from streaming.sim.venue.feed.clients import Client
from streaming.sim.venue.feed.subscriptions import AbortError, UnreadableError, UnsupportedError, wanted
from streaming.sim.venue.info.answers import post_response
from streaming.sim.venue.server import GREETING, PortOccupiedError, VenueServer

BENCH = Bench()


class Venue:
    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self.http = http
        self.base = f"http://127.0.0.1:{port}"

    async def info(self, request: object) -> tuple[int, str]:
        async with self.http.post(self.base + "/info", json=request) as response:
            return response.status, await response.text()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.http.ws_connect(self.base + "/ws") as socket:
            assert (await socket.receive()).data == GREETING
            yield socket


def with_venue(test: Callable[[Venue], Awaitable[None]]) -> None:
    async def main() -> None:
        server = VenueServer(GENERATOR)
        async with server.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(20):
            await test(Venue(http, port))

    asyncio.run(main())


async def ask(socket: aiohttp.ClientWebSocketResponse, request: object) -> dict[str, object]:
    await socket.send_json(request)
    answer: dict[str, object] = (await socket.receive()).json()
    return answer


def subscribe(**subscription: object) -> dict[str, object]:
    return {"method": "subscribe", "subscription": subscription}


# Info


def test_info_real_client_reads_every_body() -> None:
    async def test(venue: Venue) -> None:
        client = InfoClient(venue.base, session=venue.http)
        dexes = await client.perp_dexs()
        assert dexes[0] is None
        assert dexes[1] is not None
        assert dexes[1].name == "xyz"
        assert [market.name for market in (await client.meta("xyz")).universe] == [
            m.coin for m in DEMO.universe.builder_markets
        ]
        status, text = await venue.info({"type": "allPerpMetas"})
        assert status == 200
        assert [set(meta) for meta in json.loads(text)] == [{"universe", "marginTables", "collateralToken"}] * len(
            dexes
        )
        meta, ctxs = await client.meta_and_asset_ctxs("xyz")
        for market, ctx in zip(meta.universe, ctxs, strict=True):
            assert market.name == ctx.coin
            assert abs(float(ctx.oracle_px) / DEMO.universe.by_coin[ctx.coin].px - 1) < 0.1
        limits = await client.perp_dex_limits("xyz")
        assert limits is not None
        assert set(limits.oi_cap_ntl_by_coin) == {m.coin for m in DEMO.universe.builder_markets}
        for ctx in ctxs:
            assert ctx.open_interest_sz * ctx.mark_px < limits.oi_cap_ntl_by_coin[ctx.coin]
        assert await client.perp_dex_status("xyz") > 0
        assert await client.perps_at_open_interest_cap("xyz") == frozenset()
        assert (await client.user_fees(USER)).user_cross_rate == Decimal("0.00045")
        assert not (await client.exchange_status()).is_special
        assert "USDC" in await client.spot_names()

    with_venue(test)


def test_info_real_registry_plans_the_specs_that_history_uses() -> None:
    polls = Polls(Generator(7, DEMO), 0, 1)

    async def test(venue: Venue) -> None:
        plan = await load_registry(InfoClient(venue.base, session=venue.http), ("xyz",), None)
        assert plan.refusals == ()
        assert plan.warnings == ()
        assert plan.specs == polls.watched

    with_venue(test)
    by_coin = {spec.coin: spec for spec in polls.watched}
    assert by_coin["xyz:NVDA"].asset_id == 110_002
    assert by_coin["xyz:NVDA"].taker_fee_bps == Decimal("0.9")
    assert by_coin["xyz:GOLD"].taker_fee_bps == Decimal(9)
    assert by_coin["xyz:HOOD"].margin_mode == "noCross"
    assert all(status.oi_cap_ntl for status in polls.at(0).statuses)


def test_info_wrong_requests_get_the_documented_errors() -> None:
    async def test(venue: Venue) -> None:
        bad_shape = "Failed to deserialize the JSON body into the target type"
        for request in ({"type": "bogus"}, {}, [], {"type": "userFees", "user": "me"}, {"type": "l2Book"}, {"type": 1}):
            assert await venue.info(request) == (422, bad_shape)
        assert await venue.info({"type": "meta", "dex": "nope"}) == (500, "null")
        assert await venue.info({"type": "l2Book", "coin": "xyz:NOPE"}) == (200, "null")
        assert await venue.info({"type": "perpDexLimits", "dex": ""}) == (200, "null")
        json_type = {"Content-Type": "application/json"}
        async with venue.http.post(venue.base + "/info", data=b"{", headers=json_type) as response:
            assert (response.status, await response.text()) == (400, "Failed to parse the request body as JSON")
        async with venue.http.post(venue.base + "/info", data=b"{}") as response:
            assert response.status == 415
        async with venue.http.get(venue.base + "/info") as response:
            assert response.status == 405

    with_venue(test)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(sorted(DEMO.universe.by_coin)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(("meta", "l2Book", "allMids", "userFees", "perpDexLimits", "bbo", "userFills")) | JSON
FIELDS = st.sampled_from(("dex", "coin", "user", "nSigFigs", "mantissa", "fast"))


@given(type_=TYPES, fields=st.dictionaries(FIELDS, JSON, max_size=4))
def test_requests_of_any_content_get_an_answer_or_a_documented_refusal(
    type_: object, fields: dict[str, object]
) -> None:
    request = {"type": type_, **fields}
    answer, _ = BENCH.venue.info.answer(request, NOW_MS)
    assert answer.status in {200, 422, 500}
    assert post_response("info", request, answer)["type"] == ("info" if answer.status == 200 else "error")
    with contextlib.suppress(AbortError, UnreadableError, UnsupportedError):
        assert json.loads(wanted(request, frozenset(DEMO.universe.by_coin)).text)["type"] == type_


@given(body=JSON)
def test_requests_that_are_no_objects_are_refused(body: object) -> None:
    assert BENCH.venue.info.answer(body, NOW_MS)[0].status in {200, 422, 500}
    with contextlib.suppress(AbortError, UnreadableError, UnsupportedError):
        wanted(body, frozenset(DEMO.universe.by_coin))


# Websocket


def test_socket_subscription_is_acked_before_its_snapshot() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            for channel in ("bbo", "activeAssetCtx", "trades", "l2Book"):
                answer = await ask(socket, subscribe(type=channel, coin="xyz:NVDA"))
                assert answer["channel"] == "subscriptionResponse"
                while (first := (await socket.receive()).json())["channel"] != channel:
                    assert first["channel"] in {"bbo", "activeAssetCtx", "trades"}  # of those before, which go on
                event = decode_frame(json.dumps(first), generation=1, recv_mono_ns=0, recv_ts_ns=0)
                assert type(event).__name__ in {"BboUpdated", "CtxUpdated", "TradesReceived", "BookUpdated"}

    with_venue(test)


def test_socket_real_session_gets_every_subscription_confirmed() -> None:
    async def test(venue: Venue) -> None:
        wanted_streams = tuple(
            Subscription(channel=channel, coin=market.coin, fast=channel == "l2Book")
            for market in DEMO.universe.builder_markets
            for channel in ("bbo", "activeAssetCtx", "trades", "l2Book")
        )
        session = Session(wanted_streams, random=Random(1))
        seen: set[str] = set()
        async with venue.socket() as socket:
            for action in session.connection_opened(0):
                assert isinstance(action, Send)
                await socket.send_str(action.frame.decode())
            while session.unacked or len(seen) < len(DEMO.universe.builder_markets):
                text = (await socket.receive()).data
                event = decode_frame(text, generation=session.generation, recv_mono_ns=0, recv_ts_ns=0)
                if isinstance(event, BboUpdated):
                    seen.add(event.coin)
                assert not any(isinstance(action, Drop) for action in session.frame_received(event, 0))
        assert not session.given_up

    with_venue(test)


def test_socket_ack_echoes_the_normalised_subscription() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            answer = await ask(socket, subscribe(type="l2Book", coin="xyz:NVDA", fast=True, colour="red"))
            assert answer["data"] == {
                "method": "subscribe",
                "subscription": {
                    "type": "l2Book",
                    "coin": "xyz:NVDA",
                    "nSigFigs": None,
                    "mantissa": None,
                    "fast": True,
                },
            }
            snapshot = (await socket.receive()).json()["data"]
            assert snapshot["fast"] is True
            assert [len(side) for side in snapshot["levels"]] == [5, 5]
            again = await ask(socket, subscribe(type="l2Book", coin="xyz:NVDA", fast=True))
            text = '{"type":"l2Book","coin":"xyz:NVDA","nSigFigs":null,"mantissa":null,"fast":true}'
            assert again == {"channel": "error", "data": f"Already subscribed: {text}"}

    with_venue(test)


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "bbo", "coin": "xyz:nvda"},
        {"type": "bbo", "coin": "XYZ:NVDA"},
        {"type": "activeAssetCtx", "coin": "NVDA"},
        {"type": "l2Book", "coin": "xyz:NVDA", "nSigFigs": 6},
        {"type": "l2Book", "coin": "xyz:NVDA", "mantissa": 2},
    ],
)
def test_socket_unknown_coin_closes_the_connection_without_a_close_frame(subscription: dict[str, object]) -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            await socket.send_json({"method": "subscribe", "subscription": subscription})
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSED
            assert socket.close_code == 1006
        async with venue.socket() as other:  # nobody else is hurt
            assert await ask(other, {"method": "ping"}) == {"channel": "pong"}

    with_venue(test)


def test_socket_unreadable_requests_get_the_error_text_and_stay_open() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            for text in (
                "{bad",
                "[]",
                '{"method":"dance"}',
                '{"method":"subscribe"}',
                '{"method":"subscribe","subscription":{"type":"bbo","coin":["BTC","ETH"]}}',
                '{"method":"subscribe","subscription":{"type":"nothing"}}',
                '{"method":"subscribe","subscription":{"type":["bbo"]}}',
                "[" * 5_000,
                '{"method":"post","request":{"type":"info","payload":{"type":"perpDexs"}}}',
            ):
                await socket.send_str(text)
                answer = (await socket.receive()).json()
                assert answer == {
                    "channel": "error",
                    "data": f"Error parsing JSON into valid websocket request: {text}",
                }
            answer = await ask(socket, subscribe(type="twapStates", user=USER))
            assert str(answer["data"]).startswith("Invalid subscription")
            assert await ask(socket, {"method": "ping"}) == {"channel": "pong"}

    with_venue(test)


def test_socket_unsubscribe_ends_the_stream_and_a_second_one_is_an_error() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            stream = {"type": "userFills", "user": USER}
            answer = await ask(socket, {"method": "subscribe", "subscription": stream})
            assert answer["channel"] == "subscriptionResponse"
            snapshot = (await socket.receive()).json()
            assert snapshot["data"] == {"isSnapshot": True, "user": USER, "fills": []}
            answer = await ask(socket, {"method": "unsubscribe", "subscription": stream})
            assert answer["channel"] == "subscriptionResponse"
            answer = await ask(socket, {"method": "unsubscribe", "subscription": stream})
            assert str(answer["data"]).startswith("Already unsubscribed: ")

    with_venue(test)


def test_socket_post_info_answers_as_rest_does() -> None:
    async def test(venue: Venue) -> None:
        async with venue.socket() as socket:
            request = {"type": "info", "payload": {"type": "l2Book", "coin": "xyz:NOPE"}}
            answer = await ask(socket, {"method": "post", "id": 7, "request": request})
            inner = {"type": "info", "payload": {"type": "l2Book", "data": None}}
            assert answer == {"channel": "post", "data": {"id": 7, "response": inner}}
            request = {"type": "info", "payload": {"type": "bogus"}}
            answer = await ask(socket, {"method": "post", "id": 8, "request": request})
            text = "422 Failed to deserialize the JSON body into the target type"
            assert answer["data"] == {"id": 8, "response": {"type": "error", "payload": text}}

    with_venue(test)


# Clients without sockets


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def test_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        transport = Transport()
        client = Client(aiohttp.web.WebSocketResponse(), transport)
        for _ in range(3):
            client.push("x")
        assert not transport.is_aborted
        client.push("x")
        assert transport.is_aborted

    monkeypatch.setattr(clients, "QUEUE_FRAMES_MAX", 3)
    asyncio.run(test())


def test_client_that_was_sent_nothing_for_a_minute_is_closed() -> None:
    class Socket(aiohttp.web.WebSocketResponse):
        @override
        async def send_str(self, data: str, compress: int | None = None) -> None:
            sent.set()

    async def test() -> None:
        now_s, transport = 100.0, Transport()
        client = Client(Socket(), transport, now_s=lambda: now_s)
        writer = asyncio.create_task(client.write())
        now_s = 159.0
        client.push("x")
        await sent.wait()
        await asyncio.sleep(0)
        now_s = 219.0
        client.abort_if_idle()
        assert not transport.is_aborted
        now_s = 219.1
        client.abort_if_idle()
        assert transport.is_aborted
        writer.cancel()

    sent = asyncio.Event()
    asyncio.run(test())


# The process


def test_serving_on_an_occupied_port_names_it() -> None:
    async def test() -> None:
        async with VenueServer(GENERATOR).serving(0) as port:
            with pytest.raises(PortOccupiedError, match=str(port)):
                async with VenueServer(GENERATOR).serving(port):
                    pass

    asyncio.run(test())


def start_venue(port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streaming.cli", "venue", "--port", str(port), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_venue_command_says_where_it_listens_and_ends_cleanly(number: signal.Signals) -> None:
    process = start_venue(0)
    try:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert facts["ws"] == f"ws://127.0.0.1:{facts['port']}/ws"
        second = start_venue(facts["port"])
        _, errors = second.communicate(timeout=30)
        assert second.returncode == 6
        assert str(facts["port"]) in errors
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert errors == ""
    finally:
        process.kill()
        process.wait()
