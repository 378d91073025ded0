"""Sealed parts → runs: one run per closed day and manifest digest, oldest first; many at once in one process.

Rule 1: a UTC day is closed at 00:10 of the next one. Only closed days feed a ranking and a rotation.
Rule 2: today is judged at most every 30 minutes, up to its figures and markouts, and only when no closed day waits.
Rule 3: the run key is day + digest of the day's manifest lines. Losing the cursor repeats requests, and Dagster drops
them by key (F-100); a late file changes the digest and re-opens its day (F-79).
Rule 4: when an older day was judged again, the newest ranking is stale: it alone is run again, once
nothing is under way that may make it, or make it stale again.
Rule 5: days that a run left when its process was killed are asked for again (`lost_runs`).
Rule 6: when the newest rotation names another account than the policy, it alone is made again: a sidecar takes no
document of another account (I-31).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import msgspec

from hip3_platform.analytics.closing import is_closed
from hip3_platform.analytics.evidence.tables import APPROVALS, STANDINGS, VERDICTS
from hip3_platform.analytics.gold import (
    DAILY_EXECUTION,
    DAILY_METRICS,
    MARKET_RANKING,
    MARKOUTS,
    ROTATION,
    judged_days,
    newest_rotation,
    ranking_inputs,
    window_days,
)
from hip3_platform.analytics.landing import Landing
from hip3_platform.analytics.rotating.score import ScoreRule
from hip3_platform.assets.common import bronze_key, gold_key, landing_key
from hip3_platform.assets.gold import VIEWS
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.lost_runs import days_again, end_lost_runs
from hip3_platform.sensors.requests import DAILY_JOB, INPUT_TAG, KIND_TAG, catch_up_request, day_request
from streaming.contracts.manifest import digest_of
from streaming.contracts.paths import day_of
from streaming.contracts.tables import TABLES
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY, NS_PER_S

TODAY_INTERVAL_NS = 30 * 60 * NS_PER_S
CATCH_UP_MIN = 3
"""So many waiting days are one run of `catch_up`: a process of its own for each would take longer than its work."""
CATCH_UP_MAX = 31
"""Days of one run; the rest waits for the next one (F-96)."""

DATA_VERSION_TAG = "dagster/data_version"
TODAY_TABLES = (DAILY_METRICS, DAILY_EXECUTION, MARKOUTS, VIEWS)
TODAY_SELECTION = [*(bronze_key(t) for t in TABLES), *(gold_key(n) for n in TODAY_TABLES)]
RANKING_SELECTION = [gold_key(n) for n in (VERDICTS, APPROVALS, STANDINGS, MARKET_RANKING, ROTATION)]
"""What looks back over a window."""


class Cursor(msgspec.Struct, kw_only=True):
    """What was requested already. Losing it is harmless."""

    requested: dict[str, str] = {}
    """Closed day → digest."""
    today: str = ""
    """Run key of the last look at a day that was not closed; it says nothing about that day once it is closed."""
    today_ts_ns: int = 0
    failed: list[str] = []
    """Newest failed runs, which were looked at: whether they left days."""
    processes: dict[str, str] = {}
    """Started run → its process."""


def read_cursor(text: str | None) -> Cursor:
    """Decode a cursor; an unreadable one counts as none."""
    try:
        return msgspec.json.decode(text, type=Cursor) if text else Cursor()
    except msgspec.DecodeError:
        return Cursor()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tick asks for, and what it says when it asks for nothing."""

    requests: list[dg.RunRequest]
    cursor: Cursor
    days: tuple[str, ...]
    """Closed days that are asked for."""
    waiting_count: int
    unknown_days: tuple[str, ...]
    """Days with data but without a partition."""


def _today_request(landing: Landing, today: str, cursor: Cursor, now_ts_ns: int) -> dg.RunRequest | None:
    key = f"today:{today}:{landing.digest(today)}"
    if key == cursor.today or now_ts_ns - cursor.today_ts_ns < TODAY_INTERVAL_NS:
        return None
    return dg.RunRequest(
        run_key=key, partition_key=today, job_name=DAILY_JOB, asset_selection=TODAY_SELECTION,
        tags={INPUT_TAG: key, KIND_TAG: "today", "dagster/priority": "-10"},
    )  # fmt: skip


