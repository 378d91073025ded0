"""The bench venue: one port, one client at a time; acks, first data, and an error for every order.

Rule 1: an order is stamped by the port, handed on, then answered as an IOC that found nothing: nobody ever has a
position, so the next tick may trade.
Rule 2: subscriptions are read and echoed by the code of the simulated venue; user channels begin with its snapshots.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from streaming.core.units import NS_PER_MS
from streaming.shell.clock import SystemClock
from streaming.sim.bench.bodies import bodies
from streaming.sim.bench.front import Front, frame_of
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.order import Trader
from streaming.sim.exchange.events import Json
from streaming.sim.venue.feed.account_data import SNAPSHOTS
from streaming.sim.venue.feed.subscriptions import AbortError, UnreadableError, UnsupportedError, wanted
from streaming.sim.venue.market.wire import frame

HOST = "127.0.0.1"
_PONG = frame_of(b'{"channel":"pong"}')

OnOrder = Callable[[Mapping[str, Any], int], None]
"""(signed request, or a bbo that was sent back; stamp in ns): something that answers a tick has come."""


class BenchVenue:
    """Desk of one port."""

    def __init__(self, markets: Sequence[BenchMarket], trader: Trader, on_order: OnOrder) -> None:
        """List `markets`; the one account is that of `trader`; orders go to `on_order`."""
        self.markets = tuple(markets)
        self._subscription_count = 0
        self._by_coin = {market.coin: market for market in markets}
        self._bodies = bodies(markets, trader)
        self._on_order = on_order
        self._clock = SystemClock()
        self._sockets: set[Front] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[int]:
        """Serve while the context lasts; yields the port in use."""
        server = await asyncio.get_running_loop().create_server(lambda: Front(self), HOST, port)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for socket in tuple(self._sockets):
                socket.abort()

    def now_ms(self) -> int:
        """Return the venue's time."""
        return self._clock.ts_ns() // NS_PER_MS

    async def joined(self, subscription_count: int) -> None:
        """Wait until a websocket is open and so many subscriptions were acked."""
        while not self._sockets or self._subscription_count < subscription_count:
            self._changed.clear()
            await self._changed.wait()

    def publish(self, frames: bytes) -> None:
        """Send frames that `frame_of` made."""
        for socket in self._sockets:
            socket.send(frames)

    def quiet(self, markets: Sequence[BenchMarket], offset: int = 0) -> bytes:
        """Return frames that show `markets` around their oracles."""
        now_ms = self.now_ms()
        return b"".join(frame_of(m.quiet_bbo(now_ms, offset)) + frame_of(m.ctx(offset)) for m in markets)

    def answer(self, path: str, body: bytes, stamp_ns: int) -> bytes:
        """Answer a POST."""
        request = msgspec.json.decode(body)
        if path == "/exchange":
            self._on_order(request, stamp_ns)
            return msgspec.json.encode(_no_fill(request))
        return msgspec.json.encode(self._value(request))

    def opened(self, socket: Front) -> None:
        """Take over a websocket."""
        self._sockets.add(socket)
        self._changed.set()

    def closed(self, socket: Front) -> None:
        """Forget a websocket."""
        self._sockets.discard(socket)

    def received(self, socket: Front, payload: bytes, stamp_ns: int) -> None:
        """Answer one frame of a client."""
        message = msgspec.json.decode(payload)
        match message:
            case {"method": "post", "id": int(number), "request": {"type": "action", "payload": dict(request)}}:
                self._on_order(request, stamp_ns)
                _tell(socket, "post", {"id": number, "response": {"type": "action", "payload": _no_fill(request)}})
            case {"channel": "bbo"}:
                self._on_order(message, stamp_ns)
            case {"method": "post", "id": int(number), "request": {"type": "info", "payload": dict(request)}}:
                data = {"type": request.get("type"), "data": self._value(request)}
                _tell(socket, "post", {"id": number, "response": {"type": "info", "payload": data}})
            case {"method": "ping"}:
                socket.send(_PONG)
            case {"method": "subscribe" | "unsubscribe" as method, "subscription": what}:
                self._subscribe(socket, method, what)
            case _:
                socket.abort()

    def _value(self, request: Json) -> Json:
        body = self._bodies.get(str(request.get("type")))
        return None if body is None else body(request, self.now_ms())

    def _subscribe(self, socket: Front, method: str, what: object) -> None:
        try:
            asked = wanted(what, self._by_coin)
        except (AbortError, UnreadableError, UnsupportedError):
            socket.abort()
            return
        topic = asked.topic
        _tell(socket, "subscriptionResponse", {"method": method, "subscription": asked.echo})
        if method == "unsubscribe":
            return
        self._subscription_count += 1
        self._changed.set()
        snapshot = SNAPSHOTS.get(topic.channel)
        if snapshot is not None:
            _tell(socket, topic.wire_channel, snapshot(self._value, topic))
        elif topic.channel == "bbo":
            socket.send(frame_of(self._by_coin[topic.coin].quiet_bbo(self.now_ms())))
        elif topic.channel == "activeAssetCtx":
            socket.send(frame_of(self._by_coin[topic.coin].ctx()))


def _tell(socket: Front, channel: str, data: Json) -> None:
    socket.send(frame_of(frame(channel, data).encode()))


def _no_fill(request: Mapping[str, Any]) -> Json:
    """Answer an action: orders found nothing, everything else is done."""
    action = request.get("action", {})
    if action.get("type") != "order":
        return {"status": "ok", "response": {"type": "default"}}
    error = "Order could not immediately match against any resting orders. asset="
    statuses = [{"error": f"{error}{order.get('a')}"} for order in action.get("orders", ())]
    return {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}
