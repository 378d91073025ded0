"""What a fill earns on average, and how surely: sums by cluster in, mean, standard error and t intervals out.

Fills of one day share its volatility and its makers, so they are no independent draws: the unit of evidence is the
cluster, a UTC day where an approval is decided, 4 hours where a policy is chosen (evidence method, sections 2 and 6).

Rule 1: theta = sum s / sum n over clusters, s = sum of results and n = fills of a cluster: a ratio estimator.
Rule 2: se^2 = G/(G-1) * sum (s - theta n)^2 / (sum n)^2, G = clusters with fills.
Rule 3: df = min(G, (sum n)^2 / sum n^2) - 1; by Cauchy-Schwarz the second never exceeds the first.
Rule 4: what cannot be estimated is nan, and its p is 1: too few clusters are no evidence. Neither are clusters that all
have the very same mean: results that do not vary between days are copies, not trades, and their t would be infinite.

Student's t is that of scipy.special, what scipy.stats is built on: it loads in a tenth of the time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INTERVAL_LEVEL = 0.95
_SE_ROUNDING = 1e-9
"""A standard error below this share of the mean is the rounding of equal results."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean result per fill with its standard error; every field has the shape of the axes after the clusters."""

    theta_bps: Floats
    """nan without fills."""
    se_bps: Floats
    """nan with fewer than two clusters with fills."""
    df: Floats
    """nan with fewer than two clusters with fills; a fraction where few clusters hold most fills."""
    fills: Floats
    clusters: Floats
    """Clusters with fills."""

    @property
    def p(self) -> Floats:
        """One-sided p of "the mean is not above 0": P(t_df > theta / se); 1 where nothing can be said."""
        is_known = self.se_bps > np.abs(self.theta_bps) * _SE_ROUNDING  # nan compares false
        t = np.divide(self.theta_bps, self.se_bps, out=np.full_like(self.theta_bps, -np.inf), where=is_known)
        return np.where(is_known, stdtr(np.where(is_known, self.df, 1.0), -t), 1.0)

    def lower_bps(self, tail: float | Floats) -> Floats:
        """Return the one-sided lower bound theta - t_{1 - tail, df} * se; nan where there is no se."""
        return np.asarray(self.theta_bps + stdtrit(self.df, tail) * self.se_bps)

    def interval_bps(self) -> tuple[Floats, Floats]:
        """Return the two-sided 95 % t interval; nan where there is no se."""
        half = np.asarray(-stdtrit(self.df, (1 - INTERVAL_LEVEL) / 2) * self.se_bps)
        return self.theta_bps - half, self.theta_bps + half

    @property
    def less_one_se_bps(self) -> Floats:
        """Mean - 1 standard error: what a choice and the guard compare; nan where there is no se."""
        return self.theta_bps - self.se_bps


def estimate(net_bps: Floats, fills: Ints | Floats) -> Estimate:
    """Estimate the mean result per fill from cluster sums.

    Args:
        net_bps: Sum of results of a cluster's fills, (clusters, ...).
        fills: Fills of a cluster, likewise; 0 where nothing was filled, and then `net_bps` is 0 as well.

    Returns:
        Estimates of the shape of the remaining axes.

    Source:
        Evidence method, section 2. It is the Taylor-linearised variance of a ratio of cluster totals (Cochran, Sampling
        Techniques, chapter 6), with the effective number of clusters of Kish in its degrees of freedom.
    """
    n = np.asarray(fills, dtype=np.float64)
    s = np.asarray(net_bps, dtype=np.float64)
    total = n.sum(axis=0)
    clusters = np.count_nonzero(n, axis=0).astype(np.float64)
    has_fills, has_spread = total > 0, clusters >= 2
    nothing = np.full(total.shape, np.nan)
    theta = np.divide(s.sum(axis=0), total, out=nothing.copy(), where=has_fills)
    residual2 = np.square(s - np.where(has_fills, theta, 0.0) * n).sum(axis=0)
    scale = np.divide(clusters, clusters - 1, out=nothing.copy(), where=has_spread)
    se = np.divide(np.sqrt(scale * residual2), total, out=nothing.copy(), where=has_spread)
    df = np.divide(np.square(total), np.square(n).sum(axis=0), out=nothing.copy(), where=has_spread) - 1
    return Estimate(theta_bps=np.asarray(theta), se_bps=se, df=df, fills=np.asarray(total), clusters=clusters)


def by_cluster(by_hour: Floats, hours: int) -> Floats:
    """Sum (days, 24, ...) over clusters of `hours`, a divisor of 24: (days * 24 / hours, ...)."""
    days, _, *rest = by_hour.shape
    return np.asarray(by_hour.reshape(days * (24 // hours), hours, *rest).sum(axis=1))
