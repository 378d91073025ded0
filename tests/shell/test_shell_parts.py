"""The small parts of the shell: sockets, token, notes between sessions, the child, texts, the doctor."""

import asyncio
import os
import socket
import stat
import sys
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from core_builders import WARM_MS as T
from core_builders import a_ctx, a_warm_engine, feed, limits_with
from loopback_feed import run
from shell_parts import FakeClock

from streaming.contracts.control import Endpoint
from streaming.core.errors import ConfigError, PreflightRefused, StoreError
from streaming.core.limits import Limits
from streaming.core.registry import RegistryPlan
from streaming.shell.alarm import Alarm
from streaming.shell.clock import SystemClock
from streaming.shell.config.doctor import findings, findings_text
from streaming.shell.config.preflight import Verdict, preflight_text
from streaming.shell.config.schema import Config
from streaming.shell.control.credential import load_or_create_token, read_token, token_path
from streaming.shell.control.status import status_view
from streaming.shell.control.status_text import status_text, table
from streaming.shell.process import start
from streaming.shell.process.assemble import new_session_id, subscriptions
from streaming.shell.process.child import Child, backlog
from streaming.shell.process.crashloop import CrashLoop
from streaming.shell.process.fault_note import FaultNote
from streaming.shell.process.faults import Faults
from streaming.shell.process.sockets import PortOccupied, bind_loopback, listening, pid_listening_on, ports_of
from streaming.shell.process.version import code_version
from streaming.shell.telemetry.meter import Telemetry
from streaming.shell.telemetry.metrics import Metrics

S = 10**9


# clock and alarm


def test_clock_ages_count_suspend_and_records_are_wall_time() -> None:
    clock = SystemClock()
    assert abs(clock.mono_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < S
    assert abs(clock.ts_ns() - time.time_ns()) < S
    assert clock.mono_ns() <= clock.mono_ns()


def test_alarm_rings_once_at_the_earliest_deadline() -> None:
    rung: list[int] = []

    async def play() -> None:
        clock = SystemClock()
        done = asyncio.Event()

        def ring() -> None:
            rung.append(clock.mono_ns())
            done.set()

        alarm = Alarm(clock, ring)
        began_ns = clock.mono_ns()
        alarm.set(began_ns + 60 * S)
        alarm.set(began_ns + 5_000_000)
        await done.wait()
        assert rung[0] >= began_ns + 5_000_000
        alarm.set(None)
        alarm.cancel_timer()

    run(play())
    assert len(rung) == 1


def test_alarm_deadline_that_moved_back_rings_at_the_later_time() -> None:
    async def play() -> list[int]:
        clock, rung = FakeClock(), []
        alarm = Alarm(clock, lambda: rung.append(clock.mono_ns()))
        alarm.set(clock.mono_ns() + S)
        alarm.set(clock.mono_ns() + 2 * S)
        clock.advance(1_000)
        alarm._elapsed()
        assert rung == []
        clock.advance(1_000)
        alarm._elapsed()
        alarm.cancel_timer()
        return rung

    assert len(run(play())) == 1


def test_faults_first_one_wins() -> None:
    def explode() -> None:
        raise KeyError("first")

    async def play() -> BaseException:
        faults = Faults()
        faults.call(explode)
        faults.report(ValueError("second"))
        return await faults.first()

    assert isinstance(run(play()), KeyError)


# sockets and token


def test_sockets_bound_port_is_seen_with_its_holder_and_loopback_only() -> None:
    with bind_loopback(0, key="control_port") as bound:
        port = bound.getsockname()[1]
        assert pid_listening_on(port) == os.getpid()
        assert [entry.is_loopback for entry in ports_of(os.getpid()) if entry.port == port] == [True]
        with pytest.raises(PortOccupied, match=rf"{port}.*pid {os.getpid()}.*control_port"):
            bind_loopback(port, key="control_port")


def test_sockets_listening_elsewhere_is_not_loopback() -> None:
    everywhere = ("", 0)
    with (
        socket.create_server(everywhere) as open_to_all,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as local,
    ):
        found = {entry.port: entry for entry in listening()}
        assert not found[open_to_all.getsockname()[1]].is_loopback
        assert found[local.getsockname()[1]].address == "::1"


def test_token_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    token = load_or_create_token(tmp_path)
    assert load_or_create_token(tmp_path) == read_token(tmp_path) == token
    assert len(token) == 64
    assert stat.S_IMODE(token_path(tmp_path).stat().st_mode) == 0o600


def spoil_mode(path: Path) -> None:
    path.chmod(0o640)


def spoil_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def spoil_content(path: Path) -> None:
    path.write_text("short")


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_link, spoil_content, Path.unlink])
def test_token_that_is_unsafe_is_not_read(tmp_path: Path, spoil: object) -> None:
    token = load_or_create_token(tmp_path)
    assert callable(spoil)
    spoil(token_path(tmp_path))
    with pytest.raises(ConfigError) as caught:
        read_token(tmp_path)
    assert token not in str(caught.value)


