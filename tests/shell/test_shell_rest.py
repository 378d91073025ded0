import asyncio
import socket
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from info_server import InfoServer
from venue_bench import GENERATOR

from streaming.core.budget import WeightWindow
from streaming.core.errors import NotSent, OutcomeUnknown, RateLimited, Rejected, VenueError
from streaming.hyperliquid.limits import LIST_COUNT_MAX, request_weight
from streaming.shell.info.rest import InfoClient
from streaming.sim.venue.server import VenueServer

Json = Any
USER = "0x00000000000000000000000000000000000000a1"


class StoppedClock:
    def mono_ns(self) -> int:
        return 1_000_000_000

    def ts_ns(self) -> int:
        return 2_000_000_000


def with_client(
    server: InfoServer, use: Callable[[InfoClient], Awaitable[None]], *, read_timeout_s: float = 5.0
) -> InfoClient:
    async def run() -> InfoClient:
        async with server.running() as session:
            client = InfoClient(server.base_url, session=session, clock=StoppedClock(), read_timeout_s=read_timeout_s)
            await use(client)
            return client

    return asyncio.run(run())


def failure_of(answer: Callable[[web.Request], Awaitable[web.StreamResponse]], **keys: float) -> VenueError:
    server = InfoServer()
    server.answers["perpDexs"] = answer
    failures: list[VenueError] = []

    async def use(client: InfoClient) -> None:
        with pytest.raises(VenueError) as caught:
            await client.perp_dexs()
        failures.append(caught.value)

    with_client(server, use, **keys)
    return failures[0]


def answering(status: int, body: bytes, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


def test_info_client_asks_with_the_venues_words_and_spends_the_weights() -> None:
    server = InfoServer()

    async def use(client: InfoClient) -> None:
        assert (await client.perp_dexs())[0] is None
        assert len((await client.meta("xyz")).universe) == 4
        assert [market.name for market in (await client.meta("")).universe] == ["ALPHA"]
        assert (await client.meta_and_asset_ctxs("xyz"))[1][0].coin == "xyz:ALPHA"
        assert (await client.perp_dex_limits("xyz")) is not None
        assert await client.perp_dex_status("xyz") == Decimal("1234.5")
        assert await client.perps_at_open_interest_cap("xyz") == {"xyz:BETA"}
        assert (await client.user_fees(USER)).user_cross_rate == Decimal("0.0004")
        assert not (await client.exchange_status()).is_special
        assert "USDC" in await client.spot_names()

    client = with_client(server, use)

    assert server.asked == [
        {"type": "perpDexs"},
        {"type": "meta", "dex": "xyz"},
        {"type": "meta"},
        {"type": "metaAndAssetCtxs", "dex": "xyz"},
        {"type": "perpDexLimits", "dex": "xyz"},
        {"type": "perpDexStatus", "dex": "xyz"},
        {"type": "perpsAtOpenInterestCap", "dex": "xyz"},
        {"type": "userFees", "user": USER},
        {"type": "exchangeStatus"},
        {"type": "spotMeta"},
    ]
    assert server.content_types == {"application/json"}
    weight = sum(request_weight(asked["type"]) for asked in server.asked)
    assert client.use_ratio() == Decimal(weight) / 1_200


def test_info_client_sheds_polls_at_80_percent_and_serves_what_is_essential() -> None:
    # I-37
    server = InfoServer()

    async def use(client: InfoClient) -> None:
        client.weights.spend(StoppedClock().mono_ns(), 950)
        with pytest.raises(RateLimited, match="shed") as caught:
            await client.perp_dexs()
        assert caught.value.scope == "ip_weight"
        assert server.asked == []
        await client.perp_dexs(is_essential=True)
        client.weights.spend(StoppedClock().mono_ns(), 230)
        with pytest.raises(RateLimited):
            await client.perp_dexs(is_essential=True)

    with_client(server, use)
    assert len(server.asked) == 1


def test_info_client_weight_of_a_failed_request_stays_spent() -> None:
    window = WeightWindow(1_200, 60_000_000_000)

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            client = InfoClient("http://127.0.0.1:1", session=session, clock=StoppedClock(), weights=window)
            with pytest.raises(NotSent):
                await client.perp_dexs()

    asyncio.run(run())
    assert window.used_weight(1_000_000_000) == 20


def test_info_client_refused_connection_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]

        async def run() -> None:
            async with aiohttp.ClientSession() as session:
                await InfoClient(f"http://127.0.0.1:{port}", session=session).exchange_status()

        with pytest.raises(NotSent, match="exchangeStatus"):
            asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (422, b"Failed to deserialize the JSON body into the target type", Rejected, "http_422"),
        (400, b"Failed to parse the request body as JSON", Rejected, "http_400"),
        (500, b"null", Rejected, "unknown_name"),
        (302, b"", Rejected, "http_302"),
        (429, b"", RateLimited, ""),
        (500, b"oops", OutcomeUnknown, ""),
        (502, b"<html>Bad gateway</html>", OutcomeUnknown, ""),
        (200, b'[null, {"name": "x', OutcomeUnknown, ""),
        (200, b"<html>" + b"x" * 5_000, OutcomeUnknown, ""),
        (200, b"\xff\xfe\x00", OutcomeUnknown, ""),
    ],
)
def test_info_client_answer_becomes_the_error_that_says_what_to_do(
    status: int, body: bytes, error: type[VenueError], code: str
) -> None:
    failure = failure_of(answering(status, body))

    assert type(failure) is error
    if isinstance(failure, Rejected):
        assert failure.code == code
    assert "perpDexs" in str(failure)
    assert len(str(failure)) < 450


