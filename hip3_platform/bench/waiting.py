"""What `hip3 bench platform` does: days that landed are judged by a Dagster that runs as users run it.

Rule 1: first all days of a backfill wait when Dagster starts, then one more lands while it idles. The first are market
data alone; the last went through the engine and has every table.
Rule 2: the trigger is the moment in which the sensor's request became a run; green is the end of the run. Both are
Dagster's own records. How long the sensor slept before is not in it, and is told beside.
Rule 3: what Great Expectations takes is the time of the steps that run it; its import is in the first of them.
"""

import os
import shutil
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Self

import dagster as dg

from hip3_platform.analytics.landing import read_landing
from hip3_platform.catch_up import CATCH_UP
from hip3_platform.cli.children import Child, Children
from hip3_platform.cli.dagster_dev import dagster_words, prepare_dagster_home
from hip3_platform.cli.loop import HIP3
from hip3_platform.cli.plan import checkout_root, child_environment
from hip3_platform.resources.clock import Clock
from hip3_platform.sensors.requests import DAILY_JOB
from streaming.contracts.paths import day_of
from streaming.core.errors import Hip3Error
from streaming.core.units import NS_PER_S

VENUE = "sim"
DAY_S_MAX, BACKFILL_S_MAX = 15.0, 120.0
"""Source: the bars of the project, a day without Great Expectations and a backfill of 30 days with everything."""
BACKFILL_DAYS = 30
"""The backfill that the bar is about."""
EXPECTATIONS = "expectations_of_"
"""What the steps that run Great Expectations begin with."""
PATIENCE_S = 1_800.0
_POLL_S = 0.5
_STEPS_SHOWN = 8
_PARTITION_TAG = "dagster/partition"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """One run that ended, in seconds since the epoch, and what its steps took."""

    day: str
    created_s: float
    started_s: float
    ended_s: float
    steps: dict[str, float]
    """Step → seconds."""

    @classmethod
    def of(cls, instance: dg.DagsterInstance, record: dg.RunRecord) -> Self:
        """Read what Dagster recorded."""
        stats = instance.get_run_step_stats(record.dagster_run.run_id)
        steps = {each.step_key: (each.end_time or 0.0) - (each.start_time or 0.0) for each in stats if each.end_time}
        return cls(
            day=record.dagster_run.tags.get(_PARTITION_TAG, ""),
            created_s=record.create_timestamp.timestamp(),
            started_s=record.start_time or 0.0,
            ended_s=record.end_time or 0.0,
            steps=steps,
        )

    @property
    def expectations_s(self) -> float:
        """What Great Expectations took."""
        return sum(seconds for step, seconds in self.steps.items() if step.startswith(EXPECTATIONS))

    @property
    def steps_s(self) -> float:
        """What all steps took; they follow one another."""
        return sum(self.steps.values())


def bench_platform(folder: Path, *, scenario: str, seed: int, day_count: int, tell: Tell) -> dict[str, Any]:
    """Write the days below `folder`, judge them and return the figures.

    Raises:
        ConfigError: This is no checkout.
        Hip3Error: A day failed or took too long, or what was started ended.
    """
    root = checkout_root(Path.cwd())
    warehouse, later, home = folder / "warehouse", folder / "later", folder / "dagster_home"
    temporary = folder / "tmp"  # a Dagster that had to be killed leaves its own there
    temporary.mkdir()
    environment = child_environment(warehouse=warehouse, dagster_home=home) | {"TMPDIR": str(temporary)}
    children = Children(folder / "logs", mark=f"bench-{time.monotonic_ns()}")

    def history(into: Path, *words: str) -> None:
        asked = ("--seed", str(seed), "--scenario", scenario, "--warehouse", str(into), "--json")
        children.call("history", (*HIP3, "history", *words, *asked), env=environment, cwd=root)

    # The day before yesterday: yesterday is not closed yet in the first minutes of a day.
    last = date.fromisoformat(day_of(Clock().now_ts_ns())) - timedelta(days=2)
    first, eve = last - timedelta(days=day_count), last - timedelta(days=1)
    try:
        tell(f"writing {day_count + 1} days of {scenario}")
        history(warehouse, "--from", str(first), "--to", str(eve), "--columns")
        history(later, "--from", str(last), "--to", str(last))
        prepare_dagster_home(root, home, warehouse)
        dagster = children.start("dagster", dagster_words(root, _free_port()), env=environment, cwd=root)
        os.environ["DAGSTER_HOME"] = str(home)
        with dg.DagsterInstance.get() as instance:
            watch = _Watch(instance, dagster, tell)
            many = watch.until_green(day_count)
            backfill = Judged.of(instance, watch.until_ended(CATCH_UP))
            landed_s = Clock().now_ts_ns() / NS_PER_S
            _land(later, warehouse)
            [one] = [each for each in watch.until_green(day_count + 1) if each.day == str(last)]
    finally:
        if left := children.end_all():
            tell(f"processes left: {left}")
    return figures_of(many, backfill, one, landed_s) | {
        "venue": VENUE, "scenario": scenario, "seed": seed, "rows": _rows(warehouse, str(eve), str(last)),
    }  # fmt: skip