def test_token_folder_that_can_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("")
    with pytest.raises(StoreError):
        load_or_create_token(tmp_path)


# notes between sessions


def test_crash_loop_third_unstable_start_within_the_window_is_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    loop = CrashLoop(tmp_path, "sim-observe")
    assert [loop.started(at_s * S) for at_s in (1_000, 1_100, 1_200, 1_900)] == [False, False, True, False]


def test_crash_loop_orderly_end_is_forgotten_and_damage_is_survived(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    loop = CrashLoop(tmp_path, "sim-observe")
    loop.started(S)
    loop.started(2 * S)
    loop.forget()
    assert not loop.started(3 * S)
    (tmp_path / "control" / "sim-observe.starts").write_text("not numbers -5 99999999999999999999999")
    assert not loop.started(4 * S)


def test_fault_note_is_kept_overwritten_in_place_and_cleared(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    note = FaultNote(tmp_path, "sim-observe")
    path = tmp_path / "control" / "sim-observe.fault"
    size = path.stat().st_size
    assert note.reason() == ""
    assert note.write("fault: " + "ä" * 600)
    assert path.stat().st_size == size
    assert FaultNote(tmp_path, "sim-observe").reason().startswith("fault: ä")
    note.clear()
    assert FaultNote(tmp_path, "sim-observe").reason() == ""


# child

WAITS = "import signal,sys,time\nsignal.signal(15, lambda *_: sys.exit(0))\nprint('up', flush=True)\ntime.sleep(60)"
STUBBORN = "import signal,time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)"


def stopped(command: str, last_pass: str, timeout_s: float) -> bool:
    async def play() -> bool:
        child = Child(["-c", command], Metrics(), last_pass=["-c", last_pass])
        task = asyncio.create_task(child.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await child.stop(timeout_s)

    return run(play())


def test_child_that_can_not_listen_yet_is_followed_by_a_last_pass(tmp_path: Path) -> None:
    done = tmp_path / "done"
    assert stopped(WAITS, f"open({str(done)!r}, 'w')", 10)
    assert done.exists()


def test_child_last_pass_that_fails_is_told() -> None:
    assert not stopped("raise SystemExit(1)", "raise SystemExit(4)", 10)


def test_child_that_does_not_end_is_killed_in_time() -> None:
    began_s = time.monotonic()
    assert not stopped(STUBBORN, STUBBORN, 0.3)
    assert time.monotonic() - began_s < 5


def test_child_backlog_counts_closed_segments_and_their_age(tmp_path: Path) -> None:
    assert backlog(tmp_path, 100.0) == (0, 0.0)
    for name, at_s in (("000001.jnl.zst", 1), ("000002.jnl", 40), ("000003.jnl", 90), ("000004.open", 95)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (at_s, at_s))
    assert backlog(tmp_path, 100.0) == (2, 60.0)


# texts


def a_view_text(*, is_latched: bool = False) -> str:
    state = a_warm_engine(limits=limits_with(gates={"disabled_gates": {"oi_cap": "observed only"}}))
    feed(state, a_ctx(T, oracle_px="100.20"))
    if is_latched:
        from streaming.core.state import Latch

        state.control.latch = Latch(reason="drill", operator="me", ts_ns=0)
    telemetry = Telemetry(Metrics(), state.markets)
    mono_ns = state.mono_ns
    view = status_view(
        state, telemetry, version="1", config_hash="c", now_mono_ns=mono_ns, started_mono_ns=mono_ns - 90 * S
    )
    return status_text(view)


def test_status_text_says_what_matters_first() -> None:
    text = a_view_text()
    assert "1 of 1 ready" in text
    assert "up 0:01:30" in text
    assert "oi_cap: observed only" in text, "a disabled gate is carried in every report"
    assert "xyz:NVDA" in text
    assert "SET: drill" in a_view_text(is_latched=True)


def test_table_columns_are_aligned_and_rows_end_clean() -> None:
    assert table(("a", "bb"), [("ccc", "d"), ("e", "")]) == "a    bb\nccc  d\ne\n"


def test_preflight_text_names_every_refusal() -> None:
    text = preflight_text([("venue", "sim", "default")], "c0", Verdict(refusals=("first", "second"), warnings=("odd",)))
    assert text.endswith("warning: odd\n\nrefused: first\nrefused: second\n")


def test_announcer_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = Endpoint(pid=1, session_id="s", venue="sim", control_url="http://127.0.0.1:1", started_ts_ns=0)
    plan = RegistryPlan(specs=(), delisted=(), refusals=(), warnings=())
    for is_json in (False, True):
        start.announcer(is_json=is_json)(endpoint, plan)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("http://127.0.0.1:1" in line for line in lines)


def test_harden_refuses_optimised_python(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flags:
        optimize = 1

    monkeypatch.setattr(sys, "flags", Flags())
    with pytest.raises(PreflightRefused, match="-O"):
        start.harden()


# assembling


def test_session_ids_sort_by_start_and_are_valid_names() -> None:
    from streaming.contracts.paths import checked_name

    ids = [new_session_id(at_s * S) for at_s in (1_790_000_000, 1_790_000_001, 1_890_000_000)]
    assert ids == sorted(ids)
    assert [checked_name(name) for name in ids] == ids


def test_code_version_names_release_and_content() -> None:
    assert code_version() == code_version()
    assert "+" in code_version()


def test_subscriptions_gates_first_then_the_rest_then_the_account() -> None:
    specs = tuple(a_warm_engine().markets[coin].spec for coin in ("xyz:NVDA",))
    account = "0x" + "1" * 40
    plan = subscriptions(Config(account=account), specs)
    assert [(item.channel, item.fast) for item in plan] == [
        ("bbo", False),
        ("activeAssetCtx", False),
        ("l2Book", True),
        ("trades", False),
        ("orderUpdates", False),
        ("userFills", False),
        ("userFundings", False),
        ("userNonFundingLedgerUpdates", False),
    ]
    assert {item.user for item in plan[4:]} == {account}
    assert len(subscriptions(Config(), specs)) == 4


# doctor


def levels(config: Config) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings(config)}


def test_doctor_fresh_machine_has_no_failure(tmp_path: Path) -> None:
    found = findings(Config(warehouse=str(tmp_path / "new"), control_port=0, sim_port=1))
    assert [finding for finding in found if finding.level == "fail"] == []
    assert findings_text(found).endswith("0 failed, 3 warnings\n")


def test_doctor_finds_occupied_port_unsafe_token_and_backlog(tmp_path: Path) -> None:
    load_or_create_token(tmp_path)
    token_path(tmp_path).chmod(0o644)
    folder = tmp_path / "journal" / "venue=sim" / "s1"
    folder.mkdir(parents=True)
    for number in range(11):
        (folder / f"{number:06d}.jnl").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        found = levels(Config(warehouse=str(tmp_path), control_port=port, sim_port=port))
    assert found["control port"] == "fail"
    assert found.pop("token") == "fail"
    assert found["projection"] == "warn"
    assert found["simulated venue"] == "ok"


def test_doctor_says_when_hours_are_traded_that_no_evidence_counts() -> None:
    every_hour = msgspec.structs.replace(Limits().losses, is_closed_session_traded=True)
    config = Config(limits=msgspec.structs.replace(Limits(), losses=every_hour))
    assert levels(config)["hours"] == "warn"
    assert levels(Config())["hours"] == "ok"


def test_doctor_finds_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10**6

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage())
    assert levels(Config(warehouse=str(tmp_path)))["disk"] == "fail"


def test_doctor_finds_the_other_distribution_named_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.0")
    assert levels(Config())["streaming"] == "fail"


def test_doctor_decimal_context_is_the_projects() -> None:
    assert levels(Config())["decimal"] == "ok"
    with pytest.raises(Exception, match="FloatOperation"):
        Decimal(float("0.5"))
