"""The predecessor's method: against a plain loop, and the cases in which it believes what is not there."""

from bisect import bisect_right

import numpy as np
import pytest
from evidence_feed import Reference, bbo, ctx, day_of_rows, every_second, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.markouts import State, markouts_of
from hip3_platform.analytics.evidence.shrinkage import (
    NET_THRESHOLDS_BPS,
    ShrinkageSums,
    ShrinkageVerdict,
    shrinkage_sums,
    shrinkage_verdict,
)


def expected_sums(day: MarketDay) -> tuple[list[int], list[float]]:
    """Every bbo and every ctx, one at a time."""
    reference = Reference(day)
    rows = [(ts, int(day.bbo_seq[at]), at, None) for at, ts in enumerate(reference.book_ts)]
    rows += [(ts, int(day.ctx_seq[at]), None, at) for at, ts in enumerate(reference.ctx_ts)]
    counts, sums = [0] * len(NET_THRESHOLDS_BPS), [0.0] * len(NET_THRESHOLDS_BPS)
    row = step = -1
    for ts, _, book, context in sorted(rows, key=lambda each: each[:2]):
        row, step = row if book is None else book, step if context is None else context
        if row < 0 or step < 0:
            continue
        for side in (1, -1):
            px, oracle = reference.px(row, side), reference.oracles[step]
            if px == MISSING or side * (oracle - px) * 10_000 < 11 * oracle:
                continue
            later = ts + 5_000_000_000
            met = reference.px(bisect_right(reference.book_ts, later) - 1, side)
            if met == MISSING or later > day.data_end_ns:
                continue
            then = reference.oracles[bisect_right(reference.ctx_ts, later) - 1]
            edge, left = side * (oracle - px) / oracle * 1e4, side * (then - met) / then * 1e4
            for place, net in enumerate(NET_THRESHOLDS_BPS):
                if edge - 11 >= net:
                    counts[place] += 1
                    sums[place] += edge - abs(left)
    return counts, sums


@settings(max_examples=200)
@given(day=market_days())
def test_sums_of_any_day_are_those_of_the_plain_loop(day: MarketDay) -> None:
    counts, sums = expected_sums(day)
    found = shrinkage_sums(day)
    assert found.signals.tolist() == counts
    assert found.reduction_bps.tolist() == pytest.approx(sums, abs=1e-6)


def test_oracle_that_falls_back_counts_as_a_gain_although_every_trade_loses() -> None:
    # The ask stays at 99.8, the bid at 99.7; every 20 s the oracle rises to 100 and falls back to 99.8 within 3 s.
    contexts = [ctx(1000 * s, 100 if s % 20 in {1, 2, 3} else "99.8") for s in range(1201)]
    day = day_of_rows([bbo(1000 * s + 1, "99.7", "99.8") for s in range(1200)], contexts)
    verdict = shrinkage_verdict([shrinkage_sums(day)])
    assert verdict.is_tradeable
    assert (verdict.net_threshold_bps, verdict.raw_threshold_bps) == (0, 11)
    assert verdict.claimed_bps == pytest.approx(20.0 - 10.0)  # 20 bps of edge, all of it gone 5 s later
    decisions = decisions_of(day, (11,))
    found = markouts_of(day, decisions)
    assert decisions.ts_ns.size > 50
    assert (found.net_bps[found.state == State.FILLED] < -10).all()  # spread and fees


def test_frozen_quote_of_50_s_is_enough_signals() -> None:
    day = day_of_rows([bbo(0, 99, "99.8"), bbo(54_000, 99, 100)], every_second(0, 60, 100))
    sums = shrinkage_sums(day)
    assert int(sums.signals[0]) >= 50
    assert decisions_of(day, (11,)).ts_ns.size == 0  # a standing cross that nobody saw begin is no decision at all


def a_day(signals: list[int], means: list[float]) -> ShrinkageSums:
    padded = signals + [0] * (len(NET_THRESHOLDS_BPS) - len(signals))
    mean = means + [0.0] * (len(NET_THRESHOLDS_BPS) - len(means))
    return ShrinkageSums("2026-06-15", np.array(padded), np.array(padded) * np.array(mean))


def test_threshold_is_the_best_of_those_with_50_signals_over_the_window() -> None:
    # Net 10 has 49 + 1 signals over the two days, net 15 has 49: it is better, and does not count.
    window = [a_day([900, 400, 49, 49], [5, 8, 31, 90]), a_day([100, 100, 1, 0], [5, 8, 31, 0])]
    assert shrinkage_verdict(window) == ShrinkageVerdict(True, 10, pytest.approx(21.0), 50)


def test_best_metric_of_zero_is_not_tradeable() -> None:
    assert shrinkage_verdict([a_day([60, 50], [10, 9])]) == ShrinkageVerdict(False, 0, pytest.approx(0.0), 60)


@pytest.mark.parametrize(("window", "signals"), [([], 0), ([a_day([49], [99])], 49)])
def test_too_few_signals_are_no_verdict(window: list[ShrinkageSums], signals: int) -> None:
    assert shrinkage_verdict(window) == ShrinkageVerdict(False, None, None, signals)
