"""What figures are drawn from, against numbers worked by hand and against scipy."""

import numpy as np
import polars as pl
import pytest
from looks_warehouse import BAD, DAY, DAY_BEFORE, GOOD, ODD, approval_row, basis_row, fills_row, frame_of, hours_row
from scipy import stats

from hip3_platform.analytics.evidence import approval, basis, fill_rows, sums
from hip3_platform.analytics.evidence.family import Policy
from hip3_platform.looks.summaries import (
    USUAL,
    best_markets,
    decay_of,
    promised_and_had,
    taken_like,
    threshold_bounds,
    usual_policy,
)

LED_8_3 = Policy(8, "oracle_led", 3)


def test_approved_markets_come_first_then_the_highest_lower_bound_and_those_without_a_policy_never() -> None:
    rows = [
        approval_row("a", test_theta_bps=9.0, test_se_bps=1.0),
        approval_row("b", test_theta_bps=9.0, test_se_bps=5.0),
        approval_row("c", state="latency_fragile", test_theta_bps=1.0),
        approval_row("d", state="approved_micro", test_theta_bps=-1.0),
        approval_row("e", state="approved_trade", threshold_bps=None),
        approval_row("f", test_theta_bps=None, test_se_bps=None),
    ]
    assert best_markets(frame_of(approval.SCHEMA, *rows), 9)["coin"].to_list() == ["d", "c", "a", "b", "f"]
    assert best_markets(frame_of(approval.SCHEMA, *rows), 2)["coin"].to_list() == ["d", "c"]


def test_the_usual_policy_is_the_most_frequent_one() -> None:
    rows = [approval_row("a"), approval_row("b", threshold_bps=5), approval_row("c", threshold_bps=5)]
    assert usual_policy(frame_of(approval.SCHEMA, *rows)) == Policy(5, "oracle_led", 3)
    assert usual_policy(frame_of(approval.SCHEMA, *rows[:2])) == Policy(5, "oracle_led", 3)
    assert usual_policy(frame_of(approval.SCHEMA)) == USUAL


def test_decay_is_the_mean_of_what_neither_quote_nor_oracle_closed() -> None:
    rows = [
        basis_row(GOOD, quote_share_5s=1.2, oracle_share_5s=0.1),
        basis_row(GOOD, quote_share_5s=0.2, oracle_share_5s=0.3),
        basis_row(GOOD, quote_share_5s=None, oracle_share_5s=None),
        basis_row(GOOD, origin="quote_led", quote_share_5s=9.0),
    ]
    found = decay_of(frame_of(basis.SCHEMA, *rows))
    assert found["offset_ms"].to_list() == [1_000, 3_000, 5_000, 10_000]
    at_5s = found.row(2, named=True)
    assert at_5s["episode_count"] == 2
    assert at_5s["open_share"] == pytest.approx((-0.3 + 0.5) / 2)
    assert at_5s["quote_share"] == pytest.approx(0.7)
    assert at_5s["oracle_share"] == pytest.approx(0.2)


def test_bounds_of_a_threshold_are_t_intervals_over_days_of_its_origin_horizon_and_latency() -> None:
    days = tuple(f"2026-11-{day}" for day in range(20, 25))
    nets = (4.0, 10.0, -6.0, 12.0, 2.0)  # of 2 fills each: with equal days the ratio estimator is the plain mean
    rows = [hours_row(GOOD, day=day, fills=2, net_bps=net) for day, net in zip(days, nets, strict=True)]
    others = ({"origin": "any"}, {"latency_ms": 400}, {"horizon_s": 5}, {"threshold_bps": 11})
    rows += [hours_row(GOOD, day=days[0], fills=2, net_bps=1e6, **other) for other in others]
    found = threshold_bounds(frame_of(sums.SCHEMA, *rows), GOOD, days, LED_8_3, 200)
    fills, low, mean, high = found[8]
    means = np.array(nets) / 2
    expected = stats.t.interval(0.95, 4, loc=means.mean(), scale=stats.sem(means))
    assert (fills, mean) == (10, pytest.approx(means.mean()))
    assert (low, high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert found[3] == (0, None, None, None)


def test_one_day_has_a_mean_and_no_bounds() -> None:
    found = threshold_bounds(frame_of(sums.SCHEMA, hours_row(GOOD)), GOOD, (DAY_BEFORE, DAY), LED_8_3, 200)
    assert found[8] == (4, None, 2.5, None)


def test_only_fills_of_a_markets_own_policy_are_promised_and_had() -> None:
    best = frame_of(approval.SCHEMA, approval_row(GOOD), approval_row(BAD, origin="any"))
    others = ({"threshold_bps": 11}, {"latency_ms": 400}, {"horizon_s": 5})
    rows = [fills_row(GOOD), *(fills_row(GOOD, net_bps=99.0, **other) for other in others)]
    rows += [fills_row(coin, is_oracle_led=False, net_bps=-3.0) for coin in (GOOD, BAD, ODD)]
    found = promised_and_had(frame_of(fill_rows.SCHEMA, *rows).lazy(), best)
    assert found.select("coin", "raw_edge_bps", "net_bps").rows() == [(BAD, 12.0, -3.0), (GOOD, 12.0, 7.0)]


@pytest.mark.parametrize(("raw_bps", "expected"), [(16, 5.0), (15, 5.0), (14, 2.0), (2, None)])
def test_crosses_are_taken_at_the_nearest_threshold_that_is_not_above(raw_bps: int, expected: float | None) -> None:
    same = {"origin": "any", "horizon_s": 5}
    rows = [hours_row(GOOD, threshold_bps=bps, net_bps=net, **same) for bps, net in ((11, 8.0), (15, 20.0))]
    rows += [hours_row(GOOD, threshold_bps=15, net_bps=99.0), hours_row(BAD, threshold_bps=15, net_bps=99.0, **same)]
    assert taken_like(frame_of(sums.SCHEMA, *rows), GOOD, raw_bps, 200) == expected


def test_nothing_decided_has_no_decay() -> None:
    assert decay_of(pl.DataFrame(schema=basis.SCHEMA)).is_empty()
