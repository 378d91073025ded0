"""Shapes of the venue's websocket frames, with the venue's own spelling. Nothing outside this package sees them.

Rule 1: numbers stay strings here; `number.py` makes them exact.
Rule 2: fields that are not needed are not named, so that new ones are ignored and removed ones do not break us (F-11).
Rule 3: what may be missing or null on the real wire has a default of None; it is never 0.

Source: hyperliquid.gitbook.io, "WebSocket: subscriptions"; live probes of 2026-09-24.
"""

from typing import Annotated, Literal

import msgspec

VenueTime = Annotated[int, msgspec.Meta(gt=0, lt=2**53)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Part(msgspec.Struct, frozen=True, gc=False):
    """Base of everything below a frame."""


class _Frame(msgspec.Struct, frozen=True, gc=False, tag_field="channel"):
    """Base of all frames: a union tagged by `channel`."""


class Touch(_Part, frozen=True, gc=False):
    """One side of a bbo."""

    px: str
    sz: str


class Bbo(_Part, frozen=True, gc=False):
    """Best bid and offer; a side is null when there is none."""

    coin: str
    time: VenueTime
    bbo: tuple[Touch | None, Touch | None]


class BboFrame(_Frame, frozen=True, gc=False, tag="bbo"):
    """`bbo`."""

    data: Bbo


class Ctx(_Part, frozen=True, gc=False, rename="camel"):
    """Context of a perpetual; premium, mid and impact prices are null without a book."""

    funding: str
    open_interest: str
    oracle_px: str
    mark_px: str
    premium: str | None = None
    mid_px: str | None = None
    impact_pxs: tuple[str, str] | None = None
    day_ntl_vlm: str | None = None


class CoinCtx(_Part, frozen=True, gc=False):
    """A context and its coin."""

    coin: str
    ctx: Ctx


class CtxFrame(_Frame, frozen=True, gc=False, tag="activeAssetCtx"):
    """`activeAssetCtx`."""

    data: CoinCtx


class SpotCoin(_Part, frozen=True, gc=False):
    """All that is wanted of a spot context."""

    coin: str


class SpotCtxFrame(_Frame, frozen=True, gc=False, tag="activeSpotAssetCtx"):
    """`activeSpotAssetCtx`: never subscribed, so its coin is a mistake."""

    data: SpotCoin


class Level(_Part, frozen=True, gc=False):
    """One price level of a book."""

    px: str
    sz: str
    n: Id


class Book(_Part, frozen=True, gc=False):
    """A whole book: bids descending, asks ascending."""

    coin: str
    time: VenueTime
    levels: tuple[list[Level], list[Level]]
    fast: bool | None = None


class BookFrame(_Frame, frozen=True, gc=False, tag="l2Book"):
    """`l2Book`."""

    data: Book


class PublicTrade(_Part, frozen=True, gc=False):
    """One public trade; `side` is the aggressor's."""

    coin: str
    side: Literal["A", "B"]
    px: str
    sz: str
    time: VenueTime
    tid: Id


class TradesFrame(_Frame, frozen=True, gc=False, tag="trades"):
    """`trades`."""

    data: list[PublicTrade]


class AckedSubscription(_Part, frozen=True, gc=False):
    """A subscription as the venue echoes it, with its defaults added."""

    type: str
    coin: str = ""
    user: str = ""
    fast: bool | None = None


class Ack(_Part, frozen=True, gc=False):
    """Answer to subscribe and unsubscribe."""

    method: Literal["subscribe", "unsubscribe"]
    subscription: AckedSubscription


class AckFrame(_Frame, frozen=True, gc=False, tag="subscriptionResponse"):
    """`subscriptionResponse`."""

    data: Ack


class ErrorFrame(_Frame, frozen=True, gc=False, tag="error"):
    """`error`."""

    data: str


class PongFrame(_Frame, frozen=True, gc=False, tag="pong"):
    """`pong`."""


class PostAnswer(_Part, frozen=True, gc=False):
    """Answer to a post; its payload is read by whoever sent it."""

    id: Id


class PostFrame(_Frame, frozen=True, gc=False, tag="post"):
    """`post`."""

    data: PostAnswer


class UserFill(_Part, frozen=True, gc=False):
    """What every fill has."""

    coin: str
    px: str
    sz: str
    side: Literal["A", "B"]
    time: VenueTime
    oid: Id
    tid: Id


class UserFills(_Part, frozen=True, gc=False, rename="camel"):
    """Fills; `isSnapshot` is absent on increments."""

    fills: list[UserFill]
    is_snapshot: bool = False


class UserFillsFrame(_Frame, frozen=True, gc=False, tag="userFills"):
    """`userFills`."""

    data: UserFills


class UserOrder(_Part, frozen=True, gc=False, rename="camel"):
    """What every order of an update has."""

    coin: str
    side: Literal["A", "B"]
    limit_px: str
    sz: str
    oid: Id


class OrderUpdate(_Part, frozen=True, gc=False, rename="camel"):
    """One order's new status; unknown statuses are tolerated."""

    order: UserOrder
    status: str
    status_timestamp: VenueTime


class OrderUpdatesFrame(_Frame, frozen=True, gc=False, tag="orderUpdates"):
    """`orderUpdates`: always an array."""

    data: list[OrderUpdate]


class UserEvents(_Part, frozen=True, gc=False, rename="camel"):
    """One kind of user event a frame."""

    fills: list[UserFill] = []
    non_user_cancel: list[msgspec.Raw] = []
    twap_history: list[msgspec.Raw] = []
    twap_slice_fills: list[msgspec.Raw] = []
    funding: object = None
    liquidation: object = None

    @property
    def item_count(self) -> int:
        """How many events the frame holds."""
        listed = len(self.fills) + len(self.non_user_cancel) + len(self.twap_history) + len(self.twap_slice_fills)
        return listed + (self.funding is not None) + (self.liquidation is not None)


class UserFrame(_Frame, frozen=True, gc=False, tag="user"):
    """`user`: the channel of the subscription `userEvents`."""

    data: UserEvents


class UserEventsFrame(_Frame, frozen=True, gc=False, tag="userEvents"):
    """`userEvents`: the same under the subscription's name, as some clients report it."""

    data: UserEvents


class Positions(_Part, frozen=True, gc=False, rename="camel"):
    """Positions of an account on one dex."""

    asset_positions: list[msgspec.Raw]


class DexPositions(_Part, frozen=True, gc=False, rename="camel"):
    """State of an account on one dex."""

    clearinghouse_state: Positions


class ClearinghouseFrame(_Frame, frozen=True, gc=False, tag="clearinghouseState"):
    """`clearinghouseState`."""

    data: DexPositions


class OpenOrders(_Part, frozen=True, gc=False):
    """All open orders of an account on one dex."""

    orders: list[msgspec.Raw]


class OpenOrdersFrame(_Frame, frozen=True, gc=False, tag="openOrders"):
    """`openOrders`."""

    data: OpenOrders


class WebData(_Part, frozen=True, gc=False, rename="camel"):
    """Account state over all dexes, one entry a dex."""

    perp_dex_states: list[msgspec.Raw]


class WebDataFrame(_Frame, frozen=True, gc=False, tag="webData3"):
    """`webData3`."""

    data: WebData


class Notification(_Part, frozen=True, gc=False):
    """A text for the account's holder."""

    notification: str


class NotificationFrame(_Frame, frozen=True, gc=False, tag="notification"):
    """`notification`."""

    data: Notification


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Just the channel: what can be told of a frame whose shape is unknown."""

    channel: str


AnyFrame = (
    BboFrame
    | CtxFrame
    | SpotCtxFrame
    | BookFrame
    | TradesFrame
    | AckFrame
    | ErrorFrame
    | PongFrame
    | PostFrame
    | UserFillsFrame
    | OrderUpdatesFrame
    | UserFrame
    | UserEventsFrame
    | ClearinghouseFrame
    | OpenOrdersFrame
    | WebDataFrame
    | NotificationFrame
)
