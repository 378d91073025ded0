"""The control port from outside: who may ask, what a document must be, and what is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest
from aiohttp import web
from core_builders import START_TS_NS, a_spec, events_until_ready, stamps
from loopback_feed import run
from shell_parts import Shell, a_shell

from streaming.contracts.control import Answer, RotationAnswer, StatusView
from streaming.contracts.rotation import RotationDoc, RotationExclusion, RotationMarket, encode_rotation
from streaming.core.effects import AnyOutput, RotationJudged
from streaming.core.errors import InvariantViolation
from streaming.core.events import ConnectionOpened, RotationReceived
from streaming.core.limits import Limits
from streaming.shell.config.load import Effective
from streaming.shell.config.schema import Config
from streaming.shell.control import api as control
from streaming.shell.control.api import BODY_BYTES_MAX, ControlApi
from streaming.shell.control.broadcast import CLIENTS_MAX, QUEUE_MAX, Broadcast
from streaming.shell.control.sidecar import RunningSidecar
from streaming.shell.journal.reader import read_session, steps
from streaming.shell.process.faults import Faults
from streaming.shell.process.sockets import bind_loopback

TOKEN = "ab" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOUR_NS = 3_600 * 10**9
T = TypeVar("T")


@dataclass
class Served:
    """A control API on a loopback port, and the shell behind it."""

    shell: Shell
    url: str
    port: int
    http: aiohttp.ClientSession
    broadcast: Broadcast
    faults: Faults

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | BytesIO | None = None,
        json: object = None,
    ) -> tuple[int, bytes]:
        async with self.http.request(method, self.url + path, headers=headers, data=data, json=json) as response:
            return response.status, await response.read()

    async def verb(self, name: str, **body: object) -> tuple[int, Answer]:
        status, raw = await self.ask("POST", f"/v1/{name}", headers=BEARER, json=body)
        return status, msgspec.json.decode(raw, type=Answer)

    async def put(self, raw: bytes, **headers: str) -> tuple[int, RotationAnswer]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, body = await self.ask("PUT", "/v1/rotation", headers=BEARER | named, data=raw)
        return status, msgspec.json.decode(body, type=RotationAnswer)


@asynccontextmanager
async def served(tmp_path: Path, reload_config: Callable[[], Effective] | None = None) -> AsyncIterator[Served]:
    shell = a_shell(tmp_path, a_spec(), a_spec("xyz:GOLD"))
    broadcast = Broadcast(shell.metrics)
    keep = shell.runtime.on_outputs

    def decided(outputs: Sequence[AnyOutput]) -> None:
        keep(outputs)
        broadcast.publish(outputs)

    shell.runtime.on_outputs = decided
    faults = Faults()
    sidecar = RunningSidecar(
        runtime=shell.runtime,
        journal=shell.journal,
        telemetry=shell.telemetry,
        clock=shell.clock,
        version="test",
        config=Config(),
        read_config=reload_config or (lambda: Effective(config=Config(), file=None, sources={})),
        faults=faults,
    )
    listener = bind_loopback(0, key="control_port")
    port = listener.getsockname()[1]
    api = ControlApi(sidecar=sidecar, metrics=shell.metrics, broadcast=broadcast, token=TOKEN, port=port)
    runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    shell.runtime.apply(ConnectionOpened(**stamps(0), generation=1))
    await shell.turn()
    try:
        async with aiohttp.ClientSession() as http:
            yield Served(shell, f"http://127.0.0.1:{port}", port, http, broadcast, faults)
    finally:
        broadcast.close()
        await runner.cleanup()
        shell.close()


def with_api(
    tmp_path: Path, job: Callable[[Served], Awaitable[T]], *, reload_config: Callable[[], Effective] | None = None
) -> T:
    async def play() -> T:
        async with served(tmp_path, reload_config) as api:
            return await job(api)

    return run(play())


def a_document(version: int = 1, **changes: object) -> bytes:
    market = RotationMarket(
        coin="xyz:NVDA", ntl_max=Decimal(50), rank=1, score_bps=Decimal("1.5"), reason="positive lower bound"
    )
    fields: dict[str, Any] = {
        "version": version,
        "venue": "sim",
        "account": "paper",
        "as_of_day": "2026-09-21",
        "created_ts_ns": START_TS_NS,
        "expires_ts_ns": START_TS_NS + HOUR_NS,
        "code_version": "1",
        "config_hash": "",
        "markets": (market,),
        "excluded": (),
    }
    return encode_rotation(RotationDoc(**(fields | changes)))


# --- reading


def test_control_reading_needs_no_token_and_decodes_as_contract(tmp_path: Path) -> None:
    async def job(api: Served) -> StatusView:
        assert (await api.ask("GET", "/livez"))[0] == 200
        status, metrics = await api.ask("GET", "/metrics")
        assert (status, b"hip3_ws_connected 1.0" in metrics) == (200, True)
        return msgspec.json.decode((await api.ask("GET", "/v1/status"))[1], type=StatusView)

    view = with_api(tmp_path, job)
    assert view.is_connected
    assert [market.coin for market in view.markets] == ["xyz:NVDA", "xyz:GOLD"]
    assert view.markets[0].state == "waiting"
    assert view.markets[0].reason == "no_bbo_ack no_ctx_ack no_bbo no_ctx"


def test_control_readyz_says_why_not_and_then_ok(tmp_path: Path) -> None:
    async def job(api: Served) -> None:
        status, body = await api.ask("GET", "/readyz")
        assert (status, b"no market is ready" in body) == (503, True)
        for event in events_until_ready(0, coins=("xyz:NVDA",)):
            api.shell.runtime.apply(event)
        await api.shell.turn()
        assert (await api.ask("GET", "/readyz"))[0] == 200
        api.shell.clock.advance(60_000)
        status, body = await api.ask("GET", "/readyz")
        assert (status, b"no input for" in body) == (503, True)

    with_api(tmp_path, job)


def test_control_page_is_served_whole_from_here_alone(tmp_path: Path) -> None:
    async def job(api: Served) -> None:
        for path, content_type in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            async with api.http.get(api.url + path) as response:
                text = await response.text()
                assert response.status == 200
                assert response.content_type == content_type
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                assert "http://" not in text
                assert "https://" not in text
        assert (await api.ask("GET", "/page.html"))[0] == 404
        assert (await api.ask("GET", "/../pyproject.toml"))[0] == 404

    with_api(tmp_path, job)


def test_control_events_stream_begins_with_recent_decisions_and_goes_on(tmp_path: Path) -> None:
    async def job(api: Served) -> list[tuple[str, dict[str, object]]]:
        seen: list[tuple[str, dict[str, object]]] = []
        async with api.http.get(api.url + "/v1/events") as response:
            assert response.content_type == "text/event-stream"
            while not seen or seen[-1][0] != "LatchChanged":
                line = (await response.content.readline()).decode().strip()
                if line == "event: ConnectionChanged":
                    await api.verb("stop", reason="look", operator="me")
                if line.startswith("event: "):
                    data = (await response.content.readline()).decode().removeprefix("data: ")
                    seen.append((line.removeprefix("event: "), json.loads(data)))
        return seen

    seen = with_api(tmp_path, job)
    assert "ConnectionChanged" in dict(seen)
    assert seen[-1][1]["reason"] == "look"


def test_control_events_readers_are_bounded(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[int, bytes]:
        queues = [api.broadcast.join() for _ in range(CLIENTS_MAX)]
        refused = await api.ask("GET", "/v1/events")
        for queue in queues:
            api.broadcast.leave(queue)
        return refused

    status, body = with_api(tmp_path, job)
    assert status == 503
    assert b"readers" in body


def test_broadcast_reader_that_is_slow_is_cut_off_and_others_go_on(tmp_path: Path) -> None:
    async def job(api: Served) -> None:
        slow, fast = api.broadcast.join(), api.broadcast.join()
        [latch] = api.shell.outputs[:1]
        while not (slow.empty() and fast.empty()):
            slow.get_nowait(), fast.get_nowait()
        for _ in range(QUEUE_MAX):
            api.broadcast.publish([latch])
            fast.get_nowait()
        api.broadcast.publish([latch])
        assert fast.get_nowait() is not None
        assert [slow.get_nowait() for _ in range(QUEUE_MAX + 1)][-1] is None
        api.broadcast.publish([latch])
        assert slow.empty()
        assert api.shell.value("hip3_event_clients_dropped_total") == 1

    with_api(tmp_path, job)


# --- who may ask (F-105, F-113)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_control_foreign_host_is_misdirected(tmp_path: Path, host: str) -> None:
    async def job(api: Served) -> int:
        return (await api.ask("GET", "/v1/status", headers={"Host": host.format(port=api.port)}))[0]

    assert with_api(tmp_path, job) == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
def test_control_foreign_origin_is_forbidden_even_with_token(tmp_path: Path, origin: str) -> None:
    async def job(api: Served) -> tuple[int, int]:
        read = await api.ask("GET", "/v1/status", headers={"Origin": origin})
        headers = BEARER | {"Origin": origin}
        write = await api.ask("POST", "/v1/stop", headers=headers, json={"reason": "x", "operator": "x"})
        return read[0], write[0]

    assert with_api(tmp_path, job) == (403, 403)


def test_control_own_origin_is_fine(tmp_path: Path) -> None:
    async def job(api: Served) -> list[int]:
        origins = [api.url, f"http://localhost:{api.port}"]
        return [(await api.ask("GET", "/v1/status", headers={"Origin": origin}))[0] for origin in origins]

    assert with_api(tmp_path, job) == [200, 200]


VERBS = [
    ("PUT", "/v1/rotation"),
    *[("POST", f"/v1/{name}") for name in ("stop", "reset", "arm", "phase", "approve", "reload")],
]


@pytest.mark.parametrize(("method", "path"), VERBS)
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer " + "0" * 64, 403),
        (f"Bearer {TOKEN[:-1]}", 403),
        ("Bearer \u00e4", 403),
    ],
)
def test_control_verb_without_the_token_changes_nothing(
    tmp_path: Path, method: str, path: str, authorization: str | None, status: int
) -> None:
    async def job(api: Served) -> tuple[int, int]:
        seq = api.shell.runtime.state.seq
        headers = {} if authorization is None else {"Authorization": authorization}
        answered = await api.ask(method, path, headers=headers, json={"reason": "x", "operator": "x"})
        return answered[0], api.shell.runtime.state.seq - seq

    assert with_api(tmp_path, job) == (status, 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/rotation", 405),
        ("POST", "/v1/status", 405),
        ("GET", "/v1/stop", 405),
    ],
)
def test_control_unknown_route_or_method_is_refused(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def job(api: Served) -> tuple[int, Answer]:
        answered, raw = await api.ask(method, path, headers=BEARER)
        return answered, msgspec.json.decode(raw, type=Answer)

    answered, answer = with_api(tmp_path, job)
    assert (answered, answer.is_accepted) == (status, False)


# --- verbs


def test_control_stop_then_reset_then_arm_are_journaled_and_answered(tmp_path: Path) -> None:
    async def job(api: Served) -> Path:
        assert await api.verb("stop", reason="look", operator="me") == (200, Answer(is_accepted=True))
        status, answer = await api.verb("arm", is_armed=True, operator="me")
        assert status == 422
        assert "look" in answer.reasons[0]
        assert (await api.verb("reset", reason="looked", operator="me"))[0] == 200
        assert (await api.verb("phase", phase="paper", reason="try", operator="me"))[0] == 200
        assert (await api.verb("arm", is_armed=True, operator="me"))[0] == 200
        assert (await api.verb("phase", phase="rotate", reason="money", operator="me"))[0] == 422
        view = msgspec.json.decode((await api.ask("GET", "/v1/status"))[1], type=StatusView)
        assert (view.phase, view.is_armed, view.stop_reason) == ("paper", True, None)
        return api.shell.journal.folder

    kinds = [type(step.event).__name__ for step in steps(read_session(with_api(tmp_path, job)))]
    assert kinds[1:] == [
        "StopRequested", "ArmRequested", "ResetRequested", "PhaseRequested", "ArmRequested", "PhaseRequested"
    ]  # fmt: skip


def test_control_operator_approves_a_changed_spec_or_hears_why_not(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[int, Answer]:
        return await api.verb("approve", coin="xyz:ABSENT", operator="me")

    status, answer = with_api(tmp_path, job)
    assert status == 422
    assert answer.reasons


@pytest.mark.parametrize(
    ("verb", "body", "named"),
    [
        ("stop", {"reason": "x"}, "operator"),
        ("stop", {"reason": "", "operator": "me"}, "reason"),
        ("stop", {"reason": "x" * 301, "operator": "me"}, "reason"),
        ("stop", {"reason": "\x1b[31m", "operator": "me"}, "reason"),
        ("stop", {"reason": "x", "operator": "me", "extra": 1}, "extra"),
        ("reset", {"operator": "me"}, "reason"),
        ("arm", {"is_armed": "yes", "operator": "me"}, "is_armed"),
        ("phase", {"phase": "moon", "reason": "x", "operator": "me"}, "phase"),
    ],
)
def test_control_bad_body_is_refused_naming_the_field(
    tmp_path: Path, verb: str, body: dict[str, object], named: str
) -> None:
    async def job(api: Served) -> tuple[int, Answer, int]:
        seq = api.shell.runtime.state.seq
        status, answer = await api.verb(verb, **body)
        return status, answer, api.shell.runtime.state.seq - seq

    status, answer, seq_count = with_api(tmp_path, job)
    assert (status, seq_count) == (422, 0)
    assert named in " ".join(answer.reasons)


def test_control_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async def job(api: Served) -> int:
        return (await api.ask("PUT", "/v1/rotation", headers=BEARER, data=BytesIO(bytes(BODY_BYTES_MAX + 1))))[0]

    assert with_api(tmp_path, job) == 413


def half_sent(api: Served, body: bytes, *, claimed: int) -> bytes:
    head = (
        f"PUT /v1/rotation HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {claimed}\r\n\r\n"
    )
    return head.encode() + body


def test_control_token_of_bytes_that_are_no_text_is_another_token(tmp_path: Path) -> None:
    async def job(api: Served) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        head = f"POST /v1/arm HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Length: 0\r\n"
        writer.write(head.encode() + b"Authorization: Bearer \xff\xfe\r\n\r\n")
        answered = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answered

    assert b" 403 " in with_api(tmp_path, job)


def test_control_command_that_breaks_the_engine_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP server answers 500 to any exception; the supervisor has to hear of it (F-71)."""

    async def job(api: Served) -> tuple[int, BaseException]:
        monkeypatch.setattr(api.shell.runtime, "apply", broken)
        status, _ = await api.ask("POST", "/v1/stop", headers=BEARER, json={"reason": "x", "operator": "y"})
        return status, await asyncio.wait_for(api.faults.first(), 1)

    def broken(_event: object) -> None:
        raise InvariantViolation("I-25")

    status, fault = with_api(tmp_path, job)
    assert (status, type(fault)) == (500, InvariantViolation)


