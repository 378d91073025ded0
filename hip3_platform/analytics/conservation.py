"""No row is lost between the engine and the tables: frames the engine counted are rows of `bbo` and `ctx`.

Every sample of `health` carries the frames since the sample before it. Between the first and the last sample of a
session, the rows of a market must be at least what was counted; more is possible, because the engine drops frames of a
connection that is gone and frames whose venue time runs backwards, while the tables keep them.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hip3_platform.analytics.frames import markets_of, read_market

FEEDS = {"bbo": "bbo_count", "ctx": "ctx_count"}


@dataclass(frozen=True, slots=True)
class Balance:
    """Frames counted by the engine against rows in a table, for one market, session and day."""

    coin: str
    session_id: str
    table: str
    counted: int
    rows: int

    @property
    def is_lost(self) -> bool:
        """Whether the table misses rows."""
        return self.rows < self.counted


def _balance_of(root: Path, venue: str, day: str, coin: str) -> list[Balance]:
    samples = read_market(root, "health", venue, day, coin, ("session_id", "seq", *FEEDS.values())).sort("seq")
    balances = []
    for table, column in FEEDS.items():
        rows = read_market(root, table, venue, day, coin, ("session_id", "seq"))
        for (session_id,), own in samples.group_by("session_id", maintain_order=True):
            # A sample is taken before the input that carries its seq is applied.
            inside = rows.filter(
                (pl.col("session_id") == session_id) & pl.col("seq").is_between(own["seq"][0], own["seq"][-1], "left")
            )
            counted = int(own[column][1:].sum())
            balances.append(Balance(coin, str(session_id), table, counted, inside.height))
    return balances


def balance_day(root: Path, venue: str, day: str) -> list[Balance]:
    """Return the balance of every market, session and feed of a day."""
    coins = markets_of(root, venue, day, ("health",))
    return [balance for coin in coins for balance in _balance_of(root, venue, day, coin)]
