"""From the evidence in force to a rotation document: incidents of a day, dollars of the window, ranking, rotation.

Rule 1: only what was landed and derived is read: the phase in force is the newest that a session recorded by the end of
the day; a venue on which no session ever ran is in `observe`.
Rule 2: a market is scored by its final policy at the assumed latency, on every day it was watched: also on days of a
window in which it was not proved yet.
Rule 3: funding is left out of the score: a position of seconds pays it once in some hundred round trips, a hundredth of
a basis point. What was really paid is in gold/daily_execution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.evidence.fill_rows import SCHEMA as FILL_SCHEMA
from hip3_platform.analytics.evidence.sessions import tradable_rows
from hip3_platform.analytics.evidence.tables import APPROVALS, POLICY_FILLS, STANDINGS
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.gold import (
    DAILY_METRICS,
    INCIDENTS,
    MARKET_RANKING,
    Written,
    days_made_of,
    judged_days,
    made_of,
    window_days,
)
from hip3_platform.analytics.gold_evidence import read_window, watched_markets
from hip3_platform.analytics.rotating import blacklist
from hip3_platform.analytics.rotating.allocation import AllocationRule
from hip3_platform.analytics.rotating.archive import document_before, rotation_lock, settle
from hip3_platform.analytics.rotating.blacklist import BlacklistRule, blacklist_of, incidents_of
from hip3_platform.analytics.rotating.capacity import FILLS, SIZES, CapacityRule, daily_usd, fill_sizes
from hip3_platform.analytics.rotating.document import Identity
from hip3_platform.analytics.rotating.rotate import Evidence, Rules, rotate
from hip3_platform.analytics.rotating.score import ScoreRule, score_markets
from hip3_platform.analytics.rotating.settings import Own, correlation_groups_of, own_of
from hip3_platform.analytics.rotating.standing import StandingRule
from hip3_platform.analytics.store import write_frame, write_json
from streaming.contracts.paths import bronze_path, gold_path
from streaming.contracts.rotation import RotationDoc
from streaming.core.events import Phase


@dataclass(frozen=True, slots=True)
class RankingRules:
    """How large a fill may be, and how dollars become a score."""

    capacity: CapacityRule
    score: ScoreRule


@dataclass(frozen=True, slots=True)
class RotationRules:
    """Everything an operator may choose about a rotation."""

    account: str
    expiry_hours: int
    standing: StandingRule
    allocation: AllocationRule
    blacklist: BlacklistRule
    capacity: CapacityRule


def write_incidents(root: Path, venue: str, day: str, rule: BlacklistRule) -> Written:
    """Collect what happened to markets on a day that keeps them out for a while; write gold/incidents."""

    def rows(table: str, schema: dict[str, Any]) -> pl.DataFrame:
        coins = markets_of(root, venue, day, (table,))
        parts = [read_market(root, table, venue, day, coin, tuple(schema)) for coin in coins]
        exact = [pl.col(name).cast(kind) for name, kind in schema.items()]
        return pl.concat([pl.DataFrame(schema=schema), *(part.select(exact) for part in parts)])

    frame = incidents_of(
        day,
        events=rows("events", blacklist.EVENTS),
        specs=rows("specs", blacklist.SPECS),
        round_trips=rows("round_trips", blacklist.TRIPS),
        metrics=read_window(root, DAILY_METRICS, venue, (day,), list(blacklist.METRICS)),
        rule=rule,
    )
    path = gold_path(root, table=INCIDENTS, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame, made_of(root, venue, day)))


def write_ranking(root: Path, venue: str, day: str, rules: RankingRules) -> Written:
    """Score every market by the lower bound of its dollars a day; write gold/market_ranking (Parquet and JSON)."""
    days = window_days(day, rules.score.window_days)
    watched = read_window(root, DAILY_METRICS, venue, days, ["day", "coin"])
    fills = policy_fills(root, venue, day, days)
    frame = score_markets(
        daily_usd(fills, watched, rules.capacity),
        watched_markets(root, venue, days),
        venue=venue,
        day=day,
        rule=rules.score,
    )
    path = gold_path(root, table=MARKET_RANKING, venue=venue, day=day)
    document = {"venue": venue, "day": day, "inputs": judged_days(root, venue, days), "markets": frame.to_dicts()}
    write_json(path.with_suffix(".json"), document)
    return Written(frame, path, write_frame(path, frame, days_made_of(root, POLICY_FILLS, venue, days)))


def policy_fills(root: Path, venue: str, day: str, days: Sequence[str]) -> pl.DataFrame:
    """Return the modelled fills of every market's final policy of `day` (columns of `capacity.FILLS`) over `days`.

    Those of tradable hours: a dollar of another hour is nobody's.
    """
    keys = ("coin", "threshold_bps", "origin", "horizon_s", "latency_ms")
    chosen = read_window(root, APPROVALS, venue, (day,), list(keys)).filter(pl.col("threshold_bps").is_not_null())
    paths = [gold_path(root, table=POLICY_FILLS, venue=venue, day=each) for each in days]
    scans = [pl.scan_parquet(path) for path in paths if path.is_file()]
    rows = pl.concat([pl.LazyFrame(schema=FILL_SCHEMA), *scans])
    kinds = {name: FILL_SCHEMA[name] for name in ("threshold_bps", "horizon_s", "latency_ms")}
    typed = chosen.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())
    matched = rows.join(typed.lazy(), on=["coin", *kinds], how="inner", maintain_order="left")
    of_policy = matched.filter(pl.col("is_oracle_led") | (pl.col("origin") == "any"))
    taken = tradable_rows(of_policy, chosen["coin"], days)
    return taken.with_columns(funding_bps=pl.lit(0.0)).select(list(FILLS)).collect()


def write_rotation(root: Path, venue: str, day: str, rules: RotationRules) -> tuple[RotationDoc, Path]:
    """Build the rotation of `day` and store it; the same content is the same bytes and version."""
    window = window_days(day, rules.blacklist.window_days)
    config = _newest_config(root, venue, day)
    groups = correlation_groups_of(config["config_json"]) if config else {}
    scored = read_window(root, MARKET_RANKING, venue, (day,))
    evidence = Evidence(
        scores=scored,
        approvals=_in_force(root, venue, day),
        sizes=_sizes(root, venue, day, rules.capacity),
        blacklist=blacklist_of(read_window(root, INCIDENTS, venue, window), day, rules.blacklist),
        own=_own(root, venue, day, config, tuple(scored["coin"])),
        phase=phase_in_force(root, venue, day),
        correlation_groups=groups,
    )
    identity = Identity(
        venue=venue,
        account=rules.account,
        day=day,
        code_version=version("hip3"),
        config_hash=config["config_hash"] if config else "",
        expiry_hours=rules.expiry_hours,
    )
    with rotation_lock(root):
        before = document_before(root, venue, day)
        doc = rotate(identity, evidence, Rules(rules.standing, rules.allocation), before)
        return settle(root, doc)


def _in_force(root: Path, venue: str, day: str) -> pl.DataFrame:
    """Approvals with the state that is in force after the look of the day, and the words of re-approval."""
    standings = read_window(root, STANDINGS, venue, (day,), ["coin", "state", "reason"])
    columns = ["coin", "test_theta_bps", "test_se_bps", "test_fills", "threshold_bps", "origin", "horizon_s"]
    figures = read_window(root, APPROVALS, venue, (day,), columns)
    renamed = figures.rename({"test_theta_bps": "theta_bps", "test_se_bps": "se_bps"})
    return renamed.join(standings, on="coin", how="inner", validate="1:1").sort("coin")


def _sizes(root: Path, venue: str, day: str, rule: CapacityRule) -> pl.DataFrame:
    fills = policy_fills(root, venue, day, window_days(day, ScoreRule().window_days))
    return fill_sizes(fills, rule) if fills.height else pl.DataFrame(schema=SIZES)


def _newest_row(root: Path, venue: str, day: str, table: str, coin: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the newest row of a table by the end of `day` of any day that has one; empty without any."""
    folder = bronze_path(root, table=table, venue=venue, day=day, coin=coin).parent.parent
    found = sorted(path.parent.name.removeprefix("day=") for path in folder.glob(f"day=*/{coin}.parquet"))
    for each in reversed([name for name in found if name <= day]):
        rows = read_market(root, table, venue, each, coin, ("ts_ns", *columns)).sort("ts_ns")
        if rows.height:
            return rows.row(-1, named=True)
    return {}


