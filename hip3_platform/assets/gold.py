"""Figures and markouts of a day, and the views. Thin: read, call analytics, write, say what people want to see."""

from typing import Any

import dagster as dg
import polars as pl

from hip3_platform.analytics import markouts, metrics
from hip3_platform.analytics.gold import (
    DAILY_EXECUTION,
    DAILY_METRICS,
    MARKOUTS,
    write_daily_metrics,
    write_markouts,
)
from hip3_platform.analytics.views import write_views
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

VIEWS = "views"
EXAMPLE_QUERY = '"from bronze.signals select coin, count(*) group by all"'
_METRICS_SHOWN = (
    "coin", "cross_episode_count", "cross_tick_count", "signal_count", "blocked_count", "edge_bps_p50",
    "cross_duration_ms_p50", "bbo_count", "bbo_null_rate", "bbo_recv_interval_ms_p50", "bbo_age_ms_clock_p95",
    "ctx_age_ms_clock_p95", "oracle_stale_rate", "spread_shock_rate", "reconnect_count",
)  # fmt: skip


def build_daily_metrics(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with the daily figures of every market."""

    @dg.asset(
        key=gold_key(DAILY_METRICS), deps=[bronze_key(name) for name in metrics.SOURCE_TABLES], group_name="gold",
        partitions_def=partitions, kinds={"polars"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def daily_metrics(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        """Crosses, ages, intervals, gates and rates of every market, one row a market."""
        venue = warehouse.checked_venue
        written = write_daily_metrics(warehouse.path, venue, context.partition_key)
        frame = written.frame
        return dg.MaterializeResult(
            metadata={
                "markets": table_value(frame, _METRICS_SHOWN),
                **written_metadata(written, venue, schema_of_frame(metrics.SCHEMA, metrics.ABOUT)),
                "market_count": frame.height,
                "cross_count": int(frame["cross_episode_count"].sum()),
                "signals": int(frame["signal_count"].sum()),
                "blocked": int(frame["blocked_count"].sum()),
                "bbo_rows": int(frame["bbo_count"].sum()),
                "ctx_rows": int(frame["ctx_count"].sum()),
                "reconnects_max": max(frame["reconnect_count"].to_list(), default=0),
                **maximum_point(frame, "bbo_null_rate", "worst_bbo_null_rate"),
                **maximum_point(frame, "ctx_age_ms_clock_p95", "worst_ctx_age_ms_p95"),
                **maximum_point(frame, "rate_use_max", "rate_use_max"),
                "json": dg.MetadataValue.path(str(written.path.with_suffix(".json").resolve())),
            }
        )

    return daily_metrics


def build_markouts(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with the executable markout of every signal."""

    @dg.asset(
        key=gold_key(MARKOUTS), deps=[bronze_key(name) for name in markouts.SOURCE_TABLES], group_name="gold",
        partitions_def=partitions, kinds={"polars"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def executable_markouts(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource
    ) -> dg.MaterializeResult[Any]:
        """Entry at the touch, exit at the opposite touch 5 s later, minus both taker fees; one row a signal."""
        # Drawing is imported where it is drawn: a code location loads without it.
        from hip3_platform.looks.figures import edge_distribution
        from hip3_platform.looks.render import markdown_image

        venue = warehouse.checked_venue
        written = write_markouts(warehouse.path, venue, context.partition_key)
        taken = written.frame.filter(pl.col("state") == "executable")
        by_market = taken.group_by("coin").agg(
            n=pl.len(), mean_bps=pl.col("net_bps").mean(), sd_bps=pl.col("net_bps").std(),
            gross_bps=pl.col("gross_bps").mean(), fee_bps=pl.col("fee_bps").mean(),
        ).sort("coin")  # fmt: skip
        drawn = edge_distribution(written.frame, venue)
        return dg.MaterializeResult(
            metadata={
                "markets": table_value(by_market, by_market.columns),
                "edges": dg.MetadataValue.md(markdown_image(drawn, "edge at the decision and executable result")),
                **written_metadata(written, venue, schema_of_frame(markouts.SCHEMA, markouts.ABOUT)),
                "executable": taken.height,
                "blocked": int((written.frame["state"] == "blocked").sum()),
                "void": int((written.frame["state"] == "void").sum()),
                **maximum_point(by_market, "mean_bps", "best_mean_bps"),
            }
        )

    return executable_markouts


def build_views_asset() -> dg.AssetsDefinition:
    """Return the DuckDB file of views (not partitioned: it is one file for all days)."""

    @dg.asset(
        key=gold_key(VIEWS), deps=[gold_key(name) for name in (MARKOUTS, DAILY_METRICS, DAILY_EXECUTION)],
        group_name="gold", kinds={"duckdb"}, pool=WRITER_POOL,
    )  # fmt: skip
    def views(warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        """hip3.duckdb: views over bronze and gold for people who want SQL; holds no data."""
        path, names = write_views(warehouse.path)
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(str(path)),
                "view_count": len(names),
                "views": dg.MetadataValue.md("\n".join(f"- `{name}`" for name in names)),
                "example": dg.MetadataValue.md(f"`duckdb -readonly {path} {EXAMPLE_QUERY}`"),
            }
        )

    return views
