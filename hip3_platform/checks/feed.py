"""Checks of the recorded feed: one step, one read of each market's bbo and ctx."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg

from hip3_platform.analytics import feed_quality
from hip3_platform.analytics.feed_quality import BBO_COLUMNS, CTX_COLUMNS, Feed
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.assets.common import WRITER_POOL, bronze_key
from hip3_platform.checks.result import check_result, check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource

READER_COUNT = 2
"""Markets read at once; each holds the columns above in memory."""
_CHECKS = (
    ("bbo", "sequence"), ("bbo", "duplicates"), ("bbo", "late_rows"), ("bbo", "frozen_quotes"), ("ctx", "sequence"),
    ("ctx", "gaps"),
)  # fmt: skip
Judged = dict[tuple[str, str], list[Finding]]


def judge_market(root: Path, venue: str, day: str, coin: str) -> Judged:
    """Return (table, check) → what was found in one market's feed."""
    feed = Feed(
        coin, read_market(root, "bbo", venue, day, coin, BBO_COLUMNS),
        read_market(root, "ctx", venue, day, coin, CTX_COLUMNS),
    )  # fmt: skip
    return {
        ("bbo", "sequence"): list(feed_quality.sequence(coin, feed.bbo)),
        ("bbo", "duplicates"): list(feed_quality.duplicates(feed)),
        ("bbo", "late_rows"): list(feed_quality.late_rows(feed)),
        ("bbo", "frozen_quotes"): list(feed_quality.frozen_quotes(feed)),
        ("ctx", "sequence"): list(feed_quality.sequence(coin, feed.ctx)),
        ("ctx", "gaps"): list(feed_quality.holes(feed)),
    }


def judge_feed(
    warehouse: WarehouseResource, day: str, chosen: Collection[tuple[str, str]] = _CHECKS
) -> Iterator[dg.AssetCheckResult]:
    """Judge the feed of every market of a day.

    Args:
        warehouse: The warehouse.
        day: UTC day.
        chosen: (table, check) of those to tell; all of them by default.
    """
    root, venue = warehouse.path, warehouse.checked_venue
    coins = markets_of(root, venue, day, ("bbo", "ctx"))
    with ThreadPoolExecutor(READER_COUNT) as pool:
        judged = list(pool.map(lambda coin: judge_market(root, venue, day, coin), coins))
    for table, name in chosen:
        findings = [finding for market in judged for finding in market[table, name]]
        good = f"holds for {len(coins)} markets" if coins else "no market that day"
        yield check_result(bronze_key(table), name, findings, good, {"markets": len(coins)})


def build_feed_checks(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return `sequence`, `duplicates`, `late_rows`, `frozen_quotes` of bronze/bbo, `sequence`, `gaps` of bronze/ctx."""

    @dg.multi_asset_check(
        name="feed_checks", can_subset=True, pool=WRITER_POOL,
        specs=[check_spec(bronze_key(table), name, partitions) for table, name in _CHECKS],
    )  # fmt: skip
    def feed_checks(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        chosen = [(t, name) for t, name in _CHECKS if dg.AssetCheckKey(bronze_key(t), name) in selected]
        day = context.partition_key
        yield from recorded(warehouse, clock, day, judge_feed(warehouse, day, chosen))

    return feed_checks
