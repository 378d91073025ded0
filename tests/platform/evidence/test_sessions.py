"""Hours that evidence counts: those in which the sidecar would enter."""

import numpy as np
import polars as pl
import pytest
from session_sums import DAYS, weekly_sums

from hip3_platform.analytics.evidence.approval import MarketEvidence, approve_markets
from hip3_platform.analytics.evidence.family import HOURS
from hip3_platform.analytics.evidence.sessions import in_tradable_hours, tradable_hours, tradable_rows
from streaming.contracts.paths import day_begin_ns
from streaming.core.calendar import NS_PER_HOUR
from streaming.core.limits import LossLimits
from streaming.core.trading.entries import _hour_controls
from streaming.core.underlyings import is_known

WEEKDAYS = [at for at in range(14) if at % 7 < 4]
"""Mondays to Thursdays: New York's Friday evening and Sunday evening lie elsewhere."""
SATURDAYS = [5, 12]


@pytest.mark.parametrize("coin", ["xyz:NVDA", "xyz:GOLD", "xyz:EUR", "xyz:SP500", "xyz:CL", "xyz:BTC", "vntl:OPENAI"])
def test_tradable_hours_are_those_in_which_the_sidecar_enters(coin: str) -> None:
    assert is_known(coin)
    is_open = tradable_hours(coin, DAYS)
    assert is_open.shape == (len(DAYS), HOURS)
    limits = LossLimits()
    for day, of_day in zip(DAYS, is_open.tolist(), strict=True):
        for hour, may_enter in enumerate(of_day):
            for ts_ns in (day_begin_ns(day) + hour * NS_PER_HOUR, day_begin_ns(day) + (hour + 1) * NS_PER_HOUR - 1):
                assert may_enter == (_hour_controls(limits, coin, ts_ns) == ())


def test_tradable_hours_of_an_equity_leave_the_weekend_out() -> None:
    is_open = tradable_hours("xyz:NVDA", DAYS)
    assert is_open[[at for at in WEEKDAYS if DAYS[at] != "2026-06-18"]].any(axis=1).all()
    assert not is_open[SATURDAYS].any()


def test_tradable_hours_of_a_market_the_calendar_does_not_know_are_all() -> None:
    for coin in ("xyz:NOBODY", "xyz:SMSN"):
        assert tradable_hours(coin, DAYS).all()


def test_sums_of_other_hours_are_as_if_nothing_had_been_decided() -> None:
    sums = weekly_sums(5.0, -20.0)
    found = in_tradable_hours(sums, "xyz:NVDA")
    is_open = tradable_hours("xyz:NVDA", DAYS)
    for name in ("decisions", "fills", "net_bps", "net_bps2"):
        before, after = getattr(sums, name), getattr(found, name)
        assert np.array_equal(after[is_open], before[is_open])
        assert not after[~is_open].any()
        assert before[~is_open].any()


@pytest.mark.parametrize(("weekday_bps", "weekend_bps", "is_approved"), [(5.0, -20.0, True), (-1.0, 20.0, False)])
def test_a_weekend_neither_hides_an_edge_nor_proves_one(
    weekday_bps: float, weekend_bps: float, is_approved: bool
) -> None:
    sums = weekly_sums(weekday_bps, weekend_bps)
    alone = {"xyz:EUR": MarketEvidence(in_tradable_hours(sums, "xyz:EUR"), "stale_quote")}
    (row,) = approve_markets(alone, latency_ms=200)
    assert (row.state == "approved_micro") is is_approved
    at_all_hours = approve_markets({"xyz:EUR": MarketEvidence(sums, "stale_quote")}, latency_ms=200)[0].test.theta_bps
    assert row.test.theta_bps is not None
    assert at_all_hours is not None
    assert abs(row.test.theta_bps - at_all_hours) > 3.0


def test_rows_of_other_hours_markets_and_days_are_left_out() -> None:
    monday, saturday = (day_begin_ns(day) + 15 * NS_PER_HOUR for day in ("2026-06-15", "2026-06-20"))
    rows = pl.LazyFrame(
        {
            "coin": ["xyz:NVDA", "xyz:NVDA", "xyz:BTC", "xyz:BTC", "xyz:GOLD"],
            "ts_ns": [monday, saturday, saturday, saturday + 30 * 24 * NS_PER_HOUR, monday],
            "net_bps": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    kept = tradable_rows(rows, ["xyz:NVDA", "xyz:BTC"], DAYS).collect()
    assert kept.rows() == [("xyz:NVDA", monday, 1.0), ("xyz:BTC", saturday, 3.0)]
    assert kept.columns == ["coin", "ts_ns", "net_bps"]


def test_rows_that_are_kept_stay_in_their_order() -> None:
    """Sums of floats depend on it: the same tables must give the same bytes."""
    hours = [day_begin_ns(day) + at * NS_PER_HOUR for day in DAYS[:5] for at in range(24)]
    coins = ("xyz:NVDA", "xyz:BTC", "xyz:GOLD", "xyz:EUR")
    rows = pl.LazyFrame([(coin, ts_ns) for ts_ns in hours for coin in coins], schema=["coin", "ts_ns"], orient="row")
    numbered = rows.with_row_index("place")
    places = [tradable_rows(numbered, coins, DAYS).collect()["place"] for _ in range(20)]
    assert len(places[0]) > 200
    assert all(found.is_sorted() for found in places)