def test_control_half_sent_document_is_never_applied(tmp_path: Path) -> None:
    """The connection ends inside the body (F-90)."""

    async def job(api: Served) -> int:
        document = a_document()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(half_sent(api, document, claimed=len(document) + 10))
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        return (await api.put(document))[0]

    assert with_api(tmp_path, job) == 200, "it is still the first one"


def test_control_slow_document_times_out_and_is_never_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "READ_TIMEOUT_S", 0.05)

    async def job(api: Served) -> tuple[bytes, int]:
        document = a_document()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(half_sent(api, document[:-1], claimed=len(document)))
        head = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return head, api.shell.runtime.state.seq

    head, seq = with_api(tmp_path, job)
    assert b" 408 " in head
    assert seq == 1


# --- rotation (F-87 … F-91)


def test_control_rotation_first_is_applied_and_shown(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[RotationAnswer, RotationAnswer, StatusView]:
        status, answer = await api.put(a_document())
        assert status == 200
        shown = msgspec.json.decode((await api.ask("GET", "/v1/rotation"))[1], type=RotationAnswer)
        return answer, shown, msgspec.json.decode((await api.ask("GET", "/v1/status"))[1], type=StatusView)

    answer, shown, view = with_api(tmp_path, job)
    assert answer == shown
    assert (view.rotation_version, view.rotation_sha256) == (1, answer.sha256)
    assert {market.coin: market.is_allowed for market in view.markets} == {"xyz:NVDA": True, "xyz:GOLD": False}


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"'])
def test_control_rotation_replaces_the_one_it_names(tmp_path: Path, form: str) -> None:
    async def job(api: Served) -> list[int]:
        _, first = await api.put(a_document(1))
        codes = [(await api.ask("PUT", "/v1/rotation", headers=BEARER, data=a_document(2)))[0]]
        codes.append((await api.put(a_document(2), If_Match="0" * 64))[0])
        codes.append((await api.put(a_document(2), If_Match=form.format(first.sha256)))[0])
        codes.append((await api.put(a_document(3), If_Match=form.format(first.sha256)))[0])
        return codes

    assert with_api(tmp_path, job) == [428, 422, 200, 422]


def test_control_rotation_two_pushes_at_once_one_wins(tmp_path: Path) -> None:
    async def job(api: Served) -> list[int]:
        _, first = await api.put(a_document(1))
        excluded = RotationExclusion(coin="xyz:GOLD", reason="spread", is_blacklisted=True)
        pushes = (
            api.put(a_document(2), If_Match=first.sha256),
            api.put(a_document(2, excluded=(excluded,)), If_Match=first.sha256),
        )
        return sorted(status for status, _ in await asyncio.gather(*pushes))

    assert with_api(tmp_path, job) == [200, 422]


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"", "document"),
        (b"{", "document"),
        (b"\xff\xfe", "document"),
        (b"[" * 200_000, "document"),
        (b'{"format":1}', "missing required field"),
        (a_document().replace(b'"format":1', b'"format":1,"extra":1'), "extra"),
        (a_document(venue="mainnet"), "venue"),
        (a_document(account="0x" + "1" * 40), "account"),
        (a_document(expires_ts_ns=START_TS_NS - 1), "expire"),
        (a_document(markets=()), "market"),
        (a_document().replace(b"xyz:NVDA", b"xyz:NONE"), "xyz:NONE"),
        (a_document().replace(b'"ntl_max":"50"', b'"ntl_max":"5000"'), "ntl_max"),
        (a_document().replace(b'"format":1', b'"format":2'), "$.format"),
        (a_document().replace(b'"version":1', b'"version":0'), "$.version"),
        (a_document().replace(b'"version":1', b'"version":%d' % 2**70), "$.version"),
        (a_document(expires_ts_ns=2**63), "$.expires_ts_ns"),
        (a_document().replace(b'"ntl_max":"50"', b'"ntl_max":"NaN"'), "ntl_max: expected a finite number"),
        (a_document().replace(b'"ntl_max":"50"', b'"ntl_max":"1e400"'), "ntl_max: expected a finite number"),
        (a_document().replace(b'"ntl_max":"50"', b'"ntl_max":"1e-400"'), "ntl_max: expected a finite number"),
        (a_document(as_of_day="../../x"), "$.as_of_day"),
        (a_document().replace(b'"score_bps":"1.5"', b'"score_bps":"sNaN"'), "score_bps: expected a finite number"),
    ],
)
def test_control_rotation_bad_document_is_refused_with_reason_and_nothing_changes(
    tmp_path: Path, raw: bytes, named: str
) -> None:
    async def job(api: Served) -> tuple[int, RotationAnswer, StatusView]:
        status, answer = await api.put(raw)
        return status, answer, msgspec.json.decode((await api.ask("GET", "/v1/status"))[1], type=StatusView)

    status, answer, view = with_api(tmp_path, job)
    assert (status, answer.is_accepted, view.rotation_version) == (422, False, 0)
    assert named in " ".join(answer.reasons)


