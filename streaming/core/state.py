"""The whole state of the engine as plain structs: what a snapshot holds and what recovery starts from.

Rule 1: one owner, the engine; `step` is the only writer during a session.
Rule 2: every field is a msgspec type, so that a snapshot is one encode and a restored state continues identically.
Rule 3: nothing here iterates a set or depends on `hash()`; dictionaries keep insertion order, through snapshots too.
Rule 4: `mono_ns` and `ts_ns` of the state are "now": those of the event, or of the deadline that is being processed.
"""

from decimal import Decimal
from enum import StrEnum
from heapq import heappush

import msgspec

from streaming.core.effects import BookSnapshot, GateStatus
from streaming.core.events import BboUpdated, CtxUpdated, MarketAllowance, Phase
from streaming.core.limits import ExitLimits, Limits, SizingLimits
from streaming.core.market import BookClass, MarketSpec, MarketStatus, Side
from streaming.core.paper_book import PaperOrder, PaperPosition
from streaming.core.trading.account import LiveAccount
from streaming.core.units import BPS, NS_PER_MS, ONE, ZERO, quantize_bps

GATE_COUNT = 8
_TWO_BPS = 2 * BPS
_VALID = BookClass.VALID


class Readiness(StrEnum):
    """READY-MD of one market."""

    WAITING = "waiting"
    READY = "ready"
    EXCLUDED = "excluded"


class TimerKind(StrEnum):
    """What a deadline is for; the reference and number of a timer mean what is said here."""

    SWEEP = "sweep"
    """Every second: gates of every market compared with the last report, one health sample each."""
    READY_TIMEOUT = "ready_timeout"
    """coin, generation: the market must have become ready."""
    EXCLUSION_END = "exclusion_end"
    """coin, generation: an excluded market is tried again."""
    FOLLOWUP = "followup"
    """signal_id, offset_ms."""
    PAPER_MATCH = "paper_match"
    """cloid: the order reaches the book."""
    PAPER_EXIT = "paper_exit"
    """coin: time stop, or the next try of an exit."""
    PARAM_COOLDOWN = "param_cooldown"
    """coin, ordinal of the change: the changed spec is approved unless it changed again."""
    ROTATION_EXPIRY = "rotation_expiry"
    """empty, version."""
    LIVE_EXIT = "live_exit"
    """coin, number: time stop of a real position, or the next try of its exit."""
    ENTRY_BATCH = "entry_batch"
    """Entries that waited for their batch go out."""
    ANSWER_TIMEOUT = "answer_timeout"
    """empty, action_id: an action should have been answered by now."""
    CANCEL_SWITCH = "cancel_switch"
    """The venue's own cancel of everything has to be pushed back while an order rests."""
    DOUBT = "doubt"
    """cloid: the next question about an order in doubt."""
    ACCOUNT = "account"
    """empty, connection: the next read of the account."""
    FILLS = "fills"
    """empty, connection: the next try to prove the account's fills."""


Timer = tuple[int, int, TimerKind, str, int]
"""Due mono_ns, ordinal (ties fire in the order of scheduling), kind, reference, number."""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of one run of the sidecar; every row carries it."""

    session_id: str
    venue: str
    account: str
    """Master address; empty or `paper` where no order is signed."""
    agent: str = ""
    """Address that signs for it; empty where nothing can be signed."""
    code_version: str
    config_hash: str


class Episode(msgspec.Struct, kw_only=True):
    """An open cross of one side."""

    episode_id: str
    side: Side
    origin: str
    begin_ts_ns: int
    begin_mono_ns: int
    tick_count: int
    entry_edge_bps: Decimal
    peak_edge_bps: Decimal
    threshold_bps: Decimal


class Entered(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an entry was decided on: everything else about it can be told after it was sent."""

    coin: str
    side: Side
    origin: str
    limit_px: Decimal
    edge_bps: Decimal
    signal_id: str
    cloid: str
    sz: Decimal
    action_id: int
    nonce: int
    expires_ts_ms: int


