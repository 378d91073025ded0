"""An order of unknown outcome, until definitive evidence ends it (reliability.md, section 4).

Rule 1: nothing is sent again; the order keeps its reservations and its market takes no entries meanwhile.
Rule 2: fills, updates and late answers may end it at any time. After its deadline the venue is asked each second.
Rule 3: "never arrived" needs all four: the deadline passed by 2 s of venue time, two `unknownOid` answers a second
apart, a read of all fills without it, and our position unchanged in two agreeing reads.
Rule 4: after 60 s without evidence trading stops and a human looks; his reset gives the questions 60 s more.
"""

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.state import EngineState, TimerKind, schedule
from streaming.core.trading.account import Doubt, Question
from streaming.core.trading.events import OrderRead
from streaming.core.trading.model import LiveOrder, OrderStatus, Tif, VenueFill
from streaming.core.trading.orders import DOUBT_AFTER_MS, change, doubt, queue_cancel, take_update
from streaming.core.trading.questions import ask_account, ask_fills, ask_later, ask_order, take_answer
from streaming.core.units import NS_PER_MS, NS_PER_S

ASK_AGAIN_MS = 1_100
UNRESOLVED_NS = 60 * NS_PER_S
AGREEING_COUNT = 2


def pursue_doubt(state: EngineState, out: list[AnyOutput], cloid: str) -> None:
    """Ask the venue everything that may end a doubt, and again in a second."""
    order = state.live.orders.get(cloid)
    if order is not None and order.status is OrderStatus.RESTING:
        _take_back(state, out, order)
    if order is None or order.status is not OrderStatus.IN_DOUBT:
        return
    state.live.doubts.setdefault(cloid, Doubt())
    ask_order(state, out, cloid)
    ask_fills(state, out, order.decided_ts_ns // NS_PER_MS)
    ask_account(state, out)
    if state.mono_ns - order.doubt_mono_ns >= UNRESOLVED_NS:
        reason = f"order_in_doubt_unresolved: {order.coin} {order.cloid}"
        set_latch(state, out, reason=reason, operator="engine")
    schedule(state, state.mono_ns + ASK_AGAIN_MS * NS_PER_MS, TimerKind.DOUBT, cloid)


def on_order_read(state: EngineState, event: OrderRead, out: list[AnyOutput]) -> None:
    """Take what the venue knows of a cloid."""
    if take_answer(state, event.query_id) is None:
        return
    order = state.live.orders.get(event.cloid)
    if order is None:
        return
    if event.update is not None:
        take_update(state, out, event.update)
        return
    found = state.live.doubts.get(event.cloid)
    if found is None or not _is_deadline_past(state, order, event.venue_ts_ms):
        return
    if found.unknown_mono_ns == 0:
        found.unknown_mono_ns = state.mono_ns
    elif state.mono_ns - found.unknown_mono_ns >= NS_PER_S:
        found.is_unknown_twice = True
    _end_if_proved(state, out, order, found)


def look_for_fills(state: EngineState, question: Question, fills: list[VenueFill]) -> None:
    """Take a read of fills for every doubt that it covers: asked after its deadline, from its decision on."""
    live = state.live
    for cloid, found in live.doubts.items():
        order = live.orders.get(cloid)
        if order is not None and question.start_ts_ms <= order.decided_ts_ns // NS_PER_MS:
            is_late = question.venue_ts_ms >= order.expires_ts_ms + DOUBT_AFTER_MS
            found.is_fills_clean = is_late and all(fill.cloid != cloid for fill in fills)


def count_agreement(state: EngineState, out: list[AnyOutput], *, is_agreeing: bool) -> None:
    """Take an account read, uncrossed by changes, for every doubt whose deadline has passed."""
    live = state.live
    for cloid, found in list(live.doubts.items()):
        order = live.orders.get(cloid)
        if order is None or not _is_deadline_past(state, order, live.venue_ts_ms):
            continue
        found.agreeing_count = found.agreeing_count + 1 if is_agreeing else 0
        _end_if_proved(state, out, order, found)


def renew_doubts(state: EngineState) -> None:
    """Begin the minute until a human has to look anew for every doubt: he has just looked."""
    for cloid, order in state.live.orders.items():
        if order.status is OrderStatus.IN_DOUBT:
            state.live.orders[cloid] = msgspec.structs.replace(order, doubt_mono_ns=state.mono_ns)


def resume_doubts(state: EngineState, out: list[AnyOutput]) -> None:
    """After a restart every order that is not over is in doubt, before anything else (F-54, F-55)."""
    live = state.live
    renew_doubts(state)  # monotonic time may have begun anew
    for cloid, order in list(live.orders.items()):
        if order.status is OrderStatus.IN_DOUBT:
            schedule(state, state.mono_ns + ASK_AGAIN_MS * NS_PER_MS, TimerKind.DOUBT, cloid)
        elif order.is_over:
            live.orders[cloid] = msgspec.structs.replace(order, answered_mono_ns=state.mono_ns)
            ask_later(state, TimerKind.FILLS, ASK_AGAIN_MS)
        else:
            doubt(state, out, order, "restart")
            if order.status is OrderStatus.RESTING:  # it was watched already, by a timer that died with the process
                schedule(state, state.mono_ns + ASK_AGAIN_MS * NS_PER_MS, TimerKind.DOUBT, cloid)


def _is_deadline_past(state: EngineState, order: LiveOrder, venue_ts_ms: int) -> bool:
    known_ts_ms = max(venue_ts_ms, state.live.venue_ts_ms)
    return known_ts_ms >= order.expires_ts_ms + DOUBT_AFTER_MS


def _take_back(state: EngineState, out: list[AnyOutput], order: LiveOrder) -> None:
    # An IOC that the venue calls open: taken back, and asked about, for as long as that is so.
    if order.tif is Tif.IOC:
        queue_cancel(state, order)
        ask_order(state, out, order.cloid)
        schedule(state, state.mono_ns + ASK_AGAIN_MS * NS_PER_MS, TimerKind.DOUBT, order.cloid)


def _end_if_proved(state: EngineState, out: list[AnyOutput], order: LiveOrder, found: Doubt) -> None:
    if found.is_unknown_twice and found.is_fills_clean and found.agreeing_count >= AGREEING_COUNT:
        change(state, out, order, OrderStatus.NEVER_ARRIVED, text="unknown to the venue")
