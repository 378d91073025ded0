"""The simulated venue on one local port: `POST /info`, `POST /exchange` and `GET /ws`, as real clients expect them.

Rule 1: everybody sees the same market, at its wall-clock time (`venue.market.tape`, `venue.feed.player`).
Rule 2: an hour is generated in a thread, before it is needed; the loop only looks up.
Rule 3: nobody's demands delay the blocks: one market-hour is generated at a time, the loop answers one info request
and reads one frame of a socket a turn.
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
from streaming.sim.exchange.events import Json
from streaming.sim.markets.generator import HOUR_MS
from streaming.sim.venue.feed.clients import Client
from streaming.sim.venue.feed.subscriptions import AbortError
from streaming.sim.venue.hooks import HttpAnswer, VenueHooks
from streaming.sim.venue.info import answers
from streaming.sim.venue.info.answers import type_of
from streaming.sim.venue.limits import exchange_weight, request_weight
from streaming.sim.venue.market.tape import HourSource
from streaming.sim.venue.sockets import Sockets
from streaming.sim.venue.venue import Venue

HOST = "127.0.0.1"
GREETING = "Websocket connection established."
_REQUEST_BYTES_MAX = 1_048_576
_BODY_S_MAX = 60.0
_CHECK_S = 0.5


class PortOccupiedError(Hip3Error):
    """Somebody else listens on the port."""


def system_now_ms() -> int:
    """Return the wall clock in ms UTC."""
    return SystemClock().ts_ns() // NS_PER_MS


class VenueServer:
    """Serves the markets of one source of hours.

    Args:
        source: Makes the markets (the generator, or a recording) and brings scenario and seed.
        now_ms: Clock of the venue, ms UTC; tests hand in their own.
        hooks: Faults; none by default.
    """

    def __init__(
        self, source: HourSource, *, now_ms: Callable[[], int] = system_now_ms, hooks: VenueHooks | None = None
    ) -> None:
        self.venue = Venue(source, now_ms, hooks)
        self._log = structlog.get_logger(component="venue")
        self._sockets = Sockets(self.venue, self._ask_info)
        self._client_count = 0
        self._generating = asyncio.Lock()
        self._answering = asyncio.Lock()
        self.tasks: tuple[asyncio.Task[None], ...] = ()
        """What runs while the server serves; none of them ends by itself but by failing."""

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[int]:
        """Serve while the context lasts; yields the port in use (0 takes a free one).

        Raises:
            PortOccupiedError: The port is taken.
        """
        await asyncio.to_thread(self.venue.load)
        self.venue.open()
        app = web.Application(client_max_size=_REQUEST_BYTES_MAX)
        app.add_routes([web.post("/info", self._post_info), web.post("/exchange", self._post_exchange)])
        app.add_routes([web.get("/ws", self._socket), *self.venue.hooks.routes()])
        runner = web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=0.5,
            access_log=None,
            auto_decompress=False,  # as the venue: a packed body is no JSON
        )
        await runner.setup()
        try:
            await _listen(runner, port)
            loops = (self._play(), self._prepare(), self._watch_idle())
            self.tasks = tuple(asyncio.create_task(loop) for loop in loops)
            try:
                yield int(runner.addresses[0][1])
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                for client in tuple(self.venue.hub.clients):
                    client.abort()
        finally:
            await runner.cleanup()

    async def _play(self) -> None:
        venue = self.venue
        while True:
            if not venue.world.tape.is_loaded(venue.now_ms() // HOUR_MS):
                # After a suspend the clock may have left every loaded hour.
                await asyncio.to_thread(venue.load)
                self._log.info("tape_moved", hour=venue.now_ms() // HOUR_MS)
            venue.step()
            now_ms = venue.now_ms()
            await asyncio.sleep(max(1, venue.player.next_block_ms(now_ms) - now_ms) / 1000)

    async def _prepare(self) -> None:
        """Generate ahead of time what the player and its listeners will need."""
        venue = self.venue
        while True:
            await asyncio.sleep(_CHECK_S)
            soon = venue.player.needs_hour(venue.now_ms())
            if soon is not None:
                await asyncio.to_thread(venue.world.tape.load, soon)
            wanted = venue.player.needs_history()
            if wanted is not None:
                async with self._generating:
                    await asyncio.to_thread(venue.history.load, *wanted)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            for client in tuple(self.venue.hub.clients):
                client.abort_if_idle()

    async def _post_info(self, request: web.Request) -> web.Response:
        body = await _decoded(request)
        if isinstance(body, HttpAnswer):
            return await _respond(request, body)
        ip = request.remote or ""
        if not self.venue.limits.spend(ip, request_weight(type_of(body)), self.venue.now_ms()):
            return await _respond(request, answers.TOO_MANY)
        return await _respond(request, await self._ask_info(ip, body))

    async def _ask_info(self, ip: str, body: Json) -> HttpAnswer:
        info = self.venue.info
        if info.hours_of(body, self.venue.now_ms())[1]:
            async with self._generating:
                # Whoever was here before may have asked about the same hours.
                coin, hours = info.hours_of(body, self.venue.now_ms())
                if hours:
                    await asyncio.to_thread(info.load, coin, hours)
        async with self._answering:
            answer, extra = info.answer(body, self.venue.now_ms(), ip)
            self.venue.limits.spend_more(ip, extra, self.venue.now_ms())
            await asyncio.sleep(0)
        return answer

    async def _post_exchange(self, request: web.Request) -> web.Response:
        body = await _decoded(request)
        if isinstance(body, HttpAnswer):
            return await _respond(request, body)
        ip = request.remote or ""
        if not self.venue.limits.spend(ip, exchange_weight(body), self.venue.now_ms()):
            return await _respond(request, answers.TOO_MANY)
        return await _respond(request, await self.venue.desk.answer(ip, body, self.venue.desk.submit(ip, body)))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ip, now_ms = request.remote or "", self.venue.now_ms()
        status = self.venue.hooks.connecting(ip, now_ms)
        if status is not None:
            return web.Response(status=status)
        socket = web.WebSocketResponse(compress=False, max_msg_size=_REQUEST_BYTES_MAX)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="Bad Request")
        if not self.venue.limits.connect(ip, now_ms):
            return web.Response(status=429)
        try:
            await socket.prepare(request)
            if request.transport is not None:
                self._client_count += 1
                await self._converse(Client(socket, request.transport, number=self._client_count, ip=ip), socket)
        finally:
            self.venue.limits.disconnect(ip)
        return socket

    async def _converse(self, client: Client, socket: web.WebSocketResponse) -> None:
        self.venue.hub.clients.add(client)
        writer = asyncio.create_task(client.write())
        self.venue.hub.tell(client, "", None, GREETING)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._sockets.receive(client, message.data)
                elif message.type is WSMsgType.BINARY:
                    self._sockets.receive(client, message.data.decode(errors="replace"))
                await asyncio.sleep(0)
        except AbortError:
            client.abort()
        finally:
            self._sockets.forget(client)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer


async def serve(
    port: int, source: HourSource, on_listening: Callable[[int], None], *, hooks: VenueHooks | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; `on_listening` is told the port in use.

    Raises:
        PortOccupiedError: The port is taken.
    """
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = VenueServer(source, hooks=hooks)
    async with server.serving(port) as used:
        on_listening(used)
        end = asyncio.create_task(ended.wait())
        done, _ = await asyncio.wait([end, *server.tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a venue that plays no more must not look alive


async def _decoded(request: web.Request) -> Json:
    """Return the decoded body, or the answer to one that can not be read."""
    if request.content_type != "application/json":
        return answers.BAD_CONTENT_TYPE
    try:
        async with asyncio.timeout(_BODY_S_MAX):
            return msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return answers.BAD_JSON
    except TimeoutError:
        return answers.BODY_MISSING


async def _respond(request: web.Request, answer: HttpAnswer) -> web.Response:
    await asyncio.sleep(answer.delay_ms / 1000)
    if answer.is_dropped and request.transport is not None:
        request.transport.abort()
    return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})


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
