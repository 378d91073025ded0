"""`hip3 platform` beside nothing and beside a sidecar: whose days it judges, and that it ends when it is told to."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import dagster as dg
import pytest
from children import HIP3, hip3, running
from dagster_processes import killed, processes_of
from one_market import ONE_MARKET
from ports import free_ports
from trading_process import until

from hip3_platform.analytics.rotating.archive import newest
from hip3_platform.cli.dagster_dev import hold_dagster_home
from hip3_platform.cli.platform import Place, place_of
from hip3_platform.resources.sidecar import SidecarResource
from hip3_platform.sensors.requests import DAILY_JOB
from streaming.contracts.control import StatusView
from streaming.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
DAY = "2026-06-15"
ACCOUNT = "0x" + "ab" * 20
AS_A_BACKGROUND_JOB = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


def a_running_sidecar(monkeypatch: pytest.MonkeyPatch) -> None:
    status = StatusView(
        version="1", session_id="s", venue="testnet", account=ACCOUNT.upper().replace("0X", "0x"), config_hash="",
        phase="observe", is_armed=False, stop_reason=None, is_connected=True, generation=1, reconnect_count=0, seq=1,
        uptime_s=1.0, ready_count=1, market_count=1, entries_closed_by=(), rate_use_ratio=0.0, rotation_version=1,
        rotation_sha256="", rotation_expires_ts_ns=1, event_count=1, signal_count=1, episode_count=1,
        disabled_gates={}, markets=(),
    )  # fmt: skip
    monkeypatch.setattr(SidecarResource, "status", lambda _: status)


def test_platform_judges_for_the_sidecar_that_runs_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_running_sidecar(monkeypatch)
    assert place_of(tmp_path, "", "") == Place("testnet", ACCOUNT, "as the running sidecar says")
    assert place_of(tmp_path, "testnet", ACCOUNT.upper().replace("0X", "0x")).account == ACCOUNT


@pytest.mark.parametrize(("venue", "account", "named"), [("mainnet", "", "--venue"), ("", "0x1", "--account")])
def test_platform_never_judges_for_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str, account: str, named: str
) -> None:
    a_running_sidecar(monkeypatch)
    with pytest.raises(ConfigError, match=f"{named}: expected"):
        place_of(tmp_path, venue, account)


def test_platform_without_a_sidecar_needs_a_venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIP3_VENUE", raising=False)
    with pytest.raises(ConfigError, match="start `hip3 run`, or name it"):
        place_of(tmp_path, "", "")
    assert place_of(tmp_path, "mainnet", ACCOUNT) == Place("mainnet", ACCOUNT, "no sidecar runs there")


@pytest.mark.parametrize("venue", ["manet", "MAINNET", "sim/..", "../../escaped"])
def test_platform_serves_no_venue_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str) -> None:
    with pytest.raises(ConfigError, match=r"--venue: expected one of sim, testnet, mainnet"):
        place_of(tmp_path, venue, "")
    monkeypatch.setenv("HIP3_VENUE", venue)
    with pytest.raises(ConfigError, match=r"--venue: expected one of sim, testnet, mainnet"):
        place_of(tmp_path, "", "")


def test_platform_says_which_port_is_occupied(tmp_path: Path) -> None:
    place = ("--warehouse", str(tmp_path / "w"), "--dagster-home", str(tmp_path / "home"), "--venue", "sim")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = hip3("platform", "--root", str(ROOT), *place, "--dagster-port", port)
    assert (ended.returncode, "--dagster-port" in ended.stderr) == (6, True)


def test_platform_keeps_off_a_dagster_home_in_use(tmp_path: Path) -> None:
    home = tmp_path / "home"
    held = hold_dagster_home(home)
    assert held is not None
    (home / "history").mkdir()
    place = ("--warehouse", str(tmp_path / "w"), "--dagster-home", str(home), "--venue", "sim")
    port = str(free_ports(1)[0])
    ended = hip3("platform", "--root", str(ROOT), *place, "--dagster-port", port)
    assert (ended.returncode, f"{home} is in use" in ended.stderr) == (6, True)
    assert (home / "history").is_dir(), "what the other one remembers is not put aside"
    os.close(held)
    again = hold_dagster_home(home)
    assert again is not None, "free as soon as its holder ended"
    os.close(again)


def test_platform_names_a_dagster_home_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = ("--warehouse", str(tmp_path / "w"), "--dagster-home", str(tmp_path / "file" / "home"), "--venue", "sim")
    ended = hip3("platform", "--root", str(ROOT), *place, "--dagster-port", str(free_ports(1)[0]))
    assert (ended.returncode, "choose another with --dagster-home" in ended.stderr) == (4, True), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.timeout(300)
def test_platform_judges_a_day_and_ends_as_a_background_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, warehouse, scenario = tmp_path / "home", tmp_path / "w", tmp_path / "one.toml"
    scenario.write_text(ONE_MARKET)
    written = ("--from", DAY, "--to", DAY, "--columns", "--scenario", str(scenario), "--warehouse", str(warehouse))
    subprocess.run([*HIP3, "history", *written], check=True, capture_output=True, timeout=200)
    (port,) = free_ports(1)
    place = ("--root", str(ROOT), "--warehouse", str(warehouse), "--dagster-home", str(home), "--account", ACCOUNT)
    words = ("platform", *place, "--venue", "sim", "--dagster-port", str(port))
    try:
        with running(*words, prefix=AS_A_BACKGROUND_JOB) as platform:
            assert (platform.said["venue"], platform.said["account"]) == ("sim", ACCOUNT)
            assert hold_dagster_home(home) is None, "it is Dagster's own now"
            monkeypatch.setenv("DAGSTER_HOME", str(home))
            with dg.DagsterInstance.get() as instance:
                green = dg.RunsFilter(job_name=DAILY_JOB, statuses=[dg.DagsterRunStatus.SUCCESS])
                until(lambda: instance.get_runs(green), 200, "until the day is judged")
            found = newest(warehouse, "sim")
            assert found is not None
            assert (found.as_of_day, found.account) == (DAY, ACCOUNT)
            platform.end(signal.SIGTERM, timeout_s=40)
        until(lambda: not processes_of(home), 20, "until nothing is left")
        held = hold_dagster_home(home)
        assert held is not None, "and nobody's after its end"
        os.close(held)
    finally:
        killed(processes_of(home))
