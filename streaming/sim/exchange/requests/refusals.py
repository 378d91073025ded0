"""Every text with which the exchange refuses, and the statuses of orders: one place, spelled as the real venue does.

Rule 1: a client matches by prefix, so per-order texts get ` asset=<assetId>` appended (`of_asset`).
Rule 2: texts known from documents or observations come first; those that nobody has recorded stand under "Unverified".

Source: hyperliquid-protocol.md, sections 1.6 and 3.5; texts about agents: observed by others on testnet, 2026-09;
texts about leverage, isolated margin, modifies and empty batches: probes and listings of the node by others, 2026.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from streaming.sim.exchange.events import Json


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole action is refused: HTTP 200 with `status: err`."""

    text: str
    request_factor: int = 0
    """How many times its requests a refused action costs of the address budget: 5 for a stale `expiresAfter`."""

    @property
    def body(self) -> Json:
        """Body of the answer."""
        return {"status": "err", "response": self.text}


# HTTP text
UNREADABLE: Final = "Failed to deserialize the JSON body into the target type"
"""With status 422: unknown type, missing field, wrong type of a field."""

# A: whole actions
OVERWEIGHT: Final = "Signed action over weight limit of 200."
UNRECOVERABLE: Final = "Unable to recover signer."
EXPIRED: Final = "Action already expired"
BUILDER_NOT_APPROVED: Final = "Builder fee has not been approved"
UNIFIED: Final = "Action disabled when unified account is active"
NO_CROSS: Final = "Cross margin is not allowed for this asset."
LEVERAGE_TYPE: Final = "Cannot switch leverage type with open position."
LEVERAGE_DECREASE_CROSS: Final = (
    "Cross position does not have sufficient margin available to decrease leverage. "
    "To decrease leverage, deposit more collateral."
)
LEVERAGE_DECREASE_ISOLATED: Final = (
    "Isolated position does not have sufficient margin available to decrease leverage. "
    "To decrease leverage, add margin to the position."
)
"""Observed 2026; the older text refused every decrease: `Cannot decrease leverage with open position.`"""
LEVERAGE_INVALID: Final = "Invalid leverage value"
NOT_ISOLATED: Final = "Position does not use isolated margin."
NOT_STRICT: Final = "Asset not strict isolated"
NO_POSITION: Final = "Cannot update margin for empty position."
MARGIN_CHANGE_ZERO: Final = "Update to isolated margin cannot be zero."
MARGIN_NOT_ADDED: Final = "Account does not have sufficient margin available for increase."
MARGIN_NOT_REMOVED: Final = "Position does not have sufficient margin for reduction."
MARGIN_NOT_REMOVABLE: Final = "Cannot remove isolated margin for this asset. To remove margin, reduce the position."
AGENT_USED: Final = "Extra agent already used."
AGENT_UNKNOWN: Final = "Extra agent does not exist."
AGENT_EXPIRED: Final = "Agent valid_until already expired."
"""Also for an expiry more than 180 days ahead."""
AGENT_PENDING_REMOVAL: Final = "User has pending agent removal"
AGENT_SENDS_AWAY: Final = "Agent can only send asset to same user or their sub-accounts."
REFERRAL_UNKNOWN: Final = "Referral code not registered"
TRANSFER_BALANCE: Final = "Insufficient balance for token transfer."
WITHDRAWAL_BALANCE: Final = "Insufficient balance for withdrawal."
NOT_MODIFIABLE: Final = "Cannot modify canceled or filled order"
MODIFY_INVALID: Final = "Attempted to modify to invalid new order"
"""The old order stays where it is. Observed 2026: IOC, the other side, a value below the minimum."""
EMPTY_BATCH: Final = "Orders are empty"

