"""Decisions against truth: what the evidence path is worth, in ratios with their counts and intervals.

Rule 1: a false discovery is an approved market whose final policy truly earns 0 or less a fill, hidden rules in; one
that is delisted when the window ends is a false discovery if approved, and nothing that must be found.
Rule 2: `fdr` counts what is approved after probes, latency-fragile markets in; `fdr_latency` holds the same decisions
against the truth at a latency 300 ms worse and leaves latency-fragile ones out, for they may not trade beyond micro.
Rule 3: power is of markets, by the best policy with 10 fills a day: whether the market is approved after probes.
Rule 4: an interval is held against what its test stream is truly worth, hidden rules out: the means of the policies of
its days, weighted with its fills. It is that of the difference of two estimates (Welch), for the truth has an error
of its own; figures without it stand beside.
Rule 5: the predecessor's policy is the tested one whose threshold is nearest below its own, of any origin, 5 s. A
tradeable market is a false discovery when that policy truly earns 0 or less, at all hours: it had no calendar.
Rule 6: no figure without data: None, and a bar that asks for it is not reached.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import stdtrit
from statsmodels.stats.proportion import proportion_confint

from hip3_platform.analytics.evidence.estimate import INTERVAL_LEVEL
from hip3_platform.analytics.evidence.family import THRESHOLDS_BPS, Policy, stressed_latency_ms
from hip3_platform.analytics.evidence.probes import MODELLED_FILLS_MIN, judge_probes
from hip3_platform.scoring.truth import Best, Truth
from hip3_platform.scoring.universe import LATENCY_MS, Claim, Found, Outcome
from streaming.sim.markets.noise import generator_of
from streaming.sim.scenario.characters import Label

EDGE_BPS = 3.0
"""True edge that must be found."""
OFTEN_FILLS_PER_DAY = 20.0
EDGES_BPS = (-np.inf, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0, np.inf)
RATES = (10.0, 20.0, 50.0, 120.0, np.inf)
PREDECESSOR_FILLS_PER_DAY = 0.4
"""A market without a positive policy of at least so many fills a day has nothing to take, whatever the policy."""
PREDECESSOR_HORIZON_S = 5
_LABEL_VERDICTS = {
    Label.STALE_QUOTE: {"stale_quote"},
    Label.PULLED_QUOTE: {"stale_quote"},
    Label.STANDING_BASIS: {"standing_basis"},
    Label.SELF_REFERENTIAL: {"self_referential"},
    Label.FROZEN_QUOTE: {"frozen"},
    Label.NOISE: {"noise"},
    Label.TOXIC_ORACLE: {"toxic"},
    Label.LAGGING_ORACLE: {"noise", "toxic"},
    Label.THIN_BOOK: {"thin"},
    Label.WIDENING_OPEN: {"widening"},
}
"""Verdicts that name what a label is; a pulled quote looks like a stale one."""

Truths = Mapping[str, Truth]
"""Market → truth."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One market of one universe, decided and true."""

    universe: int
    outcome: Outcome
    truth: Truth
    best: Best | None
    """Its best policy with 10 fills a day; None without one, and of a market that nobody can trade any more."""
    has_passed: bool
    """Its probes, if it was approved."""
    true_bps: float | None
    """Of the final policy at the assumed latency; None without a policy or fills."""
    true_late_bps: float | None
    """At the latency 300 ms worse."""
    stream: tuple[float, float] | None
    """True worth of the test stream and its error."""

    @property
    def is_approved(self) -> bool:
        """After probes."""
        return self.outcome.is_approved and self.has_passed

    @property
    def is_fragile(self) -> bool:
        """Whether it may not trade beyond micro because of latency."""
        return self.outcome.state == "latency_fragile"

    @property
    def has_edge(self) -> bool:
        """Whether its best policy truly earns what must be found."""
        return self.best is not None and self.best.mean_bps >= EDGE_BPS

    @property
    def is_false(self) -> bool:
        """Whether nothing is to be earned by its final policy, at the assumed latency."""
        return not self.truth.is_listed or _is_nothing(self.true_bps)

    @property
    def is_false_late(self) -> bool:
        """The same at the latency 300 ms worse."""
        return not self.truth.is_listed or _is_nothing(self.true_late_bps)


def judge(found: Found, universe: int, truths: Truths) -> list[Judged]:
    """Hold the decisions about a universe against the truth of its markets."""
    late_ms = stressed_latency_ms(LATENCY_MS) or LATENCY_MS
    judged = []
    for outcome in found.outcomes:
        truth = truths[outcome.coin]
        final = outcome.final
        fills = np.array(outcome.test_fills)
        stream = truth.stream(outcome.stream_policies, fills, LATENCY_MS) if fills.any() else None
        judged.append(
            Judged(
                universe=universe,
                outcome=outcome,
                truth=truth,
                best=truth.best(LATENCY_MS) if truth.is_listed else None,
                has_passed=outcome.is_approved and _passes(found, outcome, truth),
                true_bps=None if final is None else truth.mean_bps(final, LATENCY_MS),
                true_late_bps=None if final is None else truth.mean_bps(final, late_ms),
                stream=None if outcome.state == "insufficient" else stream,
            )
        )
    return judged


