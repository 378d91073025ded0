"""How a check says what it found: expected, found and the first bad row, and the list behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from hip3_platform.analytics.finding import Finding
from hip3_platform.assets.common import partitioned_checks

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
    asset: dg.AssetKey,
    name: str,
    description: str,
    partitions: dg.DailyPartitionsDefinition,
    *,
    is_blocking: bool,
    needs: Sequence[dg.AssetKey] = (),
) -> dg.AssetCheckSpec:
    """Return the spec of a check with one evaluation a day; it runs after `asset` and `needs`."""
    with partitioned_checks():
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, blocking=is_blocking, partitions_def=partitions,
            additional_deps=needs,
        )  # fmt: skip
