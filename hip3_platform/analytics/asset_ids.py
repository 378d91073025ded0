"""Does every market keep its asset id? An order goes to an id, a table speaks of a coin; M11 sent SILVER to RIVN.

Read from Parquet footers: an id is one value a file, so smallest and largest are enough and no row is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hip3_platform.analytics.completeness import footer_bounds
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.frames import markets_of
from streaming.contracts.paths import bronze_path
from streaming.contracts.tables import TABLES

HISTORY_TABLE = "health"
"""Every recorded market has samples, so one table tells the ids of an earlier day."""


def ids_of_table(root: Path, venue: str, day: str, table: str) -> dict[str, tuple[int, int]]:
    """Return coin → (smallest, largest) asset id in one table of a day."""
    column = TABLES[table].names.index("asset_id")
    return {
        coin: footer_bounds(bronze_path(root, table=table, venue=venue, day=day, coin=coin), column)
        for coin in markets_of(root, venue, day, (table,))
    }


def earlier_ids(root: Path, venue: str, days: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Return coin → (asset id, last day it had it) over earlier days, ascending."""
    known: dict[str, tuple[int, str]] = {}
    for day in days:
        known |= {coin: (low, day) for coin, (low, _) in ids_of_table(root, venue, day, HISTORY_TABLE).items()}
    return known


def judge_ids(
    by_table: Mapping[str, Mapping[str, tuple[int, int]]], known: Mapping[str, tuple[int, str]]
) -> Iterator[Finding]:
    """Find a coin with two ids, two coins with one id, and an id that moved since an earlier day.

    Args:
        by_table: Table → coin → (smallest, largest) id of the day; coin `_` (rows of no market) is not among them.
        known: Coin → (id, last day), from `earlier_ids`.
    """
    ids: dict[str, int] = {}
    owners: dict[int, str] = {}
    owned_before = {asset_id: (coin, day) for coin, (asset_id, day) in sorted(known.items(), key=lambda kv: kv[1][1])}
    for table, coins in by_table.items():
        for coin, (low, high) in sorted(coins.items()):
            own = ids.setdefault(coin, low)
            if not own == low == high:
                yield Finding(coin, "asset id", f"{own} in every table of the day", f"{low} to {high} in {table}")
            owner = owners.setdefault(low, coin)
            if owner != coin:
                yield Finding(coin, "asset id", f"{low} is {owner}'s alone", f"{coin} has it too", f"table {table}")
    for coin, asset_id in sorted(ids.items()):
        before, day = known.get(coin, (asset_id, ""))
        if before != asset_id:
            yield Finding(coin, "asset id", f"{before} as on {day}", str(asset_id))
        other, day = owned_before.get(asset_id, (coin, ""))
        if other != coin and ids.get(other) != asset_id:
            yield Finding(coin, "asset id", f"{asset_id} is {other}'s, as on {day}", f"it is {coin}'s now")


def check_day(root: Path, venue: str, day: str, earlier: Iterable[str]) -> list[Finding]:
    """Judge the bronze files of one day against each other and against earlier days.

    Args:
        root: Warehouse.
        venue: Venue.
        day: UTC day, YYYY-MM-DD.
        earlier: Days before it, ascending; those without bronze say nothing.
    """
    by_table = {table: ids_of_table(root, venue, day, table) for table in TABLES}
    return list(judge_ids({HISTORY_TABLE: by_table.pop(HISTORY_TABLE), **by_table}, earlier_ids(root, venue, earlier)))
