"""Both transports keep the same promises; every test here runs for each of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import pytest
from aiohttp import web
from loopback_feed import Script, run, websocket_server
from websockets.asyncio.server import ServerConnection

from streaming.core.errors import NotSent
from streaming.shell.feed.transport import Callbacks, Transport, transport_factory

pytestmark = pytest.mark.parametrize("name", ["picows", "websockets"])


@dataclass
class Seen:
    """Records what a transport calls."""

    frames: list[bytes] = field(default_factory=list)
    opens: int = 0
    reasons: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    when_open: Callable[[], None] = lambda: None

    def callbacks(self) -> Callbacks:
        return Callbacks(on_open=self.opened, on_frame=self.frame, on_close=self.closed)

    def opened(self) -> None:
        self.opens += 1
        self.when_open()

    def frame(self, raw: bytes) -> None:
        assert self.opens == 1
        self.frames.append(raw)
        self.arrived.set()

    def closed(self, reason: str) -> None:
        self.reasons.append(reason)
        self.ended.set()


async def _played(name: str, script: Script) -> Seen:
    """Connect to a scripted server and return what was seen when the connection ended."""
    seen = Seen()
    async with websocket_server(script) as url:
        transport = transport_factory(name)()
        await transport.connect(url, seen.callbacks())
        await seen.ended.wait()
        await transport.closed()
    return seen


def test_transport_text_binary_and_fragments_arrive_whole_as_bytes(name: str) -> None:
    async def script(server: ServerConnection) -> None:
        await server.send('{"channel":"pong"}')
        await server.send(b"binary")
        await server.send(["frag", "ment", "ed"])

    seen = run(_played(name, script))
    assert seen.frames == [b'{"channel":"pong"}', b"binary", b"fragmented"]
    assert seen.reasons == ["closed_1000"]


def test_transport_send_reaches_server_and_is_dropped_after_the_end(name: str) -> None:
    got: list[str | bytes] = []

    async def script(server: ServerConnection) -> None:
        got.append(await server.recv())

    async def play() -> Seen:
        seen = Seen()
        async with websocket_server(script) as url:
            transport = transport_factory(name)()
            await transport.connect(url, seen.callbacks())
            transport.send(b'{"method":"ping"}')
            await seen.ended.wait()
            transport.send(b"after the end")
            await transport.closed()
        return seen

    seen = run(play())
    assert got == ['{"method":"ping"}']
    assert seen.reasons == ["closed_1000"]


def test_transport_send_while_opening_reaches_server(name: str) -> None:
    got: list[str | bytes] = []

    async def script(server: ServerConnection) -> None:
        got.append(await server.recv())

    async def play() -> None:
        seen = Seen()
        async with websocket_server(script) as url:
            transport = transport_factory(name)()
            seen.when_open = lambda: transport.send(b"first")
            await transport.connect(url, seen.callbacks())
            await seen.ended.wait()
            await transport.closed()

    run(play())
    assert got == ["first"]


@pytest.mark.parametrize("code", [1001, 1012])
def test_transport_closed_by_server_tells_code_once(name: str, code: int) -> None:
    async def script(server: ServerConnection) -> None:
        await server.close(code)

    assert run(_played(name, script)).reasons == [f"closed_{code}"]


def test_transport_reset_without_close_frame_ends_once(name: str) -> None:
    async def script(server: ServerConnection) -> None:
        await server.send("data")
        server.transport.abort()
        await server.wait_closed()

    seen = run(_played(name, script))
    assert seen.frames in ([b"data"], [])
    assert seen.reasons == ["connection_ended"]


def test_transport_reset_inside_frame_drops_the_part(name: str) -> None:
    async def script(server: ServerConnection) -> None:
        server.transport.write(b"\x81\x7e\x10\x00" + b"half of it")
        server.transport.close()
        await server.wait_closed()

    seen = run(_played(name, script))
    assert seen.frames == []
    assert seen.reasons == ["connection_ended"]


def test_transport_frame_above_limit_ends_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module(f"streaming.shell.feed.transport_{name}"), "FRAME_BYTES_MAX", 1_000)

    async def script(server: ServerConnection) -> None:
        await server.send("x" * 2_000)
        await server.wait_closed()

    seen = run(_played(name, script))
    assert seen.frames == []
    assert seen.reasons == ["frame_too_large"]


def test_transport_fragments_above_limit_end_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module(f"streaming.shell.feed.transport_{name}"), "FRAME_BYTES_MAX", 1_000)

    async def script(server: ServerConnection) -> None:
        await server.send(["x" * 600, "x" * 600, "x"])
        await server.wait_closed()

    seen = run(_played(name, script))
    assert seen.frames == []
    assert seen.reasons == ["frame_too_large"]


def test_transport_abort_of_half_open_socket_is_prompt(name: str) -> None:
    async def play() -> tuple[Seen, float]:
        seen = Seen()
        release = asyncio.Event()

        async def script(_server: ServerConnection) -> None:
            await release.wait()  # reads nothing, answers nothing

        async with websocket_server(script) as url:
            transport = transport_factory(name)()
            await transport.connect(url, seen.callbacks())
            began_s = asyncio.get_running_loop().time()
            transport.abort()
            transport.abort()
            await seen.ended.wait()
            await transport.closed()
            took_s = asyncio.get_running_loop().time() - began_s
            release.set()
        return seen, took_s

    seen, took_s = run(play())
    assert len(seen.reasons) == 1
    assert took_s < 1


def test_transport_refused_is_not_sent(name: str) -> None:
    async def play() -> None:
        async with websocket_server(_silent) as url:
            pass
        seen = Seen()
        transport = transport_factory(name)()
        with pytest.raises(NotSent, match="expected a websocket at"):
            await transport.connect(url, seen.callbacks())
        assert (seen.opens, seen.reasons) == (0, [])

    run(play())


@pytest.mark.parametrize("status", [301, 404, 502])
def test_transport_redirect_or_error_status_is_not_sent(name: str, status: int) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def play() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        transport: Transport = transport_factory(name)()
        with pytest.raises(NotSent):
            await transport.connect(f"ws://127.0.0.1:{port}/ws", Seen().callbacks())
        await runner.cleanup()

    run(play())
    assert asked == ["/ws"], "a redirect is not followed (F-106)"


async def _silent(_server: ServerConnection) -> None:
    return
