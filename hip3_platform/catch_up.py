"""Many closed days in one process: the daily job of each, one after the other, as runs of their own.

A run of the daily job spends longer on starting a process and importing statistics than on a day's work. When several
days wait (a new warehouse, a platform that was down, a backfill), one run of the job `catch_up` does them all: every
day is recorded as a run of `daily` with its partition, its checks and its tags, as if it had been launched alone.

Rule 1: days go in order, because windows look back; a day that fails does not hold back the next, and fails the whole.
Rule 2: it holds the writers' pool for all its days: they are run in it and not launched, so nothing else would keep a
second writer away (F-98).
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from hip3_platform.assets.common import WRITER_POOL

CATCH_UP = "catch_up"
OP = "judge_days"


class CatchUpConfig(dg.Config):
    """What to judge."""

    days: list[str]
    """UTC days, ascending."""
    tags: dict[str, dict[str, str]]
    """Day → tags of its run."""


def build_catch_up(daily: Callable[[dict[str, Any]], dg.JobDefinition]) -> dg.JobDefinition:
    """Return the job.

    Args:
        daily: Resource name → resource, in; the resolved daily job over them, out.
    """

    @dg.op(name=OP, required_resource_keys={"warehouse", "policy", "clock", "evidence"}, pool=WRITER_POOL)
    def judge_days(context: dg.OpExecutionContext, config: CatchUpConfig) -> None:
        job = daily({name: getattr(context.resources, name) for name in ("warehouse", "policy", "clock", "evidence")})
        failed = []
        for day in config.days:
            result = job.execute_in_process(
                partition_key=day, instance=context.instance, raise_on_error=False, tags=config.tags.get(day, {})
            )
            context.log.info("%s: %s", day, "green" if result.success else f"failed, run {result.run_id}")
            if not result.success:
                failed.append(f"{day} (run {result.run_id})")
        if failed:
            raise dg.Failure(f"{len(failed)} of {len(config.days)} days failed: {', '.join(failed)}")

    @dg.job(
        name=CATCH_UP, executor_def=dg.in_process_executor,
        description="Several closed days, oldest first, in one process; each is a run of the daily job",
    )  # fmt: skip
    def catch_up_job() -> None:
        judge_days()

    return catch_up_job
