"""What `hip3 up` starts, it ends: also a child that ignores SIGTERM and a grandchild that left the group."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ports import free_ports

from hip3_platform.cli.account import config_text, sim_account
from hip3_platform.cli.children import Children
from hip3_platform.cli.dagster_dev import prepare_dagster_home
from hip3_platform.cli.findings import history_window
from hip3_platform.cli.loop import Loop
from hip3_platform.cli.plan import Plan, StageFailed
from hip3_platform.cli.trading import await_trades, live_counts, resume_trading
from streaming.contracts.control import StatusView
from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import day_begin_ns, manifest_path
from streaming.contracts.rotation import RotationDoc
from streaming.core.errors import StoreError
from streaming.core.limits import Limits
from streaming.shell.config.load import load_config
from streaming.sim.history.day import Day

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


@pytest.mark.parametrize(
    ("flag", "value"), [("--days", "0"), ("--days", "-1"), ("--trades", "-1"), ("--trades", "1501")]
)
def test_up_number_that_makes_no_sense_is_refused(flag: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", "up", "--once", flag, value],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert flag in done.stderr


def _a_line(day: str, session_id: str = "live") -> ManifestLine:
    return ManifestLine(
        table="bbo", table_version=1, venue="sim", day=day, session_id=session_id, part=1, path="p", row_count=1,
        byte_count=1, sha256="00", seq_min=1, seq_max=1, ts_ns_min=1, ts_ns_max=1, coins=("xyz:A",),
    )  # fmt: skip


NINE, TEN = (day_begin_ns("2026-11-23") + minute * 60 * 10**9 for minute in (9, 10))


def _landed(root: Path, day: str, session_id: str) -> None:
    path = manifest_path(root, "sim", session_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_line(_a_line(day, session_id)))


def test_history_window_is_the_newest_closed_days(tmp_path: Path) -> None:
    early, window = (history_window(tmp_path, "sim", 3, now_ts_ns=now) for now in (NINE, TEN))
    assert (early.first, early.last) == ("2026-11-19", "2026-11-21"), "yesterday is not closed before 00:10"
    assert (window.first, window.last) == ("2026-11-20", "2026-11-22")
    assert window.histories == (("2026-11-20", "2026-11-21", ("--columns",)), ("2026-11-22", "2026-11-22", ()))


@pytest.mark.parametrize(
    ("kinds", "histories"),
    [
        ("...L", ["19 20 columns", "21 21 engine"]),
        (".L..", ["19 19 columns", "21 21 columns", "22 22 engine"]),
        (".LL.", ["19 19 columns", "22 22 engine"]),
        ("LLLL", []),
        ("CCCE", ["19 21 columns", "22 22 engine"]),
        ("CCE.", ["19 20 columns", "21 22 engine"]),
        ("CEL.", ["19 19 columns", "20 20 engine", "22 22 engine"]),
        ("...C", ["19 22 columns"]),
    ],
)
def test_history_is_written_once_and_around_days_in_which_a_sidecar_observed(
    tmp_path: Path, kinds: str, histories: list[str]
) -> None:
    for day, kind in zip(range(19, 23), kinds, strict=True):
        history = Day(root="", day=f"2026-11-{day}", seed=7, scenario="demo", is_columnar=kind == "C")
        if kind != ".":
            _landed(tmp_path, history.day, f"live-{day}" if kind == "L" else history.session_id)
    window = history_window(tmp_path, "sim", 4, now_ts_ns=TEN)
    assert (window.first, window.last) == ("2026-11-19", "2026-11-22")
    told = [f"{first[-2:]} {last[-2:]} {'columns' if flags else 'engine'}" for first, last, flags in window.histories]
    assert told == histories


def test_day_with_both_kinds_of_history_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for day, kinds in (("2026-11-20", (True, False)), ("2026-11-21", (True,)), ("2026-11-22", (False,))):
        for is_columnar in kinds:
            history = Day(root="", day=day, seed=7, scenario="demo", is_columnar=is_columnar)
            _landed(tmp_path, day, history.session_id)
    with pytest.raises(StoreError, match=r"both on 2026-11-20: .*every folder venue=sim .*--warehouse") as error:
        history_window(tmp_path, "sim", 2, now_ts_ns=TEN)
    assert str(tmp_path) in str(error.value)
    assert "2026-11-22" not in str(error.value)


def test_dagster_memory_is_put_aside_only_for_a_new_warehouse(tmp_path: Path) -> None:
    home, warehouse = tmp_path / "home", tmp_path / "warehouse"
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "nothing to remember at first"
    (home / "history").mkdir()
    (warehouse / "manifest" / "venue=sim").mkdir(parents=True)
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "the warehouse that the memory is about is there"
    assert (home / "history").is_dir()
    (warehouse / "manifest" / "venue=sim").rmdir()
    aside = prepare_dagster_home(ROOT, home, warehouse)
    assert aside is not None
    assert (aside / "history").is_dir()
    assert sorted(entry.name for entry in home.iterdir()) == sorted([aside.name, "dagster.yaml"])
    assert prepare_dagster_home(ROOT, home, warehouse) is None, "what is aside stays aside"


def test_dagster_home_of_another_venue_is_never_put_aside(tmp_path: Path) -> None:
    home, warehouse = tmp_path / "home", tmp_path / "warehouse"
    prepare_dagster_home(ROOT, home, warehouse)
    prepare_dagster_home(ROOT, home / "mainnet", warehouse)
    (home / "history").mkdir()
    aside = prepare_dagster_home(ROOT, home, warehouse)
    assert aside is not None
    assert [entry.name for entry in aside.iterdir()] == ["history"]
    assert (home / "mainnet" / "dagster.yaml").is_file()


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


def _a_plan(folder: Path) -> Plan:
    return Plan(
        root=folder, warehouse=folder, dagster_home=folder, days=2, seed=7, scenario="drill", trade_count=100,
        venue_port=1, control_port=2, dagster_port=3, timeout_s=900.0, is_once=True, is_json=False,
    )  # fmt: skip


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop(_a_plan(tmp_path), account="paper")


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


def test_up_does_not_wait_for_todays_figures(loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dagster = _Dagster(loop, monkeypatch)
    dagster.runs, dagster.doc, dagster.is_held = (
        ["2026-11-22 SUCCESS", "2026-11-23 STARTED"],
        _a_doc("2026-11-22"),
        True,
    )
    assert loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22") is dagster.doc


def test_up_waits_for_a_rotation_of_its_own_account(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dagster = _Dagster(loop, monkeypatch)
    dagster.runs, dagster.doc, dagster.is_held = ["2026-11-22 SUCCESS"], _a_doc("2026-11-22"), True
    loop.account = "0xabc"
    with pytest.raises(StageFailed, match="no rotation was accepted"):
        loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22")


def test_up_failed_run_ends_the_wait_and_names_it(loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _Dagster(loop, monkeypatch).runs = ["2026-11-21 FAILURE"]
    with pytest.raises(StageFailed, match="2026-11-21 FAILURE"):
        loop._await_rotation(Children(tmp_path, mark="m"), "2026-11-22")


# --- the account


def _keys(name: str, words: Sequence[str]) -> bytes:
    """Stand in for `hip3 keys`: writes what it is asked to and remembers nothing."""
    if name.startswith("keys-"):
        Path(words[words.index("--key-file") + 1]).write_text("secret")
        return json.dumps({"address": f"0x{name.upper():>040}"}).encode()
    assert Path(words[words.index("--master-key-file") + 1]).read_text() == "secret"
    return b""


def test_account_keeps_the_masters_key_for_the_approval_only_and_the_agents_for_the_run(tmp_path: Path) -> None:
    with sim_account(_a_plan(tmp_path), _keys) as made:
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert sorted(left) == ["agent.key", "hip3.toml"]
        assert made.config_file.parent.stat().st_mode & 0o777 == 0o700
        assert made.address == made.address.lower()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing outlives the venue that knew them"


def test_account_configuration_is_valid_and_trades_while_the_underlying_is_closed(tmp_path: Path) -> None:
    plan = dataclasses.replace(_a_plan(tmp_path), warehouse=tmp_path / 'a "b" \\ c')
    file = tmp_path / "hip3.toml"
    file.write_text(config_text(plan, "0x" + "ab" * 20, tmp_path / "agent.key"))
    config = load_config(file, environ={}).config
    assert (config.venue, config.sim_port, config.control_port) == ("sim", 1, 2)
    assert (config.account, config.agent_key_file) == ("0x" + "ab" * 20, str(tmp_path / "agent.key"))
    assert config.root == plan.warehouse
    assert config.limits == msgspec.structs.replace(
        Limits(), losses=msgspec.structs.replace(Limits().losses, is_closed_session_traded=True)
    ), "all other limits are the defaults"


def test_environment_of_children_hides_the_users_own_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HIP3_AGENT_KEY_FILE", "HIP3_CONFIG", "HIP3_BLACKLIST"):
        monkeypatch.setenv(name, "mine")
    found = _a_plan(tmp_path).environment("0xabc")
    assert {name: text for name, text in found.items() if name.startswith("HIP3_")} == {
        "HIP3_BLACKLIST": "mine", "HIP3_WAREHOUSE": str(tmp_path), "HIP3_VENUE": "sim", "HIP3_ACCOUNT": "0xabc",
    }  # fmt: skip


# --- trades


def test_trades_are_fills_of_real_orders_not_of_paper() -> None:
    text = """# TYPE hip3_fills_total counter
