"""From the evidence in force to the document that is pushed. Thin: read, call analytics, write, say why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from hip3_platform.analytics.closing import is_closed
from hip3_platform.analytics.evidence.tables import APPROVALS, POLICY_FILLS, STANDINGS
from hip3_platform.analytics.gold import DAILY_METRICS, INCIDENTS, MARKET_RANKING, ROTATION
from hip3_platform.analytics.rotating import blacklist, score
from hip3_platform.analytics.rotating.blacklist import BlacklistRule
from hip3_platform.analytics.rotating.score import ScoreRule
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    file_metadata,
    gold_key,
    looking_back,
    maximum_point,
    schema_of_frame,
    table_value,
    written_metadata,
)
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.rotation import RotationDoc, encode_rotation, rotation_sha256

_RANKING_SHOWN = ("rank", "coin", "score_usd", "mean_usd", "se_usd", "day_count", "fill_count", "reason")
_ROTATION_TYPES = {
    "market": "string", "decision": "string", "ntl_max": "float", "score_usd": "float", "against": "string",
    "why": "string",
}  # fmt: skip
TIMELINE_DAYS = 28


def build_incidents(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with what keeps markets out for a while."""

    @dg.asset(
        key=gold_key(INCIDENTS), group_name="gold", partitions_def=partitions, kinds={"polars"},
        deps=[*(bronze_key(name) for name in ("events", "specs", "round_trips")), gold_key(DAILY_METRICS)],
        freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def incidents(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, policy: RotationPolicy
    ) -> dg.MaterializeResult[Any]:
        """Halts, oracle stalls, changed parameters and tail losses of the day, one row a market and kind."""
        from hip3_platform.analytics.gold_rotation import write_incidents

        venue = warehouse.checked_venue
        written = write_incidents(warehouse.path, venue, context.partition_key, policy.incidents)
        schema = schema_of_frame(blacklist.INCIDENTS, blacklist.ABOUT)
        return dg.MaterializeResult(
            metadata={
                "incidents": table_value(written.frame, ("coin", "kind", "detail")),
                **written_metadata(written, venue, schema),
            }
        )

    return incidents


def build_market_ranking(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that ranks the markets over the window that ends with the day."""
    window = looking_back(ScoreRule().window_days)

    @dg.asset(
        key=gold_key(MARKET_RANKING), group_name="gold", partitions_def=partitions, kinds={"polars"},
        deps=[
            *(dg.AssetDep(gold_key(name), partition_mapping=window) for name in (DAILY_METRICS, POLICY_FILLS)),
            dg.AssetDep(gold_key(APPROVALS)),
        ],
        freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def market_ranking(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, policy: RotationPolicy
    ) -> dg.MaterializeResult[Any]:
        """Lower bound of dollars a day, by the policy approved, at the measured latency and the book's capacity."""
        from hip3_platform.analytics.gold_rotation import write_ranking
        from hip3_platform.looks.render import markdown_image
        from hip3_platform.looks.sections.rotation import ranking_figure

        venue = warehouse.checked_venue
        written = write_ranking(warehouse.path, venue, context.partition_key, policy.ranking)
        ranked, drawn = written.frame.filter(pl.col("rank").is_not_null()), ranking_figure(written.frame, venue)
        return dg.MaterializeResult(
            metadata={
                "ranking": table_value(written.frame, _RANKING_SHOWN),
                **written_metadata(written, venue, schema_of_frame(score.SCHEMA, score.ABOUT)),
                "bounds": dg.MetadataValue.md(markdown_image(drawn, "dollars a day by market")),
                "markets_ranked": ranked.height,
                "markets_unranked": written.frame.height - ranked.height,
                **maximum_point(ranked, "mean_usd", "best_mean_usd"),
                **maximum_point(ranked, "score_usd", "best_score_usd"),
                "json": dg.MetadataValue.path(str(written.path.with_suffix(".json").resolve())),
            }
        )

    return market_ranking


def _rotation_result(root: Path, doc: RotationDoc, path: Path) -> dg.MaterializeResult[Any]:
    from hip3_platform.analytics.gold_rotation import rotation_rows
    from hip3_platform.looks.render import markdown_image
    from hip3_platform.looks.sections import timeline

    raw = encode_rotation(doc)
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in _ROTATION_TYPES.items()])
    drawn = timeline(root, doc.venue, doc.as_of_day, TIMELINE_DAYS)
    return dg.MaterializeResult(
        metadata={
            "markets": dg.MetadataValue.table([dg.TableRecord(row) for row in rotation_rows(doc)], schema=schema),
            "timeline": dg.MetadataValue.md(markdown_image(drawn, "markets of the last rotations")),
            "markets_kept": len(doc.markets),
            "markets_excluded": len(doc.excluded),
            "markets_proposed": len(doc.proposed),
            "version": doc.version,
            "note": doc.note,
            "sha256": rotation_sha256(raw),
            "expires": dg.MetadataValue.timestamp(doc.expires_ts_ns / 1e9),
            **file_metadata(path, len(raw), doc.venue),
        }
    )


def build_rotation_asset(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that is the rotation document of a day."""
    incidents = dg.AssetDep(gold_key(INCIDENTS), partition_mapping=looking_back(BlacklistRule().window_days))

    @dg.asset(
        key=gold_key(ROTATION), deps=[gold_key(MARKET_RANKING), gold_key(STANDINGS), incidents],
        group_name="gold", partitions_def=partitions, kinds={"json"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
        output_required=False,
    )  # fmt: skip
    def rotation(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        policy: RotationPolicy,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Which markets may trade, for how much, and why every other one may not."""
        from hip3_platform.analytics.gold_rotation import write_rotation

        day = context.partition_key
        if is_closed(day, clock.now_ts_ns()):
            written = write_rotation(warehouse.path, warehouse.checked_venue, day, policy.rotation)
            yield _rotation_result(warehouse.path, *written)
        else:
            context.log.warning("%s is not closed yet: it feeds no rotation", day)

    return rotation
