"""What is watched: from the venue's listings to market specs, or every reason why not.

Why this module exists: a wrong asset id, fee or name is worse than no market at all (the predecessor once traded RIVN
for SILVER), so a plan is made only from what `meta` of the exact dex says and nothing is guessed.

Rule 1: every reason for a refusal is collected; an empty `refusals` is the only permission to start.
Rule 2: asset_id = 100000 + dex index x 10000 + index in `meta(dex).universe`; both indexes count every entry, the null
one and the delisted ones included.
Rule 3: a delisted market is listed, not watched.
Rule 4: texts in a plan hold printable ASCII only: names come from outside (F-108).
Rule 5: a market in which something of ours is open is watched until the next start, wanted or not, so that it can be
closed (I-31, F-92); one that can not be is a warning and keeps no other from being watched.

Source: hyperliquid.gitbook.io, "Asset IDs", "HIP-3: builder-deployed perpetuals"; live probes of 2026-09-24.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from streaming.core.fees import taker_fee_bps
from streaming.core.market import MarketSpec
from streaming.core.units import ONE, ZERO

BASE_CROSS_RATE = Decimal("0.00045")
"""`userCrossRate` of an account without volume, stake or referral: 4.5 bps."""

_ASSET_ID_BASE = 100_000
_UNIVERSE_COUNT_MAX = 10_000
_SZ_DECIMALS_MAX = 6
_LEVERAGE_ODD = 100
_SCALE_QUANTUM = Decimal("1e-6")  # what the table `specs` stores
_MARGIN_MODES = ("cross", "noCross", "strictIsolated")
_NAME = re.compile(r"[A-Za-z0-9:._-]{1,32}", re.ASCII)


class ListedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a universe; None is "not there"."""

    name: str
    sz_decimals: int | None = None
    leverage_max: int | None = None
    margin_mode: str = "cross"
    is_growth_mode: bool = False
    deployer_fee_scale: Decimal | None = None
    is_delisted: bool = False


class DexMeta(msgspec.Struct, frozen=True, kw_only=True):
    """`meta` of one dex."""

    universe: tuple[ListedMarket, ...]
    collateral_token: int | None = None


