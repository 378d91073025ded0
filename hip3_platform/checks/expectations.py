"""The Great Expectations suites as asset checks: one step over bronze, one over the figures.

A table that contradicts itself blocks what is made of it; an odd market is a warning (`analytics.suites`). A day
without rows of a table passes saying so: the table was made, and is empty.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hip3_platform.analytics.baseline import history_text, read_baseline
from hip3_platform.analytics.expectations import Validation, validate_profiles
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.analytics.profile import profile_followups, profile_signals
from hip3_platform.analytics.profile_metrics import profile_metrics, read_metrics
from hip3_platform.analytics.profile_trading import profile_fills, profile_orders
from hip3_platform.analytics.suites import FILLS, FOLLOWUPS, ORDERS, SIGNALS, SUITES
from hip3_platform.assets.common import WRITER_POOL, bronze_key, gold_key
from hip3_platform.checks.result import check_result, check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

NAME = "expectations"
Records = list[dict[str, Any]]
PROFILES: dict[str, Callable[[Path, str, str], Records]] = {
    SIGNALS: profile_signals,
    FOLLOWUPS: profile_followups,
    ORDERS: profile_orders,
    FILLS: profile_fills,
}
_NEEDED = {
    SIGNALS: ("gates", "followups", "health"),
    FOLLOWUPS: ("signals",),
    ORDERS: (),
    FILLS: ("orders",),
}  # fmt: skip


def _profile_table(name: str, profile: Records) -> dg.TableMetadataValue:
    shown = [rule.column for rule in SUITES[name] if profile[0][rule.column] is not None and _is_shown(rule.column)]
    columns = [dg.TableColumn("coin", "string"), *(dg.TableColumn(column, "float") for column in shown)]
    records = [
        dg.TableRecord({"coin": row["coin"], **{c: None if row[c] is None else round(float(row[c]), 3) for c in shown}})
        for row in profile
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def _is_shown(column: str) -> bool:
    return not column.endswith("_count") or column == "signal_count"


def _result(
    asset: dg.AssetKey,
    name: str,
    profile: Records,
    validation: Validation,
    more: Sequence[Finding] = (),
    said: str = "",
) -> dg.AssetCheckResult:
    good = f"{validation.expectation_count} expectations hold for {len(profile)} markets"
    return check_result(
        asset, NAME, [*validation.findings, *more], f"{good}; {said}" if said else good,
        {
            "expectations": validation.expectation_count,
            "markets": len(profile),
            "profile": _profile_table(name, profile),
            "data_docs": dg.MetadataValue.url(validation.docs.resolve().as_uri()),
            "data_docs_path": dg.MetadataValue.path(str(validation.docs.resolve())),
        },
    )  # fmt: skip


def judge_tables(warehouse: WarehouseResource, day: str, tables: Sequence[str]) -> Iterator[dg.AssetCheckResult]:
    """Profile bronze tables of a day in DuckDB and judge the profiles in one context."""
    profiles = {table: PROFILES[table](warehouse.path, warehouse.checked_venue, day) for table in tables}
    filled = {table: profile for table, profile in profiles.items() if profile}
    validations = validate_profiles(filled, warehouse.docs_folder, run_name=day) if filled else {}
    for table, profile in profiles.items():
        key = bronze_key(table)
        if profile:
            yield _result(key, table, profile, validations[table])
        else:
            yield check_result(key, NAME, [], f"no {table} that day", {"markets": 0})


def judge_metrics(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Judge gold/daily_metrics of a day against bronze, itself and the days before."""
    root, venue, key = warehouse.path, warehouse.checked_venue, gold_key(DAILY_METRICS)
    metrics = read_metrics(root, venue, day)
    baseline = read_baseline(root, venue, day, warehouse.landing().days)
    profile = profile_metrics(root, venue, day, metrics, baseline)
    if not profile:
        return check_result(key, NAME, baseline.findings, "no market that day", {"markets": 0})
    validation = validate_profiles({DAILY_METRICS: profile}, warehouse.docs_folder, run_name=day)[DAILY_METRICS]
    return _result(key, DAILY_METRICS, profile, validation, baseline.findings, history_text(profile))


def build_expectation_checks(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """Return the check `expectations` of bronze/signals, followups, orders, fills and of gold/daily_metrics."""

    @dg.multi_asset_check(
        name="expectations_of_bronze", can_subset=True, pool=WRITER_POOL,
        specs=[
            check_spec(bronze_key(table), NAME, partitions, needs=[bronze_key(other) for other in _NEEDED[table]])
            for table in PROFILES
        ],
    )  # fmt: skip
    def of_bronze(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        chosen, day = {key.asset_key for key in context.selected_asset_check_keys}, context.partition_key
        tables = [table for table in PROFILES if bronze_key(table) in chosen]
        yield from recorded(warehouse, clock, day, judge_tables(warehouse, day, tables))

    @dg.multi_asset_check(
        name="expectations_of_figures", pool=WRITER_POOL, specs=[check_spec(gold_key(DAILY_METRICS), NAME, partitions)]
    )
    def of_figures(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key
        yield from recorded(warehouse, clock, day, [judge_metrics(warehouse, day)])

    return [of_bronze, of_figures]
