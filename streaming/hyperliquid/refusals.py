"""What the venue's texts and order statuses mean, and how much of such a text may go on.

Why this module exists: a refusal is known by its words only, which differ by release and have figures in them. They are
translated here, once; everything behind this module decides on a `RefusalCode`.

Rule 1: a text is matched by its beginning, never as a whole: live texts end with ` asset=<assetId>`.
Rule 2: what is not in the tables is `UNKNOWN`, and its text goes on (`printable`: short, printable ASCII, I-35).
Rule 3: only what ends an order for certain ends it: a status that nobody has documented and that follows neither suffix
    rule proves nothing (I-03).

Source: hyperliquid-protocol.md, sections 1.3, 1.6, 3.2 and 3.5; texts that the simulated venue has from observations.
"""

import re
from typing import Final

from streaming.core.trading.refusal import RefusalCode

TEXT_LENGTH_MAX: Final = 200
"""Characters of a venue's text that go on."""

_PREFIXES: Final[dict[str, RefusalCode]] = {
    # one order or cancel of an action
    "Price must be divisible by tick size": RefusalCode.TICK,
    "Order must have minimum value of": RefusalCode.MIN_NOTIONAL,
    "Insufficient margin to place order": RefusalCode.MARGIN,
    "Reduce only order would increase position": RefusalCode.REDUCE_ONLY,
    "Post only order would have immediately matched": RefusalCode.POST_ONLY_CROSSED,
    "Order could not immediately match": RefusalCode.NO_MATCH,
    "Invalid TP/SL price": RefusalCode.TRIGGER_PX,
    "No liquidity available for market order": RefusalCode.NO_LIQUIDITY,
    "Order would increase open interest while open interest is capped": RefusalCode.OI_CAP,
    "Order rejected due to price more aggressive than oracle": RefusalCode.OI_CAP,
    "Order would increase open interest too quickly": RefusalCode.OI_TOO_QUICK,
    "Order has insufficient spot balance": RefusalCode.SPOT_BALANCE,
    "Insufficient spot balance": RefusalCode.SPOT_BALANCE,
    "Order price too far from oracle": RefusalCode.FAR_FROM_ORACLE,
    "Price too far from oracle": RefusalCode.FAR_FROM_ORACLE,
    "Order would cause position to exceed margin tier limit": RefusalCode.MARGIN_TIER,
    # followed by 80 % or 95 %, depending on the release
    "Order price cannot be more than": RefusalCode.FAR_FROM_REFERENCE,
    "Order has invalid price": RefusalCode.INVALID_PX,
    "Order has invalid size": RefusalCode.INVALID_SZ,
    "Order has zero size": RefusalCode.INVALID_SZ,
    "Only post-only orders allowed": RefusalCode.POST_ONLY_WINDOW,
    "Too many open orders": RefusalCode.TOO_MANY_OPEN_ORDERS,
    "Trading is halted": RefusalCode.HALTED,
    "Unknown asset": RefusalCode.ASSET_UNKNOWN,
    "Order exceeds maximum order value": RefusalCode.MAX_NOTIONAL,
    "Cloid already used": RefusalCode.CLOID_USED,
    "Order was never placed, already canceled, or filled": RefusalCode.UNKNOWN_ORDER,
    "Cannot modify canceled or filled order": RefusalCode.UNKNOWN_ORDER,
    "Trigger orders are not supported": RefusalCode.SCHEMA,
    # the budget, the nonce, the signer
    "Too many cumulative requests sent": RefusalCode.ADDRESS_LIMIT,
    "Invalid nonce: duplicate nonce": RefusalCode.NONCE_DUPLICATE,
    "Invalid nonce: nonce too low": RefusalCode.NONCE_LOW,
    # two places of one request that disagree: no nonce was judged
    "Invalid nonce: action nonce": RefusalCode.SCHEMA,
    "Invalid nonce": RefusalCode.NONCE_WINDOW,
    "Action already expired": RefusalCode.EXPIRED,
    "Must deposit before performing actions": RefusalCode.AUTH,
    "User or API Wallet": RefusalCode.AUTH,
    "Signer does not match user": RefusalCode.AUTH,
    "Extra agent": RefusalCode.AUTH,
    "Too many extra agents": RefusalCode.AUTH,
    "Agent name is too long": RefusalCode.AUTH,
    "Agent valid_until already expired": RefusalCode.AUTH,
    "Agent can only send asset": RefusalCode.AUTH,
    "User has pending agent removal": RefusalCode.AUTH,
    "Unable to recover signer": RefusalCode.SIGNATURE,
    "Vault not registered": RefusalCode.VAULT,
    # the action itself
    "Signed action over weight limit": RefusalCode.OVERWEIGHT,
    "Orders are empty": RefusalCode.EMPTY_BATCH,
    "Builder fee has not been approved": RefusalCode.BUILDER_FEE,
    "Invalid builder fee rate": RefusalCode.BUILDER_FEE,
    "Too many approved builders": RefusalCode.BUILDER_FEE,
    "Action disabled when unified account is active": RefusalCode.UNIFIED_ACCOUNT,
    # the planned cancel can not be had: too little traded, or used too often today
    "Cannot set scheduled cancel time": RefusalCode.SCHEDULE_VOLUME,
    "Too many scheduled cancels": RefusalCode.SCHEDULE_VOLUME,
    "Cannot create sub-accounts until enough volume traded": RefusalCode.SCHEDULE_VOLUME,
    "Scheduled cancel time must be": RefusalCode.SCHEMA,
    "Failed to deserialize the JSON body": RefusalCode.SCHEMA,
    "Failed to parse the request body as JSON": RefusalCode.SCHEMA,
    "Attempted to modify to invalid new order": RefusalCode.SCHEMA,
    "Priority fee needs orders": RefusalCode.SCHEMA,
    "Only grouping": RefusalCode.SCHEMA,
    "expiresAfter is not supported": RefusalCode.SCHEMA,
    "Referral code not registered": RefusalCode.SCHEMA,
    "too many pending post requests": RefusalCode.RATE_LIMIT,
    # leverage, margin and money
    "Invalid leverage value": RefusalCode.LEVERAGE,
    "Cross margin is not allowed": RefusalCode.LEVERAGE,
    "Cannot switch leverage type": RefusalCode.LEVERAGE,
    "Cannot decrease leverage": RefusalCode.LEVERAGE,
    "Cross position does not have sufficient margin": RefusalCode.LEVERAGE,
    "Isolated position does not have sufficient margin": RefusalCode.LEVERAGE,
    "Position does not use isolated margin": RefusalCode.LEVERAGE,
    "Asset not strict isolated": RefusalCode.LEVERAGE,
    "Cannot update margin for empty position": RefusalCode.LEVERAGE,
    "Update to isolated margin cannot be zero": RefusalCode.LEVERAGE,
    "Cannot remove isolated margin": RefusalCode.LEVERAGE,
    "Account does not have sufficient margin": RefusalCode.MARGIN,
    "Position does not have sufficient margin": RefusalCode.MARGIN,
    "Insufficient balance for withdrawal": RefusalCode.MARGIN,
    "Insufficient balance for token transfer": RefusalCode.SPOT_BALANCE,
    "Only the collateral token": RefusalCode.ASSET_UNKNOWN,
    "Invalid perp dex": RefusalCode.ASSET_UNKNOWN,
    "Invalid amount": RefusalCode.INVALID_SZ,
}
_ORDERED: Final = tuple(
    sorted(((prefix.lower(), code) for prefix, code in _PREFIXES.items()), key=lambda row: -len(row[0]))
)
"""The longest beginning decides: one may begin like another."""
_WRAPPERS: Final = ("l1 error: ", "error placing new order during modify: ")
"""What stands before some texts, depending on release and action."""
_is_unsupported = re.compile(r"action \w{1,40} is not supported", re.ASCII).match