def _passes(found: Found, outcome: Outcome, truth: Truth) -> bool:
    """Send 20 probes whose fills come true as they truly do; results of what fills are the model's."""
    if outcome.final is None:
        return False
    ratio = truth.fill_ratio(outcome.final, LATENCY_MS, outcome.modelled_fill_ratio)
    rng = generator_of("probes", found.name, outcome.coin)
    modelled = np.zeros(MODELLED_FILLS_MIN)
    realised = np.where(np.arange(modelled.size) < rng.binomial(modelled.size, ratio), 0.0, np.nan)
    return judge_probes(realised, modelled).state == "passed"


def ratio(flags: Iterable[bool]) -> dict[str, Any]:
    """Return a ratio with its counts and exact binomial interval; None where there is nothing to count."""
    seen = list(flags)
    count, of = sum(seen), len(seen)
    if not of:
        return {"value": None, "count": 0, "of": 0, "low": None, "high": None}
    low, high = proportion_confint(count, of, method="beta")
    return {"value": _round(count / of), "count": count, "of": of, "low": _round(low), "high": _round(high)}


def figures(founds: Sequence[Found], truths: Sequence[Truths]) -> dict[str, Any]:
    """Return all figures of some universes.

    Args:
        founds: What became of each.
        truths: Truth of the markets of each.
    """
    markets = [each for at, found in enumerate(founds) for each in judge(found, at, truths[at])]
    approved = [each for each in markets if each.is_approved]
    firm = [each for each in approved if not each.is_fragile]
    counts = {
        "fdr": ratio(each.is_false for each in approved),
        "fdr_without_probes": ratio(each.is_false for each in markets if each.outcome.is_approved),
        "fdr_boundary": ratio(bool(found.boundary) for found in founds),
        "fdr_latency": ratio(each.is_false_late for each in firm),
        "fdr_latency_with_fragile": ratio(each.is_false_late for each in approved),
        "probe_fdr": ratio(each.is_false for each in firm),
        "power": ratio(each.is_approved for each in markets if each.has_edge),
        "power_often": ratio(each.is_approved for each in markets if each.has_edge and _is_often(each.best)),
        "power_firm": ratio(each.is_approved and not each.is_fragile for each in markets if each.has_edge),
    }
    return {
        **{name: found["value"] for name, found in counts.items()},
        **_coverage(markets),
        "predecessor": {
            **_predecessor(markets, lambda outcome: outcome.predecessor),
            "two_days": _predecessor(markets, lambda outcome: outcome.predecessor_short),
        },
        "verdicts": _verdicts(markets),
        "power_by_edge": _table(markets, EDGES_BPS, "edge_bps", lambda best: best.mean_bps),
        "power_by_rate": _table(
            [each for each in markets if each.has_edge], RATES, "fills_per_day", lambda best: best.fills_per_day
        ),
        "by_label": _by_label(markets),
        "boundary": {
            "universes_with_approvals": counts["fdr_boundary"]["count"],
            "approvals": sum(len(found.boundary) for found in founds),
            "markets": len(markets),
        },
        "counts": counts,
        "universes": len(founds),
        "markets": len(markets),
        "distinct_markets": len({id(each.truth) for each in markets}),
        "rows_per_market_day": _rows(founds),
    }


def _is_nothing(true_bps: float | None) -> bool:
    return true_bps is None or true_bps <= 0.0


def _is_often(best: Best | None) -> bool:
    return best is not None and best.fills_per_day >= OFTEN_FILLS_PER_DAY


def _coverage(markets: Sequence[Judged]) -> dict[str, Any]:
    seen = []
    for each in markets:
        outcome = each.outcome
        if each.stream is not None and outcome.theta_bps is not None and outcome.se_bps is not None:
            true_bps, error_bps = each.stream
            df = outcome.df or 0.0
            halves = (_half_bps(outcome.se_bps, df, error) for error in (0.0, error_bps))
            seen.append((outcome.theta_bps - true_bps, *halves))
    inside = ratio(abs(off) <= widened for off, _, widened in seen)
    return {
        "coverage": inside["value"],
        "coverage_detail": {
            **inside,
            "plain": ratio(abs(off) <= half for off, half, _ in seen)["value"],
            "claimed_too_high": ratio(off > widened for off, _, widened in seen)["value"],
            "claimed_too_low": ratio(off < -widened for off, _, widened in seen)["value"],
            "left_out": sum(each.stream is None and each.outcome.state != "insufficient" for each in markets),
        },
        "bias_bps": _round(float(np.mean([off for off, _, _ in seen]))) if seen else None,
    }


