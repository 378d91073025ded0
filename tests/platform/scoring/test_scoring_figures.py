"""Figures of a score, on universes small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scoring_builders import OTHER, POLICY, a_found, a_truth, an_outcome, figures_of

from hip3_platform.analytics.evidence.family import Policy
from hip3_platform.scoring.bars import bars_of
from hip3_platform.scoring.figures import _half_bps, figures, judge, ratio
from hip3_platform.scoring.truth import Truth
from hip3_platform.scoring.universe import Claim


def truths_of(*truths: Truth) -> dict[str, Truth]:
    return {truth.coin: truth for truth in truths}


def test_false_discoveries_are_approved_policies_that_truly_earn_nothing() -> None:
    truths = truths_of(a_truth("A", 4.0), a_truth("B", -0.1), a_truth("C", 0.0), a_truth("D", -5.0), a_truth("E", 3.0))
    found = a_found(
        an_outcome("A", "approved_micro"),
        an_outcome("B", "approved_micro"),
        an_outcome("C", "latency_fragile"),
        an_outcome("D", "rejected"),
        an_outcome("E", "rejected"),
    )
    scored = figures([found], [truths])
    assert (scored["counts"]["fdr"]["count"], scored["counts"]["fdr"]["of"]) == (2, 3)
    assert scored["fdr"] == pytest.approx(2 / 3, abs=1e-4)
    assert (scored["counts"]["probe_fdr"]["count"], scored["counts"]["probe_fdr"]["of"]) == (1, 2)
    assert (scored["counts"]["power"]["count"], scored["counts"]["power"]["of"]) == (1, 2)


def test_the_policy_counts_and_not_the_market() -> None:
    truth = a_truth("A", 4.0)  # every policy but POLICY loses
    scored = figures([a_found(an_outcome("A", "approved_micro", policy=OTHER))], [truths_of(truth)])
    assert scored["fdr"] == 1.0
    assert scored["power"] == 1.0


def test_latency_figures_are_held_against_the_later_truth_without_fragile_markets() -> None:
    truths = truths_of(a_truth("A", 4.0, late_bps=-1.0), a_truth("B", 4.0, late_bps=-1.0), a_truth("C", 4.0))
    found = a_found(
        an_outcome("A", "latency_fragile"), an_outcome("B", "approved_micro"), an_outcome("C", "approved_micro")
    )
    scored = figures([found], [truths])
    assert scored["fdr"] == 0.0
    assert scored["fdr_latency"] == 0.5
    assert scored["fdr_latency_with_fragile"] == pytest.approx(2 / 3, abs=1e-4)
    assert scored["power_firm"] == pytest.approx(2 / 3, abs=1e-4)


def test_probes_stop_what_fills_on_paper_only() -> None:
    true = figures_of({(POLICY, 200): -4.0}, fills=1.0)
    truth = Truth("A", "pulled_quote", true, figures_of({(POLICY, 200): 4.0}), true)
    scored = figures([a_found(an_outcome("A", "approved_micro"))], [truths_of(truth)])
    assert scored["fdr_without_probes"] == 1.0
    assert scored["fdr"] is None
    assert scored["counts"]["fdr"]["of"] == 0


def test_probes_let_through_what_fills_as_modelled() -> None:
    names = [f"M{at}" for at in range(50)]
    truths = truths_of(*(a_truth(name, 4.0) for name in names))
    scored = figures([a_found(*(an_outcome(name, "approved_micro") for name in names))], [truths])
    assert scored["power"] == 1.0


def test_probes_of_half_the_fills_pass_as_seldom_as_the_binomial_says() -> None:
    names = [f"M{at}" for at in range(300)]
    truths = truths_of(*(a_truth(name, 4.0, fills=26.0) for name in names))  # 26 of 40 decisions
    found = a_found(*(an_outcome(name, "approved_micro", fill_ratio=0.8125) for name in names))
    passed = sum(each.has_passed for each in judge(found, 0, truths))
    assert 0.70 < passed / 300 < 0.89  # evidence method, section 6: .80 at a true ratio of .8


def test_power_needs_ten_fills_a_day_and_three_bps() -> None:
    truths = truths_of(
        a_truth("A", 3.0, fills=9.9), a_truth("B", 2.99), a_truth("C", 3.0, fills=10.0), a_truth("D", 8.0, fills=20.0)
    )
    found = a_found(*(an_outcome(coin, "rejected") for coin in "ABC"), an_outcome("D", "approved_micro"))
    scored = figures([found], [truths])
    assert scored["counts"]["power"] | {"low": 0, "high": 0} == {"value": 0.5, "count": 1, "of": 2, "low": 0, "high": 0}
    assert scored["power_often"] == 1.0
    by_edge = {row["edge_bps"]["from"]: (row["approved"], row["markets"]) for row in scored["power_by_edge"]}
    assert by_edge[2.0] == (0, 1)
    assert by_edge[3.0] == (0, 1)
    assert by_edge[5.0] == (1, 1)
    by_rate = {row["fills_per_day"]["from"]: (row["approved"], row["markets"]) for row in scored["power_by_rate"]}
    assert by_rate == {10.0: (0, 1), 20.0: (1, 1), 50.0: (0, 0), 120.0: (0, 0)}


def test_boundary_counts_universes_and_approvals() -> None:
    truths = truths_of(a_truth("A", 4.0), a_truth("B", 4.0))
    founds = [
        a_found(an_outcome("A", "rejected"), an_outcome("B", "rejected"), boundary=("A", "B")),
        a_found(an_outcome("A", "rejected"), an_outcome("B", "rejected"), name="two"),
    ]
    scored = figures(founds, [truths, truths])
    assert scored["fdr_boundary"] == 0.5
    assert scored["boundary"] == {"universes_with_approvals": 1, "approvals": 2, "markets": 4}
    assert scored["distinct_markets"] == 2


def test_coverage_widens_for_the_error_of_the_truth_and_says_on_which_side() -> None:
    close_by = figures_of({(POLICY, 200): 1.9}, se_bps=0.5)
    near = Truth("A", "stale_quote", close_by, close_by, close_by)
    truths = truths_of(near, a_truth("B", 1.0), a_truth("C", 5.0), a_truth("D", 3.5))
    found = a_found(*(an_outcome(coin, "rejected", theta_bps=3.0, half_bps=1.0) for coin in "ABCD"))
    scored = figures([found], [truths])
    detail = scored["coverage_detail"]
    # A: 1.1 off; its error is as large as the interval's own, which makes 1.0 into 1.41.
    assert (detail["count"], detail["of"], detail["plain"]) == (2, 4, 0.25)
    assert (detail["claimed_too_high"], detail["claimed_too_low"]) == (0.25, 0.25)
    assert scored["bias_bps"] == pytest.approx(np.mean([1.1, 2.0, -2.0, -0.5]), abs=1e-4)


def test_coverage_leaves_out_what_is_insufficient_or_not_known() -> None:
    hidden = Truth("B", "pulled_quote", figures_of({}), None, figures_of({}))
    found = a_found(an_outcome("A", "insufficient"), an_outcome("B", "rejected"))
    scored = figures([found], [truths_of(a_truth("A", 3.0), hidden)])
    assert scored["coverage"] is None
    assert scored["coverage_detail"]["left_out"] == 1


def test_predecessor_is_held_against_the_policy_at_its_own_threshold() -> None:
    policy = Policy(15, "any", 5)
    claim = Claim(is_tradeable=True, raw_threshold_bps=16, claimed_bps=20.0)
    good = Truth("A", "stale_quote", figures_of({}), None, figures_of({(policy, 200): 2.0}))
    bad = a_truth("B", 6.0)
    none = Truth("C", "noise", figures_of({}), None, figures_of({}))
    found = a_found(*(an_outcome(coin, "rejected", claim=claim) for coin in "ABC"))
    before = figures([found], [truths_of(good, bad, none)])["predecessor"]
    assert before["fdr"] == pytest.approx(2 / 3, abs=1e-4)
    assert before["fdr_no_positive_policy"] == pytest.approx(1 / 3, abs=1e-4)
    assert before["power"] == 1.0  # B alone has an edge of 3 bps
    assert before["claim_error_bps"] == pytest.approx(np.mean([18.0, 29.0, 29.0]), abs=1e-4)
    assert before["two_days"]["fdr"] is None


def test_verdicts_are_counted_by_label_and_what_they_veto() -> None:
    truths = truths_of(a_truth("A", 4.0, label="thin_book"), a_truth("B", 4.0), a_truth("C", 1.0, label="halting"))
    vetoed = an_outcome("A", "approved_micro", verdict="thin")
    found = a_found(
        type(vetoed)(**{name: getattr(vetoed, name) for name in vetoed.__struct_fields__} | {"state": "rejected"}),
        an_outcome("B", "approved_micro", verdict="unclear"),
        an_outcome("C", "rejected"),
    )
    verdicts = figures([found], [truths])["verdicts"]
    assert (verdicts["vetoed_though_proved"], verdicts["of_these_false"]) == (1, 0)
    assert (verdicts["agreement"]["count"], verdicts["agreement"]["of"]) == (1, 2)
    assert verdicts["by_label"]["halting"] == {"stale_quote": 1}


def test_ratio_interval_is_the_exact_binomial_one() -> None:
    # Clopper-Pearson for 0 of 10: the upper end solves (1 - p)^10 = .025.
    found = ratio([False] * 10)
    assert (found["value"], found["low"]) == (0.0, 0.0)
    assert found["high"] == pytest.approx(1.0 - 0.025**0.1, abs=1e-4)
    assert ratio([])["value"] is None


def test_bars_are_missed_without_a_figure_and_reached_at_their_ends() -> None:
    values = {"fdr": None, "fdr_boundary": 0.05, "fdr_latency": 0.0501, "power": 0.8, "power_often": 0.84}
    reached = {bar["name"]: bar["reached"] for bar in bars_of(values | {"coverage": 0.93})}
    assert reached == {
        "fdr": False,
        "fdr_boundary": True,
        "fdr_latency": False,
        "power": True,
        "power_often": False,
        "coverage": True,
    }


def test_a_market_that_is_delisted_has_no_edge_and_no_excuse() -> None:
    gone = [replace(a_truth(coin, 6.0), is_listed=False) for coin in "AB"]
    found = a_found(an_outcome("A", "rejected"), an_outcome("B", "approved_micro"), an_outcome("C", "approved_micro"))
    scored = figures([found], [truths_of(*gone, a_truth("C", 4.0))])
    assert (scored["fdr"], scored["fdr_latency"]) == (0.5, 0.5)
    assert (scored["counts"]["power"]["count"], scored["counts"]["power"]["of"]) == (1, 1)
    for table in ("power_by_edge", "power_by_rate"):
        assert sum(row["markets"] for row in scored[table]) == 1


@pytest.mark.parametrize(("error", "expected"), [(0.0, 2.571), (1.0, 2.086 * 2**0.5), (1e-9, 2.571)])
def test_half_of_an_interval_for_two_estimates_is_welch_s(error: float, expected: float) -> None:
    # t tables: 2.571 with 5 degrees of freedom, 2.086 with 20 = 5 (1 + 1)^2.
    assert _half_bps(1.0, 5.0, error) == pytest.approx(expected, abs=1e-3)
