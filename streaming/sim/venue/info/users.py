"""User bodies of the info endpoint, one function a type.

Rule 1: a function gets the request as it came and raises what the venue answers to a wrong one.
Rule 2: types that only exist so that clients get the documented empty shape are in `EMPTY`: no staking, vaults, TWAPs.
Rule 3: answers over a time range have at most 500 items (fills 2,000), oldest first; the next page begins at the last.

Source: hyperliquid-protocol.md, section 2; recorded bodies in shared/data/wire.
"""

import re
from collections.abc import Callable

from streaming.core.units import BPS, ZERO
from streaming.sim.exchange.accounts.accounts import Account
from streaming.sim.exchange.accounts.fees import user_fees_body
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.exchange import Exchange
from streaming.sim.exchange.texts import usd_text
from streaming.sim.venue.info import user_bodies
from streaming.sim.venue.info.requests import (
    NullError,
    Request,
    dex_field,
    flag_field,
    int_field,
    optional_int_field,
    text_field,
    user_field,
)

ITEMS_MAX = 500
_CLOID = re.compile(r"0x[0-9a-fA-F]{32}", re.ASCII).fullmatch

Body = Callable[[Exchange, Request, int], Json]


def _account(exchange: Exchange, request: Request, now_ms: int) -> Account:
    return user_bodies.account_of(exchange, user_field(request), now_ms)


def _clearinghouse_state(exchange: Exchange, request: Request, now_ms: int) -> Json:
    dex = dex_field(request, exchange.accounts.universe)
    return user_bodies.clearinghouse_state(exchange, user_field(request), dex.name, now_ms)


