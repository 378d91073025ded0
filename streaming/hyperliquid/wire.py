"""Shapes of the venue's websocket frames, with the venue's own spelling; those of an account are in `wire_user`.

Nothing outside this package sees them.

Rule 1: numbers stay strings here; `number.py` makes them exact.
Rule 2: fields that are not needed are not named, so that new ones are ignored and removed ones do not break us (F-11).
Rule 3: what may be missing or null on the real wire has a default of None; it is never 0.

Source: hyperliquid.gitbook.io, "WebSocket: subscriptions"; live probes of 2026-09-24.
"""

from typing import Annotated, Literal

import msgspec

VenueTime = Annotated[int, msgspec.Meta(gt=0, lt=2**53)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Part(msgspec.Struct, frozen=True, gc=False):
    """Base of everything below a frame."""


class Frame(msgspec.Struct, frozen=True, gc=False, tag_field="channel"):
    """Base of all frames: a union tagged by `channel`."""


class Touch(Part, frozen=True, gc=False):
    """One side of a bbo."""

    px: str
    sz: str


class Bbo(Part, frozen=True, gc=False):
    """Best bid and offer; a side is null when there is none."""

    coin: str
    time: VenueTime
    bbo: tuple[Touch | None, Touch | None]


class BboFrame(Frame, frozen=True, gc=False, tag="bbo"):
    """`bbo`."""

    data: Bbo


class Ctx(Part, frozen=True, gc=False, rename="camel"):
    """Context of a perpetual; premium, mid and impact prices are null without a book."""

    funding: str
    open_interest: str
    oracle_px: str
    mark_px: str
    premium: str | None = None
    mid_px: str | None = None
    impact_pxs: tuple[str, str] | None = None
    day_ntl_vlm: str | None = None


class CoinCtx(Part, frozen=True, gc=False):
    """A context and its coin."""

    coin: str
    ctx: Ctx


class CtxFrame(Frame, frozen=True, gc=False, tag="activeAssetCtx"):
    """`activeAssetCtx`."""

    data: CoinCtx


class SpotCoin(Part, frozen=True, gc=False):
    """All that is wanted of a spot context."""

    coin: str


class SpotCtxFrame(Frame, frozen=True, gc=False, tag="activeSpotAssetCtx"):
    """`activeSpotAssetCtx`: never subscribed, so its coin is a mistake."""

    data: SpotCoin


class Level(Part, frozen=True, gc=False):
    """One price level of a book."""

    px: str
    sz: str
    n: Id


class Book(Part, frozen=True, gc=False):
    """A whole book: bids descending, asks ascending."""

    coin: str
    time: VenueTime
    levels: tuple[list[Level], list[Level]]
    fast: bool | None = None


class BookFrame(Frame, frozen=True, gc=False, tag="l2Book"):
    """`l2Book`."""

    data: Book


class PublicTrade(Part, frozen=True, gc=False):
    """One public trade; `side` is the aggressor's."""

    coin: str
    side: Literal["A", "B"]
    px: str
    sz: str
    time: VenueTime
    tid: Id


class TradesFrame(Frame, frozen=True, gc=False, tag="trades"):
    """`trades`."""

    data: list[PublicTrade]


class AckedSubscription(Part, frozen=True, gc=False):
    """A subscription as the venue echoes it, with its defaults added."""

    type: str
    coin: str = ""
    user: str = ""
    fast: bool | None = None


class Ack(Part, frozen=True, gc=False):
    """Answer to subscribe and unsubscribe."""

    method: Literal["subscribe", "unsubscribe"]
    subscription: AckedSubscription


class AckFrame(Frame, frozen=True, gc=False, tag="subscriptionResponse"):
    """`subscriptionResponse`."""

    data: Ack


class ErrorFrame(Frame, frozen=True, gc=False, tag="error"):
    """`error`."""

    data: str


class PongFrame(Frame, frozen=True, gc=False, tag="pong"):
    """`pong`."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Just the channel: what can be told of a frame whose shape is unknown."""

    channel: str


PublicFrame = BboFrame | CtxFrame | SpotCtxFrame | BookFrame | TradesFrame | AckFrame | ErrorFrame | PongFrame
"""Frames that need no account."""