def test_control_rotation_all_reasons_at_once_and_journaled(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[RotationAnswer, list[Any], Path]:
        _, answer = await api.put(a_document(venue="mainnet", expires_ts_ns=1, markets=()))
        return answer, api.shell.of_type(RotationJudged), api.shell.journal.folder

    answer, [judged], folder = with_api(tmp_path, job)
    assert len(answer.reasons) >= 3
    assert judged.reasons == answer.reasons
    assert any(isinstance(step.event, RotationReceived) for step in steps(read_session(folder)))


def _setting(**settings: object) -> bytes:
    markets = [
        RotationMarket(coin=coin, ntl_max=Decimal(50), rank=rank, score_bps=Decimal(1), reason="", **more)  # type: ignore[arg-type]
        for rank, (coin, more) in enumerate({"xyz:GOLD": {}, "xyz:NVDA": settings}.items(), start=1)
    ]
    return a_document(2, markets=tuple(markets))


def test_control_rotation_tighter_settings_are_applied_and_a_wider_one_refuses_all_of_them(tmp_path: Path) -> None:
    async def job(api: Served) -> list[tuple[int, tuple[str, ...], Decimal, int]]:
        market, found = api.shell.runtime.state.markets["xyz:NVDA"], []
        first = (await api.put(a_document(1)))[1]
        own = market.threshold_bps
        for settings in (
            {"threshold_bps": own - 1, "hold_ms_max": 5_001},
            {"threshold_bps": own + 3, "hold_ms_max": 2_000},
        ):
            status, answer = await api.put(_setting(**settings), If_Match=first.sha256)
            held = api.shell.runtime.state.control.rotation
            found.append((status, answer.reasons, market.threshold_bps - own, 0 if held is None else held.version))
        return found

    (refused, reasons, unmoved, kept), (accepted, none, moved, taken) = with_api(tmp_path, job)
    assert (refused, unmoved, kept) == (422, 0, 1)
    assert [reason.split()[2] for reason in reasons] == ["threshold_bps", "hold_ms_max"]
    assert (accepted, none, moved, taken) == (200, (), 3, 2)


def test_control_rotation_expired_one_is_still_named_by_the_next(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[RotationAnswer, int]:
        _, first = await api.put(a_document(1))
        api.shell.clock.advance(2 * 3_600_000)
        api.shell.runtime._deadline_reached()
        await api.shell.turn()
        shown = msgspec.json.decode((await api.ask("GET", "/v1/rotation"))[1], type=RotationAnswer)
        later = a_document(2, expires_ts_ns=START_TS_NS + 9 * HOUR_NS)
        return shown, (await api.put(later, If_Match=first.sha256))[0]

    shown, status = with_api(tmp_path, job)
    assert (shown.version, shown.is_accepted) == (1, False)
    assert "expired" in shown.reasons[0]
    assert status == 200


# --- reload: limits may only tighten, I-32


def reloading(**changes: object) -> Callable[[], Effective]:
    config = msgspec.structs.replace(Config(), **changes)
    return lambda: Effective(config=config, file=None, sources={})


def limits_of(**gates: int) -> Limits:
    base = Config().limits
    return msgspec.structs.replace(base, gates=msgspec.structs.replace(base.gates, **gates))


def test_control_reload_tightens(tmp_path: Path) -> None:
    async def job(api: Served) -> tuple[int, int]:
        status, _ = await api.verb("reload")
        return status, api.shell.runtime.state.limits.gates.ctx_age_ms_max

    changed = reloading(limits=limits_of(ctx_age_ms_max=5_000))
    assert with_api(tmp_path, job, reload_config=changed) == (200, 5_000)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"limits": limits_of(ctx_age_ms_max=9_000)}, "ctx_age_ms_max"), ({"control_port": 1}, "control_port")],
)
def test_control_reload_that_widens_or_needs_a_restart_is_refused_whole(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    async def job(api: Served) -> tuple[int, Answer, Any]:
        status, answer = await api.verb("reload")
        return status, answer, api.shell.runtime.state.limits

    status, answer, limits = with_api(tmp_path, job, reload_config=reloading(**changes))
    assert status == 422
    assert named in " ".join(answer.reasons)
    assert limits == Config().limits
