"""Approval: known states with their reasons, the corrections by slow references, rates at the null and at an edge."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_sums import SD_BPS, day_names, one_policy_sums, steady_market, universe
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hip3_platform.analytics.evidence.approval import (
    ABOUT,
    LEVELS,
    SCHEMA,
    VETO,
    Approval,
    MarketEvidence,
    approvals_frame,
    approve_markets,
    holm_adjusted,
)
from hip3_platform.analytics.evidence.family import HourSums
from hip3_platform.analytics.evidence.probes import judge_probes

COIN = "xyz:GOOD"
_REAL = np.tile([1.0, 2.0], 10)
PASSED = judge_probes(_REAL, _REAL)
FAILED = judge_probes(np.full(20, np.nan), _REAL)


def _market(seed: int = 1, edge_bps: float = 4.0, **options: float) -> MarketEvidence:
    return MarketEvidence(steady_market(np.random.default_rng(seed), edge_bps, **options), "stale_quote")


def _one(market: MarketEvidence, latency_ms: int = 200) -> Approval:
    # Beside a hopeless market, so that m is 2.
    rows = approve_markets({COIN: market, "xyz:LOSS": _market(2, -5.0)}, latency_ms=latency_ms)
    return next(row for row in rows if row.coin == COIN)


def _level(state: str) -> int:
    return next(i for i, states in enumerate(LEVELS) if state in states)


# --- states and their reasons


def test_a_steady_edge_is_approved_for_micro_with_its_figures() -> None:
    row = _one(_market())
    assert (row.state, row.stay_state) == ("approved_micro", "approved_micro")
    assert row.test.theta_bps == pytest.approx(4.0, abs=4 * SD_BPS / 20)
    assert row.test.days == 10
    assert row.in_sample.days == 14
    assert row.in_sample.fills > row.test.fills > 300
    assert row.test.fills_per_day == row.test.fills / 10
    assert row.bound_bps is not None
    assert 0 < row.bound_bps < row.test.theta_bps
    for said in ("400 fills", f"{row.test.theta_bps:+.2f}", "in sample", "probes not yet", "at 500 ms"):
        assert said.replace("400", str(row.test.fills)) in row.reason


def test_passed_probes_allow_trade_and_failed_ones_do_not() -> None:
    assert _one(replace(_market(), probes=PASSED)).state == "approved_trade"
    failed = _one(replace(_market(), probes=FAILED))
    assert failed.state == "approved_micro"
    assert "probes failed: 0 of 20" in failed.reason


def test_a_loss_is_rejected_and_says_what_it_claimed_in_sample() -> None:
    row = _one(_market(edge_bps=-1.0))
    assert row.state == "rejected"
    assert row.reason.startswith("last 4 test days") or row.reason.startswith("not proved")
    assert "in sample" in row.reason


@pytest.mark.parametrize("fills_a_day", [0, 4])
def test_too_few_fills_are_insufficient_with_p_1_and_stay_in_m(fills_a_day: int) -> None:
    fills = np.zeros((14, 24), dtype=np.int64)
    fills[:, :fills_a_day] = 1
    net = fills * (9.0 + np.arange(14)[:, None] % 3)
    row = _one(MarketEvidence(one_policy_sums(net, fills), "stale_quote"))
    assert (row.state, row.stay_state, row.test.p, row.p_adjusted) == ("insufficient", "insufficient", 1.0, 1.0)
    assert row.bound_bps is None
    assert row.market_count == 2


def test_fills_on_four_days_are_insufficient_however_many() -> None:
    sums = steady_market(np.random.default_rng(3), 8.0)
    keep = np.ones(14, dtype=bool)
    keep[[4, 5, 7, 9, 11, 12]] = False
    few = replace(
        sums,
        fills=sums.fills * keep[:, None, None, None, None],
        net_bps=sums.net_bps * keep[:, None, None, None, None, None],
    )
    row = _one(MarketEvidence(few, "stale_quote"))
    assert (row.state, row.test.fill_days) == ("insufficient", 4)
    assert "4 test days" in row.reason


@pytest.mark.parametrize(("last_day_fills", "state"), [(4, "insufficient"), (5, "approved_micro")])
def test_50_test_fills_are_enough_and_49_are_not(last_day_fills: int, state: str) -> None:
    fills = np.zeros((14, 24), dtype=np.int64)
    fills[:, :5] = 1
    fills[:4, :] = 1  # enough to choose by
    fills[13, last_day_fills:] = 0
    net = fills * (9.0 + np.arange(24) % 3 + np.arange(14)[:, None] % 2)
    row = _one(MarketEvidence(one_policy_sums(net, fills), "stale_quote"))
    assert (row.test.fills, row.state) == (45 + last_day_fills, state)


@pytest.mark.parametrize("verdict", sorted(VETO))
def test_a_veto_rejects_whatever_the_bound(verdict) -> None:
    row = _one(replace(_market(edge_bps=20.0), verdict=verdict, probes=PASSED))
    assert (row.state, row.stay_state, row.bound_bps, row.p_adjusted) == ("rejected", "rejected", None, 1.0)
    assert row.test.p < 0.001
    assert verdict.replace("_", " ") in row.reason


@pytest.mark.parametrize("verdict", ["widening", "noise", "toxic", "insufficient"])
def test_other_verdicts_explain_and_do_not_decide(verdict) -> None:
    assert _one(replace(_market(), verdict=verdict)).state == "approved_micro"


def test_an_edge_that_died_in_the_last_four_days_is_stopped_by_the_guard() -> None:
    sums = steady_market(np.random.default_rng(4), 8.0)
    net = sums.net_bps.copy()
    net[10:] -= 8.0 * sums.fills[10:, ..., None]
    row = _one(MarketEvidence(replace(sums, net_bps=net), "stale_quote"))
    assert row.state == "rejected"
    assert row.reason.startswith("last 4 test days")
    assert row.guard.theta_bps is not None
    assert row.guard.se_bps is not None
    assert row.guard.theta_bps - row.guard.se_bps <= 0
    assert row.guard.days == 4


def test_the_guard_wants_more_than_a_mean_above_zero() -> None:
    fills = np.full((14, 24), 1)
    by_day = np.array([8.0, 9.0] * 5 + [6.0, -5.5, 6.0, -5.5])  # mean +.25 of the last four, standard error 3.3
    row = _one(MarketEvidence(one_policy_sums(fills * by_day[:, None], fills), "stale_quote"))
    assert row.guard.theta_bps == pytest.approx(0.25)
    assert (row.state, row.bound_bps) == ("rejected", None)


def test_too_few_fills_at_the_worse_latency_prove_nothing_there() -> None:
    sums = steady_market(np.random.default_rng(7), 15.0, rate=6.0)
    fills, net = sums.fills.copy(), sums.net_bps.copy()
    fills[4::2, ..., 2:], net[4::2, ..., 2:, :] = 0, 0.0  # above 200 ms every other test day fills nothing
    row = _one(MarketEvidence(replace(sums, fills=fills, net_bps=net), "stale_quote"))
    assert (row.state, row.stressed.fill_days, row.stressed.p) == ("latency_fragile", 5, 1.0)


def test_an_edge_that_a_worse_latency_kills_is_fragile_even_with_probes() -> None:
    market = replace(_market(late_shift_bps=-4.5), probes=PASSED)
    row = _one(market)
    assert (row.state, row.stressed_latency_ms) == ("latency_fragile", 500)
    assert row.stressed.theta_bps is not None
    assert row.stressed.theta_bps < 0 < (row.test.theta_bps or 0)
    assert "fragile" in row.reason


def test_an_edge_is_fragile_where_the_grid_knows_no_worse_latency() -> None:
    row = _one(replace(_market(), probes=PASSED), latency_ms=800)
    assert (row.state, row.stressed_latency_ms, row.stressed.p) == ("latency_fragile", None, 1.0)
    assert "nothing is known" in row.reason


def test_stress_values_the_policy_that_would_trade_not_one_chosen_for_the_stress() -> None:
    # T3 decisions earn most at 200 ms and lose later; T8 ones, fewer, earn less at every latency. Choosing anew at
    # 500 ms would find T8 and bless T3, which is what trades.
    quick = steady_market(np.random.default_rng(5), 6.0, rate=80.0, late_shift_bps=-9.0)
    slow = steady_market(np.random.default_rng(6), 3.0, rate=40.0)
    fills, net = quick.fills.copy(), quick.net_bps.copy()
    fills[:, :, 2], net[:, :, 2] = slow.fills[:, :, 0], slow.net_bps[:, :, 0]
    row = _one(MarketEvidence(replace(quick, fills=fills, net_bps=net), "stale_quote"))
    assert row.policy is not None
    assert (row.policy.threshold_bps, row.state) == (3, "latency_fragile")
    assert _one(MarketEvidence(replace(quick, fills=fills, net_bps=net), "stale_quote"), 500).policy.threshold_bps == 8  # type: ignore[union-attr]


def test_no_markets_give_no_rows() -> None:
    assert approve_markets({}, latency_ms=200) == ()


def test_windows_of_different_days_are_refused() -> None:
    with pytest.raises(ValueError, match="one window"):
        approve_markets({"a": _market(), "b": _market(days=13)}, latency_ms=200)


@pytest.mark.parametrize("days", [0, 3, 4, 6])
def test_a_young_window_is_insufficient_for_everyone(days: int) -> None:
    rows = approve_markets({COIN: _market(days=days), "xyz:B": _market(2, days=days)}, latency_ms=200)
    assert [row.state for row in rows] == ["insufficient", "insufficient"]


# --- the corrections


def _slow_bh(p: list[float], rate: float) -> list[bool]:
    ordered = sorted(p)
    passing = [k for k in range(1, len(p) + 1) if ordered[k - 1] <= rate * k / len(p)]
    return [each <= ordered[passing[-1] - 1] for each in p] if passing else [False] * len(p)


@pytest.mark.parametrize("seed", range(6))
def test_a_market_is_approved_exactly_where_benjamini_hochberg_rejects_and_the_bound_is_above_0(seed: int) -> None:
    rows = approve_markets(universe(seed, (0.0, 0.5, 0.0, 1.0, 0.3, 2.0, 0.0, 0.4)), latency_ms=200)
    out = [row.bound_bps is None for row in rows]
    p = [1.0 if gone else row.test.p for row, gone in zip(rows, out, strict=True)]
    rejected = _slow_bh(p, 0.05)
    approved = [_level(row.state) > 0 for row in rows]
    assert approved == rejected
    assert approved == [row.bound_bps is not None and row.bound_bps > 0 for row in rows]
    assert {row.approved_count for row in rows} == {sum(rejected)}
    assert [_level(row.stay_state) > 0 for row in rows] == _slow_bh(p, 0.20)
    for row in rows:
        assert row.p_adjusted <= row.p_holm + 1e-12
        assert row.p_adjusted <= row.p_by + 1e-12
        if row.bound_bps is not None:
            tail = 0.05 * max(sum(rejected), 1) / len(rows)
            t = stats.t(row.test.df).ppf(1 - tail)
            assert row.bound_bps == pytest.approx(row.test.theta_bps - t * row.test.se_bps)


def test_holm_and_by_are_those_of_statsmodels_and_scipy() -> None:
    rows = approve_markets(universe(3, (0.0, 0.5, 0.8, 1.2, 2.0)), latency_ms=200)
    p = np.array([1.0 if row.bound_bps is None else row.test.p for row in rows])
    assert len(set(p)) > 2
    assert [row.p_holm for row in rows] == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert [row.p_by for row in rows] == pytest.approx(stats.false_discovery_control(p, method="by").tolist())


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)
def test_holm_is_that_of_statsmodels_also_with_ties(p) -> None:
    values = np.array([*p, p[0]])
    np.testing.assert_allclose(holm_adjusted(values), multipletests(values, method="holm")[1])


def test_a_vetoed_market_lends_its_p_to_nobody() -> None:
    markets = universe(11, (0.0,) * 20)
    strong = {f"xyz:V{i}": replace(_market(i, 20.0), verdict="thin") for i in range(8)}
    dull = {f"xyz:V{i}": MarketEvidence(HourSums.empty(day_names(14)), "stale_quote") for i in range(8)}
    beside_vetoed = approve_markets({**markets, **strong}, latency_ms=200)
    beside_empty = approve_markets({**markets, **dull}, latency_ms=200)
    for vetoed, empty in zip(beside_vetoed, beside_empty, strict=True):
        if vetoed.coin in markets:
            assert (vetoed.state, vetoed.p_adjusted) == (empty.state, empty.p_adjusted)
            assert vetoed.p_stressed_adjusted == empty.p_stressed_adjusted


# --- properties


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_markets_changes_nothing(random, seed: int) -> None:
    markets = list(universe(seed, (0.0, 1.0, 3.0, -2.0)).items())
    before = approve_markets(dict(markets), latency_ms=200)
    random.shuffle(markets)
    assert approve_markets(dict(markets), latency_ms=200) == before


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 20), st.floats(0.0, 6.0), st.floats(0.5, 3.0))
def test_raising_every_result_of_a_market_never_takes_an_approval_from_anyone(
    seed: int, raise_bps: float, edge_bps: float
) -> None:
    # One policy a market: with several, a raise may change the choice to one that is noisier.
    markets = {f"m{i}": _market(seed * 10 + i, edge_bps * i / 4, rate=20.0) for i in range(5)}
    raised = markets["m2"].sums
    better = replace(raised, net_bps=raised.net_bps + raise_bps * raised.fills[..., None])
    before = approve_markets(markets, latency_ms=200)
    after = approve_markets({**markets, "m2": MarketEvidence(better, "stale_quote")}, latency_ms=200)
    for old, new in zip(before, after, strict=True):
        assert _level(new.state) >= _level(old.state)
        assert _level(new.stay_state) >= _level(old.stay_state)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50))
def test_what_enters_may_stay(seed: int) -> None:
    for row in approve_markets(universe(seed, (0.0, 0.4, 0.8, 2.0)), latency_ms=200):
        assert _level(row.stay_state) >= _level(row.state)


# --- rates


def test_at_the_boundary_null_few_universes_approve_anyone() -> None:
    # Every policy of every market earns exactly 0, so any approval is false: 5 % of universes at most.
    universes = 40
    wrong = 0
    for seed in range(universes):
        rows = approve_markets(universe(1_000 + seed, (0.0,) * 12), latency_ms=200)
        wrong += any(_level(row.state) > 0 for row in rows)
    assert wrong <= stats.binom(universes, 0.05).ppf(0.999)


def test_an_edge_of_3_bps_is_found_and_its_interval_covers() -> None:
    found, covered, count = 0, 0, 0
    for seed in range(20):
        rows = approve_markets(universe(2_000 + seed, (3.0,) * 4 + (0.0,) * 8), latency_ms=200)
        for row in rows[:4]:
            count += 1
            found += row.state == "approved_micro"
            assert row.test.ci_lower_bps is not None
            assert row.test.ci_upper_bps is not None
            covered += row.test.ci_lower_bps <= 3.0 <= row.test.ci_upper_bps
    assert found / count >= 0.80
    assert covered >= stats.binom(count, 0.95).ppf(0.001)


# --- the table


def test_the_frame_has_the_columns_of_its_schema_and_a_text_for_each() -> None:
    rows = approve_markets(
        {**universe(1, (3.0, 0.0)), "xyz:VOID": MarketEvidence(HourSums.empty(day_names(14)), "noise")}, latency_ms=200
    )
    frame = approvals_frame(rows, "hyperliquid", "2026-11-14")
    assert dict(frame.schema) == SCHEMA
    assert set(ABOUT) == set(SCHEMA)
    assert all(ABOUT.values())
    first = frame.row(0, named=True)
    assert rows[0].policy is not None
    assert first["policy"] == rows[0].policy.text
    assert first["test_theta_bps"] == rows[0].test.theta_bps
    assert first["in_sample_theta_bps"] == rows[0].in_sample.theta_bps
    assert sum(first["daily_net_bps"]) == pytest.approx(first["test_theta_bps"] * first["test_fills"])
    void = frame.filter(coin="xyz:VOID").row(0, named=True)
    assert (void["state"], void["policy"], void["test_theta_bps"], void["test_p"]) == ("insufficient", None, None, 1.0)
    assert approvals_frame((), "hyperliquid", "2026-11-14").schema == frame.schema


def test_every_test_figure_has_its_in_sample_twin() -> None:
    tests = {name.removeprefix("test_") for name in SCHEMA if name.startswith("test_")}
    twins = {name.removeprefix("in_sample_") for name in SCHEMA if name.startswith("in_sample_")}
    assert tests == twins != set()


def test_guard_reads_the_last_days_with_fills_and_a_weekend_is_no_news() -> None:
    sums = steady_market(np.random.default_rng(3), 8.0)
    closed = np.ones(14, dtype=bool)
    closed[[11, 12, 13]] = False
    rested = replace(
        sums,
        fills=sums.fills * closed[:, None, None, None, None],
        net_bps=sums.net_bps * closed[:, None, None, None, None, None],
    )
    row = _one(MarketEvidence(rested, "stale_quote"))
    assert row.guard.fill_days == 4
    assert row.state == "approved_micro"
    # Days 7 to 10 are the last with fills: when they lose, an edge of before does not carry it.
    lost = replace(
        rested, net_bps=rested.net_bps * np.where(np.arange(14) >= 7, -1.0, 1.0)[:, None, None, None, None, None]
    )
    assert _one(MarketEvidence(lost, "stale_quote")).state == "rejected"
