"""What became of an action: sent, not sent, answered, or nobody knows.

Rule 1: one status an order, in order. One error for a batch is the error of every order in it (F-23), unless only a
single order can have met it; any other number of statuses proves nothing, and the whole batch is in doubt (F-24).
Rule 2: whoever never left is released at once; whoever may have left is in doubt until evidence says otherwise.
Rule 3: refusals that are not part of trading count towards the stop latch; a fill forgets them (F-21, F-22).
Rule 4: an answer that comes late is still evidence, and a refusal counts whoever told first that the order is over.
"""

import re

from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.state import EngineState
from streaming.core.trading.account import ActionUnderWay, known_order
from streaming.core.trading.action_budget import LATE_WEIGHT, answered, limit_hit
from streaming.core.trading.dispatch import end_action
from streaming.core.trading.events import ActionAnswered, ActionNotSent, ActionOutcomeUnknown, ActionSent
from streaming.core.trading.fills import report_losses
from streaming.core.trading.losses import market_refused
from streaming.core.trading.model import ActionStatus, LiveOrder, OrderStatus, Tif
from streaming.core.trading.nonce import raise_floor, raise_floor_by_venue
from streaming.core.trading.orders import change, conclude, doubt, forget_action, queue_cancel, rest
from streaming.core.trading.refusal import AUTH_CODES, MARKET_CODES, NONCE_CODES, RefusalCode, weight_of
from streaming.core.units import NS_PER_MS, ZERO

NONCE_REFUSAL_COUNT_MAX = 2
_NONCE_LOW = re.compile(r"nonce too low [0-9]{1,19} < ([0-9]{1,18})", re.ASCII).search
"""The venue names the least nonce that it keeps."""
_NOT_SENT_STATUS = {
    "expired": OrderStatus.EXPIRED,
    **dict.fromkeys(("stop_latch", "not_allowed", "flattening"), OrderStatus.ABORTED),
}
"""What a reason makes of the orders; everything else is the way's fault, not ours."""
_OF_ONE_ORDER = frozenset(
    {
        RefusalCode.NO_MATCH,
        RefusalCode.NO_LIQUIDITY,
        RefusalCode.POST_ONLY_CROSSED,
        RefusalCode.REDUCE_ONLY,
        RefusalCode.MARGIN,
        RefusalCode.SELF_TRADE,
    }
)
"""Met in the book, order by order: never the one error of a payload that the venue refused before it looked."""


def on_sent(state: EngineState, event: ActionSent, out: list[AnyOutput]) -> None:
    """Note that signed bytes of an action are on their way."""
    action = state.live.actions.get(event.action_id)
    if action is None:
        return
    action.sent_mono_ns = event.recv_mono_ns
    for order in _orders_of(state, action):
        if order.status is OrderStatus.INTENT:
            change(state, out, order, OrderStatus.SENT, sent_mono_ns=event.recv_mono_ns)


def on_not_sent(state: EngineState, event: ActionNotSent, out: list[AnyOutput]) -> None:
    """Release what never left."""
    action = state.live.actions.get(event.action_id)
    if action is None:
        return
    if action.sent_mono_ns:
        _leave_open(state, out, action, f"sent, then said not to be: {event.reason}")
        return
    if action.is_open:
        _close(state, out, action, "not_sent", event.reason, failure_weight=0)
    status = _NOT_SENT_STATUS.get(event.reason, OrderStatus.NOT_SENT)
    for order in _orders_of(state, action):
        # A doubt of before the proof ends as well: it was given up waiting, it never left.
        if action.kind == "order" and order.status in {OrderStatus.INTENT, OrderStatus.IN_DOUBT}:
            change(state, out, order, status, text=event.reason)
    forget_action(state.live, action.action_id)


def on_answered(state: EngineState, event: ActionAnswered, out: list[AnyOutput]) -> None:
    """Take the venue's answer for what it proves."""
    action = state.live.actions.get(event.action_id)
    if action is None:
        return
    if event.is_unknown:
        _leave_open(state, out, action, event.text)
        return
    is_refused = event.code is not RefusalCode.NONE
    if action.is_open:
        outcome = "refused" if is_refused else "answered"
        said = event.text or event.code or _first_error(event)
        _close(state, out, action, outcome, said, failure_weight=_failure_weight(event.code))
    if is_refused:
        _action_refused(state, out, event.code, event.text)
    else:
        state.live.nonce_refusal_count = 0
    if action.kind == "order":
        _answer_orders(state, out, action, event)
    elif action.kind == "schedule_cancel" and is_refused:
        state.live.may_schedule_cancel = event.code is not RefusalCode.SCHEDULE_VOLUME
    forget_action(state.live, action.action_id)


def on_outcome_unknown(state: EngineState, event: ActionOutcomeUnknown, out: list[AnyOutput]) -> None:
    """Put every order of an action in doubt."""
    action = state.live.actions.get(event.action_id)
    if action is not None:
        _leave_open(state, out, action, event.reason)