def _newest_config(root: Path, venue: str, day: str) -> dict[str, Any]:
    """Return config_json and config_hash of the newest session."""
    return _newest_row(root, venue, day, "configs", NO_MARKET, ("config_json", "config_hash"))


def _own(root: Path, venue: str, day: str, config: dict[str, Any], coins: Iterable[str]) -> dict[str, Own]:
    if not config:
        return {}
    found = {}
    for coin in coins:
        spec = _newest_row(root, venue, day, "specs", coin, ("taker_fee_bps",))
        found[coin] = own_of(config["config_json"], spec.get("taker_fee_bps"))
    return found


def phase_in_force(root: Path, venue: str, day: str) -> str:
    """Return the phase the newest session recorded by the end of `day`; `observe` where none ever did."""
    folder = bronze_path(root, table="events", venue=venue, day=day, coin=NO_MARKET).parent.parent
    for path in sorted(folder.glob(f"day=*/{NO_MARKET}.parquet"), reverse=True):
        each = path.parent.name.removeprefix("day=")
        if each > day:
            continue
        rows = read_market(root, "events", venue, each, NO_MARKET, ("ts_ns", "kind", "state"))
        phases = rows.filter(pl.col("kind") == "phase_changed").sort("ts_ns")
        if phases.height:
            return str(phases["state"][-1])
    return Phase.OBSERVE.value


def rotation_rows(doc: RotationDoc) -> list[dict[str, Any]]:
    """Return what the document says of every market, as rows for people: members first, by rank."""
    members = {market.coin: market for market in doc.markets}
    rows = [
        {
            "market": told.coin,
            "decision": told.decision,
            "ntl_max": float(members[told.coin].ntl_max) if told.coin in members else 0.0,
            "score_usd": None if told.score_usd is None else float(told.score_usd),
            "against": told.against,
            "why": told.reason,
        }
        for told in doc.explanations
    ]
    ranks = {market.coin: market.rank for market in doc.markets}
    return sorted(rows, key=lambda row: (ranks.get(row["market"], len(rows) + 1), row["market"]))
