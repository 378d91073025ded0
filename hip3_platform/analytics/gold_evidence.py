"""The derived files of the evidence: what a day offered, what explains a market, and which markets may trade.

Rule 1: a day is judged on its own rows and the last state of the day before; markouts that end after midnight are void.
So what is written depends on those two landings only, whenever it is written (F-97).
Rule 2: a window is calendar days: one without data counts as a day on which nothing was decided.
Rule 3: every market watched in the window is in every table of the window, with or without decisions.
Rule 4: what is decided counts tradable hours only (`evidence/sessions.py`); the tables of a day have all hours.
Rule 5: re-approval reads the standings of the newest day before, so days are judged in order.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.evidence import basis, episode_rows, fill_rows, sums, verdict
from hip3_platform.analytics.evidence.approval import MarketEvidence, approvals_frame, approve_markets, refused
from hip3_platform.analytics.evidence.columns import MarketDay
from hip3_platform.analytics.evidence.episodes import decisions_of, events_of
from hip3_platform.analytics.evidence.latency import Latency, measured_latency
from hip3_platform.analytics.evidence.markouts import markouts_of
from hip3_platform.analytics.evidence.monitor import Standing, reapprove
from hip3_platform.analytics.evidence.probe_pairs import probes_of
from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.analytics.evidence.sessions import in_tradable_hours
from hip3_platform.analytics.evidence.tables import (
    APPROVALS,
    BASIS,
    BASIS_GAPS,
    EVIDENCE_EPISODES,
    POLICY_FILLS,
    POLICY_HOURS,
    STANDINGS,
    VERDICTS,
    WINDOW_DAYS,
)
from hip3_platform.analytics.evidence.verdict import VerdictRule, deciding, verdicts_of
from hip3_platform.analytics.evidence.walk_forward import OriginFamily
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.gold import DAILY_METRICS, Written, days_made_of, made_of, window_days
from hip3_platform.analytics.markets import over_markets
from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import gold_path

DAY_SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    POLICY_HOURS: (sums.SCHEMA, sums.ABOUT),
    POLICY_FILLS: (fill_rows.SCHEMA, fill_rows.ABOUT),
    EVIDENCE_EPISODES: (episode_rows.SCHEMA | episode_rows.GATES_SCHEMA, episode_rows.ABOUT),
    BASIS: (basis.SCHEMA, basis.ABOUT),
    BASIS_GAPS: (basis.GAP_SCHEMA, basis.GAP_ABOUT),
}
"""What one pass over a day's book and oracle writes: table → columns and what each is."""

STANDINGS_SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "coin": pl.String,
    "day": pl.String,
    "state": pl.String,
    "today": pl.String,
    "since": pl.String,
    "e_value": pl.Float64,
    "net_bps": pl.List(pl.Float64),
    "fills": pl.List(pl.Int64),
    "reason": pl.String,
}
"""Columns of gold/standings, one row a market."""

STANDINGS_ABOUT: dict[str, str] = {
    "venue": "venue of the window",
    "coin": "market",
    "day": "as-of day",
    "state": "level in force after the look of this day",
    "today": "level this look allows by itself; tomorrow's confirms it",
    "since": "first day of an unbroken approval; null when not held",
    "e_value": "evidence against no edge since the market was first seen, valid whenever it is read",
    "net_bps": "sum of results of each day seen, by the policy chosen before it",
    "fills": "fills of each day seen",
    "reason": "why, in words, with figures",
}
"""What each column is, for the UI."""

_SIGNALS = ("signal_id", "side", "seq", "ts_ns", "blocked_by")
_GATES = ("signal_id", "gate", "status")


@dataclass(frozen=True, slots=True)
class EvidenceRule:
    """What the evidence assumes about our orders, and which policies may be chosen."""

    latency_ms: int = 200
    """The least that is assumed from the decision to the match, on the grid; real orders can only raise it."""
    origins: OriginFamily = "both"
    verdict: VerdictRule = field(default_factory=VerdictRule)


def write_day_evidence(root: Path, venue: str, day: str) -> dict[str, Written]:
    """Scan every market's book and oracle of a day once and write the tables of `DAY_TABLES`."""

    def tables_of(coin: str) -> dict[str, pl.DataFrame]:
        return _market_tables(root, read_market_day(root, venue, day, coin))

    parts = over_markets(tables_of, markets_of(root, venue, day, ("bbo", "ctx")))
    written = {}
    for name, (schema, _) in DAY_SCHEMAS.items():
        frame = pl.concat([pl.DataFrame(schema=schema), *(part[name] for part in parts)])
        path = gold_path(root, table=name, venue=venue, day=day)
        written[name] = Written(frame, path, write_frame(path, frame, made_of(root, venue, day)))
    return written


def _market_tables(root: Path, day: MarketDay) -> dict[str, pl.DataFrame]:
    events = events_of(day)
    decisions = decisions_of(day, events=events)
    markouts = markouts_of(day, decisions)
    episodes = episode_rows.episode_rows(day, events=events)
    return {
        POLICY_HOURS: sums.to_frame(sums.sums_of(day, decisions, markouts), day.venue, day.coin),
        POLICY_FILLS: fill_rows.fill_rows(day, decisions, markouts),
        EVIDENCE_EPISODES: episode_rows.with_gates(episodes, *_live_rows(root, day)),
        BASIS: basis.basis_of(day, events),
        BASIS_GAPS: basis.gaps_of(day),
    }


