"""From intents to actions: what leaves at the end of a step, grouped, numbered, within the budget.

Rule 1: orders of one step share an action; entries and exits never do, so that stopping entries stops no exit.
Rule 2: IOC and GTC go apart from ALO: the venue prefers blocks of ALO, and delays what can take.
Rule 3: reduce-only orders and cancels never wait; entries wait for their batch only if one is configured.
Rule 4: an order becomes an intent with its action's id and nonce: what is recorded is what may leave (I-02).
"""

from collections.abc import Iterable

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.state import EngineState, TimerKind, schedule
from streaming.core.trading.account import ActionUnderWay, LiveAccount
from streaming.core.trading.action_budget import ActionKind, refusal, spend
from streaming.core.trading.effects import ActionDecided, ActionEnded, LiveOrderChanged
from streaming.core.trading.model import CancelTicket, LiveOrder, OrderStatus, OrderTicket, Tif
from streaming.core.trading.nonce import next_nonce
from streaming.core.trading.orders import change
from streaming.core.units import NS_PER_MS

ORDER_COUNT_MAX = 200
"""Weight of one action, as the venue counts it."""


def queue_order(state: EngineState, order: LiveOrder) -> None:
    """Let an order leave at the end of this step, or with the next batch."""
    live = state.live
    live.orders[order.cloid] = order
    live.change_count += 1
    state.must_settle = True
    batch_ms = state.limits.actions.entry_batch_ms
    if order.is_reduce_only or batch_ms == 0:
        live.pending.append(order.cloid)
        return
    live.batch.append(order.cloid)
    if not live.is_batch_timed:
        live.is_batch_timed = True
        schedule(state, state.mono_ns + batch_ms * NS_PER_MS, TimerKind.ENTRY_BATCH)


def abort_waiting(state: EngineState, out: list[AnyOutput], coin: str, reason: str) -> None:
    """End entries that have not left: of one market, or of all when `coin` is empty (F-116)."""
    live = state.live
    for order in list(live.orders.values()):
        is_waiting = order.status is OrderStatus.INTENT and order.action_id == 0 and not order.is_reduce_only
        if is_waiting and coin in {"", order.coin}:
            change(state, out, order, OrderStatus.ABORTED, text=reason)
    live.pending = [cloid for cloid in live.pending if cloid in live.orders]
    live.batch = [cloid for cloid in live.batch if cloid in live.orders]


def release_batch(state: EngineState, out: list[AnyOutput]) -> None:
    """Send the entries that waited."""
    live = state.live
    live.is_batch_timed = False
    live.pending += [cloid for cloid in live.batch if cloid in live.orders]
    live.batch = []
    dispatch(state, out)


def dispatch(state: EngineState, out: list[AnyOutput]) -> None:
    """Turn everything that is pending into actions, exits first."""
    live = state.live
    if live.pending:
        orders = [live.orders[cloid] for cloid in live.pending if cloid in live.orders]
        live.pending = []
        exits = [order for order in orders if order.is_reduce_only]
        entries = [order for order in orders if not order.is_reduce_only]
        for group, kind in (
            (exits, ActionKind.REDUCE),
            ([order for order in entries if order.tif is not Tif.ALO], ActionKind.NEW),
            ([order for order in entries if order.tif is Tif.ALO], ActionKind.NEW),
        ):
            for part in _parts(group):
                _send_orders(state, out, part, kind)
    if live.pending_cancels:
        cancels, live.pending_cancels = live.pending_cancels, []
        found = [live.orders[cloid] for cloid in cancels if cloid in live.orders]
        _send_cancels(state, out, [order for order in found if order.status is OrderStatus.RESTING])


def schedule_cancel(state: EngineState, out: list[AnyOutput], at_ts_ms: int | None) -> None:
    """Arm the venue's own switch: it cancels everything at `at_ts_ms` unless armed again; None clears it."""
    if refusal(state.live.budget, state.limits.actions, state.mono_ns, ActionKind.CANCEL, 1):
        return
    nonce = next_nonce(state.live.nonce, state.ts_ns)
    if nonce is not None:
        _begin(state, out, "schedule_cancel", ActionKind.CANCEL, nonce, (), schedule_ts_ms=at_ts_ms)


def _send_orders(state: EngineState, out: list[AnyOutput], orders: list[LiveOrder], kind: ActionKind) -> None:
    reason = refusal(state.live.budget, state.limits.actions, state.mono_ns, kind, len(orders))
    nonce = None if reason else next_nonce(state.live.nonce, state.ts_ns)
    if nonce is None:
        for order in orders:
            out.append(LiveOrderChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, order=order))
            change(state, out, order, OrderStatus.ABORTED, text=f"budget_{reason}" if reason else "clock_behind_nonce")
        return
    _begin(state, out, "order", kind, nonce, orders)


