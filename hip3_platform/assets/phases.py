"""gold/phase_verdict: what stands against leaving a phase. Thin: read, call analytics, write, say what people want.

Beside it the external asset sidecar/phase: what the sensor `phase_exit` did because of it, and its check `obeyed`.
"""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from hip3_platform.analytics.evidence.tables import APPROVALS
from hip3_platform.analytics.gold import DAILY_EXECUTION, DAILY_METRICS, MARKOUTS
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    file_metadata,
    gold_key,
    schema_of_frame,
    table_value,
)
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.phase import LEFT_BY, PHASE_VERDICT, VerdictDoc, encode_verdict, missing_rows, verdict_sha256

SIDECAR_PHASE = dg.AssetKey(["sidecar", "phase"])
OBEYED = "obeyed"
BRONZE = ("events", "health", "orders", "signals", "round_trips", "specs", "configs", "reconciliations")
_SHOWN = ("phase", "row", "kind", "state", "figure", "expected", "evidence", "action")


def phase_verdict_spec() -> dg.AssetSpec:
    """Return what the sidecar's phase is told, as an external asset."""
    return dg.AssetSpec(
        SIDECAR_PHASE,
        deps=[gold_key(PHASE_VERDICT)],
        description="The running sidecar's phase; an exit is an observation, one that is not obeyed a red check",
        group_name="sidecar",
    )


def build_phase_verdict(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with the verdict of every row of the phase table."""
    gold = (DAILY_METRICS, DAILY_EXECUTION, MARKOUTS, APPROVALS)

    @dg.asset(
        key=gold_key(PHASE_VERDICT), group_name="gold", partitions_def=partitions, kinds={"polars", "json"},
        deps=[*(gold_key(name) for name in gold), *(bronze_key(name) for name in BRONZE)],
        freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def phase_verdict(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, policy: RotationPolicy
    ) -> dg.MaterializeResult[Any]:
        """Every row of the phase table as PASS, FAIL or NOT YET, of one venue and account, with where it comes from."""
        # Statistics are imported where they run: they bring pandas, and a code location has to load in a second.
        from hip3_platform.analytics.phases.verdict import write_phase_verdict

        doc, path, byte_count = write_phase_verdict(
            warehouse.path, warehouse.checked_venue, policy.account, context.partition_key
        )
        return _result(doc, path, byte_count)

    return phase_verdict


def _result(doc: VerdictDoc, path: Path, byte_count: int) -> dg.MaterializeResult[Any]:
    from hip3_platform.analytics.phases.verdict import ABOUT, SCHEMA, verdict_frame

    frame = verdict_frame(doc)
    rows = frame.filter(pl.col("kind") == "requirement")
    acting = [f"{each.row}: {each.action} {each.to_phase}".strip() for each in doc.exits if each.state == "FAIL"]
    missing = {f"missing_for_{phase}": len(missing_rows(doc, phase)) for phase in LEFT_BY}
    return dg.MaterializeResult(
        metadata={
            "rows": table_value(frame, _SHOWN),
            "dagster/row_count": frame.height,
            "dagster/column_schema": schema_of_frame(SCHEMA, ABOUT),
            **file_metadata(path, byte_count, doc.venue),
            "account": doc.account,
            "passed": int((rows["state"] == "PASS").sum()),
            "failed": int((rows["state"] == "FAIL").sum()),
            "not_yet": int((rows["state"] == "NOT YET").sum()),
            **missing,
            "exits_acting": ", ".join(acting) or "none",
            "sha256": verdict_sha256(encode_verdict(doc)),
            "json": dg.MetadataValue.path(str(path.with_suffix(".json").resolve())),
        }
    )
