"""Approval goes on every day: who keeps it, what looking daily costs, and a bound that daily looks cannot spoil.

Daily re-approval on a rolling window is repeated looking. 5 % of false discoveries at one look does not say how many
universes see one within two months. `measure_looks` does, on 24 markets that all earn exactly 0: 3 % of universes at
the first look; within 60 looks 68 % when one day is enough and 39 % under rule 1 (though on .09 % of market-days: what
is false does not stay); 0.3 % under rules 1 and 2. A day's skew to the left makes it worse: 61 % and 2 % with a loss of
6 sd on 5 % of days. Rule 2 costs days, not power: with 3 markets of 24 at 2 bps, micro holds .93 of them at the second
look; trade holds .00 at the second, .86 at the seventh and .91 at the thirtieth, where micro holds .92. The real choice
among 56 policies changes between looks and makes them less alike: 60 universes of 30 looks through `approve_markets`
gave 3 % at the first look, 63 % by one day, 17 % under rule 1 (41 % and 20 % here) and none under both.

Rule 1: a level is reached when 2 consecutive days allow it, and lost the day the window no longer allows it at 20 %
(`stay_state`: Benjamini-Hochberg at 20 %, guard and veto). A day without a decision breaks the confirmation.
Rule 2: `approved_trade` also needs the anytime bound. `e_values` multiplies daily bets against "no edge": whenever one
looks, E[e] <= 1, so e >= 1/a ever happens with probability a at most (Ville), and Benjamini-Hochberg on e-values keeps
the rate at any stopping time and under any dependence of markets (Wang and Ramdas 2022, "False discovery rate control
with e-values"). Micro does not need it: what micro can lose is bounded, and probes must be sent before trade anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hip3_platform.analytics.evidence.approval import (
    FDR_ENTRY,
    FDR_STAY,
    FILL_DAYS_MIN,
    GUARD_DAYS,
    LEVELS,
    TEST_FILLS_MIN,
    Approval,
    State,
)
from hip3_platform.analytics.evidence.estimate import Floats, estimate
from hip3_platform.analytics.evidence.family import Flags
from hip3_platform.analytics.evidence.walk_forward import FIRST_TEST_DAY, WINDOW_DAYS

Levels = NDArray[np.int64]

NOT_HELD: State = "rejected"
TEST_DAYS = WINDOW_DAYS - FIRST_TEST_DAY


@dataclass(frozen=True, slots=True)
class Standing:
    """What one market may do after today's look, and what tomorrow's look needs to know."""

    coin: str
    day: str
    state: State
    """Level in force; `rejected` or `insufficient` when none."""
    today: State
    """Level today's look allows by itself: the first half of tomorrow's confirmation."""
    since: str | None
    """First day of an unbroken approval of any level; None when not held."""
    e_value: float
    """Evidence against "no edge" since the market was first seen, valid whenever it is read."""
    net_bps: tuple[float, ...]
    """Sum of results of each day seen, by the policy chosen before it."""
    fills: tuple[int, ...]
    reason: str


def level_of(state: State) -> int:
    """Return how much a state allows: 0 nothing, 1 fragile, 2 micro, 3 trade."""
    return next(level for level, states in enumerate(LEVELS) if state in states)


def next_level(held: Levels, yesterday: Levels, today: Levels, stay: Levels) -> Levels:
    """Return the level in force after a look (rule 1).

    Args:
        held: Level in force before it.
        yesterday: Level the look of the day before allowed by itself at 5 %; 0 without one.
        today: Level today's look allows by itself at 5 %.
        stay: Level it allows at 20 %; never below `today`.
    """
    return np.maximum(np.minimum(held, stay), np.minimum(yesterday, today))


def reapprove(previous: Mapping[str, Standing], rows: Sequence[Approval], day: str) -> tuple[Standing, ...]:
    """Apply both rules to every market of today's rows; a market no longer among them is not held any more.

    Args:
        previous: Latest standing of each market, by coin; those of an older day than yesterday confirm nothing.
        rows: Today's approvals, all watched markets.
        day: As-of day of `rows`, later than that of every previous standing.

    Raises:
        ValueError: A previous standing is of `day` or later: the same look must not count twice.
    """
    late = sorted(each.coin for each in previous.values() if each.day >= day)
    if late:
        raise ValueError(f"expected standings before {day}, found a later one of {late[0]}: re-approve days in order")
    streams = [_stream(previous.get(row.coin), row, day) for row in rows]
    e = np.array([e_values(np.array(net), np.array(fills))[-1] if net else 1.0 for net, fills in streams])
    enters, stays = e_discoveries(e, FDR_ENTRY), e_discoveries(e, FDR_STAY)
    return tuple(
        _stand(previous.get(row.coin), row, day, stream, _Proof(float(e[i]), bool(enters[i]), bool(stays[i])))
        for i, (row, stream) in enumerate(zip(rows, streams, strict=True))
    )


@dataclass(frozen=True, slots=True)
class _Proof:
    e_value: float
    may_enter: bool
    may_stay: bool


def _days_since(before: Standing, day: str) -> int:
    return (date.fromisoformat(day) - date.fromisoformat(before.day)).days


def _stream(before: Standing | None, row: Approval, day: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    # Each calendar day counts once, by the choice of the first look that saw it: later looks choose anew for old days.
    if before is None:
        return row.daily_net_bps, row.daily_fills
    new = min(_days_since(before, day), len(row.daily_fills))
    at = len(row.daily_fills) - new
    return before.net_bps + row.daily_net_bps[at:], before.fills + row.daily_fills[at:]


def _capped(state: State, *, is_proved: bool) -> State:
    return "approved_micro" if state == "approved_trade" and not is_proved else state


def _stand(
    before: Standing | None, row: Approval, day: str, stream: tuple[tuple[float, ...], tuple[int, ...]], proof: _Proof
) -> Standing:
    today = _capped(row.state, is_proved=proof.may_enter)
    stay = _capped(row.stay_state, is_proved=proof.may_stay)
    held = level_of(before.state) if before else 0
    yesterday = level_of(before.today) if before and _days_since(before, day) == 1 else 0
    level = int(next_level(*(np.asarray(each) for each in (held, yesterday, level_of(today), level_of(stay)))))
    since = (before.since if before and held else day) if level else None
    state = LEVELS[level][0] if level else (row.state if level_of(row.state) == 0 else NOT_HELD)
    said = _said(held, level, level_of(today), since)
    if row.state == "approved_trade" and today != row.state:
        said += f", trade waits for the anytime bound (e {proof.e_value:.3g})"
    return Standing(
        coin=row.coin, day=day, state=state, today=today, since=since, e_value=proof.e_value, net_bps=stream[0],
        fills=stream[1], reason=f"{said}: {row.reason}",
    )  # fmt: skip


def _said(held: int, level: int, today: int, since: str | None) -> str:
    if level > held:
        return f"{LEVELS[level][0]} confirmed on 2 consecutive days"
    if level < held:
        return f"lowered from {LEVELS[held][0]} at once"
    if today > level:
        return f"{LEVELS[today][0]} today, to be confirmed tomorrow"
    if level > today:
        return f"held since {since}, no longer proved at 5 % but at 20 %"
    return f"held since {since}" if level else "not approved"


# --- the bound

E_INTRACLASS = 0.008
"""Correlation of two fills of one day. Read off the design effects measured at 24 h (evidence method, section 3): 1.10,
1.26, 1.67 and 2.9 at about 12, 35, 85 and 240 fills a day are all 1 + .008 n."""
E_BETS = (0.25, 0.5, 1.0, 2.0)
"""Edges bet on, in daily standard deviations: a mixture of equal weights, so none of them need be right."""
E_SCALE_DAYS_MIN = 2


def e_values(net_bps: Floats, fills: Floats) -> Floats:
    """Return the evidence against "no edge" after each day, valid whenever it is read.

    A day's result y, standardised by its fills, is bet on with the factor 1 + tanh(c y / scale), scale = root mean
    square of the days before. If y is symmetric about a mean not above 0 given the past and its fills, tanh being odd
    and rising makes the expected factor 1 at most: whatever the variance of the day, so clustered volatility does no
    harm. 1 + tanh is the likelihood ratio of N(mu, v) to the even mixture of N(mu, v) and N(-mu, v).

    The assumption that remains is symmetry of a *day's* result (weaker than the normal day of the t interval). A day
    skewed to the left, many small gains and a rare great loss, breaks both.

    Args:
        net_bps: Sum of results by day, (days, ...), each day by a policy chosen on days before it
            (`Standing.net_bps`).
        fills: Its fills.

    Returns:
        e-values of the shape of `net_bps`; 1 until two days with fills gave a scale.
    """
    n = np.asarray(fills, dtype=np.float64)
    has_fills = n > 0
    y = np.divide(net_bps, np.sqrt(n * (1 + E_INTRACLASS * n)), out=np.zeros(n.shape), where=has_fills)
    count: Floats = np.cumsum(has_fills, axis=0, dtype=np.float64) - has_fills
    before = np.maximum(np.cumsum(y * y, axis=0) - y * y, 0.0)
    may_bet = (count >= E_SCALE_DAYS_MIN) & (before > 0)
    scale = np.sqrt(np.divide(before, count, out=np.ones(n.shape), where=may_bet))
    bet = np.where(may_bet, y / scale, 0.0)
    logs = [np.cumsum(_log_one_plus_tanh(c * bet), axis=0) for c in E_BETS]
    return np.asarray(np.exp(np.logaddexp.reduce(logs, axis=0)) / len(E_BETS))


def _log_one_plus_tanh(x: Floats) -> Floats:
    return np.asarray(np.log(2.0) - np.logaddexp(0.0, -2.0 * x))  # no cancellation where tanh is near -1


def e_discoveries(e: Floats, rate: float = FDR_ENTRY) -> Flags:
    """Return which of (..., markets) e-BH rejects at `rate`: Benjamini-Hochberg on 1/e, without its assumptions."""
    p = np.minimum(1.0 / np.maximum(e, np.finfo(np.float64).tiny), 1.0)
    return np.asarray(stats.false_discovery_control(p, axis=-1, method="bh") <= rate)


# --- the measure


@dataclass(frozen=True, slots=True)
class DayNoise:
    """How results vary: the figures of the evidence method, and what it gives no figure for."""

    fills_per_day: tuple[float, float] = (5.0, 240.0)
    """Rates are drawn log-uniformly between these."""
    sd_bps: float = 4.7
    intraclass: float = E_INTRACLASS
    log_vol_sd: float = 0.45
    """Standard deviation of a day's log volatility. Assumed; twice that is the "dep" universe of section 4."""
    log_vol_ar: float = 0.7
    common_share: float = 0.3
    """Share of a day's effect and log volatility that all markets have in common. Assumed."""
    crash_rate: float = 0.0
    """Days a day on which the day's effect is a loss; all other days gain a little, so that the mean stays."""
    crash_sds: float = 3.0
    """That loss in standard deviations of a day's effect."""


