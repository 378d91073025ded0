"""Executable markouts: against a plain loop, and worked by hand."""

import numpy as np
import pytest
from evidence_feed import BEGIN_NS, Reference, bbo, ctx, day_of_rows, every_second, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MarketDay
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, THRESHOLDS_BPS
from hip3_platform.analytics.evidence.markouts import Markouts, State, markouts_of

ORDER_USD = 20.0


@settings(max_examples=300)
@given(day=market_days())
def test_markouts_of_any_day_are_those_of_the_plain_loop(day: MarketDay) -> None:
    reference = Reference(day)
    begins = [begin for bps in THRESHOLDS_BPS for begin in reference.begins(bps) if begin.is_decided]
    found = markouts_of(day, decisions_of(day), order_usd=ORDER_USD)
    assert found.state.shape == (len(begins), len(LATENCIES_MS))
    for place, begin in enumerate(begins):
        for column, latency in enumerate(LATENCIES_MS):
            state, results = reference.markouts(begin, latency, HORIZONS_S, ORDER_USD)
            assert State(found.state[place, column]).name.lower() == state
            expected = results or [0.0] * len(HORIZONS_S)
            assert found.net_bps[place, column].tolist() == pytest.approx(expected, abs=1e-9)


def markout(day: MarketDay, latency_ms: int = 200, horizon_s: int = 3) -> tuple[State, float]:
    """State and result of the one decision of a day at 8 bps."""
    decisions = decisions_of(day, (8,))
    assert decisions.ts_ns.tolist() == [BEGIN_NS + 1_000_000_000]
    found = markouts_of(day, decisions, latencies_ms=(latency_ms,), horizons_s=(horizon_s,))
    return State(found.state[0, 0]), float(found.net_bps[0, 0, 0])


BEFORE = [bbo(0, 99, 101), bbo(1_000, "99.8", "99.9")]
"""A buy at 99.9 is decided at 1 s; the fee of a side is 1 bp."""
CONTEXTS = every_second(0, 60, 100)


def test_markout_is_exit_at_the_opposite_touch_less_both_fees() -> None:
    state, net = markout(day_of_rows([*BEFORE, bbo(3_000, "100.1", "100.2")], CONTEXTS))
    assert (state, net) == (State.FILLED, pytest.approx((100.1 - 99.9) / 99.9 * 1e4 - 2))


def test_markout_that_arrives_at_a_better_touch_fills_there() -> None:
    _, net = markout(day_of_rows([*BEFORE, bbo(1_200, "99.7", "99.85")], CONTEXTS))
    assert net == pytest.approx((99.7 - 99.85) / 99.85 * 1e4 - 2)


@pytest.mark.parametrize(
    ("ask", "state"), [("99.90000001", State.MISSED), (None, State.MISSED), ("99.9", State.FILLED)]
)
def test_markout_that_arrives_at_a_worse_or_missing_touch_is_missed(ask: str | None, state: State) -> None:
    found, net = markout(day_of_rows([*BEFORE, bbo(1_200, "99.8", ask)], CONTEXTS))
    assert found is state
    assert (net == 0.0) == (state is State.MISSED)


def test_markout_of_a_sell_is_the_mirror() -> None:
    day = day_of_rows([bbo(0, 99, 101), bbo(1_000, "100.1", "100.2"), bbo(3_000, "99.5", "99.6")], CONTEXTS)
    _, net = markout(day)
    assert net == pytest.approx((100.1 - 99.6) / 100.1 * 1e4 - 2)


def test_markout_of_an_exit_that_is_missing_takes_the_first_that_comes() -> None:
    books = [*BEFORE, bbo(4_000, None, "100.2"), bbo(9_000, None, "100.3"), bbo(9_500, "99.95", "100.3")]
    assert markout(day_of_rows(books, CONTEXTS))[1] == pytest.approx((99.95 - 99.9) / 99.9 * 1e4 - 2)


def test_markout_of_an_exit_that_never_comes_ends_at_the_last_mark_without_its_fee() -> None:
    contexts = [*every_second(0, 59, 100), ctx(60_000, 100, mark="100.05")]
    assert markout(day_of_rows([*BEFORE, bbo(4_000, None, "100.2")], contexts))[1] == pytest.approx(
        (100.05 - 99.9) / 99.9 * 1e4 - 1
    )