class ListedDex(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `perpDexs`."""

    name: str
    deployer_fee_scale: Decimal | None = None
    """Where the scale stood until about August 2026; the universe's comes first."""


class Listings(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says, read at one time."""

    dexes: tuple[ListedDex | None, ...]
    """`perpDexs`, in order, with the leading null of the validator dex."""
    metas: dict[str, DexMeta]
    """`meta` of every watched dex that exists."""
    reserved_names: frozenset[str] = frozenset()
    """Coins of the validator dex and of spot."""
    user_cross_rate: Decimal = BASE_CROSS_RATE
    referral_discount: Decimal = ZERO


class Watchlist(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be watched, and within which limits of the venue."""

    dexes: tuple[str, ...]
    coins: tuple[str, ...] = ()
    """Full names; empty is every live market of the dexes."""
    open_coins: tuple[str, ...] = ()
    """Full names of markets in which a position or an order of ours is open."""
    channel_count: int = 1
    """Subscriptions per market."""
    user_channel_count: int = 0
    user_count: int = 0
    subscription_count_max: int
    user_count_max: int


class RegistryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: specs to watch, or reasons."""

    specs: tuple[MarketSpec, ...]
    """Markets to subscribe, in the order of dexes and universe."""
    exit_only: tuple[str, ...] = ()
    """Those of `specs` that are watched only because something of ours is open there."""
    delisted: tuple[MarketSpec, ...]
    """Markets that are wanted and delisted: known, never subscribed."""
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def plan_registry(listings: Listings, watchlist: Watchlist) -> RegistryPlan:
    """Return specs of everything that is wanted and live, with every reason against starting."""
    refusals: list[str] = []
    warnings: list[str] = []
    specs: list[MarketSpec] = []
    for dex in watched_dexes(watchlist):
        is_wanted = dex in watchlist.dexes
        specs += _dex_specs(dex, listings, watchlist, refusals if is_wanted else warnings, warnings)
    refusals += _unknown_coins(listings, watchlist)
    refusals += _collisions(specs, listings)
    live = tuple(spec for spec in specs if not spec.is_delisted)
    refusals += _limit_refusals(len(live), watchlist)
    if not live and not refusals:
        refusals.append("no live market is left to watch: check dexes and coins")
    warnings += _open_notes(live, watchlist)
    return RegistryPlan(
        specs=live,
        exit_only=tuple(spec.coin for spec in live if not _is_configured(spec.dex, spec.coin, watchlist)),
        delisted=tuple(spec for spec in specs if spec.is_delisted),
        refusals=tuple(dict.fromkeys(refusals)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def watched_dexes(watchlist: Watchlist) -> tuple[str, ...]:
    """Return the dexes to ask about, once each: those that are wanted, then others in which something is open."""
    return tuple(dict.fromkeys((*watchlist.dexes, *[coin.partition(":")[0] for coin in watchlist.open_coins])))


def spec_version_of(spec: MarketSpec) -> str:
    """Return the content hash (blake2b, 16 hex digits) of every field but `spec_version` itself.

    Numbers are hashed by value: `1.0` and `1` give one version.
    """
    parts = [f"{name}={_canonical(getattr(spec, name))}" for name in spec.__struct_fields__ if name != "spec_version"]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def shown(name: str) -> str:
    """Return a name from outside as at most 40 characters of printable ASCII, quoted."""
    return ascii(name[:40])


def _canonical(value: object) -> str:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


def _dex_index(dex: str, listings: Listings) -> tuple[int | None, str]:
    # (index, reason why there is none)
    if not dex:
        return None, "a dex name is empty: HIP-3 dexes are always named, e.g. xyz"
    found = [index for index, entry in enumerate(listings.dexes) if entry is not None and entry.name == dex]
    if len(found) == 1 and found[0] > 0:
        return found[0], ""
    if found:
        return (
            None,
            f"dex {shown(dex)} stands {len(found)} times in perpDexs, first at {found[0]}: expected once, from 1",
        )
    names = [entry.name for entry in listings.dexes if entry is not None]
    twin = next((name for name in names if name.casefold() == dex.casefold()), None)
    hint = f"did you mean {shown(twin)}? names are case sensitive" if twin else f"listed: {_some(names)}"
    return None, f"no dex {shown(dex)} in perpDexs: {hint}"


def _dex_specs(
    dex: str, listings: Listings, watchlist: Watchlist, refusals: list[str], warnings: list[str]
) -> list[MarketSpec]:
    dex_index, reason = _dex_index(dex, listings)
    if dex_index is None:
        refusals.append(reason)
        return []
    meta = listings.metas.get(dex)
    if meta is None:
        refusals.append(f"no meta of dex {shown(dex)}: the venue knows the dex and not its markets")
        return []
    refusals += _universe_refusals(dex, meta)
    if len(meta.universe) > _UNIVERSE_COUNT_MAX:
        return []
    entry = listings.dexes[dex_index]
    dex_scale = None if entry is None else entry.deployer_fee_scale
    fold_counts = Counter(market.name.casefold() for market in meta.universe)
    specs: list[MarketSpec] = []
    fallback_count = 0
    for index, market in enumerate(meta.universe):
        if not _is_wanted(dex, market, watchlist):
            continue
        reasons = list(_market_refusals(dex, market, fold_counts))
        (refusals if _is_configured(dex, market.name, watchlist) else warnings).extend(reasons)
        if reasons or meta.collateral_token is None:
            continue
        fallback_count += market.deployer_fee_scale is None
        if market.leverage_max is not None and market.leverage_max > _LEVERAGE_ODD:
            warnings.append(f"{market.name}: leverage up to {market.leverage_max} is odd for a HIP-3 market")
        if market.is_delisted and market.name in watchlist.coins:
            warnings.append(f"{market.name} is delisted: it is not watched")
        asset_id = _ASSET_ID_BASE + dex_index * _UNIVERSE_COUNT_MAX + index
        specs.append(_spec(dex, asset_id, market, meta.collateral_token, dex_scale, listings))
    if fallback_count:
        source = "perpDexs" if dex_scale is not None else "the default"
        scale = ONE if dex_scale is None else dex_scale
        warnings.append(f"dex {dex}: {fallback_count} markets without deployerFeeScale, {scale} of {source} is used")
    return specs


def _is_wanted(dex: str, market: ListedMarket, watchlist: Watchlist) -> bool:
    if market.name in watchlist.open_coins:
        return True
    if watchlist.coins or dex not in watchlist.dexes:
        return market.name in watchlist.coins
    # A delisted entry with an unusable name can not be wanted and must not keep the others from being watched.
    return not market.is_delisted or _NAME.fullmatch(market.name) is not None


def _is_configured(dex: str, coin: str, watchlist: Watchlist) -> bool:
    return dex in watchlist.dexes and (not watchlist.coins or coin in watchlist.coins)


def _open_notes(live: tuple[MarketSpec, ...], watchlist: Watchlist) -> Iterator[str]:
    watched = {spec.coin: _is_configured(spec.dex, spec.coin, watchlist) for spec in live}
    for coin in watchlist.open_coins:
        if coin not in watched:
            yield f"{shown(coin)}: something of ours is open and it can not be watched: it is not listed, or delisted"
        elif not watched[coin]:
            yield f"{coin} is not configured: it is watched to close what is open there, and takes no entries"


def _universe_refusals(dex: str, meta: DexMeta) -> Iterator[str]:
    if not meta.universe:
        yield f"dex {shown(dex)} lists no market"
    if len(meta.universe) > _UNIVERSE_COUNT_MAX:
        yield f"dex {shown(dex)} lists {len(meta.universe)} markets: asset ids allow {_UNIVERSE_COUNT_MAX}"
    if meta.collateral_token is None:
        yield f"meta of dex {shown(dex)} names no collateralToken"


def _market_refusals(dex: str, market: ListedMarket, fold_counts: Counter[str]) -> Iterator[str]:
    name = market.name
    if _NAME.fullmatch(name) is None or ".." in name:
        yield f"market {shown(name)} of dex {shown(dex)}: a name is 1-32 of A-Za-z0-9:._-; name coins to do without"
    elif not name.startswith(dex + ":") or len(name) == len(dex) + 1:
        yield f"market {shown(name)} of dex {shown(dex)}: expected a name that begins with {shown(dex + ':')}"
    if fold_counts[name.casefold()] > 1:
        yield f"market {shown(name)} of dex {shown(dex)} is listed {fold_counts[name.casefold()]} times (case apart)"
    if market.is_delisted:
        return
    if market.sz_decimals is None or not 0 <= market.sz_decimals <= _SZ_DECIMALS_MAX:
        yield f"market {shown(name)}: expected szDecimals 0-{_SZ_DECIMALS_MAX}, found {market.sz_decimals}"
    if market.leverage_max is None or market.leverage_max < 1:
        yield f"market {shown(name)}: expected maxLeverage of at least 1, found {market.leverage_max}"
    if market.margin_mode not in _MARGIN_MODES:
        yield f"market {shown(name)}: expected marginMode of {_MARGIN_MODES}, found {shown(market.margin_mode)}"
    if market.deployer_fee_scale is not None and not 0 <= market.deployer_fee_scale <= 10:
        yield f"market {shown(name)}: expected deployerFeeScale 0-10, found {market.deployer_fee_scale}"


def _spec(
    dex: str,
    asset_id: int,
    market: ListedMarket,
    collateral_token: int,
    dex_scale: Decimal | None,
    listings: Listings,
) -> MarketSpec:
    scale = next((s for s in (market.deployer_fee_scale, dex_scale) if s is not None), ONE).quantize(_SCALE_QUANTUM)
    spec = MarketSpec(
        coin=market.name,
        dex=dex,
        asset_id=asset_id,
        sz_decimals=market.sz_decimals or 0,
        leverage_max=market.leverage_max or 0,
        margin_mode=market.margin_mode,
        is_growth_mode=market.is_growth_mode,
        deployer_fee_scale=scale,
        taker_fee_bps=taker_fee_bps(
            user_cross_rate=listings.user_cross_rate,
            deployer_fee_scale=scale,
            is_growth_mode=market.is_growth_mode,
            referral_discount=listings.referral_discount,
        ),
        is_delisted=market.is_delisted,
        collateral_token=collateral_token,
        spec_version="",
    )
    return msgspec.structs.replace(spec, spec_version=spec_version_of(spec))


def _unknown_coins(listings: Listings, watchlist: Watchlist) -> Iterator[str]:
    listed = {
        market.name for dex in watchlist.dexes if dex in listings.metas for market in listings.metas[dex].universe
    }
    for coin in watchlist.coins:
        if coin not in listed:
            yield f"coin {shown(coin)} is not in meta of {_some(list(watchlist.dexes))}: expected an exact full name"


def _collisions(specs: list[MarketSpec], listings: Listings) -> Iterator[str]:
    # Market channels carry no dex: a name has to mean one market everywhere (F-20).
    seen: dict[str, MarketSpec] = {}
    for spec in specs:
        other = seen.setdefault(spec.coin.casefold(), spec)
        if other.dex != spec.dex:
            yield f"coin {shown(spec.coin)} of dex {spec.dex} is also listed by dex {other.dex}"
        if spec.coin in listings.reserved_names:
            yield f"coin {shown(spec.coin)} of dex {spec.dex} is also a coin of the validator dex or of spot"


def _limit_refusals(market_count: int, watchlist: Watchlist) -> Iterator[str]:
    planned = market_count * watchlist.channel_count + watchlist.user_channel_count
    if planned > watchlist.subscription_count_max:
        yield (
            f"{planned} subscriptions are planned ({market_count} markets x {watchlist.channel_count} channels): "
            f"the venue allows {watchlist.subscription_count_max}; name fewer coins or channels"
        )
    if watchlist.user_count > watchlist.user_count_max:
        yield f"{watchlist.user_count} users are planned: the venue allows {watchlist.user_count_max}"


def _some(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
