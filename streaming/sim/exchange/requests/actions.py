"""Actions of the exchange endpoint as structs, read from a JSON body.

Rule 1: the order of a struct's fields is the documented key order; encoded, it is what the server hashes: options that
    are absent, false or null are left out, addresses are lower case. A client that hashed anything else has signed
    something else, and the signer that comes out is wrong.
Rule 2: user-signed actions are hashed from the fields as sent (`raw_action`): in them the case of a text matters.
Rule 3: what the venue would not deserialise raises `Unreadable`; what is readable and not offered here (triggers,
    TWAPs, vaults …) is read and refused later, with a text.
Rule 4: prices and sizes are decimal texts as sent; whether they are good is the matching's business.

Source: hyperliquid-protocol.md, sections 0.10, 3.1 to 3.4.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from streaming.hyperliquid.signing import USER_SIGNED, Signature
from streaming.sim.exchange.requests.account_actions import AccountAction
from streaming.sim.exchange.requests.action_base import I64, U32, U64, U64_MAX, ActionBase, Address, Cloid, Number, Part
from streaming.sim.exchange.requests.refusals import UNREADABLE

_Hex = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{1,64}\Z")]


class Unreadable(ValueError):
    """The venue would not deserialise the body: HTTP 422 with this text."""

    def __init__(self) -> None:
        super().__init__(UNREADABLE)


class Limit(Part, frozen=True):
    """Time in force of an order; `FrontendMarket` is what the venue's own page sends."""

    tif: Literal["Gtc", "Ioc", "Alo", "FrontendMarket"]


class Trigger(Part, frozen=True, rename="camel"):
    """Condition of a trigger order."""

    is_market: bool
    trigger_px: Number
    tpsl: Literal["tp", "sl"]


class OrderType(Part, frozen=True):
    """Either a limit or a trigger."""

    limit: Limit | None = None
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        if (self.limit is None) is (self.trigger is None):
            raise ValueError("expected limit or trigger")


class OrderItem(
    Part,
    frozen=True,
    rename={
        "asset": "a", "is_buy": "b", "px": "p", "sz": "s", "is_reduce_only": "r", "order_type": "t", "cloid": "c",
    },
):  # fmt: skip
    """One order of a batch."""

    asset: U32
    is_buy: bool
    px: Number
    sz: Number
    is_reduce_only: bool
    order_type: OrderType
    cloid: Cloid | None = None


class Builder(Part, frozen=True, rename={"address": "b", "fee_tenths_bp": "f"}):
    """Who gets a builder fee, and how much: tenths of a basis point."""

    address: Address
    fee_tenths_bp: U32

    def __post_init__(self) -> None:
        force_setattr(self, "address", self.address.lower())


class Priority(Part, frozen=True, rename={"fee_1e8": "p"}):
    """Priority fee in place of a grouping: N / 1e8 of the notional."""

    fee_1e8: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


class Order(ActionBase, frozen=True, tag="order"):
    """Places orders."""

    orders: tuple[OrderItem, ...]
    grouping: Literal["na", "normalTpsl", "positionTpsl"] | Priority
    builder: Builder | None = None


class CancelItem(Part, frozen=True, rename={"asset": "a", "oid": "o"}):
    """One order to cancel by its oid."""

    asset: U32
    oid: U64


class Cancel(ActionBase, frozen=True, tag="cancel", rename={"is_fast": "f"}):
    """Cancels orders by oid."""

    cancels: tuple[CancelItem, ...]
    is_fast: bool = False


class CloidItem(Part, frozen=True):
    """One order to cancel by its cloid."""

    asset: U32
    cloid: Cloid


class CancelByCloid(ActionBase, frozen=True, tag="cancelByCloid", rename={"is_fast": "f"}):
    """Cancels orders by cloid."""

    cancels: tuple[CloidItem, ...]
    is_fast: bool = False


class Modify(ActionBase, frozen=True, tag="modify", rename={"is_always": "a"}):
    """Replaces one order."""

    oid: U64 | Cloid
    order: OrderItem
    is_always: bool = False
    """Place the new order also when the old one can not be cancelled, and with any type."""


class ModifyItem(Part, frozen=True):
    """One order to replace."""

    oid: U64 | Cloid
    order: OrderItem


class BatchModify(ActionBase, frozen=True, tag="batchModify", rename={"is_always": "a"}):
    """Replaces orders."""

    modifies: tuple[ModifyItem, ...]
    is_always: bool = False


class ScheduleCancel(ActionBase, frozen=True, tag="scheduleCancel", rename={"time_ms": "time"}):
    """Cancels every open order at a time; without one the plan is dropped."""

    time_ms: U64 | None = None