# B: one order or cancel of a batch
TICK: Final = "Price must be divisible by tick size."
MIN_NOTIONAL: Final = "Order must have minimum value of $10."
MARGIN: Final = "Insufficient margin to place order."
REDUCE_ONLY: Final = "Reduce only order would increase position."
IOC_NO_MATCH: Final = "Order could not immediately match against any resting orders."
TRIGGER_PX: Final = "Invalid TP/SL price."
NO_LIQUIDITY: Final = "No liquidity available for market order."
OI_CAP: Final = "Order would increase open interest while open interest is capped"
OI_CAP_AGGRESSIVE: Final = "Order rejected due to price more aggressive than oracle while at open interest cap"
OI_TOO_QUICK: Final = "Order would increase open interest too quickly"
SPOT_BALANCE: Final = "Order has insufficient spot balance to trade"
FAR_FROM_ORACLE: Final = "Price too far from oracle"
MARGIN_TIER: Final = "Order would cause position to exceed margin tier limit at current leverage"
INVALID_PX: Final = "Order has invalid price."
INVALID_SZ: Final = "Order has invalid size."
ZERO_SZ: Final = "Order has zero size."
POST_ONLY_WINDOW: Final = "Only post-only orders allowed immediately after network upgrade"
UNKNOWN_ORDER: Final = "Order was never placed, already canceled, or filled."
"""For a cancel; the same whether the order was filled or never existed."""

# Unverified: the condition is documented, its exact text is not
HALTED: Final = "Trading is halted."
TOO_MANY_OPEN_ORDERS: Final = "Too many open orders"
AGENT_NAME_TOO_LONG: Final = "Agent name is too long."
BUILDER_FEE_INVALID: Final = "Invalid builder fee rate."
TOO_MANY_BUILDERS: Final = "Too many approved builders"
USER_MISMATCH: Final = "Signer does not match user."
COLLATERAL_ONLY: Final = "Only the collateral token can be transferred to or from this dex."
DEX_UNKNOWN: Final = "Invalid perp dex."
AMOUNT_INVALID: Final = "Invalid amount."
EXPIRES_AFTER_UNSUPPORTED: Final = "expiresAfter is not supported for user signed actions."
MAX_NOTIONAL: Final = "Order exceeds maximum order value."
ASSET_UNKNOWN: Final = "Unknown asset."
PRIORITY_MIXED: Final = "Priority fee needs orders that are all IOC, or all ALO and not reduce-only."
SCHEDULE_TOO_SOON: Final = "Scheduled cancel time must be at least 5 seconds in the future."
CLOID_USED: Final = "Cloid already used"
"""HL-01: nobody has recorded what the venue does with a cloid that was used."""
TRIGGERS_UNSUPPORTED: Final = "Trigger orders are not supported by this simulated venue."
GROUPING_UNSUPPORTED: Final = "Only grouping na is supported by this simulated venue."


def of_asset(text: str, asset: int) -> str:
    """Return a per-order text as it stands on the wire."""
    return f"{text} asset={asset}"


def post_only_crosses(bid_px: str, ask_px: str) -> str:
    """Return the text for a post-only order that would have matched; here the venue writes 64143, not 64143.0."""
    return f"Post only order would have immediately matched, bbo was {bid_px}@{ask_px}."


def far_from_reference(band_ratio: Decimal) -> str:
    """Return the text for a price outside the band around the reference price (0.8 → 80%)."""
    return f"Order price cannot be more than {band_ratio * 100:.0f}% away from the reference price"


def unknown_signer(address: str) -> str:
    """Return the text for a signer that is neither user nor agent: wrong signature, pruned or removed agent."""
    return f"User or API Wallet {address} does not exist."


def must_deposit(address: str) -> str:
    """Return the text for an address without an account, and for an agent that signs what only a master may."""
    return f"Must deposit before performing actions. User: {address}"


def vault_unknown(address: str) -> str:
    """Return the text for a `vaultAddress` that is neither vault nor sub-account."""
    return f"Vault not registered: {address}"


def duplicate_nonce(nonce: int) -> str:
    """Return the text for a nonce that was used."""
    return f"Invalid nonce: duplicate nonce {nonce}"


def low_nonce(nonce: int, smallest: int) -> str:
    """Return the text for a nonce below the smallest one kept."""
    return f"Invalid nonce: nonce too low {nonce} < {smallest}"


def nonce_out_of_window(nonce: int, now_ms: int) -> str:
    """Return the text for a nonce outside (now - 2 days, now + 1 day); unverified."""
    return f"Invalid nonce: nonce {nonce} too far from block time {now_ms}"


