"""Fills into positions and money: each counts once for its tid, whatever brings it and in whatever order (I-16).

Rule 1: a position is the fold of fills, nothing else moves it (I-12); its entry is set once, by the first (I-13).
Rule 2: fills are sized by what they say, never by what an order asked for (F-30).
Rule 3: what no order of ours explains is applied all the same, named, and stops trading: a settlement or liquidation is
the venue's act, anything else is somebody else on our account (F-38, F-42, F-46). Only the watchdog may act beside us.
Rule 4: so does what an order of ours can not have had: more than it asked for, or anything after proof of none (F-32).
"""

from decimal import Decimal

import msgspec

from streaming.core.allowance import exits_of
from streaming.core.effects import AnyOutput
from streaming.core.errors import check
from streaming.core.latch import set_latch
from streaming.core.ledger import money
from streaming.core.market import Side
from streaming.core.state import EngineState, TimerKind, age_ms, schedule
from streaming.core.trading.account import know_tid, known_order
from streaming.core.trading.books import post_fill
from streaming.core.trading.cloids import is_watchdog_cloid
from streaming.core.trading.effects import LiveFillApplied, LivePositionChanged, LossesChanged, TradeClosed
from streaming.core.trading.exit_rules import ExitBaseline, ExitTrack
from streaming.core.trading.losses import copy_of, cost_booked, trade_closed
from streaming.core.trading.model import Funding, LiveOrder, LivePosition, OrderStatus, VenueFill
from streaming.core.trading.orders import credit_fill, release_exits
from streaming.core.units import BPS, NS_PER_MS, ZERO, quantize_bps

SETTLEMENT, LIQUIDATION, FOREIGN, WATCHDOG = "settlement", "liquidation", "foreign", "watchdog"
_WITHOUT_FILLS = frozenset(
    {
        OrderStatus.NEVER_ARRIVED,
        OrderStatus.NOT_SENT,
        OrderStatus.ABORTED,
        OrderStatus.EXPIRED,
        OrderStatus.UNFILLED,
        OrderStatus.REJECTED,
    }
)
"""What was proved of such an order forbids a fill: one that comes shows that a proof was none."""
_VENUE_ACTS = ("Settlement", "Auto-Deleveraging")


def apply_fill(state: EngineState, out: list[AnyOutput], fill: VenueFill, source: str) -> bool:
    """Apply a fill to its order, the position and the ledger; False when its tid was known.

    Args:
        state: The engine's state.
        out: Where outputs go.
        fill: As the venue reports it.
        source: `stream`, or `gap` when a query brought it.
    """
    live = state.live
    if not know_tid(live, fill.tid, fill.venue_ts_ms):
        return False
    live.change_count += 1
    live.fill_count += 1
    order = known_order(live, fill.cloid)
    reason = order.reason if order is not None else _reason_of(fill)
    position = live.positions.get(fill.coin)
    _report_fill(state, out, fill, order, source, reason, is_reduction=_is_reduction(position, fill))
    if order is not None:
        if contradiction := _contradiction(order, fill):
            reason_against = f"evidence_contradicted: {fill.coin} {fill.cloid} {contradiction}, tid {fill.tid}"
            set_latch(state, out, reason=reason_against, operator="engine")
        order = credit_fill(state, out, order, fill)
        live.rejection_weight = 0
    if fill.coin in state.markets:
        _move(state, out, fill, order, position, reason)
    else:
        post_fill(
            state,
            out,
            fill,
            part=FOREIGN,
            reason=_posting_of(reason),
            cash=fill.closed_pnl,
            cost=ZERO,
            realised=fill.closed_pnl,
        )
    if reason in {FOREIGN, LIQUIDATION}:
        latch = "liquidated" if reason == LIQUIDATION else "foreign_activity"
        set_latch(state, out, reason=f"{latch}: {fill.coin} {fill.side} {fill.sz} tid {fill.tid}", operator="engine")
    return True


def _contradiction(order: LiveOrder, fill: VenueFill) -> str:
    if order.status in _WITHOUT_FILLS:
        return f"was {order.status}"
    applied_sz = order.applied_sz + fill.sz
    # Another order has its cloid (F-32): what is held was never decided, and no cap was asked about it.
    return f"asked for {order.sz} and got {applied_sz}" if applied_sz > order.sz else ""