_LIVE: Final = frozenset({"open", "triggered", "resting"})
_STATUSES: Final[dict[str, RefusalCode]] = {
    "open": RefusalCode.NONE,
    "triggered": RefusalCode.NONE,
    "resting": RefusalCode.NONE,
    "filled": RefusalCode.NONE,
    "canceled": RefusalCode.CANCELED,
    # the reason stands in the answer to the action only
    "rejected": RefusalCode.UNKNOWN,
    "marginCanceled": RefusalCode.MARGIN,
    "vaultWithdrawalCanceled": RefusalCode.CANCELED,
    "openInterestCapCanceled": RefusalCode.OI_CAP,
    "selfTradeCanceled": RefusalCode.SELF_TRADE,
    "reduceOnlyCanceled": RefusalCode.REDUCE_ONLY,
    "siblingFilledCanceled": RefusalCode.CANCELED,
    "delistedCanceled": RefusalCode.DELISTED,
    "liquidatedCanceled": RefusalCode.LIQUIDATED,
    "outcomeSettledCanceled": RefusalCode.CANCELED,
    "scheduledCancel": RefusalCode.SCHEDULED_CANCEL,
    "internalCancel": RefusalCode.CANCELED,
    "tickRejected": RefusalCode.TICK,
    "minTradeNtlRejected": RefusalCode.MIN_NOTIONAL,
    "perpMarginRejected": RefusalCode.MARGIN,
    "reduceOnlyRejected": RefusalCode.REDUCE_ONLY,
    "badAloPxRejected": RefusalCode.POST_ONLY_CROSSED,
    "iocCancelRejected": RefusalCode.NO_MATCH,
    "badTriggerPxRejected": RefusalCode.TRIGGER_PX,
    "marketOrderNoLiquidityRejected": RefusalCode.NO_LIQUIDITY,
    "positionIncreaseAtOpenInterestCapRejected": RefusalCode.OI_CAP,
    "positionFlipAtOpenInterestCapRejected": RefusalCode.OI_CAP,
    "tooAggressiveAtOpenInterestCapRejected": RefusalCode.OI_CAP,
    "openInterestIncreaseRejected": RefusalCode.OI_TOO_QUICK,
    "insufficientSpotBalanceRejected": RefusalCode.SPOT_BALANCE,
    "oracleRejected": RefusalCode.FAR_FROM_ORACLE,
    "perpMaxPositionRejected": RefusalCode.MARGIN_TIER,
    "tooManyOpenOrdersRejected": RefusalCode.TOO_MANY_OPEN_ORDERS,
}


def code_of_text(text: str) -> RefusalCode:
    """Return what a refusal text means: of an order, of a cancel or of a whole action."""
    cut = text[:TEXT_LENGTH_MAX].lower()
    for wrapper in _WRAPPERS:
        cut = cut.removeprefix(wrapper)
    if _is_unsupported(cut):
        return RefusalCode.SCHEMA
    return next((code for prefix, code in _ORDERED if cut.startswith(prefix)), RefusalCode.UNKNOWN)


def code_of_status(status: str) -> RefusalCode:
    """Return what an order status means; `NONE` for an order that lives or was filled."""
    code = _STATUSES.get(status)
    if code is not None:
        return code
    return RefusalCode.CANCELED if status.endswith("Canceled") else RefusalCode.UNKNOWN


def is_over(status: str) -> bool:
    """Tell whether an order status is definitive evidence that the order can not be filled any further."""
    if status in _STATUSES:
        return status not in _LIVE
    return status.endswith(("Canceled", "Rejected"))


def printable(text: str, length_max: int) -> str:
    """Return `text` as at most `length_max` characters of printable ASCII; everything else is escaped."""
    cut = text[:length_max]
    return cut if cut.isascii() and cut.isprintable() else ascii(cut)[1:-1][:length_max]
