"""Is the day whole? Holes in the record, the seam at midnight, rows outside their day, money that stands twice.

`quality` judges each sealed part, `conservation` counts rows against the engine; this module looks at the day between
them. A hole is odd (the figures know it: a gap inside a horizon voids that markout); a row of another day and a fill
or posting that two sessions hold are wrong.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.feed_quality import utc_text
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.landing import Landing
from streaming.contracts.paths import bronze_path, day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_DAY, NS_PER_S

HEALTH_HOLE_S_MAX = 10
"""A recorded market has a sample every second; ten without one is a process that stood still or rows that are gone."""


def day_before(day: str) -> str:
    """Return the day before, YYYY-MM-DD."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def record_holes(coin: str, samples: pl.DataFrame) -> Iterator[Finding]:
    """Find stretches without a sample inside a session.

    Args:
        coin: The market.
        samples: Its rows of `health` (session_id, seq, ts_ns), in any order.
    """
    for (session_id,), own in samples.group_by("session_id", maintain_order=True):
        ts = np.sort(own["ts_ns"].to_numpy())
        bad = np.flatnonzero(np.diff(ts) > HEALTH_HOLE_S_MAX * NS_PER_S)
        if bad.size:
            seconds = float(np.diff(ts)[bad].sum()) / NS_PER_S
            yield Finding(
                coin, "gaps", f"a sample at least every {HEALTH_HOLE_S_MAX} s of a session",
                f"{bad.size} holes, {seconds:.0f} s in all", f"{session_id} after {utc_text(int(ts[bad[0]]))}",
                is_wrong=False,
            )  # fmt: skip


def recorded_s(samples: pl.DataFrame) -> float:
    """Return the seconds of the day for which a market's sessions hold samples (`session_id`, `ts_ns`)."""
    spans = samples.group_by("session_id").agg(span=pl.col("ts_ns").max() - pl.col("ts_ns").min())
    return float(spans["span"].sum()) / NS_PER_S


def midnight(landing: Landing, day: str) -> Iterator[Finding]:
    """Find sessions that ran over the midnight before `day` and recorded nothing around it (manifest lines only)."""
    ends: dict[str, int] = {}
    for line in landing.of(day_before(day), "health"):
        ends[line.session_id] = max(ends.get(line.session_id, 0), line.ts_ns_max)
    begins: dict[str, int] = {}
    for line in landing.of(day, "health"):
        begins[line.session_id] = min(begins.get(line.session_id, line.ts_ns_min), line.ts_ns_min)
    for session_id in sorted(ends.keys() & begins.keys()):
        hole_s = (begins[session_id] - ends[session_id]) / NS_PER_S
        if hole_s > HEALTH_HOLE_S_MAX:
            yield Finding(
                session_id, "day boundary", f"at most {HEALTH_HOLE_S_MAX} s without a sample over midnight",
                f"{hole_s:.0f} s", f"after {utc_text(ends[session_id])}", is_wrong=False,
            )  # fmt: skip


def outside_day(root: Path, venue: str, day: str) -> Iterator[Finding]:
    """Find bronze files with rows of another day, by the bounds in their footers: no row is read."""
    begin_ns = day_begin_ns(day)
    for table in TABLES.values():
        folder = bronze_path(root, table=table.name, venue=venue, day=day, coin=NO_MARKET).parent
        for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else []:
            low, high = footer_bounds(path, table.names.index(table.day_column))
            if not begin_ns <= low <= high < begin_ns + NS_PER_DAY:
                found = f"{utc_text(low)} to {utc_text(high)}"
                yield Finding(f"{table.name} {path.stem}", "day boundary", f"{table.day_column} inside {day}", found)


def footer_bounds(path: Path, column: int) -> tuple[int, int]:
    """Return the smallest and largest value of an integer column that is never null, from the file's footer."""
    footer = pq.read_metadata(path)
    groups = [footer.row_group(at).column(column).statistics for at in range(footer.num_row_groups)]
    return min(int(group.min) for group in groups), max(int(group.max) for group in groups)


MONEY_KEYS: Mapping[str, tuple[str, ...]] = {
    "fills": ("venue_ts_ms", "tid"),
    "ledger": ("posting_id", "account", "currency"),
}
"""What makes a live fill and a leg of a live posting one, whichever session wrote it down."""


def money_twice(root: Path, venue: str, day: str, table: str) -> Iterator[Finding]:
    """Find live fills or postings of a day that another session (that day or the day before) wrote down too."""
    key = MONEY_KEYS[table]
    columns = ("session_id", "mode", "seq", *key)
    for coin in (*markets_of(root, venue, day, (table,)), NO_MARKET):
        rows = read_market(root, table, venue, day, coin, columns)
        earlier = read_market(root, table, venue, day_before(day), coin, columns)
        live = pl.concat([rows.with_columns(own=True), earlier.with_columns(own=False)]).filter(
            pl.col("mode") == "live"
        )
        twice = live.filter(pl.len().over(key) > 1).filter("own").sort("seq")
        if twice.height:
            first = twice.row(0, named=True)
            shown = ", ".join(f"{name}={first[name]}" for name in ("session_id", "seq", *key))
            yield Finding(
                coin, f"{table} twice", f"one row for {', '.join(key)}", f"{twice.height} rows share theirs", shown
            )
