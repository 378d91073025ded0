"""The venue's documented limits as constants, each with source and date.

Rule 1: where documents disagree the newer or the stricter one holds, and the other is named.
Rule 2: a limit is what the venue enforces; how much of it we use is decided by whoever spends it.

Sources: [docs] hyperliquid.gitbook.io, "Rate limits and user limits", as of 2026-08-17; [probe] live reads, 2026-09-24.
"""

from types import MappingProxyType

WINDOW_S = 60
"""All limits "per minute" are taken as sliding windows. [docs]"""

REQUEST_WEIGHT_MAX = 1_200
"""REST weight per IP and minute. [docs]"""
CONNECTION_COUNT_MAX = 10
"""Websockets per IP. [docs]; documents of 2025 say 100."""
CONNECT_COUNT_MAX = 30
"""New websockets per IP and minute. [docs]"""
SUBSCRIPTION_COUNT_MAX = 1_000
"""Subscriptions per IP. [docs]"""
USER_COUNT_MAX = 10
"""Distinct users over all user streams of an IP. [docs]"""
MESSAGE_COUNT_MAX = 2_000
"""Websocket messages sent per IP and minute, over all sockets. [docs]"""
POST_COUNT_MAX = 100
"""Websocket posts in flight per IP. [docs]"""
IDLE_S_MAX = 60
"""The venue closes a socket to which it has sent nothing for so long. [docs], 60.2 s measured [probe]"""

ORDER_NTL_MIN_USD = 10
"""Least notional of an order; its live text is `Order must have minimum value of $10.` [docs]"""
UNIFIED_ACTION_COUNT_MAX = 50_000
"""Actions a UTC day of an account in unified or portfolio-margin mode; standard mode has no such cap. [docs]"""
SCHEDULE_CANCEL_VOLUME_USD = 1_000_000
"""Volume an account must have traded before `scheduleCancel` is taken. The refusal names the figure; not documented."""
LIST_COUNT_MAX = 500
"""Elements of an answer about a time range; a shorter one is the last page. Fills: up to 2,000. [docs]"""

_LIGHT_WEIGHT = 2
_USUAL_WEIGHT = 20
_ITEMS_PER_WEIGHT = 20
_LISTS = frozenset(
    {"historicalOrders", "userFills", "userFillsByTime", "userFunding", "userNonFundingLedgerUpdates"}
    | {"recentTrades", "fundingHistory"}
)
_REQUEST_WEIGHTS = MappingProxyType(
    {
        "l2Book": _LIGHT_WEIGHT,
        "allMids": _LIGHT_WEIGHT,
        "clearinghouseState": _LIGHT_WEIGHT,
        "orderStatus": _LIGHT_WEIGHT,
        "spotClearinghouseState": _LIGHT_WEIGHT,
        "exchangeStatus": _LIGHT_WEIGHT,
        "userRole": 60,
    }
)


def request_weight(info_type: str) -> int:
    """Return the weight of an info request before its answer is known; an unknown type counts as a usual one.

    Lists of fills, payments and the like cost more, see `item_weight`. Source: [docs].
    """
    return _REQUEST_WEIGHTS.get(info_type, _USUAL_WEIGHT)


def item_weight(info_type: str, item_count: int) -> int:
    """Return what an answer of `item_count` items costs besides: 1 per 20 items of a list. Source: [docs]."""
    return item_count // _ITEMS_PER_WEIGHT if info_type in _LISTS else 0
