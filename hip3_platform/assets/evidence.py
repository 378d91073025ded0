"""The evidence of a day and of the window that ends with it. Thin: read, call analytics, write, say what it shows.

Statistics and drawing are imported where they run: scipy, statsmodels and matplotlib bring pandas, and a code location
has to load in a second.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from hip3_platform.analytics.evidence.tables import (
    APPROVALS,
    BASIS,
    BASIS_GAPS,
    DAY_TABLES,
    POLICY_FILLS,
    POLICY_HOURS,
    STANDINGS,
    VERDICTS,
    WINDOW_DAYS,
)
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    gold_key,
    looking_back,
    schema_of_frame,
    table_value,
    written_metadata,
)
from hip3_platform.resources.evidence import EvidencePolicy
from hip3_platform.resources.warehouse import WarehouseResource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hip3_platform.analytics.gold_evidence import Decided
    from hip3_platform.looks.files import Files

SOURCE_TABLES = ("bbo", "ctx", "specs", "signals", "gates")
_ABOUT = {
    "policy_hours": "Sums by hour of every policy of the family, at every latency: what statistics read",
    "policy_fills": "Every modelled fill with the size the book showed: what money is computed from",
    "evidence_episodes": "Every cross of every threshold as an episode, and what ended it",
    "basis": "Who closed the gap after a cross: the quote or the oracle",
    "basis_gaps": "Whether the gap of mid to oracle persists",
}
_VERDICTS_SHOWN = (
    "coin", "session", "verdict", "decision_count", "led_count", "quote_share", "oracle_share", "open_share",
    "quote_age_ms", "depth_usd", "reason",
)  # fmt: skip
_APPROVALS_SHOWN = (
    "coin", "state", "verdict", "policy", "test_theta_bps", "test_se_bps", "bound_bps", "p_adjusted", "test_fills",
    "in_sample_theta_bps", "stressed_theta_bps", "reason",
)  # fmt: skip


def build_day_evidence(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the one step that scans a day's book and oracle and writes what later steps read."""
    specs = [
        dg.AssetSpec(
            gold_key(name), deps=[bronze_key(table) for table in SOURCE_TABLES], description=_ABOUT[name],
            group_name="evidence", kinds={"numpy"}, partitions_def=partitions, freshness_policy=FRESHNESS,
        )
        for name in DAY_TABLES
    ]  # fmt: skip

    @dg.multi_asset(name="day_evidence", specs=specs, pool=WRITER_POOL)
    def day_evidence(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Episodes, executable markouts on the grid, and who closed the gaps."""
        from hip3_platform.analytics.gold_evidence import DAY_SCHEMAS, write_day_evidence
        from hip3_platform.looks.files import Files

        venue, day = warehouse.checked_venue, context.partition_key
        all_written = write_day_evidence(warehouse.path, venue, day)
        pictures = _day_pictures(Files(warehouse.path, venue, day), all_written[POLICY_FILLS].frame)
        for name, written in all_written.items():
            metadata = written_metadata(written, venue, schema_of_frame(*DAY_SCHEMAS[name]))
            yield dg.MaterializeResult(asset_key=gold_key(name), metadata={**metadata, **pictures.get(name, {})})

    return day_evidence


def _day_pictures(files: "Files", fills: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Draw by the usual policy: on this step of a day none is chosen yet."""
    from hip3_platform.looks.figures import edge_distribution
    from hip3_platform.looks.sections.markouts import hours_figure
    from hip3_platform.looks.summaries import promised_and_had, usual_rows

    had = promised_and_had(fills.lazy(), usual_rows(sorted(set(fills["coin"]))))
    edges = edge_distribution(had, files.venue, of="modelled fills", had="net")
    return {
        POLICY_HOURS: _pictures(hour_of_week=(hours_figure(files), "result by hour of the week")),
        POLICY_FILLS: _pictures(edges=(edges, "edge at the decision and result of modelled fills")),
    }


def _pictures(**drawn: "tuple[Figure | None, str]") -> dict[str, Any]:
    """Return figures with their texts as metadata; one that could not be drawn for want of a file has none."""
    from hip3_platform.looks.render import markdown_image

    return {
        name: dg.MetadataValue.md(markdown_image(figure, text))
        for name, (figure, text) in drawn.items()
        if figure is not None
    }


def build_verdicts(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that says what explains each market's crosses."""
    window = looking_back(WINDOW_DAYS)

    @dg.asset(
        key=gold_key(VERDICTS), group_name="evidence", partitions_def=partitions, kinds={"polars"},
        deps=[dg.AssetDep(gold_key(name), partition_mapping=window) for name in (BASIS, BASIS_GAPS, DAILY_METRICS)],
        freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def verdicts(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, evidence: EvidencePolicy
    ) -> dg.MaterializeResult[Any]:
        """Stale quote, standing basis, frozen, toxic …: explains and prunes, never approves."""
        from hip3_platform.analytics.evidence import verdict
        from hip3_platform.analytics.gold_evidence import write_verdicts
        from hip3_platform.looks.files import Files
        from hip3_platform.looks.sections.evidence import decay_figure

        venue = warehouse.checked_venue
        written = write_verdicts(warehouse.path, venue, context.partition_key, evidence.rule)
        whole = written.frame.filter(pl.col("session") == verdict.ALL_SESSIONS)
        counts = dict(whole["verdict"].value_counts(sort=True).iter_rows())
        decay = decay_figure(Files(warehouse.path, venue, context.partition_key))
        return dg.MaterializeResult(
            metadata={
                "verdicts": table_value(written.frame, _VERDICTS_SHOWN),
                **written_metadata(written, venue, schema_of_frame(verdict.SCHEMA, verdict.ABOUT)),
                **_pictures(decay=(decay and decay[0], "what is left of the entry edge, by market")),
                **{f"markets_{name}": count for name, count in counts.items()},
            }
        )

    return verdicts


def build_approvals(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the step that decides which markets are proved, and what each may do after today's look."""
    window = looking_back(WINDOW_DAYS)
    deps = [
        dg.AssetDep(gold_key(POLICY_HOURS), partition_mapping=window),
        dg.AssetDep(gold_key(DAILY_METRICS), partition_mapping=window),
        dg.AssetDep(bronze_key("orders"), partition_mapping=window),
        dg.AssetDep(gold_key(VERDICTS)),
    ]
    about = {
        APPROVALS: "Walk-forward policies, their bounds, and which of all watched markets Benjamini-Hochberg lets pass",
        STANDINGS: "What each market may do after today's look: confirmed on 2 days, lost at once",
    }

    @dg.multi_asset(
        name="approvals", pool=WRITER_POOL,
        specs=[
            dg.AssetSpec(
                gold_key(name), deps=deps, description=text, group_name="evidence", kinds={"scipy"},
                partitions_def=partitions, freshness_policy=FRESHNESS,
            )
            for name, text in about.items()
        ],
    )  # fmt: skip
    def approvals(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, evidence: EvidencePolicy
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """In-sample figures stand beside their out-of-sample twins, and only these decide."""
        from hip3_platform.analytics.gold_evidence import STANDINGS_ABOUT, STANDINGS_SCHEMA, write_approvals
        from hip3_platform.looks.files import Files

        venue = warehouse.checked_venue
        decided = write_approvals(warehouse.path, venue, context.partition_key, evidence.rule)
        files = Files(warehouse.path, venue, context.partition_key)
        yield dg.MaterializeResult(asset_key=gold_key(APPROVALS), metadata=_approvals_metadata(decided, files))
        standings = decided.standings
        held = standings.frame.filter(pl.col("since").is_not_null())
        yield dg.MaterializeResult(
            asset_key=gold_key(STANDINGS),
            metadata={
                "standings": table_value(standings.frame, ("coin", "state", "today", "since", "e_value", "reason")),
                **written_metadata(standings, venue, schema_of_frame(STANDINGS_SCHEMA, STANDINGS_ABOUT)),
                "markets_held": held.height,
            },
        )

    return approvals


def _approvals_metadata(decided: "Decided", files: "Files") -> dict[str, Any]:
    from hip3_platform.analytics.evidence import approval
    from hip3_platform.looks.sections.evidence import intervals, threshold_figures
    from hip3_platform.looks.sections.markouts import heat_figures
    from hip3_platform.looks.summaries import best_markets

    written, latency = decided.approvals, decided.latency
    frame = written.frame
    best = best_markets(frame, 1)
    by_threshold, heats = threshold_figures(files, best), heat_figures(files, best)
    passed = frame.filter(~pl.col("state").is_in(["insufficient", "rejected"]))
    return {
        "approvals": table_value(frame, _APPROVALS_SHOWN),
        **written_metadata(written, files.venue, schema_of_frame(approval.SCHEMA, approval.ABOUT)),
        **_pictures(
            intervals=(intervals(frame, files.venue), "result a fill by market"),
            best_by_threshold=(next(iter(by_threshold[0]), None) if by_threshold else None, "best market by threshold"),
            best_by_latency=(next(iter(heats or ()), None), "best market by latency and horizon"),
        ),
        "latency": latency.text,
        "latency_ms": latency.ms,
        "orders_measured": latency.order_count,
        "markets_approved": passed.height,
        "markets_tested": frame.height,
    }
