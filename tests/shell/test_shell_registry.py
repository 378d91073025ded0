import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random

import aiohttp
import pytest
from aiohttp import web
from info_server import InfoServer

from streaming.core.errors import RateLimited, VenueError
from streaming.core.events import MarketStatusReceived, SpecsReceived
from streaming.core.market import MarketStatus
from streaming.core.registry import RegistryPlan
from streaming.shell.info.registry import RegistryPoller, load_registry
from streaming.shell.info.rest import InfoClient

USER = "0x00000000000000000000000000000000000000a1"
Emitted = list[SpecsReceived | MarketStatusReceived]


class TickingClock:
    """Advances by a second with every look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def mono_ns(self) -> int:
        self.now_ns += 1_000_000_000
        return self.now_ns

    def ts_ns(self) -> int:
        return self.now_ns + 5


class Watched:
    """A loaded registry with its poller and what it emitted."""

    def __init__(self, server: InfoServer, client: InfoClient, plan: RegistryPlan) -> None:
        self.server = server
        self.client = client
        self.plan = plan
        self.clock = TickingClock()
        self.emitted: Emitted = []
        self.poller = RegistryPoller(
            client,
            ("xyz",),
            None,
            watched=plan.specs,
            emit=self.emitted.append,
            clock=self.clock,
            random=Random(3),
        )

    def statuses(self) -> dict[str, MarketStatus]:
        events = [event for event in self.emitted if isinstance(event, MarketStatusReceived)]
        return {status.coin: status for status in events[-1].statuses}

    def specs(self) -> SpecsReceived:
        return [event for event in self.emitted if isinstance(event, SpecsReceived)][-1]


def watching(use: Callable[[Watched], Awaitable[None]]) -> None:
    server = InfoServer()

    async def run() -> None:
        async with server.running() as session:
            client = InfoClient(server.base_url, session=session, clock=TickingClock())
            await use(Watched(server, client, await load_registry(client, ("xyz",), None)))

    asyncio.run(run())


def loaded(server: InfoServer, *, account: str | None = None, **keys: tuple[str, ...]) -> RegistryPlan:
    async def run() -> RegistryPlan:
        async with server.running() as session:
            return await load_registry(InfoClient(server.base_url, session=session), ("xyz",), account, **keys)

    return asyncio.run(run())


async def answer_null_500(_: web.Request) -> web.StreamResponse:
    return web.json_response(None, status=500)


def test_load_registry_gives_specs_of_live_markets_by_universe_index() -> None:
    server = InfoServer()

    plan = loaded(server)

    assert plan.refusals == ()
    assert [(spec.coin, spec.asset_id) for spec in plan.specs] == [
        ("xyz:ALPHA", 110_000),
        ("xyz:BETA", 110_002),
        ("xyz:GAMMA", 110_003),
    ]
    assert [spec.taker_fee_bps for spec in plan.specs] == [Decimal("0.9"), Decimal(9), Decimal(9)]
    assert [spec.coin for spec in plan.delisted] == ["xyz:GONE"]
    assert "userFees" not in [asked["type"] for asked in server.asked]


def test_load_registry_with_account_uses_its_fees() -> None:
    plan = loaded(InfoServer(), account=USER, user_channels=("userFills", "orderUpdates"))

    assert plan.specs[0].taker_fee_bps == Decimal("0.768")


def test_load_registry_counts_subscriptions_of_every_channel() -> None:
    channels = tuple(f"channel{index}" for index in range(400))

    assert "1200 subscriptions" in loaded(InfoServer(), channels=channels).refusals[0]


def test_load_registry_names_spot_and_default_dex_collisions() -> None:
    server = InfoServer()
    server.bodies["spotMeta"] = {"universe": [{"name": "xyz:ALPHA"}], "tokens": [{"name": "xyz:BETA"}]}
    server.bodies["metaDefault"] = {"universe": [{"name": "xyz:GAMMA"}]}

    assert sum("validator dex or of spot" in refusal for refusal in loaded(server).refusals) == 3


def test_load_registry_dex_that_is_not_listed_is_refused_without_asking_its_meta() -> None:
    server = InfoServer()
    server.bodies["perpDexs"] = [None, {"name": "XYZ"}]

    assert "did you mean 'XYZ'" in loaded(server).refusals[0]
    assert {"type": "meta", "dex": "xyz"} not in server.asked


def test_load_registry_without_the_venue_raises() -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await load_registry(InfoClient("http://127.0.0.1:1", session=session), ("xyz",), None)

    with pytest.raises(VenueError):
        asyncio.run(run())


def test_poll_emits_specs_and_statuses_with_stamps() -> None:
    async def use(watched: Watched) -> None:
        delay_s = await watched.poller.poll()

        assert 27 <= delay_s <= 30
        assert watched.specs().specs == watched.plan.specs
        assert watched.specs().recv_mono_ns > 0
        assert watched.statuses() == {
            "xyz:ALPHA": MarketStatus(
                coin="xyz:ALPHA", is_halted=False, is_at_oi_cap=False, oi_cap_ntl=Decimal("250000.0")
            ),
            "xyz:BETA": MarketStatus(coin="xyz:BETA", is_halted=False, is_at_oi_cap=True, oi_cap_ntl=None),
            "xyz:GAMMA": MarketStatus(coin="xyz:GAMMA", is_halted=False, is_at_oi_cap=False, oi_cap_ntl=None),
        }

    watching(use)


def test_poll_sees_a_change_of_spec_as_another_version() -> None:
    async def use(watched: Watched) -> None:
        universe = watched.server.bodies["meta"]["universe"]  # type: ignore[index]
        universe[0]["szDecimals"] = 5
        del universe[0]["growthMode"]

        await watched.poller.poll()

        spec = watched.specs().specs[0]
        assert (spec.coin, spec.sz_decimals, spec.taker_fee_bps) == ("xyz:ALPHA", 5, Decimal(9))
        assert spec.spec_version != watched.plan.specs[0].spec_version

    watching(use)


def test_poll_delisted_and_vanished_markets_are_reported_as_halted() -> None:
    async def use(watched: Watched) -> None:
        universe = watched.server.bodies["meta"]["universe"]  # type: ignore[index]
        universe[0]["isDelisted"] = True
        universe.pop()

        await watched.poller.poll()

        assert {spec.coin: spec.is_delisted for spec in watched.specs().specs} == {
            "xyz:ALPHA": True,
            "xyz:BETA": False,
        }
        halted = {coin: status.is_halted for coin, status in watched.statuses().items()}
        assert halted == {"xyz:ALPHA": True, "xyz:BETA": False, "xyz:GAMMA": True}

    watching(use)


def test_poll_f92_market_that_is_watched_to_be_left_is_asked_about_like_the_rest() -> None:
    server = InfoServer()

    async def run() -> None:
        async with server.running() as session:
            client = InfoClient(server.base_url, session=session)
            coins = {"coins": ("xyz:BETA",), "open_coins": ("xyz:ALPHA",)}
            emitted: list[SpecsReceived | MarketStatusReceived] = []
            plan = await load_registry(client, ("xyz",), None, **coins)
            poller = RegistryPoller(
                client, ("xyz",), None, watched=plan.specs, emit=emitted.append, clock=TickingClock(),
                random=Random(1), coins=("xyz:BETA",),
            )  # fmt: skip
            await poller.poll()

            specs, statuses = emitted
            assert plan.exit_only == ("xyz:ALPHA",)
            assert isinstance(specs, SpecsReceived)
            assert specs.specs == plan.specs
            assert isinstance(statuses, MarketStatusReceived)
            halted = {status.coin: status.is_halted for status in statuses.statuses}
            assert halted == {"xyz:ALPHA": False, "xyz:BETA": False}

    asyncio.run(run())


def test_poll_of_a_vanished_dex_reports_all_its_markets_as_halted() -> None:
    async def use(watched: Watched) -> None:
        watched.server.bodies["perpDexs"] = [None]

        await watched.poller.poll()

        assert watched.specs().specs == ()
        assert {status.is_halted for status in watched.statuses().values()} == {True}

    watching(use)


def test_poll_new_listing_is_not_watched_before_the_next_start() -> None:
    async def use(watched: Watched) -> None:
        universe = watched.server.bodies["meta"]["universe"]  # type: ignore[index]
        universe.append({"szDecimals": 2, "name": "xyz:NEW", "maxLeverage": 3})
        universe.append({"szDecimals": 2, "name": "xyz:\x1b[2J", "maxLeverage": 3})

        await watched.poller.poll()

        assert {spec.coin for spec in watched.specs().specs} == {spec.coin for spec in watched.plan.specs}
        assert "xyz:NEW" not in watched.statuses()

    watching(use)


@pytest.mark.parametrize(("special", "is_post_only"), [(None, False), ([{"kind": "postOnly"}], True)])
def test_poll_special_status_is_a_post_only_window(special: object, is_post_only: bool) -> None:
    async def use(watched: Watched) -> None:
        watched.server.bodies["exchangeStatus"] = {"specialStatuses": special, "time": 5}

        await watched.poller.poll()

        assert isinstance(watched.emitted[-1], MarketStatusReceived)
        assert watched.emitted[-1].is_post_only is is_post_only

    watching(use)


def test_poll_dex_without_limits_leaves_the_caps_unknown() -> None:
    async def use(watched: Watched) -> None:
        watched.server.bodies["perpDexLimits"] = None

        await watched.poller.poll()

        assert {status.oi_cap_ntl for status in watched.statuses().values()} == {None}

    watching(use)


def test_poll_that_fails_emits_nothing_and_backs_off_from_1_to_60_s() -> None:
    async def use(watched: Watched) -> None:
        watched.server.answers["perpDexs"] = answer_null_500
        delays_s = [await watched.poller.poll() for _ in range(9)]
        assert watched.emitted == []
        for index, delay_s in enumerate(delays_s):
            assert max(1, min(2**index, 60) / 2) <= delay_s <= min(2**index, 60)

        del watched.server.answers["perpDexs"]
        assert await watched.poller.poll() >= 27
        assert len(watched.emitted) == 2

    watching(use)


def test_poll_whose_second_half_fails_still_brings_specs() -> None:
    async def use(watched: Watched) -> None:
        watched.server.answers["perpDexLimits"] = answer_null_500

        await watched.poller.poll()

        assert [type(event) for event in watched.emitted] == [SpecsReceived]

    watching(use)


def test_run_polls_until_it_is_cancelled() -> None:
    async def use(watched: Watched) -> None:
        is_polled = asyncio.Event()

        async def answer(_: web.Request) -> web.StreamResponse:
            is_polled.set()
            return web.json_response(watched.server.bodies["exchangeStatus"])

        watched.server.answers["exchangeStatus"] = answer
        task = asyncio.create_task(watched.poller.run())
        await is_polled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    watching(use)


def test_poll_again_replaces_what_was_known() -> None:
    async def use(watched: Watched) -> None:
        await watched.poller.poll()
        watched.server.bodies["perpsAtOpenInterestCap"] = []
        watched.server.bodies["meta"]["universe"].append({"szDecimals": 2, "name": "xyz:NEW", "maxLeverage": 3})  # type: ignore[index]

        await watched.poller.poll()

        assert not watched.statuses()["xyz:BETA"].is_at_oi_cap
        assert len(watched.emitted) == 4

    watching(use)


def test_poll_is_shed_at_80_percent_of_the_weight_limit() -> None:
    async def use(watched: Watched) -> None:
        watched.client.weights.spend(0, 1_000)
        asked_count = len(watched.server.asked)

        assert await watched.poller.poll() == 1.0

        assert len(watched.server.asked) == asked_count
        with pytest.raises(RateLimited):
            await watched.client.exchange_status()

    watching(use)


@pytest.mark.parametrize(("dex_count", "interval_s"), [(1, 30), (3, 30), (10, 85)])
def test_poll_interval_grows_so_that_polls_use_half_of_the_limit_at_most(dex_count: int, interval_s: int) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            dexes = tuple(f"d{index}" for index in range(dex_count))
            poller = RegistryPoller(
                InfoClient("http://127.0.0.1:1", session=session), dexes, None,
                watched=(), emit=lambda _: None, clock=TickingClock(), random=Random(1),
            )  # fmt: skip
            assert poller.interval_s == interval_s

    asyncio.run(run())