def _reason_of(fill: VenueFill) -> str:
    if fill.is_liquidation or fill.direction.startswith("Liquidated"):
        return LIQUIDATION
    if fill.direction in _VENUE_ACTS:
        return SETTLEMENT if fill.direction == "Settlement" else LIQUIDATION
    return WATCHDOG if is_watchdog_cloid(fill.cloid) else FOREIGN


def _posting_of(reason: str) -> str:
    return reason if reason in {SETTLEMENT, LIQUIDATION} else "fill"


def _is_reduction(position: LivePosition | None, fill: VenueFill) -> bool:
    return position is not None and position.is_long is not (fill.side is Side.BUY)


def _move(
    state: EngineState,
    out: list[AnyOutput],
    fill: VenueFill,
    order: LiveOrder | None,
    position: LivePosition | None,
    reason: str,
) -> None:
    if position is None or not _is_reduction(position, fill):
        _increase(state, out, fill, order, position, reason)
        return
    held = abs(position.sz)
    if fill.sz <= held:
        _reduce(state, out, fill, order, position, reason)
        return
    # Only somebody else can turn a position over: first what closes it, then what opens the other side.
    closing = msgspec.structs.replace(fill, sz=held, fee=ZERO, builder_fee=ZERO)
    _reduce(state, out, closing, order, position, reason)
    _increase(state, out, msgspec.structs.replace(fill, sz=fill.sz - held), order, None, reason)


def _increase(
    state: EngineState,
    out: list[AnyOutput],
    fill: VenueFill,
    order: LiveOrder | None,
    position: LivePosition | None,
    reason: str,
) -> None:
    cost = money(fill.px * fill.sz)
    signed_sz = fill.sz if fill.side is Side.BUY else -fill.sz
    if position is None:
        changed = _opened(state, fill, order, cost, signed_sz)
        _schedule_time_stop(state, fill.coin)
        state.live.tracks[fill.coin] = ExitTrack()
        state.must_settle = True  # it is closed at once if nothing may be held now
    else:
        opened_sz = position.opened_sz + fill.sz
        changed = msgspec.structs.replace(
            position,
            sz=position.sz + signed_sz,
            entry_px=(position.entry_px * position.opened_sz + fill.px * fill.sz) / opened_sz,
            cost_ntl=position.cost_ntl + cost,
            opened_sz=opened_sz,
            fees=position.fees + fill.fee,
            fill_count=position.fill_count + 1,
        )
    state.live.positions[fill.coin] = changed
    _report_position(state, out, fill.coin, changed, realised=ZERO, reason=reason)
    sign = 1 if fill.side is Side.BUY else -1
    post_fill(
        state, out, fill, part="open", reason=_posting_of(reason), cash=-sign * cost, cost=sign * cost, realised=ZERO
    )


def _opened(
    state: EngineState, fill: VenueFill, order: LiveOrder | None, cost: Decimal, signed_sz: Decimal
) -> LivePosition:
    market = state.markets[fill.coin]
    return LivePosition(
        coin=fill.coin,
        sz=signed_sz,
        signal_id="" if order is None else order.signal_id,
        baseline=ExitBaseline(
            side=fill.side,
            entry_px=fill.px,
            entry_mono_ns=state.mono_ns,
            entry_oracle_px=market.oracle_px,
            entry_mark_px=market.mark_px,
            entry_edge_bps=None if order is None else order.edge_bps,
        ),
        entry_ts_ns=state.ts_ns,
        expected_px=fill.px if order is None else order.expected_px,
        entry_px=fill.px,
        cost_ntl=cost,
        opened_sz=fill.sz,
        fees=fill.fee,
        fill_count=1,
    )


def _reduce(
    state: EngineState,
    out: list[AnyOutput],
    fill: VenueFill,
    order: LiveOrder | None,
    position: LivePosition,
    reason: str,
) -> None:
    left_sz = abs(position.sz) - fill.sz
    check(left_sz >= ZERO, "I-10", coin=fill.coin, left_sz=left_sz)
    ntl = money(fill.px * fill.sz)
    cost = position.cost_ntl if left_sz == ZERO else money(position.cost_ntl * fill.sz / abs(position.sz))
    realised = ntl - cost if position.is_long else cost - ntl
    sign = 1 if position.is_long else -1
    changed = msgspec.structs.replace(
        position,
        sz=sign * left_sz,
        cost_ntl=position.cost_ntl - cost,
        closed_sz=position.closed_sz + fill.sz,
        closed_ntl=position.closed_ntl + fill.px * fill.sz,
        fees=position.fees + fill.fee,
        realised=position.realised + realised,
        fill_count=position.fill_count + 1,
    )
    post_fill(
        state,
        out,
        fill,
        part="close",
        reason=_posting_of(reason),
        cash=sign * ntl,
        cost=-sign * cost,
        realised=realised,
    )
    if left_sz > ZERO:
        state.live.positions[fill.coin] = changed
        _report_position(state, out, fill.coin, changed, realised=realised, reason=reason)
        return
    live = state.live
    del live.positions[fill.coin]
    live.tracks.pop(fill.coin, None)
    live.exit_timers.pop(fill.coin, None)
    _report_position(state, out, fill.coin, None, realised=realised, reason=reason)
    release_exits(state, out, fill.coin)
    _close_trade(state, out, changed, order, reason)


