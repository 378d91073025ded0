"""Runs whose process is gone are ended, and the days they left are asked for again, a few times."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, EngineEventData
from platform_warehouse import DAY_1, DAY_2, DAY_3, FixedClock, MarketDay, write_day

from hip3_platform.analytics.landing import Landing
from hip3_platform.catch_up import CATCH_UP
from hip3_platform.definitions import JOB, build_definitions
from hip3_platform.partitions import daily_partitions
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.lost_runs import ATTEMPT_TAG, ATTEMPTS_MAX, days_again, end_lost_runs
from hip3_platform.sensors.requests import DAILY_JOB, INPUT_TAG, catch_up_request, day_request, inputs_of
from hip3_platform.sensors.sealed_files import build_sealed_files, read_cursor
from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_DAY

DAYS = (DAY_1, DAY_2, DAY_3)
DIES = """
import os, signal, sys
import dagster as dg

@dg.op
def die():
    os.kill(os.getpid(), signal.SIGKILL)

@dg.job(name=sys.argv[2])
def job():
    die()

with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
    job.execute_in_process(instance=instance, run_id=sys.argv[3])
"""


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def landing(warehouse: WarehouseResource) -> Landing:
    for day in DAYS:
        write_day(warehouse.path, day, [MarketDay("xyz:GOOD")], session_id=f"s-{day}")
    return warehouse.landing()


def a_run(
    instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE
) -> dg.DagsterRun:
    """Record a run of a request, as it stands in `status`; no step of it failed."""
    run = dg.DagsterRun(
        job_name=request.job_name or DAILY_JOB, run_config=dict(request.run_config), tags=dict(request.tags),
        status=status,
    )  # fmt: skip
    instance.add_run(run)
    return run


def requests_of(landing: Landing, *days: str) -> list[dg.RunRequest]:
    return [day_request(day, landing.digest(day)) for day in days]


def test_a_run_whose_process_was_killed_is_failed_and_one_that_lives_is_not(instance: dg.DagsterInstance) -> None:
    run_id = "1f0c2a9e-0000-4000-8000-000000000001"
    killed = subprocess.run([sys.executable, "-c", DIES, instance.root_directory, "daily", run_id], check=False)
    assert killed.returncode == -9
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED, "nobody else looks"  # type: ignore[union-attr]
    seen: list[list[str]] = []

    @dg.op
    def look() -> None:
        seen.append(end_lost_runs(instance, {})[0])  # its own run is started, and its process lives

    @dg.job
    def looking() -> None:
        look()

    assert looking.execute_in_process(instance=instance).success
    assert seen == [[run_id]]
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert end_lost_runs(instance, {}) == ([], {})


@dataclass
class FakeProc:
    """What a kernel tells of one process; `btime_s` moves when the clock is set."""

    folder: Path

    def write(self, *, boot_id: str, btime_s: int, pid: int, ticks: int) -> Path:
        for path, text in {
            "stat": f"cpu 0\nbtime {btime_s}\n",
            "sys/kernel/random/boot_id": f"{boot_id}\n",
            f"{pid}/stat": " ".join([str(pid), "(python (x) y)", "S", *["0"] * 18, str(ticks), "0"]),
        }.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        return self.folder


def started(instance: dg.DagsterInstance, request: dg.RunRequest, pid: int | None) -> tuple[str, int]:
    """Record a run that started, as a process of its own would; returns its id and when it started."""
    run = a_run(instance, request, dg.DagsterRunStatus.STARTING)
    if pid is not None:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    begun = DagsterEvent(event_type_value="PIPELINE_START", job_name=run.job_name)
    instance.report_dagster_event(begun, run.run_id)
    (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    assert record.start_time is not None
    return run.run_id, int(record.start_time)


@pytest.mark.parametrize("set_s", [3600, -3600, 3])
def test_a_run_goes_on_when_the_clock_is_set_while_it_is_under_way(
    instance: dg.DagsterInstance, landing: Landing, tmp_path: Path, set_s: int
) -> None:
    (request,) = requests_of(landing, DAY_1)
    run_id, start_s = started(instance, request, 77)
    proc = FakeProc(tmp_path / "proc")
    booted = {"boot_id": "b-1", "pid": 77, "ticks": 500}
    lost, known = end_lost_runs(instance, {}, proc.write(btime_s=start_s - 100, **booted))  # type: ignore[arg-type]
    assert (lost, set(known)) == ([], {run_id})
    set_back = proc.write(btime_s=start_s - 100 + set_s, **booted)  # type: ignore[arg-type]
    assert end_lost_runs(instance, known, set_back) == ([], known)


@pytest.mark.parametrize(("boot_id", "ticks"), [("b-2", 500), ("b-1", 501)], ids=["another boot", "begun a tick later"])
def test_a_process_that_has_the_number_of_a_dead_one_keeps_no_run(
    instance: dg.DagsterInstance, landing: Landing, tmp_path: Path, boot_id: str, ticks: int
) -> None:
    (request,) = requests_of(landing, DAY_1)
    run_id, start_s = started(instance, request, 77)
    proc = FakeProc(tmp_path / "proc")
    _, known = end_lost_runs(instance, {}, proc.write(boot_id="b-1", btime_s=start_s - 100, pid=77, ticks=500))
    other = proc.write(boot_id=boot_id, btime_s=start_s - 100, pid=77, ticks=ticks)
    assert end_lost_runs(instance, known, other) == ([run_id], {})


@pytest.mark.parametrize(("began_s", "is_lost"), [(2, False), (3, True)])
def test_at_first_sight_a_process_that_began_after_the_run_is_another_one(
    instance: dg.DagsterInstance, landing: Landing, tmp_path: Path, began_s: int, is_lost: bool
) -> None:
    (request,) = requests_of(landing, DAY_1)
    run_id, start_s = started(instance, request, 77)
    proc = FakeProc(tmp_path / "proc").write(boot_id="b-1", btime_s=start_s + began_s, pid=77, ticks=0)
    assert end_lost_runs(instance, {}, proc)[0] == [run_id] * is_lost


def test_a_run_that_noted_no_process_is_given_one_look(instance: dg.DagsterInstance, landing: Landing) -> None:
    (request,) = requests_of(landing, DAY_1)
    run_id, _ = started(instance, request, None)
    lost, known = end_lost_runs(instance, {})
    assert lost == []
    assert end_lost_runs(instance, known)[0] == [run_id]


def test_a_run_that_notes_its_process_after_the_first_look_goes_on(
    instance: dg.DagsterInstance, landing: Landing, tmp_path: Path
) -> None:
    (request,) = requests_of(landing, DAY_1)
    run_id, start_s = started(instance, request, None)
    _, known = end_lost_runs(instance, {})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_engine_event("Executing steps in process", run, EngineEventData.in_process(77))
    proc = FakeProc(tmp_path / "proc").write(boot_id="b-1", btime_s=start_s - 100, pid=77, ticks=500)
    assert end_lost_runs(instance, known, proc)[0] == []


def test_runs_of_a_launcher_that_looks_after_its_workers_are_left_to_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = "1f0c2a9e-0000-4000-8000-000000000002"
    subprocess.run([sys.executable, "-c", DIES, instance.root_directory, "daily", run_id], check=False)
    monkeypatch.setattr(type(instance.run_launcher), "supports_check_run_worker_health", True)
    assert end_lost_runs(instance, {}) == ([], {})
    monkeypatch.undo()
    assert end_lost_runs(instance, {}) == ([run_id], {})


def test_days_that_a_killed_catch_up_left_are_asked_for_again_in_one_run(
    instance: dg.DagsterInstance, landing: Landing
) -> None:
    first, second, third = requests_of(landing, *DAYS)
    dead = a_run(instance, catch_up_request([first, second, third]))
    a_run(instance, first, dg.DagsterRunStatus.SUCCESS)
    in_it = a_run(instance, second)  # the day under way was a run of its own and died with the run around it
    (again,), failed = days_again(instance, landing, [])
    assert again.job_name == CATCH_UP
    assert inputs_of(again.run_config) == [second.tags[INPUT_TAG], third.tags[INPUT_TAG]]
    assert again.run_key is not None
    assert again.run_key.endswith(dead.run_id), "Dagster drops a key that it knows"
    assert set(failed) == {dead.run_id, in_it.run_id}
    assert days_again(instance, landing, failed) == ([], failed)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED])
def test_a_day_that_another_run_has_is_not_asked_for_again(
    instance: dg.DagsterInstance, landing: Landing, status: dg.DagsterRunStatus
) -> None:
    (request,) = requests_of(landing, DAY_1)
    a_run(instance, request)
    a_run(instance, request, status)
    assert days_again(instance, landing, [])[0] == []


def test_a_day_whose_parts_changed_and_a_canceled_one_are_left_to_others(
    instance: dg.DagsterInstance, landing: Landing, warehouse: WarehouseResource
) -> None:
    first, second = requests_of(landing, DAY_1, DAY_2)
    a_run(instance, first)
    a_run(instance, second, dg.DagsterRunStatus.CANCELED)
    write_day(warehouse.path, DAY_1, [MarketDay("xyz:LATE")], session_id="late")
    assert days_again(instance, warehouse.landing(), [])[0] == []


def test_a_day_that_kills_its_process_every_time_is_left_after_some_attempts(
    instance: dg.DagsterInstance, landing: Landing
) -> None:
    (request,) = requests_of(landing, DAY_1)
    seen: list[str] = []
    for attempt in range(2, ATTEMPTS_MAX + 1):
        a_run(instance, request)
        (request,), seen = days_again(instance, landing, seen)
        assert request.tags[ATTEMPT_TAG] == str(attempt)
    a_run(instance, request)
    assert days_again(instance, landing, seen)[0] == []


def test_a_day_that_a_step_refused_stays_refused(landing: Landing, warehouse: WarehouseResource) -> None:
    part = warehouse.path / landing.of(DAY_1, "bbo")[0].path
    part.write_bytes(part.read_bytes()[:-1])
    defs = build_definitions(warehouse, RotationPolicy(), first=DAY_1)
    (request,) = requests_of(landing, DAY_1)
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def(JOB)
        assert not job.execute_in_process(
            partition_key=DAY_1, instance=instance, raise_on_error=False, tags=dict(request.tags)
        ).success
        assert days_again(instance, landing, [])[0] == []


@pytest.mark.usefixtures("landing")
def test_the_sensor_asks_for_the_days_of_a_lost_run(instance: dg.DagsterInstance, warehouse: WarehouseResource) -> None:
    now = day_begin_ns(DAY_3) + 2 * NS_PER_DAY
    sensor = build_sealed_files([build_daily()], daily_partitions(DAY_1))

    def tick(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            result = sensor(context, warehouse=warehouse, policy=RotationPolicy(), clock=FixedClock(now))
        assert isinstance(result, dg.SensorResult)
        return result

    first = tick(None)
    (asked,) = first.run_requests or ()
    assert asked.job_name == CATCH_UP
    dead = a_run(instance, asked)
    other = dg.RunRequest(job_name="by_hand", tags={})
    under_way, _ = started(instance, other, os.getpid())
    second = tick(first.cursor)
    (again,) = second.run_requests or ()
    assert inputs_of(again.run_config) == inputs_of(asked.run_config)
    assert read_cursor(second.cursor).failed == [dead.run_id]
    assert set(read_cursor(second.cursor).processes) == {under_way}
    assert read_cursor(second.cursor).requested == read_cursor(first.cursor).requested != {}
    assert not tick(second.cursor).run_requests


def build_daily() -> dg.JobDefinition:
    @dg.job(name=DAILY_JOB)
    def daily() -> None:
        pass

    return daily
