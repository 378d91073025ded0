"""Inputs of real trading: what the venue says about our account, and what became of the bytes we sent.

Rule 1: a post's answer, a stream and a query may tell the same thing in any order; each is taken for what it proves.
Rule 2: `*Received` come from the websocket, `*Read` answer a question that the engine asked (`query_id`).
"""

from streaming.core.stamps import Event
from streaming.core.trading.model import ActionStatus, DexAccount, Funding, OrderUpdate, Transfer, VenueFill
from streaming.core.trading.refusal import RefusalCode


class FillsReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Fills of the account (wire: `userFills`); a snapshot repeats old ones and never changes a position."""

    generation: int
    fills: tuple[VenueFill, ...]
    is_snapshot: bool


class OrderUpdatesReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """New statuses of the account's orders (wire: `orderUpdates`, always an array)."""

    generation: int
    updates: tuple[OrderUpdate, ...]


class FundingsReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Funding payments (wire: `userFundings`); a snapshot repeats old ones."""

    generation: int
    fundings: tuple[Funding, ...]
    is_snapshot: bool


class TransfersReceived(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Deposits, withdrawals and transfers (wire: `userNonFundingLedgerUpdates`); a snapshot repeats old ones."""

    generation: int
    transfers: tuple[Transfer, ...]
    is_snapshot: bool


class ActionAnswered(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """The venue answered an action (wire: `post`, or the body of POST /exchange).

    Exactly one of three: one status an order (`statuses`), the whole action refused (`code` and `text`), or an answer
    that says nothing certain (`is_unknown`, with what was found in `text`).
    """

    action_id: int
    generation: int
    """Connection of a `post`; -1 for REST."""
    statuses: tuple[ActionStatus, ...] = ()
    code: RefusalCode = RefusalCode.NONE
    text: str = ""
    is_unknown: bool = False


class ActionSent(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Signed bytes of an action were handed to the kernel; the stamps are those of that moment."""

    action_id: int
    is_rest: bool


class ActionNotSent(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Proved before any byte left: an action will never reach the venue."""

    action_id: int
    reason: str
    """`stop_latch`, `not_allowed`, `expired`, `no_connection`, `no_signer`, or what the transport said."""


class ActionOutcomeUnknown(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """An action may or may not have been executed: time-out, disconnect, 5xx, garbage."""

    action_id: int
    reason: str


class AccountRead(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """One read of the account over all watched dexes (REST `clearinghouseState`)."""

    query_id: int
    accounts: tuple[DexAccount, ...]


class FillsRead(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """All fills of the account from `start_ts_ms` on (REST `userFillsByTime`, every page)."""

    query_id: int
    start_ts_ms: int
    fills: tuple[VenueFill, ...]


class OrderRead(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """What the venue knows of one cloid (REST `orderStatus`); None is `unknownOid`."""

    query_id: int
    cloid: str
    update: OrderUpdate | None
    venue_ts_ms: int
    """Venue time not later than the answer; 0 when it is not known."""


class QueryFailed(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """A question about the account got no answer; it is asked again."""

    query_id: int
    reason: str


class AddressBudgetRead(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """What is left of the account's request budget (REST `userRateLimit`)."""

    used_count: int
    cap_count: int


class FlattenRequested(Event, frozen=True, gc=False, tag=True, kw_only=True):
    """Close every real position now: shutdown, or an operator. Entries stay closed until the session ends."""

    command_id: int
    reason: str
    operator: str


LiveEvent = (
    AccountRead
    | ActionAnswered
    | ActionNotSent
    | ActionOutcomeUnknown
    | ActionSent
    | AddressBudgetRead
    | FillsRead
    | FillsReceived
    | FlattenRequested
    | FundingsReceived
    | OrderRead
    | OrderUpdatesReceived
    | QueryFailed
    | TransfersReceived
)
"""Every input of this module."""
