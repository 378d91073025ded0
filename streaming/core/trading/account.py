"""The real account inside the engine's state: orders, positions, actions under way, and what is proved about them.

Rule 1: one owner, the engine; what survives a restart is carried by `recovery`, the rest has to be earned again.
Rule 2: an order stays here until it is settled; then it binds nothing and is forgotten, its rows remain.
"""

from decimal import Decimal

import msgspec

from streaming.core.errors import check
from streaming.core.market import Side
from streaming.core.trading.action_budget import ActionBudget
from streaming.core.trading.exit_rules import ExitTrack
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import DexAccount, LiveOrder, LivePosition, OrderStatus
from streaming.core.trading.nonce import NonceState
from streaming.core.units import ZERO

RECENT_COUNT_MAX = 200
"""Settled orders that are remembered."""
MONEY_COUNT_MAX = 5_000
"""Funding payments and transfers that are remembered: more than a snapshot of the venue holds."""
TID_COUNT_MAX = 5_000
"""Trade ids that are remembered; older fills count as known by their time."""


class ActionUnderWay(msgspec.Struct, kw_only=True):
    """An action from its decision until all its orders are over."""

    action_id: int
    kind: str
    cloids: tuple[str, ...]
    nonce: int
    received_mono_ns: int
    decided_mono_ns: int
    decided_ts_ns: int
    expires_ts_ms: int
    generation: int
    sent_mono_ns: int = 0
    is_open: bool = True
    """It holds a place in flight: no outcome of the action itself is known yet."""


class Question(msgspec.Struct, kw_only=True):
    """Something asked about the account that has not been answered."""

    kind: str
    """`account`, `fills` or `order`."""
    cloid: str = ""
    start_ts_ms: int = 0
    asked_mono_ns: int
    change_count: int
    """`LiveAccount.change_count` when it was asked: an answer that crossed a change proves nothing."""
    venue_ts_ms: int
    """`LiveAccount.venue_ts_ms` then: the answer is not older."""


class Doubt(msgspec.Struct, kw_only=True):
    """What has been proved of an order in doubt (reliability.md, section 4)."""

    unknown_mono_ns: int = 0
    """When the venue first said that it does not know the cloid, after the deadline; 0 not yet."""
    is_unknown_twice: bool = False
    is_fills_clean: bool = False
    """A read of all fills since the decision holds none of this order."""
    agreeing_count: int = 0
    """Account reads after the deadline that agree with our position, in a row."""


class AccountProof(msgspec.Struct, kw_only=True):
    """What account reads have shown since the last connection."""

    is_proved: bool = False
    signature: str = ""
    """Of the last judged read: differences found. Two equal ones in a row count."""
    signature_count: int = 0
    is_fills_read: bool = False
    """A query for missed fills was answered since the first read with this signature."""
    cash_seen: dict[str, Decimal] = {}
    """Dex → cash of the last judged read, until two agree."""
    accounts: tuple[DexAccount, ...] = ()
    """The last judged read: what an operator's reset takes over."""
    fill_count: int = 0
    """`LiveAccount.fill_count` then: a read of before a fill says nothing about what is held now."""


class LiveAccount(msgspec.Struct, kw_only=True):
    """Everything about real orders and money."""

    orders: dict[str, LiveOrder] = {}
    """By cloid, until settled."""
    recent_orders: dict[str, LiveOrder] = {}
    """Settled ones, newest last: what comes late is still ours."""
    positions: dict[str, LivePosition] = {}
    tracks: dict[str, ExitTrack] = {}
    nonce: NonceState = msgspec.field(default_factory=NonceState)
    losses: LossState = msgspec.field(default_factory=LossState)
    cash: dict[str, Decimal] = {}
    """Dex → what our own account says the venue's cash is; absent until two agreeing reads gave the start."""
    turnover: dict[str, Decimal] = {}
    """Dex → notional of all fills since the cash's starting point: bounds what rounding can explain."""
    tids: dict[int, int] = {}
    """Trade id → venue time, of fills that were applied."""
    fills_from_ts_ms: int = 0
    """Fills before this are none of ours to count; 0 until the first connection."""
    last_fill_ts_ms: int = 0
    fill_count: int = 0
    """Fills applied in this session."""
    cash_from_ts_ms: dict[str, int] = {}
    """Dex → venue time of the read that gave its start: money that moved until then is in it."""
    money_keys: dict[str, int] = {}
    """Posting of a funding payment or transfer → when it was posted (ns, our clock)."""
    # actions
    budget: ActionBudget = msgspec.field(default_factory=ActionBudget)
    actions: dict[int, ActionUnderWay] = {}
    action_count: int = 0
    pending: list[str] = []
    """Cloids decided in this step, sent at its end."""
    pending_cancels: list[str] = []
    batch: list[str] = []
    """Cloids of entries that wait for the next batch."""
    is_batch_timed: bool = False
    rejection_weight: int = 0
    is_agent_refused: bool = False
    """The venue does not take our signature any more: what is held can not be closed by us (F-43)."""
    nonce_refusal_count: int = 0
    may_schedule_cancel: bool = True
    """The venue takes `scheduleCancel` from this account, as far as we know."""
    is_switch_armed: bool = False
    switch_due_mono_ns: int = 0
    """When it is armed again."""
    # exits
    exit_timers: dict[str, int] = {}
    """Coin → number of the one exit deadline that counts."""
    is_flattening: bool = False
    """Everything is being closed; entries stay shut until the session ends or an operator resets."""
    is_latch_applied: bool = False
    stops: dict[str, str] = {}
    """Coin → gate that stopped it; absent while it trades."""
    shrinking: list[str] = []
    # what is known
    change_count: int = 0
    """Counts everything that changes orders or positions."""
    generation: int = 0
    """Connection that the flags below belong to."""
    acked_channels: list[str] = []
    has_snapshot: bool = False
    is_fills_proved: bool = False
    snapshot_tids: list[int] = []
    is_ready: bool = False
    unready_reason: str = "no connection"
    proof: AccountProof = msgspec.field(default_factory=AccountProof)
    ignored_coins: list[str] = []
    """Positions of markets that we do not watch and that an operator knows of."""
    doubts: dict[str, Doubt] = {}
    reset_mono_ns: int = 0
    """When an operator reset the stop latch in this session; 0 is never."""
    questions: dict[int, Question] = {}
    reads_due_mono_ns: dict[str, int] = {}
    """Repeated read → its next deadline."""
    question_count: int = 0
    venue_ts_ms: int = 0
    """Latest venue time that an account read carried."""
    ladder_step: int = 0
    ladder_full_mono_ns: int = 0


