"""What policies really earn in the markets that are scored, by brute force over independent days.

Rule 1: days, seeds and scan are those of `hip3 venue truth --hours tradable` (docs/truth.md) for the test days of the
window: the days before them only train, and what a market was then is not what its test stream was. A truth file that
was brought is of its whole window.
Rule 2: hidden fill rules are in what is `true` and out of what is `shown`: no table can show them, so an interval made
of tables can only be held against `shown`, and an approval is held against `true`.
Rule 3: a market whose most frequent policy has less than a fill a day in the first 30 days is simulated no further: no
policy of it can be tested, whatever its mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
import numpy as np

from hip3_platform.analytics.evidence.family import LATENCIES_MS, POLICIES, Floats, Policy
from hip3_platform.analytics.evidence.walk_forward import FIRST_TEST_DAY
from hip3_platform.scoring.plans import WINDOW_DAYS, Plan, day_generator, scenario_of
from streaming.sim.markets.changes import ChangeKind
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.markets.noise import key_of
from streaming.sim.markets.scan import SPACING_MS, Columns, Decisions, scan, sums_of
from streaming.sim.markets.truth import BEST_FILLS_PER_DAY, LatencyTruth, MarketTruth, Tally
from streaming.sim.markets.truth_days import hour_of, terms_of, tradable

TEST_DAYS = WINDOW_DAYS - FIRST_TEST_DAY
TRUTH_DAYS = 10 * TEST_DAYS
"""Ten times the test days: the truth's own error widens an interval by 5 %."""
QUIET_DAYS = 3 * TEST_DAYS
QUIET_FILLS_PER_DAY = 1.0
TESTABLE_FILLS_PER_DAY = 2.0
"""A policy is chosen from 30 fills on in at most 14 days; rarer ones can not be approved (rule for the boundary)."""
_DAY_HOURS = 24
_AXES = tuple(1 + max(policy.place[axis] for policy in POLICIES) for axis in range(3))


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Truth of one market as it travels and lies on disk."""

    coin: str
    label: str
    days: int
    """Days simulated."""
    true: list[LatencyTruth]
    shown: list[LatencyTruth]
    """Empty where it is not known."""
    anytime: list[LatencyTruth]
    """As `true`, at all hours: what a bot without a calendar earns."""


class SheetFile(msgspec.Struct, frozen=True, kw_only=True):
    """Truth of a plan."""

    plan: Plan
    days: tuple[str, ...]
    """Dates of the window."""
    truth_days: int
    fingerprint: str
    """Of the markets, see `streaming.sim.markets.truth_days.fingerprint`."""
    sheets: list[Sheet]


@dataclass(frozen=True, slots=True)
class Figures:
    """What each policy earns, by (thresholds, origins, latencies, horizons)."""

    mean_bps: Floats
    """nan without fills."""
    se_bps: Floats
    """nan with fewer than two days with fills."""
    fills_per_day: Floats
    """(thresholds, origins, latencies)"""
    decisions_per_day: Floats
    """(thresholds, origins)"""

    @classmethod
    def of(cls, latencies: Sequence[LatencyTruth]) -> Self:
        """Return the figures of a truth file's latencies; those of another grid are not read."""
        shape = (len(POLICIES), len(LATENCIES_MS))
        mean, se, fills = (np.full(shape, np.nan) for _ in range(3))
        decisions = np.zeros(len(POLICIES))
        for latency in latencies:
            place = LATENCIES_MS.index(latency.latency_ms)
            for policy in latency.policies:
                row = POLICIES.index(Policy(policy.threshold_bps, policy.origin, policy.horizon_s))
                mean[row, place] = np.nan if policy.mean_bps is None else policy.mean_bps
                se[row, place] = np.nan if policy.se_bps is None else policy.se_bps
                fills[row, place] = policy.fills_per_day
                decisions[row] = policy.decisions_per_day
        return cls(_by_axes(mean), _by_axes(se), _by_axes(fills)[..., 0], decisions.reshape(_AXES)[..., 0])


def _by_axes(by_policy: Floats) -> Floats:
    """(policies, latencies) → (thresholds, origins, latencies, horizons)."""
    return np.moveaxis(by_policy.reshape(*_AXES, -1), 3, 2)


