"""Probes: real orders against the model, judged at the figures the method gives."""

import numpy as np
import pytest
from scipy import stats

from hip3_platform.analytics.evidence.probes import judge_probes

NAN = float("nan")


def _filled(real: int, modelled: int, difference_bps: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    model = np.tile([1.0, 3.0], modelled)[:modelled]
    noise = np.tile([0.5, -0.5], modelled)[:modelled]
    realised = model + noise + difference_bps
    realised[real:] = NAN
    return realised, model


def test_judge_probes_without_probes_is_not_yet() -> None:
    verdict = judge_probes(np.zeros(0), np.zeros(0))
    assert (verdict.state, verdict.sent, verdict.fill_ratio) == ("not_yet", 0, None)


def test_judge_probes_below_20_modelled_fills_is_not_yet_however_many_were_sent() -> None:
    realised, modelled = _filled(19, 19)
    verdict = judge_probes(np.append(realised, [NAN] * 30), np.append(modelled, [NAN] * 30))
    assert (verdict.state, verdict.sent, verdict.modelled_fills, verdict.realised_fills) == ("not_yet", 49, 19, 19)
    assert "19 of 20" in verdict.reason


@pytest.mark.parametrize(("real", "state"), [(20, "passed"), (15, "passed"), (14, "failed"), (2, "failed")])
def test_judge_probes_needs_three_quarters_of_the_modelled_fills(real, state) -> None:
    verdict = judge_probes(*_filled(real, 20))
    assert (verdict.state, verdict.fill_ratio) == (state, real / 20)


@pytest.mark.parametrize(("true_ratio", "passes"), [(0.9, 0.99), (0.8, 0.80), (0.7, 0.42), (0.5, 0.02)])
def test_20_modelled_fills_pass_with_the_probability_the_method_gives(true_ratio, passes) -> None:
    passing = [real for real in range(2, 21) if judge_probes(*_filled(real, 20)).state == "passed"]
    assert stats.binom(20, true_ratio).pmf(passing).sum() == pytest.approx(passes, abs=0.006)


def test_judge_probes_fails_when_real_results_are_more_than_one_standard_error_below() -> None:
    # 20 differences of +-.5 have a standard error of .5 * sqrt(20/19) / sqrt(20) = .1147
    figures = judge_probes(*_filled(20, 20, -0.1))
    assert (figures.state, figures.difference_bps) == ("passed", pytest.approx(-0.1))
    assert figures.difference_se_bps == pytest.approx(0.1147, abs=1e-4)
    worse = judge_probes(*_filled(20, 20, -0.13))
    assert worse.state == "failed"
    assert "more than 1 se below" in worse.reason
    assert judge_probes(*_filled(20, 20, 5.0)).state == "passed"


def test_judge_probes_compares_only_decisions_both_filled() -> None:
    realised, modelled = _filled(20, 20)
    verdict = judge_probes(np.append(realised, [-900.0]), np.append(modelled, [NAN]))
    assert (verdict.state, verdict.difference_bps) == ("passed", pytest.approx(0.0))
    assert verdict.realised_fills == 21


def test_judge_probes_that_filled_where_the_model_missed_cannot_be_compared_yet() -> None:
    realised = np.array([NAN] * 20 + [1.0] * 20)
    modelled = np.array([1.0] * 20 + [NAN] * 20)
    verdict = judge_probes(realised, modelled)
    assert (verdict.state, verdict.fill_ratio, verdict.difference_bps) == ("not_yet", 1.0, None)
