"""The life of a real order: which status may follow which, and what each piece of evidence makes of it.

Rule 1: an order is over only on definitive evidence; until then it is in doubt and keeps what it reserved (I-03).
Rule 2: evidence may come in any order and more than once: a post's answer, the stream and a query end in one state.
Rule 3: what evidence says was filled has to arrive as fills; an order is forgotten only once they were applied.

    intent ─► sent ─► filled, partly_filled, unfilled, rejected, canceled, expired
       │        ├───► resting ─► any of these
       │        └───► in_doubt ─► any of these, never_arrived, or what never left after all
       └──► aborted, expired, not_sent
"""

from decimal import Decimal

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.errors import check
from streaming.core.state import EngineState, TimerKind, schedule
from streaming.core.trading.account import LiveAccount, remember_order
from streaming.core.trading.effects import LiveOrderChanged
from streaming.core.trading.events import OrderUpdatesReceived
from streaming.core.trading.model import OVER, LiveOrder, OrderStatus, OrderUpdate, Tif, VenueFill
from streaming.core.trading.questions import ask_later
from streaming.core.trading.refusal import RefusalCode
from streaming.core.units import NS_PER_MS, ZERO

_S = OrderStatus
_EVIDENCE = frozenset({_S.FILLED, _S.PARTLY_FILLED, _S.UNFILLED, _S.REJECTED, _S.CANCELED, _S.EXPIRED})
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.INTENT: frozenset({_S.SENT, _S.IN_DOUBT, _S.ABORTED, _S.EXPIRED, _S.NOT_SENT}),
    _S.SENT: _EVIDENCE | {_S.RESTING, _S.IN_DOUBT},
    _S.RESTING: _EVIDENCE | {_S.IN_DOUBT},
    _S.IN_DOUBT: _EVIDENCE | {_S.RESTING, _S.NEVER_ARRIVED, _S.ABORTED, _S.NOT_SENT},
    **dict.fromkeys(OVER, frozenset()),
}
"""Status → what may follow it."""

FILLS_DUE_MS = 1_000
"""Fills that evidence promises and the stream does not bring are asked for after this long."""
_OVER_SUFFIXES = ("canceled", "rejected", "scheduledcancel", "internalcancel")
DOUBT_AFTER_MS = 2_000
"""How long after its deadline an order may still be reported before the venue is asked (section 4, step 2)."""
OPEN_STATUSES = frozenset({"open", "triggered", "resting"})
"""Words of the venue for an order that still lives."""


def change(
    state: EngineState, out: list[AnyOutput], order: LiveOrder, status: OrderStatus, **changes: object
) -> LiveOrder:
    """Give an order another status, write it down, and forget it once it binds nothing.

    Args:
        state: The engine's state.
        out: Where outputs go.
        order: As it stands in the account.
        status: Allowed by `TRANSITIONS`.
        changes: Other fields of `LiveOrder`.
    """
    check(status in TRANSITIONS[order.status], "I-03", cloid=order.cloid, status=order.status, next=status)
    changed = msgspec.structs.replace(order, status=status, **changes)
    _store(state, out, changed)
    if _S.IN_DOUBT in (order.status, status):
        state.must_settle = True  # readiness is told at the end of this step, before anything of it leaves
    if changed.is_over and not changed.is_settled:
        ask_later(state, TimerKind.FILLS, FILLS_DUE_MS)
    return changed


def conclude(
    state: EngineState,
    out: list[AnyOutput],
    order: LiveOrder,
    *,
    filled_sz: Decimal,
    code: RefusalCode = RefusalCode.NONE,
    text: str = "",
    oid: int = 0,
    is_canceled: bool = False,
) -> None:
    """Take definitive evidence that an order is over: how much of it was filled, and why the rest was not.

    Evidence about an order that is over already only adds fills that it promises.
    """
    filled_sz = max(filled_sz, order.filled_sz, order.applied_sz)
    if order.is_over:
        if filled_sz > order.filled_sz:
            _store(state, out, msgspec.structs.replace(order, filled_sz=filled_sz))
            ask_later(state, TimerKind.FILLS, FILLS_DUE_MS)
        return
    status = _status_of(order, filled_sz, code, is_canceled=is_canceled)
    if order.status is _S.INTENT:  # the answer overtook the note that it was sent
        order = change(state, out, order, _S.SENT, sent_mono_ns=state.mono_ns)
    change(
        state,
        out,
        order,
        status,
        filled_sz=filled_sz,
        code=code,
        text=text,
        oid=oid or order.oid,
        answered_mono_ns=state.mono_ns,
    )