def _half_bps(se_bps: float, df: float, error_bps: float) -> float:
    """Half of the 95 % interval for estimate - truth when the truth has an error of its own.

    Student's t with the degrees of freedom of Welch and Satterthwaite; those of the truth, near 100, count as many.
    """
    if not se_bps:
        return 0.0
    ratio_of_errors = error_bps / se_bps
    t = -float(stdtrit(df * (1.0 + ratio_of_errors**2) ** 2, (1.0 - INTERVAL_LEVEL) / 2.0))
    return t * float(np.hypot(se_bps, error_bps))


def _table(
    markets: Sequence[Judged], edges: Sequence[float], name: str, figure: Callable[[Best], float]
) -> list[dict[str, Any]]:
    """Return approvals by a figure of the best policy, from each edge (in) to the next (out)."""
    rows = []
    for low, high in pairwise(edges):
        inside = [each for each in markets if each.best is not None and low <= figure(each.best) < high]
        found = ratio(each.is_approved for each in inside)
        bounds = {"from": None if np.isinf(low) else low, "to": None if np.isinf(high) else high}
        rows.append({name: bounds, "power": found["value"], "approved": found["count"], "markets": found["of"]})
    return rows


def _predecessor(markets: Sequence[Judged], claim_of: Callable[[Outcome], Claim]) -> dict[str, Any]:
    tradeable = [(each, claim_of(each.outcome)) for each in markets if claim_of(each.outcome).is_tradeable]
    errors = []
    true = []
    for each, claim in tradeable:
        mean = each.truth.anytime_mean_bps(_nearest(claim.raw_threshold_bps or 0), LATENCY_MS)
        true.append(mean)
        if mean is not None and claim.claimed_bps is not None:
            errors.append(claim.claimed_bps - mean)
    false = ratio(_is_nothing(mean) for mean in true)
    nothing = ratio(not _has_positive(each.truth) for each, _ in tradeable)
    power = ratio(claim_of(each.outcome).is_tradeable for each in markets if each.has_edge)
    return {
        "fdr": false["value"],
        "fdr_no_positive_policy": nothing["value"],
        "power": power["value"],
        "claim_error_bps": _round(float(np.mean(errors))) if errors else None,
        "counts": {"fdr": false, "fdr_no_positive_policy": nothing, "power": power},
    }


def _has_positive(truth: Truth) -> bool:
    best = truth.anytime_best(LATENCY_MS, PREDECESSOR_FILLS_PER_DAY)
    return best is not None and best.mean_bps > 0.0


def _nearest(raw_threshold_bps: int) -> Policy:
    below = [bps for bps in THRESHOLDS_BPS if bps <= raw_threshold_bps]
    return Policy(below[-1] if below else THRESHOLDS_BPS[0], "any", PREDECESSOR_HORIZON_S)


def _verdicts(markets: Sequence[Judged]) -> dict[str, Any]:
    """Return how verdicts name the labels, and what their veto costs and saves."""
    known = [each for each in markets if each.truth.label in _LABEL_VERDICTS]
    judged = [each for each in known if each.outcome.verdict != "insufficient"]
    vetoed = [each for each in markets if each.outcome.is_proved and not each.outcome.is_approved]
    table: dict[str, dict[str, int]] = {}
    for each in sorted(markets, key=lambda each: (each.truth.label, each.outcome.verdict)):
        of_label = table.setdefault(each.truth.label, {})
        of_label[each.outcome.verdict] = of_label.get(each.outcome.verdict, 0) + 1
    return {
        "agreement": ratio(each.outcome.verdict in _LABEL_VERDICTS[Label(each.truth.label)] for each in judged),
        "vetoed_though_proved": len(vetoed),
        "of_these_false": sum(each.is_false for each in vetoed),
        "power_without_veto": ratio(each.outcome.is_proved for each in markets if each.has_edge),
        "by_label": table,
    }


def _by_label(markets: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    labels = sorted({each.truth.label for each in markets})
    return {label: _label([each for each in markets if each.truth.label == label]) for label in labels}


def _label(markets: Sequence[Judged]) -> dict[str, Any]:
    approved = [each for each in markets if each.is_approved]
    edged = [each for each in markets if each.has_edge]
    coverage = _coverage(markets)
    return {
        "markets": len(markets),
        "insufficient": sum(each.outcome.state == "insufficient" for each in markets),
        "approved_without_probes": sum(each.outcome.is_approved for each in markets),
        "approved": len(approved),
        "false": sum(each.is_false for each in approved),
        "with_edge": len(edged),
        "with_edge_approved": sum(each.is_approved for each in edged),
        "coverage": coverage["coverage"],
        "intervals": coverage["coverage_detail"]["of"],
    }


def _rows(founds: Sequence[Found]) -> int | None:
    days = sum(found.day_count for found in founds)
    return round(sum(found.row_count for found in founds) / days) if days else None


def _round(value: float) -> float:
    return round(value, 4)