def _send_cancels(state: EngineState, out: list[AnyOutput], orders: list[LiveOrder]) -> None:
    if not orders:
        return
    reason = refusal(state.live.budget, state.limits.actions, state.mono_ns, ActionKind.CANCEL, len(orders))
    nonce = None if reason else next_nonce(state.live.nonce, state.ts_ns)
    if nonce is not None:
        _begin(state, out, "cancel", ActionKind.CANCEL, nonce, orders)


def _begin(
    state: EngineState,
    out: list[AnyOutput],
    name: str,
    kind: ActionKind,
    nonce: int,
    orders: Iterable[LiveOrder],
    *,
    schedule_ts_ms: int | None = None,
) -> None:
    live = state.live
    limits = state.limits.actions
    orders = tuple(orders)
    spend(live.budget, limits, state.mono_ns, kind, max(1, len(orders)))
    action_id = take_action_id(live)
    is_new = kind is ActionKind.NEW
    expires_ts_ms = state.ts_ns // NS_PER_MS + (limits.entry_expiry_ms if is_new else limits.exit_expiry_ms)
    if name == "order":
        orders = tuple(
            [msgspec.structs.replace(o, action_id=action_id, nonce=nonce, expires_ts_ms=expires_ts_ms) for o in orders]
        )
        for order in orders:
            live.orders[order.cloid] = order
            out.append(LiveOrderChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, order=order))
    begin_action(state, action_id, name, nonce, tuple([order.cloid for order in orders]), expires_ts_ms)
    out.append(
        ActionDecided(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            action_id=action_id,
            kind=name,
            orders=tuple([_ticket(state, order) for order in orders]) if name == "order" else (),
            cancels=tuple([_cancel(state, order) for order in orders]) if name == "cancel" else (),
            schedule_ts_ms=schedule_ts_ms,
            nonce=nonce,
            expires_ts_ms=expires_ts_ms,
            may_add_risk=is_new,
        )
    )


def take_action_id(live: LiveAccount) -> int:
    """Return the next id of an action: also the id of its post, so it is never used twice in a session."""
    live.action_count += 1
    return live.action_count


def begin_action(
    state: EngineState, action_id: int, name: str, nonce: int, cloids: tuple[str, ...], expires_ts_ms: int
) -> None:
    """Note an action that was decided; it holds its place until an answer or the time-out."""
    live = state.live
    live.actions[action_id] = ActionUnderWay(
        action_id=action_id,
        kind=name,
        cloids=cloids,
        nonce=nonce,
        received_mono_ns=state.event_mono_ns,
        decided_mono_ns=state.mono_ns,
        decided_ts_ns=state.ts_ns,
        expires_ts_ms=expires_ts_ms,
        generation=live.generation,
    )
    due_ns = state.mono_ns + state.limits.actions.answer_timeout_ms * NS_PER_MS
    schedule(state, due_ns, TimerKind.ANSWER_TIMEOUT, "", action_id)


def end_action(state: EngineState, out: list[AnyOutput], action: ActionUnderWay, outcome: str, detail: str) -> None:
    """Write what became of an action; its place in flight is free from now on."""
    action.is_open = False
    out.append(
        ActionEnded(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            action_id=action.action_id,
            kind=action.kind,
            nonce=action.nonce,
            order_count=len(action.cloids),
            outcome=outcome,
            detail=detail,
            received_mono_ns=action.received_mono_ns,
            decided_mono_ns=action.decided_mono_ns,
            sent_mono_ns=action.sent_mono_ns or None,
            ended_mono_ns=state.mono_ns,
            decided_ts_ns=action.decided_ts_ns,
        )
    )


def _parts(orders: list[LiveOrder]) -> Iterable[list[LiveOrder]]:
    for begin in range(0, len(orders), ORDER_COUNT_MAX):
        yield orders[begin : begin + ORDER_COUNT_MAX]


def _ticket(state: EngineState, order: LiveOrder) -> OrderTicket:
    return OrderTicket(
        coin=order.coin,
        asset_id=state.markets[order.coin].spec.asset_id,
        cloid=order.cloid,
        side=order.side,
        limit_px=order.limit_px,
        sz=order.sz,
        is_reduce_only=order.is_reduce_only,
        tif=order.tif,
    )


def _cancel(state: EngineState, order: LiveOrder) -> CancelTicket:
    return CancelTicket(coin=order.coin, asset_id=state.markets[order.coin].spec.asset_id, cloid=order.cloid)