def open_orders_of(live: LiveAccount, coin: str) -> list[LiveOrder]:
    """Return the orders of a market that still bind something."""
    return [order for order in live.orders.values() if order.coin == coin and not order.is_settled]


def has_open_order(live: LiveAccount, coin: str) -> bool:
    """Say whether an order of a market still binds something."""
    orders = live.orders
    return bool(orders) and any(order.coin == coin and not order.is_settled for order in orders.values())


def has_doubt(live: LiveAccount) -> bool:
    """Say whether the outcome of any order is unknown."""
    return any(order.status is OrderStatus.IN_DOUBT for order in live.orders.values())


def is_quiet(live: LiveAccount) -> bool:
    """Say whether nothing is under way that could change the account by itself."""
    return all(order.is_settled for order in live.orders.values())


def live_exposure_ntl(live: LiveAccount) -> Decimal:
    """Return cost of positions plus the worst case of every entry that may still fill, quote units (I-11)."""
    held = sum((position.cost_ntl for position in live.positions.values()), ZERO)
    in_flight = sum((o.limit_px * o.open_sz for o in live.orders.values() if not o.is_reduce_only), ZERO)
    return held + in_flight


def live_exposure_count(live: LiveAccount) -> int:
    """Return how many markets hold a position or may come to hold one."""
    coming = {o.coin: None for o in live.orders.values() if not o.is_reduce_only and not o.is_settled}
    return len(live.positions.keys() | coming.keys())


def open_sides(live: LiveAccount) -> dict[str, Side]:
    """Return market → side of every position and every entry that may still fill."""
    sides = {coin: Side.BUY if position.is_long else Side.SELL for coin, position in live.positions.items()}
    for order in live.orders.values():
        if not order.is_reduce_only and not order.is_settled:
            sides.setdefault(order.coin, order.side)
    return sides


def remember_order(live: LiveAccount, order: LiveOrder) -> None:
    """Keep a settled order for a while: a fill that nobody promised may still come, and is not foreign."""
    live.recent_orders.pop(order.cloid, None)
    live.recent_orders[order.cloid] = order
    if len(live.recent_orders) > RECENT_COUNT_MAX:
        del live.recent_orders[next(iter(live.recent_orders))]


def known_order(live: LiveAccount, cloid: str) -> LiveOrder | None:
    """Return one of our orders, settled or not; None for a cloid that is not ours."""
    return live.orders.get(cloid) or live.recent_orders.get(cloid) if cloid else None


def know_tid(live: LiveAccount, tid: int, venue_ts_ms: int) -> bool:
    """Take note of a trade id; False when it was known (I-16)."""
    if tid in live.tids or venue_ts_ms < live.fills_from_ts_ms:
        return False
    live.tids[tid] = venue_ts_ms
    live.last_fill_ts_ms = max(live.last_fill_ts_ms, venue_ts_ms)
    if len(live.tids) > TID_COUNT_MAX:
        _forget_oldest(live)
    return True


def know_money(live: LiveAccount, key: str, posted_ts_ns: int) -> bool:
    """Take note of a funding payment or transfer that is posted; False when it was known."""
    if key in live.money_keys:
        return False
    live.money_keys[key] = posted_ts_ns
    if len(live.money_keys) > MONEY_COUNT_MAX:
        del live.money_keys[min(live.money_keys, key=lambda known: live.money_keys[known])]
    return True


def _forget_oldest(live: LiveAccount) -> None:
    # By venue time, not by arrival: a gap fill brings old ones late. What is forgotten counts as known by its time, so
    # all ids of that millisecond leave together.
    by_time = sorted(live.tids.values())
    floor = by_time[len(by_time) // 10] + 1
    live.tids = {tid: ts for tid, ts in live.tids.items() if ts >= floor}
    check(floor > live.fills_from_ts_ms, "I-16", floor=floor, fills_from=live.fills_from_ts_ms)
    live.fills_from_ts_ms = floor
