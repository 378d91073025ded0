"""A market that earns one thing on weekdays and another at weekends, and the tables that a window of it leaves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence import sums, verdict
from hip3_platform.analytics.evidence.family import LATENCIES_MS, HourSums, Policy
from hip3_platform.analytics.evidence.tables import POLICY_HOURS, VERDICTS
from hip3_platform.analytics.evidence.verdict import ALL_SESSIONS
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import gold_path

VENUE, COIN = "sim", "xyz:EUR"

DAYS = tuple(f"2026-06-{day}" for day in range(15, 29))
"""Monday to Sunday, twice."""
POLICY = Policy(8, "oracle_led", 5)


def weekly_sums(weekday_bps: float, weekend_bps: float) -> HourSums:
    """A market with 8 fills an hour from 10 to 16 UTC, of which each earns so much, give or take its hour."""
    sums = HourSums.empty(DAYS)
    rng = np.random.default_rng(3)
    t, o, h = POLICY.place
    for day in range(len(DAYS)):
        for hour in range(10, 16):
            mean = (weekend_bps if day % 7 >= 5 else weekday_bps) + rng.normal(0, 0.5)
            sums.decisions[day, hour, t, o] = 8
            sums.fills[day, hour, t, o, :] = 8
            sums.net_bps[day, hour, t, o, :, h] = 8 * mean
            sums.net_bps2[day, hour, t, o, :, h] = 8 * mean**2
    return sums


def losing_from(whole: HourSums, latency_ms: int) -> HourSums:
    """The same market to somebody whose orders are that late: what was earned is lost."""
    net = whole.net_bps.copy()
    net[..., LATENCIES_MS.index(latency_ms) :, :] *= -1
    return replace(whole, net_bps=net)


def write_window(root: Path, whole: HourSums) -> None:
    """Write what approvals read of the window: sums and metrics of each day, and the verdict of the last."""
    for at, day in enumerate(DAYS):
        part = slice(at, at + 1)
        of_day = replace(
            whole, days=(day,), decisions=whole.decisions[part], fills=whole.fills[part],
            net_bps=whole.net_bps[part], net_bps2=whole.net_bps2[part],
        )  # fmt: skip
        sums_of_day = sums.DaySums(hours=of_day, voids=np.zeros_like(of_day.fills))
        write_gold(root, POLICY_HOURS, day, sums.to_frame(sums_of_day, VENUE, COIN))
        write_gold(root, DAILY_METRICS, day, pl.DataFrame({"venue": [VENUE], "day": [day], "coin": [COIN]}))
    said = {"venue": VENUE, "day": DAYS[-1], "coin": COIN, "session": ALL_SESSIONS, "verdict": "stale_quote"}
    write_gold(root, VERDICTS, DAYS[-1], pl.DataFrame([said], schema=verdict.SCHEMA, orient="row"))


def write_gold(root: Path, table: str, day: str, frame: pl.DataFrame) -> None:
    """Write a derived table of a day."""
    write_frame(gold_path(root, table=table, venue=VENUE, day=day), frame)
