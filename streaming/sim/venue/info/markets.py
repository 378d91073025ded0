"""Market bodies of the info endpoint, one function a type.

Rule 1: a function gets the request as it came and raises what the venue answers to a wrong one.
Rule 2: a type that needs hours which are not loaded says which (`hours_of`); without them its answer is shorter.

Source: hyperliquid-protocol.md, section 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.orders.checks import MARKET_NTL_MAX_USD
from streaming.sim.markets.generator import HOUR_MS
from streaming.sim.venue.info.requests import (
    BadShapeError,
    NullError,
    Request,
    dex_field,
    int_field,
    optional_int_field,
    text_field,
)
from streaming.sim.venue.market import listing
from streaming.sim.venue.market.books import SLOW_LEVELS
from streaming.sim.venue.market.candles import INTERVALS_MS, History, begin_of
from streaming.sim.venue.market.quotes import Quotes

_SIG_FIGS = {None, 2, 3, 4, 5}
_MANTISSAS = {None, 1, 2, 5}
_AUCTION_S = 111_600


@dataclass(frozen=True)
class Markets:
    """What market bodies are made of."""

    quotes: Quotes
    history: History
    hooks: ExchangeHooks
    """Knows the windows in which only ALO orders are taken."""


Body = Callable[[Markets, Request, int], Json]


def hours_of(markets: Markets, request: Request, now_ms: int) -> tuple[str, list[int]]:
    """Return the market and the hours that have to be loaded before this request is answered."""
    universe = markets.quotes.world.universe
    try:
        match request.get("type"):
            case "candleSnapshot":
                coin, _, begin_ms, end_ms = _candle_request(request, now_ms)
            case "fundingHistory":
                coin, begin_ms, end_ms = _span(request, now_ms)
                begin_ms -= HOUR_MS
            case _:
                return "", []
    except BadShapeError:
        return "", []
    if coin not in universe.by_coin:
        return "", []
    return coin, markets.history.missing(coin, begin_ms, end_ms, now_ms)


def _perp_dexs(markets: Markets, _request: Request, _now_ms: int) -> Json:
    return listing.perp_dexs(markets.quotes.world.universe)


def _meta(markets: Markets, request: Request, now_ms: int) -> Json:
    world = markets.quotes.world
    return listing.meta(world, dex_field(request, world.universe), now_ms)


def _all_perp_metas(markets: Markets, _request: Request, now_ms: int) -> Json:
    world = markets.quotes.world
    return [listing.meta(world, dex, now_ms) for dex in world.universe.dexes]


def _meta_and_asset_ctxs(markets: Markets, request: Request, now_ms: int) -> Json:
    world = markets.quotes.world
    dex = dex_field(request, world.universe)
    return [
        listing.meta(world, dex, now_ms),
        [markets.quotes.ctx(market.coin, now_ms) for market in world.universe.by_dex[dex.name]],
    ]


def _spot_meta(_markets: Markets, _request: Request, _now_ms: int) -> Json:
    return listing.SPOT_META


def _spot_meta_and_asset_ctxs(_markets: Markets, _request: Request, _now_ms: int) -> Json:
    return listing.spot_meta_and_asset_ctxs()


def _perp_dex_limits(markets: Markets, request: Request, now_ms: int) -> Json:
    world, name = markets.quotes.world, text_field(request, "dex")
    dex = next((dex for dex in world.universe.dexes[1:] if dex.name == name), None)
    return None if dex is None else listing.perp_dex_limits(world, dex, now_ms)


def _perp_dex_status(markets: Markets, request: Request, _now_ms: int) -> Json:
    dex_field(request, markets.quotes.world.universe)
    return {"totalNetDeposit": "1317092600.0"}


def _perps_at_open_interest_cap(markets: Markets, request: Request, now_ms: int) -> Json:
    world = markets.quotes.world
    return listing.at_open_interest_cap(world, dex_field(request, world.universe), now_ms)


def _perp_deploy_auction_status(_markets: Markets, _request: Request, now_ms: int) -> Json:
    start_s = now_ms // 1000 // _AUCTION_S * _AUCTION_S
    gas = {"startGas": "500.0", "currentGas": "500.0", "endGas": None}
    return {"startTimeSeconds": start_s, "durationSeconds": _AUCTION_S} | gas


def _margin_table(_markets: Markets, request: Request, _now_ms: int) -> Json:
    return listing.margin_table(int_field(request, "id"))


def _max_market_order_ntls(_markets: Markets, _request: Request, _now_ms: int) -> Json:
    return [[leverage, f"{usd}.0"] for leverage, usd in MARKET_NTL_MAX_USD]


def _exchange_status(markets: Markets, _request: Request, now_ms: int) -> Json:
    # That something is said in such a window is documented, what is said is not.
    return {"specialStatuses": ["postOnly"] if markets.hooks.is_post_only(now_ms) else None, "time": now_ms}


def _all_mids(markets: Markets, request: Request, now_ms: int) -> Json:
    return markets.quotes.mids(dex_field(request, markets.quotes.world.universe).name, now_ms)


def _l2_book(markets: Markets, request: Request, now_ms: int) -> Json:
    coin = text_field(request, "coin")
    figures, mantissa = optional_int_field(request, "nSigFigs"), optional_int_field(request, "mantissa")
    if coin not in markets.quotes.world.universe.by_coin:
        return None
    if figures not in _SIG_FIGS or mantissa not in _MANTISSAS or (mantissa is not None and figures != 5):
        # Undocumented for REST; the websocket dies of it.
        return None
    return markets.quotes.book(coin, now_ms, SLOW_LEVELS, figures, mantissa)


def _recent_trades(markets: Markets, request: Request, now_ms: int) -> Json:
    coin = text_field(request, "coin")
    if coin not in markets.quotes.world.universe.by_coin:
        raise NullError
    return markets.quotes.trades.recent(coin, now_ms)


def _candle_snapshot(markets: Markets, request: Request, now_ms: int) -> Json:
    coin, interval, begin_ms, end_ms = _candle_request(request, now_ms)
    if coin not in markets.quotes.world.universe.by_coin:
        raise NullError
    own = markets.quotes.trades.of_clients(coin, begin_ms, end_ms)
    return markets.history.candles(coin, interval, begin_ms, end_ms, own)


def _funding_history(markets: Markets, request: Request, now_ms: int) -> Json:
    coin, begin_ms, end_ms = _span(request, now_ms)
    if coin not in markets.quotes.world.universe.by_coin:
        raise NullError
    return markets.history.fundings(coin, begin_ms, end_ms, now_ms)


def _candle_request(request: Request, now_ms: int) -> tuple[str, str, int, int]:
    inner = request.get("req")
    if not isinstance(inner, dict):
        raise BadShapeError
    coin, interval = text_field(inner, "coin"), text_field(inner, "interval")
    if interval not in INTERVALS_MS:
        raise BadShapeError
    end_ms = optional_int_field(inner, "endTime")
    end_ms = now_ms if end_ms is None else min(end_ms, now_ms)
    # The candle that is under way at the start is part of the answer.
    return coin, interval, begin_of(interval, min(int_field(inner, "startTime"), now_ms)), end_ms


def _span(request: Request, now_ms: int) -> tuple[str, int, int]:
    begin_ms, end_ms = int_field(request, "startTime"), optional_int_field(request, "endTime")
    return text_field(request, "coin"), min(begin_ms, now_ms), now_ms if end_ms is None else min(end_ms, now_ms)


BODIES: Mapping[str, Body] = {
    "perpDexs": _perp_dexs,
    "meta": _meta,
    "allPerpMetas": _all_perp_metas,
    "metaAndAssetCtxs": _meta_and_asset_ctxs,
    "spotMeta": _spot_meta,
    "spotMetaAndAssetCtxs": _spot_meta_and_asset_ctxs,
    "perpDexLimits": _perp_dex_limits,
    "perpDexStatus": _perp_dex_status,
    "perpsAtOpenInterestCap": _perps_at_open_interest_cap,
    "perpDeployAuctionStatus": _perp_deploy_auction_status,
    "marginTable": _margin_table,
    "maxMarketOrderNtls": _max_market_order_ntls,
    "exchangeStatus": _exchange_status,
    "allMids": _all_mids,
    "l2Book": _l2_book,
    "recentTrades": _recent_trades,
    "candleSnapshot": _candle_snapshot,
    "fundingHistory": _funding_history,
}
