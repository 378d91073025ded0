"""Conservation of money: every posting balances, and our cash is what was posted and what the venue says."""

from collections.abc import Iterator

import dagster as dg

from hip3_platform.analytics.double_entry import conserve_day
from hip3_platform.assets.common import WRITER_POOL, bronze_key
from hip3_platform.checks.result import check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

KEY, NAME = bronze_key("ledger"), "double_entry"
SHOWN = 5


def judge_money(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Compare the ledger of a day with itself and with the reads of the account."""
    found = conserve_day(warehouse.path, warehouse.checked_venue, day)
    good = (
        f"{found.posting_count} postings balance; {found.interval_count} intervals between reads of the account agree"
    )
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=NAME,
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

    @dg.multi_asset_check(
        name="conservation_of_money", pool=WRITER_POOL,
        specs=[check_spec(KEY, NAME, partitions, needs=[bronze_key("reconciliations")])],
    )  # fmt: skip
    def conservation_of_money(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key
        yield from recorded(warehouse, clock, day, [judge_money(warehouse, day)])

    return conservation_of_money