class MarketState(msgspec.Struct, kw_only=True):
    """Live state of one market; a missing value is None and blocks."""

    spec: MarketSpec
    # feed of the current connection
    bbo: BboUpdated | None = None
    ctx: CtxUpdated | None = None
    bbo_seq: int = 0
    ctx_seq: int = 0
    book_class: BookClass = BookClass.NONE
    confirmation_mono_ns: int | None = None
    """Last proof that the valid two-sided book still stands (gate 7)."""
    oracle_mono_ns: int | None = None
    """Last change of the oracle price: a statistic."""
    bbo_venue_ts_ms: int = 0
    book_fast_venue_ts_ms: int = 0
    book_slow_venue_ts_ms: int = 0
    is_time_regressed: bool = False
    # spread against its own history, in quote units, from valid books only
    spread_ewma: Decimal = ZERO
    spread_count: int = 0
    spread_px: Decimal = ZERO
    spread_reference_px: Decimal = ZERO
    """The EWMA before the last spread entered it: what that spread is compared with."""
    shock_quantile_ratio: Decimal | None = None
    """99 % quantile of spread / EWMA as learned so far; None is the limit itself."""
    shock_ratio: Decimal | None = None
    """k of this market, at most that of the limits; None until the first sample."""
    shock_level: int = 0
    """0 none, 1 above k, 2 above 2k; the worst since the last recovery."""
    shock_under_mono_ns: int | None = None
    """Since when the spread has been back under k."""
    # readiness
    readiness: Readiness = Readiness.WAITING
    is_bbo_acked: bool = False
    is_ctx_acked: bool = False
    has_bbo: bool = False
    has_ctx: bool = False
    retry_mono_ns: int | None = None
    """When an excluded market is tried again; None also when it is not, in this session."""
    is_dropped: bool = False
    """The name turned out to be another kind of market: excluded for the rest of the session."""
    # detector: prices at which the touch is an opportunity, recomputed when oracle, spec or limits change
    threshold_bps: Decimal = ZERO
    buy_factor: Decimal = ONE
    sell_factor: Decimal = ONE
    buy_rearm_factor: Decimal = ONE
    sell_rearm_factor: Decimal = ONE
    buy_trigger_px: Decimal = ZERO
    sell_trigger_px: Decimal = ZERO
    is_quiet: bool = True
    """No open episode and both sides armed: the hot path needs two comparisons."""
    buy_episode: Episode | None = None
    sell_episode: Episode | None = None
    is_buy_armed: bool = True
    is_sell_armed: bool = True
    is_exit_only: bool = False
    """Not configured, and watched because something of ours was open here at the start: no entries (I-31, F-92)."""
    allowance_ntl: Decimal | None = None
    """What the rotation in force allows this market for real; None is not allowed."""
    real_sizing: SizingLimits | None = None
    """How large a real entry may be: file, phase and rotation, whichever is least. Kept by `share_allowances`."""
    real_exits: ExitLimits | None = None
    """When a real position is closed where the rotation asks for less than the file. Kept by `share_allowances`."""
    threshold_bps_min: Decimal = ZERO
    """Least threshold the rotation asks for; 0 leaves the file's. Kept by `share_allowances`."""
    is_oracle_led_only: bool = False
    """The rotation wants no real entry on a quote-led cross. Kept by `share_allowances`."""
    # specification and status
    approved_spec_version: str = ""
    seen_spec_versions: list[str] = []
    is_param_changed: bool = False
    needs_operator: bool = False
    param_change_count: int = 0
    param_change_mono_ns: int | None = None
    is_param_consistent: bool = False
    is_in_meta: bool = True
    status: MarketStatus | None = None
    status_mono_ns: int | None = None
    normal_mono_ns: int | None = None
    """Since when trading has been normal; None while it is not, or is unknown."""
    # counts since the last health sample
    bbo_count: int = 0
    bbo_null_count: int = 0
    ctx_count: int = 0
    no_signal_counts: dict[str, int] = {}
    # gates as last reported
    gate_statuses: list[GateStatus] = []
    gate_since_mono_ns: list[int] = []
    # displayed size that paper fills have taken from the touch as it stands
    is_touch_consumed: bool = False
    bid_consumed_sz: Decimal = ZERO
    ask_consumed_sz: Decimal = ZERO
    entry_signal_id: str = ""
    """Signal of the last entry that filled; only recovery needs it."""
    # public trades seen
    trade_tids: dict[int, list[int]] = {}
    trade_count: int = 0
    trade_floor_ts_ms: int = -1
    """Trades up to this venue time have left the memory and count as seen."""
    # session totals
    episode_count: int = 0
    signal_count: int = 0

    @property
    def oracle_px(self) -> Decimal | None:
        """Last received oracle price of this connection."""
        return None if self.ctx is None else self.ctx.oracle_px

    @property
    def mark_px(self) -> Decimal | None:
        """Last received mark price of this connection."""
        return None if self.ctx is None else self.ctx.mark_px

    @property
    def bid_px(self) -> Decimal | None:
        """Best bid of the last bbo."""
        return None if self.bbo is None else self.bbo.bid_px

    @property
    def ask_px(self) -> Decimal | None:
        """Best ask of the last bbo."""
        return None if self.bbo is None else self.bbo.ask_px

    def touch_sz(self, side: Side) -> Decimal:
        """Displayed size of the touch that `side` would hit; 0 when there is none."""
        bbo = self.bbo
        sz = None if bbo is None else bbo.ask_sz if side is Side.BUY else bbo.bid_sz
        return ZERO if sz is None else sz

    def snapshot(self, now_mono_ns: int) -> BookSnapshot:
        """Return both sides, oracle, mark and ages as of `now_mono_ns`."""
        bid_px = bid_sz = ask_px = ask_sz = oracle_px = mark_px = spread_bps = None
        bbo_age_ms = ctx_age_ms = None
        bbo, ctx = self.bbo, self.ctx
        if bbo is not None:
            bid_px, bid_sz, ask_px, ask_sz = bbo.bid_px, bbo.bid_sz, bbo.ask_px, bbo.ask_sz
            bbo_age_ms = (now_mono_ns - bbo.recv_mono_ns) // NS_PER_MS
            if self.book_class is _VALID and bid_px is not None and ask_px is not None:
                spread_bps = quantize_bps(self.spread_px * _TWO_BPS / (bid_px + ask_px))
        if ctx is not None:
            oracle_px, mark_px = ctx.oracle_px, ctx.mark_px
            ctx_age_ms = (now_mono_ns - ctx.recv_mono_ns) // NS_PER_MS
        confirmed, oracle_since = self.confirmation_mono_ns, self.oracle_mono_ns
        return BookSnapshot(
            bid_px=bid_px,
            bid_sz=bid_sz,
            ask_px=ask_px,
            ask_sz=ask_sz,
            oracle_px=oracle_px,
            mark_px=mark_px,
            spread_bps=spread_bps,
            bbo_age_ms=bbo_age_ms,
            confirmation_age_ms=None if confirmed is None else (now_mono_ns - confirmed) // NS_PER_MS,
            ctx_age_ms=ctx_age_ms,
            oracle_age_ms=None if oracle_since is None else (now_mono_ns - oracle_since) // NS_PER_MS,
        )