def nonce_mismatch(inner: object, outer: int) -> str:
    """Return the text for a user-signed action whose own nonce is not the request's; unverified."""
    return f"Invalid nonce: action nonce {inner} does not match request nonce {outer}"


def modify_placing_failed(text: str) -> str:
    """Return the text of a `modify` whose old order is cancelled and whose new one was refused."""
    return f"Error placing new order during modify: {text}"


def too_many_schedules(limit: int) -> str:
    """Return the text for one planned cancel more than a day allows."""
    return f"Too many scheduled cancels triggered for the day. Limit is {limit}."


def too_many_agents(limit: int) -> str:
    """Return the text for one named agent more than allowed."""
    return f"Too many extra agents for cumulative volume traded. Current limit is {limit}"


def too_many_requests(sent: int, allowed: int, volume_usd: Decimal) -> str:
    """Return the text for an address beyond its budget."""
    return (
        f"Too many cumulative requests sent ({sent} > {allowed}) for cumulative volume traded ${volume_usd:.2f}. "
        "Place taker orders to free up 1 request per USDC traded."
    )


def schedule_cancel_volume(required_usd: Decimal, traded_usd: Decimal) -> str:
    """Return the text for `scheduleCancel` of an address that has not traded enough."""
    required, traded = _usd(required_usd), _usd(traded_usd)
    return f"Cannot set scheduled cancel time until enough volume traded. Required: ${required}. Traded: ${traded}."


def sub_account_volume(traded_usd: Decimal) -> str:
    """Return the text for `createSubAccount`: it needs more volume than a simulated client has."""
    return f"Cannot create sub-accounts until enough volume traded. Required: $100000. Traded: ${_usd(traded_usd)}."


def unsupported(action_type: str) -> str:
    """Return the text for an action that exists on the real venue and not here."""
    return f"Action {action_type} is not supported by this simulated venue."


def _usd(value: Decimal) -> str:
    text = f"{value:.2f}"
    return text.removesuffix(".00")


class Status:
    """How orders end without a fill: values of `status` in `orderUpdates`; `orders` has `open` and `filled`."""

    CANCELED: Final = "canceled"
    REJECTED: Final = "rejected"
    MARGIN_CANCELED: Final = "marginCanceled"
    OI_CAP_CANCELED: Final = "openInterestCapCanceled"
    SELF_TRADE_CANCELED: Final = "selfTradeCanceled"
    REDUCE_ONLY_CANCELED: Final = "reduceOnlyCanceled"
    DELISTED_CANCELED: Final = "delistedCanceled"
    LIQUIDATED_CANCELED: Final = "liquidatedCanceled"
    SCHEDULED_CANCEL: Final = "scheduledCancel"


STATUS_OF_TEXT: Final[dict[str, str]] = {
    TICK: "tickRejected",
    MIN_NOTIONAL: "minTradeNtlRejected",
    MARGIN: "perpMarginRejected",
    REDUCE_ONLY: "reduceOnlyRejected",
    IOC_NO_MATCH: "iocCancelRejected",
    TRIGGER_PX: "badTriggerPxRejected",
    NO_LIQUIDITY: "marketOrderNoLiquidityRejected",
    OI_CAP: "positionIncreaseAtOpenInterestCapRejected",
    OI_CAP_AGGRESSIVE: "tooAggressiveAtOpenInterestCapRejected",
    OI_TOO_QUICK: "openInterestIncreaseRejected",
    SPOT_BALANCE: "insufficientSpotBalanceRejected",
    FAR_FROM_ORACLE: "oracleRejected",
    MARGIN_TIER: "perpMaxPositionRejected",
    TOO_MANY_OPEN_ORDERS: "tooManyOpenOrdersRejected",
}
"""Refusal of one order → its status."""


def status_of(text: str) -> str:
    """Return the status of an order refused with `text` (before ` asset=` is appended)."""
    if text.startswith("Post only order"):
        return "badAloPxRejected"
    return STATUS_OF_TEXT.get(text, Status.REJECTED)
