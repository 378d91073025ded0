"""The bench venue's port: HTTP and websocket on one, as the sidecar's own clients speak them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from loopback_feed import run

from streaming.shell.info.registry import load_registry
from streaming.shell.info.rest import InfoClient
from streaming.sim.bench.front import frame_of
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.order import trader
from streaming.sim.bench.venue import BenchVenue

MARKETS = [BenchMarket(index) for index in range(3)]


def a_venue(taken: list[Mapping[str, Any]]) -> BenchVenue:
    return BenchVenue(MARKETS, trader("test"), lambda order, _: taken.append(order))


@asynccontextmanager
async def client_of(venue: BenchVenue) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        venue.serving() as port,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{port}/ws") as socket,
    ):
        yield socket


def test_our_registry_finds_every_market_and_refuses_nothing() -> None:
    async def ask() -> tuple[list[str], tuple[str, ...]]:
        async with a_venue([]).serving() as port, aiohttp.ClientSession() as session:
            client = InfoClient(f"http://127.0.0.1:{port}", session=session)
            plan = await load_registry(client, ("xyz",), trader("test").account)
            return [spec.coin for spec in plan.specs], plan.refusals

    assert run(ask()) == ([market.coin for market in MARKETS], ())


def test_an_order_is_answered_as_one_that_found_nothing_over_both_ways() -> None:
    taken: list[Mapping[str, Any]] = []
    request = {"action": {"type": "order", "orders": [{"a": 110_001}], "grouping": "na"}, "nonce": 1}

    async def trade() -> tuple[Any, Any]:
        async with a_venue(taken).serving() as port, aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{port}/exchange", json=request) as response:
                by_http = await response.json()
            async with session.ws_connect(f"ws://127.0.0.1:{port}/ws") as socket:
                await socket.send_json({"method": "post", "id": 7, "request": {"type": "action", "payload": request}})
                by_socket = json.loads(await socket.receive_str())
            return by_http, by_socket

    by_http, by_socket = run(trade())
    (status,) = by_http["response"]["data"]["statuses"]
    assert status == {"error": "Order could not immediately match against any resting orders. asset=110001"}
    assert by_socket == {"channel": "post", "data": {"id": 7, "response": {"type": "action", "payload": by_http}}}
    assert taken == [request, request]


def test_a_subscription_is_acked_before_its_first_value() -> None:
    async def subscribe() -> list[Any]:
        venue = a_venue([])
        async with client_of(venue) as socket:
            for channel in ("bbo", "activeAssetCtx"):
                what = {"type": channel, "coin": MARKETS[0].coin}
                await socket.send_json({"method": "subscribe", "subscription": what})
            user = {"type": "userFills", "user": trader("test").account}
            await socket.send_json({"method": "subscribe", "subscription": user})
            await venue.joined(3)
            return [json.loads(await socket.receive_str()) for _ in range(6)]

    channels = [frame["channel"] for frame in run(subscribe())]
    ack = "subscriptionResponse"
    assert channels == [ack, "bbo", ack, "activeAssetCtx", ack, "userFills"]


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_arrive_whole_however_they_are_cut(size: int) -> None:
    text = "x" * size
    echo = {"channel": "bbo", "data": text}

    async def send() -> Mapping[str, Any]:
        got: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        venue = BenchVenue(MARKETS, trader("test"), lambda message, _: got.set_result(message))
        async with client_of(venue) as socket:
            await socket.send_json(echo)
            venue.publish(frame_of(text.encode()))
            assert await socket.receive_str() == text
            return await got

    assert run(send()) == echo


def test_an_unknown_subscription_ends_the_connection() -> None:
    async def subscribe() -> aiohttp.WSMsgType:
        async with client_of(a_venue([])) as socket:
            await socket.send_json({"method": "subscribe", "subscription": {"type": "bbo", "coin": "xyz:NONE"}})
            return (await socket.receive()).type

    assert run(subscribe()) in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
