"""gold/daily_execution: how real orders did. Thin: read, call analytics, write, say what people want to see."""

from typing import Any

import dagster as dg

from hip3_platform.analytics import execution
from hip3_platform.analytics.execution_quality import books_failures
from hip3_platform.analytics.gold import DAILY_EXECUTION, write_daily_execution
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    gold_key,
    maximum_point,
    schema_of_frame,
    table_value,
    written_metadata,
)
from hip3_platform.resources.warehouse import WarehouseResource

_SHOWN = (
    "coin", "order_count", "entry_fill_ratio", "refusals", "fill_count", "round_trip_count", "win_count",
    "entry_slippage_bps_mean", "exit_slippage_bps_mean", "erosion_bps_mean", "received_to_sent_us_p50",
    "sent_to_answer_us_p50", "flat_time_ms_p50", "fees_usd", "fees_modelled_usd", "funding_usd", "net_usd",
    "ledger_difference_usd", "round_trip_difference_usd",
)  # fmt: skip


def build_daily_execution(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with the execution figures of every market that was traded."""

    @dg.asset(
        key=gold_key(DAILY_EXECUTION), deps=[bronze_key(name) for name in execution.SOURCE_TABLES], group_name="gold",
        partitions_def=partitions, kinds={"polars"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def daily_execution(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        """Fills, slippage, lost edge, latencies, fees, results and agreeing books of real orders; paper is left out."""
        venue = warehouse.checked_venue
        written = write_daily_execution(warehouse.path, venue, context.partition_key)
        frame = written.frame
        return dg.MaterializeResult(
            metadata={
                "markets": table_value(frame, _SHOWN),
                **written_metadata(written, venue, schema_of_frame(execution.SCHEMA, execution.ABOUT)),
                "market_count": frame.height,
                "orders": int(frame["order_count"].sum()),
                "trades": int(frame["fill_count"].sum()),
                "round_trips": int(frame["round_trip_count"].sum()),
                "in_doubt": int(frame["doubt_count"].sum()),
                "net_usd": float(frame["net_usd"].sum() or 0),
                "fees_usd": float(frame["fees_usd"].sum() or 0),
                "books_differ": len(books_failures(frame)),
                **maximum_point(frame, "ledger_difference_usd", "worst_ledger_difference_usd"),
                **maximum_point(frame, "erosion_bps_mean", "worst_erosion_bps"),
                **maximum_point(frame, "received_to_sent_us_p99", "worst_received_to_sent_us_p99"),
                **maximum_point(frame, "flat_time_ms_p99", "worst_flat_time_ms_p99"),
                **maximum_point(frame, "exit_slippage_bps_mean", "worst_exit_slippage_bps"),
            }
        )

    return daily_execution
