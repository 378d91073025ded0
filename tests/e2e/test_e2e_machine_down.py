"""The machine goes down in the middle of a backfill: once Dagster is back, every day is judged and nobody helped."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster_processes import killed, processes_of
from one_market import ONE_MARKET
from ports import free_ports
from trading_process import until

from hip3_platform.catch_up import CATCH_UP
from hip3_platform.cli.dagster_dev import prepare_dagster_home
from hip3_platform.cli.plan import child_environment
from hip3_platform.sensors.lost_runs import ATTEMPT_TAG
from hip3_platform.sensors.requests import DAILY_JOB

ROOT = Path(__file__).parents[2]
DAYS = ("2026-06-15", "2026-06-16", "2026-06-17")


@contextmanager
def dagster(home: Path, warehouse: Path) -> Iterator[None]:
    """Run Dagster; nothing of it is left afterwards, as after a power cut."""
    (port,) = free_ports(1)
    words = ("--workspace", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", *words], cwd=ROOT, start_new_session=True,
        env=child_environment(warehouse=warehouse, dagster_home=home),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        until(lambda: not killed(processes_of(home)), what="until nothing is left")
        process.wait(10)


@pytest.mark.timeout(600)
def test_machine_that_goes_down_in_a_backfill_leaves_no_day_unjudged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, warehouse, scenario = tmp_path / "home", tmp_path / "w", tmp_path / "one.toml"
    scenario.write_text(ONE_MARKET)
    written = ("--from", DAYS[0], "--to", DAYS[-1], "--columns", "--scenario", str(scenario))
    history = [sys.executable, "-m", "streaming.cli", "history", *written, "--warehouse", str(warehouse)]
    subprocess.run(history, check=True, capture_output=True, timeout=200)
    prepare_dagster_home(ROOT, home, warehouse)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:

        def days(status: str) -> Callable[[], set[str]]:
            chosen = dg.RunsFilter(job_name=DAILY_JOB, statuses=[dg.DagsterRunStatus(status)])
            return lambda: {run.tags["dagster/partition"] for run in instance.get_runs(chosen)}

        with dagster(home, warehouse):
            until(lambda: days("SUCCESS")() and days("STARTED")(), 240, "until a day is judged and another under way")
        under_way = days("STARTED")()
        with dagster(home, warehouse):
            until(lambda: days("SUCCESS")() == set(DAYS), 240, "until every day is judged", why=days("SUCCESS"))
            until(lambda: len(catch_ups(instance)) == 2, 60, "until the second run has ended")
        assert days("FAILURE")() == under_way
        assert not days("STARTED")()
        second, first = catch_ups(instance)
        assert (first.status.value, second.status.value) == ("FAILURE", "SUCCESS")
        assert second.tags[ATTEMPT_TAG] == "2"


def catch_ups(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs of `catch_up` that have ended, the newest first."""
    return [run for run in instance.get_runs(dg.RunsFilter(job_name=CATCH_UP)) if run.is_finished]
