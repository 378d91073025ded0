"""Conservation: what the engine counted is in the tables. A lost row would make every figure of the day wrong."""

from collections.abc import Iterator

import dagster as dg

from hip3_platform.analytics.conservation import balance_day
from hip3_platform.assets.common import WRITER_POOL, bronze_key
from hip3_platform.checks.result import check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

KEY, NAME = bronze_key("health"), "conservation"
SHOWN = 5


def judge_conservation(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Compare the engine's own counts (table health) with the rows of `bbo` and `ctx`."""
    balances = balance_day(warehouse.path, warehouse.checked_venue, day)
    lost = [b for b in balances if b.is_lost]
    counted, rows = sum(b.counted for b in balances), sum(b.rows for b in balances)
    texts = [
        f"{b.coin} {b.table} of {b.session_id}: {b.counted - b.rows} of {b.counted} rows are missing" for b in lost
    ]
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=NAME,
        passed=not lost,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(texts[:SHOWN]) or f"{counted} frames counted, {rows} rows found",
        metadata={"counted": counted, "rows": rows, "dropped_frames": max(0, rows - counted), "short": len(lost)},
    )


def build_conservation_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `conservation` of bronze/health."""

    @dg.multi_asset_check(
        name="conservation_of_rows", pool=WRITER_POOL,
        specs=[check_spec(KEY, NAME, partitions, needs=[bronze_key("bbo"), bronze_key("ctx")])],
    )  # fmt: skip
    def conservation_of_rows(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key
        yield from recorded(warehouse, clock, day, [judge_conservation(warehouse, day)])

    return conservation_of_rows