def time_out_answer(state: EngineState, out: list[AnyOutput], action_id: int) -> None:
    """Give up waiting for an answer: the outcome is unknown."""
    action = state.live.actions.get(action_id)
    if action is not None and action.is_open:
        _leave_open(state, out, action, "no answer in time")


def lose_answers(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """Put in doubt whatever was sent over a connection that is gone."""
    for action in list(state.live.actions.values()):
        if action.is_open and action.sent_mono_ns:
            _leave_open(state, out, action, f"connection lost: {reason}")


def _leave_open(state: EngineState, out: list[AnyOutput], action: ActionUnderWay, reason: str) -> None:
    if action.is_open:
        _close(state, out, action, "unknown", reason, failure_weight=1)
    if action.kind == "order":
        for order in _orders_of(state, action):
            doubt(state, out, order, reason)
    forget_action(state.live, action.action_id)


def _close(
    state: EngineState, out: list[AnyOutput], action: ActionUnderWay, outcome: str, detail: str, *, failure_weight: int
) -> None:
    answered(state.live.budget, state.limits.actions, state.mono_ns, failure_weight=failure_weight)
    end_action(state, out, action, outcome, detail)


def _failure_weight(code: RefusalCode) -> int:
    if code is RefusalCode.NONE:
        return 0
    return LATE_WEIGHT if code is RefusalCode.EXPIRED else 1


def _answer_orders(state: EngineState, out: list[AnyOutput], action: ActionUnderWay, event: ActionAnswered) -> None:
    statuses = event.statuses
    if event.code is not RefusalCode.NONE:
        statuses = (ActionStatus(kind="error", code=event.code, text=event.text),) * len(action.cloids)
    elif len(statuses) == 1 < len(action.cloids) and _is_of_all(statuses[0]):
        statuses *= len(action.cloids)
    if len(statuses) != len(action.cloids):
        reason = f"expected {len(action.cloids)} statuses, found {len(statuses)}"
        for order in _orders_of(state, action):
            doubt(state, out, order, reason)
        return
    for cloid, status in zip(action.cloids, statuses, strict=True):
        found = state.live.orders.get(cloid)
        if found is not None:
            _answer_order(state, out, found, status)
        known = known_order(state.live, cloid)  # over by its update perhaps, and settled before its answer came
        if known is not None and status.code in MARKET_CODES and not known.is_reduce_only:
            market_refused(state.live.losses, known.coin, state.mono_ns, state.limits.losses)
            report_losses(state, out)
        if event.code is RefusalCode.NONE:
            _count_refusal(state, out, status.code, status.text)


def _is_of_all(status: ActionStatus) -> bool:
    return status.kind == "error" and status.code not in _OF_ONE_ORDER


def _first_error(event: ActionAnswered) -> str:
    # The text that the venue chose: the order may be over by its update, which only has a word for it (F-22).
    return next((status.text for status in event.statuses if status.kind == "error"), "")


def _answer_order(state: EngineState, out: list[AnyOutput], order: LiveOrder, status: ActionStatus) -> None:
    match status.kind:
        case "filled":
            conclude(state, out, order, filled_sz=status.total_sz, oid=status.oid)
        case "error":
            conclude(state, out, order, filled_sz=ZERO, code=status.code, text=status.text)
        case "resting" if not order.is_over:
            order = rest(state, out, order, status.oid)
            if order.tif is Tif.IOC:
                queue_cancel(state, order)
        case _:  # `waiting` and the like: accepted, which says nothing about the end
            doubt(state, out, order, f"answered {status.kind}")


def _action_refused(state: EngineState, out: list[AnyOutput], code: RefusalCode, text: str) -> None:
    live = state.live
    if code is RefusalCode.ADDRESS_LIMIT:
        limit_hit(live.budget)
        return
    if code in NONCE_CODES:
        raise_floor(live.nonce, state.ts_ns // NS_PER_MS)
        least = _NONCE_LOW(text)
        if least is not None:
            raise_floor_by_venue(live.nonce, int(least.group(1)), state.ts_ns)
        live.nonce_refusal_count += 1
        if live.nonce_refusal_count >= NONCE_REFUSAL_COUNT_MAX:
            set_latch(state, out, reason=f"nonce_refused: {text}"[:200], operator="engine")
        return
    live.nonce_refusal_count = 0
    _count_refusal(state, out, code, text)


def _count_refusal(state: EngineState, out: list[AnyOutput], code: RefusalCode, text: str) -> None:
    live = state.live
    if code in AUTH_CODES:
        live.is_agent_refused = True
        set_latch(state, out, reason=f"agent_refused: {text}"[:200], operator="engine")
        return
    weight = 0 if code is RefusalCode.NONE else weight_of(code)
    if code is RefusalCode.NONE:
        live.is_agent_refused = False
        live.rejection_weight = 0
    live.rejection_weight += weight
    if live.rejection_weight >= state.limits.actions.rejection_count_max:
        set_latch(state, out, reason=f"rejections: {code}: {text}"[:200], operator="engine")


def _orders_of(state: EngineState, action: ActionUnderWay) -> list[LiveOrder]:
    orders = state.live.orders
    return [orders[cloid] for cloid in action.cloids if cloid in orders]
