"""Actions of the exchange endpoint that we send, and their signed bytes.

Why this module exists: the venue hashes an action's msgpack in the documented key order and compares nothing else. One
struct is the source of both encodings, so what is hashed is what is sent.

Rule 1: a struct's field order is the documented key order; an option that is not set is left out, never false or null.
Rule 2: numbers are written by `wire_number` and their text is checked before it leaves: > 0, at most 8 decimals.
Rule 3: addresses and cloids are lower case before they are hashed.
Rule 4: an action is signed once; its body goes over HTTP as it is, or over the websocket inside a post frame, so a
    second way can not be a second order.

Source: hyperliquid-protocol.md, sections 0.10, 1.4, 3.1 to 3.4 and 4.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from streaming.core.market import Side
from streaming.core.rounding import wire_number
from streaming.hyperliquid.number import is_positive_decimal
from streaming.hyperliquid.signing import Signer

ITEM_COUNT_MAX: Final = 200
"""Orders or cancels of one action; the venue refuses more as a whole."""
AGENT_NAME_LENGTH_MAX: Final = 16
SIGNATURE_CHAIN_ID: Final = "0x66eee"
"""Any chain id is accepted; this is the official SDK's. `hyperliquidChain` tells the networks apart."""

_BODY: Final = (
    b'{"action":%b,"nonce":%d,"signature":{"r":"0x%b","s":"0x%b","v":%d},"vaultAddress":%b,"expiresAfter":%b}'
)
_T = TypeVar("_T")
_CLOID = re.compile(r"0x[0-9a-f]{32}", re.ASCII).fullmatch
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII).fullmatch
_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode


class ActionError(ValueError):
    """A value has no form on the wire; the text names which, and never repeats it."""


