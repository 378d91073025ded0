"""How much each member may hold: a capped fraction of Kelly, a share of a group, a share of the total risk.

Source: evidence method, section 9: notional = min(cap, c x LCB / variance of a fill x capital, k x median fill), with
c = 1/4 (Kelly 1956, "A New Interpretation of Information Rate"; a quarter, because LCB and variance are estimates).
Rule 1: markets that move together share one cap; a market in several groups obeys each.
Rule 2: the sum of worst cases stays within the risk budget; if not, everything is scaled down by one factor.
Rule 3: arithmetic is exact (fractions) and amounts are floored to cents: no sum can pass a cap by rounding.
Rule 4: what comes out below the least order is no allotment; what it leaves is not shared out again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from streaming.core.underlyings import session_kind_of

_CENTS = 100
_BPS = 10_000


@dataclass(frozen=True, slots=True)
class AllocationRule:
    """Caps and budgets, quote units."""

    cap_usd: float = 100.0
    """One market; at most the sidecar's position_ntl_max."""
    kelly_ratio: float = 0.25
    capital_usd: float = 500.0
    fill_ratio: float = 2.0
    """k: how many median fills a market may hold."""
    group_cap_usd: float = 300.0
    risk_budget_usd: float = 20.0
    """Sum of worst cases; at most the sidecar's day_loss_usd_max makes sense."""
    worst_bps_min: float = 100.0
    """Worst case of a fill is taken as at least this: two weeks have not seen the worst day."""
    order_usd_min: float = 11.0


@dataclass(frozen=True, slots=True)
class Stake:
    """What is known of one member. None is unknown, and an unknown allots nothing."""

    coin: str
    lcb_bps: float | None
    """Mean - 1 se of a fill."""
    var_bps2: float | None
    """Variance of a fill, days as clusters: se^2 x fills."""
    fill_usd_p50: float | None
    worst_bps: float | None
    """Loss of the worst fill seen."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """Notional of one market; 0 with the reason."""

    coin: str
    usd: Decimal
    reason: str


def groups_of(coins: Iterable[str], configured: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return group → markets: the configured ones, and by kind of underlying every market that is in none of them.

    Args:
        coins: Markets to allot.
        configured: `losses.correlation_groups` of the sidecar's configuration: group → full names.
    """
    left = sorted(set(coins))
    groups = {name: tuple(coin for coin in left if coin in members) for name, members in sorted(configured.items())}
    named = {coin for members in groups.values() for coin in members}
    for coin in left:
        if coin not in named:
            name = f"kind:{session_kind_of(coin)}"
            groups[name] = (*groups.get(name, ()), coin)
    return {name: members for name, members in groups.items() if members}


def allocate(
    stakes: Sequence[Stake], groups: Mapping[str, Sequence[str]], rule: AllocationRule
) -> tuple[Allotment, ...]:
    """Allot notionals.

    Args:
        stakes: Members, each once.
        groups: See `groups_of`.
        rule: Caps and budgets.

    Returns:
        One allotment a stake, sorted by market. Sums over a group stay within its cap, the sum of worst cases within
        the budget.

    Raises:
        ValueError: If a market occurs twice.
    """
    ordered = sorted(stakes, key=lambda stake: stake.coin)
    if len({stake.coin for stake in ordered}) != len(ordered):
        raise ValueError("expected every market once among the stakes")
    first = {stake.coin: _alone(stake, rule) for stake in ordered}
    scaled, tight = _within_groups({coin: usd for coin, (usd, _) in first.items()}, groups, rule)
    risk = sum((scaled[s.coin] * _worst(s, rule) for s in ordered), Fraction(0))
    budget = Fraction(rule.risk_budget_usd)
    factor = min(Fraction(1), budget / risk) if risk else Fraction(1)
    return tuple(_allotment(s.coin, scaled[s.coin] * factor, first, tight, factor, rule) for s in ordered)


def _worst(stake: Stake, rule: AllocationRule) -> Fraction:
    # What is not known allots nothing, so its worst case does not count.
    seen = stake.worst_bps if stake.worst_bps is not None and math.isfinite(stake.worst_bps) else 0.0
    return Fraction(max(seen, rule.worst_bps_min)) / _BPS


def _alone(stake: Stake, rule: AllocationRule) -> tuple[Fraction, str]:
    """Return a market's notional before anything is shared, and which limit made it."""
    known = (stake.lcb_bps, stake.var_bps2, stake.fill_usd_p50, stake.worst_bps)
    lcb_bps, var_bps2, fill_usd, _ = known
    if any(value is None or not math.isfinite(value) for value in known) or lcb_bps is None or var_bps2 is None:
        return Fraction(0), "bound, variance or size of its fills is unknown"
    if lcb_bps <= 0 or var_bps2 <= 0:
        return Fraction(0), f"the lower bound of a fill, {lcb_bps:+.2f} bps, allots nothing"
    # bps / bps^2 is 1e4 times the ratio of fractions.
    kelly = Fraction(rule.kelly_ratio) * Fraction(rule.capital_usd) * _BPS * Fraction(lcb_bps) / Fraction(var_bps2)
    limits = (
        (Fraction(rule.cap_usd), "cap of a market"),
        (kelly, f"{rule.kelly_ratio:g} Kelly"),
        (Fraction(rule.fill_ratio) * Fraction(fill_usd or 0.0), f"{rule.fill_ratio:g} x median fill"),
    )
    return min(limits, key=lambda limit: limit[0])


def _within_groups(
    amounts: Mapping[str, Fraction], groups: Mapping[str, Sequence[str]], rule: AllocationRule
) -> tuple[dict[str, Fraction], dict[str, str]]:
    """Scale each market by its tightest group; return the amounts, and that group's name where one bound."""
    cap = Fraction(rule.group_cap_usd)
    factors: dict[str, tuple[Fraction, str]] = {}
    for name, members in sorted(groups.items()):
        total = sum((amounts.get(coin, Fraction(0)) for coin in members), Fraction(0))
        if total > cap:
            for coin in members:
                factors[coin] = min(factors.get(coin, (Fraction(1), "")), (cap / total, name))
    scaled = {coin: usd * factors.get(coin, (Fraction(1), ""))[0] for coin, usd in amounts.items()}
    return scaled, {coin: name for coin, (_, name) in factors.items()}


def _allotment(
    coin: str, usd: Fraction, first: Mapping[str, tuple[Fraction, str]], tight: Mapping[str, str], factor: Fraction,
    rule: AllocationRule,
) -> Allotment:  # fmt: skip
    cents = math.floor(usd * _CENTS)
    alone, reason = first[coin]
    if coin in tight:
        reason += f", group {tight[coin]} shares {rule.group_cap_usd:g}"
    if factor < 1 and alone:
        reason += f", risk budget {rule.risk_budget_usd:g} scales all by {float(factor):.3f}"
    if Fraction(cents, _CENTS) < Fraction(rule.order_usd_min):
        if alone:
            reason = f"{cents / _CENTS:.2f} is below the least order {rule.order_usd_min:g} ({reason})"
        return Allotment(coin, Decimal(0), reason)
    return Allotment(coin, Decimal(cents).scaleb(-2), reason)
