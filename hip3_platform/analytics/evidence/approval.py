"""Which markets may trade, decided over all watched markets at once: one row a market, every row with its reason.

Source: evidence method, section 6. Rules, in the order they act:
Rule 1: fewer than 50 test fills or 5 test days with fills is `insufficient`: p = 1, and the market stays in m. (The
prototype asked for 8; its markets traded every day. Equities fill on 5 to 8 of 10 calendar days, and t pays for few.)
Rule 2: guard: theta - 1 se > 0 on the last 4 test days with fills; an edge that died last week may not live on its
past. A weekend is no news: on calendar days it would leave a market that is closed then without a figure.
Rule 3: veto: a market explained by something other than a stale quote that we could take is out.
Rule 4: Benjamini-Hochberg at 5 % over all markets, where a market out by rule 2 or 3 counts with p = 1. A valid p stays
valid when it is raised, so the rate is controlled for exactly the markets approved; taking guard and veto after the
test would let a market lend its small p to others and then leave, and shrink R under the bound.
Rule 5: the same policies valued at a latency 300 ms worse must be rejected too (an intersection of hypotheses needs no
further correction), else `latency_fragile`: micro at most. Off the end of the grid nothing is known: fragile.
Rule 6: the bound shown is the FCR one, theta - t_{1 - .05 R/m, df} se: above 0 exactly where rule 4 approves. A market
out by rules 1 to 3 has none.
Rule 7: what passes is `approved_micro`; passed probes of real orders make it `approved_trade`.
Rule 8: where real orders are later than the grid ends (`latency.py`), `refused` takes back every approval.
Rule 9: `stay_state` is the same at 20 % instead of 5 %: the most a market held since earlier may keep (`monitor.py`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from statsmodels.stats.multitest import multipletests

from hip3_platform.analytics.evidence.estimate import Estimate, Floats, estimate
from hip3_platform.analytics.evidence.family import Flags, HourSums, Policy, stressed_latency_ms
from hip3_platform.analytics.evidence.probes import ProbeVerdict, judge_probes
from hip3_platform.analytics.evidence.verdict import Verdict
from hip3_platform.analytics.evidence.walk_forward import OriginFamily, Walk, choices, walk

FDR_ENTRY = 0.05
FDR_STAY = 0.20
TEST_FILLS_MIN = 50
FILL_DAYS_MIN = 5
GUARD_DAYS = 4

VETO: frozenset[Verdict] = frozenset({"standing_basis", "self_referential", "frozen", "thin"})
State = Literal["insufficient", "rejected", "latency_fragile", "approved_micro", "approved_trade"]
LEVELS: tuple[tuple[State, ...], ...] = (
    ("insufficient", "rejected"), ("latency_fragile",), ("approved_micro",), ("approved_trade",),
)  # fmt: skip
"""States by how much they allow, nothing first."""

NO_PROBES = judge_probes(np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class MarketEvidence:
    """All that is known of one market when approvals are decided."""

    sums: HourSums
    """The window, calendar days without gaps; the same days for every market."""
    verdict: Verdict
    probes: ProbeVerdict = NO_PROBES


@dataclass(frozen=True, slots=True)
class Figures:
    """One estimate of one market; None where nothing can be said."""

    theta_bps: float | None
    se_bps: float | None
    df: float | None
    ci_lower_bps: float | None
    ci_upper_bps: float | None
    p: float
    fills: int
    fill_days: int
    days: int
    fills_per_day: float | None

    @property
    def text(self) -> str:
        """Mean ± standard error in words."""
        if self.theta_bps is None:
            return "no fills"
        return f"{self.theta_bps:+.2f} ± {self.se_bps:.2f} bps" if self.se_bps is not None else "fills on one day only"


@dataclass(frozen=True, slots=True)
class Approval:
    """What was decided about one market, and every figure it was decided by."""

    coin: str
    state: State
    """By today's window alone, at 5 %."""
    stay_state: State
    """At 20 %: the most a market held since earlier may keep."""
    verdict: Verdict
    policy: Policy | None
    """Policy for tomorrow; None when none had fills enough."""
    latency_ms: int
    stressed_latency_ms: int | None
    test: Figures
    """Test days, each by the policy chosen before it; p = 1 when insufficient."""
    in_sample: Figures
    """Its twin: the final policy on the days that chose it. It claims nothing."""
    stressed: Figures
    """Test days at the stressed latency, same policies; p = 1 when insufficient or off the grid."""
    guard: Figures
    """The last 4 test days."""
    bound_bps: float | None
    """FCR lower bound; None when out before the test (rules 1 to 3)."""
    p_adjusted: float
    p_holm: float
    p_by: float
    p_stressed_adjusted: float
    daily_net_bps: tuple[float, ...]
    """Sum of results of each test day."""
    daily_fills: tuple[int, ...]
    market_count: int
    approved_count: int
    probes: ProbeVerdict
    reason: str


