"""Which files and columns the ways read."""

from pathlib import Path

from hip3_platform.analytics.evidence.columns import BBO_COLUMNS, CTX_COLUMNS
from hip3_platform.analytics.frames import markets_of
from hip3_platform.bench.day import VENUE
from streaming.contracts.paths import bronze_path

THREADS = 2
"""Of every way that can be told."""
READ = {"bbo": [*BBO_COLUMNS, "recv_mono_ns"], "ctx": [*CTX_COLUMNS, "recv_mono_ns"]}
"""What the platform reads of a day's feed: the last column for the metrics, the others for episodes and markouts."""
MADE = {"daily_metric": "daily_metrics", "policy_hour": "policy_hours", "episode": "evidence_episodes"}
"""What the SQL reference makes, and the table of gold that must say the same."""


def coins_of(root: Path, day: str) -> tuple[str, ...]:
    """Return the markets of a day, sorted."""
    return markets_of(root, VENUE, day, ("bbo", "ctx"))


def file_of(root: Path, table: str, day: str, coin: str) -> Path:
    """Return the file of a market's rows."""
    return bronze_path(root, table=table, venue=VENUE, day=day, coin=coin)


def scanned(root: Path, day: str) -> list[tuple[Path, list[str]]]:
    """Return every file of bbo and ctx with the columns that are read of it."""
    coins = coins_of(root, day)
    return [(file_of(root, table, day, coin), columns) for table, columns in READ.items() for coin in coins]
