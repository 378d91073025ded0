"""The sidecar as a process against the simulated venue: start, refusals, commands, signals, restarts."""

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from children import ENVIRONMENT, HIP3, Running, hip3, running

from streaming.contracts.control import StatusView
from streaming.contracts.paths import journal_folder
from streaming.shell.process.lock import InstanceLock
from streaming.shell.process.sockets import ports_of

UNLIMITED = Path(__file__).parents[1] / "fixtures" / "unlimited.toml"


@pytest.fixture(scope="module")
def venue() -> Iterator[str]:
    """A simulated venue; yields its port."""
    with running("venue", "--port", "0", "--scenario", str(UNLIMITED)) as child:
        yield str(child.said["port"])
        assert child.end() == 0


@pytest.fixture(scope="module")
def sidecar(venue: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A sidecar that several tests ask; yields it and its warehouse."""
    root = str(tmp_path_factory.mktemp("shared"))
    with running("run", "--sim-port", venue, "--warehouse", root, "--control-port", "0") as child:
        until_ready(child)
        yield child, root


def run_words(venue: str, root: Path, *more: str) -> tuple[str, ...]:
    return ("run", "--sim-port", venue, "--warehouse", str(root), "--control-port", "0", *more)


def until(condition: object, timeout_s: float = 20) -> None:
    """Poll a child from outside: there is nothing to wait on but its answers."""
    assert callable(condition)
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)


def status_of(child: Running) -> StatusView:
    return msgspec.json.decode(child.get("/v1/status"), type=StatusView)


def until_ready(child: Running) -> None:
    until(lambda: status_of(child).ready_count > 0)


# --- a healthy process


def test_process_markets_become_ready_and_status_is_shown_both_ways(sidecar: tuple[Running, str]) -> None:
    child, root = sidecar
    text = hip3("status", "--warehouse", root)
    assert text.returncode == 0, text.stderr
    assert child.said["session_id"] in text.stdout
    assert "xyz:NVDA" in text.stdout
    view = msgspec.json.decode(hip3("status", "--warehouse", root, "--json").stdout, type=StatusView)
    assert (view.venue, view.is_connected, view.phase) == ("sim", True, "observe")


def test_process_serves_page_metrics_and_probes(sidecar: tuple[Running, str]) -> None:
    child, _ = sidecar
    assert "hip3_ws_connected 1.0" in child.get("/metrics")
    assert child.get("/livez") == "ok\n"
    assert child.get("/readyz") == "ok\n"
    assert "<title>hip3</title>" in child.get("/")


def test_process_listens_on_loopback_only(sidecar: tuple[Running, str]) -> None:
    child, _ = sidecar
    entries = ports_of(child.process.pid)
    assert [(entry.is_loopback, entry.port) for entry in entries] == [(True, int(child.url.rpartition(":")[2]))]


def test_process_files_are_for_the_owner_alone(sidecar: tuple[Running, str]) -> None:
    _, root = sidecar
    folders = [Path(root, "control"), Path(root, "journal")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in files)


def test_process_second_instance_exits_5_naming_the_first(sidecar: tuple[Running, str], venue: str) -> None:
    child, root = sidecar
    second = hip3(*run_words(venue, Path(root)))
    assert second.returncode == 5
    assert f"pid {child.process.pid}" in second.stderr
    assert second.stdout == ""


def test_process_occupied_port_exits_6_naming_port_and_pid(venue: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = hip3("run", "--sim-port", venue, "--warehouse", str(tmp_path), "--control-port", port)
    assert done.returncode == 6
    assert port in done.stderr
    assert f"pid {os.getpid()}" in done.stderr


def test_process_commands_change_state_and_are_refused_with_reasons(sidecar: tuple[Running, str]) -> None:
    child, root = sidecar
    place = ("--warehouse", root)
    assert hip3("stop", *place, "--reason", "drill", "--operator", "ann").returncode == 0
    assert status_of(child).stop_reason == "drill"
    refused = hip3("arm", *place)
    assert refused.returncode == 1
    assert "drill" in refused.stderr
    answer = json.loads(hip3("reset", *place, "--reason", "drill over", "--json").stdout)
    assert answer == {"is_accepted": True, "reasons": []}
    assert hip3("phase", "approve", *place, "--to", "paper", "--reason", "look at it").returncode == 0
    assert hip3("arm", *place).returncode == 0
    assert (status_of(child).phase, status_of(child).is_armed) == ("paper", True)
    assert hip3("arm", "--off", *place).returncode == 0
    assert hip3("phase", "approve", *place, "--to", "steady", "--reason", "too early").returncode == 1
    assert not status_of(child).is_armed


def test_process_doctor_finds_nothing_wrong_and_the_sidecar(sidecar: tuple[Running, str], venue: str) -> None:
    child, root = sidecar
    done = hip3("doctor", "--warehouse", root, "--sim-port", venue, "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert str(child.process.pid) in found["sidecar"]["detail"]
    assert found["listening sockets"]["level"] == "ok"
    assert found["token"]["level"] == "ok"


def test_process_preflight_shows_values_with_sources_and_markets(venue: str, tmp_path: Path) -> None:
    (tmp_path / "hip3.toml").write_text("control_port = 18999\n")
    done = hip3("preflight", "--sim-port", venue, "--json", cwd=tmp_path)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["may_start"]) == (0, True)
    assert verdict["config"]["control_port"] == {"value": "18999", "source": "file hip3.toml"}
    assert verdict["config"]["sim_port"] == {"value": venue, "source": "flag"}
    assert verdict["subscription_count"] == 4 * len(verdict["specs"])
    assert not list(tmp_path.glob("warehouse")), "preflight writes nothing"


# --- refusals


def test_process_preflight_refuses_what_run_would_exit_with(venue: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.socket() as taken, InstanceLock(tmp_path, "sim", ""):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words, said in (
            (("--warehouse", str(tmp_path)), f"found pid {os.getpid()} holding the lock"),
            (("--warehouse", str(tmp_path / "other"), "--control-port", port), f"expected port {port}"),
            (("--warehouse", str(tmp_path / "file" / "w")), "expected a folder that can be written"),
        ):
            done = hip3("preflight", "--sim-port", venue, *words)
            assert (done.returncode, said in done.stdout) == (3, True), done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["control", "file"], "preflight writes nothing"


def test_process_without_venue_is_refused_saying_how_to_start_one(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        done = hip3(*run_words(port, tmp_path))
        assert done.returncode == 3
        assert "hip3 venue" in done.stderr
        checked = hip3("preflight", "--sim-port", port, "--warehouse", str(tmp_path))
        assert checked.returncode == 3
        assert "refused:" in checked.stdout


def test_process_unknown_dex_or_coin_is_refused_with_every_reason(venue: str, tmp_path: Path) -> None:
    done = hip3(*run_words(venue, tmp_path, "--set", "coins=xyz:NONE,xyz:NADA"))
    assert done.returncode == 3
    assert "NONE" in done.stderr
    assert "NADA" in done.stderr
    assert hip3(*run_words(venue, tmp_path, "--set", "dexes=nodex")).returncode == 3


def test_process_bad_configuration_exits_2_naming_the_key(venue: str, tmp_path: Path) -> None:
    done = hip3(*run_words(venue, tmp_path, "--set", "control_prt=1"))
    assert done.returncode == 2
    assert "control_prt" in done.stderr
    assert hip3(*run_words(venue, tmp_path, "--set", "nonsense")).returncode == 2


def test_process_warehouse_that_can_not_be_written_exits_4(venue: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = hip3(*run_words(venue, tmp_path / "file"))
    assert done.returncode == 4
    assert "--warehouse" in done.stderr


def test_process_optimised_python_is_refused(venue: str, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="without -O"),
        running(*run_words(venue, tmp_path), prefix=("env", "PYTHONOPTIMIZE=1")),
    ):
        pass


def test_process_that_is_down_is_a_clear_error_for_every_command(tmp_path: Path) -> None:
    for words in (("status",), ("stop", "--reason", "x"), ("reload",)):
        done = hip3(*words, "--warehouse", str(tmp_path))
        assert done.returncode in {1, 2}
        assert "hip3 run" in done.stderr
        assert "Traceback" not in done.stderr


def test_process_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    endpoint = {"pid": 1, "session_id": "s", "venue": "sim", "control_url": "http://127.0.0.1:9", "started_ts_ns": 0}
    (control / "sidecar.json").write_text(json.dumps(endpoint))
    (control / "token").write_text("ab" * 32)
    (control / "token").chmod(0o644)
    done = hip3("stop", "--reason", "x", "--warehouse", str(tmp_path))
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert "abab" not in done.stderr


def test_process_endpoint_that_points_elsewhere_gets_no_token(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    endpoint = {"pid": 1, "session_id": "s", "venue": "sim", "control_url": "http://evil.example", "started_ts_ns": 0}
    (control / "sidecar.json").write_text(json.dumps(endpoint))
    done = hip3("stop", "--reason", "x", "--warehouse", str(tmp_path))
    assert done.returncode == 1
    assert "loopback" in done.stderr


# --- ends and restarts


@pytest.mark.parametrize(("number", "transport"), [(signal.SIGTERM, "picows"), (signal.SIGINT, "websockets")])
def test_process_signal_ends_in_time_with_everything_sealed(
    venue: str, tmp_path: Path, transport: str, number: int
) -> None:
    with running(*run_words(venue, tmp_path, "--transport", transport)) as child:
        until_ready(child)
        began_s = time.monotonic()
        assert child.end(number) == 0
        assert time.monotonic() - began_s < 10
        log = child.log()
    folder = journal_folder(tmp_path, "sim", child.said["session_id"])
    assert {path.name.partition(".")[2] for path in folder.iterdir()} == {"jnl.zst"}
    assert list(tmp_path.glob("landing/bbo/venue=sim/day=*/*.parquet"))
    assert not (tmp_path / "control" / "sidecar.json").exists()
    assert [line["event"] for line in log if line["level"] in {"error", "critical"}] == []
    assert log[-1]["event"] == "session_ended"


def test_process_signal_while_the_venue_is_silent_ends_at_once(tmp_path: Path) -> None:
    """SIGTERM during the start (F-68): nothing to close, nothing to wait for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        words = [*HIP3, *run_words(port, tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as child:
            connection, _ = silent.accept()
            child.send_signal(signal.SIGTERM)
            out, _ = child.communicate(timeout=5)
            connection.close()
    assert (child.returncode, out) == (0, b"")
    assert not (tmp_path / "journal").exists()


def test_process_venue_that_dies_and_returns_is_ready_again(tmp_path: Path) -> None:
    """L-1: ready within 30 s after the fault heals, on a new generation; nothing else needs a hand."""
    with running("venue", "--port", "0") as first:
        port = str(first.said["port"])
        with running(*run_words(port, tmp_path)) as child:
            until_ready(child)
            first.end(signal.SIGKILL)
            until(lambda: status_of(child).ready_count == 0)
            assert not status_of(child).is_connected
            with running("venue", "--port", port):
                until(lambda: status_of(child).generation == 2 and status_of(child).ready_count > 0, 30)
                assert status_of(child).reconnect_count >= 1
                assert child.end() == 0
            events = [line["event"] for line in child.log()]
    assert events.count("connection_lost") == 1
    assert events.count("connect_failed") <= 1, "transitions, not tries"


def test_process_second_signal_shortens_the_end(venue: str, tmp_path: Path) -> None:
    with running(*run_words(venue, tmp_path)) as child:
        child.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        assert child.end() == 0
        assert time.monotonic() - began_s < 5


def test_process_stop_latch_survives_restart_and_sigkill(venue: str, tmp_path: Path) -> None:
    """Stopped means stopped until an operator resets (I-17)."""
    with running(*run_words(venue, tmp_path)) as child:
        assert hip3("stop", "--warehouse", str(tmp_path), "--reason", "first").returncode == 0
        child.end(signal.SIGKILL)
    with running(*run_words(venue, tmp_path)) as child:
        assert status_of(child).stop_reason == "first"
        child.end()
    with running(*run_words(venue, tmp_path)) as child:
        assert status_of(child).stop_reason == "first"
        assert hip3("reset", "--warehouse", str(tmp_path), "--reason", "looked").returncode == 0
        child.end()
    with running(*run_words(venue, tmp_path)) as child:
        assert status_of(child).stop_reason is None
        child.end()


def test_process_write_failure_ends_with_exit_4_and_says_so(venue: str, tmp_path: Path) -> None:
    """A file-size limit stands in for a disk that takes no more (F-58, F-60)."""
    with running(*run_words(venue, tmp_path)) as child:
        until_ready(child)
        resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        assert child.process.wait(15) == 4
        log = child.log()
    failed = next(line for line in log if line["event"] == "session_failed")
    assert "journal" in failed["error"]
    with running(*run_words(venue, tmp_path)) as child:
        assert status_of(child).stop_reason == "fault: StoreError", "the journal could not take the latch"
        child.end()


BUG = """
import sys
import streaming.shell.runtime as runtime
original = runtime.decide
def decide(state, event):
    if state.seq == 150:
        raise ZeroDivisionError("a bug of ours")
    return original(state, event)
runtime.decide = decide
from streaming.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_process_bug_ends_with_exit_70_and_the_latch_set(venue: str, tmp_path: Path) -> None:
    """An exception inside the engine must not pass as a log line, nor be forgotten at the next start (F-71)."""
    words = run_words(venue, tmp_path)
    with running(*words, program=(sys.executable, "-c", BUG)) as child:
        assert child.process.wait(20) == 70
        assert any(line["event"] == "session_failed" for line in child.log())
    with running(*words) as child:
        assert status_of(child).stop_reason == "fault: ZeroDivisionError"
        child.end()


def test_process_crash_loop_starts_disarmed(venue: str, tmp_path: Path) -> None:
    """Three starts in 10 minutes without a stable minute (F-72)."""
    for is_first in (True, False):
        with running(*run_words(venue, tmp_path)) as child:
            if is_first:
                assert hip3("arm", "--warehouse", str(tmp_path)).returncode == 0
            assert status_of(child).is_armed
            child.end(signal.SIGKILL)
    with running(*run_words(venue, tmp_path)) as child:
        until(lambda: not status_of(child).is_armed)
        child.end()


def test_process_projecting_child_that_dies_is_started_again(venue: str, tmp_path: Path) -> None:
    with running(*run_words(venue, tmp_path)) as child:
        until(lambda: children_of(child.process.pid))
        [first] = children_of(child.process.pid)
        os.kill(first, signal.SIGKILL)
        until(lambda: children_of(child.process.pid) not in ([], [first]))
        assert "hip3_projection_restarts_total 1.0" in child.get("/metrics")
        assert child.end() == 0


def test_process_projecting_child_ends_with_a_killed_parent(venue: str, tmp_path: Path) -> None:
    with running(*run_words(venue, tmp_path)) as child:
        until(lambda: children_of(child.process.pid))
        [projector] = children_of(child.process.pid)
        child.end(signal.SIGKILL)
        until(lambda: not Path("/proc", str(projector)).exists())


def test_process_reload_tightens_from_the_file(venue: str, tmp_path: Path) -> None:
    file = tmp_path / "hip3.toml"
    file.write_text("[limits.gates]\nctx_age_ms_max = 7000\n")
    words = ("--config", str(file), "--warehouse", str(tmp_path / "w"))
    with running("run", "--sim-port", venue, "--control-port", "0", *words) as child:
        before = status_of(child).config_hash
        file.write_text("[limits.gates]\nctx_age_ms_max = 6000\n")
        assert hip3("reload", *words).returncode == 0
        file.write_text("[limits.gates]\nctx_age_ms_max = 6500\n")
        refused = hip3("reload", *words)
        assert refused.returncode == 1
        assert "ctx_age_ms_max" in refused.stderr
        assert status_of(child).config_hash != before
        child.end()


def children_of(pid: int) -> list[int]:
    text = Path("/proc", str(pid), "task", str(pid), "children").read_text()
    return [int(word) for word in text.split()]