def approve_markets(
    markets: Mapping[str, MarketEvidence], *, latency_ms: int, origins: OriginFamily = "both"
) -> tuple[Approval, ...]:
    """Decide over all watched markets at once.

    Args:
        markets: Every market watched in the window, by coin; one without fills belongs in it, for it counts in m.
        latency_ms: Assumed latency: p90 of decision to match, rounded up to the grid; never the median.
        origins: Which policies may be chosen; `oracle_led` is the safer one for live.

    Returns:
        One row a market, by coin; nothing but the figures of `markets` decides, so their order does not matter.

    Raises:
        ValueError: The windows differ in days, or the latency is not on the grid.
    """
    coins = sorted(markets)
    if not coins:
        return ()
    evidence = [markets[coin] for coin in coins]
    if len({each.sums.days for each in evidence}) > 1:
        raise ValueError("expected one window for all markets, found several; fill days without data with zeros")
    chosen = [choices(each.sums, latency_ms, origins) for each in evidence]
    walks = [walk(each.sums, policies, latency_ms) for each, policies in zip(evidence, chosen, strict=True)]
    stressed_ms = stressed_latency_ms(latency_ms)
    stressed = None
    if stressed_ms is not None:
        later = [walk(each.sums, policies, stressed_ms) for each, policies in zip(evidence, chosen, strict=True)]
        stressed = _test(later)
    return _rows(coins, evidence, walks, stressed, (latency_ms, stressed_ms))


def refused(rows: tuple[Approval, ...], why: str) -> tuple[Approval, ...]:
    """Return the rows with nothing approved (rule 8); their figures stay, for people."""
    return tuple(
        replace(row, state=_at_most(row.state), stay_state=_at_most(row.stay_state), bound_bps=None, approved_count=0,
                reason=f"{why}; else: {row.reason}")
        for row in rows
    )  # fmt: skip


def _at_most(state: State) -> State:
    return state if state in LEVELS[0] else "rejected"


def _test(walks: list[Walk]) -> Estimate:
    # The test stream of every market, by clusters of a UTC day.
    return estimate(
        np.stack([each.test_net_bps for each in walks], axis=1), np.stack([each.test_fills for each in walks], axis=1)
    )


def _guard(walks: list[Walk]) -> Estimate:
    """Estimate over each market's last days with fills; fewer of them are filled up with days without any."""
    net, fills = np.zeros((GUARD_DAYS, len(walks))), np.zeros((GUARD_DAYS, len(walks)))
    for at, each in enumerate(walks):
        last = np.flatnonzero(each.test_fills)[-GUARD_DAYS:]
        net[: last.size, at], fills[: last.size, at] = each.test_net_bps[last], each.test_fills[last]
    return estimate(net, fills)


def _is_enough(figures: Estimate) -> Flags:
    return np.asarray((figures.fills >= TEST_FILLS_MIN) & (figures.clusters >= FILL_DAYS_MIN))


