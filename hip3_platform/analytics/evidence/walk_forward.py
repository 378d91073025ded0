"""A policy is chosen on the past and judged on the day after: the only figures that may claim anything.

Whoever picks the best of 56 policies on all days and quotes its mean has picked luck as well. Here every test day is
traded by the policy that the days before it would have chosen; those days joined are the test stream. The policy for
tomorrow comes from the same rule on all days; what it earned on the days that chose it is kept beside the test stream
as its in-sample twin, so that no in-sample figure stands alone.

Rule 1: days before `FIRST_TEST_DAY` only train: a window of 14 days has 10 test days.
Rule 2: choose the highest (theta - 1 se) * n, not multiplied by n when negative, over policies with 30 fills or more;
standard errors by clusters of 4 hours, because 4 days are too few clusters to choose by.
Rule 3: of equal scores the oracle-led policy is taken: it is the same set of decisions there, and the safer rule.
Rule 4: at another latency the same choices are valued again. What will be traded is the policy chosen at the assumed
latency; a policy that would be chosen at another one says nothing about it. (The prototype may have chosen anew.)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hip3_platform.analytics.evidence.estimate import Floats, by_cluster, estimate
from hip3_platform.analytics.evidence.family import HORIZONS_S, HOURS, LATENCIES_MS, POLICIES, HourSums, Policy

WINDOW_DAYS = 14
FIRST_TEST_DAY = 4
CHOICE_HOURS = 4
CHOICE_FILLS_MIN = 30

OriginFamily = Literal["both", "oracle_led"]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Walk:
    """One market's test stream and the policy for tomorrow, valued at one latency."""

    test_policies: tuple[Policy | None, ...]
    """Policy of each test day; None where no policy had fills enough before it."""
    test_net_bps: Floats
    """(test days,) sum of results of the policy of that day."""
    test_fills: Floats
    """(test days,)"""
    final: Policy | None
    in_sample_net_bps: Floats
    """(days,) the final policy on the days that chose it."""
    in_sample_fills: Floats
    """(days,)"""


def policy_sums(sums: HourSums, latency_ms: int) -> tuple[Floats, Floats]:
    """Return sums of results and fills by (days, 24, policies), policies in the order of `POLICIES`.

    Raises:
        ValueError: The latency is not on the grid.
    """
    if latency_ms not in LATENCIES_MS:
        raise ValueError(f"expected a latency of the grid {LATENCIES_MS} ms, found {latency_ms}: round it up to one")
    at = LATENCIES_MS.index(latency_ms)
    shape = (len(sums.days), HOURS, len(POLICIES))
    fills = np.repeat(sums.fills[..., at], len(HORIZONS_S), axis=-1)  # whether an order fills knows no horizon
    return sums.net_bps[..., at, :].reshape(shape), fills.reshape(shape).astype(np.float64)


def candidates_of(origins: OriginFamily) -> Indices:
    """Return the policies that may be chosen, as indices into `POLICIES`, oracle-led ones first (rule 3).

    `oracle_led` alone means fewer hypotheses and an edge that survives a worse latency: the safer default for live,
    for about 8 points of power (evidence method, section 6, rule 7).
    """
    led = [i for i, policy in enumerate(POLICIES) if policy.origin == "oracle_led"]
    rest = [i for i, policy in enumerate(POLICIES) if policy.origin != "oracle_led"]
    return np.array(led if origins == "oracle_led" else led + rest, dtype=np.intp)


def choose(net_bps: Floats, fills: Floats) -> int | None:
    """Return the column of (clusters, policies) that promises most; None if none has fills enough."""
    figures = estimate(net_bps, fills)
    lower = figures.less_one_se_bps
    score = np.where(lower > 0, lower * figures.fills, lower)
    score[(figures.fills < CHOICE_FILLS_MIN) | np.isnan(lower)] = -np.inf
    best = int(np.argmax(score))
    return best if score[best] > -np.inf else None


def choices(sums: HourSums, latency_ms: int, origins: OriginFamily = "both") -> tuple[Policy | None, ...]:
    """Choose on the days before each day from `FIRST_TEST_DAY` on, and once more on all days.

    Args:
        sums: One market's window; the choice for a day reads only days before it.
        latency_ms: Assumed latency between decision and match, on the grid.
        origins: Which policies may be chosen.

    Returns:
        The policy of every test day, then the final policy.
    """
    net, fills = policy_sums(sums, latency_ms)
    candidates = candidates_of(origins)
    net = by_cluster(net[..., candidates], CHOICE_HOURS)
    fills = by_cluster(fills[..., candidates], CHOICE_HOURS)
    a_day = HOURS // CHOICE_HOURS
    chosen: list[Policy | None] = []
    for day in range(FIRST_TEST_DAY, len(sums.days) + 1):
        best = choose(net[: day * a_day], fills[: day * a_day])
        chosen.append(None if best is None else POLICIES[candidates[best]])
    return tuple(chosen)


def _by_day(net: Floats, fills: Floats, policy: Policy | None, days: slice) -> tuple[Floats, Floats]:
    if policy is None:
        nothing = np.zeros(len(range(*days.indices(len(net)))))
        return nothing, nothing
    at = POLICIES.index(policy)
    return net[days, at], fills[days, at]


def walk(sums: HourSums, chosen: tuple[Policy | None, ...], latency_ms: int) -> Walk:
    """Value choices at one latency: the test stream by day, and the final policy's in-sample twin.

    Args:
        sums: The window the choices were made on.
        chosen: What `choices` returned; empty when the window ends before the first test day.
        latency_ms: Latency to value at, on the grid; it need not be the one the choices were made at.
    """
    by_hour = policy_sums(sums, latency_ms)
    net, fills = by_hour[0].sum(axis=1), by_hour[1].sum(axis=1)
    tests, final = chosen[:-1], chosen[-1] if chosen else None
    stream = [
        _by_day(net, fills, policy, slice(day, day + 1)) for day, policy in enumerate(tests, start=FIRST_TEST_DAY)
    ]
    in_sample = _by_day(net, fills, final, slice(None))
    return Walk(
        test_policies=tests,
        test_net_bps=np.concatenate([np.zeros(0), *(each[0] for each in stream)]),
        test_fills=np.concatenate([np.zeros(0), *(each[1] for each in stream)]),
        final=final,
        in_sample_net_bps=in_sample[0],
        in_sample_fills=in_sample[1],
    )
