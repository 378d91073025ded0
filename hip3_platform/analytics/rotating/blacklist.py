"""Markets that stay out for a while, whatever they earn: what happened, and until when.

Rule 1: what happened on a day is one row an incident (`incidents_of`, kept as a table); the list of a day is made of
the incidents of the last days (`blacklist_of`), never of yesterday's list: a day judged again changes it as it should.
Rule 2: an incident keeps a market out for a number of days after its own; the last one to run out counts.
Rule 3: an operator's list has no end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

HALT, STALL, PARAMETERS, TAIL = "halt", "oracle_stall", "parameter_change", "tail_loss"

INCIDENTS: dict[str, Any] = {"day": pl.String, "coin": pl.String, "kind": pl.String, "detail": pl.String}
"""One row a day, market and kind."""
ABOUT: dict[str, str] = {
    "day": "UTC day",
    "coin": "market",
    "kind": f"{HALT}, {STALL}, {PARAMETERS} or {TAIL}",
    "detail": "figures in words",
}
EVENTS: dict[str, Any] = {"coin": pl.String, "kind": pl.String, "subject": pl.String, "state": pl.String,
                          "detail": pl.String}  # fmt: skip
"""What is read of table `events`."""
SPECS: dict[str, Any] = {"coin": pl.String, "spec_version": pl.String}
"""What is read of table `specs`."""
TRIPS: dict[str, Any] = {"coin": pl.String, "sz": pl.Decimal(18, 8), "entry_px": pl.Decimal(18, 8),
                         "pnl": pl.Decimal(18, 8)}  # fmt: skip
"""What is read of table `round_trips`."""
METRICS: dict[str, Any] = {"coin": pl.String, "oracle_stale_rate": pl.Float64}
"""What is read of gold/daily_metrics."""


@dataclass(frozen=True, slots=True)
class BlacklistRule:
    """What counts as an incident, and for how many days after its own it keeps a market out."""

    stale_rate_max: float = 0.05
    """Share of clock samples of a day at which gate 1 would have blocked."""
    tail_loss_bps: float = 100.0
    """Loss of one round trip, of its notional."""
    days_out: Mapping[str, int] = field(default_factory=lambda: {HALT: 3, STALL: 2, PARAMETERS: 3, TAIL: 7})
    manual: tuple[str, ...] = ()

    @property
    def window_days(self) -> int:
        """How many days of incidents decide, the day itself included."""
        return max(self.days_out.values()) + 1


@dataclass(frozen=True, slots=True)
class Blacklisting:
    """Why a market is out, and the last day it is."""

    coin: str
    reason: str
    until: str | None
    """None is for good."""


def incidents_of(
    day: str, *, events: pl.DataFrame, specs: pl.DataFrame, round_trips: pl.DataFrame, metrics: pl.DataFrame,
    rule: BlacklistRule,
) -> pl.DataFrame:  # fmt: skip
    """Return the incidents of one day and venue as `INCIDENTS`, sorted.

    Args:
        day: UTC day of all rows.
        events: Columns of `EVENTS`, every market.
        specs: Columns of `SPECS`.
        round_trips: Columns of `TRIPS`; real positions.
        metrics: Columns of `METRICS`, one row a market.
        rule: Bounds.
    """
    # A status that nobody knew (a poll that failed, the first seconds of a session) is no halt.
    is_known = ~pl.col("detail").str.contains("observed unknown", literal=True)
    is_halt = (pl.col("kind") == "gate_changed") & (pl.col("subject") == "halt") & (pl.col("state") == "block")
    halts = events.filter(is_halt & is_known).group_by("coin").agg(pl.len())
    rows = [(coin, HALT, f"halted {count} times") for coin, count in halts.iter_rows()]
    versions = specs.group_by("coin").agg(pl.col("spec_version").n_unique()).filter(pl.col("spec_version") > 1)
    rows += [(coin, PARAMETERS, f"{count} specifications on one day") for coin, count in versions.iter_rows()]
    stalls = metrics.filter(pl.col("oracle_stale_rate") > rule.stale_rate_max).select(list(METRICS))
    rows += [(coin, STALL, f"oracle stale at {rate:.1%} of samples") for coin, rate in stalls.iter_rows()]
    notional = pl.col("sz").cast(pl.Float64) * pl.col("entry_px").cast(pl.Float64)
    losses = round_trips.with_columns(loss_bps=-pl.col("pnl").cast(pl.Float64) / notional * 10_000)
    worst = losses.group_by("coin").agg(pl.col("loss_bps").max()).filter(pl.col("loss_bps") > rule.tail_loss_bps)
    rows += [(coin, TAIL, f"a round trip lost {loss:.0f} bps") for coin, loss in worst.iter_rows()]
    found = [{"day": day, "coin": coin, "kind": kind, "detail": detail} for coin, kind, detail in sorted(rows) if coin]
    return pl.DataFrame(found, schema=INCIDENTS, orient="row")


def blacklist_of(incidents: pl.DataFrame, day: str, rule: BlacklistRule) -> dict[str, Blacklisting]:
    """Return the list in force for the document of `day`.

    Args:
        incidents: Rows of `INCIDENTS` of the last `rule.window_days` days; others are ignored.
        day: As-of day.
        rule: How long an incident counts, and the operator's list.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for row in incidents.sort("coin", "day", "kind").iter_rows(named=True):
        until = (date.fromisoformat(row["day"]) + timedelta(days=rule.days_out[row["kind"]])).isoformat()
        if row["day"] <= day <= until:
            found.setdefault(row["coin"], []).append((until, f"{row['kind']} on {row['day']} ({row['detail']})"))
    listed = {coin: _listing(coin, entries) for coin, entries in found.items()}
    listed |= {coin: Blacklisting(coin, "on the operator's list", None) for coin in sorted(rule.manual)}
    return listed


def _listing(coin: str, entries: Iterable[tuple[str, str]]) -> Blacklisting:
    by_end = sorted(entries)
    until = by_end[-1][0]
    return Blacklisting(coin, "; ".join(text for _, text in by_end)[:600] + f"; until {until}", until)
