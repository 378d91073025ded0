"""Simulated days behind the truth of one market.

Rule: a day is its own draw of all noise under the run's plan; what follows from (job, coin, day) needs nothing else.
"""

import hashlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache, partial

import msgspec
import numpy as np

from streaming.core.fees import taker_fee_bps
from streaming.core.underlyings import is_known_closed
from streaming.sim.markets.changes import ChangeKind
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.markets.noise import Ints, key_of, lattice
from streaming.sim.markets.regimes import Regime
from streaming.sim.markets.scan import SPACING_MS, Columns, Decisions, Flags, Sums, Terms, scan, sums_of
from streaming.sim.markets.truth import ORDER_USD, Change, Hours, MarketTruth, RegimeTruth, Tally
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Market

USER_CROSS_RATE = Decimal("0.00045")
"""Taker rate of an account without volume (fees page, tier 0)."""
DAY_HOURS = 24
_EPOCH = date(1970, 1, 1)
_PROBE_HOUR = 14


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated."""

    scenario: str
    """Name or path, as for `--scenario`."""
    seed: int
    first_day: str
    window_days: int
    days: int
    coins: tuple[str, ...] = ()
    """Empty: all markets of builder dexes."""
    hours: Hours = "all"


OnDay = Callable[[str], None]
"""Told the market of which another day is done."""


def fee_bps(market: Market) -> float:
    """Return the taker fee of one side in bps."""
    return float(
        taker_fee_bps(
            user_cross_rate=USER_CROSS_RATE,
            deployer_fee_scale=market.fee_scale,
            is_growth_mode=market.is_growth_mode,
        )
    )


def terms_of(generator: Generator, coin: str, begin_ms: int, end_ms: int) -> Terms:
    """Return fees, closed times and hidden rules of a market in a span of whole hours."""
    market = generator.scenario.universe.by_coin[coin]
    listed = generator.listed(coin, begin_ms)
    edges = [] if listed.is_open else [begin_ms]
    fees = [(begin_ms, fee_bps(listed.market))]
    for change in generator.changes(coin, begin_ms + 1, end_ms):
        if change.kind in {ChangeKind.GROWTH_MODE, ChangeKind.FEE_SCALE}:
            fees.append((change.ts_ms, fee_bps(generator.listed(coin, change.ts_ms).market)))
        is_closed = not generator.listed(coin, change.ts_ms).is_open
        if is_closed != bool(len(edges) % 2):
            edges.append(change.ts_ms)
    if len(edges) % 2:
        edges.append(end_ms)
    return Terms(
        order_lots_px=ORDER_USD * 10.0 ** (market.px_decimals + market.sz_decimals),
        fee_bps=np.array([fee for _, fee in fees]),
        fee_from_ms=np.array([ts_ms for ts_ms, _ in fees], dtype=np.int64),
        closed_ms=np.array(edges, dtype=np.int64).reshape(-1, 2),
        is_pulled=_Pulled(generator, coin) if generator.scenario.characters[coin].pull_ratio else None,
    )


class _Pulled:
    """Which orders find the touch withdrawn; one draw for an instant and side, as the venue draws for an order id."""

    def __init__(self, generator: Generator, coin: str) -> None:
        self._key = key_of(generator.seed, coin, "pull")
        self._pulls = cache(partial(generator.pulls, coin))

    def __call__(self, ts_ms: Ints, side: Ints) -> Flags:
        pulled = np.zeros(ts_ms.size, dtype=np.bool_)
        chance = 0.5 * (lattice(self._key, 2 * ts_ms + side) + 1.0)
        for hour in np.unique(ts_ms // HOUR_MS).tolist():
            pulls = self._pulls(hour)
            begun = np.searchsorted(np.sort(pulls.begin_ms), ts_ms, side="right")
            ended = np.searchsorted(np.sort(pulls.end_ms), ts_ms, side="right")
            pulled |= (begun > ended) & (ts_ms // HOUR_MS == hour) & (chance < pulls.ratio)
        return pulled


def day_sums(generator: Generator, coin: str, first_hour: int, hours: Hours = "all") -> Sums:
    """Return the sums of one market-day; the last 12 s of the day decide nothing, so that all markouts end in it."""
    begin_ms, end_ms = first_hour * HOUR_MS, (first_hour + DAY_HOURS) * HOUR_MS
    columns = Columns.of([generator.hour(coin, hour) for hour in range(first_hour, first_hour + DAY_HOURS)])
    terms = terms_of(generator, coin, begin_ms, end_ms)
    decisions = scan(columns, terms, begin_ms, end_ms - SPACING_MS)
    return sums_of(decisions if hours == "all" else tradable(decisions, coin))


def tradable(decisions: Decisions, coin: str) -> Decisions:
    """Return the decisions of a market in hours in which its underlying's own market is not known to be closed."""
    hours, places = np.unique(decisions.ts_ms // HOUR_MS, return_inverse=True)
    is_open = np.array([not is_known_closed(coin, hour) for hour in hours.tolist()], dtype=np.bool_)
    return decisions.where(is_open[places])


def market_truth(job: Job, scenario: Scenario, coin: str, on_day: OnDay) -> MarketTruth:
    """Simulate the days of one market."""
    first_hour = hour_of(job.first_day)
    tally = Tally.empty()
    for day in range(job.days):
        generator = Generator(key_of(job.seed, "truth", day), scenario, plan_seed=job.seed)
        tally.add(day_sums(generator, coin, first_hour + day % job.window_days * DAY_HOURS, job.hours))
        on_day(coin)
    begin_ms, end_ms = first_hour * HOUR_MS, (first_hour + job.window_days * DAY_HOURS) * HOUR_MS
    run = Generator(job.seed, scenario)
    market, character = scenario.universe.by_coin[coin], scenario.characters[coin]
    return MarketTruth(
        coin=coin,
        label=character.label,
        character=msgspec.to_builtins(character),
        session=market.session,
        fee_bps=fee_bps(run.listed(coin, begin_ms).market),
        spread_bps=market.spread_bps,
        regimes=[_regime(regime) for regime in run.regimes(coin, begin_ms, end_ms)],
        changes=[
            Change(ts_ms=change.ts_ms, kind=change.kind, value="" if change.value is None else str(change.value))
            for change in run.changes(coin, begin_ms, end_ms)
        ],
        latencies=tally.truths(),
    )


def _regime(regime: Regime) -> RegimeTruth:
    factors = {
        "slow": regime.slow_factor,
        "spread": regime.spread_factor,
        "jump": regime.jump_factor,
        "vol": regime.vol_factor,
    }
    return RegimeTruth(
        begin_ms=regime.begin_ms,
        end_ms=regime.end_ms,
        factors={name: round(factor, 4) for name, factor in factors.items()},
    )


def fingerprint(job: Job, scenario: Scenario) -> str:
    """Return a digest of one hour of every market of the run: equal digests, equal markets."""
    hour = hour_of(job.first_day) + _PROBE_HOUR
    generator = Generator(job.seed, scenario)
    digest = hashlib.blake2b(digest_size=8)
    for coin in coins_of(job, scenario):
        columns = generator.hour(coin, hour)
        for column in (columns.bbo_ts_ms, columns.bid_px, columns.ask_px, columns.ctx_ts_ms, columns.oracle_px):
            digest.update(column.tobytes())
    return digest.hexdigest()


def coins_of(job: Job, scenario: Scenario) -> tuple[str, ...]:
    """Return the markets of a job in the order of the universe."""
    return job.coins or tuple(market.coin for market in scenario.universe.builder_markets)


def hour_of(day: str) -> int:
    """Return the first UTC hour (since 1970) of a day."""
    return (date.fromisoformat(day) - _EPOCH).days * DAY_HOURS
