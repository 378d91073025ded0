"""Outputs of the engine: what it decided, as data. Every one is journaled before anything acts on it.

Two kinds share the list that `step` returns. *Decisions* are facts for tables, metrics and recovery. *Requests*
(`Resubscribe`, `Reconnect`, `CommandAnswered`, and `ActionDecided` and the questions of real trading) ask the shell to
act. A tick without consequence returns nothing.

Stamps: `ts_ns` is the wall-clock instant of the decision (UTC), which also decides its day; `mono_ns` CLOCK_BOOTTIME.
For a deadline both are those of the deadline, not of the event that let the engine notice it.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from streaming.core.events import MarketAllowance, Phase, Trade
from streaming.core.market import MarketSpec, Side
from streaming.core.stamps import Output
from streaming.core.trading.effects import LiveOutput


class GateId(StrEnum):
    """The eight gates, in the order of the gate table."""

    ORACLE_FRESH = "oracle_fresh"
    MARK_MID_DIVERGENCE = "mark_mid_divergence"
    SPREAD_SHOCK = "spread_shock"
    OI_CAP = "oi_cap"
    PARAM_CHANGE = "param_change"
    HALT = "halt"
    NO_BBO_UPDATE = "no_bbo_update"
    TIME_REGRESSION = "time_regression"


class GateStatus(StrEnum):
    """What a gate says about an entry."""

    PASS = "pass"  # noqa: S105 - a gate status, no secret
    REDUCE = "reduce"
    BLOCK = "block"


class GateResult(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One gate's answer; `observed` is None when the input is missing (which blocks)."""

    gate: GateId
    status: GateStatus
    observed: Decimal | None
    limit: Decimal | None


class BookSnapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Both sides of a market with oracle, mark and ages at one instant; None is "not known"."""

    bid_px: Decimal | None
    bid_sz: Decimal | None
    ask_px: Decimal | None
    ask_sz: Decimal | None
    oracle_px: Decimal | None
    mark_px: Decimal | None
    spread_bps: Decimal | None
    bbo_age_ms: int | None
    """Since the last bbo frame."""
    confirmation_age_ms: int | None
    """Since the last confirmation of the valid two-sided book (gate 7)."""
    ctx_age_ms: int | None
    """Since the last receipt of a ctx (gate 1)."""
    oracle_age_ms: int | None
    """Since the oracle price last changed: a statistic, never a gate."""


class EpisodeBegan(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The raw edge of one side passed the threshold while armed."""

    coin: str
    episode_id: str
    side: Side
    origin: str
    """`oracle_led` (a ctx whose oracle differs crossed) or `quote_led` (a bbo did)."""
    raw_edge_bps: Decimal
    threshold_bps: Decimal