class PendingFollowup(msgspec.Struct, kw_only=True):
    """A signal whose follow-ups are not all taken."""

    coin: str
    side: Side
    entry_px: Decimal
    signal_ts_ns: int
    generation: int
    remaining_count: int


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """The stop latch: the first reason is kept until an operator resets it."""

    reason: str
    operator: str
    ts_ns: int


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """The rotation last accepted; it stays the one that a push must name, also after its expiry."""

    version: int
    sha256: str
    expires_ts_ns: int
    markets: tuple[MarketAllowance, ...]
    blacklist: tuple[str, ...]
    is_expired: bool = False


class ControlState(msgspec.Struct, kw_only=True):
    """What operators and the platform decided; survives restarts."""

    phase: Phase = Phase.OBSERVE
    is_armed: bool = False
    latch: Latch | None = None
    rotation: Rotation | None = None


class VenueClock(msgspec.Struct, kw_only=True):
    """What receipt minus venue time says about the two clocks and the way between them; see `venue_clock`."""

    offset_ns: int = 0
    """Least delay of this window and the one before; the offset of the clocks as far as it can be told."""
    window_least_ns: int | None = None
    window_before_least_ns: int | None = None
    window_lead_ns: int | None = None
    """Venue time less our monotonic clock at the least delay of a window: whatever our wall clock does."""
    window_before_lead_ns: int | None = None
    window_end_mono_ns: int = 0
    low_ns: int = 0
    high_ns: int = -1
    """A delay inside low ... high says nothing new; empty at first."""
    late_mono_ns: int = 0
    """When a delay was last too far above the least."""
    is_offset_closed: bool = False
    is_lag_closed: bool = False

    def forget_bounds(self) -> None:
        """Let every delay be looked at, until one sets the bounds again."""
        self.low_ns, self.high_ns = 0, -1


