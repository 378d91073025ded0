"""Standings and allotments → `RotationDoc`, and the state of a day out of it again.

Rule 1: a pure function of its inputs: dated to the end of its as-of day, no clock is read. A re-run with equal content
keeps the stored version, so it has equal bytes; other content gets the next revision (I-31: forward only).
Rule 2: version = YYYYMMDD x 100 + revision. A later day's document is always newer.
Rule 3: the explanations are the state: the next day needs nothing but the document before it.
Rule 4: an operator's act (approval, rollback) is content like any other: a new revision, with name and reason.
Rule 5: a day that ends what the document before allowed stands down explicitly: the sidecar refuses a list that is
empty without a word, and a market dropped at once may not trade on until an expiry.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from hip3_platform.analytics.rotating.allocation import Allotment
from hip3_platform.analytics.rotating.blacklist import Blacklisting
from hip3_platform.analytics.rotating.settings import HotSettings
from hip3_platform.analytics.rotating.standing import NOTHING_BEFORE, Candidate, Standing, State
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.rotation import (
    Decision,
    RotationDoc,
    RotationExclusion,
    RotationExplanation,
    RotationMarket,
    RotationProposal,
)
from streaming.core.errors import Hip3Error, StoreError
from streaming.core.units import NS_PER_DAY, NS_PER_S, quantize_bps, quantize_ntl

REVISION_COUNT = 100
_TEXT_MAX = 1_000


class RotationRefused(Hip3Error):
    """An operator's act that can not be done."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a document is for, and what it was made of."""

    venue: str
    account: str
    day: str
    """As-of day."""
    code_version: str
    config_hash: str
    expiry_hours: int


def version_of(day: str, revision: int) -> int:
    """Return the version of a day's document; raises StoreError once a day's revisions are used up."""
    if revision >= REVISION_COUNT:
        raise StoreError(f"the rotation of {day} was revised {REVISION_COUNT} times; look why before going on")
    return int(day.replace("-", "")) * REVISION_COUNT + revision


def state_of(doc: RotationDoc | None, account: str) -> State:
    """Return the state a document left to an account.

    On how many days a market qualified is the market's, whoever looked; who is in is the account's own. A document
    without explanations (before them) knows its members only.
    """
    if doc is None:
        return NOTHING_BEFORE
    if doc.account != account:
        return State(day=doc.as_of_day, confirmed={e.coin: e.confirmed_days for e in doc.explanations})
    if not doc.explanations:
        return State(day=doc.as_of_day, since={market.coin: doc.as_of_day for market in doc.markets})
    return State(
        day=doc.as_of_day,
        confirmed={e.coin: e.confirmed_days for e in doc.explanations},
        since={e.coin: e.member_since for e in doc.explanations if e.member_since is not None},
    )


def build_document(
    identity: Identity,
    *,
    standings: Sequence[Standing],
    candidates: Sequence[Candidate],
    allotments: Mapping[str, Allotment],
    settings: Mapping[str, HotSettings],
    score_bps: Mapping[str, float],
    blacklist: Mapping[str, Blacklisting],
    previous: RotationDoc | None,
) -> RotationDoc:
    """Return the first revision of a day's document.

    Args:
        identity: Whom it is for.
        standings: One a market (see `standing.decide`).
        candidates: What they were decided on.
        allotments: Of members and of markets proposed.
        settings: Of the same.
        score_bps: Lower bound of a fill, of the same.
        blacklist: In force.
        previous: Document of the day before, as it stood last.
    """
    figures = {c.coin: c for c in candidates}
    told = [_unallotted(s, allotments) for s in standings]
    ranked = sorted(
        (s for s in told if s.decision in {"kept", "added", "proposed"}),
        key=lambda s: (s.decision == "proposed", -(figures[s.coin].score_usd or 0.0), s.coin),
    )
    entries = {
        s.coin: _market(s, rank, allotments[s.coin], settings[s.coin], score_bps[s.coin])
        for rank, s in enumerate(ranked, start=1)
    }
    markets = tuple(entries[s.coin] for s in ranked if s.decision != "proposed")
    created_ts_ns = day_begin_ns(identity.day) + NS_PER_DAY
    return RotationDoc(
        version=version_of(identity.day, 0),
        venue=identity.venue,
        account=identity.account,
        as_of_day=identity.day,
        created_ts_ns=created_ts_ns,
        expires_ts_ns=created_ts_ns + identity.expiry_hours * 3_600 * NS_PER_S,
        code_version=identity.code_version,
        config_hash=identity.config_hash,
        markets=markets,
        excluded=_excluded(told, {m.coin for m in markets}, blacklist),
        proposed=tuple(
            RotationProposal(market=entries[s.coin], replaces=s.replaces) for s in ranked if s.decision == "proposed"
        ),
        explanations=tuple(_explanation(s, figures.get(s.coin)) for s in told),
        stands_down=not markets and previous is not None and (bool(previous.markets) or previous.stands_down),
    )