class _Part(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Part of an action."""


class Action(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type"):
    """An L1 action; its tag is its wire type."""


class Limit(_Part, frozen=True):
    """Time in force."""

    tif: str


class OrderType(_Part, frozen=True):
    """What kind of order; all of ours are limit orders."""

    limit: Limit


class OrderItem(
    _Part,
    frozen=True,
    rename={
        "asset_id": "a", "is_buy": "b", "px": "p", "sz": "s", "is_reduce_only": "r", "order_type": "t", "cloid": "c",
    },
):  # fmt: skip
    """One order of an action; made by `order_item`."""

    asset_id: int
    is_buy: bool
    px: str
    sz: str
    is_reduce_only: bool
    order_type: OrderType
    cloid: str | None = None


class Builder(_Part, frozen=True, rename={"address": "b", "fee_tenths_bp": "f"}):
    """Who gets a builder fee, and how much."""

    address: str
    fee_tenths_bp: int


class OrderAction(Action, frozen=True, tag="order"):
    """Places orders; made by `order_action`."""

    orders: tuple[OrderItem, ...]
    grouping: str
    builder: Builder | None = None


class CancelItem(_Part, frozen=True, rename={"asset_id": "a", "oid": "o"}):
    """One order to cancel by the venue's id."""

    asset_id: int
    oid: int


class CancelAction(Action, frozen=True, tag="cancel", rename={"is_fast": "f"}):
    """Cancels orders by oid; `is_fast` is for orders that are no triggers."""

    cancels: tuple[CancelItem, ...]
    is_fast: bool = False


class CloidItem(_Part, frozen=True, rename={"asset_id": "asset"}):
    """One order to cancel by our id; made by `cloid_item`."""

    asset_id: int
    cloid: str


class CancelByCloidAction(Action, frozen=True, tag="cancelByCloid", rename={"is_fast": "f"}):
    """Cancels orders by cloid; `is_fast` as in `CancelAction`."""

    cancels: tuple[CloidItem, ...]
    is_fast: bool = False


class ScheduleCancelAction(Action, frozen=True, tag="scheduleCancel", rename={"at_ts_ms": "time"}):
    """Cancels every open order at an instant, at least 5 s ahead; without one the plan is dropped."""

    at_ts_ms: int | None = None


class NoopAction(Action, frozen=True, tag="noop"):
    """Burns its nonce: an action in flight with the same nonce is void once this one is executed."""


class UpdateLeverageAction(
    Action, frozen=True, tag="updateLeverage", rename={"asset_id": "asset", "is_cross": "isCross"}
):
    """Sets leverage and margin mode of a market."""

    asset_id: int
    is_cross: bool
    leverage: int


class ApproveAgent(msgspec.Struct, frozen=True, gc=False, rename="camel", tag_field="type", tag="approveAgent"):
    """Makes a key an agent of the master that signs; a name that is used again replaces its agent at once."""

    signature_chain_id: str
    hyperliquid_chain: str
    agent_address: str
    agent_name: str
    nonce: int


_BUY: Final = Side.BUY  # an enum's members are found by a slow way
_ORDER_TYPES: Final[Mapping[str, OrderType]] = {tif: OrderType(Limit(tif)) for tif in ("Ioc", "Gtc", "Alo")}


def order_item(
    *,
    asset_id: int,
    side: Side,
    px: Decimal,
    sz: Decimal,
    is_reduce_only: bool,
    tif: str,
    cloid: str | None = None,
) -> OrderItem:
    """Return one order as the wire spells it.

    Args:
        asset_id: The venue's integer, 100000 + dex index x 10000 + index.
        side: BUY or SELL.
        px: Limit price, on the venue's grid already.
        sz: Size, on the market's lot already.
        is_reduce_only: Whether it may only make the position smaller.
        tif: `Ioc`, `Gtc` or `Alo`.
        cloid: `0x` and 32 hex digits, lower case.

    Raises:
        ActionError: For a number that is not > 0 with at most 8 decimals, another `tif`, a cloid out of form.
    """
    order_type = _ORDER_TYPES.get(tif)
    if order_type is None:
        raise ActionError(f"tif: expected one of {', '.join(_ORDER_TYPES)}")
    if cloid is not None and _CLOID(cloid) is None:
        raise ActionError("cloid: expected 0x and 32 lower-case hex digits")
    is_buy = side is _BUY
    return OrderItem(asset_id, is_buy, _number("px", px), _number("sz", sz), is_reduce_only, order_type, cloid)


def order_action(items: tuple[OrderItem, ...], builder: Builder | None = None) -> OrderAction:
    """Return the action that places `items`.

    Raises:
        ActionError: For none, or more than the venue takes at once; for a builder out of form.
    """
    if builder is not None and _ADDRESS(builder.address) is None:
        raise ActionError("builder: expected 0x and 40 lower-case hex digits")
    return OrderAction(_counted(items), "na", builder)


def cloid_item(asset_id: int, cloid: str) -> CloidItem:
    """Return one cancel by our id; raises `ActionError` for a cloid out of form."""
    if _CLOID(cloid) is None:
        raise ActionError("cloid: expected 0x and 32 lower-case hex digits")
    return CloidItem(asset_id, cloid)


def cancel_action(items: tuple[CancelItem, ...]) -> CancelAction:
    """Return the action that cancels by oid: fast, because none of our orders is a trigger.

    Raises:
        ActionError: For none, or more than the venue takes at once.
    """
    return CancelAction(_counted(items), is_fast=True)


def cancel_by_cloid_action(items: tuple[CloidItem, ...]) -> CancelByCloidAction:
    """Return the action that cancels by cloid: fast, because none of our orders is a trigger.

    Raises:
        ActionError: For none, or more than the venue takes at once.
    """
    return CancelByCloidAction(_counted(items), is_fast=True)


def approve_agent(
    *, agent_address: str, name: str, valid_until_ts_ms: int | None, nonce: int, is_mainnet: bool
) -> ApproveAgent:
    """Return the approval of an agent, which only a master may sign.

    Args:
        agent_address: Address of the agent's key.
        name: 1 to 16 characters; an agent of the same name is replaced.
        valid_until_ts_ms: End of the approval, at most 180 days ahead; None leaves it to the venue.
        nonce: Milliseconds; also the nonce of the request.
        is_mainnet: Which network it is for.

    Raises:
        ActionError: For an address or a name out of form.
    """
    if _ADDRESS(agent_address.lower()) is None:
        raise ActionError("agent address: expected 0x and 40 hex digits")
    if not 1 <= len(name) <= AGENT_NAME_LENGTH_MAX or not name.isprintable() or "valid_until" in name:
        raise ActionError(f"agent name: expected 1-{AGENT_NAME_LENGTH_MAX} printable characters without valid_until")
    return ApproveAgent(
        signature_chain_id=SIGNATURE_CHAIN_ID,
        hyperliquid_chain="Mainnet" if is_mainnet else "Testnet",
        agent_address=agent_address.lower(),
        agent_name=name if valid_until_ts_ms is None else f"{name} valid_until {valid_until_ts_ms}",
        nonce=nonce,
    )


def signed_body(
    signer: Signer, action: Action, *, nonce: int, vault: str | None = None, expires_after_ts_ms: int | None = None
) -> bytes:
    """Return the body of the exchange endpoint for an L1 action.

    Args:
        signer: Who signs, for its network.
        action: One of this module's.
        nonce: Milliseconds; used once.
        vault: Lower-case address of the sub-account traded for.
        expires_after_ts_ms: The venue refuses the action after this instant; a stale one costs 5 requests.

    Raises:
        SigningError: For a number or an address out of form.
    """
    raw = signer.sign_l1_raw(_to_msgpack(action), nonce, vault, expires_after_ts_ms)
    digits = raw.hex().encode()
    return _BODY % (
        _to_json(action),
        nonce,
        digits[:64],
        digits[64:128],
        27 + raw[64],
        b"null" if vault is None else b'"%b"' % vault.encode(),
        b"null" if expires_after_ts_ms is None else b"%d" % expires_after_ts_ms,
    )


def user_signed_body(signer: Signer, action: ApproveAgent) -> bytes:
    """Return the body of the exchange endpoint for an approval; `signer` holds the master's key."""
    signature = signer.sign_user_action(msgspec.to_builtins(action))
    signature_json = b'{"r":"0x%064x","s":"0x%064x","v":%d}' % (signature.r, signature.s, signature.v)
    return b'{"action":%b,"nonce":%d,"signature":%b}' % (_to_json(action), action.nonce, signature_json)


def post_frame(request_id: int, body: bytes) -> bytes:
    """Return the websocket frame that posts a body; `request_id` comes back in the answer."""
    return b'{"method":"post","id":%d,"request":{"type":"action","payload":%b}}' % (request_id, body)


def _number(name: str, value: Decimal) -> str:
    text = wire_number(value)
    if is_positive_decimal(text) is None:
        raise ActionError(f"{name}: expected a number > 0, < 1e10 and of at most 8 decimals")
    return text


def _counted(items: tuple[_T, ...]) -> tuple[_T, ...]:
    if not 1 <= len(items) <= ITEM_COUNT_MAX:
        raise ActionError(f"expected 1-{ITEM_COUNT_MAX} items in an action, found {len(items)}")
    return items
