"""The simulated venue on one local port: `POST /info` and `GET /ws`, as clients of the real one expect them.

Rule 1: everybody sees the same market, at its wall-clock time (`sim.tape`, `sim.player`).
Rule 2: an hour is generated in a thread, before it is needed; the loop only looks up.
"""

import asyncio
import errno
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog
from aiohttp import WSMsgType, web

from streaming.core.errors import Hip3Error
from streaming.core.units import NS_PER_MS
from streaming.shell.clock import SystemClock
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.venue import info as bodies
from streaming.sim.venue.clients import Client, Hub
from streaming.sim.venue.info import Info
from streaming.sim.venue.player import Player
from streaming.sim.venue.subscriptions import AbortError, UnreadableError, UnsupportedError, Wanted, wanted
from streaming.sim.venue.tape import Tape
from streaming.sim.venue.wire import frame

HOST = "127.0.0.1"
GREETING = "Websocket connection established."
_REQUEST_BYTES_MAX = 1_048_576
_IDLE_CHECK_S = 1.0

_log = structlog.get_logger(component="venue")


class PortOccupiedError(Hip3Error):
    """Somebody else listens on the port."""


def system_now_ms() -> int:
    """Return the wall clock in ms UTC."""
    return SystemClock().ts_ns() // NS_PER_MS


class VenueServer:
    """Serves one generator's markets.

    Args:
        generator: Makes the markets.
        now_ms: Clock of the venue, ms UTC; tests hand in their own.
    """

    def __init__(self, generator: Generator, *, now_ms: Callable[[], int] = system_now_ms) -> None:
        self._now_ms = now_ms
        self._tape = Tape(generator)
        self._info = Info(self._tape)
        self._hub = Hub()
        self._coins = frozenset(market.coin for market in self._tape.markets)
        self._player: Player | None = None
        self.tasks: tuple[asyncio.Task[None], ...] = ()
        """What runs while the server serves; none of them ends by itself but by failing."""

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[int]:
        """Serve while the context lasts; yields the port in use (0 takes a free one).

        Raises:
            PortOccupiedError: The port is taken.
        """
        now_ms = self._now_ms()
        await self._load_around(now_ms)
        player = self._player = Player(self._tape, self._info, self._hub, now_ms)
        app = web.Application(client_max_size=_REQUEST_BYTES_MAX)
        app.add_routes([web.post("/info", self._post_info), web.get("/ws", self._socket)])
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.5, access_log=None)
        await runner.setup()
        try:
            await _listen(runner, port)
            self.tasks = (asyncio.create_task(self._play(player)), asyncio.create_task(self._watch_idle()))
            try:
                yield int(runner.addresses[0][1])
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                for client in tuple(self._hub.clients):
                    client.abort()
        finally:
            await runner.cleanup()

    async def _play(self, player: Player) -> None:
        while True:
            now_ms = self._now_ms()
            if not self._tape.is_loaded(now_ms // HOUR_MS):
                # After a suspend the clock may have left every loaded hour.
                await self._load_around(now_ms)
                _log.info("tape_moved", hour=now_ms // HOUR_MS)
            elif (soon := player.needs_hour(now_ms)) is not None:
                await asyncio.to_thread(self._tape.load, soon)
            player.step(self._now_ms())
            await asyncio.sleep(max(1, player.next_block_ms(self._now_ms()) - self._now_ms()) / 1000)

    async def _load_around(self, now_ms: int) -> None:
        for hour in (now_ms // HOUR_MS - 1, now_ms // HOUR_MS):
            await asyncio.to_thread(self._tape.load, hour)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_CHECK_S)
            for client in tuple(self._hub.clients):
                client.abort_if_idle()

    async def _post_info(self, request: web.Request) -> web.Response:
        status, body, content_type = await self._answer(request)
        return web.Response(status=status, body=body, headers={"Content-Type": content_type})

    async def _answer(self, request: web.Request) -> bodies.Answer:
        if request.content_type != "application/json":
            return bodies.BAD_CONTENT_TYPE
        try:
            decoded = msgspec.json.decode(await request.read())
        except (msgspec.DecodeError, RecursionError):
            return bodies.BAD_JSON
        return self._info.answer(decoded, self._now_ms())

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=_REQUEST_BYTES_MAX)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="Bad Request")
        await socket.prepare(request)
        if request.transport is None:
            return socket
        client = Client(socket, request.transport)
        self._hub.clients.add(client)
        writer = asyncio.create_task(client.write())
        client.send(GREETING)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(client, message.data)
                elif message.type is WSMsgType.BINARY:
                    self._receive(client, message.data.decode(errors="replace"))
        except AbortError:
            client.abort()
        finally:
            self._hub.forget(client)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        return socket

    def _receive(self, client: Client, text: str) -> None:
        """Answer one request of a client; raises AbortError when the venue would close the socket."""
        try:
            self._answer_request(client, text)
        except (msgspec.DecodeError, RecursionError, UnreadableError):
            client.send(frame("error", f"Error parsing JSON into valid websocket request: {text}"))
        except UnsupportedError as reason:
            client.send(frame("error", f"Invalid subscription: {reason}"))

    def _answer_request(self, client: Client, text: str) -> None:
        request = msgspec.json.decode(text)
        match request:
            case {"method": "ping"}:
                client.send('{"channel":"pong"}')
            case {"method": "subscribe", "subscription": what}:
                self._subscribe(client, wanted(what, self._coins))
            case {"method": "unsubscribe", "subscription": what}:
                self._unsubscribe(client, wanted(what, self._coins))
            case {"method": "post", "id": int(number), "request": dict(inner)}:
                self._post(client, number, inner)
            case _:
                raise UnreadableError

    def _subscribe(self, client: Client, what: Wanted) -> None:
        if what.topic in client.wanted:
            client.send(frame("error", f"Already subscribed: {what.text}"))
            return
        client.send(frame("subscriptionResponse", {"method": "subscribe", "subscription": what.echo}))
        if self._player is not None:
            for text in self._player.first_frames(what):
                client.send(text)
        self._hub.subscribe(client, what)

    def _unsubscribe(self, client: Client, what: Wanted) -> None:
        if what.topic not in client.wanted:
            client.send(frame("error", f"Already unsubscribed: {what.text}"))
            return
        self._hub.unsubscribe(client, what.topic)
        client.send(frame("subscriptionResponse", {"method": "unsubscribe", "subscription": what.echo}))

    def _post(self, client: Client, number: int, request: dict[str, object]) -> None:
        kind, payload = "error", f"422 {bodies.BAD_SHAPE_TEXT}"
        if request.get("type") == "info":
            kind, payload = self._info.post_payload(request.get("payload"), self._now_ms())
        client.send(frame("post", {"id": number, "response": {"type": kind, "payload": payload}}))


async def serve(port: int, generator: Generator, on_listening: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_listening` is told the port in use.

    Raises:
        PortOccupiedError: The port is taken.
    """
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = VenueServer(generator)
    async with server.serving(port) as used:
        on_listening(used)
        end = asyncio.create_task(ended.wait())
        done, _ = await asyncio.wait([end, *server.tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a venue that plays no more must not look alive


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortOccupiedError(
            f"expected port {port} to be free, found somebody listening on {HOST}:{port}; "
            "end that process or choose another with --port"
        ) from error