class EngineState(msgspec.Struct, kw_only=True):
    """Everything `step` reads and writes."""

    session: SessionInfo
    limits: Limits
    control: ControlState
    markets: dict[str, MarketState]
    seq: int = 0
    mono_ns: int = 0
    ts_ns: int = 0
    event_mono_ns: int = 0
    """Receive stamp of the event in hand; `mono_ns` is earlier while its deadlines are processed."""
    timers: list[Timer] = []
    timer_count: int = 0
    # connection
    generation: int = 0
    live_generation: int = -1
    """The generation whose frames count; -1 while there is no connection."""
    is_connected: bool = False
    is_reconnect_requested: bool = False
    connection_count: int = 0
    # account-wide reasons against entries
    rate_use_ratio: Decimal = ZERO
    is_rate_closed: bool = False
    is_writer_closed: bool = False
    is_post_only: bool = False
    venue_clock: VenueClock = msgspec.field(default_factory=VenueClock)
    # signals in flight
    followups: dict[str, PendingFollowup] = {}
    # paper account
    positions: dict[str, PaperPosition] = {}
    orders: dict[str, PaperOrder] = {}
    fill_count: int = 0
    """Paper trade ids count fills from 1."""
    # real account
    live: LiveAccount = msgspec.field(default_factory=LiveAccount)
    entered: Entered | None = None
    """An entry that is decided and not yet explained; None between steps."""
    must_settle: bool = False
    """Something of this step has to be sent or stopped at its end."""
    # totals of the session
    episode_count: int = 0
    signal_count: int = 0
    stale_frame_count: int = 0
    unknown_coin_count: int = 0
    malformed_count: int = 0
    venue_error_count: int = 0
    duplicate_trade_count: int = 0


def age_ms(now_mono_ns: int, then_mono_ns: int) -> int:
    """Return whole milliseconds from `then` to `now`; never negative: the clock is never behind a stamp."""
    return (now_mono_ns - then_mono_ns) // NS_PER_MS


def schedule(state: EngineState, due_mono_ns: int, kind: TimerKind, reference: str = "", number: int = 0) -> None:
    """Add a deadline; equal ones fire in the order in which they were added."""
    state.timer_count += 1
    heappush(state.timers, (due_mono_ns, state.timer_count, kind, reference, number))


def count_no_signal(market: MarketState, reason: str) -> None:
    """Count a cross that raises no signal, by the first reason."""
    counts = market.no_signal_counts
    counts[reason] = counts.get(reason, 0) + 1
