"""A real venue on loopback with faults: its clock runs eight times as fast, its answers come in the next block."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
from sim_requests import Wallet, order_action, order_item

from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.faults import FaultSpec
from streaming.sim.scenario.rules import LimitRules, VenueRules
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Universe
from streaming.sim.venue.faults.faults import VenueFaults
from streaming.sim.venue.server import GREETING, VenueServer

NVDA, TSLA, BTC = "xyz:NVDA", "xyz:TSLA", "BTC"
COINS = (TSLA, NVDA, BTC)
NOW_MS = 494_871 * 3_600_000 + 1_234_567
SPEED = 8
Json = Any


def scenario(*faults: FaultSpec) -> Scenario:
    """Three markets of the demo whose touch changes in every block, and a venue that answers at once."""
    character = Character(label=Label.NOISE, jump_rate_h=0.0, jump_bps_min=0.0, jump_bps_scale=0.0, bbo_rate_s=14.0)
    by_coin = DEMO.universe.by_coin
    return Scenario(
        name="faults",
        universe=Universe(dexes=DEMO.universe.dexes, markets=tuple(by_coin[coin] for coin in COINS)),
        characters=dict.fromkeys(COINS, character),
        rules=VenueRules(
            taker_delay_ms=0, maker_delay_ms=0, commit_ms=0, limits=LimitRules(weight_per_minute=1_000_000)
        ),
        faults=faults,
    )


class FaultVenue:
    """What a test does with the venue."""

    def __init__(self, http: aiohttp.ClientSession, port: int, faults: VenueFaults, clock: Callable[[], int]) -> None:
        self.http = http
        self.base = f"http://127.0.0.1:{port}"
        self.faults = faults
        self.now_ms = clock
        self._nonces: dict[str, int] = {}
        self.asset_ids = scenario().universe.asset_ids

    async def admin(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        async with self.http.request(method, f"{self.base}/admin/{path}", json=body) as response:
            return response.status, await response.json()

    async def switch(self, kind: str, **spec: object) -> int:
        """Switch a fault on as anybody would, and return its number."""
        status, body = await self.admin("POST", "faults", {"kind": kind} | spec)
        assert status == 201, body
        await self.blocks(2)
        return int(body["number"])

    async def clear(self) -> None:
        await self.admin("DELETE", "faults")
        await self.blocks(2)

    async def strikes(self) -> dict[str, int]:
        _, body = await self.admin("GET", "faults")
        return {fault["kind"]: fault["strike_count"] for fault in body["faults"]}

    async def blocks(self, count: int) -> None:
        """Let the venue play some blocks."""
        await asyncio.sleep(68 * (count + SPEED) / 1000 / SPEED)

    async def info(self, kind: str, **fields: object) -> Json:
        status, raw = await self.raw_info({"type": kind} | fields)
        assert status == 200, raw
        return json.loads(raw)

    async def raw_info(self, request: object) -> tuple[int, bytes]:
        async with self.http.post(f"{self.base}/info", json=request) as response:
            return response.status, await response.read()

    async def raw_exchange(self, body: object) -> tuple[int, bytes]:
        async with self.http.post(f"{self.base}/exchange", json=body) as response:
            return response.status, await response.read()

    async def act(self, wallet: Wallet, action: dict[str, Json]) -> Json:
        """Send a signed action and return the body of the answer."""
        status, raw = await self.raw_exchange(wallet.sign(action, nonce=self.nonce(wallet)))
        assert status == 200, raw
        return json.loads(raw)

    def nonce(self, wallet: Wallet) -> int:
        self._nonces[wallet.address] = max(self._nonces.get(wallet.address, 0) + 1, self.now_ms())
        return self._nonces[wallet.address]

    async def item(
        self, coin: str = NVDA, *, is_buy: bool = True, sz: str = "1", tif: str = "Ioc", **more: Json
    ) -> dict[str, Json]:
        """Return an order that trades at once (`Ioc`), or rests far away."""
        mark = float((await self.info("allMids", dex=coin.rpartition(":")[0]))[coin])
        factor = 1.05 if is_buy == (tif == "Ioc") else 0.95
        return order_item(is_buy, f"{mark * factor:.5g}", sz, asset=self.asset_ids[coin], tif=tif, **more)

    async def order(self, wallet: Wallet, *items: dict[str, Json]) -> list[Json]:
        """Place orders and return their statuses."""
        body = await self.act(wallet, order_action(*items))
        assert body["status"] == "ok", body
        return list(body["response"]["data"]["statuses"])

    async def fills(self, wallet: Wallet) -> list[Json]:
        return list(await self.info("userFills", user=wallet.address))

    async def szi(self, wallet: Wallet, coin: str = NVDA) -> Decimal:
        state = await self.info("clearinghouseState", user=wallet.address, dex=coin.rpartition(":")[0])
        held = {item["position"]["coin"]: item["position"]["szi"] for item in state["assetPositions"]}
        return Decimal(held.get(coin, "0"))

    @asynccontextmanager
    async def socket(self, *subscriptions: dict[str, Json], is_acked: bool = True) -> AsyncIterator["Socket"]:
        async with self.http.ws_connect(self.base + "/ws") as raw:
            assert (await raw.receive()).data == GREETING
            socket = Socket(raw)
            for subscription in subscriptions:
                await socket.subscribe(is_acked=is_acked, **subscription)
            yield socket


class Socket:
    """A client's side of a websocket."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = raw

    async def send(self, request: object) -> None:
        await self.raw.send_json(request)

    async def subscribe(self, *, is_acked: bool = True, **subscription: object) -> None:
        await self.send({"method": "subscribe", "subscription": subscription})
        if is_acked:
            await self.next("subscriptionResponse")

    async def text(self) -> str:
        message = await self.raw.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return str(message.data)

    async def next(self, channel: str) -> Json:
        """Return the data of the next frame of a channel, passing over others."""
        while True:
            frame = json.loads(await self.text())
            if frame["channel"] == channel:
                return frame.get("data")

    async def quiet(self, channel: str, venue: FaultVenue, blocks: int = 60) -> bool:
        """Tell whether a channel says nothing for some blocks, while a ping is answered behind them."""
        await venue.blocks(blocks)
        await self.send({"method": "ping"})
        while True:
            frame = json.loads(await self.text())
            if frame["channel"] == "pong":
                return True
            if frame["channel"] == channel:
                return False

    async def drain(self) -> None:
        """Read everything that is already here."""
        await self.send({"method": "ping"})
        while await self.text() != '{"channel":"pong"}':
            pass


def with_fault_venue(
    test: Callable[[FaultVenue], Awaitable[None]], *faults: FaultSpec, begin_ms: int = NOW_MS, **rules: Json
) -> None:
    """Run a test against a venue that begins with some faults."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()

        def clock() -> int:
            return begin_ms + round((loop.time() - start_s) * 1000 * SPEED)

        made = scenario(*faults)
        made = replace(made, rules=msgspec.structs.replace(made.rules, **rules))
        hooks = VenueFaults(made, clock)
        server = VenueServer(Generator(7, made), now_ms=clock, hooks=hooks)
        async with server.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(30):
            await test(FaultVenue(http, port, hooks, clock))
            for task in server.tasks:
                assert not task.done(), task

    asyncio.run(main())