def test_info_client_follows_no_redirect() -> None:
    # F-106
    server = InfoServer()
    server.answers["perpDexs"] = answering(307, b"", Location="/info")

    async def use(client: InfoClient) -> None:
        with pytest.raises(Rejected, match="307"):
            await client.perp_dexs()

    with_client(server, use)
    assert len(server.asked) == 1


def test_info_client_body_above_the_cap_is_an_unknown_outcome() -> None:
    failure = failure_of(answering(200, b"[" + b" " * (8 * 1024 * 1024) + b"]"))

    assert isinstance(failure, OutcomeUnknown)
    assert "at most 8388608 bytes" in str(failure)


def test_info_client_silent_server_is_an_unknown_outcome() -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    assert isinstance(failure_of(silent, read_timeout_s=0.05), OutcomeUnknown)


def test_info_client_cut_answer_is_an_unknown_outcome() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"[null,")
        assert request.transport is not None
        request.transport.abort()
        return response

    assert isinstance(failure_of(cut), OutcomeUnknown)


# --- about an account


def test_info_client_asks_the_simulated_venue_everything_about_an_account() -> None:
    async def run() -> None:
        server = VenueServer(GENERATOR)
        async with server.serving(0) as port, aiohttp.ClientSession() as session, asyncio.timeout(20):
            client = InfoClient(f"http://127.0.0.1:{port}", session=session)
            state = await client.clearinghouse_state(USER, "xyz")
            assert (state.dex, state.account_value, state.positions) == ("xyz", Decimal(10_000), ())
            assert (await client.clearinghouse_state(USER, "")).withdrawable == Decimal(10_000)
            assert (await client.user_role(USER)).role == "user"
            assert await client.extra_agents(USER) == ()
            assert await client.user_abstraction(USER) == "disabled"
            assert await client.spot_state(USER) == ()
            assert (await client.user_rate_limit(USER)).left_count == 10_000
            assert (await client.active_asset_data(USER, "xyz:NVDA")).buy_usd_max == Decimal(10_000)
            assert await client.open_orders(USER, "xyz") == ()
            assert await client.order_status(USER, 1) is None
            assert await client.order_status(USER, "0x" + "0" * 32) is None
            assert await client.user_fills_by_time(USER, 0) == ()

    asyncio.run(run())


def a_fill(number: int) -> dict[str, Json]:
    return {
        "coin": "xyz:ALPHA",
        "px": "101.5",
        "sz": "1.0",
        "side": "B",
        "time": 1_000 + number // 3,  # three in a millisecond: pages overlap
        "oid": number,
        "tid": number,
        "startPosition": "0.0",
        "fee": "0.01",
    }


class FillPages:
    """Answers `userFillsByTime` as the venue does: oldest first, so many a page."""

    def __init__(self, fills: list[dict[str, Json]], page_count_max: int = 2_000) -> None:
        self.server = InfoServer()
        self.server.answers["userFillsByTime"] = self.answer
        self.fills = fills
        self.page_count_max = page_count_max

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        after = [fill for fill in self.fills if asked["startTime"] <= fill["time"] <= asked.get("endTime", 10**12)]
        return web.json_response(after[: self.page_count_max])


@pytest.mark.parametrize("page_count_max", [500, 2_000])
@pytest.mark.parametrize("fill_count", [0, 499, 500, 501, 4_321])
def test_info_client_reads_every_fill_of_a_range_once(fill_count: int, page_count_max: int) -> None:
    # I-16: what was missed while disconnected comes back whole
    pages = FillPages([a_fill(number) for number in range(fill_count)], page_count_max)

    async def use(client: InfoClient) -> None:
        fills = await client.user_fills_by_time(USER, 1_000)
        assert [fill.tid for fill in fills] == list(range(fill_count))

    with_client(pages.server, use)


def test_info_client_range_ends_where_it_was_asked_to() -> None:
    pages = FillPages([a_fill(number) for number in range(30)])

    async def use(client: InfoClient) -> None:
        assert [fill.tid for fill in await client.user_fills_by_time(USER, 1_001, 1_002)] == [3, 4, 5, 6, 7, 8]

    with_client(pages.server, use)
    assert pages.server.asked == [{"type": "userFillsByTime", "user": USER, "endTime": 1_002, "startTime": 1_001}]


@pytest.mark.parametrize(
    "fills",
    [
        [a_fill(number) | {"time": 1_000} for number in range(LIST_COUNT_MAX)],
        [a_fill(number) for number in reversed(range(LIST_COUNT_MAX))],
    ],
    ids=["one millisecond fills a page", "newest first"],
)
def test_info_client_page_that_does_not_go_on_is_no_answer(fills: list[dict[str, Json]]) -> None:
    pages = FillPages(fills, LIST_COUNT_MAX)

    async def use(client: InfoClient) -> None:
        with pytest.raises(OutcomeUnknown, match="oldest first"):
            await client.user_fills_by_time(USER, 1_000)

    with_client(pages.server, use)


def test_info_client_spends_what_the_length_of_a_list_costs() -> None:
    pages = FillPages([a_fill(number) for number in range(450)])

    async def use(client: InfoClient) -> None:
        await client.user_fills_by_time(USER, 0)
        assert client.weights.used_weight(StoppedClock().mono_ns()) == 20 + 450 // 20

    with_client(pages.server, use)
