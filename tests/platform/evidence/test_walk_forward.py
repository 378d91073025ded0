"""Walk-forward: a day is judged by what the days before it chose, compared with a slow readable reference."""

import math
from dataclasses import replace

import numpy as np
import pytest
from evidence_sums import day_names, full_market, one_policy_sums, steady_market
from hypothesis import given, settings
from hypothesis import strategies as st

from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, POLICIES, HourSums, Policy
from hip3_platform.analytics.evidence.walk_forward import FIRST_TEST_DAY, choices, choose, policy_sums, walk

LATENCY_MS = 200


def _slow_choice(sums: HourSums, days: int, latency_ms: int, origins: str) -> Policy | None:
    at = LATENCIES_MS.index(latency_ms)
    best, best_score = None, -math.inf
    for policy in sorted(POLICIES, key=lambda each: each.origin != "oracle_led"):
        if origins == "oracle_led" and policy.origin != "oracle_led":
            continue
        t, o, h = policy.place
        clusters = []
        for day in range(days):
            for block in range(6):
                hours = range(block * 4, block * 4 + 4)
                s = sum(sums.net_bps[day, hour, t, o, at, h] for hour in hours)
                n = sum(int(sums.fills[day, hour, t, o, at]) for hour in hours)
                clusters.append((s, n))
        total, g = sum(n for _, n in clusters), sum(n > 0 for _, n in clusters)
        if total < 30 or g < 2:
            continue
        theta = sum(s for s, _ in clusters) / total
        se = math.sqrt(g / (g - 1) * sum((s - theta * n) ** 2 for s, n in clusters)) / total
        score = theta - se
        score *= total if score > 0 else 1
        if score > best_score:
            best, best_score = policy, score
    return best


@pytest.mark.parametrize(("seed", "edge_bps"), [(1, 0.0), (2, 2.0), (3, -3.0)])
@pytest.mark.parametrize("origins", ["both", "oracle_led"])
def test_choices_equal_a_slow_reference(seed, edge_bps, origins) -> None:
    sums = full_market(np.random.default_rng(seed), edge_bps, days=8)
    chosen = choices(sums, LATENCY_MS, origins)
    assert list(chosen) == [_slow_choice(sums, days, LATENCY_MS, origins) for days in range(FIRST_TEST_DAY, 9)]


@settings(max_examples=30, deadline=None)
@given(st.integers(FIRST_TEST_DAY, 13), st.integers(0, 5), st.floats(-1000, 1000))
def test_choice_for_a_day_does_not_know_that_day_or_later_ones(day: int, seed: int, shock_bps: float) -> None:
    sums = full_market(np.random.default_rng(seed), 1.0)
    shocked = sums.net_bps.copy()
    shocked[day:] += shock_bps
    changed = replace(sums, net_bps=shocked)
    until = day - FIRST_TEST_DAY + 1
    assert choices(changed, LATENCY_MS)[:until] == choices(sums, LATENCY_MS)[:until]


def test_choose_weighs_the_lower_bound_by_fills_only_above_zero() -> None:
    # Two clusters each: (theta, n) = (5, 40) and (2, 200) positive, so 200 fills at 2 win; both negative, -1 beats -3.
    fills = np.array([[20, 100], [20, 100]])
    assert choose(np.array([[99.0, 199.0], [101.0, 201.0]]), fills) == 1
    assert choose(np.array([[-59.0, -99.0], [-61.0, -101.0]]), fills) == 1
    assert choose(np.array([[-19.0, -299.0], [-21.0, -301.0]]), fills) == 0


def test_choose_takes_none_below_30_fills_or_from_one_cluster() -> None:
    assert choose(np.array([[50.0], [60.0]]), np.array([[14], [15]])) is None
    assert choose(np.array([[50.0], [60.0]]), np.array([[15], [15]])) == 0
    assert choose(np.array([[500.0], [0.0]]), np.array([[100], [0]])) is None


def test_equal_scores_take_the_oracle_led_policy() -> None:
    sums = steady_market(np.random.default_rng(4), 2.0)
    assert {each.origin for each in choices(sums, LATENCY_MS) if each} == {"oracle_led"}