def doubt(state: EngineState, out: list[AnyOutput], order: LiveOrder, reason: str) -> None:
    """Note that the outcome of an order is not known; it keeps everything it reserved."""
    if order.is_over or order.status is _S.IN_DOUBT:
        return
    state.live.doubts.pop(order.cloid, None)  # proofs of an earlier doubt prove nothing about this one
    change(state, out, order, _S.IN_DOUBT, text=reason, doubt_mono_ns=state.mono_ns)
    _watch(state, order)


def _watch(state: EngineState, order: LiveOrder) -> None:
    # Look after an order, as it was before, once it can not act any more, unless it is over by then.
    if order.tif is Tif.IOC and order.status in {_S.RESTING, _S.IN_DOUBT}:
        return  # watched already
    # Bounded by its whole life: a wall clock that stepped back must not put the question off (F-62).
    expires_ts_ns = order.expires_ts_ms * NS_PER_MS
    left_ns = min(expires_ts_ns - state.ts_ns, expires_ts_ns - order.decided_ts_ns)
    due_ns = state.mono_ns + max(0, left_ns) + DOUBT_AFTER_MS * NS_PER_MS
    schedule(state, due_ns, TimerKind.DOUBT, order.cloid)


def rest(state: EngineState, out: list[AnyOutput], order: LiveOrder, oid: int) -> LiveOrder:
    """Note that a live order is in the book. An IOC never is: whatever the venue means by it, it is looked after."""
    if order.status is _S.INTENT:  # the answer overtook the note that it was sent
        order = change(state, out, order, _S.SENT, sent_mono_ns=state.mono_ns)
    if order.status is not _S.RESTING:
        before, order = order, change(state, out, order, _S.RESTING, oid=oid, answered_mono_ns=state.mono_ns)
        _watch(state, before)
    return order


def queue_cancel(state: EngineState, order: LiveOrder) -> None:
    """Ask for an order in the book to be taken back, at the end of this step."""
    live = state.live
    is_under_way = any(a.is_open and a.kind == "cancel" and order.cloid in a.cloids for a in live.actions.values())
    if not is_under_way and order.cloid not in live.pending_cancels:
        live.pending_cancels.append(order.cloid)
        state.must_settle = True


UNMANAGED_RETRY_MS = 5_000
"""While the venue refuses our agent an exit is only tried now and then: the master may approve it again (F-43)."""


def exit_retry_mono_ns(state: EngineState) -> int:
    """Return when an exit that did not close its position is tried again."""
    retry_ms = UNMANAGED_RETRY_MS if state.live.is_agent_refused else state.limits.exits.retry_ms
    return state.mono_ns + retry_ms * NS_PER_MS


def take_update(state: EngineState, out: list[AnyOutput], update: OrderUpdate) -> None:
    """Take a status that the stream or a query reports; unknown cloids are not ours to judge."""
    order = state.live.orders.get(update.cloid)
    if order is None:
        return
    if update.status in OPEN_STATUSES:
        if order.status in {_S.SENT, _S.IN_DOUBT}:
            rest(state, out, order, update.oid)
        return
    if update.status != "filled" and not update.status.lower().endswith(_OVER_SUFFIXES):
        return  # a word that nobody has documented proves nothing (I-03)
    if update.code is RefusalCode.UNKNOWN and _is_answer_due(state.live, order):
        return  # a bare `rejected`: only the answer says why (F-22), and without one the order is asked about
    taken_sz = update.original_sz - update.left_sz
    if order.is_reduce_only and order.is_over:
        return  # what it got is known better than an update can tell
    if order.is_reduce_only:
        taken_sz = min(taken_sz, order.applied_sz + _held_sz(state, order.coin))
    conclude(
        state,
        out,
        order,
        filled_sz=taken_sz,
        code=update.code,
        text="" if update.status == "filled" else update.status,
        oid=update.oid,
        is_canceled=update.status != "filled" and not update.status.lower().endswith("rejected"),
    )