def _close_trade(
    state: EngineState, out: list[AnyOutput], position: LivePosition, order: LiveOrder | None, reason: str
) -> None:
    out.append(
        TradeClosed(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=position.coin,
            signal_id=position.signal_id,
            side=position.baseline.side,
            opened_ts_ns=position.entry_ts_ns,
            held_ms=max(0, (state.ts_ns - position.entry_ts_ns) // NS_PER_MS),
            sz=position.opened_sz,
            expected_px=position.expected_px,
            entry_px=position.entry_px,
            exit_px=position.closed_ntl / position.closed_sz,
            entry_edge_bps=position.baseline.entry_edge_bps,
            realised=position.realised,
            fees=position.fees,
            funding=position.funding,
            exit_reason=position.exit_reason or reason,
            fill_count=position.fill_count,
            flat_time_ms=None if order is None else age_ms(state.mono_ns, order.decided_mono_ns),
        )
    )
    losses = state.live.losses
    latch = trade_closed(losses, position.coin, position.net_pnl, state.ts_ns, state.mono_ns, state.limits.losses)
    report_losses(state, out)
    if latch:
        set_latch(state, out, reason=latch, operator="engine")


def credit_funding(state: EngineState, out: list[AnyOutput], funding: Funding) -> None:
    """Let a funding payment count in the result of its position, or in the day's where that is closed (F-118)."""
    position = state.live.positions.get(funding.coin)
    if position is not None:
        changed = msgspec.structs.replace(position, funding=position.funding + funding.amount)
        state.live.positions[funding.coin] = changed
        _report_position(state, out, funding.coin, changed, realised=ZERO, reason="funding")
        return
    latch = cost_booked(state.live.losses, funding.coin, funding.amount, state.ts_ns, state.limits.losses)
    report_losses(state, out)
    if latch:
        set_latch(state, out, reason=latch, operator="engine")


def report_losses(state: EngineState, out: list[AnyOutput]) -> None:
    """Write the account of losses as it stands: a copy, which later results leave alone."""
    losses = copy_of(state.live.losses)
    out.append(LossesChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, losses=losses))


def _schedule_time_stop(state: EngineState, coin: str) -> None:
    number = state.timer_count + 1
    state.live.exit_timers[coin] = number
    due_ns = state.mono_ns + exits_of(state, coin).time_stop_ms * NS_PER_MS
    schedule(state, due_ns, TimerKind.LIVE_EXIT, coin, number)


def _report_fill(
    state: EngineState,
    out: list[AnyOutput],
    fill: VenueFill,
    order: LiveOrder | None,
    source: str,
    reason: str,
    *,
    is_reduction: bool,
) -> None:
    slippage_bps = None
    if order is not None:
        worse = fill.px - order.expected_px if fill.side is Side.BUY else order.expected_px - fill.px
        slippage_bps = quantize_bps(worse * BPS / order.expected_px)
    out.append(
        LiveFillApplied(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            fill=fill,
            source=source,
            signal_id="" if order is None else order.signal_id,
            reason=reason,
            is_reduce_only=is_reduction if order is None else order.is_reduce_only,
            decided_ts_ns=state.ts_ns if order is None else order.decided_ts_ns,
            slippage_bps=slippage_bps,
            flight_ms=None if order is None else (state.mono_ns - order.decided_mono_ns) // NS_PER_MS,
        )
    )


def _report_position(
    state: EngineState,
    out: list[AnyOutput],
    coin: str,
    position: LivePosition | None,
    *,
    realised: Decimal,
    reason: str,
) -> None:
    out.append(
        LivePositionChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=coin,
            position=position,
            realised_pnl=realised,
            reason=reason,
        )
    )
