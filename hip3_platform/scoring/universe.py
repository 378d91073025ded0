"""The evidence path on one universe, blind: tables in, decisions out. No truth is known here but what the task brings.

Rule 1: a market-day goes through the path's own code: rows → `MarketDay` → hour sums, basis, shrinkage; the markets of
a window → verdicts and approvals. Nothing here decides anything.
Rule 2: the boundary is decided on the same sums, less a constant a fill for each market, at which its best true edge
is 0; the constant is all of the truth that comes in, and only there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import msgspec
import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.approval import Approval, MarketEvidence, approve_markets
from hip3_platform.analytics.evidence.basis import GAP_SCHEMA, SCHEMA, basis_of, gaps_of
from hip3_platform.analytics.evidence.columns import Feed, Specs, head_of, market_day, tail_of
from hip3_platform.analytics.evidence.family import LATENCIES_MS, POLICIES, HourSums, Policy
from hip3_platform.analytics.evidence.sessions import in_tradable_hours
from hip3_platform.analytics.evidence.shrinkage import (
    ShrinkageSums,
    ShrinkageVerdict,
    shrinkage_sums,
    shrinkage_verdict,
)
from hip3_platform.analytics.evidence.sums import day_sums
from hip3_platform.analytics.evidence.verdict import ALL_SESSIONS, Verdict, VerdictRule, deciding, verdicts_of
from hip3_platform.analytics.evidence.walk_forward import choices, walk
from hip3_platform.scoring.days import UniverseTables
from hip3_platform.scoring.plans import Draw, coins_of
from streaming.sim.markets.truth import Hours

VENUE = "sim"
LATENCY_MS = 200
"""Assumed by the path; the venue's own taker delay."""
APPROVED = ("latency_fragile", "approved_micro", "approved_trade")
PREDECESSOR_DAYS = 2
"""Of its own analysis."""