def plan_tick(landing: Landing, partition_keys: frozenset[str], cursor: Cursor, now_ts_ns: int) -> Plan:
    """Decide which days to run.

    Args:
        landing: What has landed.
        partition_keys: Days that have a partition.
        cursor: What was requested before.
        now_ts_ns: Wall clock.

    Returns:
        Requests (at most `CATCH_UP_MAX` days), and the cursor to keep: it holds only days that still have data.
    """
    today = day_of(now_ts_ns)
    days = [day for day in landing.days if day in partition_keys]
    pending = [day for day in days if is_closed(day, now_ts_ns) and cursor.requested.get(day) != landing.digest(day)]
    chosen = pending[:CATCH_UP_MAX]
    requests = [day_request(day, landing.digest(day)) for day in chosen]
    if len(requests) >= CATCH_UP_MIN:
        requests = [catch_up_request(requests)]
    requested = {day: digest for day, digest in cursor.requested.items() if day in days}
    requested |= {day: landing.digest(day) for day in chosen}
    kept = msgspec.structs.replace(cursor, requested=requested)
    if not pending and today in days:
        request = _today_request(landing, today, cursor, now_ts_ns)
        if request is not None:
            requests.append(request)
            kept.today, kept.today_ts_ns = request.run_key or "", now_ts_ns
    unknown = tuple(day for day in landing.days if day not in partition_keys)
    return Plan(requests, kept, tuple(chosen), len(pending) - len(chosen), unknown)


def stale_ranking_request(warehouse: WarehouseResource, newest: str, window: int) -> dg.RunRequest | None:
    """Return the request of a new ranking if a day in its window was judged again since; None if it is up to date."""
    venue = warehouse.checked_venue
    used = ranking_inputs(warehouse.path, venue, newest)
    judged = judged_days(warehouse.path, venue, window_days(newest, window))
    if used is None or used == judged or used.get(newest) != judged.get(newest):
        return None
    key = f"ranking:{newest}:" + ":".join(judged.values())
    return dg.RunRequest(
        run_key=key, partition_key=newest, job_name=DAILY_JOB, asset_selection=RANKING_SELECTION,
        tags={KIND_TAG: "ranking", "dagster/priority": "5"},
    )  # fmt: skip


def other_account_request(warehouse: WarehouseResource, policy: RotationPolicy) -> dg.RunRequest | None:
    """Return the request of the newest rotation for the policy's account; None if it is that already, or if none is."""
    newest = newest_rotation(warehouse.path, warehouse.checked_venue)
    if newest is None or newest[0].account == policy.account:
        return None
    day = newest[0].as_of_day
    return dg.RunRequest(
        run_key=f"account:{day}:{newest[0].version}:{policy.account}", partition_key=day,
        job_name=DAILY_JOB, asset_selection=[gold_key(ROTATION)], tags={KIND_TAG: "account", "dagster/priority": "5"},
    )  # fmt: skip


def _is_judging(instance: dg.DagsterInstance) -> bool:
    status = dg.DagsterRunStatus
    waiting = [status.NOT_STARTED, status.QUEUED, status.STARTING, status.STARTED]
    return bool(instance.get_runs(dg.RunsFilter(statuses=waiting), limit=1))


def landing_events(landing: Landing, day: str) -> list[dg.AssetMaterialization]:
    """Return what landed on a day as materializations of the external landing tables: rows, bytes and parts to plot."""
    events = []
    for table in TABLES:
        lines = landing.of(day, table)
        if lines:
            metadata: dict[str, Any] = {
                "dagster/row_count": sum(line.row_count for line in lines),
                "bytes": sum(line.byte_count for line in lines),
                "parts": len(lines),
                "sessions": len({line.session_id for line in lines}),
                "market_count": len({coin for line in lines for coin in line.coins}),
            }
            tags = {DATA_VERSION_TAG: digest_of(lines)}
            events.append(dg.AssetMaterialization(landing_key(table), partition=day, metadata=metadata, tags=tags))
    return events


def _skip_text(plan: Plan, landing: Landing) -> str:
    if not landing.days:
        return "no sealed part yet"
    if plan.unknown_days:
        return f"{plan.unknown_days[0]} has data but no partition: reload the code location"
    return f"nothing new in {len(landing.days)} days"


