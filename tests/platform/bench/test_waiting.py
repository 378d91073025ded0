"""`hip3 bench platform`: figures follow from what Dagster recorded. A running one judges waiting days in tests/e2e.

No figure is compared with a bar of real time here: the machine that runs the tests has others to serve.
"""

import argparse
from pathlib import Path

import dagster as dg
import pytest

from hip3_platform.bench.platform import measured
from hip3_platform.bench.waiting import Judged, figures_of
from streaming.core.errors import ConfigError


def a_run(day: str, created_s: float, steps: dict[str, float], rest_s: float = 1.0) -> Judged:
    return Judged(day, created_s, created_s + 0.5, created_s + 0.5 + sum(steps.values()) + rest_s, steps)


def a_backfill(day_count: int, seconds: float) -> tuple[list[Judged], Judged]:
    steps = {"bronze": seconds - 1.5, "expectations_of_bronze": 0.5}
    days = [a_run(f"2026-06-{at + 1:02}", 100.0 + at * seconds, steps, 0.5) for at in range(day_count)]
    return days, Judged("", 90.0, 91.0, 100.0 + day_count * seconds, {"judge_days": day_count * seconds})


def test_a_day_is_from_its_request_to_its_end_and_expectations_are_told_apart() -> None:
    one = a_run("2026-07-01", 1_000.0, {"bronze": 2.0, "expectations_of_bronze": 3.0, "expectations_of_figures": 0.25})
    many, backfill = a_backfill(30, 2.0)
    found = figures_of(many, backfill, one, landed_s=990.0)
    assert found["day_s"] == 6.75
    assert found["day_without_expectations_s"] == 3.5
    assert (found["day_sensor_s"], found["day_queued_s"]) == (10.0, 0.5)
    assert list(found["day_steps_s"]) == ["expectations_of_bronze", "bronze", "expectations_of_figures"]
    assert found["problems"] == []


def test_a_backfill_is_from_the_request_of_all_to_the_end_of_all() -> None:
    many, backfill = a_backfill(30, 2.0)
    found = figures_of(many, backfill, many[0], landed_s=0.0)
    assert found["backfill_s"] == 70.0
    assert found["backfill_overhead_s"] == 70.0 - 30 * 1.0
    assert found["backfill_expectations_s"] == 15.0
    assert found["backfill_steps_s"] == {"bronze": 15.0, "expectations_of_bronze": 15.0}


@pytest.mark.parametrize(
    ("day_count", "day_s", "missed"),
    [(30, 3.5, []), (30, 4.0, ["backfill_s"]), (3, 60.0, ["day_without_expectations_s"])],
)
def test_what_takes_too_long_is_a_problem_and_only_thirty_days_are_a_month(
    day_count: int, day_s: float, missed: list[str]
) -> None:
    many, backfill = a_backfill(day_count, day_s)
    found = figures_of(many, backfill, many[0], landed_s=0.0)
    assert [problem.split(":")[0] for problem in found["problems"]] == missed


def test_what_dagster_recorded_of_a_run_is_read(tmp_path: Path) -> None:
    @dg.op
    def expectations_of_nothing() -> None:
        pass

    @dg.job
    def daily() -> None:
        expectations_of_nothing()

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        daily.execute_in_process(instance=instance, tags={"dagster/partition": "2026-06-01"})
        [record] = instance.get_run_records()
        found = Judged.of(instance, record)
    assert found.day == "2026-06-01"
    assert found.created_s <= found.started_s < found.ended_s
    assert 0.0 < found.expectations_s == found.steps_s <= found.ended_s - found.started_s


@pytest.mark.parametrize("day_count", [2, 32])
def test_days_that_are_no_backfill_are_refused(day_count: int) -> None:
    with pytest.raises(ConfigError, match=f"--backfill-days: expected 3 to 31, found {day_count}"):
        measured(argparse.Namespace(backfill_days=day_count, scenario="demo", seed=7), print)