def on_order_updates(state: EngineState, event: OrderUpdatesReceived, out: list[AnyOutput]) -> None:
    """Take every status of a frame."""
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    for update in event.updates:
        take_update(state, out, update)


def credit_fill(state: EngineState, out: list[AnyOutput], order: LiveOrder, fill: VenueFill) -> LiveOrder:
    """Add a fill that was applied to its order; a live order that is filled whole is over."""
    applied_sz = order.applied_sz + fill.sz
    changed = msgspec.structs.replace(
        order, applied_sz=applied_sz, applied_ntl=order.applied_ntl + fill.px * fill.sz, oid=fill.oid or order.oid
    )
    if not order.is_over and applied_sz >= order.sz:
        if order.status is _S.INTENT:
            changed = msgspec.structs.replace(changed, status=_S.SENT)
        return change(state, out, changed, _S.FILLED, filled_sz=applied_sz, answered_mono_ns=state.mono_ns)
    _store(state, out, changed)
    return changed


def release_exits(state: EngineState, out: list[AnyOutput], coin: str = "", before_mono_ns: int | None = None) -> None:
    """Settle exits that are over with the fills that they had: what an update says of a shrunk order is a bound.

    Args:
        state: The engine's state.
        out: Where outputs go.
        coin: A market that went flat: a reduce-only order can have had no more than what was held; empty for all.
        before_mono_ns: All fills were read that the venue had at this time: only exits that were over by then.
    """
    for order in list(state.live.orders.values()):
        is_known = before_mono_ns is None or order.answered_mono_ns < before_mono_ns
        if order.is_reduce_only and order.is_over and is_known and coin in {"", order.coin}:
            _store(state, out, msgspec.structs.replace(order, filled_sz=order.applied_sz))


def forget_action(live: LiveAccount, action_id: int) -> None:
    """Drop an action whose outcome is known and whose orders are all over."""
    action = live.actions.get(action_id)
    if action is None or action.is_open:
        return
    # A late answer matters to orders only: what became of a cancel, its order says.
    orders = [live.orders.get(cloid) for cloid in action.cloids if action.kind == "order"]
    if all(order is None or order.is_over for order in orders):
        del live.actions[action_id]


def _status_of(order: LiveOrder, filled_sz: Decimal, code: RefusalCode, *, is_canceled: bool) -> OrderStatus:
    if filled_sz >= order.sz:
        return _S.FILLED
    if filled_sz > ZERO:
        return _S.PARTLY_FILLED
    if code is RefusalCode.EXPIRED:
        return _S.EXPIRED
    if code is RefusalCode.NO_MATCH:
        return _S.UNFILLED
    if code is RefusalCode.NONE and not is_canceled:
        return _S.FILLED  # reported as filled; how much, its fills say
    return _S.CANCELED if is_canceled else _S.REJECTED


def _is_answer_due(live: LiveAccount, order: LiveOrder) -> bool:
    action = live.actions.get(order.action_id)
    return action is not None and action.is_open


def _held_sz(state: EngineState, coin: str) -> Decimal:
    # A reduce-only order is shrunk by the venue to what is held, and then reports the size that it was asked for.
    position = state.live.positions.get(coin)
    return ZERO if position is None else abs(position.sz)


def _store(state: EngineState, out: list[AnyOutput], order: LiveOrder) -> None:
    live = state.live
    live.change_count += 1
    out.append(LiveOrderChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, order=order))
    if live.is_switch_armed or order.status is _S.RESTING:
        state.must_settle = True
    if order.is_settled:
        live.orders.pop(order.cloid, None)
        live.doubts.pop(order.cloid, None)
        remember_order(live, order)
        if order.is_reduce_only:
            _try_again(state, order.coin)
    else:
        live.orders[order.cloid] = order
    if order.is_over:
        forget_action(live, order.action_id)


def _try_again(state: EngineState, coin: str) -> None:
    # Any terminal outcome releases the claim: what is still held is tried again (I-09).
    position = state.live.positions.get(coin)
    if position is not None:
        number = state.timer_count + 1
        state.live.exit_timers[coin] = number
        schedule(state, exit_retry_mono_ns(state), TimerKind.LIVE_EXIT, coin, number)
