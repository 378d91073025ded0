"""The cluster estimator: hand-worked figures, scipy and statsmodels as references, properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats
from statsmodels.regression.linear_model import OLS

from hip3_platform.analytics.evidence.estimate import by_cluster, estimate

COUNTS = hnp.arrays(np.int64, 12, elements=st.integers(0, 40))
MEANS = hnp.arrays(np.float64, 12, elements=st.floats(-20, 20, allow_nan=False))


def test_estimate_of_three_clusters_gives_the_figures_worked_by_hand() -> None:
    figures = estimate(np.array([6.0, 2.0, 4.0]), np.array([3, 2, 1]))
    # theta 12/6; residuals 0, -2, 2; se^2 = 3/2 * 8 / 36; df = 36/14 - 1
    assert float(figures.theta_bps) == pytest.approx(2.0)
    assert float(figures.se_bps) == pytest.approx(math.sqrt(1 / 3))
    assert float(figures.df) == pytest.approx(36 / 14 - 1)
    assert (float(figures.fills), float(figures.clusters)) == (6, 3)
    assert float(figures.less_one_se_bps) == pytest.approx(2 - math.sqrt(1 / 3))


def test_p_is_the_area_of_the_t_density_above_the_statistic() -> None:
    figures = estimate(np.array([6.0, 2.0, 4.0]), np.array([3, 2, 1]))
    df, t = 36 / 14 - 1, 2 * math.sqrt(3)
    scale = math.gamma((df + 1) / 2) / (math.sqrt(df * math.pi) * math.gamma(df / 2))
    area, _ = integrate.quad(lambda x: scale * (1 + x * x / df) ** (-(df + 1) / 2), t, math.inf)
    assert float(figures.p) == pytest.approx(area, rel=1e-6)


def test_estimate_of_equal_clusters_is_the_one_sample_t_test_of_their_means() -> None:
    means = np.random.default_rng(1).normal(1.0, 2.0, size=10)
    figures = estimate(means * 7, np.full(10, 7))
    reference = stats.ttest_1samp(means, 0.0, alternative="greater")
    interval = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    assert float(figures.p) == pytest.approx(reference.pvalue)
    assert float(figures.df) == pytest.approx(9)
    assert [float(each) for each in figures.interval_bps()] == pytest.approx([interval.low, interval.high])
    assert float(figures.lower_bps(0.025)) == pytest.approx(interval.low)


def test_standard_error_is_the_cluster_robust_one_of_a_regression_on_a_constant() -> None:
    rng = np.random.default_rng(2)
    group = rng.integers(0, 9, size=200)
    results = rng.normal(0.5, 4.0, size=200) + rng.normal(0, 1.0, size=9)[group]
    fit = OLS(results, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": group})
    figures = estimate(np.bincount(group, weights=results), np.bincount(group))
    assert float(figures.theta_bps) == pytest.approx(fit.params[0])
    assert float(figures.se_bps) == pytest.approx(fit.bse[0])


def test_estimate_without_evidence_is_nan_with_p_1() -> None:
    # columns: no fills; fills in one cluster; the very same mean in every cluster
    net = np.array([[0.0, 9.0, 4.214], [0.0, 0.0, 8.428], [0.0, 0.0, 12.642]])
    fills = np.array([[0, 3, 1], [0, 0, 2], [0, 0, 3]])
    figures = estimate(net, fills)
    assert np.isnan(figures.theta_bps).tolist() == [True, False, False]
    assert np.isnan(figures.se_bps).tolist() == [True, True, False]
    assert np.isnan(figures.df).tolist() == [True, True, False]
    assert figures.p.tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(figures.interval_bps()[0]).tolist() == [True, True, False]


def test_estimate_of_no_clusters_is_no_evidence() -> None:
    figures = estimate(np.zeros((0, 2)), np.zeros((0, 2)))
    assert figures.p.tolist() == [1.0, 1.0]
    assert np.isnan(figures.theta_bps).all()


@given(COUNTS, MEANS, st.floats(0.1, 50), st.floats(-30, 30))
def test_estimate_scales_and_shifts_with_the_results(
    fills: np.ndarray, means: np.ndarray, scale: float, shift: float
) -> None:
    net = means * fills
    before, scaled, moved = (estimate(each, fills) for each in (net, net * scale, net + shift * fills))
    np.testing.assert_allclose(scaled.theta_bps, before.theta_bps * scale, atol=1e-9)
    np.testing.assert_allclose(scaled.se_bps, before.se_bps * scale, atol=1e-9)
    np.testing.assert_allclose(moved.theta_bps, before.theta_bps + shift, atol=1e-9)
    np.testing.assert_allclose(moved.se_bps, before.se_bps, atol=1e-6)


@given(COUNTS, MEANS, st.randoms(use_true_random=False))
def test_estimate_does_not_depend_on_the_order_of_clusters_nor_on_empty_ones(fills, means, random) -> None:
    net = means * fills
    order = list(range(len(fills)))
    random.shuffle(order)
    before = estimate(net, fills)
    after = estimate(np.append(net[order], [0.0, 0.0]), np.append(fills[order], [0, 0]))
    np.testing.assert_allclose(after.theta_bps, before.theta_bps, atol=1e-9)
    np.testing.assert_allclose(after.se_bps, before.se_bps, atol=1e-6)
    np.testing.assert_allclose(after.df, before.df, atol=1e-9)


@given(COUNTS, MEANS)
def test_degrees_of_freedom_never_exceed_clusters_less_one(fills: np.ndarray, means: np.ndarray) -> None:
    figures = estimate(means * fills, fills)
    assert np.isnan(figures.df) or -1e-9 <= float(figures.df) <= float(figures.clusters) - 1 + 1e-9
    assert 0 <= float(figures.p) <= 1


def test_estimate_judges_every_column_by_itself() -> None:
    rng = np.random.default_rng(3)
    fills = rng.integers(0, 9, size=(10, 4, 3))
    net = rng.normal(size=fills.shape) * fills
    whole = estimate(net, fills)
    alone = estimate(net[:, 2, 1], fills[:, 2, 1])
    assert whole.theta_bps.shape == (4, 3)
    assert whole.se_bps[2, 1] == pytest.approx(float(alone.se_bps))
    assert whole.p[2, 1] == pytest.approx(float(alone.p))


def test_by_cluster_sums_hours_of_one_day_only() -> None:
    by_hour = np.arange(48.0).reshape(2, 24, 1)
    clusters = by_cluster(by_hour, 4)
    assert clusters.shape == (12, 1)
    assert clusters[0, 0] == 0 + 1 + 2 + 3
    assert clusters[6, 0] == 24 + 25 + 26 + 27
    assert by_cluster(by_hour, 24)[:, 0].tolist() == [sum(range(24)), sum(range(24, 48))]