def test_a_policy_of_any_origin_is_chosen_unless_only_oracle_led_ones_may_be() -> None:
    sums = steady_market(np.random.default_rng(5), 2.0)
    net, fills = sums.net_bps.copy(), sums.fills.copy()
    net[:, :, 0, 0], fills[:, :, 0, 0] = net[:, :, 0, 0] * 3, fills[:, :, 0, 0] * 2  # quote-led ones earn more here
    richer = replace(sums, net_bps=net, fills=fills)
    assert {each.origin for each in choices(richer, LATENCY_MS) if each} == {"any"}
    assert {each.origin for each in choices(richer, LATENCY_MS, "oracle_led") if each} == {"oracle_led"}


def test_walk_joins_each_days_result_under_the_policy_of_that_day() -> None:
    sums = full_market(np.random.default_rng(6), 1.0)
    chosen = choices(sums, LATENCY_MS)
    for latency in (LATENCY_MS, 500):
        result = walk(sums, chosen, latency)
        at = LATENCIES_MS.index(latency)
        assert result.test_policies == chosen[:-1]
        assert result.final == chosen[-1]
        for i, policy in enumerate(chosen[:-1]):
            assert policy is not None
            t, o, h = policy.place
            day = FIRST_TEST_DAY + i
            assert result.test_net_bps[i] == pytest.approx(sums.net_bps[day, :, t, o, at, h].sum())
            assert result.test_fills[i] == sums.fills[day, :, t, o, at].sum()
        assert result.final is not None
        t, o, h = result.final.place
        np.testing.assert_allclose(result.in_sample_net_bps, sums.net_bps[:, :, t, o, at, h].sum(axis=1))
        assert result.in_sample_fills.tolist() == sums.fills[:, :, t, o, at].sum(axis=1).tolist()


def test_test_stream_is_free_of_the_luck_that_the_in_sample_twin_picks() -> None:
    rng = np.random.default_rng(7)
    tests, twins = [], []
    for _ in range(40):
        sums = full_market(rng, 0.0)
        result = walk(sums, choices(sums, LATENCY_MS), LATENCY_MS)
        tests.append(result.test_net_bps.sum() / result.test_fills.sum())
        twins.append(result.in_sample_net_bps.sum() / result.in_sample_fills.sum())
    error = np.std(tests) / math.sqrt(len(tests))
    assert abs(np.mean(tests)) < 3 * error
    assert np.mean(twins) > 3 * error


def test_days_without_enough_fills_before_them_test_nothing() -> None:
    fills = np.zeros((14, 24), dtype=np.int64)
    fills[6:] = 1
    result = walk(sums := one_policy_sums(fills * 2.0, fills), choices(sums, LATENCY_MS), LATENCY_MS)
    # 24 fills a day from day 6 on: 24 before day 7, 48 before day 8
    assert [each is not None for each in result.test_policies] == [False] * 4 + [True] * 6
    assert result.test_fills.tolist() == [0.0] * 4 + [24.0] * 6


@pytest.mark.parametrize("days", [0, 3, 4])
def test_a_window_that_only_trains_has_no_test_days(days) -> None:
    sums = full_market(np.random.default_rng(8), 5.0, days=days)
    result = walk(sums, choices(sums, LATENCY_MS), LATENCY_MS)
    assert result.test_fills.size == 0
    assert (result.final is not None) == (days == FIRST_TEST_DAY)


def test_policy_sums_refuse_a_latency_off_the_grid() -> None:
    with pytest.raises(ValueError, match="250"):
        policy_sums(HourSums.empty(day_names(2)), 250)


def test_policy_sums_put_every_policy_in_its_column() -> None:
    sums = full_market(np.random.default_rng(9), 1.0, days=1)
    net, fills = policy_sums(sums, 400)
    assert net.shape == fills.shape == (1, 24, len(POLICIES))
    for column, policy in enumerate(POLICIES):
        t, o, h = policy.place
        assert HORIZONS_S[h] == policy.horizon_s
        np.testing.assert_array_equal(net[..., column], sums.net_bps[:, :, t, o, 2, h])
        np.testing.assert_array_equal(fills[..., column], sums.fills[:, :, t, o, 2])
