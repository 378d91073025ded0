"""Inputs of the engine: everything that can happen, as data.

Rule 1: an event carries its receive stamps; the engine knows no other time.
Rule 2: one websocket frame becomes exactly one event, so journal sequence numbers are dense over inputs.
Rule 3: a missing value is None. It is never 0.
Rule 4: `coin` is the venue's full name (`xyz:NVDA`); `generation` counts websocket connections of this session.

`recv_mono_ns` is CLOCK_BOOTTIME (counts suspend; never compared across boots), `recv_ts_ns` our wall clock in UTC,
`venue_ts_ms` the venue's clock as received.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

from streaming.core.limits import Limits
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.stamps import Event
from streaming.core.trading.events import LiveEvent


class Phase(StrEnum):
    """How far the operator lets this instance go; each phase includes those before it."""

    OBSERVE = "observe"
    PAPER = "paper"
    MICRO = "micro"
    STEADY = "steady"
    ROTATE = "rotate"


class BboUpdated(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Best bid and offer of a market; a null side stays None (wire: `bbo`)."""

    coin: str
    generation: int
    venue_ts_ms: int
    bid_px: Decimal | None
    bid_sz: Decimal | None
    ask_px: Decimal | None
    ask_sz: Decimal | None


class CtxUpdated(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Oracle, mark and statistics of a market (wire: `activeAssetCtx`, which carries no time)."""

    coin: str
    generation: int
    oracle_px: Decimal
    mark_px: Decimal
    mid_px: Decimal | None
    impact_bid_px: Decimal | None
    impact_ask_px: Decimal | None
    open_interest_sz: Decimal
    """Rounded up to 8 decimals: gate 4 must err towards blocking."""
    funding_ratio: float
    premium_ratio: float | None
    day_ntl_vlm_usd: float | None


class BookLevel(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One price level."""

    px: Decimal
    sz: Decimal
    order_count: int


class BookUpdated(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A full book of 5 (fast) or 20 (slow) levels a side (wire: `l2Book`)."""

    coin: str
    generation: int
    venue_ts_ms: int
    is_fast: bool
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade; unique by (venue_ts_ms, coin, tid). `side` is the aggressor's."""

    coin: str
    side: Literal["buy", "sell"]
    px: Decimal
    sz: Decimal
    venue_ts_ms: int
    tid: int


class TradesReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Public trades; the first frame of a subscription repeats about 20 s, unflagged."""

    generation: int
    trades: tuple[Trade, ...]


class UserFrameReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A frame of a user channel that nothing acts on, decoded and counted."""

    channel: str
    generation: int
    item_count: int
    is_snapshot: bool


class ConnectionOpened(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A websocket is open; every market has to become ready again."""

    generation: int


class ConnectionLost(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """The websocket of `generation` is gone."""

    generation: int
    reason: str


class SubscriptionAcked(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """The venue confirmed a subscription (`channel` as on the wire: `bbo`, `activeAssetCtx`, ...)."""

    generation: int
    channel: str
    coin: str
    is_fast: bool = False
    """`l2Book` only: the ack is of the fast book."""
    user: str = ""
    """User channels only: the address as the venue echoed it."""


class SessionFrameReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A frame of the session layer without meaning for markets: pong, post answer, unsubscribe ack, greeting."""

    generation: int
    channel: str


class VenueErrorReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """The venue's `error` channel spoke; `text` is cut at 200 characters."""

    generation: int
    text: str


class FrameMalformed(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A frame that could not be read; the raw bytes stay in the journal."""

    generation: int
    channel: str
    """Channel as far as it could be told, else `unknown`."""
    reason: str
    """Short and stable; `spot_context` means that `coin` is a spot market, which must be dropped."""
    coin: str = ""
    """Market as far as it could be told."""


class TimerFired(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Time passed: the engine's next deadline has been reached."""


class SpecsReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """What `meta` and fees say about every watched market, at start and at each poll."""

    specs: tuple[MarketSpec, ...]


class MarketStatusReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Status poll: halted, delisted, open-interest caps. A market that is missing here is unknown."""

    statuses: tuple[MarketStatus, ...]
    is_post_only: bool
    """A post-upgrade window (`exchangeStatus.specialStatuses` is not null)."""


class RateUseReported(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Highest use of any rate limit in its window, 0-1 (shell accounts; 0.8 sheds polls, 0.95 closes entries)."""

    use_ratio: Decimal
    limit_name: str


class WriterHealthReported(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """State of the journal writer and of the loop; entries close while it is not healthy."""

    is_healthy: bool
    sync_lag_ms: int
    loop_lag_ms: int
    queue_count: int


class MarketAllowance(msgspec.Struct, frozen=True, gc=False):
    """One market of a rotation with the notional it may use, and settings that tighten the file's."""

    coin: str
    ntl_max: Decimal
    threshold_bps: Decimal | None = None
    """Raw edge an entry needs; None leaves the file's threshold."""
    is_oracle_led_only: bool = False
    hold_ms_max: int | None = None
    """Time stop; None leaves the file's."""


class RotationReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A pushed rotation document, already decoded, not yet judged."""

    command_id: int
    version: int
    sha256: str
    replaces_sha256: str
    """`If-Match` of the push: sha256 of the document it replaces, empty for the first."""
    venue: str
    account: str
    expires_ts_ns: int
    markets: tuple[MarketAllowance, ...]
    blacklist: tuple[str, ...]
    stands_down: bool = False
    """No market is what the document means, not a mistake."""


class StopRequested(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator, or the shell on his behalf, wants no more risk."""

    command_id: int
    reason: str
    operator: str


class ResetRequested(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator clears the stop latch, with a reason."""

    command_id: int
    reason: str
    operator: str


class ArmRequested(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator arms or disarms entries."""

    command_id: int
    is_armed: bool
    operator: str


class PhaseRequested(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator approves a phase, or anyone who may change something goes back to a lower one."""

    command_id: int
    phase: Phase
    reason: str
    operator: str
    is_platform: bool = False
    """Asked with the platform's token, which may lower the phase only."""
    verdict_sha256: str = ""
    """Document the approval relies on; empty cites none."""
    verdict_venue: str = ""
    verdict_account: str = ""
    verdict_missing: tuple[str, ...] = ()
    """Rows of the document that are not PASS and stand against this phase."""


class SpecApproved(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator accepts a market's changed spec (gate 5 after repeated changes)."""

    command_id: int
    coin: str
    operator: str


class LimitsReloaded(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """`hip3 reload`: a new set of detector and risk limits, already proved to be no wider."""

    command_id: int
    config_hash: str
    limits: Limits


class SessionClosed(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """The last input of a session: open episodes end, open follow-ups are written as missing."""

    reason: str


AnyEvent = (
    BboUpdated
    | CtxUpdated
    | BookUpdated
    | TradesReceived
    | UserFrameReceived
    | LiveEvent
    | ConnectionOpened
    | ConnectionLost
    | SubscriptionAcked
    | SessionFrameReceived
    | VenueErrorReceived
    | FrameMalformed
    | TimerFired
    | SpecsReceived
    | MarketStatusReceived
    | RateUseReported
    | WriterHealthReported
    | RotationReceived
    | StopRequested
    | ResetRequested
    | ArmRequested
    | PhaseRequested
    | SpecApproved
    | LimitsReloaded
    | SessionClosed
)
