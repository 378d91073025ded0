"""Shapes of what the venue says about an account: user channels, answers to posts, bodies of POST /exchange.

Rules 1 to 3 of `wire` hold here too.

Rule 4: a coin is that of any market, spot and outcomes included: an account may have traded what we never watch.
Rule 5: what may take any form (answers, kinds of ledger items) stays raw, so that one odd item never costs a frame.

Source: hyperliquid-protocol.md, sections 1.4, 1.6, 2, 3.1 and 3.5.
"""

from typing import Annotated, Literal

import msgspec

from streaming.hyperliquid.wire import Frame, Id, Part, VenueTime

Coin = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9:._*?@#+/-]{1,32}\Z")]
Cloid = Annotated[str, msgspec.Meta(pattern=r"\A0x[0-9a-fA-F]{32}\Z")]
Dex = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9]{0,16}\Z")]
Side = Literal["A", "B"]
_NULL = msgspec.Raw(b"null")


class UserFill(Part, frozen=True, gc=False, rename="camel"):
    """One fill of the account."""

    coin: Coin
    px: str
    sz: str
    side: Side
    time: VenueTime
    oid: Id
    tid: Id
    start_position: str
    fee: str
    dir: str = ""
    closed_pnl: str = "0.0"
    fee_token: str = "USDC"  # noqa: S105 - a currency
    builder_fee: str | None = None
    crossed: bool = True
    cloid: Cloid | None = None
    liquidation: object = None


class UserFills(Part, frozen=True, gc=False, rename="camel"):
    """Fills; `isSnapshot` is absent on increments."""

    fills: list[UserFill]
    is_snapshot: bool = False


class UserFillsFrame(Frame, frozen=True, gc=False, tag="userFills"):
    """`userFills`."""

    data: UserFills


class UserOrder(Part, frozen=True, gc=False, rename="camel"):
    """The order of an update; `sz` is what is left of it."""

    coin: Coin
    side: Side
    limit_px: str
    sz: str
    oid: Id
    orig_sz: str | None = None
    cloid: Cloid | None = None


class UserOrderUpdate(Part, frozen=True, gc=False, rename="camel"):
    """One order's new status; unknown statuses are tolerated."""

    order: UserOrder
    status: str
    status_timestamp: VenueTime


class OrderUpdatesFrame(Frame, frozen=True, gc=False, tag="orderUpdates"):
    """`orderUpdates`: always an array."""

    data: list[UserOrderUpdate]


class UserFunding(Part, frozen=True, gc=False):
    """One funding payment; `usdc` > 0 was received."""

    time: VenueTime
    coin: Coin
    usdc: str
    szi: str


class UserFundings(Part, frozen=True, gc=False, rename="camel"):
    """Funding payments; `isSnapshot` is absent on increments."""

    fundings: list[UserFunding]
    is_snapshot: bool = False


class UserFundingsFrame(Frame, frozen=True, gc=False, tag="userFundings"):
    """`userFundings`."""

    data: UserFundings


class LedgerKind(Part, frozen=True, gc=False):
    """What every ledger item says of itself."""

    type: str


class LedgerDelta(Part, frozen=True, gc=False, rename="camel"):
    """What the items of the known kinds hold; each kind has its own few of these."""

    usdc: str = "0.0"
    amount: str = "0.0"
    fee: str = "0.0"
    net_withdrawn_usd: str = "0.0"
    to_perp: bool = False
    user: str = ""
    destination: str = ""
    source_dex: Dex = ""
    destination_dex: Dex = ""


class LedgerItem(Part, frozen=True, gc=False):
    """Money that came, left or moved otherwise than by trading and funding."""

    time: VenueTime
    hash: str
    delta: msgspec.Raw


class LedgerUpdates(Part, frozen=True, gc=False, rename="camel"):
    """Ledger items; `isSnapshot` is absent on increments."""

    user: str
    items: list[LedgerItem] = msgspec.field(name="nonFundingLedgerUpdates")
    is_snapshot: bool = False


class LedgerUpdatesFrame(Frame, frozen=True, gc=False, tag="userNonFundingLedgerUpdates"):
    """`userNonFundingLedgerUpdates`."""

    data: LedgerUpdates


