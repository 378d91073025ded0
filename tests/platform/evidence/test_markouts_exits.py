"""Markouts under the sidecar's exit rules: each rule by hand, and the plain horizon as the case without rules."""

from decimal import Decimal

import msgspec
import pytest
from evidence_feed import BEGIN_NS, bbo, ctx, day_of_rows, every_second, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MarketDay
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.exit_markouts import RuledMarkouts, ruled_markouts
from hip3_platform.analytics.evidence.markouts import State, markouts_of
from streaming.core.limits import ExitLimits

NEVER = Decimal(1_000_000)
TIME_STOP_ONLY = ExitLimits(
    time_stop_ms=2_800,
    hold_ms_min=86_400_000,  # what waits for this never comes
    oracle_reversed_bps=NEVER,
    mark_regression_bps=NEVER,
    slippage_bps_max=NEVER,
)


@settings(max_examples=150)
@given(day=market_days(has_holes=False))
def test_without_other_rules_the_time_stop_is_a_horizon(day: MarketDay) -> None:
    # The stop after 2.8 s and 0.2 s until the exit order matches make a horizon of 3 s.
    decisions = decisions_of(day)
    ruled = ruled_markouts(day, decisions, TIME_STOP_ONLY, 200, 20.0)
    plain = markouts_of(day, decisions, order_usd=20.0, latencies_ms=(200,), horizons_s=(3,))
    assert ruled.state.tolist() == plain.state[:, 0].tolist()
    assert ruled.net_bps.tolist() == pytest.approx(plain.net_bps[:, 0, 0].tolist(), abs=1e-9)
    filled = ruled.state == State.FILLED
    assert {reason for reason, is_filled in zip(ruled.reason, filled, strict=True) if is_filled} <= {
        "time_stop", "market_closed",
    }  # fmt: skip
    assert not any(reason for reason, is_filled in zip(ruled.reason, filled, strict=True) if not is_filled)


BEFORE = [bbo(0, 99, 101), bbo(1_000, "99.8", "99.9")]
"""A buy at 99.9 is decided at 1 s and fills at 1.2 s; the fee of a side is 1 bp."""


def ruled(day: MarketDay, **limits: object) -> RuledMarkouts:
    decisions = decisions_of(day, (8,))
    assert decisions.ts_ns.tolist() == [BEGIN_NS + 1_000_000_000]
    return ruled_markouts(day, decisions, msgspec.structs.replace(ExitLimits(), **limits), 200)


def assert_left(found: RuledMarkouts, reason: str, held_ms: int, exit_px: float) -> None:
    assert (State(found.state[0]), found.reason[0], int(found.held_ms[0])) == (State.FILLED, reason, held_ms)
    assert found.net_bps[0] == pytest.approx((exit_px - 99.9) / 99.9 * 1e4 - 2)


def test_time_stop_is_a_deadline_that_needs_no_row() -> None:
    day = day_of_rows(BEFORE, every_second(0, 30, 100))
    assert_left(ruled(day), "time_stop", 5_200, 99.8)


def test_quick_profit_counts_both_fees_and_waits_for_the_least_hold() -> None:
    # 12.1 bps over the entry are 10.1 after fees; seen 0.1 s after the fill, taken at the first row after 0.3 s.
    contexts = every_second(0, 30, "100.5")
    day = day_of_rows([bbo(0, 99, 101), bbo(1_000, "99.8", "99.9"), bbo(1_300, "100.021", "100.1")], contexts)
    assert_left(ruled(day), "quick_profit", 1_000, 100.021)
    short = day_of_rows([bbo(0, 99, 101), bbo(1_000, "99.8", "99.9"), bbo(1_300, "100.019", "100.1")], contexts)
    assert_left(ruled(short), "time_stop", 5_200, 100.019)


