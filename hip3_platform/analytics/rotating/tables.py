"""What a rotation reads of the sidecar's tables: incidents of a day, its configuration, the phase in force.

Rule: what was written last up to the end of the as-of day counts; days are looked through backwards, because a phase or
a configuration is written when it changes and holds across days.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.frames import read_market
from hip3_platform.analytics.rotating import blacklist
from hip3_platform.analytics.rotating.blacklist import BlacklistRule, incidents_of
from hip3_platform.analytics.rotating.settings import Own, correlation_groups_of, own_of


@dataclass(frozen=True, slots=True)
class Sidecar:
    """How the sidecar stood at the end of a day."""

    phase: str
    """ "" is unknown: no change of it was ever written."""
    own: dict[str, Own]
    """By market; empty without a configuration."""
    correlation_groups: dict[str, tuple[str, ...]]


def incidents_on(
    root: Path, venue: str, day: str, coins: Sequence[str], metrics: pl.DataFrame, rule: BlacklistRule
) -> pl.DataFrame:
    """Return `blacklist.INCIDENTS` of one day, read from bronze.

    Args:
        root: Warehouse.
        venue: Of the rows.
        day: UTC day.
        coins: Markets to look at.
        metrics: gold/daily_metrics of that day.
        rule: Bounds.
    """

    def rows(table: str, columns: Iterable[str]) -> pl.DataFrame:
        names = list(columns)
        return pl.concat([read_market(root, table, venue, day, coin, names) for coin in (NO_MARKET, *coins)])

    return incidents_of(
        day,
        events=rows("events", blacklist.EVENTS),
        specs=rows("specs", blacklist.SPECS),
        round_trips=rows("round_trips", blacklist.TRIPS),
        metrics=metrics,
        rule=rule,
    )


def sidecar_on(root: Path, venue: str, days: Sequence[str], coins: Sequence[str]) -> Sidecar:
    """Return how the sidecar stood at the end of the last of `days` (ascending); where it is mute, on an older one."""
    phase = _newest(root, venue, days, "events", NO_MARKET, "state", kind="phase_changed")
    config = _newest(root, venue, days, "configs", NO_MARKET, "config_json")
    if not isinstance(config, str):
        return Sidecar(phase=str(phase or ""), own={}, correlation_groups={})
    fees = {coin: _newest(root, venue, days, "specs", coin, "taker_fee_bps") for coin in coins}
    return Sidecar(
        phase=str(phase or ""),
        own={coin: own_of(config, fee) for coin, fee in fees.items()},  # type: ignore[arg-type]  # by its column
        correlation_groups=correlation_groups_of(config),
    )


def _newest(
    root: Path, venue: str, days: Sequence[str], table: str, coin: str, column: str, kind: str | None = None
) -> object:
    """Return the value of the newest row, None without one."""
    columns = ["ts_ns", "seq", column, *(["kind"] if kind else [])]
    for day in reversed(days):
        rows = read_market(root, table, venue, day, coin, columns)
        if kind:
            rows = rows.filter(pl.col("kind") == kind)
        if rows.height:
            return rows.sort("ts_ns", "seq")[column][-1]
    return None
