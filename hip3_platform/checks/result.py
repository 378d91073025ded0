"""How a check says what it found: expected, found and the first bad row, and the list behind them.

What a check of a day is called, whether it blocks and what it asks stands in `analytics/day_checks.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from hip3_platform.analytics.day_checks import DAY_CHECKS, Look, record_looks
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.gold import inputs_digest
from hip3_platform.assets.common import partitioned_checks
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

SHOWN_FINDINGS = 20
_DESCRIPTION_LENGTH = 500
_COLUMNS = ("where", "rule", "expected", "found", "first")


def check_result(
    asset: dg.AssetKey, name: str, findings: Sequence[Finding], good: str, figures: Mapping[str, Any] | None = None
) -> dg.AssetCheckResult:
    """Return the result of one check.

    Any finding makes it red. Only one that says that the table is wrong has the severity ERROR, which stops what comes
    after a blocking check; what is odd is a WARN, and the day goes on.

    Args:
        asset: The asset that was judged.
        name: Name of the check.
        findings: What does not hold; the wrong ones are shown first.
        good: What to say when nothing was found.
        figures: More metadata.
    """
    ordered = sorted(findings, key=lambda finding: not finding.is_wrong)
    is_wrong = bool(ordered) and ordered[0].is_wrong
    metadata: dict[str, Any] = {"finding_count": len(ordered), **(figures or {})}
    if ordered:
        first = ordered[0]
        metadata |= {"expected": first.expected, "found": first.found, "first_bad_row": f"{first.where} {first.first}"}
        records = [dg.TableRecord({c: getattr(f, c) for c in _COLUMNS}) for f in ordered[:SHOWN_FINDINGS]]
        schema = dg.TableSchema(columns=[dg.TableColumn(c, "string") for c in _COLUMNS])
        metadata["findings"] = dg.MetadataValue.table(records, schema=schema)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not ordered,
        severity=dg.AssetCheckSeverity.ERROR if is_wrong else dg.AssetCheckSeverity.WARN,
        description="; ".join(finding.text for finding in ordered)[:_DESCRIPTION_LENGTH] or good,
        metadata=metadata,
    )


def check_spec(
    asset: dg.AssetKey, name: str, partitions: dg.DailyPartitionsDefinition, *, needs: Sequence[dg.AssetKey] = ()
) -> dg.AssetCheckSpec:
    """Return the spec of a check of `DAY_CHECKS` with one evaluation a day; it runs after `asset` and `needs`."""
    check = DAY_CHECKS[asset.to_user_string(), name]
    with partitioned_checks():
        return dg.AssetCheckSpec(
            name, asset=asset, description=check.about, blocking=check.is_blocking, partitions_def=partitions,
            additional_deps=needs,
        )  # fmt: skip


def recorded(
    warehouse: WarehouseResource,
    clock: Clock,
    day: str,
    results: Iterable[dg.AssetCheckResult],
    digest: str | None = None,
) -> list[dg.AssetCheckResult]:
    """Return the results of checks of a day, written down for those who have no Dagster.

    Args:
        warehouse: Where.
        clock: Says when.
        day: UTC day that was judged.
        results: Each with its asset and name.
        digest: Landing that was judged; that of the day's bronze by default.
    """
    judged = list(results)
    looks = {
        (str(each.asset_key and each.asset_key.to_user_string()), str(each.check_name)): Look(
            each.passed, each.severity is dg.AssetCheckSeverity.ERROR, each.description or ""
        )
        for each in judged
    }
    root, venue = warehouse.path, warehouse.checked_venue
    made_of = inputs_digest(root, venue, day) if digest is None else digest
    record_looks(root, venue, day, looks, digest=made_of, ts_ns=clock.now_ts_ns())
    return judged