NOISE = DayNoise()
NULL_EDGES_BPS = (0.0,) * 24


@dataclass(frozen=True, slots=True)
class LookRates:
    """What daily looks do; "false" is a market whose true edge is not above 0."""

    universes: int
    looks: int
    first_look: float
    """Share of universes with a false approval at the first look alone."""
    ever_unconfirmed: float
    """Share of universes with a false approval on any day, when one day is enough."""
    ever_micro: float
    """Likewise under rule 1."""
    ever_trade: float
    """Likewise of `approved_trade`, rules 1 and 2, as if every probe passed. At most 5 % when all edges are 0."""
    false_days_unconfirmed: float
    """Share of the days of false markets on which they are in force, when one day is enough."""
    false_days_micro: float
    false_days_trade: float
    fdr_micro: float
    """Mean over (universe, day) of false / in force."""
    fdr_trade: float
    power_micro: float | None
    """Share of true markets in force on the last day; None when there are none."""
    power_trade: float | None


def draw_days(
    rng: np.random.Generator, days: int, universes: int, edges_bps: tuple[float, ...], noise: DayNoise
) -> tuple[Floats, Floats]:
    """Return (net_bps, fills), each (days, universes, markets), of streams with true means `edges_bps` a fill."""
    shape = (universes, len(edges_bps))
    low, high = np.log(noise.fills_per_day)
    rate = np.exp(rng.uniform(low, high, size=shape))

    def mixed() -> Floats:
        own, common = rng.standard_normal(shape), rng.standard_normal((universes, 1))
        return np.asarray(np.sqrt(1 - noise.common_share) * own + np.sqrt(noise.common_share) * common)

    net, fills = np.empty((days, *shape)), np.empty((days, *shape))
    log_vol = mixed()
    for day in range(days):
        n = rng.poisson(rate).astype(np.float64)
        vol = np.exp(noise.log_vol_sd * log_vol - noise.log_vol_sd**2)  # E[vol^2] = 1: sd and intraclass keep meaning
        crash = noise.crash_sds * (noise.crash_rate - (rng.random(shape) < noise.crash_rate))
        within = np.sqrt(n * (1 - noise.intraclass)) * rng.standard_normal(shape)
        between = n * np.sqrt(noise.intraclass) * (mixed() + crash)
        net[day] = n * np.array(edges_bps) + noise.sd_bps * vol * (within + between)
        fills[day] = n
        log_vol = noise.log_vol_ar * log_vol + np.sqrt(1 - noise.log_vol_ar**2) * mixed()
    return net, fills