@dataclass(frozen=True, slots=True)
class Best:
    """The policy of a market that truly earns most."""

    policy: Policy
    mean_bps: float
    fills_per_day: float


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true about one market."""

    coin: str
    label: str
    true: Figures
    """Hidden rules in."""
    shown: Figures | None
    """Hidden rules out; None where that is not known."""
    anytime: Figures
    """Hidden rules in, at all hours."""
    is_listed: bool = True
    """Whether it can be traded at all when the window has ended."""

    @classmethod
    def of(cls, sheet: Sheet, *, is_listed: bool) -> Self:
        """Return the truth of a sheet."""
        true = Figures.of(sheet.true)
        shown = true if sheet.shown == sheet.true else Figures.of(sheet.shown) if sheet.shown else None
        return cls(sheet.coin, sheet.label, true, shown, Figures.of(sheet.anytime), is_listed)

    @classmethod
    def of_file(cls, market: MarketTruth) -> Self:
        """Return the truth of a market of a truth file, which has hidden rules in."""
        true = Figures.of(market.latencies)
        shown = None if market.character.get("pull_ratio") else true
        turns = [change.kind for change in market.changes if change.kind in {ChangeKind.DELIST, ChangeKind.RESUME}]
        return cls(market.coin, market.label, true, shown, true, turns[-1:] != [ChangeKind.DELIST])

    def mean_bps(self, policy: Policy, latency_ms: int) -> float | None:
        """True mean of a fill; None without fills."""
        return _mean(self.true, policy, latency_ms)

    def anytime_mean_bps(self, policy: Policy, latency_ms: int) -> float | None:
        """True mean of a fill at any hour; None without fills."""
        return _mean(self.anytime, policy, latency_ms)

    def best(self, latency_ms: int) -> Best | None:
        """Return the policy with the highest true mean of those with 10 fills a day, None when there is none."""
        return _best(self.true, latency_ms, BEST_FILLS_PER_DAY)

    def anytime_best(self, latency_ms: int, fills_per_day_min: float) -> Best | None:
        """Return the policy with the highest true mean at any hour of those that fill so often, None without one."""
        return _best(self.anytime, latency_ms, fills_per_day_min)

    def shift_bps(self, latency_ms: int) -> float | None:
        """Return the highest mean that tables can show of any testable policy, 0.0 when there is none.

        Less this, the best edge of the market is 0. None when it is not known what tables can show.
        """
        if self.shown is None:
            return None
        best = _best(self.shown, latency_ms, TESTABLE_FILLS_PER_DAY)
        return 0.0 if best is None else best.mean_bps

    def fill_ratio(self, policy: Policy, latency_ms: int, shown_ratio: float) -> float:
        """Return how many of the fills that tables promise come true, given modelled fills / decisions."""
        t, o, _ = policy.place
        decisions = float(self.true.decisions_per_day[t, o])
        if not decisions or not shown_ratio:
            return 1.0
        fills = float(self.true.fills_per_day[t, o, LATENCIES_MS.index(latency_ms)])
        return min(fills / decisions / shown_ratio, 1.0)

    def stream(self, policies: Sequence[Policy | None], fills: Floats, latency_ms: int) -> tuple[float, float] | None:
        """Return what a test stream is truly worth and the error of that: its policies' means, weighted with its fills.

        Args:
            policies: Of each test day.
            fills: Of each test day; not all 0.
            latency_ms: Of the stream.

        Returns:
            Mean and standard error in bps, or None when a mean that tables can show is not known.
        """
        used = [(policy, count) for policy, count in zip(policies, fills.tolist(), strict=True) if count]
        if self.shown is None:
            return None
        at = LATENCIES_MS.index(latency_ms)
        weights = np.array([count for _, count in used]) / fills.sum()
        places = [policy.place for policy, _ in used if policy is not None]
        mean = float(weights @ np.array([self.shown.mean_bps[t, o, at, h] for t, o, h in places]))
        # Policies of one market share their days: the errors are taken as one.
        error = float(weights @ np.array([self.shown.se_bps[t, o, at, h] for t, o, h in places]))
        return None if np.isnan(mean) or np.isnan(error) else (mean, error)


def _mean(figures: Figures, policy: Policy, latency_ms: int) -> float | None:
    t, o, h = policy.place
    mean = float(figures.mean_bps[t, o, LATENCIES_MS.index(latency_ms), h])
    return None if np.isnan(mean) else mean


def _best(figures: Figures, latency_ms: int, fills_per_day_min: float) -> Best | None:
    at = LATENCIES_MS.index(latency_ms)
    found = None
    for policy in POLICIES:
        t, o, h = policy.place
        rate, mean = float(figures.fills_per_day[t, o, at]), float(figures.mean_bps[t, o, at, h])
        if rate >= fills_per_day_min and not np.isnan(mean) and (found is None or mean > found.mean_bps):
            found = Best(policy, mean, rate)
    return found


def is_listed_after(plan: Plan, coin: str) -> bool:
    """Tell whether a market of a plan can be traded when the window has ended."""
    end_ms = (hour_of(plan.days[-1]) + _DAY_HOURS) * HOUR_MS
    return not Generator(plan.seed, scenario_of(plan)).listed(coin, end_ms).is_delisted


def sheet_of(plan: Plan, coin: str, days: int, on_day: Callable[[], None]) -> Sheet:
    """Simulate the days of one market.

    Args:
        plan: Whose truth.
        coin: Market.
        days: How many at most, see rule 3.
        on_day: Told that another day is done.
    """
    scenario = scenario_of(plan)
    true, shown, anytime = Tally.empty(), Tally.empty(), Tally.empty()
    words = ("truth", "heavy") if plan.is_heavy else ("truth",)
    for day in range(days):
        if day == QUIET_DAYS and shown.n.max() < QUIET_FILLS_PER_DAY * QUIET_DAYS:
            break
        date = FIRST_TEST_DAY + day % TEST_DAYS
        generator = day_generator(plan, key_of(plan.seed, *words, day), date)
        seen, real = _day_decisions(generator, coin, hour_of(plan.days[0]) + date * _DAY_HOURS)
        true.add(sums_of(tradable(real, coin)))
        shown.add(sums_of(tradable(seen, coin)))
        anytime.add(sums_of(real))
        on_day()
    return Sheet(
        coin=coin,
        label=scenario.characters[coin].label,
        days=true.days,
        true=true.truths(),
        shown=shown.truths(),
        anytime=anytime.truths(),
    )


def _day_decisions(generator: Generator, coin: str, first_hour: int) -> tuple[Decisions, Decisions]:
    """Return what tables show of a market-day, and what comes true; as of `truth_days.day_sums`, with and without."""
    begin_ms, end_ms = first_hour * HOUR_MS, (first_hour + _DAY_HOURS) * HOUR_MS
    columns = Columns.of([generator.hour(coin, hour) for hour in range(first_hour, first_hour + _DAY_HOURS)])
    terms = terms_of(generator, coin, begin_ms, end_ms)
    seen = scan(columns, replace(terms, is_pulled=None), begin_ms, end_ms - SPACING_MS)
    if terms.is_pulled is None:
        return seen, seen
    return seen, scan(columns, terms, begin_ms, end_ms - SPACING_MS)