def _figures(figures: Estimate, p: Floats, days: int) -> list[Figures]:
    lower, upper = figures.interval_bps()
    return [
        Figures(
            theta_bps=_known(figures.theta_bps[i]),
            se_bps=_known(figures.se_bps[i]),
            df=_known(figures.df[i]),
            ci_lower_bps=_known(lower[i]),
            ci_upper_bps=_known(upper[i]),
            p=float(p[i]),
            fills=int(figures.fills[i]),
            fill_days=int(figures.clusters[i]),
            days=days,
            fills_per_day=float(figures.fills[i]) / days if days else None,
        )
        for i in range(len(p))
    ]


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def holm_adjusted(p: Floats) -> Floats:
    """Return Holm's step-down adjusted p, equal to `multipletests(p, method="holm")`.

    Not taken from there because that branch runs a full garbage collection: 35 ms and more, growing with the process,
    while all the rest of a universe takes 20 ms.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def _rows(
    coins: list[str],
    evidence: list[MarketEvidence],
    walks: list[Walk],
    stressed: Estimate | None,
    latencies_ms: tuple[int, int | None],
) -> tuple[Approval, ...]:
    m, days = len(coins), len(walks[0].test_fills)
    test, guard = _test(walks), _guard(walks)
    in_sample = estimate(
        np.stack([each.in_sample_net_bps for each in walks], axis=1),
        np.stack([each.in_sample_fills for each in walks], axis=1),
    )
    is_enough = _is_enough(test) & np.array([each.final is not None for each in walks])
    p = np.where(is_enough, test.p, 1.0)
    may_pass = is_enough & (guard.less_one_se_bps > 0) & np.array([each.verdict not in VETO for each in evidence])
    entering = np.where(may_pass, p, 1.0)
    holm = holm_adjusted(entering)
    adjusted, by = (multipletests(entering, method=method)[1] for method in ("fdr_bh", "fdr_by"))
    if stressed is None:
        stressed, p_stressed = estimate(np.zeros((0, m)), np.zeros((0, m))), np.ones(m)
    else:
        p_stressed = np.where(_is_enough(stressed), stressed.p, 1.0)
    adjusted_stressed = multipletests(np.where(may_pass, p_stressed, 1.0), method="fdr_bh")[1]
    approved_count = int((adjusted <= FDR_ENTRY).sum())
    bounds = test.lower_bps(FDR_ENTRY * max(approved_count, 1) / m)
    parts = zip(
        _figures(test, p, days), _figures(in_sample, in_sample.p, len(evidence[0].sums.days)),
        _figures(stressed, p_stressed, days), _figures(guard, guard.p, min(days, GUARD_DAYS)), strict=True,
    )  # fmt: skip
    rows = []
    for i, (own_test, own_in_sample, own_stressed, own_guard) in enumerate(parts):
        state, stay = (
            _state(is_enough[i], adjusted[i] <= rate, adjusted_stressed[i] <= rate, evidence[i].probes)
            for rate in (FDR_ENTRY, FDR_STAY)
        )
        row = Approval(
            coin=coins[i], state=state, stay_state=stay, verdict=evidence[i].verdict, policy=walks[i].final,
            latency_ms=latencies_ms[0], stressed_latency_ms=latencies_ms[1], test=own_test, in_sample=own_in_sample,
            stressed=own_stressed, guard=own_guard, bound_bps=float(bounds[i]) if may_pass[i] else None,
            p_adjusted=float(adjusted[i]), p_holm=float(holm[i]), p_by=float(by[i]),
            p_stressed_adjusted=float(adjusted_stressed[i]),
            daily_net_bps=tuple(float(each) for each in walks[i].test_net_bps),
            daily_fills=tuple(int(each) for each in walks[i].test_fills),
            market_count=m, approved_count=approved_count, probes=evidence[i].probes, reason="",
        )  # fmt: skip
        rows.append(replace(row, reason=_reason(row)))
    return tuple(rows)


def _state(is_enough: bool, is_proved: bool, is_proved_stressed: bool, probes: ProbeVerdict) -> State:
    if not is_enough:
        return "insufficient"
    if not is_proved:
        return "rejected"
    if not is_proved_stressed:
        return "latency_fragile"
    return "approved_trade" if probes.state == "passed" else "approved_micro"


def _reason(row: Approval) -> str:
    if row.policy is None:
        return "no policy has fills enough to be chosen"
    if row.state == "insufficient":
        found = f"{row.test.fills} fills on {row.test.fill_days} test days"
        return f"{found}; {TEST_FILLS_MIN} fills on {FILL_DAYS_MIN} days needed"
    test = f"{row.test.text} a fill after fees over {row.test.fills} fills on {row.test.fill_days} test days"
    claim = f"in sample {row.in_sample.text}"
    proof = f"p {row.test.p:.2g}, {row.p_adjusted:.2g} among {row.market_count} markets"
    if row.state == "rejected":
        if row.verdict in VETO:
            return f"{row.verdict.replace('_', ' ')} explains its crosses, no stale quote; {test} ({claim})"
        if row.bound_bps is None:
            return f"last {row.guard.days} test days {row.guard.text}: not above 0 by 1 se; {test} ({claim})"
        return f"not proved above 0: {test} ({proof}; {claim})"
    return _praise(row, f"{test} ({proof}; lower bound {row.bound_bps:+.2f}; {claim})")


def _praise(row: Approval, proved: str) -> str:
    if row.stressed_latency_ms is None:
        return f"micro at most: nothing is known 300 ms later than {row.latency_ms} ms; {proved}"
    later = f"{row.stressed.text} at {row.stressed_latency_ms} ms (p {row.p_stressed_adjusted:.2g} among all)"
    if row.state == "latency_fragile":
        return f"micro at most, fragile: {later}; {proved}"
    return f"{proved}; {later}; probes {row.probes.state.replace('_', ' ')}: {row.probes.reason}"


_FIGURES: dict[str, tuple[Any, str]] = {
    "theta_bps": (pl.Float64, "mean result a fill after fees"),
    "se_bps": (pl.Float64, "standard error of the mean, clusters of a UTC day"),
    "df": (pl.Float64, "effective degrees of freedom"),
    "ci_lower_bps": (pl.Float64, "95 % t interval, lower end"),
    "ci_upper_bps": (pl.Float64, "95 % t interval, upper end"),
    "p": (pl.Float64, "one-sided p of a mean not above 0; 1 when insufficient"),
    "fills": (pl.Int64, "fills"),
    "fill_days": (pl.Int64, "days with fills"),
    "days": (pl.Int64, "days"),
    "fills_per_day": (pl.Float64, "fills a day"),
}
_SECTIONS = {
    "test": "test days, each by the policy chosen before it",
    "in_sample": "in-sample twin: the final policy on the days that chose it; claims nothing",
    "stressed": "the test days' policies at the stressed latency",
    "guard": "last 4 test days; mean - 1 standard error must be above 0",
}
_COLUMNS: dict[str, tuple[Any, str]] = {
    "venue": (pl.String, "venue of the window"),
    "day": (pl.String, "as-of day: last day of the window"),
    "coin": (pl.String, "market"),
    "state": (
        pl.String,
        "insufficient, rejected, latency_fragile, approved_micro or approved_trade, by today's window",
    ),
    "stay_state": (pl.String, "the same at a false discovery rate of 20 %: the most a market held may keep"),
    "verdict": (pl.String, "what explains the market's crosses"),
    "policy": (pl.String, "policy for tomorrow, chosen on all days; null when none had fills enough"),
    "threshold_bps": (pl.Int64, "edge above which that policy decides"),
    "origin": (pl.String, "decisions of that policy: any, or oracle_led only"),
    "horizon_s": (pl.Int64, "seconds after which that policy leaves"),
    "latency_ms": (pl.Int64, "assumed latency from decision to match"),
    "stressed_latency_ms": (pl.Int64, "latency at least 300 ms worse; null off the end of the grid"),
    **{
        f"{section}_{name}": (kind, f"{about}: {what}")
        for section, about in _SECTIONS.items()
        for name, (kind, what) in _FIGURES.items()
    },
    "bound_bps": (pl.Float64, "FCR lower bound: above 0 exactly where proved; null when out before the test"),
    "p_adjusted": (pl.Float64, "Benjamini-Hochberg p over all markets; a market out before the test counts with 1"),
    "p_holm": (pl.Float64, "Holm's p, beside it"),
    "p_by": (pl.Float64, "Benjamini-Yekutieli's p, beside it"),
    "p_stressed_adjusted": (pl.Float64, "Benjamini-Hochberg p at the stressed latency"),
    "daily_net_bps": (pl.List(pl.Float64), "sum of results of each test day: feeds the anytime bound"),
    "daily_fills": (pl.List(pl.Int64), "fills of each test day"),
    "market_count": (pl.Int64, "markets tested together, m"),
    "approved_count": (pl.Int64, "of them proved at 5 %, R"),
    "probe_state": (pl.String, "passed, failed or not_yet"),
    "probe_modelled_fills": (pl.Int64, "probes the model fills"),
    "probe_realised_fills": (pl.Int64, "probes that filled"),
    "probe_difference_bps": (pl.Float64, "mean of real - modelled result where both filled"),
    "probe_difference_se_bps": (pl.Float64, "its standard error"),
    "reason": (pl.String, "why, in words, with figures"),
}
SCHEMA: dict[str, Any] = {name: kind for name, (kind, _) in _COLUMNS.items()}
"""Columns of gold/approvals, one row a market."""

ABOUT: dict[str, str] = {name: what for name, (_, what) in _COLUMNS.items()}
"""What each column is, for the UI."""

_PLAIN = (
    "coin", "state", "stay_state", "verdict", "latency_ms", "stressed_latency_ms", "bound_bps", "p_adjusted", "p_holm",
    "p_by", "p_stressed_adjusted", "daily_net_bps", "daily_fills", "market_count", "approved_count", "reason",
)  # fmt: skip


def approvals_frame(rows: tuple[Approval, ...], venue: str, day: str) -> pl.DataFrame:
    """Return the approvals as of `day` as one frame with exactly the columns of `SCHEMA`."""
    records = []
    for row in rows:
        record: dict[str, Any] = {"venue": venue, "day": day, **{name: getattr(row, name) for name in _PLAIN}}
        for section in _SECTIONS:
            record |= {f"{section}_{name}": getattr(getattr(row, section), name) for name in _FIGURES}
        if row.policy is not None:
            record |= {"policy": row.policy.text, **asdict(row.policy)}
        record |= {
            "probe_state": row.probes.state,
            "probe_modelled_fills": row.probes.modelled_fills,
            "probe_realised_fills": row.probes.realised_fills,
            "probe_difference_bps": row.probes.difference_bps,
            "probe_difference_se_bps": row.probes.difference_se_bps,
        }
        records.append(record)
    return pl.DataFrame(records, schema=SCHEMA, orient="row")
