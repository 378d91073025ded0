"""The expectation suite over a day's signals, as one blocking asset check: figures never rest on signals in doubt."""

from typing import Any

import dagster as dg

from hip3_platform.analytics.expectations import validate_profile
from hip3_platform.analytics.profile import profile_signals
from hip3_platform.assets.common import WRITER_POOL, bronze_key, partitioned_checks
from hip3_platform.resources.warehouse import WarehouseResource

PROFILE_SHOWN = ("coin", "signal_count", "blocked_ratio", "raw_edge_bps_mean", "raw_edge_bps_max")


def _profile_table(profile: list[dict[str, Any]]) -> dg.TableMetadataValue:
    columns = [dg.TableColumn(name, "string" if name == "coin" else "float") for name in PROFILE_SHOWN]
    records = [
        dg.TableRecord({name: row[name] if name == "coin" else round(float(row[name]), 3) for name in PROFILE_SHOWN})
        for row in profile
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def judge_signals(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Profile the signals of a day in DuckDB and judge the profile with Great Expectations."""
    profile = profile_signals(warehouse.path, warehouse.checked_venue, day)
    if not profile:
        return dg.AssetCheckResult(passed=True, description="no signals that day", metadata={"signals": 0})
    validation = validate_profile(profile, warehouse.docs_folder, run_name=day)
    return dg.AssetCheckResult(
        passed=validation.is_passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(validation.failures)[:500]
        or f"{validation.expectation_count} expectations hold for {len(profile)} markets",
        metadata={
            "expectations": validation.expectation_count,
            "failed": len(validation.failures),
            "signals": int(sum(row["signal_count"] for row in profile)),
            "profile": _profile_table(profile),
            "data_docs": dg.MetadataValue.url(validation.docs.resolve().as_uri()),
            "data_docs_path": dg.MetadataValue.path(str(validation.docs.resolve())),
        },
    )


def build_signals_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `expectations` of bronze/signals."""
    with partitioned_checks():

        @dg.asset_check(
            asset=bronze_key("signals"), name="expectations", blocking=True, pool=WRITER_POOL,
            partitions_def=partitions,
            additional_deps=[bronze_key("gates"), bronze_key("followups"), bronze_key("health")],
            description="Great Expectations over a per-market profile: keys, prices, edges, gate vectors, follow-ups",
        )  # fmt: skip
        def expectations(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
            return judge_signals(warehouse, context.partition_key)

    return expectations