def measure_looks(
    seed: int, *, universes: int, looks: int, edges_bps: tuple[float, ...] = NULL_EDGES_BPS, noise: DayNoise = NOISE
) -> LookRates:
    """Re-approve drawn universes daily and count who is in force.

    With all edges 0 it is the least-favourable null: every policy that could be chosen earns exactly 0, so the test
    stream has mean 0 whatever is chosen. The stream of a day is the same at every look, as if one policy were chosen
    throughout. Fragility, verdicts and probes only lower levels and are left out.

    Args:
        seed: Equal seeds give equal figures.
        universes: Universes drawn.
        looks: Days on which one looks; each judges the last 10 test days.
        edges_bps: True mean result a fill of each market of a universe.
        noise: How results vary.
    """
    net, fills = draw_days(np.random.default_rng(seed), TEST_DAYS + looks - 1, universes, edges_bps, noise)
    windows = [slice(look, look + TEST_DAYS) for look in range(looks)]
    adjusted = np.array([_adjusted_p(net[each], fills[each]) for each in windows])
    e = e_values(net, fills)[TEST_DAYS - 1 :]
    micro, trade = level_of("approved_micro"), level_of("approved_trade")
    today = (adjusted <= FDR_ENTRY) * np.where(e_discoveries(e, FDR_ENTRY), trade, micro)
    stay = (adjusted <= FDR_STAY) * np.where(e_discoveries(e, FDR_STAY), trade, micro)
    unconfirmed, confirmed = np.zeros_like(today), np.zeros_like(today)
    unconfirmed[0] = today[0]
    for look in range(1, looks):
        unconfirmed[look] = next_level(unconfirmed[look - 1], today[look], today[look], stay[look])
        confirmed[look] = next_level(confirmed[look - 1], today[look - 1], today[look], stay[look])
    is_false = np.array(edges_bps) <= 0
    one_day, is_micro, is_trade = unconfirmed >= micro, confirmed >= micro, confirmed >= trade
    return LookRates(
        universes=universes,
        looks=looks,
        first_look=_ever((today[:1] >= micro) & is_false),
        ever_unconfirmed=_ever(one_day & is_false),
        ever_micro=_ever(is_micro & is_false),
        ever_trade=_ever(is_trade & is_false),
        false_days_unconfirmed=_share(one_day, is_false) or 0.0,
        false_days_micro=_share(is_micro, is_false) or 0.0,
        false_days_trade=_share(is_trade, is_false) or 0.0,
        fdr_micro=_fdr(is_micro, is_false),
        fdr_trade=_fdr(is_trade, is_false),
        power_micro=_share(is_micro[-1:], ~is_false),
        power_trade=_share(is_trade[-1:], ~is_false),
    )


def _ever(in_force: Flags) -> float:
    return float(in_force.any(axis=(0, 2)).mean())


def _share(in_force: Flags, of: Flags) -> float | None:
    return float(in_force[..., of].mean()) if of.any() else None


def _fdr(in_force: Flags, is_false: Flags) -> float:
    return float(((in_force & is_false).sum(axis=-1) / np.maximum(in_force.sum(axis=-1), 1)).mean())


def _adjusted_p(net: Floats, fills: Floats) -> Floats:
    figures, guard = estimate(net, fills), estimate(net[-GUARD_DAYS:], fills[-GUARD_DAYS:])
    is_enough = (figures.fills >= TEST_FILLS_MIN) & (figures.clusters >= FILL_DAYS_MIN)
    p = np.where(is_enough & (guard.less_one_se_bps > 0), figures.p, 1.0)
    return np.asarray(stats.false_discovery_control(p, axis=-1, method="bh"))
