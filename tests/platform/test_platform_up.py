"""What `hip3 up` starts, it ends: also a child that ignores SIGTERM and a grandchild that left the group."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ports import free_ports

from hip3_platform.cli.children import Children
from hip3_platform.cli.findings import history_window
from hip3_platform.cli.loop import Loop, Plan, StageFailed, prepare_dagster_home
from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import day_begin_ns, manifest_path
from streaming.contracts.rotation import RotationDoc

ROOT = Path(__file__).resolve().parent.parent.parent
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


def _wait_for(condition, patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        os.sched_yield()


def test_children_end_all_leaves_no_process_even_stubborn_or_escaped(tmp_path: Path) -> None:
    children = Children(tmp_path, mark=f"test-{os.getpid()}")
    child = children.start("stubborn", [sys.executable, "-c", STUBBORN], env=dict(os.environ), cwd=tmp_path)
    _wait_for(lambda: "ready" in child.last_lines())
    assert len(children.descendants()) == 2
    assert children.end_all(patience_s=0.3) == []
    assert children.descendants() == []


def test_children_dead_names_a_service_that_ended_but_no_task(tmp_path: Path) -> None:
    children = Children(tmp_path, mark=f"dead-{os.getpid()}")
    task = children.start("task", [sys.executable, "-c", ""], env=dict(os.environ), cwd=tmp_path, is_task=True)
    task.process.wait()
    assert children.dead() is None
    service = children.start("service", [sys.executable, "-c", "print('why')"], env=dict(os.environ), cwd=tmp_path)
    service.process.wait()
    assert children.dead() is service
    assert service.last_lines() == "why"


def test_up_occupied_port_names_port_and_flag(tmp_path: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "streaming.cli", "up", "--venue-port", str(port), "--warehouse", str(tmp_path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 6
    assert f"port {port} is occupied" in done.stderr
    assert "--venue-port" in done.stderr


def test_up_outside_a_checkout_says_what_it_expected(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", "up", "--once", "--root", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "workspace.yaml" in done.stderr


@pytest.mark.parametrize("days", ["0", "-1"])
def test_up_days_below_one_is_refused(days: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", "up", "--once", "--days", days],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--days" in done.stderr


def _a_live_line(day: str) -> ManifestLine:
    return ManifestLine(
        table="bbo", table_version=1, venue="sim", day=day, session_id="live", part=1, path="p", row_count=1,
        byte_count=1, sha256="00", seq_min=1, seq_max=1, ts_ns_min=1, ts_ns_max=1, coins=("xyz:A",),
    )  # fmt: skip


def test_history_window_avoids_days_with_live_rows_and_days_not_closed(tmp_path: Path) -> None:
    nine = day_begin_ns("2026-11-23") + 9 * 60 * 10**9
    ten = day_begin_ns("2026-11-23") + 10 * 60 * 10**9
    assert history_window(tmp_path, "sim", 2, now_ts_ns=nine) == ("2026-11-20", "2026-11-21")
    assert history_window(tmp_path, "sim", 2, now_ts_ns=ten) == ("2026-11-21", "2026-11-22")
    path = manifest_path(tmp_path, "sim", "live")
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_line(_a_live_line("2026-11-21")))
    assert history_window(tmp_path, "sim", 2, now_ts_ns=ten) == ("2026-11-19", "2026-11-20")
    assert history_window(tmp_path, "sim", 1, now_ts_ns=ten) == ("2026-11-22", "2026-11-22")


def test_dagster_memory_is_put_aside_only_for_a_new_warehouse(tmp_path: Path) -> None:
    home, warehouse = tmp_path / "home", tmp_path / "warehouse"
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "nothing to remember at first"
    (home / "history").mkdir()
    (warehouse / "manifest").mkdir(parents=True)
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "the warehouse that the memory is about is there"
    assert (home / "history").is_dir()
    (warehouse / "manifest").rmdir()
    aside = prepare_dagster_home(ROOT, home, warehouse)
    assert aside is not None
    assert (aside / "history").is_dir()
    assert sorted(entry.name for entry in home.iterdir()) == sorted([aside.name, "dagster.yaml"])
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "what is aside stays aside"


def test_up_unwritable_warehouse_names_the_folder_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ports = [str(port) for port in free_ports(3)]
    words = ["--venue-port", ports[0], "--control-port", ports[1], "--dagster-port", ports[2]]
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", "up", "--once", "--warehouse", str(tmp_path / "file" / "x"), *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "file" / "x") in done.stderr
    assert "starting" not in done.stderr


class _Dagster:
    """What Dagster, the sidecar and the warehouse say, poll by poll."""

    def __init__(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.runs: list[str] | None = []
        self.doc: RotationDoc | None = None
        self.is_held = False
        monkeypatch.setattr(loop, "_runs", lambda: self.runs)
        monkeypatch.setattr(loop, "_sidecar_holds", lambda _sha: self.is_held)
        monkeypatch.setattr("hip3_platform.cli.loop.newest_rotation", lambda *_: self.doc and (self.doc, "sha"))
        monkeypatch.setattr("hip3_platform.cli.loop.Findings.of", lambda _warehouse, doc, _sha: doc)
        monkeypatch.setattr("hip3_platform.cli.loop.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr("hip3_platform.cli.loop.time.sleep", self._passes)

    def _passes(self, seconds: float) -> None:
        self.now_s += seconds


def _a_doc(day: str) -> RotationDoc:
    return RotationDoc(
        version=int(day.replace("-", "")) * 100, venue="sim", account="paper", as_of_day=day, created_ts_ns=1,
        expires_ts_ns=2, code_version="0", config_hash="", markets=(), excluded=(),
    )  # fmt: skip


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop(Plan(tmp_path, tmp_path, tmp_path, 2, 7, 1, 2, 3, 900.0, is_once=True, is_json=False))


@pytest.mark.parametrize(
    ("runs", "day"),
    [(None, "2026-11-22"), (["2026-11-22 STARTED"], "2026-11-22"), ([], "2026-11-21")],
    ids=["dagster silent", "run under way", "only the first day judged"],
)
def test_up_does_not_end_before_the_last_day_is_judged(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: list[str] | None, day: str
) -> None:
    dagster = _Dagster(loop, monkeypatch)
    dagster.runs, dagster.doc, dagster.is_held = runs, _a_doc(day), True
    with pytest.raises(StageFailed, match="no rotation was accepted within 900 s"):
        loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22")


def test_up_ends_when_the_sidecar_holds_the_document_of_the_last_day(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dagster = _Dagster(loop, monkeypatch)
    dagster.runs, dagster.doc, dagster.is_held = ["2026-11-22 SUCCESS"], _a_doc("2026-11-22"), True
    assert loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22") is dagster.doc


def test_up_refused_rotation_fails_soon_and_says_where_the_reasons_are(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dagster = _Dagster(loop, monkeypatch)
    dagster.runs, dagster.doc = ["2026-11-22 SUCCESS"], _a_doc("2026-11-22")
    with pytest.raises(StageFailed, match="sidecar/rotation"):
        loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22")
    assert dagster.now_s < 120


def test_up_failed_run_ends_the_wait_and_names_it(loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _Dagster(loop, monkeypatch).runs = ["2026-11-21 FAILURE"]
    with pytest.raises(StageFailed, match="2026-11-21 FAILURE"):
        loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22")
