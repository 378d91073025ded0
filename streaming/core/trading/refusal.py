"""Why the venue refuses, in our words: the wire's texts and statuses are translated once, in `hyperliquid.refusals`.

Rule 1: a code is definitive evidence: the order it belongs to is over (I-03).
Rule 2: benign codes are part of trading and count towards nothing; the others count towards the latch (F-21, F-22).
Rule 3: what is not known is `UNKNOWN`, counts double, and keeps its text.
"""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Code of a refused order, cancel or action."""

    NONE = ""
    # benign: the market or the position was no longer there
    NO_MATCH = "no_match"
    REDUCE_ONLY = "reduce_only"
    MIN_NOTIONAL = "min_notional"
    NO_LIQUIDITY = "no_liquidity"
    UNKNOWN_ORDER = "unknown_order"
    # the market is not as we thought
    TICK = "tick"
    INVALID_PX = "invalid_px"
    INVALID_SZ = "invalid_sz"
    POST_ONLY_CROSSED = "post_only_crossed"
    TRIGGER_PX = "trigger_px"
    FAR_FROM_ORACLE = "far_from_oracle"
    FAR_FROM_REFERENCE = "far_from_reference"
    OI_CAP = "oi_cap"
    OI_TOO_QUICK = "oi_too_quick"
    POST_ONLY_WINDOW = "post_only_window"
    HALTED = "halted"
    DELISTED = "delisted"
    ASSET_UNKNOWN = "asset_unknown"
    # the account is not as we thought
    MARGIN = "margin"
    MARGIN_TIER = "margin_tier"
    SPOT_BALANCE = "spot_balance"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    MAX_NOTIONAL = "max_notional"
    BUILDER_FEE = "builder_fee"
    UNIFIED_ACCOUNT = "unified_account"
    SELF_TRADE = "self_trade"
    CANCELED = "canceled"
    SCHEDULED_CANCEL = "scheduled_cancel"
    LIQUIDATED = "liquidated"
    # the whole action
    NONCE_DUPLICATE = "nonce_duplicate"
    NONCE_LOW = "nonce_low"
    NONCE_WINDOW = "nonce_window"
    EXPIRED = "expired"
    ADDRESS_LIMIT = "address_limit"
    OVERWEIGHT = "overweight"
    AUTH = "auth"
    SIGNATURE = "signature"
    SCHEMA = "schema"
    SCHEDULE_VOLUME = "schedule_volume"
    VAULT = "vault"
    CLOID_USED = "cloid_used"
    RATE_LIMIT = "rate_limit"
    EMPTY_BATCH = "empty_batch"
    LEVERAGE = "leverage"
    UNKNOWN = "unknown"


BENIGN = frozenset(
    {
        RefusalCode.NO_MATCH,
        RefusalCode.REDUCE_ONLY,
        RefusalCode.MIN_NOTIONAL,
        RefusalCode.NO_LIQUIDITY,
        RefusalCode.UNKNOWN_ORDER,
        RefusalCode.OI_CAP,
        RefusalCode.CANCELED,
        RefusalCode.SCHEDULED_CANCEL,
        RefusalCode.SELF_TRADE,
    }
)
"""Counted towards nothing."""

MARKET_CODES = frozenset(
    {
        RefusalCode.OI_CAP,
        RefusalCode.OI_TOO_QUICK,
        RefusalCode.FAR_FROM_ORACLE,
        RefusalCode.POST_ONLY_WINDOW,
        RefusalCode.HALTED,
        RefusalCode.DELISTED,
    }
)
"""The market takes no risk now: no entry there for a while (F-40)."""

AUTH_CODES = frozenset({RefusalCode.AUTH, RefusalCode.SIGNATURE, RefusalCode.VAULT})
"""We may not sign for this account (any more): the first one sets the stop latch (F-43)."""

NONCE_CODES = frozenset({RefusalCode.NONCE_DUPLICATE, RefusalCode.NONCE_LOW, RefusalCode.NONCE_WINDOW})
"""The second in a row sets the stop latch (F-33)."""


def weight_of(code: RefusalCode) -> int:
    """Return how much a refusal counts towards the stop latch."""
    if code in BENIGN:
        return 0
    return 2 if code is RefusalCode.UNKNOWN else 1