def revised(doc: RotationDoc, stored: RotationDoc | None) -> RotationDoc:
    """Return `doc` with its version: the stored one's for equal content, else the next revision of its day."""
    if stored is None:
        return msgspec.structs.replace(doc, version=version_of(doc.as_of_day, 0))
    same = msgspec.structs.replace(doc, version=stored.version)
    if same == stored:
        return stored
    return msgspec.structs.replace(doc, version=version_of(doc.as_of_day, stored.version % REVISION_COUNT + 1))


def approved(doc: RotationDoc, coins: Iterable[str], *, operator: str, reason: str) -> RotationDoc:
    """Return `doc` with proposed markets let in; what they replace leaves. Versions are `revised`'s affair.

    Raises:
        RotationRefused: If one of `coins` is not proposed, or none is named.
    """
    wanted = sorted(set(coins))
    proposals = {p.market.coin: p for p in doc.proposed}
    if not wanted or (strange := [coin for coin in wanted if coin not in proposals]):
        found = ", ".join(strange) if wanted else "none"
        raise RotationRefused(f"expected markets proposed ({', '.join(proposals) or 'none are'}), found {found}")
    leaving = {proposals[coin].replaces: coin for coin in wanted if proposals[coin].replaces}
    score = {e.coin: e.score_usd or Decimal(0) for e in doc.explanations}
    inside = [m for m in doc.markets if m.coin not in leaving] + [proposals[coin].market for coin in wanted]
    inside.sort(key=lambda m: (-score[m.coin], m.coin))
    explanations = tuple(_approved_explanation(doc, e, wanted, leaving) for e in doc.explanations)
    told = {e.coin: e.reason for e in explanations}
    left = [x for x in doc.excluded if x.coin not in wanted]
    left += [RotationExclusion(coin=coin, reason=told[coin], is_blacklisted=False) for coin in leaving
             if coin not in {x.coin for x in left}]  # fmt: skip
    return msgspec.structs.replace(
        doc,
        markets=tuple(msgspec.structs.replace(m, rank=rank) for rank, m in enumerate(inside, start=1)),
        proposed=tuple(p for p in doc.proposed if p.market.coin not in wanted),
        excluded=tuple(sorted(left, key=lambda x: x.coin)),
        explanations=explanations,
        stands_down=False,
        note=_noted(doc.note, f"{', '.join(wanted)} approved by {operator}: {reason}"),
    )


def rolled_back(newest: RotationDoc, old: RotationDoc, *, operator: str, reason: str) -> RotationDoc:
    """Return the content of `old` under the date and expiry of `newest`. Versions are `revised`'s affair.

    Raises:
        RotationRefused: If `old` is not older, is of another account, or allows what is blacklisted by now.
    """
    if old.version >= newest.version:
        raise RotationRefused(f"expected a version before {newest.version}, found {old.version}")
    if (old.venue, old.account) != (newest.venue, newest.account):
        raise RotationRefused(f"expected account {newest.account} on {newest.venue}, found {old.account}, {old.venue}")
    listed = {x.coin: x.reason for x in newest.excluded if x.is_blacklisted}
    back = [*old.markets, *(p.market for p in old.proposed)]
    if barred := [f"{m.coin} ({listed[m.coin]})" for m in back if m.coin in listed]:
        raise RotationRefused(f"version {old.version} allows what is blacklisted by now: {', '.join(barred)}")
    return msgspec.structs.replace(
        old,
        as_of_day=newest.as_of_day,
        created_ts_ns=newest.created_ts_ns,
        expires_ts_ns=newest.expires_ts_ns,
        stands_down=not old.markets,
        note=_noted("", f"content of version {old.version}, rolled back by {operator}: {reason}"),
    )


