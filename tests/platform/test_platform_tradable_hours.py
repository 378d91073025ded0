"""The tables of the evidence have all hours; what is decided and ranked from them counts tradable ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from session_sums import DAYS, POLICY, weekly_sums

from hip3_platform.analytics.evidence import fill_rows, sums, verdict
from hip3_platform.analytics.evidence.tables import POLICY_FILLS, POLICY_HOURS, VERDICTS
from hip3_platform.analytics.evidence.verdict import ALL_SESSIONS
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.analytics.gold_evidence import EvidenceRule, write_approvals
from hip3_platform.analytics.gold_rotation import policy_fills
from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import day_begin_ns, gold_path
from streaming.core.calendar import NS_PER_HOUR

VENUE, COIN = "sim", "xyz:EUR"
LAST = DAYS[-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two weeks of a market that earns 5 bps a fill on weekdays and loses 20 at weekends."""
    whole = weekly_sums(5.0, -20.0)
    for at, day in enumerate(DAYS):
        part = slice(at, at + 1)
        of_day = replace(
            whole, days=(day,), decisions=whole.decisions[part], fills=whole.fills[part],
            net_bps=whole.net_bps[part], net_bps2=whole.net_bps2[part],
        )  # fmt: skip
        sums_of_day = sums.DaySums(hours=of_day, voids=np.zeros_like(of_day.fills))
        _write(tmp_path, POLICY_HOURS, day, sums.to_frame(sums_of_day, VENUE, COIN))
        _write(tmp_path, DAILY_METRICS, day, pl.DataFrame({"venue": [VENUE], "day": [day], "coin": [COIN]}))
    said = {"venue": VENUE, "day": LAST, "coin": COIN, "session": ALL_SESSIONS, "verdict": "stale_quote"}
    _write(tmp_path, VERDICTS, LAST, pl.DataFrame([said], schema=verdict.SCHEMA, orient="row"))
    return tmp_path


def _write(root: Path, table: str, day: str, frame: pl.DataFrame) -> None:
    write_frame(gold_path(root, table=table, venue=VENUE, day=day), frame)


def test_an_edge_of_weekdays_is_approved_though_the_market_loses_at_weekends(root: Path) -> None:
    approvals, _ = write_approvals(root, VENUE, LAST, EvidenceRule())
    (row,) = approvals.frame.to_dicts()
    assert row["state"] == "approved_micro"
    assert row["test_theta_bps"] == pytest.approx(5.0, abs=0.5)
    assert row["test_fill_days"] < 10


def test_fills_of_other_hours_are_worth_no_dollar(root: Path) -> None:
    write_approvals(root, VENUE, LAST, EvidenceRule())
    fill = {
        "venue": VENUE, "coin": COIN, "threshold_bps": POLICY.threshold_bps, "horizon_s": POLICY.horizon_s,
        "latency_ms": 200, "is_oracle_led": True, "net_bps": 5.0,
    }  # fmt: skip
    for day in DAYS:
        rows = [fill | {"day": day, "ts_ns": day_begin_ns(day) + 12 * NS_PER_HOUR}]
        _write(root, POLICY_FILLS, day, pl.DataFrame(rows, schema=fill_rows.SCHEMA, orient="row"))
    found = sorted(policy_fills(root, VENUE, LAST, DAYS)["day"])
    assert found == [day for at, day in enumerate(DAYS) if at % 7 < 5]
