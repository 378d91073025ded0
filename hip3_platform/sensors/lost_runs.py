"""Runs whose process is gone: they are ended, and the days they left are asked for again.

Why this module exists: when a machine goes down, Dagster finds its runs as it left them, "started". Nothing there looks
whether the process of a local run still lives, so such a run would hold the writers' pool for ever, and every later day
would wait behind it. One whose worker alone was killed is ended by the code server, but its days stay unjudged.

Rule 1: a run is lost when the process that Dagster noted for it is not there, or is another one by now: a process is
known by boot, number and begin in ticks since boot, none of which moves when a clock is set. At first sight of a run
there is only the wall clock to tell whether the process is the run's: it must not have begun after it. A run without a
process is given one look. Launchers that know how their workers are (containers, say) are left to Dagster's monitoring.
Rule 2: a run was cut short when it failed although no step of it did. What a step refused is not asked for again.
Rule 3: a day is asked for again only with the input it had, only when no other run has or had it, and `ATTEMPTS_MAX`
times in all: what kills its process every time must not go on doing so. What was canceled, somebody wanted to end.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg

from hip3_platform.analytics.landing import Landing
from hip3_platform.catch_up import CATCH_UP
from hip3_platform.sensors.requests import DAILY_JOB, INPUT_TAG, catch_up_request, day_request, inputs_of

ATTEMPTS_MAX: Final = 3
ATTEMPT_TAG: Final = "hip3/attempt"
SEEN_MAX: Final = 20
"""So many of the newest failed runs are looked at."""
_PID: Final = "pid"
_NO_PROCESS: Final = "none"


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    """The same for ever, and no other process has it."""
    began_s: float
    """By the wall clock: moves when that is set."""

    def is_of(self, seen: str | None, started_s: float) -> bool:
        """Return whether a run that started then is in it; `seen` is what the last look found for that run."""
        if seen in (None, _NO_PROCESS):
            return self.began_s <= started_s + 2.0  # the boot instant is known to the second
        return self.name == seen


def end_lost_runs(
    instance: dg.DagsterInstance, known: Mapping[str, str], proc: Path = Path("/proc")
) -> tuple[list[str], dict[str, str]]:
    """Fail every started run whose process is gone.

    Args:
        instance: Where runs are recorded.
        known: Run → its process, as the last look found them.
        proc: What the kernel tells of processes.

    Returns:
        The runs that were failed, and what to give to the next look.
    """
    if instance.run_launcher.supports_check_run_worker_health:
        return [], {}
    lost, living = [], dict[str, str]()
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run = record.dagster_run
        pid, seen = _pid_of(instance, run.run_id), known.get(run.run_id)
        process = None if pid is None else _process(proc, pid)
        if process is not None and process.is_of(seen, record.start_time or 0.0):
            living[run.run_id] = process.name
        elif pid is None and seen is None:
            living[run.run_id] = _NO_PROCESS
        else:
            what = "it noted no process" if pid is None else f"its process {pid} is gone"
            instance.report_run_failed(run, f"{what}: the machine went down, or it was killed")
            lost.append(run.run_id)
    return lost, living


def days_again(
    instance: dg.DagsterInstance, landing: Landing, seen: Sequence[str]
) -> tuple[list[dg.RunRequest], list[str]]:
    """Return requests of days that runs left when they were cut short, and the failed runs that need no second look.

    Args:
        instance: Where runs are recorded.
        landing: What has landed.
        seen: Ids of failed runs that were looked at before.
    """
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=SEEN_MAX)
    short = [run for run in failed if run.run_id not in seen and _is_cut_short(instance, run)]
    requests, asked = [], set[str]()
    for run in sorted(short, key=lambda run: run.job_name != CATCH_UP):  # a day in it was a run of its own, lost too
        left = [day for day in _left_by(instance, run, landing) if day not in asked]
        attempt = int(run.tags.get(ATTEMPT_TAG, "1")) + 1
        asked.update(left)
        if left and attempt <= ATTEMPTS_MAX:
            requests.append(_again(landing, left, run, attempt))
    return requests, [run.run_id for run in failed]


def _again(landing: Landing, days: list[str], run: dg.DagsterRun, attempt: int) -> dg.RunRequest:
    each = [day_request(day, landing.digest(day)) for day in days]
    request = catch_up_request(each) if run.job_name == CATCH_UP else each[0]
    tags = dict(request.tags) | {ATTEMPT_TAG: str(attempt)}
    return request.with_replaced_attrs(run_key=f"{request.run_key}:after:{run.run_id}", tags=tags)


def _left_by(instance: dg.DagsterInstance, run: dg.DagsterRun, landing: Landing) -> list[str]:
    """Return the days of a run that have the input they had, and that nobody judged or is about to."""
    days = {f"{day}:{landing.digest(day)}": day for day in landing.days}
    if run.job_name == CATCH_UP:
        inputs = inputs_of(run.run_config)
    else:
        inputs = [run.tags[INPUT_TAG]] if run.job_name == DAILY_JOB and INPUT_TAG in run.tags else []
    wanted = [each for each in inputs if each in days]
    if not wanted:
        return []
    others = instance.get_runs(dg.RunsFilter(job_name=DAILY_JOB, tags={INPUT_TAG: wanted}))
    taken = {other.tags[INPUT_TAG] for other in others if not _is_cut_short(instance, other)}
    return [days[each] for each in wanted if each not in taken]


def _is_cut_short(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return False
    return not instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)


def _pid_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the process that works a run off, by what Dagster noted when it began; None before that."""
    noted: Iterable[dg.EventLogEntry] = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    for entry in noted:
        metadata = getattr(entry.get_dagster_event().event_specific_data, "metadata", {})
        if _PID in metadata:
            return int(str(metadata[_PID].value))
    return None


def _process(proc: Path, pid: int) -> _Process | None:
    """Return what tells a process from every other one; None if there is none, or only its remains."""
    try:
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        return None
    booted = (proc / "stat").read_text(encoding="utf-8")
    boot_s = next(int(line.split()[1]) for line in booted.splitlines() if line.startswith("btime "))
    boot_id = (proc / "sys" / "kernel" / "random" / "boot_id").read_text(encoding="utf-8").strip()
    ticks = int(fields[19])
    return _Process(name=f"{boot_id}:{pid}:{ticks}", began_s=boot_s + ticks / os.sysconf("SC_CLK_TCK"))