def _spot_state(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return user_bodies.spot_state(exchange, user_field(request), now_ms)


def _open_orders(exchange: Exchange, request: Request, _now_ms: int) -> Json:
    dex = dex_field(request, exchange.accounts.universe)
    return user_bodies.open_orders(exchange, user_field(request), dex.name)


def _frontend_open_orders(exchange: Exchange, request: Request, _now_ms: int) -> Json:
    dex = dex_field(request, exchange.accounts.universe)
    return user_bodies.frontend_open_orders(exchange, user_field(request), dex.name)


def _order_status(exchange: Exchange, request: Request, _now_ms: int) -> Json:
    user, key = user_field(request), request.get("oid")
    if isinstance(key, str) and _CLOID(key) is not None:
        return exchange.orders.status(user, key)
    return exchange.orders.status(user, int_field(request, "oid"))


def _historical_orders(exchange: Exchange, request: Request, _now_ms: int) -> Json:
    return exchange.orders.history(user_field(request))


def _user_fills(exchange: Exchange, request: Request, now_ms: int) -> Json:
    is_aggregated = flag_field(request, "aggregateByTime")
    return user_bodies.recent_fills(exchange, user_field(request), now_ms, is_aggregated=is_aggregated)


def _user_fills_by_time(exchange: Exchange, request: Request, now_ms: int) -> Json:
    start_ms, end_ms = _span(request, now_ms)
    is_aggregated = flag_field(request, "aggregateByTime")
    fills = user_bodies.fills_between(
        _account(exchange, request, now_ms), start_ms, end_ms, is_aggregated=is_aggregated
    )
    if flag_field(request, "reversed"):
        fills.reverse()
    return fills[: user_bodies.FILLS_MAX]


def _user_funding(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return _items(_account(exchange, request, now_ms).fundings, *_span(request, now_ms))


def _ledger_updates(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return _items(_account(exchange, request, now_ms).ledger, *_span(request, now_ms))


def _items(items: Json, start_ms: int, end_ms: int) -> Json:
    return [item for item in items if start_ms <= item["time"] <= end_ms][:ITEMS_MAX]


def _span(request: Request, now_ms: int) -> tuple[int, int]:
    start_ms, end_ms = int_field(request, "startTime"), optional_int_field(request, "endTime")
    return start_ms, now_ms if end_ms is None else end_ms


def _user_fees(exchange: Exchange, request: Request, now_ms: int) -> Json:
    account = _account(exchange, request, now_ms)
    return user_fees_body(account.volumes, now_ms, exchange.accounts.house.volume_usd)


def _user_rate_limit(exchange: Exchange, request: Request, _now_ms: int) -> Json:
    return exchange.budget.body(user_field(request))


def _user_role(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return exchange.authority.role_of(user_field(request), now_ms, exchange.accounts.is_known)


def _extra_agents(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return exchange.authority.agents_of(user_field(request), now_ms)


def _abstraction(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return _account(exchange, request, now_ms).abstraction


def _dex_abstraction(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return True if _account(exchange, request, now_ms).abstraction == "dexAbstraction" else None


def _active_asset_data(exchange: Exchange, request: Request, now_ms: int) -> Json:
    user, coin = user_field(request), text_field(request, "coin")
    if coin not in exchange.accounts.universe.by_coin:
        raise NullError
    return user_bodies.active_asset_data(exchange, user, coin, now_ms)


def _web_data3(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return user_bodies.web_data3(exchange, user_field(request), now_ms)


def _portfolio(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return user_bodies.portfolio(exchange, user_field(request), now_ms)


def _max_builder_fee(exchange: Exchange, request: Request, now_ms: int) -> Json:
    account = _account(exchange, request, now_ms)
    approved = account.builder_fee_max.get(user_field(request, "builder"), ZERO)
    return int(approved * BPS * 10)


def _approved_builders(exchange: Exchange, request: Request, now_ms: int) -> Json:
    return list(_account(exchange, request, now_ms).builder_fee_max)


def _referral(exchange: Exchange, request: Request, now_ms: int) -> Json:
    account = _account(exchange, request, now_ms)
    return {
        "referredBy": None,
        "cumVlm": usd_text(account.volumes.total_usd),
        "unclaimedRewards": "0.0",
        "claimedRewards": "0.0",
        "builderRewards": "0.0",
        "referrerState": {"stage": "needToTrade", "data": {"required": "10000.0"}},
        "rewardHistory": [],
        "tokenToState": [],
    }


EMPTY: dict[str, Json] = {
    "subAccounts": None,
    "subAccounts2": None,
    "userToMultiSigSigners": None,
    "userVaultEquities": [],
    "userTwapSliceFills": [],
    "userTwapSliceFillsByTime": [],
    "twapHistory": [],
    "delegations": [],
    "delegatorRewards": [],
    "delegatorHistory": [],
    "delegatorSummary": {
        "delegated": "0.0",
        "undelegated": "0.0",
        "totalPendingWithdrawal": "0.0",
        "nPendingWithdrawals": 0,
    },
    "legalCheck": {"ipAllowed": True, "acceptedTerms": True, "userAllowed": True},
}
"""Type → its answer for everybody."""


def _empty(_exchange: Exchange, request: Request, _now_ms: int) -> Json:
    user_field(request)
    return EMPTY[text_field(request, "type")]


BODIES: dict[str, Body] = {
    "clearinghouseState": _clearinghouse_state,
    "spotClearinghouseState": _spot_state,
    "openOrders": _open_orders,
    "frontendOpenOrders": _frontend_open_orders,
    "orderStatus": _order_status,
    "historicalOrders": _historical_orders,
    "userFills": _user_fills,
    "userFillsByTime": _user_fills_by_time,
    "userFunding": _user_funding,
    "userNonFundingLedgerUpdates": _ledger_updates,
    "userFees": _user_fees,
    "userRateLimit": _user_rate_limit,
    "userRole": _user_role,
    "extraAgents": _extra_agents,
    "userAbstraction": _abstraction,
    "userDexAbstraction": _dex_abstraction,
    "activeAssetData": _active_asset_data,
    "webData3": _web_data3,
    "portfolio": _portfolio,
    "maxBuilderFee": _max_builder_fee,
    "approvedBuilders": _approved_builders,
    "referral": _referral,
    **dict.fromkeys(EMPTY, _empty),
}
"""Info type → its body; the request's `type` is one of these."""