class UpdateLeverage(ActionBase, frozen=True, tag="updateLeverage", rename="camel"):
    """Sets leverage and margin mode of a market."""

    asset: U32
    is_cross: bool
    leverage: U32


class UpdateIsolatedMargin(
    ActionBase, frozen=True, tag="updateIsolatedMargin", rename={"is_buy": "isBuy", "usd_1e6": "ntli"}
):
    """Adds margin to an isolated position, or takes some; millionths of a USD."""

    asset: U32
    is_buy: bool
    usd_1e6: I64


class TopUpIsolatedOnlyMargin(ActionBase, frozen=True, tag="topUpIsolatedOnlyMargin"):
    """Adds as much margin as brings an isolated position to a leverage."""

    asset: U32
    leverage: Number


class Noop(ActionBase, frozen=True, tag="noop"):
    """Burns its nonce."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An action of the real venue that is not offered here; hashed as sent."""

    type_name: str


TradingAction = Order | Cancel | CancelByCloid | Modify | BatchModify | ScheduleCancel
MarginAction = UpdateLeverage | UpdateIsolatedMargin | TopUpIsolatedOnlyMargin
SupportedAction = TradingAction | MarginAction | AccountAction | Noop
Action = SupportedAction | Unsupported

UNSUPPORTED: Final = frozenset(
    {
        "CSignerAction", "CValidatorAction", "borrowLend", "cDeposit", "cWithdraw", "claimRewards",
        "convertToMultiSigUser", "createVault", "evmUserModify", "gossipPriorityBid", "hip3LiquidatorTransfer",
        "linkStakingUser", "multiSig", "perpDeploy", "registerReferrer", "setDisplayName", "spotDeploy", "spotSend",
        "spotUser", "subAccountModify", "subAccountSpotTransfer", "subAccountTransfer", "tokenDelegate", "twapCancel",
        "twapOrder", "userPortfolioMargin", "vaultDistribute", "vaultModify", "vaultTransfer",
    }
)  # fmt: skip
"""Types of the real venue that are readable and refused."""


class _SignatureBody(msgspec.Struct, frozen=True):
    r: _Hex
    s: _Hex
    v: Annotated[int, msgspec.Meta(ge=0, le=255)]


class _RequestBody(msgspec.Struct, frozen=True, rename="camel"):
    action: dict[str, Any]
    nonce: U64
    signature: _SignatureBody
    vault_address: Address | None = None
    expires_after: U64 | None = None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A body of the exchange endpoint."""

    action: Action
    raw_action: dict[str, Any]
    """The action as sent, in its key order."""
    nonce: int
    signature: Signature
    vault: str | None
    """`vaultAddress`, lower case."""
    expires_after: int | None

    @property
    def type_name(self) -> str:
        """Wire type of the action."""
        return str(self.raw_action["type"])

    @property
    def is_user_signed(self) -> bool:
        """Whether typed data of the action itself is signed."""
        return self.type_name in USER_SIGNED

    @property
    def request_count(self) -> int:
        """How many requests of the address budget it is; also its weight against the limit of 200."""
        match self.action:
            case Order():
                return len(self.action.orders)
            case Cancel() | CancelByCloid():
                return len(self.action.cancels)
            case BatchModify():
                return len(self.action.modifies)
            case _:
                return 1

    @property
    def is_cancel(self) -> bool:
        """Whether the larger budget of cancels applies."""
        return isinstance(self.action, Cancel | CancelByCloid)

    @property
    def hashed(self) -> object:
        """What an L1 action's hash is made of: the documented form, or what was sent where none is known."""
        return self.raw_action if isinstance(self.action, Unsupported) else self.action


def read_request(body: object) -> SignedRequest:
    """Read a decoded JSON body of the exchange endpoint.

    Raises:
        Unreadable: For whatever the venue answers with HTTP 422.
    """
    try:
        read = msgspec.convert(body, _RequestBody)
    except (msgspec.ValidationError, RecursionError):
        raise Unreadable from None
    if read.nonce > U64_MAX or (read.expires_after or 0) > U64_MAX:
        raise Unreadable
    signature = Signature(int(read.signature.r, 16), int(read.signature.s, 16), read.signature.v)
    vault = read.vault_address.lower() if read.vault_address is not None else None
    return SignedRequest(_read_action(read.action), read.action, read.nonce, signature, vault, read.expires_after)


def _read_action(raw: dict[str, Any]) -> Action:
    kind = raw.get("type")
    if isinstance(kind, str) and kind in UNSUPPORTED:
        return Unsupported(kind)
    try:
        action: SupportedAction = msgspec.convert(raw, SupportedAction)
    except (msgspec.ValidationError, RecursionError):
        raise Unreadable from None
    return action
