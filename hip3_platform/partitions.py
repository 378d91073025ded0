"""Daily partitions in UTC, from the first day the warehouse knows.

The first day is the earliest day any manifest of the venue names when the code location loads. A warehouse without data
starts a ranking window back, so that a history written while Dagster starts is covered; a still earlier day shows as a
skip of the sensor that asks for a reload.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from hip3_platform.analytics.landing import read_landing
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_S

EMPTY_WAREHOUSE_DAYS = 14


def first_day(root: Path, venue: str, now_ts_ns: int) -> str:
    """Return the first day to have a partition."""
    fallback = datetime.fromtimestamp(now_ts_ns // NS_PER_S, tz=UTC).date() - timedelta(days=EMPTY_WAREHOUSE_DAYS)
    try:
        days = read_landing(root, venue).days
    except StoreError:
        # An unreadable manifest must not keep the UI from showing it: bronze and the sensor report it.
        days = ()
    return days[0] if days else fallback.isoformat()


def daily_partitions(first: str) -> dg.DailyPartitionsDefinition:
    """Return daily partitions from `first` (YYYY-MM-DD) to today, today included although it is not closed."""
    return dg.DailyPartitionsDefinition(start_date=first, timezone="UTC", end_offset=1)
