"""landing/<table> → bronze/<table>: sealed parts verified and compacted, one sorted file a market.

Both checks of a table stand in the same step as its compaction, because one read answers both. They block: a table in
doubt is not materialized, and nothing that needs it runs. Files of the day stay as they were.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg

from hip3_platform.analytics.bronze import Compacted, compact
from hip3_platform.analytics.gold import DayInputs, record_inputs
from hip3_platform.analytics.landing import Landing
from hip3_platform.assets.common import WRITER_POOL, bronze_key, landing_key, schema_of_table
from hip3_platform.checks.result import check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.tables import TABLES

COMPACTION_COUNT = 2
"""Tables compacted at once; each holds one part and one market in memory, and Arrow works outside the GIL."""
SHOWN_FINDINGS = 20
CHECKS = ("contract", "completeness")


def landing_specs(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetSpec]:
    """Return the sidecar's tables as external assets."""
    return [
        dg.AssetSpec(
            landing_key(table.name),
            description=f"{table.purpose}. Sealed by the sidecar; announced in manifest/.",
            group_name="landing",
            kinds={"parquet"},
            partitions_def=partitions,
            metadata={"dagster/column_schema": schema_of_table(table), "version": table.version},
        )
        for table in TABLES.values()
    ]


def _specs(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            bronze_key(table.name),
            deps=[landing_key(table.name)],
            description=f"{table.purpose}. One sorted file a market and day.",
            group_name="bronze",
            kinds={"parquet"},
            skippable=True,
            partitions_def=partitions,
            metadata={"dagster/column_schema": schema_of_table(table), "version": table.version},
        )
        for table in TABLES.values()
    ]


def _check_specs(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetCheckSpec]:
    return [check_spec(bronze_key(table), name, partitions) for table in TABLES for name in CHECKS]


def _check(name: str, result: Compacted, findings: list[str]) -> dg.AssetCheckResult:
    shown = "\n".join(f"- {text}" for text in findings[:SHOWN_FINDINGS])
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=bronze_key(result.table),
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR,
        description=findings[0][:300] if findings else f"{result.part_count} parts",
        metadata={"finding_count": len(findings), **({"findings": dg.MetadataValue.md(shown)} if findings else {})},
    )


def _materialization(result: Compacted, venue: str, digest: str) -> dg.MaterializeResult[Any]:
    counts = result.row_counts or {}
    records = [dg.TableRecord({"market": coin, "rows": count}) for coin, count in counts.items()]
    schema = dg.TableSchema(columns=[dg.TableColumn("market", "string"), dg.TableColumn("rows", "int")])
    return dg.MaterializeResult(
        asset_key=bronze_key(result.table),
        metadata={
            "dagster/row_count": result.row_count,
            "dagster/column_schema": schema_of_table(TABLES[result.table]),
            "markets": dg.MetadataValue.table(records, schema=schema),
            "market_count": len(counts),
            "bytes": result.byte_count,
            "parts": result.part_count,
            "duplicates_removed": result.duplicate_count,
            "venue": venue,
            "manifest_digest": digest,
        },
        data_version=dg.DataVersion(digest),
    )


def _compact_tables(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, landing: Landing, tables: list[str]
) -> Iterator[Compacted]:
    day, venue = context.partition_key, warehouse.checked_venue
    largest_first = sorted(tables, key=lambda table: -sum(line.row_count for line in landing.of(day, table)))
    with ThreadPoolExecutor(COMPACTION_COUNT) as pool:
        results = pool.map(lambda t: compact(warehouse.path, t, venue, day, landing.of(day, t)), largest_first)
        for result in results:
            result.findings.contract.extend(t for t in landing.conflicts.get(day, ()) if f"/{result.table}/" in t)
            if not result.findings.is_clean:
                context.log.error("table %s of %s is in doubt: %s", result.table, day, result.findings)
            yield result


def build_bronze(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the one step that makes all bronze tables of a day; a subset of tables may be chosen."""

    @dg.multi_asset(
        name="bronze", specs=_specs(partitions), check_specs=_check_specs(partitions), can_subset=True, pool=WRITER_POOL
    )
    def bronze(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Verify and compact what the sidecar sealed for one day."""
        landing = warehouse.landing()
        day, venue = context.partition_key, warehouse.checked_venue
        digest = landing.digest(day)
        tables = [name for name in TABLES if bronze_key(name) in context.selected_asset_keys]
        row_counts: dict[str, int] = {}
        judged: list[dg.AssetCheckResult] = []
        for result in _compact_tables(context, warehouse, landing, tables):
            if result.findings.is_clean:
                row_counts[result.table] = result.row_count
                yield _materialization(result, venue, digest)
            judged += [_check(name, result, getattr(result.findings, name)) for name in CHECKS]
        yield from recorded(warehouse, clock, day, judged, digest)
        if len(row_counts) == len(TABLES):
            record_inputs(warehouse.path, DayInputs(venue=venue, day=day, digest=digest, row_counts=row_counts))

    return bronze