class UniverseTask(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Make one universe's tables and decide on them."""

    draw: Draw
    shifts_bps: dict[str, float | None]
    """Market → what its best true edge is; for the boundary. None: not known."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What the predecessor's method says of a market."""

    is_tradeable: bool
    raw_threshold_bps: int | None
    claimed_bps: float | None

    @classmethod
    def of(cls, verdict: ShrinkageVerdict) -> "Claim":
        """Return what of a verdict can be right or wrong."""
        return cls(
            is_tradeable=verdict.is_tradeable,
            raw_threshold_bps=verdict.raw_threshold_bps,
            claimed_bps=verdict.claimed_bps,
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one market, and what was claimed."""

    coin: str
    state: str
    """Of an approval without probes."""
    verdict: str
    is_proved: bool
    """Whether it would be approved if no verdict could veto it."""
    policy: int | None
    """Final policy, its place in `POLICIES`."""
    theta_bps: float | None
    ci_lower_bps: float | None
    ci_upper_bps: float | None
    se_bps: float | None
    df: float | None
    test_policies: list[int | None]
    """Of each test day."""
    test_fills: list[float]
    """Of each test day."""
    modelled_fill_ratio: float
    """Fills / decisions of the final policy in the window, as tables show them; 0 without decisions."""
    predecessor: Claim
    """From the whole window."""
    predecessor_short: Claim
    """From its last two days."""

    @property
    def is_approved(self) -> bool:
        """Whether it may trade at all, on micro terms at least."""
        return self.state in APPROVED

    @property
    def final(self) -> Policy | None:
        """Final policy."""
        return None if self.policy is None else POLICIES[self.policy]

    @property
    def stream_policies(self) -> list[Policy | None]:
        """Policy of each test day."""
        return [None if at is None else POLICIES[at] for at in self.test_policies]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one universe."""

    name: str
    """Of the universe; its probes' random numbers follow from it."""
    row_count: int
    """Rows of bbo and ctx."""
    day_count: int
    """Market-days with rows."""
    outcomes: list[Outcome]
    boundary: list[str]
    """Markets approved where every best edge is 0."""


@dataclass(frozen=True, slots=True)
class MarketWindow:
    """What the path knows of one market after its window."""

    sums: HourSums
    verdict: str
    shrinkage: tuple[ShrinkageSums, ...]
    row_count: int
    day_count: int


class MarketPath:
    """Takes the days of one market in turn."""

    def __init__(self, coin: str, specs: Specs, hours: Hours) -> None:
        """Begin before the first day; decisions of `hours` count."""
        self._coin = coin
        self._hours: Hours = hours
        self._specs = specs
        self._sums: list[HourSums] = []
        self._shrinkage: list[ShrinkageSums] = []
        self._basis = [pl.DataFrame(schema=SCHEMA)]
        self._gaps = [pl.DataFrame(schema=GAP_SCHEMA)]
        self._row_count = 0
        self._day_count = 0

    def add(self, day: str, feed: Feed | None, before: Feed | None, after: Feed | None) -> None:
        """Take the rows of a day, with the end of the day before and the beginning of the next; None is no rows."""
        if feed is None:
            self._sums.append(HourSums.empty((day,)))
            return
        self._row_count += feed.bbo.num_rows + feed.ctx.num_rows
        self._day_count += 1
        columns = market_day(
            venue=VENUE, day=day, coin=self._coin, feed=feed, specs=self._specs, before=before, after=after
        )  # fmt: skip
        self._sums.append(day_sums(columns).hours)
        self._shrinkage.append(shrinkage_sums(columns))
        self._basis.append(basis_of(columns))
        self._gaps.append(gaps_of(columns))

    def end(self) -> MarketWindow:
        """Return what the days amount to."""
        rows = verdicts_of(pl.concat(self._basis), pl.concat(self._gaps), (self._coin,), VerdictRule())
        sums, said = HourSums.joined(tuple(self._sums)), rows.filter(pl.col("session") == ALL_SESSIONS)
        if self._hours == "tradable":
            sums, said = in_tradable_hours(sums, self._coin), rows
        return MarketWindow(
            sums=sums,
            verdict=deciding(said)[self._coin],
            shrinkage=tuple(self._shrinkage),
            row_count=self._row_count,
            day_count=self._day_count,
        )


def work_universe(task: UniverseTask, on_day: Callable[[], None]) -> Found:
    """Draw a universe and decide on it; `on_day` is told of every market-day."""
    tables = UniverseTables(task.draw)
    days = task.draw.plan.days
    windows = {}
    for coin in coins_of(task.draw.plan):
        path = MarketPath(coin, tables.specs, "tradable")
        for day, before, feed, after in neighboured(days, tables.feeds(coin)):
            path.add(day, feed, before, after)
            on_day()
        windows[coin] = path.end()
    return found_of(windows, task.shifts_bps, task.draw.name)


def neighboured(
    days: tuple[str, ...], feeds: Iterable[Feed | None]
) -> Iterator[tuple[str, Feed | None, Feed | None, Feed | None]]:
    """Yield every day with the end of the day before, its own rows, and the beginning of the next."""
    before: Feed | None = None
    now: Feed | None = None
    for at, feed in enumerate(feeds):
        if at:
            yield days[at - 1], before, now, None if feed is None else head_of(feed, days[at])
            before = None if now is None else tail_of(now, days[at - 1])
        now = feed
    yield days[-1], before, now, None


def found_of(windows: Mapping[str, MarketWindow], shifts_bps: Mapping[str, float | None], name: str) -> Found:
    """Decide on a universe, and once more where every best edge is 0."""
    rows = _approvals(windows, {coin: window.sums for coin, window in windows.items()})
    proved = _approvals(
        {coin: replace(window, verdict="stale_quote") for coin, window in windows.items()},
        {coin: window.sums for coin, window in windows.items()},
    )
    boundary = _approvals(
        windows, {coin: shifted_sums(window.sums, shifts_bps[coin]) for coin, window in windows.items()}
    )
    is_proved = {row.coin: row.state in APPROVED for row in proved}
    return Found(
        name=name,
        row_count=sum(window.row_count for window in windows.values()),
        day_count=sum(window.day_count for window in windows.values()),
        outcomes=[_outcome(row, windows[row.coin], is_proved=is_proved[row.coin]) for row in rows],
        boundary=[row.coin for row in boundary if row.state in APPROVED],
    )


def _approvals(windows: Mapping[str, MarketWindow], sums: Mapping[str, HourSums]) -> tuple[Approval, ...]:
    evidence = {
        coin: MarketEvidence(sums=sums[coin], verdict=cast(Verdict, window.verdict)) for coin, window in windows.items()
    }
    return approve_markets(evidence, latency_ms=LATENCY_MS)


def shifted_sums(sums: HourSums, shift_bps: float | None) -> HourSums:
    """Return sums of the same fills, each of which earned `shift_bps` less; of no fills if that is not known."""
    if shift_bps is None:
        return HourSums.empty(sums.days)
    fills = sums.fills[..., None].astype(np.float64)
    return replace(
        sums,
        net_bps=sums.net_bps - shift_bps * fills,
        net_bps2=sums.net_bps2 - 2.0 * shift_bps * sums.net_bps + shift_bps**2 * fills,
    )


def _outcome(row: Approval, window: MarketWindow, *, is_proved: bool) -> Outcome:
    sums = window.sums
    found = walk(sums, choices(sums, LATENCY_MS), LATENCY_MS)
    return Outcome(
        coin=row.coin,
        state=row.state,
        verdict=window.verdict,
        is_proved=is_proved,
        policy=None if row.policy is None else POLICIES.index(row.policy),
        theta_bps=row.test.theta_bps,
        ci_lower_bps=row.test.ci_lower_bps,
        ci_upper_bps=row.test.ci_upper_bps,
        se_bps=row.test.se_bps,
        df=row.test.df,
        test_policies=[None if policy is None else POLICIES.index(policy) for policy in found.test_policies],
        test_fills=found.test_fills.tolist(),
        modelled_fill_ratio=_fill_ratio(sums, row.policy),
        predecessor=Claim.of(shrinkage_verdict(window.shrinkage)),
        predecessor_short=Claim.of(shrinkage_verdict(window.shrinkage[-PREDECESSOR_DAYS:])),
    )


def _fill_ratio(sums: HourSums, policy: Policy | None) -> float:
    if policy is None:
        return 0.0
    t, o, _ = policy.place
    decisions = int(sums.decisions[:, :, t, o].sum())
    return float(sums.fills[:, :, t, o, LATENCIES_MS.index(LATENCY_MS)].sum()) / decisions if decisions else 0.0