def _live_rows(root: Path, day: MarketDay) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Signals and gates that a live session wrote for the market-day; history without an engine has none."""
    signals = read_market(root, "signals", day.venue, day.day, day.coin, _SIGNALS)
    return signals, read_market(root, "gates", day.venue, day.day, day.coin, _GATES)


def write_verdicts(root: Path, venue: str, day: str, rule: EvidenceRule) -> Written:
    """Judge what explains every market over the window that ends with `day` and write gold/verdicts."""
    days = window_days(day, WINDOW_DAYS)
    judged = verdicts_of(
        read_window(root, BASIS, venue, days),
        read_window(root, BASIS_GAPS, venue, days),
        watched_markets(root, venue, days),
        rule.verdict,
    )
    frame = judged.with_columns(venue=pl.lit(venue), day=pl.lit(day)).select(list(verdict.SCHEMA))
    return _write(root, VERDICTS, venue, day, frame, days_made_of(root, BASIS, venue, days))


@dataclass(frozen=True, slots=True)
class Decided:
    """What a look at a window decided."""

    approvals: Written
    standings: Written
    latency: Latency


def latency_until(root: Path, venue: str, day: str, rule: EvidenceRule) -> Latency:
    """Return the latency that markets are judged at over the window that ends with `day`."""
    return measured_latency(root, venue, window_days(day, WINDOW_DAYS), rule.latency_ms)


def write_approvals(root: Path, venue: str, day: str, rule: EvidenceRule) -> Decided:
    """Decide which markets the window that ends with `day` proves; write gold/approvals and gold/standings."""
    latency = latency_until(root, venue, day, rule)
    markets = _evidence(root, venue, day, latency.ms)
    rows = approve_markets(markets, latency_ms=latency.ms, origins=rule.origins)
    if not latency.is_known:
        rows = refused(rows, latency.text)
    standings = reapprove(_standings_before(root, venue, day), rows, day)
    read = days_made_of(root, POLICY_HOURS, venue, window_days(day, WINDOW_DAYS))
    return Decided(
        approvals=_write(root, APPROVALS, venue, day, approvals_frame(rows, venue, day), read),
        standings=_write(root, STANDINGS, venue, day, standings_frame(standings, venue), read),
        latency=latency,
    )


def _evidence(root: Path, venue: str, day: str, latency_ms: int) -> dict[str, MarketEvidence]:
    days = window_days(day, WINDOW_DAYS)
    by_market = dict(read_window(root, POLICY_HOURS, venue, days).group_by("coin"))
    verdicts = pl.read_parquet(gold_path(root, table=VERDICTS, venue=venue, day=day))
    said = deciding(verdicts)
    nothing = pl.DataFrame(schema=sums.SCHEMA)
    return {
        coin: MarketEvidence(
            sums=in_tradable_hours(sums.from_frame(by_market.get((coin,), nothing), days), coin),
            verdict=said[coin],
            probes=probes_of(root, venue, days, coin, latency_ms),
        )
        for coin in watched_markets(root, venue, days)
    }


def _standings_before(root: Path, venue: str, day: str) -> dict[str, Standing]:
    """Return the standings of the newest day before `day`; none on the first day."""
    folder = gold_path(root, table=STANDINGS, venue=venue, day=day).parent
    days = sorted(path.stem.removeprefix("day=") for path in folder.glob("day=*.parquet")) if folder.is_dir() else []
    earlier = [each for each in days if each < day]
    if not earlier:
        return {}
    frame = pl.read_parquet(gold_path(root, table=STANDINGS, venue=venue, day=earlier[-1]))
    rows = frame.drop("venue").iter_rows(named=True)
    return {
        row["coin"]: Standing(**row | {"net_bps": tuple(row["net_bps"]), "fills": tuple(row["fills"])}) for row in rows
    }


def standings_frame(standings: Iterable[Standing], venue: str) -> pl.DataFrame:
    """Return the standings as one frame with exactly the columns of `STANDINGS_SCHEMA`."""
    return pl.DataFrame([{"venue": venue, **asdict(each)} for each in standings], schema=STANDINGS_SCHEMA, orient="row")


def watched_markets(root: Path, venue: str, days: Iterable[str]) -> tuple[str, ...]:
    """Return every market that was seen on any of `days`, sorted."""
    return tuple(sorted(set(read_window(root, DAILY_METRICS, venue, days, ["coin"])["coin"])))


def read_window(
    root: Path, table: str, venue: str, days: Iterable[str], columns: list[str] | None = None
) -> pl.DataFrame:
    """Return the rows of a derived table of those of `days` that have it; ValueError if none of them has."""
    paths = [gold_path(root, table=table, venue=venue, day=day) for day in days]
    found = [pl.read_parquet(path, columns=columns) for path in paths if path.is_file()]
    if not found:
        raise ValueError(f"expected gold/{table} of venue {venue} in the window, found none; materialize it first")
    return pl.concat(found)


def _write(root: Path, table: str, venue: str, day: str, frame: pl.DataFrame, read: dict[str, str]) -> Written:
    path = gold_path(root, table=table, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame, read))