class EpisodeEnded(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The whole episode: one row of the table `episodes`. `ts_ns` is its end, `begin_ts_ns` decides its day."""

    coin: str
    episode_id: str
    side: Side
    origin: str
    begin_ts_ns: int
    duration_ms: int
    tick_count: int
    entry_edge_bps: Decimal
    """Raw edge when it began."""
    peak_edge_bps: Decimal
    threshold_bps: Decimal
    ended_by: str
    """`quote_moved`, `oracle_moved`, `book_void`, `connection_lost`, `market_stopped` or `session_closed`."""


class SignalRaised(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """An episode is worth a decision: the edge after fees, slippage and rounding meets the minimum."""

    coin: str
    signal_id: str
    episode_id: str
    side: Side
    origin: str
    limit_px: Decimal
    """Touch we would hit, rounded to the venue's grid without becoming more aggressive."""
    touch_sz: Decimal
    raw_edge_bps: Decimal
    net_edge_bps: Decimal
    threshold_bps: Decimal
    taker_fee_bps: Decimal
    book: BookSnapshot
    bbo_seq: int
    ctx_seq: int


class GatesEvaluated(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """All 8 gates for one signal, none skipped, and what else stood against the entry."""

    coin: str
    signal_id: str
    results: tuple[GateResult, ...]
    is_blocked: bool
    blocked_by: tuple[str, ...]
    """Gates that block, then controls beside them: `stop_latch`, `rate_limit`, `writer`, `not_ready`."""


class EntryRefused(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """No order came of a signal. The signal is followed up all the same."""

    coin: str
    signal_id: str
    reason: str


class GateChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A gate's status differs from the one last reported (transitions are logged, not ticks)."""

    coin: str
    gate: GateId
    previous: GateStatus
    current: GateStatus
    observed: Decimal | None
    limit: Decimal | None
    blocked_ms: int
    """How long the previous status lasted."""


class FollowupTaken(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The market `offset_ms` after a signal, both book sides; `is_missing` when nothing could be known."""

    coin: str
    signal_id: str
    side: Side
    offset_ms: int
    signal_ts_ns: int
    entry_px: Decimal
    is_missing: bool
    missing_reason: str
    book: BookSnapshot


class OrderChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A state of one of our orders: INTENT when decided, then a terminal state."""

    coin: str
    cloid: str
    signal_id: str
    mode: str
    """`paper` here; `live` once orders are signed."""
    side: Side
    is_reduce_only: bool
    limit_px: Decimal
    sz: Decimal
    filled_sz: Decimal
    status: str
    """`intent`, `filled`, `partly_filled`, `unfilled` or `aborted`."""
    reason: str
    decided_ts_ns: int


class FillApplied(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A fill, with its fee in quote units (> 0 is paid)."""

    coin: str
    cloid: str
    tid: int
    mode: str
    side: Side
    px: Decimal
    sz: Decimal
    fee: Decimal
    is_reduce_only: bool
    decided_ts_ns: int


class PositionChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A position after a change; `sz` is signed, 0 is flat."""

    coin: str
    mode: str
    sz: Decimal
    entry_px: Decimal | None
    entry_ts_ns: int | None
    entry_edge_bps: Decimal | None
    realised_pnl: Decimal
    reason: str


class LedgerPosted(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """One leg of a double entry; the legs of a `posting_id` sum to zero per currency (I-14)."""

    coin: str
    posting_id: str
    mode: str
    account: str
    """`cash`, `position`, `fees`, `builder_fees`, `funding`, `transfers` or `realised_pnl`."""
    amount: Decimal
    currency: str
    reason: str


class MarketReadyChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """READY-MD of one market changed; `excluded` carries the time of the next try."""

    coin: str
    state: str
    """`waiting`, `ready` or `excluded`."""
    reason: str
    retry_mono_ns: int | None


class ConnectionChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The websocket opened or was lost."""

    generation: int
    is_open: bool
    reason: str


class ParamChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A poll brought another spec than the approved one; `fields` names what differs, as `name: old → new`."""

    coin: str
    previous_spec_version: str
    current_spec_version: str
    fields: tuple[str, ...]
    needs_operator: bool


class SpecObserved(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A spec version seen for the first time in this session: one row of the table `specs`."""

    spec: MarketSpec


class LatchChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The stop latch was set (first reason kept) or reset by an operator."""

    is_set: bool
    reason: str
    operator: str


class ArmChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Entries were armed or disarmed."""

    is_armed: bool
    operator: str


class PhaseChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """An operator approved another phase, or it was lowered."""

    phase: Phase
    previous: Phase
    reason: str
    operator: str
    verdict_sha256: str = ""
    """Document the approval relied on; empty where it needed none."""


class RotationJudged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """A rotation was applied whole, or refused with every reason."""

    version: int
    sha256: str
    is_accepted: bool
    reasons: tuple[str, ...]
    expires_ts_ns: int
    markets: tuple[MarketAllowance, ...]
    blacklist: tuple[str, ...]


class RotationExpired(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """The rotation in force ran out: real entries end, exits go on."""

    version: int
    sha256: str


class EntriesChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """An account-wide reason against entries came or went.

    `control` is `rate_limit`, `writer`, `stop_latch`, `venue_post_only`, `venue_clock` or `venue_lag`.
    """

    control: str
    is_open: bool
    detail: str


class LimitsChanged(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Limits were tightened at run time."""

    config_hash: str


class HealthSampled(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """One market on the fixed clock (1 s): ages away from any update, and counts since the last sample."""

    coin: str
    is_ready: bool
    book_class: str
    book: BookSnapshot
    bbo_count: int
    bbo_null_count: int
    ctx_count: int
    is_oracle_stale: bool
    is_spread_shock: bool
    rate_use_ratio: Decimal
    no_signal_counts: dict[str, int]
    """Crosses that raised no signal, by first reason, since the last sample."""


class TradesAccepted(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Trades of one frame that were not seen before (time, coin, tid): the rows of the table `trades`."""

    trades: tuple[Trade, ...]


class Resubscribe(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: subscribe a market again (its exclusion has run out)."""

    coin: str


class Reconnect(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: drop the websocket and connect again (time regression, silence, garbage)."""

    reason: str


class CommandAnswered(Output, frozen=True, gc=False, tag=True, kw_only=True):
    """Request: answer a control command. `reasons` says why not, all at once."""

    command_id: int
    is_accepted: bool
    reasons: tuple[str, ...]


AnyOutput = (
    EpisodeBegan
    | EpisodeEnded
    | SignalRaised
    | GatesEvaluated
    | EntryRefused
    | GateChanged
    | FollowupTaken
    | OrderChanged
    | FillApplied
    | PositionChanged
    | LiveOutput
    | LedgerPosted
    | MarketReadyChanged
    | ConnectionChanged
    | ParamChanged
    | SpecObserved
    | LatchChanged
    | ArmChanged
    | PhaseChanged
    | RotationJudged
    | RotationExpired
    | EntriesChanged
    | LimitsChanged
    | HealthSampled
    | TradesAccepted
    | Resubscribe
    | Reconnect
    | CommandAnswered
)
