"""Ranking → `RotationDoc`: at most N markets with a positive lower bound, and the reason for every other one.

Rule 1: the document is a pure function of the ranking, the policy and the document stored for that day. A re-run with
equal content keeps its version, so it has equal bytes; other content gets the next revision (I-31: forward only).
Rule 2: version = YYYYMMDD x 100 + revision. A later day's document is always newer.
Rule 3: a day on which no market qualifies gives a document without markets. The sidecar refuses it (it allows nothing),
and the check shows that in red; the rotation in force goes on to its expiry.
Rule 4: an unranked market never enters; a blacklisted one neither, however good it looks.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from streaming.contracts.paths import day_begin_ns
from streaming.contracts.rotation import RotationDoc, RotationExclusion, RotationMarket
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY, NS_PER_S, quantize_bps

REVISION_COUNT = 100


@dataclass(frozen=True, slots=True)
class RotationRule:
    """How many markets, how much in each, for how long, and which never."""

    market_count_max: int = 5
    ntl_max: Decimal = Decimal(100)
    expiry_hours: int = 72
    blacklist: tuple[str, ...] = ()
    account: str = "paper"


def version_of(day: str, revision: int) -> int:
    """Return the version of a day's document; raises StoreError once a day's revisions are used up."""
    if revision >= REVISION_COUNT:
        raise StoreError(f"the rotation of {day} was revised {REVISION_COUNT} times; look why before going on")
    return int(day.replace("-", "")) * REVISION_COUNT + revision


def _bps(value: float) -> Decimal:
    return quantize_bps(Decimal(repr(value)))


def _why_not(row: dict[str, Any], rule: RotationRule, taken_count: int) -> str | None:
    """Return why a market stays out, None if it goes in."""
    if row["coin"] in rule.blacklist:
        return "blacklisted"
    if row["state"] != "ranked":
        return f"unranked: {row['reason']}"
    if row["score_bps"] <= 0:
        return f"lower bound {row['score_bps']:+.2f} bps is not positive ({row['reason']})"
    if taken_count >= rule.market_count_max:
        return f"{row['reason']}, but only the best {rule.market_count_max} are kept"
    return None


def choose_markets(
    ranking: list[dict[str, Any]], rule: RotationRule
) -> tuple[tuple[RotationMarket, ...], tuple[RotationExclusion, ...]]:
    """Split ranked rows (see `ranking.rank_markets`) into markets that are kept and markets that are not, with why."""
    kept: list[RotationMarket] = []
    left: list[RotationExclusion] = []
    for row in ranking:
        reason = _why_not(row, rule, len(kept))
        if reason is None:
            market = RotationMarket(
                coin=row["coin"], ntl_max=rule.ntl_max, rank=len(kept) + 1, score_bps=_bps(row["score_bps"]),
                reason=row["reason"],
            )  # fmt: skip
            kept.append(market)
        else:
            left.append(
                RotationExclusion(coin=row["coin"], reason=reason, is_blacklisted=row["coin"] in rule.blacklist)
            )
    return tuple(kept), tuple(sorted(left, key=lambda exclusion: exclusion.coin))


def build_rotation(
    *,
    ranking: list[dict[str, Any]],
    rule: RotationRule,
    venue: str,
    day: str,
    code_version: str,
    config_hash: str,
    stored: RotationDoc | None,
) -> RotationDoc:
    """Return the document of `day`; the stored one itself if its content is the same.

    It is dated to the end of its as-of day (no clock is read) and expires `expiry_hours` after that.
    """
    markets, excluded = choose_markets(ranking, rule)
    created_ts_ns = day_begin_ns(day) + NS_PER_DAY
    doc = RotationDoc(
        version=stored.version if stored else version_of(day, 0),
        venue=venue,
        account=rule.account,
        as_of_day=day,
        created_ts_ns=created_ts_ns,
        expires_ts_ns=created_ts_ns + rule.expiry_hours * 3_600 * NS_PER_S,
        code_version=code_version,
        config_hash=config_hash,
        markets=markets,
        excluded=excluded,
    )
    if stored is None or doc == stored:
        return doc
    return msgspec.structs.replace(doc, version=version_of(day, stored.version % REVISION_COUNT + 1))
