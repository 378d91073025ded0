"""What the polls of the sidecar's registry find, without asking over HTTP.

Rule 1: the venue's own bodies go through the parsers and the plan of the real client, so a spec of history and a spec
of the live session have the same `spec_version`.
Rule 2: as live, a session watches what trades when it begins; a market that is listed later waits for the next one.
Rule 3: a halted market shows as delisted until it resumes, so gates 5 and 6 see it as the live poller does.
"""

from bisect import bisect_right
from collections.abc import Collection
from functools import lru_cache

import msgspec

from streaming.core.errors import ConfigError
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.registry import Listings, RegistryPlan, Watchlist, plan_registry
from streaming.hyperliquid import info as client
from streaming.hyperliquid.limits import SUBSCRIPTION_COUNT_MAX, USER_COUNT_MAX
from streaming.sim.markets.generator import Generator
from streaming.sim.venue.market import listing as bodies
from streaming.sim.venue.market.world import World


class Polled(msgspec.Struct, frozen=True):
    """Answers of one poll."""

    specs: tuple[MarketSpec, ...]
    statuses: tuple[MarketStatus, ...]


class Polls:
    """Answers of the registry's polls over a span of time."""

    def __init__(self, generator: Generator, begin_ms: int, end_ms: int, coins: Collection[str] = ()) -> None:
        """Watch the builder markets that trade at `begin_ms`, or those of them in `coins`.

        Raises:
            ConfigError: The venue's own listing is refused by our registry.
        """
        self._generator = generator
        self._world = World(generator)
        every = [market.coin for market in generator.scenario.universe.builder_markets]
        self._edges_ms = sorted({c.ts_ms for coin in every for c in generator.changes(coin, begin_ms, end_ms)})
        # Between two changes every poll finds the same.
        self._find = lru_cache(maxsize=None)(self._read)
        self._begin_ms = begin_ms
        self.watched = tuple(s for s in self._plan(begin_ms).specs if not coins or s.coin in coins)

    def at(self, now_ms: int) -> Polled:
        """Return what a poll finds at an instant of the span."""
        edge = bisect_right(self._edges_ms, now_ms)
        return self._find(self._edges_ms[edge - 1] if edge else self._begin_ms)

    def steps(self, begin_ms: int, end_ms: int, poll_ms: int) -> list[tuple[int, dict[str, MarketSpec]]]:
        """Return the polls from `begin_ms` on, one every `poll_ms`, that found other specs than the one before."""
        found: list[tuple[int, dict[str, MarketSpec]]] = []
        last: tuple[MarketSpec, ...] = ()
        for at_ms in range(begin_ms, end_ms, poll_ms):
            specs = self.at(at_ms).specs
            if not found or specs != last:
                found.append((at_ms, {spec.coin: spec for spec in specs}))
                last = specs
        return found

    def _read(self, now_ms: int) -> Polled:
        plan = self._plan(now_ms)
        known = {spec.coin: spec for spec in (*plan.specs, *plan.delisted)}
        dexes = self._world.universe.dexes[1:]
        limits = [client.parse_perp_dex_limits(_raw(bodies.perp_dex_limits(self._world, dex, now_ms))) for dex in dexes]
        caps = {coin: cap for each in limits if each is not None for coin, cap in each.oi_cap_ntl_by_coin.items()}
        capped = {coin for dex in dexes for coin in bodies.at_open_interest_cap(self._world, dex, now_ms)}
        return Polled(
            specs=tuple(known[spec.coin] for spec in self.watched),
            statuses=tuple(
                MarketStatus(
                    coin=spec.coin,
                    is_halted=not self._world.listed(spec.coin, now_ms).is_open,
                    is_at_oi_cap=spec.coin in capped,
                    oi_cap_ntl=caps.get(spec.coin),
                )
                for spec in self.watched
            ),
        )

    def _plan(self, now_ms: int) -> RegistryPlan:
        universe = self._world.universe
        dexes = universe.dexes[1:]
        names = tuple(dex.name for dex in dexes)
        metas = {dex.name: client.parse_meta(_raw(bodies.meta(self._world, dex, now_ms))) for dex in dexes}
        listings = Listings(dexes=client.parse_perp_dexs(_raw(bodies.perp_dexs(universe))), metas=metas)
        watchlist = Watchlist(dexes=names, subscription_count_max=SUBSCRIPTION_COUNT_MAX, user_count_max=USER_COUNT_MAX)
        plan = plan_registry(listings, watchlist)
        if plan.refusals:
            raise ConfigError(f"the simulated venue's listing is refused: {'; '.join(plan.refusals)}")
        return plan


def _raw(body: object) -> bytes:
    return msgspec.json.encode(body)