class UserEvents(Part, frozen=True, gc=False, rename="camel"):
    """One kind of user event a frame."""

    fills: tuple[UserFill, ...] = ()
    non_user_cancel: tuple[msgspec.Raw, ...] = ()
    twap_history: tuple[msgspec.Raw, ...] = ()
    twap_slice_fills: tuple[msgspec.Raw, ...] = ()
    funding: object = None
    liquidation: object = None

    @property
    def item_count(self) -> int:
        """How many events the frame holds."""
        listed = len(self.fills) + len(self.non_user_cancel) + len(self.twap_history) + len(self.twap_slice_fills)
        return listed + (self.funding is not None) + (self.liquidation is not None)


class UserFrame(Frame, frozen=True, gc=False, tag="user"):
    """`user`: the channel of the subscription `userEvents`."""

    data: UserEvents


class UserEventsFrame(Frame, frozen=True, gc=False, tag="userEvents"):
    """`userEvents`: the same under the subscription's name, as some clients report it."""

    data: UserEvents


class Positions(Part, frozen=True, gc=False, rename="camel"):
    """Positions of an account on one dex."""

    asset_positions: list[msgspec.Raw]


class DexPositions(Part, frozen=True, gc=False, rename="camel"):
    """State of an account on one dex."""

    clearinghouse_state: Positions


class ClearinghouseFrame(Frame, frozen=True, gc=False, tag="clearinghouseState"):
    """`clearinghouseState`."""

    data: DexPositions


class OpenOrders(Part, frozen=True, gc=False):
    """All open orders of an account on one dex."""

    orders: list[msgspec.Raw]


class OpenOrdersFrame(Frame, frozen=True, gc=False, tag="openOrders"):
    """`openOrders`."""

    data: OpenOrders


class WebData(Part, frozen=True, gc=False, rename="camel"):
    """Account state over all dexes, one entry a dex."""

    perp_dex_states: list[msgspec.Raw]


class WebDataFrame(Frame, frozen=True, gc=False, tag="webData3"):
    """`webData3`."""

    data: WebData


class Notification(Part, frozen=True, gc=False):
    """A text for the account's holder."""

    notification: str


class NotificationFrame(Frame, frozen=True, gc=False, tag="notification"):
    """`notification`."""

    data: Notification


class PostAnswer(Part, frozen=True, gc=False):
    """Answer to a post: its id is readable whatever the rest is."""

    id: Id
    response: msgspec.Raw = _NULL


class PostFrame(Frame, frozen=True, gc=False, tag="post"):
    """`post`."""

    data: PostAnswer


class PostResponse(Part, frozen=True, gc=False):
    """`info`, `action` or `error`, and what belongs to it."""

    type: str
    payload: msgspec.Raw = _NULL


class Resting(Part, frozen=True, gc=False):
    """An order in the book."""

    oid: Id


class Filled(Part, frozen=True, gc=False, rename="camel"):
    """An order that traded, wholly or in part; `avgPx` can have more digits than the tick."""

    total_sz: str
    avg_px: str
    oid: Id


class ItemStatus(Part, frozen=True, gc=False):
    """What became of one order or cancel: exactly one of them is set."""

    resting: Resting | None = None
    filled: Filled | None = None
    error: str | None = None


class Statuses(Part, frozen=True, gc=False):
    """One status an order or cancel; a single one where the whole batch failed alike."""

    statuses: list[Literal["success", "waitingForFill", "waitingForTrigger"] | ItemStatus]


class Accepted(Part, frozen=True, gc=False):
    """The action was taken; `default` has no data."""

    type: str
    data: Statuses | None = None


class ActionBody(Part, frozen=True, gc=False):
    """Answer to an action: `ok` with what was accepted, or `err` with a text."""

    status: Literal["ok", "err"]
    response: Accepted | str


AccountFrame = (
    PostFrame
    | UserFillsFrame
    | OrderUpdatesFrame
    | UserFundingsFrame
    | LedgerUpdatesFrame
    | UserFrame
    | UserEventsFrame
    | ClearinghouseFrame
    | OpenOrdersFrame
    | WebDataFrame
    | NotificationFrame
)
