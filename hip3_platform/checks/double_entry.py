"""Conservation of money: every posting balances, and our cash is what was posted and what the venue says."""

import dagster as dg

from hip3_platform.analytics.double_entry import conserve_day
from hip3_platform.assets.common import WRITER_POOL, bronze_key, partitioned_checks
from hip3_platform.resources.warehouse import WarehouseResource

SHOWN = 5


def judge_money(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Compare the ledger of a day with itself and with the reads of the account."""
    found = conserve_day(warehouse.path, warehouse.checked_venue, day)
    good = (
        f"{found.posting_count} postings balance; {found.interval_count} intervals between reads of the account agree"
    )
    return dg.AssetCheckResult(
        passed=not found.failures,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(found.failures[:SHOWN])[:1000] or good,
        metadata={
            "postings": found.posting_count,
            "account_reads": found.read_count,
            "intervals": found.interval_count,
            "difference_max_usd": float(found.difference_max),
            "failures": len(found.failures),
        },
    )


def build_double_entry_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `double_entry` of bronze/ledger."""
    with partitioned_checks():

        @dg.asset_check(
            asset=bronze_key("ledger"), name="double_entry", blocking=True, pool=WRITER_POOL, partitions_def=partitions,
            additional_deps=[bronze_key("reconciliations")],
            description="Legs sum to zero; cash between two reads of the account moved by what was posted, to the cent",
        )  # fmt: skip
        def double_entry(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
            return judge_money(warehouse, context.partition_key)

    return double_entry
