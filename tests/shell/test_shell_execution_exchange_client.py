"""POST /exchange over real sockets: what is proved about bytes that left, or did not (F-25 to F-28)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from streaming.core.budget import WeightWindow
from streaming.core.errors import NotSent, OutcomeUnknown
from streaming.shell.execution.exchange_client import ExchangeClient, HttpAnswer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = b'{"action":{"type":"noop"},"nonce":1}'


class StoppedClock:
    def mono_ns(self) -> int:
        return 1_000_000_000

    def ts_ns(self) -> int:
        return 2_000_000_000


class Call:
    """One request: its outcome, and whether the bytes were said to be on their way."""

    def __init__(self) -> None:
        self.handed_over_count = 0
        self.weights = WeightWindow(1_200, 60_000_000_000)
        self.answer: HttpAnswer | None = None
        self.error: Exception | None = None

    async def make(self, base_url: str, *, item_count: int = 1, read_timeout_s: float = 5.0) -> None:
        async with aiohttp.ClientSession() as session:
            client = ExchangeClient(
                base_url, session=session, clock=StoppedClock(), weights=self.weights, read_timeout_s=read_timeout_s
            )
            try:
                self.answer = await client.post(BODY, item_count=item_count, on_handed_over=self.handed_over)
            except (NotSent, OutcomeUnknown) as error:
                self.error = error

    def handed_over(self) -> None:
        self.handed_over_count += 1


def call(handler: Handler, **options: float) -> Call:
    async def main() -> Call:
        app = web.Application()
        app.router.add_post("/exchange", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made = Call()
        try:
            await made.make(f"http://127.0.0.1:{runner.addresses[0][1]}", **options)  # type: ignore[arg-type]
        finally:
            await runner.cleanup()
        return made

    return asyncio.run(main())


def test_exchange_client_sends_the_signed_bytes_as_they_are() -> None:
    seen: list[tuple[bytes, str, str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        headers = request.headers
        seen.append((await request.read(), request.content_type, headers.get("Content-Length"),
                     headers.get("Transfer-Encoding")))  # fmt: skip
        return web.Response(body=b"said")

    made = call(answer)
    assert made.answer == HttpAnswer(200, b"said")
    assert seen == [(BODY, "application/json", str(len(BODY)), None)]
    assert made.handed_over_count == 1


def test_exchange_client_refused_connection_is_proved_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        made = Call()
        asyncio.run(made.make(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert isinstance(made.error, NotSent)
    assert made.handed_over_count == 0


def test_exchange_client_connection_that_ends_after_the_body_is_unknown() -> None:
    requests: list[bytes] = []

    async def vanish(request: web.Request) -> web.Response:
        requests.append(await request.read())
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    made = call(vanish)
    assert isinstance(made.error, OutcomeUnknown)
    assert made.handed_over_count == 1
    assert requests == [BODY], "and it is not sent again"


def test_exchange_client_silence_after_the_body_is_unknown() -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    assert isinstance(call(silent, read_timeout_s=0.05).error, OutcomeUnknown)


def test_exchange_client_answer_above_the_cap_is_unknown() -> None:
    async def flood(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (1024 * 1024 + 1))

    assert isinstance(call(flood).error, OutcomeUnknown)


@pytest.mark.parametrize("status", [307, 400, 422, 429, 500, 502])
def test_exchange_client_hands_on_every_status_and_follows_no_redirect(status: int) -> None:
    # F-28, F-34, F-106: what it means is decided by whoever reads it
    requests: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response(status=status, body=b"words", headers={"Location": "/exchange"})

    assert call(answer).answer == HttpAnswer(status, b"words")
    assert requests == ["/exchange"]


@pytest.mark.parametrize(("item_count", "weight"), [(1, 1), (39, 1), (40, 2), (200, 6)])
def test_exchange_client_spends_the_documented_weight(item_count: int, weight: int) -> None:
    # I-37
    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    made = call(answer, item_count=item_count)
    assert made.weights.used_weight(StoppedClock().mono_ns()) == weight


def test_exchange_client_full_weight_window_is_not_sent() -> None:
    async def main() -> Call:
        made = Call()
        made.weights.spend(StoppedClock().mono_ns(), 1_200)
        await made.make("http://127.0.0.1:1")
        return made

    made = asyncio.run(main())
    assert isinstance(made.error, NotSent)
    assert "1200 of 1200" in str(made.error)