def test_markout_that_meets_a_halt_ends_at_the_mark_then_without_its_fee() -> None:
    books = [*BEFORE, bbo(2_000, None, None), bbo(30_000, 50, 51)]
    contexts = [
        ctx(0, 100), ctx(1_000, 100), ctx(2_000, 100, mark="99.7"),
        *(ctx(1000 * s, 100, mark=60, spec_version="halted") for s in range(3, 31)),
        *every_second(31, 40, 100),
    ]  # fmt: skip
    assert markout(day_of_rows(books, contexts))[1] == pytest.approx((99.7 - 99.9) / 99.9 * 1e4 - 1)


def test_markout_pays_the_fee_in_force_at_each_end() -> None:
    books = [*BEFORE, bbo(3_000, "100.1", "100.2", spec_version="b")]
    contexts = [*every_second(0, 2, 100), *(ctx(1000 * s, 100, spec_version="b") for s in range(3, 30))]
    assert markout(day_of_rows(books, contexts))[1] == pytest.approx((100.1 - 99.9) / 99.9 * 1e4 - 1 - 9)


@pytest.mark.parametrize(
    ("shown", "walk"),
    [
        (1, 0.0),  # $100 shown, $50 held
        ("0.25", 3 * (0.1 / 200.3 * 1e4) * (50 / 99.9 / 0.25 - 1)),  # a quarter unit for half a one
        ("0.001", 60.0),  # the most it may cost
    ],
)
def test_markout_of_an_exit_larger_than_what_is_shown_walks_the_book(shown: object, walk: float) -> None:
    _, net = markout(day_of_rows([*BEFORE, bbo(3_000, "100.1", "100.2", shown)], CONTEXTS))
    assert net == pytest.approx((100.1 - 99.9) / 99.9 * 1e4 - 2 - walk)


def test_markout_is_as_large_as_what_the_entry_shows() -> None:
    books = [bbo(0, 99, 101), bbo(1_000, "99.8", "99.9", 100, "0.25"), bbo(3_000, "100.1", "100.2", "0.25")]
    assert markout(day_of_rows(books, CONTEXTS))[1] == pytest.approx((100.1 - 99.9) / 99.9 * 1e4 - 2)


def voids(found: Markouts) -> list[list[State]]:
    return [[State(state) for state in row] for row in found.state.tolist()]


def test_markout_behind_a_feed_gap_is_void_at_every_horizon_and_a_miss_before_it_is_a_miss() -> None:
    # The connection is lost from 5 s to 7 s: an exit after 1 s would be known, one after 10 s lies behind the gap.
    contexts = [*every_second(0, 5, 100), *(ctx(1000 * s, 100, generation=2) for s in range(7, 60))]
    back = bbo(7_000, "99.8", "99.9", generation=2)
    day = day_of_rows([*BEFORE, bbo(5_000, "99.8", "99.9"), back], contexts)
    seen = decisions_of(day, (8,))
    assert day.gap_ns.tolist() == [[BEGIN_NS + 5_000_000_000, BEGIN_NS + 7_000_000_000]]
    known = markouts_of(day, seen, latencies_ms=(200,), horizons_s=(1, 3))
    assert voids(known) == [[State.FILLED]]
    hidden = markouts_of(day, seen, latencies_ms=(200,), horizons_s=(1, 10))
    assert voids(hidden) == [[State.VOID]]
    assert not hidden.net_bps.any()
    missed = day_of_rows([*BEFORE, bbo(1_100, "99.8", 101), bbo(5_000, "99.8", 101), back], contexts)
    assert voids(markouts_of(missed, decisions_of(missed, (8,)), latencies_ms=(200,), horizons_s=(10,))) == [
        [State.MISSED]
    ]


def test_markout_of_which_the_end_is_not_in_the_data_is_void() -> None:
    assert markout(day_of_rows(BEFORE, every_second(0, 4, 100)))[0] is State.VOID
    assert markout(day_of_rows(BEFORE, [*every_second(0, 4, 100), ctx(4_200, 100)]))[0] is State.FILLED


def test_markout_of_a_decision_of_several_thresholds_is_the_same_for_each() -> None:
    day = day_of_rows([*BEFORE, bbo(3_000, "100.1", "100.2")], CONTEXTS)
    decisions = decisions_of(day)  # 10 bps: above 3, 5 and 8
    assert decisions.threshold.tolist() == [0, 1, 2]
    found = markouts_of(day, decisions)
    assert (found.net_bps == found.net_bps[0]).all()
    assert np.count_nonzero(found.net_bps) == found.net_bps.size


def test_markouts_of_no_decision_are_none() -> None:
    day = day_of_rows([bbo(0, 99, 101)], CONTEXTS)
    assert markouts_of(day, decisions_of(day)).net_bps.shape == (0, len(LATENCIES_MS), len(HORIZONS_S))
