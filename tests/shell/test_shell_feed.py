"""The feed over a real socket on loopback, with both transports: the same session behaviour through the same seam."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
from loopback_feed import Script, run, websocket_server
from shell_parts import Shell, a_shell, when
from websockets.asyncio.server import ServerConnection

from streaming.core.effects import ConnectionChanged, LatchChanged, MarketReadyChanged, Reconnect, Resubscribe
from streaming.core.events import ConnectionLost, ConnectionOpened, FrameMalformed
from streaming.hyperliquid.session import Session, Subscription
from streaming.shell.feed.connection import Feed, kind_of
from streaming.shell.feed.transport import transport_factory
from streaming.shell.journal.reader import read_session, steps
from streaming.shell.process.faults import Faults

COIN = "xyz:NVDA"
PLAN = (Subscription("bbo", COIN), Subscription("activeAssetCtx", COIN))
TIME_MS = 1_790_000_000_000

both = pytest.mark.parametrize("name", ["picows", "websockets"])


def a_bbo_frame(bid_px: str = "99.98", time_ms: int = TIME_MS) -> str:
    level = {"sz": "5", "n": 1}
    data = {"coin": COIN, "time": time_ms, "bbo": [{"px": bid_px, **level}, {"px": "100.02", **level}]}
    return json.dumps({"channel": "bbo", "data": data})


def a_ctx_frame(channel: str = "activeAssetCtx", coin: str = COIN) -> str:
    ctx = {
        "funding": "0.0",
        "openInterest": "1",
        "prevDayPx": "1",
        "dayNtlVlm": "1",
        "premium": "0.0",
        "oraclePx": "100",
        "markPx": "100",
        "midPx": "100",
        "impactPxs": ["99", "101"],
        "circulatingSupply": "1",
    }
    return json.dumps({"channel": channel, "data": {"coin": coin, "ctx": ctx}})


async def acknowledge(server: ServerConnection, count: int = len(PLAN)) -> list[dict[str, object]]:
    """Read `count` requests and confirm each."""
    requests = [json.loads(await server.recv()) for _ in range(count)]
    for request in requests:
        await server.send(json.dumps({"channel": "subscriptionResponse", "data": request}))
    return requests


async def played(
    tmp_path: Path,
    name: str,
    script: Script,
    until: Callable[[Shell, Feed], bool],
    during: Callable[[Shell], Awaitable[None]] | None = None,
) -> tuple[Shell, Session]:
    """Run a feed against a scripted server until a condition holds."""
    shell = a_shell(tmp_path)
    session = Session(PLAN, random=Random(1), backoff_ms_min=1, backoff_ms_max=30)
    faults = Faults()
    async with websocket_server(script) as url:
        feed = Feed(
            url=url,
            session=session,
            subscription_count=len(PLAN),
            new_transport=transport_factory(name),
            runtime=shell.runtime,
            clock=shell.clock,
            telemetry=shell.telemetry,
            faults=faults,
        )
        reached = asyncio.Event()
        keep = shell.runtime.on_outputs

        def look(outputs: object) -> None:
            keep(outputs)  # type: ignore[arg-type]
            if until(shell, feed):
                reached.set()

        shell.runtime.on_outputs = look
        task = asyncio.create_task(feed.run())
        if during is not None:
            await during(shell)
        fault = asyncio.create_task(faults.first())
        done = asyncio.create_task(reached.wait())
        await asyncio.wait({task, fault, done}, return_when=asyncio.FIRST_COMPLETED)
        assert reached.is_set(), fault
        for job in (task, fault, done):
            job.cancel()
        await asyncio.gather(task, fault, done, return_exceptions=True)
    shell.close()
    return shell, session


def is_ready(shell: Shell, _feed: Feed) -> bool:
    return any(change.state == "ready" for change in shell.of_type(MarketReadyChanged))  # type: ignore[union-attr]


def losses(shell: Shell) -> list[ConnectionLost]:
    return [step.event for step in steps(read_session(shell.journal.folder)) if isinstance(step.event, ConnectionLost)]


@both
def test_feed_subscribes_and_markets_become_ready(tmp_path: Path, name: str) -> None:
    async def script(server: ServerConnection) -> None:
        await acknowledge(server)
        await server.send(a_bbo_frame())
        await server.send(a_ctx_frame())
        await server.wait_closed()

    shell, _ = run(played(tmp_path, name, script, is_ready))
    assert shell.value("hip3_ws_connected") == 1
    assert shell.value("hip3_ws_msgs_sent_total", kind="subscribe") == 2
    assert shell.value("hip3_frames_total", channel="bbo") == 1


@both
def test_feed_reconnects_resubscribes_and_tells_reason(tmp_path: Path, name: str) -> None:
    subscribed: list[int] = []

    async def script(server: ServerConnection) -> None:
        subscribed.append(len(await acknowledge(server)))
        if len(subscribed) == 1:
            await server.close(1012)
        else:
            await server.send(a_bbo_frame())
            await server.send(a_ctx_frame())
            await server.wait_closed()

    shell, session = run(played(tmp_path, name, script, is_ready))
    assert subscribed == [2, 2]
    assert session.generation == 2
    assert [(loss.generation, loss.reason) for loss in losses(shell)] == [(1, "closed_1012")]
    assert shell.value("hip3_ws_reconnect_total", reason="closed") == 1
    kinds = [type(step.event) for step in steps(read_session(shell.journal.folder))]
    assert kinds.count(ConnectionOpened) == 2


@both
def test_feed_frames_after_its_own_drop_are_no_inputs(tmp_path: Path, name: str) -> None:
    """A venue that goes on talking to a connection we dropped must not be heard (F-09)."""
    opened = 0

    async def script(server: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        await acknowledge(server)
        if opened == 1:
            await server.send(a_bbo_frame(time_ms=TIME_MS))
            await server.send(a_bbo_frame(time_ms=TIME_MS - 1_000))  # gate 8 trips: the engine asks for a reconnect
            for _ in range(50):
                await server.send(a_bbo_frame("98", time_ms=TIME_MS + 5_000))
        await server.wait_closed()

    def second_connection(shell: Shell, _feed: Feed) -> bool:
        return [change.generation for change in shell.of_type(ConnectionChanged) if change.is_open] == [1, 2]  # type: ignore[union-attr]

    shell, _ = run(played(tmp_path, name, script, second_connection))
    assert shell.of_type(Reconnect)
    assert [loss.reason.split()[0] for loss in losses(shell)] == ["time_regression"]
    assert shell.value("hip3_ws_reconnect_total", reason="time_regression") == 1
    recorded = [step.event for step in steps(read_session(shell.journal.folder))]
    lost_at = next(i for i, event in enumerate(recorded) if isinstance(event, ConnectionLost))
    assert all(getattr(event, "generation", 2) == 2 for event in recorded[lost_at + 1 :])


@both
def test_feed_garbage_drops_connection_and_the_third_time_sets_the_latch(tmp_path: Path, name: str) -> None:
    async def script(server: ServerConnection) -> None:
        await acknowledge(server)
        for _ in range(5):
            await server.send("{not json")
        await server.wait_closed()

    def is_latched(shell: Shell, _feed: Feed) -> bool:
        return bool(shell.of_type(LatchChanged))

    shell, _ = run(played(tmp_path, name, script, is_latched))
    [latch] = shell.of_type(LatchChanged)
    assert latch.reason == "feed_hostile"  # type: ignore[union-attr]
    assert shell.value("hip3_malformed_total", channel="other") == 15


@both
def test_feed_spot_context_is_counted_and_no_reason_to_reconnect(tmp_path: Path, name: str) -> None:
    async def script(server: ServerConnection) -> None:
        await acknowledge(server)
        for _ in range(8):
            await server.send(a_ctx_frame("activeSpotAssetCtx", "@107"))
        await server.send(a_bbo_frame())
        await server.send(a_ctx_frame())
        await server.wait_closed()

    shell, session = run(played(tmp_path, name, script, is_ready))
    assert shell.value("hip3_spot_dropped_total") == 8
    assert session.generation == 1
    kinds = [type(step.event) for step in steps(read_session(shell.journal.folder))]
    assert kinds.count(FrameMalformed) == 8


@both
def test_feed_venue_that_refuses_is_tried_again(tmp_path: Path, name: str) -> None:
    shell_seen: list[Shell] = []

    async def play() -> None:
        shell = a_shell(tmp_path)
        shell_seen.append(shell)
        session = Session(PLAN, random=Random(1), backoff_ms_min=1, backoff_ms_max=3)
        async with websocket_server(_refuse) as url:
            pass
        feed = Feed(
            url=url,
            session=session,
            subscription_count=2,
            new_transport=transport_factory(name),
            runtime=shell.runtime,
            clock=shell.clock,
            telemetry=shell.telemetry,
            faults=Faults(),
        )
        failed = when(shell, "reconnect_needed", lambda: shell.telemetry.reconnect_count >= 3)
        task = asyncio.create_task(feed.run())
        await failed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        shell.close()

    run(play())
    [shell] = shell_seen
    assert (shell.value("hip3_ws_reconnect_total", reason="not_opened") or 0) >= 3
    assert losses(shell) == [], "what never opened was not lost"


def test_feed_engine_request_resubscribes_one_market(tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    async def script(server: ServerConnection) -> None:
        await acknowledge(server)
        await server.send(a_bbo_frame())
        asked.extend([json.loads(await server.recv()) for _ in range(4)])
        await server.send(a_ctx_frame())
        await server.wait_closed()

    async def during(shell: Shell) -> None:
        await when(shell, "frame_received", lambda: shell.value("hip3_frames_total", channel="bbo") == 1).wait()
        stamps = {"ts_ns": shell.clock.ts_ns(), "mono_ns": shell.clock.mono_ns()}
        shell.runtime._act(Resubscribe(**stamps, coin=COIN))

    def has_ctx(shell: Shell, _feed: Feed) -> bool:
        return bool(shell.runtime.state.markets[COIN].has_ctx)

    run(played(tmp_path, "picows", script, has_ctx, during))
    assert [request["method"] for request in asked] == ["unsubscribe", "subscribe"] * 2


@both
def test_feed_exception_in_a_step_ends_the_process(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries only log what a callback raises; a bug in the engine must not end as a log line (F-71)."""

    async def script(server: ServerConnection) -> None:
        await server.send(a_bbo_frame())
        await server.wait_closed()

    def explode(*_: object, **__: object) -> None:
        raise ArithmeticError("a bug of ours")

    async def play() -> BaseException:
        shell = a_shell(tmp_path)
        faults = Faults()
        monkeypatch.setattr(shell.runtime, "frame_received", explode)
        async with websocket_server(script) as url:
            feed = Feed(
                url=url,
                session=Session(PLAN, random=Random(1)),
                subscription_count=2,
                new_transport=transport_factory(name),
                runtime=shell.runtime,
                clock=shell.clock,
                telemetry=shell.telemetry,
                faults=faults,
            )
            task = asyncio.create_task(feed.run())
            fault = await faults.first()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        shell.close()
        return fault

    assert isinstance(run(play()), ArithmeticError)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b'{"method":"ping"}', "ping"),
        (b'{"method":"subscribe","subscription":{}}', "subscribe"),
        (b'{"method":"unsubscribe","subscription":{}}', "unsubscribe"),
        (b'{"method":"post"}', "other"),
    ],
)
def test_feed_kind_of_message_is_told_by_its_method(frame: bytes, kind: str) -> None:
    assert kind_of(frame) == kind


async def _refuse(_server: ServerConnection) -> None:
    return
