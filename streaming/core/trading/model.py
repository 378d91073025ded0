"""Words of real trading that inputs, outputs and the state share: tickets, orders, fills, positions, account reads.

Rule 1: everything here is a frozen value; a change is a new one, so an output holds what was true when it was written.
Rule 2: an order is *over* once definitive evidence says so, and *settled* once every fill that evidence promises was
applied; only then it binds nothing any more (I-03, I-11).
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from streaming.core.market import Side
from streaming.core.trading.exit_rules import ExitBaseline
from streaming.core.trading.refusal import RefusalCode
from streaming.core.units import ZERO


class Tif(StrEnum):
    """How long an order lives, as the venue spells it."""

    IOC = "Ioc"
    GTC = "Gtc"
    ALO = "Alo"


class OrderStatus(StrEnum):
    """Where an order stands; the transitions are in `orders`."""

    INTENT = "intent"
    """Decided and reserved; nothing has left."""
    SENT = "sent"
    """Signed bytes were handed to a socket."""
    RESTING = "resting"
    """In the book: an IOC never is."""
    IN_DOUBT = "in_doubt"
    """Sent, outcome unknown."""
    FILLED = "filled"
    PARTLY_FILLED = "partly_filled"
    UNFILLED = "unfilled"
    """Arrived, and nothing could be had inside the limit."""
    REJECTED = "rejected"
    CANCELED = "canceled"
    ABORTED = "aborted"
    """Never left: the latch, the rotation or a shutdown came first."""
    EXPIRED = "expired"
    """Past its deadline before it could act."""
    NOT_SENT = "not_sent"
    """No byte left: proved by the transport."""
    NEVER_ARRIVED = "never_arrived"
    """Was in doubt; all four proofs of reliability.md, section 4 hold."""


OVER = frozenset(OrderStatus) - {OrderStatus.INTENT, OrderStatus.SENT, OrderStatus.RESTING, OrderStatus.IN_DOUBT}
"""Statuses that only definitive evidence gives, and that nothing follows."""


class OrderTicket(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One order as it goes to the venue."""

    coin: str
    asset_id: int
    cloid: str
    side: Side
    limit_px: Decimal
    sz: Decimal
    is_reduce_only: bool
    tif: Tif


class CancelTicket(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One order to take back, by its cloid."""

    coin: str
    asset_id: int
    cloid: str


class ActionStatus(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the venue says about one order or cancel of an action."""

    kind: str
    """`filled`, `resting`, `error`, `success` or `waiting`."""
    oid: int = 0
    total_sz: Decimal = ZERO
    avg_px: Decimal | None = None
    code: RefusalCode = RefusalCode.NONE
    text: str = ""


class VenueFill(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One fill of the account as the venue reports it, whatever the channel."""

    coin: str
    side: Side
    px: Decimal
    sz: Decimal
    venue_ts_ms: int
    oid: int
    tid: int
    cloid: str = ""
    """Empty where the order had none."""
    fee: Decimal
    """> 0 is paid, < 0 a rebate; the builder's part included."""
    builder_fee: Decimal = ZERO
    fee_token: str = "USDC"  # noqa: S105 - a currency
    start_position_sz: Decimal
    """Signed position before this fill."""
    closed_pnl: Decimal = ZERO
    direction: str = ""
    """`Open Long`, `Close Short`, `Settlement`, `Liquidated …`."""
    is_crossed: bool = True
    """We were the taker."""
    is_liquidation: bool = False


class OrderUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One order's status as the venue reports it (`orderUpdates`, `orderStatus`)."""

    coin: str
    cloid: str
    """Empty where the order had none."""
    oid: int
    side: Side
    limit_px: Decimal
    left_sz: Decimal
    original_sz: Decimal
    status: str
    """The venue's own word; `over_status` in `orders` says what it means."""
    code: RefusalCode
    """What a `…Rejected` or `…Canceled` status means."""
    venue_ts_ms: int


class Funding(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One hourly funding payment; `amount` > 0 was received."""

    coin: str
    amount: Decimal
    position_sz: Decimal
    venue_ts_ms: int


class Transfer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Money that came to a dex (> 0) or left it for another reason than trading."""

    dex: str
    amount: Decimal
    kind: str
    venue_ts_ms: int
    reference: str
    """The venue's hash: one transfer counts once."""


class VenuePosition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One position of an account read."""

    coin: str
    sz: Decimal
    """Signed, never 0."""
    entry_px: Decimal | None
    unrealised_pnl: Decimal
    margin_used: Decimal
    liquidation_px: Decimal | None
    leverage: int
    is_isolated: bool


class DexAccount(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An account's state on one dex, as of `venue_ts_ms`."""

    dex: str
    account_value: Decimal
    withdrawable: Decimal
    positions: tuple[VenuePosition, ...]
    venue_ts_ms: int

    @property
    def cash(self) -> Decimal:
        """What the account would be worth without the price of its positions: changes only by booked amounts."""
        return self.account_value - sum((position.unrealised_pnl for position in self.positions), ZERO)


class LiveOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of our real orders, from its decision on."""

    coin: str
    cloid: str
    signal_id: str
    action_id: int
    nonce: int
    side: Side
    is_reduce_only: bool
    tif: Tif
    limit_px: Decimal
    sz: Decimal
    expected_px: Decimal
    """The touch we decided on: slippage is counted from it."""
    edge_bps: Decimal | None
    """Raw edge of an entry's signal."""
    reason: str
    """`entry`, or why the position is closed."""
    spec_version: str
    decided_ts_ns: int
    decided_mono_ns: int
    received_mono_ns: int
    """Receipt of the input that led to the decision."""
    expires_ts_ms: int
    status: OrderStatus = OrderStatus.INTENT
    code: RefusalCode = RefusalCode.NONE
    text: str = ""
    oid: int = 0
    filled_sz: Decimal = ZERO
    """What evidence says was filled."""
    applied_sz: Decimal = ZERO
    """Sum of its fills that were applied to the position."""
    applied_ntl: Decimal = ZERO
    sent_mono_ns: int = 0
    answered_mono_ns: int = 0
    doubt_mono_ns: int = 0
    """Since when it is in doubt."""

    @property
    def is_over(self) -> bool:
        """Whether definitive evidence has ended it."""
        return self.status in OVER

    @property
    def is_settled(self) -> bool:
        """Whether it binds nothing any more."""
        return self.status in OVER and self.applied_sz >= self.filled_sz

    @property
    def open_sz(self) -> Decimal:
        """What may still be added to the position in the worst case."""
        return ZERO if self.is_settled else (self.filled_sz if self.is_over else self.sz) - self.applied_sz


class LivePosition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An open real position; everything about the entry is set once, by its first fill (I-13)."""

    coin: str
    sz: Decimal
    """Signed, never 0."""
    signal_id: str
    baseline: ExitBaseline
    entry_ts_ns: int
    expected_px: Decimal
    """Touch that the entry decided on."""
    entry_px: Decimal
    """Mean of the entry's fills."""
    cost_ntl: Decimal
    """What the ledger's position account holds, unsigned."""
    opened_sz: Decimal
    closed_sz: Decimal = ZERO
    closed_ntl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    """> 0 was received."""
    realised: Decimal = ZERO
    exit_count: int = 0
    """Exit orders so far; numbers their cloids."""
    exit_reason: str = ""
    """Why it is being closed; empty while it is held."""
    fill_count: int = 0

    @property
    def is_long(self) -> bool:
        """Whether it was bought."""
        return self.sz > ZERO

    @property
    def net_pnl(self) -> Decimal:
        """Realised result after fees and funding."""
        return self.realised - self.fees + self.funding
