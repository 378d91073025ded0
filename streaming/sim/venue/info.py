"""Bodies of the info endpoint: the documented shapes, filled from the universe and the tape.

Rule 1: an answer is (status, body, content type); errors have the venue's own texts and codes.
Rule 2: the validator dex and spot exist so far as clients must know their names; they have no live market here.
"""

from typing import Any

import msgspec

from streaming.sim.scenario.universe import VALIDATOR_DEX, Dex, Market
from streaming.sim.venue.books import SLOW_LEVELS, book
from streaming.sim.venue.tape import Tape
from streaming.sim.venue.wire import MarketTexts

Json = Any
"""Whatever JSON holds."""
Answer = tuple[int, bytes, str]

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
BAD_SHAPE_TEXT = "Failed to deserialize the JSON body into the target type"
BAD_SHAPE: Answer = (422, BAD_SHAPE_TEXT.encode(), _TEXT)
BAD_JSON: Answer = (400, b"Failed to parse the request body as JSON", _TEXT)
BAD_CONTENT_TYPE: Answer = (415, b"Expected request with `Content-Type: application/json`", _TEXT)
UNKNOWN_DEX: Answer = (500, b"null", _JSON)

_SPOT_META = {
    "universe": [{"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True}],
    "tokens": [
        {
            "name": "USDC",
            "szDecimals": 8,
            "weiDecimals": 8,
            "index": 0,
            "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
            "isCanonical": True,
            "evmContract": None,
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
_USER_FEES: Json = {
    "dailyUserVlm": [],
    "feeSchedule": {
        "cross": "0.00045",
        "add": "0.00015",
        "spotCross": "0.0007",
        "spotAdd": "0.0004",
        "tiers": {
            "vip": [
                {
                    "ntlCutoff": "5000000.0",
                    "cross": "0.0004",
                    "add": "0.00012",
                    "spotCross": "0.0006",
                    "spotAdd": "0.0003",
                }
            ],
            "mm": [{"makerFractionCutoff": "0.005", "add": "-0.00001"}],
        },
        "referralDiscount": "0.04",
        "stakingDiscountTiers": [{"bpsOfMaxSupply": "0.0001", "discount": "0.05"}],
    },
    "userCrossRate": "0.00045",
    "userAddRate": "0.00015",
    "userSpotCrossRate": "0.0007",
    "userSpotAddRate": "0.0004",
    "activeReferralDiscount": "0.0",
    "trial": None,
    "feeTrialEscrow": "0.0",
    "nextTrialAvailableTimestamp": None,
    "stakingLink": None,
    "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
}


_FEE_SCALE_SINCE = "2025-11-23T17:37:10.033211662"


class _BadShapeError(Exception):
    """A field is missing or of the wrong type."""


class _UnknownDexError(Exception):
    """A dex nobody deployed."""


class Info:
    """Answers info requests as of an instant."""

    def __init__(self, tape: Tape) -> None:
        """Answer from `tape`."""
        self._tape = tape
        self.texts = {market.coin: MarketTexts(market) for market in tape.markets}
        self._universe = tape.universe
        self._answers = {
            "perpDexs": self._perp_dexs,
            "meta": self._meta,
            "metaAndAssetCtxs": self._meta_and_asset_ctxs,
            "allPerpMetas": self._all_perp_metas,
            "perpDexLimits": self._perp_dex_limits,
            "perpDexStatus": self._perp_dex_status,
            "perpsAtOpenInterestCap": self._perps_at_open_interest_cap,
            "userFees": self._user_fees,
            "exchangeStatus": self._exchange_status,
            "spotMeta": self._spot_meta,
            "allMids": self._all_mids,
            "l2Book": self._l2_book,
        }

    def answer(self, request: Json, now_ms: int) -> Answer:
        """Return status, body and content type for a decoded request."""
        try:
            return 200, msgspec.json.encode(self.value(request, now_ms)), _JSON
        except _BadShapeError:
            return BAD_SHAPE
        except _UnknownDexError:
            return UNKNOWN_DEX

    def post_payload(self, request: Json, now_ms: int) -> tuple[str, Json]:
        """Return (response type, payload) for an info request over the websocket."""
        try:
            return "info", {"type": request.get("type"), "data": self.value(request, now_ms)}
        except _BadShapeError:
            return "error", f"422 {BAD_SHAPE_TEXT}"
        except _UnknownDexError:
            return "error", "500 null"

    def value(self, request: Json, now_ms: int) -> Json:
        """Return the JSON value of an answer.

        Raises:
            _BadShapeError: No such type, or a field is missing or wrong.
            _UnknownDexError: The dex is not listed.
        """
        handler = self._answers.get(request["type"]) if _is_named(request) else None
        if handler is None:
            raise _BadShapeError
        return handler(request, now_ms)

    def _perp_dexs(self, _request: dict[str, Json], _now_ms: int) -> Json:
        return [None, *(_dex_entry(dex, self._universe.by_dex[dex.name]) for dex in self._universe.dexes[1:])]

    def _meta(self, request: dict[str, Json], _now_ms: int) -> Json:
        dex = self._dex_of(request)
        markets = self._universe.by_dex[dex.name]
        return {
            "universe": [_listed(market) for market in markets],
            "marginTables": _margin_tables({market.leverage_max for market in markets}),
            "collateralToken": dex.collateral_token,
        }

    def _meta_and_asset_ctxs(self, request: dict[str, Json], now_ms: int) -> Json:
        markets = self._universe.by_dex[self._dex_of(request).name]
        ctxs = [self.texts[m.coin].ctx(*self._tape.latest("ctx", m.coin, now_ms)) for m in markets]
        return [self._meta(request, now_ms), ctxs]

    def _all_perp_metas(self, _request: dict[str, Json], now_ms: int) -> Json:
        return [self._meta({"dex": dex.name}, now_ms) for dex in self._universe.dexes]

    def _perp_dex_limits(self, request: dict[str, Json], _now_ms: int) -> Json:
        name = _text(request, "dex")
        dex = next((dex for dex in self._universe.dexes[1:] if dex.name == name), None)
        if dex is None:
            return None
        return {
            "totalOiCap": f"{dex.total_oi_cap_usd:.1f}",
            "oiSzCapPerPerp": "20000000000.0",
            "maxTransferNtl": "3000000000.0",
            "coinToOiCap": [[market.coin, f"{market.oi_cap_usd:.1f}"] for market in self._universe.by_dex[name]],
        }

    def _perp_dex_status(self, request: dict[str, Json], _now_ms: int) -> Json:
        self._dex_of(request)
        return {"totalNetDeposit": "1317092600.0"}

    def _perps_at_open_interest_cap(self, request: dict[str, Json], _now_ms: int) -> Json:
        self._dex_of(request)
        return []

    def _user_fees(self, request: dict[str, Json], _now_ms: int) -> Json:
        if not is_address(_text(request, "user")):
            raise _BadShapeError
        return _USER_FEES

    def _exchange_status(self, _request: dict[str, Json], now_ms: int) -> Json:
        return {"specialStatuses": None, "time": now_ms}

    def _spot_meta(self, _request: dict[str, Json], _now_ms: int) -> Json:
        return _SPOT_META

    def _all_mids(self, request: dict[str, Json], now_ms: int) -> Json:
        return self.mids(now_ms, self._dex_of(request).name)

    def mids(self, now_ms: int, dex: str) -> dict[str, str]:
        """Return the mid of every market of a dex; without one the mark stands in, as there is no last trade."""
        markets = self._universe.by_dex[dex]
        ctxs = {m.coin: self.texts[m.coin].ctx(*self._tape.latest("ctx", m.coin, now_ms)) for m in markets}
        return {coin: str(ctx["midPx"] or ctx["markPx"]) for coin, ctx in ctxs.items()}

    def _l2_book(self, request: dict[str, Json], now_ms: int) -> Json:
        coin = _text(request, "coin")
        return self.book(coin, now_ms, SLOW_LEVELS) if coin in self._universe.by_coin else None

    def book(self, coin: str, now_ms: int, count: int) -> dict[str, Json]:
        """Return the book of a market."""
        place = self._tape.latest("bbo", coin, now_ms)
        return {
            "coin": coin,
            "time": now_ms,
            "levels": book(self._universe.by_coin[coin], self.texts[coin], *place, count),
        }

    def _dex_of(self, request: dict[str, Json]) -> Dex:
        name = VALIDATOR_DEX if request.get("dex") is None else _text(request, "dex")
        for dex in self._universe.dexes:
            if dex.name == name:
                return dex
        raise _UnknownDexError


def is_address(text: str) -> bool:
    """Tell whether `text` is 0x and 40 hexadecimal digits."""
    return len(text) == 42 and text.startswith("0x") and all(c in "0123456789abcdefABCDEF" for c in text[2:])


def _is_named(request: Json) -> bool:
    return isinstance(request, dict) and isinstance(request.get("type"), str)


def _text(request: dict[str, Json], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise _BadShapeError
    return value


def _dex_entry(dex: Dex, markets: tuple[Market, ...]) -> dict[str, Json]:
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


def _listed(market: Market) -> dict[str, Json]:
    entry: dict[str, Json] = {
        "szDecimals": market.sz_decimals,
        "name": market.coin,
        "maxLeverage": market.leverage_max,
        "marginTableId": market.leverage_max,
    }
    if market.dex:
        entry |= {"deployerFeeScale": f"{market.fee_scale:.1f}", "lastFeeScaleChangeTime": _FEE_SCALE_SINCE}
    # Keys that exist only when set, as on the wire.
    if market.margin_mode != "cross":
        entry |= {"onlyIsolated": True, "marginMode": market.margin_mode}
    if market.is_growth_mode:
        entry |= {"growthMode": "enabled"}
    return entry


def _margin_tables(leverages: set[int]) -> list[Json]:
    return [
        [leverage, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": leverage}]}]
        for leverage in sorted(leverages)
    ]
