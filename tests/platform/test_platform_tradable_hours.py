"""The tables of the evidence have all hours; what is decided and ranked from them counts tradable ones."""

from pathlib import Path

import polars as pl
import pytest
from session_sums import COIN, DAYS, POLICY, VENUE, weekly_sums, write_gold, write_window

from hip3_platform.analytics.evidence import fill_rows
from hip3_platform.analytics.evidence.tables import POLICY_FILLS
from hip3_platform.analytics.gold_evidence import EvidenceRule, write_approvals
from hip3_platform.analytics.gold_rotation import policy_fills
from streaming.contracts.paths import day_begin_ns
from streaming.core.calendar import NS_PER_HOUR

LAST = DAYS[-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two weeks of a market that earns 5 bps a fill on weekdays and loses 20 at weekends."""
    write_window(tmp_path, weekly_sums(5.0, -20.0))
    return tmp_path


def test_an_edge_of_weekdays_is_approved_though_the_market_loses_at_weekends(root: Path) -> None:
    approvals = write_approvals(root, VENUE, LAST, EvidenceRule()).approvals
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
        write_gold(root, POLICY_FILLS, day, pl.DataFrame(rows, schema=fill_rows.SCHEMA, orient="row"))
    found = sorted(policy_fills(root, VENUE, LAST, DAYS)["day"])
    assert found == [day for at, day in enumerate(DAYS) if at % 7 < 5]