def _tick(
    context: dg.SensorEvaluationContext,
    keys: frozenset[str],
    warehouse: WarehouseResource,
    policy: RotationPolicy,
    now_ts_ns: int,
) -> dg.SensorResult:
    try:
        landing = warehouse.landing()
    except StoreError as error:
        return dg.SensorResult(skip_reason=f"manifest: {error}", cursor=context.cursor)
    cursor = read_cursor(context.cursor)
    _, cursor.processes = end_lost_runs(context.instance, cursor.processes)
    plan = plan_tick(landing, keys, cursor, now_ts_ns)
    again, plan.cursor.failed = days_again(context.instance, landing, plan.cursor.failed)
    requests = [*plan.requests, *again]
    closed = [day for day in landing.days if day in keys and is_closed(day, now_ts_ns)]
    if closed and not requests and not _is_judging(context.instance):
        stale = stale_ranking_request(warehouse, closed[-1], ScoreRule().window_days)
        stale = stale or other_account_request(warehouse, policy)
        requests += [stale] if stale else []
    kept = msgspec.json.encode(plan.cursor).decode()
    if requests:
        asked = [*plan.days, *(request.partition_key for request in plan.requests if request.partition_key)]
        events = [event for day in dict.fromkeys(asked) for event in landing_events(landing, day)]
        return dg.SensorResult(run_requests=requests, cursor=kept, asset_events=events)
    return dg.SensorResult(skip_reason=_skip_text(plan, landing), cursor=kept)


def build_sealed_files(jobs: Sequence[Any], partitions: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """Return the sensor that turns sealed parts into runs of the daily job and of the one that catches up."""

    @dg.sensor(
        name="sealed_files", jobs=list(jobs), minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Closed days after 00:10 UTC, today at most every 30 minutes; run key = day + manifest digest",
    )  # fmt: skip
    def sealed_files(
        context: dg.SensorEvaluationContext,
        warehouse: WarehouseResource,
        policy: RotationPolicy,
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult:
        keys = frozenset(partitions.get_partition_keys())
        return _tick(context, keys, warehouse, policy, clock.now_ts_ns())

    return sealed_files


def backstop(
    instance: dg.DagsterInstance, landing: Landing, partitions: dg.DailyPartitionsDefinition, day: str
) -> dg.RunRequest | dg.SkipReason:
    """Return the request of a closed day, unless a run was asked for with the same input (by the sensor, say).

    Nor while an older day waits: a day that is judged before it is refused, for its window has a hole.
    """
    digest = landing.digest(day)
    if not digest:
        return dg.SkipReason(f"no sealed part for {day}")
    if not partitions.has_partition_key(day):
        return dg.SkipReason(f"{day} has no partition: reload the code location")
    request = day_request(day, digest)
    inputs = {each: f"{each}:{landing.digest(each)}" for each in landing.days if each <= day}
    runs = instance.get_runs(dg.RunsFilter(tags={INPUT_TAG: list(inputs.values())}))
    asked = {run.tags[INPUT_TAG] for run in runs}
    if inputs[day] in asked:
        return dg.SkipReason(f"{request.run_key} was requested already")
    waiting = [each for each in inputs if partitions.has_partition_key(each) and inputs[each] not in asked]
    if waiting[0] != day:
        return dg.SkipReason(f"{waiting[0]} waits, and days are judged in order: the sensor sealed_files asks for them")
    return request


def build_daily_schedule(job_name: str, partitions: dg.DailyPartitionsDefinition) -> dg.ScheduleDefinition:
    """Return the 00:10 UTC backstop for yesterday."""

    @dg.schedule(
        name="daily", job_name=job_name, cron_schedule="10 0 * * *", execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Yesterday, if the sensor sealed_files has not asked for it (it was stopped, say)",
    )  # fmt: skip
    def daily(context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource) -> dg.RunRequest | dg.SkipReason:
        yesterday = day_of(int(context.scheduled_execution_time.timestamp()) * NS_PER_S - NS_PER_DAY)
        return backstop(context.instance, warehouse.landing(), partitions, yesterday)

    return daily
