"""Checks of the day as a whole: holes in the record, the seam at midnight, asset ids, money that stands twice."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from hip3_platform.analytics import asset_ids, completeness
from hip3_platform.analytics.baseline import window_before
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.assets.common import WRITER_POOL, bronze_key
from hip3_platform.checks.result import check_result, check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

_CHECKS = (
    ("health", "gaps"), ("health", "day_boundary"), ("health", "asset_ids"), ("fills", "duplicates"),
    ("ledger", "duplicates"),
)  # fmt: skip


def judge_record(warehouse: WarehouseResource, day: str, table: str, name: str) -> dg.AssetCheckResult:
    """Evaluate one check of this module."""
    root, venue, key = warehouse.path, warehouse.checked_venue, bronze_key(table)
    if name == "gaps":
        return _judge_gaps(warehouse, day)
    if name == "day_boundary":
        found = [*completeness.outside_day(root, venue, day), *completeness.midnight(warehouse.landing(), day)]
        return check_result(key, name, found, "every row inside its day, no hole over midnight")
    if name == "asset_ids":
        found = asset_ids.check_day(root, venue, day, window_before(day))
        markets = len(markets_of(root, venue, day, ("health",)))
        return check_result(key, name, found, f"{markets} markets keep their ids", {"markets": markets})
    found = list(completeness.money_twice(root, venue, day, table))
    return check_result(key, name, found, f"every live row of {table} stands once")


def _judge_gaps(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    root, venue = warehouse.path, warehouse.checked_venue
    samples = {
        coin: read_market(root, "health", venue, day, coin, ("session_id", "ts_ns"))
        for coin in markets_of(root, venue, day, ("health",))
    }
    found = [finding for coin, rows in samples.items() for finding in completeness.record_holes(coin, rows)]
    recorded_s = max((completeness.recorded_s(rows) for rows in samples.values()), default=0.0)
    sessions = pl.concat([rows["session_id"] for rows in samples.values()]).n_unique() if samples else 0
    good = f"{recorded_s:.0f} s recorded in {sessions} sessions, without a hole" if samples else "nothing was recorded"
    return check_result(
        bronze_key("health"), "gaps", found, good, {"recorded_s": recorded_s, "session_count": sessions}
    )


def build_completeness_checks(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return `gaps`, `day_boundary`, `asset_ids` of bronze/health and `duplicates` of bronze/fills and ledger."""

    @dg.multi_asset_check(
        name="completeness_checks", can_subset=True, pool=WRITER_POOL,
        specs=[check_spec(bronze_key(table), name, partitions) for table, name in _CHECKS],
    )  # fmt: skip
    def completeness_checks(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        selected, day = context.selected_asset_check_keys, context.partition_key
        chosen = [(t, name) for t, name in _CHECKS if dg.AssetCheckKey(bronze_key(t), name) in selected]
        results = (judge_record(warehouse, day, table, name) for table, name in chosen)
        yield from recorded(warehouse, clock, day, results)

    return completeness_checks
