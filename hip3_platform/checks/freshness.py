"""Freshness: a ranking may rest on no table that is older than what has landed; a rotation moves money by it."""

from collections.abc import Iterator

import dagster as dg

from hip3_platform.analytics.gold import INCIDENTS, MARKET_RANKING, window_days
from hip3_platform.analytics.staleness import RANKED_DAYS, stale_inputs
from hip3_platform.assets.common import WRITER_POOL, gold_key
from hip3_platform.checks.result import check_result, check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

NAME = "freshness"


def judge_freshness(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Compare what a ranking was made of with what has landed, day by day of its window."""
    landing = warehouse.landing()
    found = list(stale_inputs(warehouse.path, landing, warehouse.checked_venue, day))
    used = len(set(window_days(day, RANKED_DAYS)) & set(landing.days))
    return check_result(gold_key(MARKET_RANKING), NAME, found, f"{used} days, each made of all that landed")


def build_freshness_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `freshness` of gold/market_ranking."""

    @dg.multi_asset_check(
        name="freshness_of_ranking",
        pool=WRITER_POOL,
        specs=[check_spec(gold_key(MARKET_RANKING), NAME, partitions, needs=[gold_key(INCIDENTS)])],
    )
    def freshness_of_ranking(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key
        yield from recorded(warehouse, clock, day, [judge_freshness(warehouse, day)])

    return freshness_of_ranking
