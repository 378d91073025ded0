"""Conservation: what the engine counted is in the tables. A lost row would make every figure of the day wrong."""

import dagster as dg

from hip3_platform.analytics.conservation import balance_day
from hip3_platform.assets.common import WRITER_POOL, bronze_key, partitioned_checks
from hip3_platform.resources.warehouse import WarehouseResource

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
        passed=not lost,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(texts[:SHOWN]) or f"{counted} frames counted, {rows} rows found",
        metadata={"counted": counted, "rows": rows, "dropped_frames": max(0, rows - counted), "short": len(lost)},
    )


def build_conservation_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `conservation` of bronze/health."""
    with partitioned_checks():

        @dg.asset_check(
            asset=bronze_key("health"), name="conservation", blocking=True, pool=WRITER_POOL, partitions_def=partitions,
            additional_deps=[bronze_key("bbo"), bronze_key("ctx")],
            description="Frames the engine counted between its samples are rows of bbo and ctx",
        )  # fmt: skip
        def conservation(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
            return judge_conservation(warehouse, context.partition_key)

    return conservation