hip3_fills_total{coin="xyz:A",mode="paper",side="buy"} 7.0
hip3_fills_total{coin="xyz:A",mode="live",side="buy"} 2.0
hip3_fills_total{coin="xyz:B",mode="live",side="sell"} 3.0
hip3_fills_created{coin="xyz:B",mode="live",side="sell"} 1.7e+09
hip3_round_trips_total{coin="xyz:A",exit_reason="time_stop"} 2.0
"""
    assert live_counts(text) == {"fills": 5, "round_trips": 2}
    assert live_counts("") == {"fills": 0, "round_trips": 0}


class _Sidecar:
    """Answers /v1/status and /metrics; each look a second later and so many fills further."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fills_per_look: int, stop_reason: str | None = None) -> None:
        self.now_s, self.fills, self.step, self.stop_reason, self.is_armed = 0.0, 0, fills_per_look, stop_reason, True
        self.later: dict[float, dict[str, Any]] = {}
        """Second → what an operator changes then."""
        monkeypatch.setattr("hip3_platform.cli.trading._get", self._get)
        monkeypatch.setattr("hip3_platform.cli.trading.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr("hip3_platform.cli.trading.time.sleep", self._passes)

    def _passes(self, seconds: float) -> None:
        self.now_s += seconds
        if self.stop_reason is None and self.is_armed:
            self.fills += self.step
        for due_s, change in self.later.items():
            if self.now_s - seconds < due_s <= self.now_s:
                vars(self).update(change)

    def _get(self, _plan: Plan, path: str) -> bytes:
        if path == "/metrics":
            return f'hip3_fills_total{{mode="live"}} {self.fills}.0'.encode()
        return msgspec.json.encode(msgspec.structs.replace(_a_status(self.stop_reason), is_armed=self.is_armed))


def _a_status(stop_reason: str | None) -> StatusView:
    return StatusView(
        version="1", session_id="s", venue="sim", account="0xabc", config_hash="", phase="micro", is_armed=True,
        stop_reason=stop_reason, is_connected=True, generation=1, reconnect_count=0, seq=1, uptime_s=1.0, ready_count=1,
        market_count=1, entries_closed_by=("venue_lag",), rate_use_ratio=0.0, rotation_version=1, rotation_sha256="",
        rotation_expires_ts_ns=1, event_count=1, signal_count=1, episode_count=1, disabled_gates={}, markets=(),
    )  # fmt: skip


def test_trades_are_awaited_with_progress_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _Sidecar(monkeypatch, fills_per_look=3)
    said: list[str] = []
    assert await_trades(_a_plan(tmp_path), said.append, lambda: None).trade_count == 102
    assert said[-1].startswith("trading: 102 fills of our signed orders")
    assert len(said) == 4, "every five seconds, and at the end"


@pytest.mark.parametrize(
    ("fills", "reason", "text"),
    [(3, "conservation: cash differs", "conservation: cash differs"), (0, None, "fewer than 100 within 900 s")],
    ids=["latch", "no trades"],
)  # fmt: skip
def test_trades_that_do_not_come_end_the_wait_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fills: int, reason: str | None, text: str
) -> None:
    _Sidecar(monkeypatch, fills_per_look=fills, stop_reason=reason)
    with pytest.raises(StageFailed, match=text):
        await_trades(_a_plan(tmp_path), lambda _: None, lambda: None)