def test_oracle_that_reverses_is_left_at_once() -> None:
    # 5 bps of the entry are 0.04995; the oracle of 1.3 s is 0.05 below that of the fill.
    contexts = [ctx(0, 100), ctx(1_000, 100), ctx(1_300, "99.95"), *every_second(2, 30, "99.95")]
    assert_left(ruled(day_of_rows(BEFORE, contexts)), "oracle_reversed", 300, 99.8)


def test_mark_that_regresses_is_left_at_once() -> None:
    contexts = [ctx(0, 100), ctx(1_000, 100), ctx(1_400, 100, mark="99.75"), *every_second(2, 30, 100)]
    assert_left(ruled(day_of_rows(BEFORE, contexts)), "mark_regression", 400, 99.8)


def test_oracle_that_comes_to_our_price_is_left_after_the_least_hold() -> None:
    contexts = [ctx(0, 100), ctx(1_000, 100), ctx(1_600, "99.9"), *every_second(2, 30, "99.9")]
    found = ruled(day_of_rows(BEFORE, contexts), oracle_reversed_bps=NEVER)
    assert_left(found, "oracle_caught_up", 600, 99.8)


def test_edge_that_evaporates_at_the_exit_side_is_left() -> None:
    day = day_of_rows([*BEFORE, bbo(2_500, "99.995", "100.1")], every_second(0, 30, 100))
    assert_left(ruled(day, quick_profit_bps=NEVER), "edge_evaporated", 1_500, 99.995)


def test_trailing_stop_gives_back_no_more_than_it_may() -> None:
    # Best gain 100.0 - 99.9 less both fees = 8 bps, over 5; 99.96 gives back 4 of them, over 3.
    day = day_of_rows(
        [*BEFORE, bbo(2_500, "100.0", "100.1"), bbo(3_500, "99.98", "100.1"), bbo(4_300, "99.96", "100.1")],
        every_second(0, 30, "100.5"),
    )
    assert_left(ruled(day), "trailing_stop", 3_300, 99.96)


def test_exit_order_that_is_outrun_is_sent_again_and_may_meet_a_better_touch() -> None:
    # Sent at 6.2 s against a bid of 99.8; 0.2 s later it is 1 % away. The next goes 0.5 s after the first.
    day = day_of_rows([*BEFORE, bbo(6_300, "98.8", "99.9"), bbo(6_800, "98.9", "99.9")], every_second(0, 30, 100))
    assert_left(ruled(day), "time_stop", 5_700, 98.9)


def test_exit_side_that_is_missing_is_tried_for_until_it_is_back() -> None:
    day = day_of_rows([*BEFORE, bbo(6_000, None, "99.9"), bbo(8_150, "99.7", "99.9")], every_second(0, 30, 100))
    assert_left(ruled(day), "time_stop", 7_200, 99.7)


def test_position_that_meets_a_halt_is_settled_at_the_mark() -> None:
    halt = [ctx(3_000, 100, mark="99.95", spec_version="halted"), *every_second(8, 30, 100)]
    found = ruled(day_of_rows(BEFORE, [*every_second(0, 2, 100), *halt]))
    assert (found.reason, found.held_ms.tolist()) == (("market_closed",), [1_800])
    assert found.net_bps[0] == pytest.approx((99.95 - 99.9) / 99.9 * 1e4 - 1)  # no fee at the settlement


def test_position_behind_a_feed_gap_is_void() -> None:
    contexts = [*every_second(0, 4, 100), *(ctx(1000 * s, 100, generation=2) for s in range(5, 30))]
    found = ruled(day_of_rows(BEFORE, contexts))
    assert (State(found.state[0]), found.reason, found.net_bps.tolist()) == (State.VOID, ("",), [0.0])


def test_order_that_misses_has_no_exit() -> None:
    found = ruled(day_of_rows([*BEFORE, bbo(1_100, "99.8", 101)], every_second(0, 30, 100)))
    assert (State(found.state[0]), found.reason, found.held_ms.tolist()) == (State.MISSED, ("",), [0])
