"""Sums by hour: against the markouts they add up, the scan behind the truth, and their own table."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evidence_feed import COIN, DAY, bbo, day_of_rows, every_second, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MarketDay, feeds_of, market_day, specs_of
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.family import HOURS, LATENCIES_MS, ORIGINS, THRESHOLDS_BPS, HourSums
from hip3_platform.analytics.evidence.markouts import State, markouts_of
from hip3_platform.analytics.evidence.sums import ABOUT, SCHEMA, DaySums, day_sums, from_frame, to_frame
from streaming.core.units import NS_PER_S
from streaming.sim.history.columnar import ColumnDay, day_tables
from streaming.sim.history.day import Day, Identity
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.markets.scan import Columns, Sums, scan, sums_of
from streaming.sim.markets.truth_days import hour_of, terms_of
from streaming.sim.scenario.load import load_scenario

SEED = 61
TAIL_MS = 12_000  # the truth decides nothing in the last 12 s of a day
GENERATED = ("xyz:NVDA", "xyz:COST", "xyz:INTC")
"""A stale quote, a frozen one, and one that halts, of the scenario `universe` with this seed."""


@pytest.fixture(scope="module")
def generated() -> dict[str, MarketDay]:
    """Market-days as the tables of the generated day say, without what the generator knows."""
    day = Day(root="", day=DAY, seed=SEED, scenario="universe", scenario_name="universe", is_columnar=True)
    tables = day_tables(day, GENERATED)
    facts = ColumnDay(day, GENERATED)._facts(Identity.of(day))
    specs = specs_of([pa.table(columns) for name, columns in facts if name == "specs"])
    found = feeds_of(tables["bbo"], tables["ctx"])
    return {coin: market_day(venue="sim", day=DAY, coin=coin, feed=found[coin], specs=specs) for coin in found}


def truth_sums(coin: str) -> Sums:
    generator = Generator(SEED, load_scenario("universe", seed=SEED))
    first = hour_of(DAY)
    begin_ms, end_ms = first * HOUR_MS, (first + 24) * HOUR_MS
    columns = Columns.of([generator.hour(coin, first + hour) for hour in range(24)])
    terms = replace(terms_of(generator, coin, begin_ms, end_ms), is_pulled=None)
    return sums_of(scan(columns, terms, begin_ms, end_ms - TAIL_MS))


@pytest.mark.parametrize("coin", GENERATED)
def test_sums_of_a_generated_day_are_those_of_the_scan_behind_the_truth(
    coin: str, generated: dict[str, MarketDay]
) -> None:
    day = generated[coin]
    found = day_sums(replace(day, end_ns=day.end_ns - TAIL_MS * 1_000_000))
    expected = truth_sums(coin)
    assert expected.decisions.sum() > 100
    assert found.hours.decisions.sum(axis=(0, 1)).tolist() == expected.decisions.tolist()
    assert found.hours.fills.sum(axis=(0, 1)).tolist() == expected.fills.tolist()
    np.testing.assert_allclose(found.hours.net_bps.sum(axis=(0, 1)), expected.net_bps, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.hours.net_bps2.sum(axis=(0, 1)), expected.net_bps2, rtol=1e-9, atol=1e-6)
    assert not found.voids.any()


@settings(max_examples=100)
@given(day=market_days())
def test_sums_add_up_the_markouts_of_each_hour_threshold_and_origin(day: MarketDay) -> None:
    sums = day_sums(day)
    decisions = decisions_of(day)
    markouts = markouts_of(day, decisions)
    expected = HourSums.empty((day.day,))
    voids = np.zeros_like(expected.fills)
    for at in range(decisions.ts_ns.size):
        hour = int(decisions.ts_ns[at] - day.begin_ns) // (3600 * NS_PER_S)
        for origin in range(1 + decisions.is_oracle_led[at]):
            place = (0, hour, decisions.threshold[at], origin)
            expected.decisions[place] += 1
            for column in range(len(LATENCIES_MS)):
                state, net = markouts.state[at, column], markouts.net_bps[at, column]
                expected.fills[(*place, column)] += state == State.FILLED
                voids[(*place, column)] += state == State.VOID
                expected.net_bps[(*place, column)] += net
                expected.net_bps2[(*place, column)] += net**2
    assert sums.hours.decisions.tolist() == expected.decisions.tolist()
    assert sums.hours.fills.tolist() == expected.fills.tolist()
    assert sums.voids.tolist() == voids.tolist()
    np.testing.assert_allclose(sums.hours.net_bps, expected.net_bps, atol=1e-6)
    np.testing.assert_allclose(sums.hours.net_bps2, expected.net_bps2, atol=1e-6)


def crossing_at(*hours: int) -> DaySums:
    """A market that crosses by 10 bps at the full hours given."""
    books, contexts = [bbo(0, 99, 101)], []
    for hour in hours:
        at = 3_600_000 * hour + 1_000
        books += [bbo(at, "99.8", "99.9"), bbo(at + 500, 99, 101)]
        contexts += every_second(3600 * hour, 3600 * hour + 60, 100)
    return day_sums(day_of_rows(books, contexts))


def test_sums_stand_at_the_utc_hour_of_the_decision() -> None:
    # A silent feed between the hours leaves the sides unarmed: only the first hour begins armed by its own book.
    sums = crossing_at(0)
    assert np.argwhere(sums.hours.decisions).tolist() == [[0, 0, threshold, 0] for threshold in (0, 1, 2)]
    late = day_of_rows([bbo(82_800_000, 99, 101), bbo(82_801_000, "99.8", "99.9")], every_second(82_800, 82_900, 100))
    assert np.argwhere(day_sums(late).hours.decisions)[:, 1].tolist() == [23, 23, 23]


@settings(max_examples=50)
@given(day=market_days())
def test_sums_survive_their_table(day: MarketDay) -> None:
    sums = day_sums(day)
    frame = to_frame(sums, "sim", COIN)
    assert frame.schema == SCHEMA
    back = from_frame(frame, (day.day,))
    for name in ("decisions", "fills", "net_bps", "net_bps2"):
        assert np.array_equal(getattr(back, name), getattr(sums.hours, name)), name
    assert frame["voids"].sum() == 4 * sums.voids.sum()  # once a horizon


def test_table_is_sparse_sorted_and_explained() -> None:
    frame = to_frame(crossing_at(0), "sim", COIN)
    assert frame.height == 3 * len(LATENCIES_MS) * 4  # three thresholds, origin any only
    assert frame.equals(frame.sort("hour", "threshold_bps", "origin", "latency_ms", "horizon_s"))
    assert frame.row(0, named=True) | {"net_bps": 0, "net_bps2": 0} == {
        "venue": "sim", "day": DAY, "coin": COIN, "hour": 0, "threshold_bps": 3, "origin": "any", "latency_ms": 100,
        "horizon_s": 1, "decisions": 1, "fills": 1, "voids": 0, "net_bps": 0, "net_bps2": 0,
    }  # fmt: skip
    assert set(ABOUT) == set(SCHEMA)


def test_days_of_a_window_without_rows_are_zero_and_days_outside_are_left_out() -> None:
    frame = to_frame(crossing_at(0), "sim", COIN)
    other = frame.with_columns(day=pl.lit("2026-06-17"))
    window = from_frame(pl.concat([frame, other]), ("2026-06-16", "2026-06-17"))
    assert window.days == ("2026-06-16", "2026-06-17")
    assert window.decisions.shape == (2, HOURS, len(THRESHOLDS_BPS), len(ORIGINS))
    assert window.decisions.sum(axis=(1, 2, 3)).tolist() == [0, 3]


def test_sums_of_a_day_without_decisions_are_zero() -> None:
    sums = day_sums(day_of_rows([], []))
    assert not sums.hours.decisions.any()
    assert to_frame(sums, "sim", COIN).height == 0
