"""Answers of the bench venue to info requests: a flat account with money, markets that nothing is wrong with.

What a bench asks of a venue is speed: bodies are made once, no request is judged, and an unknown type gets null.
Source of the shapes: hyperliquid-protocol.md, section 2; `streaming.sim.venue.info` serves the same, live.
"""

from collections.abc import Callable, Mapping, Sequence

from streaming.sim.bench.market import DEX, SZ_DECIMALS, BenchMarket
from streaming.sim.bench.order import Trader
from streaming.sim.exchange.accounts.fees import Volumes, user_fees_body
from streaming.sim.exchange.events import Json
from streaming.sim.venue.info.requests import Request
from streaming.sim.venue.info.users import EMPTY
from streaming.sim.venue.market.listing import SPOT_META, margin_table

_DEPLOYER = "0x" + "de" * 20
_LEVERAGE_MAX = 20
_USD = "100000.0"
_SUMMARY: Json = {"accountValue": _USD, "totalNtlPos": "0.0", "totalRawUsd": _USD, "totalMarginUsed": "0.0"}


def bodies(markets: Sequence[BenchMarket], trader: Trader) -> Mapping[str, Callable[[Request, int], Json]]:
    """Return info type → body of (request, now_ms), for `markets` and the account of `trader`."""
    metas = {
        DEX: _meta([_listed(market.coin) | {"deployerFeeScale": "1.0", "growthMode": "enabled"} for market in markets]),
        "": _meta([_listed("BTC")]),
    }
    caps = [[market.coin, "1000000000.0"] for market in markets]
    dex = {
        "name": DEX,
        "fullName": "bench",
        "deployer": _DEPLOYER,
        "oracleUpdater": None,
        "assetToStreamingOiCap": caps,
    }
    limits = {
        "totalOiCap": "10000000000.0",
        "oiSzCapPerPerp": "20000000000.0",
        "maxTransferNtl": "3000000000.0",
        "coinToOiCap": caps,
    }
    roles: dict[str, Json] = {
        trader.account: {"role": "user"},
        trader.agent: {"role": "agent", "data": {"user": trader.account}},
    }
    constant: dict[str, Json] = {
        **EMPTY,
        "perpDexs": [None, dex],
        "spotMeta": SPOT_META,
        "perpDexLimits": limits,
        "perpDexStatus": {"totalNetDeposit": "1317092600.0"},
        "perpsAtOpenInterestCap": [],
        "spotClearinghouseState": {
            "balances": [{"coin": "USDC", "token": 0, "total": _USD, "hold": "0.0", "entryNtl": "0.0"}]
        },
        "userRateLimit": {
            "cumVlm": "5000000.0",
            "nRequestsUsed": 0,
            "nRequestsCap": 5_010_000,
            "nRequestsSurplus": 0,
        },
        "extraAgents": [{"name": "bench", "address": trader.agent, "validUntil": 4_000_000_000_000}],
        "orderStatus": {"status": "unknownOid"},
        "userAbstraction": "disabled",
        "userDexAbstraction": None,
        "maxBuilderFee": 0,
    }
    answers: dict[str, Callable[[Request, int], Json]] = {
        info_type: _always(body) for info_type, body in constant.items()
    }
    for info_type in ("openOrders", "frontendOpenOrders", "userFills", "userFillsByTime", "userFunding"):
        answers[info_type] = _always([])
    return answers | {
        "meta": lambda request, _: metas[str(request.get("dex") or "")],
        "allPerpMetas": lambda *_: [metas[""], metas[DEX]],
        "marginTable": lambda *_: margin_table(_LEVERAGE_MAX),
        "exchangeStatus": lambda _, now_ms: {"specialStatuses": None, "time": now_ms},
        "userFees": lambda _, now_ms: user_fees_body(Volumes(), now_ms, {}),
        "userRole": lambda request, _: roles.get(str(request.get("user")).lower(), {"role": "missing"}),
        "clearinghouseState": _clearinghouse_state,
        "activeAssetData": _active_asset_data,
        "webData3": _web_data3,
    }


def _always(body: Json) -> Callable[[Request, int], Json]:
    return lambda _request, _now_ms: body


def _listed(name: str) -> Json:
    return {
        "name": name,
        "szDecimals": SZ_DECIMALS,
        "maxLeverage": _LEVERAGE_MAX,
        "marginTableId": _LEVERAGE_MAX,
    }


def _meta(universe: Json) -> Json:
    tables = [[_LEVERAGE_MAX, margin_table(_LEVERAGE_MAX)]]
    return {"universe": universe, "marginTables": tables, "collateralToken": 0}


def _clearinghouse_state(_request: Request, now_ms: int) -> Json:
    return {
        "marginSummary": _SUMMARY,
        "crossMarginSummary": _SUMMARY,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": _USD,
        "assetPositions": [],
        "time": now_ms,
    }


def _active_asset_data(request: Request, _now_ms: int) -> Json:
    return {
        "user": request.get("user"),
        "coin": request.get("coin"),
        "leverage": {"type": "cross", "value": _LEVERAGE_MAX},
        "maxTradeSzs": ["1000.0", "1000.0"],
        "availableToTrade": [_USD, _USD],
        "markPx": "80.0",
    }


def _web_data3(request: Request, now_ms: int) -> Json:
    user_state = {
        "agentAddress": None,
        "agentValidUntil": None,
        "cumLedger": _USD,
        "serverTime": now_ms,
        "isVault": False,
        "user": request.get("user"),
        "abstraction": "disabled",
    }
    return {"userState": user_state, "perpDexStates": [{"totalVaultEquity": "0.0"}] * 2}
