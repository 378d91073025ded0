"""What the registry of the sidecar makes of the venue's listing, without asking over HTTP.

Rule: bodies of `venue.info` go through the parsers and the plan of the real client, so a spec of history and a spec of
the live session have the same `spec_version`.
"""

from streaming.core.errors import ConfigError
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.registry import Listings, Watchlist, plan_registry
from streaming.hyperliquid import info as client
from streaming.hyperliquid.limits import SUBSCRIPTION_COUNT_MAX, USER_COUNT_MAX
from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.venue.info import Info
from streaming.sim.venue.tape import Tape


def specs_of(scenario: Scenario) -> tuple[MarketSpec, ...]:
    """Return the specs of all builder markets for an account of the base tier.

    Raises:
        ConfigError: The venue's own listing is refused by our registry.
    """
    info = Info(Tape(Generator(0, scenario)))
    dexes = tuple(dex.name for dex in scenario.universe.dexes[1:])
    listings = Listings(
        dexes=client.parse_perp_dexs(_body(info, {"type": "perpDexs"})),
        metas={dex: client.parse_meta(_body(info, {"type": "meta", "dex": dex})) for dex in dexes},
    )
    watchlist = Watchlist(dexes=dexes, subscription_count_max=SUBSCRIPTION_COUNT_MAX, user_count_max=USER_COUNT_MAX)
    plan = plan_registry(listings, watchlist)
    if plan.refusals:
        raise ConfigError(f"the simulated venue's listing is refused: {'; '.join(plan.refusals)}")
    return plan.specs


def statuses_of(scenario: Scenario) -> tuple[MarketStatus, ...]:
    """Return what the status polls say: every market trades, below its cap."""
    info = Info(Tape(Generator(0, scenario)))
    limits = [
        client.parse_perp_dex_limits(_body(info, {"type": "perpDexLimits", "dex": dex.name}))
        for dex in scenario.universe.dexes[1:]
    ]
    caps = {coin: cap for each in limits if each is not None for coin, cap in each.oi_cap_ntl_by_coin.items()}
    return tuple(
        MarketStatus(coin=market.coin, is_halted=False, is_at_oi_cap=False, oi_cap_ntl=caps.get(market.coin))
        for market in scenario.universe.builder_markets
    )


def _body(info: Info, request: dict[str, str]) -> bytes:
    # None of these answers looks at the tape, so no hour has to be generated.
    _, body, _ = info.answer(request, 0)
    return body
