"""Dagster's records through connections that stay open: the same files, for whoever reads or writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage

from hip3_platform.dagster_storage import OPEN_MAX, KeptEventLog

KEPT = {"module": "hip3_platform.dagster_storage", "class": "KeptStorage"}
KEY = dg.AssetKey("counted")


@dg.asset
def counted() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"n": 1})


@dg.asset_check(asset=KEY)
def is_counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


WHOLE = dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks()
JOB = dg.Definitions(
    assets=[counted], asset_checks=[is_counted], jobs=[dg.define_asset_job("count", WHOLE)]
).resolve_job_def("count")


def kept(home: Path) -> dg.DagsterInstance:
    custom = {"custom": {**KEPT, "config": {"base_dir": str(home)}}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"storage": custom}))


def plain(home: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))


def a_run(instance: dg.DagsterInstance) -> str:
    result = JOB.execute_in_process(instance=instance)
    assert result.success
    return result.run_id


def told(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [str(entry.dagster_event_type) for entry in instance.all_logs(run_id)]


def materialized_by(instance: dg.DagsterInstance) -> str:
    event = instance.get_latest_materialization_event(KEY)
    assert event is not None
    return event.run_id


def open_files(home: Path) -> set[str]:
    folder = Path("/proc/self/fd")
    found = (link.readlink() for link in folder.iterdir() if link.is_symlink())
    return {path.name for path in found if path.is_relative_to(home) and path.suffix == ".db"}


def events_of(one: Callable[[Path], dg.DagsterInstance], home: Path, run_id: str) -> list[str]:
    with one(home) as instance:
        return told(instance, run_id)


def test_either_storage_reads_and_goes_on_with_what_the_other_wrote(tmp_path: Path) -> None:
    with plain(tmp_path) as instance:
        first = a_run(instance)
    with kept(tmp_path) as instance:
        assert isinstance(instance.event_log_storage, KeptEventLog)
        second = a_run(instance)
        assert materialized_by(instance) == second
    assert events_of(kept, tmp_path, first) == events_of(plain, tmp_path, first)
    written = events_of(plain, tmp_path, second)
    assert written == events_of(plain, tmp_path, first)
    assert {"DagsterEventType.RUN_SUCCESS", "DagsterEventType.ASSET_CHECK_EVALUATION"} <= set(written)
    with plain(tmp_path) as instance:
        assert materialized_by(instance) == second


def test_open_connection_sees_what_another_one_commits(tmp_path: Path) -> None:
    with kept(tmp_path) as mine, plain(tmp_path) as other:
        first = a_run(mine)
        assert materialized_by(mine) == first
        second = a_run(other)
        assert materialized_by(mine) == second
        mine.report_engine_event("said by me", run_id=second, job_name="count")
        assert told(other, second) == told(mine, second)
        assert len(told(mine, second)) == len(told(mine, first)) + 1


def test_only_the_last_files_stay_open_and_none_after_the_end(tmp_path: Path) -> None:
    with kept(tmp_path) as instance:
        runs = [a_run(instance) for _ in range(OPEN_MAX + 3)]
        for run_id in runs:
            assert told(instance, run_id)[-1] == "DagsterEventType.RUN_SUCCESS"
        of_events = open_files(tmp_path / "history" / "runs")
        assert len(of_events) == OPEN_MAX
        assert f"{runs[-1]}.db" in of_events
        assert f"{runs[0]}.db" not in of_events
        instance.report_engine_event("closed long ago", run_id=runs[0], job_name="count")
        assert len(told(instance, runs[0])) == len(told(instance, runs[1])) + 1
    assert not open_files(tmp_path / "history" / "runs")


def test_events_after_a_wipe_are_in_new_files(tmp_path: Path) -> None:
    with kept(tmp_path) as instance:
        first = a_run(instance)
        instance.wipe()
        assert told(instance, first) == []
        second = a_run(instance)
    assert events_of(plain, tmp_path, first) == []
    assert events_of(plain, tmp_path, second)[-1] == "DagsterEventType.RUN_SUCCESS"


def test_table_is_looked_for_until_it_is_there_and_a_wipe_keeps_it(tmp_path: Path) -> None:
    with kept(tmp_path) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, KeptEventLog)
        assert storage.has_table("asset_keys")
        assert not storage.has_table("made_later")
        with storage.index_connection() as connection:
            connection.exec_driver_sql("create table made_later (at integer)")
        assert storage.has_table("made_later")
        instance.wipe()
        assert storage.has_table("made_later")
    with plain(tmp_path) as instance:
        assert isinstance(instance.event_log_storage, SqliteEventLogStorage)
        assert instance.event_log_storage.has_table("made_later"), "as Dagster's own storage says"