def _noted(before: str, text: str) -> str:
    return "; ".join(part for part in (before, text) if part)[-_TEXT_MAX:]


def _unallotted(standing: Standing, allotments: Mapping[str, Allotment]) -> Standing:
    """Return the standing, with "unallotted" or "waiting" where the notional is too small to trade."""
    if standing.decision not in {"kept", "added", "proposed"} or allotments[standing.coin].usd > 0:
        return standing
    decision: Decision = "waiting" if standing.decision == "proposed" else "unallotted"
    reason = f"no notional: {allotments[standing.coin].reason}; {standing.reason}"
    return Standing(
        coin=standing.coin, decision=decision, reason=reason, confirmed_days=standing.confirmed_days,
        member_since=standing.member_since, against=standing.against, against_score_usd=standing.against_score_usd,
    )  # fmt: skip


def _market(standing: Standing, rank: int, allotment: Allotment, hot: HotSettings, score_bps: float) -> RotationMarket:
    notes = [standing.reason, f"notional by {allotment.reason}", hot.note]
    return RotationMarket(
        coin=standing.coin,
        ntl_max=allotment.usd,
        rank=rank,
        score_bps=quantize_bps(Decimal(repr(score_bps))),
        reason="; ".join(note for note in notes if note)[:_TEXT_MAX],
        threshold_bps=hot.threshold_bps,
        is_oracle_led_only=hot.is_oracle_led_only,
        hold_ms_max=hot.hold_ms_max,
    )


def _excluded(
    standings: Sequence[Standing], inside: set[str], blacklist: Mapping[str, Blacklisting]
) -> tuple[RotationExclusion, ...]:
    reasons = {s.coin: s.reason for s in standings if s.coin not in inside}
    return tuple(
        RotationExclusion(
            coin=coin, reason=reason[:_TEXT_MAX], is_blacklisted=coin in blacklist,
            blacklisted_until=blacklist[coin].until if coin in blacklist else None,
        )
        for coin, reason in sorted(reasons.items())
    )  # fmt: skip


def _usd(value: float | None) -> Decimal | None:
    return None if value is None else quantize_ntl(Decimal(repr(value)))


def _explanation(standing: Standing, candidate: Candidate | None) -> RotationExplanation:
    return RotationExplanation(
        coin=standing.coin,
        decision=standing.decision,
        reason=standing.reason[:_TEXT_MAX],
        confirmed_days=standing.confirmed_days,
        member_since=standing.member_since,
        mean_usd=_usd(candidate.mean_usd) if candidate else None,
        se_usd=_usd(candidate.se_usd) if candidate else None,
        score_usd=_usd(candidate.score_usd) if candidate else None,
        against=standing.against,
        against_score_usd=_usd(standing.against_score_usd),
    )


def _approved_explanation(
    doc: RotationDoc, told: RotationExplanation, wanted: Sequence[str], leaving: Mapping[str, str]
) -> RotationExplanation:
    if told.coin in wanted:
        return msgspec.structs.replace(
            told, decision="added", member_since=doc.as_of_day, reason=f"added by approval; {told.reason}"[:_TEXT_MAX]
        )
    if told.coin in leaving:
        winner = leaving[told.coin]
        reason = f"replaced by {winner}, which was approved; {told.reason}"[:_TEXT_MAX]
        return msgspec.structs.replace(told, decision="replaced", member_since=None, reason=reason, against=winner)
    return told
