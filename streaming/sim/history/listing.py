"""What the registry of the sidecar makes of the venue's listing, without asking over HTTP.

Rule: bodies of `sim.info` go through the parsers and the plan of the real client, so a spec of history and a spec of
the live session have the same `spec_version`.
"""

from functools import cache

from streaming.core.errors import ConfigError
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.registry import Listings, Watchlist, plan_registry
from streaming.hyperliquid import info as client
from streaming.hyperliquid.limits import SUBSCRIPTION_COUNT_MAX, USER_COUNT_MAX
from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.universe import DEX
from streaming.sim.venue.info import Info
from streaming.sim.venue.tape import Tape


@cache
def specs_of() -> tuple[MarketSpec, ...]:
    """Return the specs of all markets for an account of the base tier.

    Raises:
        ConfigError: The venue's own listing is refused by our registry.
    """
    listings = Listings(
        dexes=client.parse_perp_dexs(_body({"type": "perpDexs"})),
        metas={DEX: client.parse_meta(_body({"type": "meta", "dex": DEX}))},
    )
    watchlist = Watchlist(dexes=(DEX,), subscription_count_max=SUBSCRIPTION_COUNT_MAX, user_count_max=USER_COUNT_MAX)
    plan = plan_registry(listings, watchlist)
    if plan.refusals:
        raise ConfigError(f"the simulated venue's listing is refused: {'; '.join(plan.refusals)}")
    return plan.specs


@cache
def statuses_of() -> tuple[MarketStatus, ...]:
    """Return what the status polls say: every market trades, below its cap."""
    limits = client.parse_perp_dex_limits(_body({"type": "perpDexLimits", "dex": DEX}))
    caps = {} if limits is None else limits.oi_cap_ntl_by_coin
    return tuple(
        MarketStatus(coin=spec.coin, is_halted=False, is_at_oi_cap=False, oi_cap_ntl=caps.get(spec.coin))
        for spec in specs_of()
    )


def _body(request: dict[str, str]) -> bytes:
    # None of these answers looks at the tape, so no hour has to be generated.
    _, body, _ = Info(Tape(Generator(0))).answer(request, 0)
    return body
