"""Outputs of real trading: orders, fills, positions and what the engine asks the shell to send or to ask.

`ActionDecided`, `AccountAsked`, `FillsAsked` and `OrderAsked` are requests, the others facts for tables and recovery.
"""

from decimal import Decimal

from streaming.core.market import Side
from streaming.core.stamps import Output
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import CancelTicket, LiveOrder, LivePosition, OrderTicket, VenueFill


class LiveOrderChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A real order has another status, or more evidence; it holds the whole order, so recovery needs nothing else."""

    order: LiveOrder


class LiveFillApplied(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A fill of the venue was applied to position and ledger, once for its tid (I-16)."""

    fill: VenueFill
    source: str
    """`stream`, or `gap` when a query brought it."""
    signal_id: str
    """Empty for fills that no order of ours caused."""
    reason: str
    """Reason of the order, `foreign`, `settlement` or `liquidation`."""
    is_reduce_only: bool
    decided_ts_ns: int
    slippage_bps: Decimal | None
    """Against the touch that was decided on; > 0 is worse than it."""
    flight_ms: int | None
    """Decision → this fill."""


class LivePositionChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A real position after a change; None is flat."""

    coin: str
    position: LivePosition | None
    realised_pnl: Decimal
    """Of this change, fees apart."""
    reason: str


class TradeClosed(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A real position went flat: the whole round trip."""

    coin: str
    signal_id: str
    side: Side
    opened_ts_ns: int
    held_ms: int
    sz: Decimal
    expected_px: Decimal
    entry_px: Decimal
    exit_px: Decimal
    entry_edge_bps: Decimal | None
    realised: Decimal
    fees: Decimal
    funding: Decimal
    exit_reason: str
    fill_count: int
    flat_time_ms: int | None
    """Exit decided → flat; None when no order of ours closed it."""


class LossesChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The account of losses after a change: what recovery starts from."""

    losses: LossState


class ActionDecided(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: sign these tickets as one action and send it. Nothing of it may leave before it was written down."""

    action_id: int
    """Also the `id` of the websocket post: counts from 1 in a session, new on every send."""
    kind: str
    """`order`, `cancel` or `schedule_cancel`."""
    orders: tuple[OrderTicket, ...]
    cancels: tuple[CancelTicket, ...]
    schedule_ts_ms: int | None
    """`schedule_cancel` only: when the venue cancels everything; None clears."""
    nonce: int
    expires_ts_ms: int
    may_add_risk: bool
    """An entry is among the orders: latch, arming and allow-list are read again right before signing (I-20)."""


class ActionEnded(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """An action has an outcome, or none that is certain: one row of the table `actions`."""

    action_id: int
    kind: str
    nonce: int
    order_count: int
    outcome: str
    """`answered`, `refused`, `not_sent` or `unknown`."""
    detail: str
    received_mono_ns: int
    """Receipt of the input that led to it."""
    decided_mono_ns: int
    sent_mono_ns: int | None
    ended_mono_ns: int
    decided_ts_ns: int


class AccountAsked(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: read the account's state on every watched dex."""

    query_id: int


class FillsAsked(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: read all fills of the account from `start_ts_ms` on."""

    query_id: int
    start_ts_ms: int


class OrderAsked(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: ask what the venue knows of a cloid."""

    query_id: int
    cloid: str


class RecordBegan(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The first snapshot of an account's fills: where our record of it begins."""

    fills_from_ts_ms: int
    """Venue time; fills before it are known and none of ours."""


class FillGapChecked(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """After a reconnect: the venue's fills since an instant against ours, counted; proved without a difference."""

    since_ts_ms: int
    venue_count: int
    known_count: int
    """Ours before the query."""
    applied_count: int
    """Missing ones that were applied now."""
    is_proved: bool


class AccountChecked(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """One account read against our own account of it, a dex at a time."""

    dex: str
    venue_cash: Decimal
    expected_cash: Decimal | None
    """None until two agreeing reads gave the starting point."""
    cash_from_ts_ms: int = 0
    """Venue time of that starting point; 0 while there is none."""
    difference: Decimal
    position_mismatches: tuple[str, ...]
    """`coin: ours x, venue y`, empty when they agree."""
    is_judged: bool
    """False while something was in flight: such a read proves nothing."""


class TradingReadyChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """READY-TRADING changed; `reason` names what is missing."""

    is_ready: bool
    reason: str


class MarketStopChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A gate of the stopping kind tripped, acted, or let the market go again."""

    coin: str
    state: str
    """`trading`, `shrinking` or `stopped`."""
    gate: str
    reason: str


class PositionIgnored(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator's reset accepted a position in a market that is not watched as none of ours."""

    coin: str
    sz: Decimal
    """Signed, as the venue said."""


class LadderChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The degradation ladder moved: 0 normal, 1 polls shed, 2 fewer subscriptions, 3 no entries, 4 stopped."""

    step: int
    reason: str


LiveOutput = (
    AccountAsked
    | AccountChecked
    | ActionDecided
    | ActionEnded
    | FillGapChecked
    | FillsAsked
    | PositionIgnored
    | LadderChanged
    | LiveFillApplied
    | LiveOrderChanged
    | LivePositionChanged
    | LossesChanged
    | MarketStopChanged
    | OrderAsked
    | RecordBegan
    | TradeClosed
    | TradingReadyChanged
)
"""Every output of this module."""
