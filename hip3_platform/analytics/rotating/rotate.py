"""One day's rotation: evidence, dollars and yesterday's document in, today's document out.

Rule 1: candidates are markets that the evidence in force allows in the phase: micro may trade what is approved for
micro or more, steady and rotate only what is approved for trade, an unknown phase counts as the strictest.
Rule 2: additions need an operator's approval in every phase but `rotate`; on the simulated venue none does.
Rule 3: a new account begins without members; days on which a market was confirmed count for every account.
Rule 4: the order of rows and markets changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from hip3_platform.analytics.rotating.allocation import AllocationRule, Stake, allocate, groups_of
from hip3_platform.analytics.rotating.blacklist import Blacklisting
from hip3_platform.analytics.rotating.document import Identity, build_document, state_of
from hip3_platform.analytics.rotating.settings import HotSettings, Own, hot_settings
from hip3_platform.analytics.rotating.standing import Candidate, StandingRule, decide
from streaming.contracts.rotation import RotationDoc

APPROVALS: dict[str, Any] = {
    "coin": pl.String,
    "state": pl.String,
    "theta_bps": pl.Float64,
    "se_bps": pl.Float64,
    "test_fills": pl.Int64,
    "threshold_bps": pl.Int64,
    "origin": pl.String,
    "horizon_s": pl.Int64,
    "reason": pl.String,
}
"""One row a watched market: columns of gold/approvals, with `state` and `reason` as in force after today's look.

State is insufficient, rejected, latency_fragile, approved_micro or approved_trade. Other columns may be there too.
"""
MICRO = frozenset({"latency_fragile", "approved_micro", "approved_trade"})
TRADE = frozenset({"approved_trade"})
ALLOWED_STATES: Mapping[str, frozenset[str]] = {
    "observe": MICRO, "paper": MICRO, "micro": MICRO, "steady": TRADE, "rotate": TRADE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may choose."""

    standing: StandingRule
    allocation: AllocationRule


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at the end of a day; every frame may hold its rows in any order."""

    scores: pl.DataFrame
    """Columns of `score.SCHEMA`, one row a market."""
    approvals: pl.DataFrame
    """Columns of `APPROVALS`, one row a market."""
    sizes: pl.DataFrame
    """Columns of `capacity.SIZES`, of the markets with fills."""
    blacklist: Mapping[str, Blacklisting]
    own: Mapping[str, Own]
    """The sidecar's own settings by market; a market that is not there is unknown."""
    phase: str
    """In force on the sidecar; "" is unknown."""
    correlation_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the sidecar's configuration."""


def needs_approval(venue: str, phase: str) -> bool:
    """Tell whether an operator must approve a market before it enters."""
    return venue != "sim" and phase != "rotate"


def rotate(identity: Identity, evidence: Evidence, rules: Rules, previous: RotationDoc | None) -> RotationDoc:
    """Return the day's document, first revision and before operators' acts (see `archive.settle`).

    Args:
        identity: Venue, account, as-of day.
        evidence: What is known.
        rules: What was chosen.
        previous: Newest document of an earlier day, as it stood last, of whichever account; None before the first.

    Raises:
        ValueError: If a frame has two rows of one market, or `previous` is not of an earlier day.
    """
    approvals, sizes = _by_coin(evidence.approvals), _by_coin(evidence.sizes)
    candidates = _candidates(evidence, approvals)
    standings = decide(
        state_of(previous, identity.account), candidates, identity.day, rules.standing,
        needs_approval=needs_approval(identity.venue, evidence.phase),
    )  # fmt: skip
    # A market that is proposed has its share already: an approval changes no other market's.
    chosen = sorted(s.coin for s in standings if s.decision in {"kept", "added", "proposed"})
    stakes = [_stake(coin, approvals.get(coin, {}), sizes.get(coin, {})) for coin in chosen]
    groups = groups_of(chosen, evidence.correlation_groups)
    return build_document(
        identity,
        standings=standings,
        candidates=candidates,
        allotments={a.coin: a for a in allocate(stakes, groups, rules.allocation)},
        settings={coin: _settings(approvals.get(coin, {}), evidence.own.get(coin, Own())) for coin in chosen},
        score_bps={stake.coin: stake.lcb_bps or 0.0 for stake in stakes},
        blacklist=evidence.blacklist,
        previous=previous if previous is not None and previous.account == identity.account else None,
    )


def _by_coin(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    rows = {row["coin"]: row for row in frame.iter_rows(named=True)}
    if len(rows) != frame.height:
        raise ValueError(f"expected one row a market, found {frame.height} rows of {len(rows)} markets")
    return rows


def _candidates(evidence: Evidence, approvals: Mapping[str, dict[str, Any]]) -> list[Candidate]:
    allowed = ALLOWED_STATES.get(evidence.phase, TRADE)
    scores = _by_coin(evidence.scores)
    found = []
    for coin in sorted(scores.keys() | approvals.keys() | evidence.blacklist.keys()):
        score, approval = scores.get(coin, {}), approvals.get(coin)
        listing = evidence.blacklist.get(coin)
        found.append(
            Candidate(
                coin=coin,
                mean_usd=score.get("mean_usd"),
                se_usd=score.get("se_usd"),
                score_usd=score.get("score_usd"),
                is_allowed=approval is not None and approval["state"] in allowed,
                reason=_said(approval, evidence.phase),
                blacklisted="" if listing is None else listing.reason,
            )
        )
    return found


def _said(approval: Mapping[str, Any] | None, phase: str) -> str:
    if approval is None:
        return "there is no evidence row of this day"
    limit = "" if approval["state"] not in MICRO else f", which phase {phase or 'unknown'} does not trade"
    return f"{approval['state']}{limit}: {approval['reason']}"


def _stake(coin: str, approval: Mapping[str, Any], size: Mapping[str, Any]) -> Stake:
    theta, se, fills = approval.get("theta_bps"), approval.get("se_bps"), approval.get("test_fills")
    return Stake(
        coin=coin,
        lcb_bps=None if theta is None or se is None else theta - se,
        var_bps2=None if se is None or fills is None else se * se * fills,
        fill_usd_p50=size.get("fill_usd_p50"),
        worst_bps=size.get("worst_bps"),
    )


def _settings(approval: Mapping[str, Any], own: Own) -> HotSettings:
    return hot_settings(approval.get("threshold_bps"), approval.get("origin"), approval.get("horizon_s"), own)
