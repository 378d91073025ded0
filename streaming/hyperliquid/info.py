"""Answers of the info endpoint: from REST bodies to the words of the core.

Rule 1: a `parse_*` function returns core or plain values, with Decimals made from wire strings.
Rule 2: a body that is no such answer raises `OutcomeUnknown` with at most 200 bytes of it; nothing is guessed.
Rule 3: unknown fields are ignored; fields that exist only when set (`isDelisted`, `growthMode`) have their documented
meaning when absent.

Source: hyperliquid.gitbook.io, "Info endpoint", "Perpetuals"; live probes of 2026-09-24.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec

from streaming.core.errors import OutcomeUnknown
from streaming.core.registry import DexMeta, ListedDex, ListedMarket
from streaming.hyperliquid.number import WireNumberError, plain_decimal, statistic, unsigned_decimal
from streaming.hyperliquid.wire import Ctx

_EXCERPT_BYTES_MAX = 200
_T = TypeVar("_T")
_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""What the journal and the tables can hold; a hostile 2**70 must end as a refused answer, never as a crash."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    pass


class _WireDex(_Part, frozen=True, rename="camel"):
    name: str
    deployer_fee_scale: str | None = None


class _WireMarket(_Part, frozen=True, rename="camel"):
    name: str
    sz_decimals: _Int32 | None = None
    max_leverage: _Int32 | None = None
    margin_mode: str | None = None
    only_isolated: bool = False
    growth_mode: str | None = None
    deployer_fee_scale: str | None = None
    is_delisted: bool = False


class _WireMeta(_Part, frozen=True, rename="camel"):
    universe: list[_WireMarket]
    collateral_token: _Int32 | None = None


class _WireLimits(_Part, frozen=True, rename="camel"):
    coin_to_oi_cap: list[tuple[str, str]]
    total_oi_cap: str | None = None


class _WireDexStatus(_Part, frozen=True, rename="camel"):
    total_net_deposit: str


class _WireFees(_Part, frozen=True, rename="camel"):
    user_cross_rate: str
    active_referral_discount: str = "0"


class _WireExchangeStatus(_Part, frozen=True, rename="camel"):
    time: int
    special_statuses: object = None


class _WireSpotName(_Part, frozen=True, rename="camel"):
    name: str


class _WireSpotMeta(_Part, frozen=True, rename="camel"):
    universe: list[_WireSpotName]
    tokens: list[_WireSpotName]


class AssetCtx(msgspec.Struct, frozen=True, kw_only=True):
    """Context of a market at the moment of the request."""

    coin: str
    oracle_px: Decimal
    mark_px: Decimal
    mid_px: Decimal | None
    open_interest_sz: Decimal
    day_ntl_vlm_usd: float | None


class DexLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps of a dex on open interest, in quote units."""

    oi_cap_ntl_by_coin: dict[str, Decimal]
    total_oi_cap_ntl: Decimal | None


class UserFees(msgspec.Struct, frozen=True, kw_only=True):
    """Fee rates of an account as fractions; tier and staking discount are in them."""

    user_cross_rate: Decimal
    referral_discount: Decimal


class ExchangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the exchange; special is a restricted window, e.g. post-only after an upgrade."""

    is_special: bool
    venue_ts_ms: int


def parse_perp_dexs(body: bytes) -> tuple[ListedDex | None, ...]:
    """Return `perpDexs` in order; the first entry, the validator dex, is None."""
    return parse_body("perpDexs", body, list[_WireDex | None], _dexes)


def parse_meta(body: bytes) -> DexMeta:
    """Return `meta` of one dex with every entry, delisted ones included."""
    return parse_body("meta", body, _WireMeta, _meta)


def parse_meta_and_asset_ctxs(body: bytes) -> tuple[DexMeta, tuple[AssetCtx, ...]]:
    """Return `metaAndAssetCtxs`: contexts stand in the order of the universe."""
    return parse_body("metaAndAssetCtxs", body, tuple[_WireMeta, list[Ctx]], _meta_and_ctxs)


def parse_perp_dex_limits(body: bytes) -> DexLimits | None:
    """Return `perpDexLimits`; None for the validator dex and for unknown names."""
    return parse_body("perpDexLimits", body, _WireLimits | None, _limits)


def parse_perp_dex_status(body: bytes) -> Decimal:
    """Return all that `perpDexStatus` has: the net deposit of a dex. It holds no halted flag."""
    return parse_body("perpDexStatus", body, _WireDexStatus, lambda status: plain_decimal(status.total_net_deposit))


def parse_perps_at_open_interest_cap(body: bytes) -> frozenset[str]:
    """Return the coins that are at their cap."""
    return parse_body("perpsAtOpenInterestCap", body, list[str], frozenset)


def parse_user_fees(body: bytes) -> UserFees:
    """Return what `userFees` says about taker fees."""
    return parse_body("userFees", body, _WireFees, _fees)


def parse_exchange_status(body: bytes) -> ExchangeStatus:
    """Return `exchangeStatus`."""
    return parse_body("exchangeStatus", body, _WireExchangeStatus, _exchange_status)


def parse_spot_names(body: bytes) -> frozenset[str]:
    """Return every name of `spotMeta`: pairs and tokens."""
    return parse_body(
        "spotMeta", body, _WireSpotMeta, lambda spot: frozenset(item.name for item in (*spot.universe, *spot.tokens))
    )


def excerpt(body: bytes) -> str:
    """Return at most 200 bytes of a body as printable ASCII."""
    return ascii(body[:_EXCERPT_BYTES_MAX].decode("ascii", "replace"))[1:-1][:_EXCERPT_BYTES_MAX]


def parse_body(name: str, body: bytes, shape: Any, convert: Callable[[Any], _T]) -> _T:  # noqa: ANN401 - a type form
    """Return a body as the words of the core.

    Args:
        name: What was asked, for the error.
        body: What came.
        shape: What it must decode to.
        convert: What makes our words of that.

    Raises:
        OutcomeUnknown: The body has not this shape, or holds an impossible number.
    """
    try:
        return convert(msgspec.json.decode(body, type=shape))
    except (msgspec.MsgspecError, WireNumberError, RecursionError, UnicodeError) as failure:
        reason = ascii(str(failure))[1:-1][:120]
        raise OutcomeUnknown(f"expected an answer to {name}, found {excerpt(body)!r} ({reason})") from failure


def _dexes(dexes: list[_WireDex | None]) -> tuple[ListedDex | None, ...]:
    return tuple(
        None if dex is None else ListedDex(name=dex.name, deployer_fee_scale=_optional(dex.deployer_fee_scale))
        for dex in dexes
    )


def _optional(text: str | None) -> Decimal | None:
    return None if text is None else unsigned_decimal(text)


def _meta(meta: _WireMeta) -> DexMeta:
    return DexMeta(universe=tuple(map(_market, meta.universe)), collateral_token=meta.collateral_token)


def _market(market: _WireMarket) -> ListedMarket:
    # The mode is absent where cross margin is allowed; the older flag says isolated without telling which kind.
    margin_mode = market.margin_mode or ("noCross" if market.only_isolated else "cross")
    return ListedMarket(
        name=market.name,
        sz_decimals=market.sz_decimals,
        leverage_max=market.max_leverage,
        margin_mode=margin_mode,
        is_growth_mode=market.growth_mode == "enabled",
        deployer_fee_scale=_optional(market.deployer_fee_scale),
        is_delisted=market.is_delisted,
    )


def _meta_and_ctxs(pair: tuple[_WireMeta, list[Ctx]]) -> tuple[DexMeta, tuple[AssetCtx, ...]]:
    meta, ctxs = _meta(pair[0]), pair[1]
    if len(ctxs) != len(meta.universe):
        raise WireNumberError(f"{len(ctxs)} contexts for {len(meta.universe)} markets")
    return meta, tuple(
        AssetCtx(
            coin=market.name,
            oracle_px=unsigned_decimal(ctx.oracle_px),
            mark_px=unsigned_decimal(ctx.mark_px),
            mid_px=_optional(ctx.mid_px),
            open_interest_sz=unsigned_decimal(ctx.open_interest),
            day_ntl_vlm_usd=None if ctx.day_ntl_vlm is None else statistic(ctx.day_ntl_vlm),
        )
        for market, ctx in zip(meta.universe, ctxs, strict=True)
    )


def _limits(limits: _WireLimits | None) -> DexLimits | None:
    if limits is None:
        return None
    return DexLimits(
        oi_cap_ntl_by_coin={coin: unsigned_decimal(cap) for coin, cap in limits.coin_to_oi_cap},
        total_oi_cap_ntl=_optional(limits.total_oi_cap),
    )


def _fees(fees: _WireFees) -> UserFees:
    return UserFees(
        user_cross_rate=unsigned_decimal(fees.user_cross_rate),
        referral_discount=unsigned_decimal(fees.active_referral_discount),
    )


def _exchange_status(status: _WireExchangeStatus) -> ExchangeStatus:
    return ExchangeStatus(is_special=status.special_statuses is not None, venue_ts_ms=status.time)