def test_an_operators_stop_ends_no_loop_that_a_person_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = _Sidecar(monkeypatch, fills_per_look=3)
    sidecar.later = {
        4.0: {"stop_reason": "walk through"},
        5000.0: {"stop_reason": None, "is_armed": False},  # much later than the patience of a loop that may trade
        7000.0: {"is_armed": True},
    }
    said: list[str] = []
    plan = dataclasses.replace(_a_plan(tmp_path), is_once=False)
    assert await_trades(plan, said.append, lambda: None).trade_count >= 100
    stopped, disarmed, armed = [text for text in said if not text.startswith("trading: ")]
    assert stopped.startswith("stopped (walk through): ")
    assert "hip3 reset" in stopped
    assert disarmed.startswith("disarmed: ")
    assert armed == "armed again: it goes on trading"


@pytest.mark.parametrize(
    ("reason", "asked", "text"), [(None, ["arm"], "armed again"), ("walk through", [], "stopped (walk through)")]
)
def test_the_loop_arms_after_its_audit_but_never_over_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str | None, asked: list[str], text: str
) -> None:
    _Sidecar(monkeypatch, fills_per_look=0, stop_reason=reason)
    called: list[str] = []
    said: list[str] = []
    resume_trading(_a_plan(tmp_path), lambda name, _: called.append(name) or b"", said.append)
    assert called == asked
    assert said[0].startswith(text)


def test_children_end_asks_one_service_and_does_not_call_it_dead(tmp_path: Path) -> None:
    children = Children(tmp_path, mark=f"end-{os.getpid()}")
    code = "import signal, time; signal.signal(15, lambda *_: exit(7)); print('ready', flush=True); time.sleep(600)"
    service = children.start("service", [sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path)
    _wait_for(lambda: "ready" in service.last_lines())
    assert children.end(service, patience_s=10) == 7
    assert children.dead() is None
    assert children.end_all() == []


def test_children_call_returns_what_was_printed_and_names_a_failure(tmp_path: Path) -> None:
    children = Children(tmp_path, mark=f"call-{os.getpid()}")
    same = {"env": dict(os.environ), "cwd": tmp_path}
    assert children.call("good", [sys.executable, "-c", "print('done')"], **same) == b"done\n"
    with pytest.raises(StageFailed, match="bad ended with exit code 3\nwhy"):
        children.call("bad", [sys.executable, "-c", "print('why'); exit(3)"], **same)
