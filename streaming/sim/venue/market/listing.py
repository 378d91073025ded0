"""Bodies that list the venue: dexes, markets with their facts in force, caps, spot tokens.

Rule 1: keys that exist on the wire only when set are absent otherwise (`growthMode`, `marginMode`, `isDelisted`).
Rule 2: a halted market is listed as delisted until it resumes: both come from the deployer's `haltTrading`, and no
    other documented field says so (reference, section 9). It keeps its index.
Rule 3: spot exists so far as clients must know its names; it has no live market here.

Source: hyperliquid-protocol.md, section 2; bodies recorded on 2026-07-19 for the spot shapes.
"""

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.texts import number_text
from streaming.sim.exchange.view import Listed
from streaming.sim.scenario.universe import Dex, Market, Universe
from streaming.sim.venue.market.world import World

_FEE_SCALE_SINCE = "2025-11-23T17:37:10.033211662"

SPOT_META: Json = {
    "universe": [{"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True}],
    "tokens": [
        {
            "name": "USDC",
            "szDecimals": 8,
            "weiDecimals": 8,
            "index": 0,
            "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
            "isCanonical": True,
            "evmContract": {
                "address": "0x6b9e773128f453f5c2c60935ee2de2cbc5390a24",
                "evm_extra_wei_decimals": -2,
            },
            "fullName": None,
            "deployerTradingFeeShare": "0.0",
        },
        {
            "name": "PURR",
            "szDecimals": 0,
            "weiDecimals": 5,
            "index": 1,
            "tokenId": "0xc1fb593aeffbeb02f85e0308e9956a90",
            "isCanonical": True,
            "evmContract": None,
            "fullName": None,
            "deployerTradingFeeShare": "0.0",
        },
    ],
}
_SPOT_CTXS: Json = [
    {
        "prevDayPx": "0.070249",
        "dayNtlVlm": "0.0",
        "markPx": "0.073007",
        "midPx": None,
        "circulatingSupply": "595188109.0328299999",
        "coin": "PURR/USDC",
        "totalSupply": "595188115.5556099415",
        "dayBaseVlm": "0.0",
    }
]


def perp_dexs(universe: Universe) -> Json:
    """Return the body of `perpDexs`; the validator dex is null."""
    return [None, *(_dex_entry(dex, universe.by_dex[dex.name]) for dex in universe.dexes[1:])]


def meta(world: World, dex: Dex, now_ms: int) -> Json:
    """Return the body of `meta`."""
    listed = [world.listed(market.coin, now_ms) for market in world.universe.by_dex[dex.name]]
    return {
        "universe": [_entry(each) for each in listed],
        "marginTables": [[value, margin_table(value)] for value in sorted({e.market.leverage_max for e in listed})],
        "collateralToken": dex.collateral_token,
    }


def margin_table(leverage_max: int) -> Json:
    """Return a margin table of one tier; its id is its leverage, as the venue has it for simple ones."""
    return {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": leverage_max}]}


def perp_dex_limits(world: World, dex: Dex, now_ms: int) -> Json:
    """Return the body of `perpDexLimits`."""
    markets = [world.market(market.coin, now_ms) for market in world.universe.by_dex[dex.name]]
    return {
        "totalOiCap": f"{dex.total_oi_cap_usd:.1f}",
        "oiSzCapPerPerp": "20000000000.0",
        "maxTransferNtl": "3000000000.0",
        "coinToOiCap": [[market.coin, f"{market.oi_cap_usd:.1f}"] for market in markets],
    }


def at_open_interest_cap(world: World, dex: Dex, now_ms: int) -> Json:
    """Return the body of `perpsAtOpenInterestCap`."""
    coins = (market.coin for market in world.universe.by_dex[dex.name])
    return [coin for coin in coins if world.listed(coin, now_ms).is_at_oi_cap]


def spot_meta_and_asset_ctxs() -> Json:
    """Return the body of `spotMetaAndAssetCtxs`."""
    return [SPOT_META, _SPOT_CTXS]


def _dex_entry(dex: Dex, markets: tuple[Market, ...]) -> Json:
    return {
        "name": dex.name,
        "fullName": dex.full_name,
        "deployer": dex.deployer,
        "oracleUpdater": None,
        "feeRecipient": dex.deployer,
        "assetToStreamingOiCap": [[market.coin, f"{market.oi_cap_usd:.1f}"] for market in markets],
        "subDeployers": [["setOracle", [dex.deployer]]],
        "assetToFundingMultiplier": [[market.coin, str(dex.funding_multiplier)] for market in markets],
        "assetToFundingInterestRate": [],
        "assetToFundingClamp": [],
    }


def _entry(listed: Listed) -> Json:
    market = listed.market
    entry: Json = {
        "szDecimals": market.sz_decimals,
        "name": market.coin,
        "maxLeverage": market.leverage_max,
        "marginTableId": market.leverage_max,
    }
    if market.dex:
        entry |= {"deployerFeeScale": number_text(market.fee_scale), "lastFeeScaleChangeTime": _FEE_SCALE_SINCE}
    if market.margin_mode != "cross":
        entry |= {"onlyIsolated": True, "marginMode": market.margin_mode}
    if market.is_growth_mode:
        entry |= {"growthMode": "enabled"}
    if not listed.is_open:
        entry |= {"isDelisted": True}
    return entry
