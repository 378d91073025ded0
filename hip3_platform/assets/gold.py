"""Figures, markouts, ranking and rotation of a day. Thin: read, call analytics, write, say what people want to see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from hip3_platform.analytics import markouts, metrics, ranking
from hip3_platform.analytics.closing import is_closed
from hip3_platform.analytics.gold import (
    DAILY_EXECUTION,
    DAILY_METRICS,
    MARKET_RANKING,
    MARKOUTS,
    ROTATION,
    write_daily_metrics,
    write_markouts,
    write_ranking,
    write_rotation,
)
from hip3_platform.analytics.views import write_views
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    file_metadata,
    gold_key,
    maximum_point,
    schema_of_frame,
    table_value,
    written_metadata,
)
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.rotation import RotationDoc, encode_rotation, rotation_sha256

VIEWS = "views"
EXAMPLE_QUERY = '"from bronze.signals select coin, count(*) group by all"'
_METRICS_SHOWN = (
    "coin", "cross_episode_count", "cross_tick_count", "signal_count", "blocked_count", "edge_bps_p50",
    "cross_duration_ms_p50", "bbo_count", "bbo_null_rate", "bbo_recv_interval_ms_p50", "bbo_age_ms_clock_p95",
    "ctx_age_ms_clock_p95", "oracle_stale_rate", "spread_shock_rate", "reconnect_count",
)  # fmt: skip
_RANKING_SHOWN = (
    "rank", "coin", "score_bps", "mean_bps", "se_bps", "episode_count", "blocked_count", "void_count", "win_rate",
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
                "reconnects_max": int(frame["reconnect_count"].max() or 0),  # type: ignore[arg-type]
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
        venue = warehouse.checked_venue
        written = write_markouts(warehouse.path, venue, context.partition_key)
        taken = written.frame.filter(pl.col("state") == "executable")
        by_market = taken.group_by("coin").agg(
            n=pl.len(), mean_bps=pl.col("net_bps").mean(), sd_bps=pl.col("net_bps").std(),
            gross_bps=pl.col("gross_bps").mean(), fee_bps=pl.col("fee_bps").mean(),
        ).sort("coin")  # fmt: skip
        return dg.MaterializeResult(
            metadata={
                "markets": table_value(by_market, by_market.columns),
                **written_metadata(written, venue, schema_of_frame(markouts.SCHEMA, markouts.ABOUT)),
                "executable": taken.height,
                "blocked": int((written.frame["state"] == "blocked").sum()),
                "void": int((written.frame["state"] == "void").sum()),
                **maximum_point(by_market, "mean_bps", "best_mean_bps"),
            }
        )

    return executable_markouts


def build_market_ranking(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that ranks the markets over the window that ends with the day."""
    # The window reaches back over partitions that may not exist; the ranking reads what is there and lists it.
    window = dg.TimeWindowPartitionMapping(start_offset=1 - ranking.RankingRule().window_days)

    @dg.asset(
        key=gold_key(MARKET_RANKING), group_name="gold", partitions_def=partitions, kinds={"polars"},
        deps=[dg.AssetDep(gold_key(name), partition_mapping=window) for name in (DAILY_METRICS, MARKOUTS)],
        freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def market_ranking(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, policy: RotationPolicy
    ) -> dg.MaterializeResult[Any]:
        """Mean executable exit at +5 s after fees, per episode, with its lower bound; under 30 episodes unranked."""
        venue = warehouse.checked_venue
        written = write_ranking(warehouse.path, venue, context.partition_key, policy.ranking)
        ranked = written.frame.filter(pl.col("state") == "ranked")
        return dg.MaterializeResult(
            metadata={
                "ranking": table_value(written.frame, _RANKING_SHOWN),
                **written_metadata(written, venue, schema_of_frame(ranking.SCHEMA, ranking.ABOUT)),
                "markets_ranked": ranked.height,
                "markets_unranked": written.frame.height - ranked.height,
                "episodes": int(written.frame["episode_count"].sum()),
                **maximum_point(ranked, "mean_bps", "best_mean_bps"),
                **maximum_point(ranked, "score_bps", "best_score_bps"),
                "json": dg.MetadataValue.path(str(written.path.with_suffix(".json").resolve())),
            }
        )

    return market_ranking


def _rotation_table(doc: RotationDoc) -> dg.TableMetadataValue:
    kept = [
        {"market": m.coin, "kept": True, "ntl_max": float(m.ntl_max), "score_bps": float(m.score_bps), "why": m.reason}
        for m in doc.markets
    ]
    out = [{"market": x.coin, "kept": False, "ntl_max": 0.0, "score_bps": None, "why": x.reason} for x in doc.excluded]
    rows: list[dict[str, Any]] = [*kept, *out]
    types = {"market": "string", "kept": "bool", "ntl_max": "float", "score_bps": "float", "why": "string"}
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in types.items()])
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema=schema)


def _rotation_result(doc: RotationDoc, path: Path) -> dg.MaterializeResult[Any]:
    raw = encode_rotation(doc)
    return dg.MaterializeResult(
        metadata={
            "markets": _rotation_table(doc),
            "markets_kept": len(doc.markets),
            "markets_excluded": len(doc.excluded),
            "version": doc.version,
            "sha256": rotation_sha256(raw),
            "expires": dg.MetadataValue.timestamp(doc.expires_ts_ns / 1e9),
            **file_metadata(path, len(raw), doc.venue),
        }
    )


def build_rotation_asset(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that is the rotation document of a day."""

    @dg.asset(
        key=gold_key(ROTATION), deps=[gold_key(MARKET_RANKING), gold_key(MARKOUTS)], group_name="gold",
        partitions_def=partitions, kinds={"json"}, freshness_policy=FRESHNESS, pool=WRITER_POOL, output_required=False,
    )  # fmt: skip
    def rotation(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        policy: RotationPolicy,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """The best markets with a positive lower bound, and why every other one stays out."""
        day = context.partition_key
        if is_closed(day, clock.now_ts_ns()):
            yield _rotation_result(*write_rotation(warehouse.path, warehouse.checked_venue, day, policy.rotation))
        else:
            context.log.warning("%s is not closed yet: it feeds no rotation", day)

    return rotation


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