def figures_of(many: list[Judged], backfill: Judged, one: Judged, landed_s: float) -> dict[str, Any]:
    """Return the figures and what speaks against them.

    Args:
        many: Days of the backfill.
        backfill: The run that judged them.
        one: The day that landed later.
        landed_s: When it did.
    """
    day_s = one.ended_s - one.created_s
    backfill_s = backfill.ended_s - backfill.created_s
    work_s = sum(each.steps_s for each in many)
    figures = {
        "day_s": day_s,
        "day_without_expectations_s": day_s - one.expectations_s,
        "backfill_s": backfill_s,
        "backfill_overhead_s": backfill_s - work_s,
    }
    bars = [("day_without_expectations_s", DAY_S_MAX)]
    if len(many) == BACKFILL_DAYS:
        bars.append(("backfill_s", BACKFILL_S_MAX))
    rounded = {name: round(value, 2) for name, value in figures.items()}
    missed = [
        f"{name}: expected at most {most:g}, found {rounded[name]}" for name, most in bars if figures[name] > most
    ]
    return rounded | {
        "backfill_days": len(many),
        "backfill_day_s_p50": round(median(each.ended_s - each.started_s for each in many), 2),
        "backfill_expectations_s": round(sum(each.expectations_s for each in many), 2),
        "backfill_steps_s": _longest(many),
        "day_steps_s": _longest([one]),
        "day_sensor_s": round(one.created_s - landed_s, 2),
        "day_queued_s": round(one.started_s - one.created_s, 2),
        "problems": missed,
    }


def _longest(runs: Iterable[Judged]) -> dict[str, float]:
    """Return the steps that took most, in all runs together."""
    total: dict[str, float] = defaultdict(float)
    for each in runs:
        for step, seconds in each.steps.items():
            total[step] += seconds
    longest = sorted(total, key=lambda step: -total[step])[:_STEPS_SHOWN]
    return {step: round(total[step], 2) for step in longest}


class _Watch:
    """Looks at Dagster's records until they say what is waited for."""

    def __init__(self, instance: dg.DagsterInstance, dagster: Child, tell: Tell) -> None:
        self._instance = instance
        self._dagster = dagster
        self._tell = tell
        self._deadline_s = time.monotonic() + PATIENCE_S

    def until_green(self, count: int) -> list[Judged]:
        """Wait until so many days are judged and return them."""
        said = -1
        while True:
            green = self._records(DAILY_JOB, dg.DagsterRunStatus.SUCCESS)
            if len(green) >= count:
                return [Judged.of(self._instance, each) for each in green]
            if len(green) != said:
                said = len(green)
                self._tell(f"{said} of {count} days are green")
            self._rest(f"{count} green days")

    def until_ended(self, job: str) -> dg.RunRecord:
        """Wait until a run of a job succeeded and return its record."""
        while not (found := self._records(job, dg.DagsterRunStatus.SUCCESS)):
            self._rest(f"the end of {job}")
        return found[0]

    def _records(self, job: str, status: dg.DagsterRunStatus) -> list[dg.RunRecord]:
        return list(self._instance.get_run_records(dg.RunsFilter(job_name=job, statuses=[status])))

    def _rest(self, expected: str) -> None:
        if self._dagster.process.poll() is not None:
            raise Hip3Error(f"Dagster ended before {expected}: {self._dagster.last_lines()}")
        for job in (DAILY_JOB, CATCH_UP):
            for record in self._records(job, dg.DagsterRunStatus.FAILURE):
                day = record.dagster_run.tags.get(_PARTITION_TAG, "")
                raise Hip3Error(f"expected {expected}, found a failed run of {job} {day}; {self._dagster.last_lines()}")
        if time.monotonic() > self._deadline_s:
            raise Hip3Error(f"expected {expected} within {PATIENCE_S:.0f} s; {self._dagster.last_lines()}")
        time.sleep(_POLL_S)


def _land(source: Path, warehouse: Path) -> None:
    """Let a day land as a sidecar would: its files first, then the lines that announce them."""
    for name in ("landing", "manifest"):
        shutil.copytree(source / name, warehouse / name, dirs_exist_ok=True)


def _rows(warehouse: Path, *days: str) -> dict[str, dict[str, int]]:
    """Return day → table → rows of the largest tables."""
    landing = read_landing(warehouse, VENUE)
    return {day: {t: sum(each.row_count for each in landing.of(day, t)) for t in ("bbo", "ctx")} for day in days}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
