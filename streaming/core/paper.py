"""Paper trading: the fill model, positions and exits of orders that nobody sends.

Rule 1: an order sees the book at decision + latency and fills at most what the touch offers inside its limit.
Rule 2: "no fill" is a result; no displayed size is consumed twice while the touch stands.
Rule 3: entry time, price and edge are set once, by the fill (I-13); one exit claim per market (I-09).
Rule 4: exits are reduce-only, at the opposite touch with bounded slippage, tried again until flat.
"""

from decimal import Decimal

from streaming.core.effects import (
    AnyOutput,
    EntryRefused,
    FillApplied,
    OrderChanged,
    PositionChanged,
    SignalRaised,
)
from streaming.core.errors import check
from streaming.core.ledger import currency_of, fee_of, money, post
from streaming.core.market import BookClass, Side
from streaming.core.orders import cloid_of
from streaming.core.paper_book import PaperOrder, PaperPosition
from streaming.core.rounding import floor_sz, round_px_toward_safe
from streaming.core.sizing import Held, size_entry
from streaming.core.state import EngineState, MarketState, TimerKind, schedule
from streaming.core.units import BPS, NS_PER_MS, ONE, ZERO

MODE = "paper"
_BUY = Side.BUY


def has_order(state: EngineState, coin: str) -> bool:
    """Say whether an order of this market is in flight."""
    return any(order.coin == coin for order in state.orders.values())


def paper_held(state: EngineState) -> Held:
    """Return the worst case of the paper account."""
    ntl = sum((position.cost_ntl for position in state.positions.values()), ZERO)
    ntl += sum((o.limit_px * o.sz for o in state.orders.values() if not o.is_reduce_only), ZERO)
    return Held(ntl=ntl, count=len(state.positions) + sum(not order.is_reduce_only for order in state.orders.values()))


def enter(
    state: EngineState, market: MarketState, signal: SignalRaised, out: list[AnyOutput], *, is_reduced: bool
) -> None:
    """Turn an unblocked signal into an intent, or into the reason why there is none; REDUCE gates shrink it."""
    consumed = market.ask_consumed_sz if signal.side is _BUY else market.bid_consumed_sz
    sizing = size_entry(
        state.limits.sizing,
        market.spec,
        paper_held(state),
        limit_px=signal.limit_px,
        touch_sz=signal.touch_sz - consumed,
        is_reduced=is_reduced,
    )
    if sizing.reason:
        out.append(
            EntryRefused(
                ts_ns=state.ts_ns,
                mono_ns=state.mono_ns,
                coin=signal.coin,
                signal_id=signal.signal_id,
                reason=sizing.reason,
            )
        )
        return
    order = PaperOrder(
        coin=signal.coin,
        cloid=cloid_of(state.session.session_id, signal.signal_id, "entry"),
        signal_id=signal.signal_id,
        side=signal.side,
        is_reduce_only=False,
        limit_px=signal.limit_px,
        sz=sizing.sz,
        edge_bps=signal.raw_edge_bps,
        reason="entry",
        decided_ts_ns=state.ts_ns,
    )
    _intend(state, order, out)
    exposure, cap = paper_held(state).ntl, state.limits.sizing.account_ntl_max
    check(exposure <= cap, "I-11", exposure=exposure, cap=cap)


def abort_entries(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """End every entry that has not reached the book (F-116); exits stay."""
    for order in [order for order in state.orders.values() if not order.is_reduce_only]:
        _abort(state, order, out, reason)


def abort_all(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """End every order in flight: the session closes."""
    for order in list(state.orders.values()):
        _abort(state, order, out, reason)


def match_order(state: EngineState, cloid: str, out: list[AnyOutput]) -> None:
    """Let an order meet the book: as of its deadline, against the touch as known then."""
    order = state.orders.pop(cloid, None)
    if order is None:
        return
    market = state.markets[order.coin]
    px, sz, reason = _offer(market, order)
    position = state.positions.get(order.coin)
    if order.is_reduce_only and position is not None:
        sz = min(sz, abs(position.sz))
    if sz == ZERO:
        _change(state, order, out, status="unfilled", reason=reason, filled_sz=ZERO)
    else:
        _fill(state, market, order, position, out, px=px, sz=sz)
    position = state.positions.get(order.coin)
    if order.is_reduce_only and position is not None:
        _schedule_exit(state, order.coin, position, state.limits.paper.exit_retry_ms)


def exit_position(state: EngineState, coin: str, timer: int, out: list[AnyOutput]) -> None:
    """Try to close a position: the deadline of its time stop, or of the next try."""
    position = state.positions.get(coin)
    if position is None or position.exit_timer != timer:
        return
    if not position.exit_reason:
        position.exit_reason = "time_stop"
    market = state.markets.get(coin)
    bbo = None if market is None or market.book_class is not BookClass.VALID else market.bbo
    side = Side.SELL if position.sz > ZERO else _BUY
    px = None if bbo is None else bbo.ask_px if side is _BUY else bbo.bid_px
    if market is None or px is None:
        _schedule_exit(state, coin, position, state.limits.paper.exit_retry_ms)
        return
    slippage = state.limits.paper.exit_slippage_bps_max / BPS
    bound = px * (ONE + slippage) if side is _BUY else px * (ONE - slippage)
    position.exit_count += 1
    order = PaperOrder(
        coin=coin,
        cloid=cloid_of(state.session.session_id, position.signal_id, f"exit{position.exit_count}"),
        signal_id=position.signal_id,
        side=side,
        is_reduce_only=True,
        limit_px=round_px_toward_safe(side, bound, market.spec.sz_decimals),
        sz=abs(position.sz),
        edge_bps=None,
        reason=position.exit_reason,
        decided_ts_ns=state.ts_ns,
    )
    _intend(state, order, out)


def request_exit(state: EngineState, coin: str, reason: str) -> None:
    """Close a position now instead of at its time stop; a no-op while it is already being closed."""
    position = state.positions.get(coin)
    if position is None or position.exit_reason:
        return
    position.exit_reason = reason
    _schedule_exit(state, coin, position, 0)


def resume_exits(state: EngineState) -> None:
    """Give carried positions a new time stop: monotonic stamps do not survive a restart."""
    for coin, position in state.positions.items():
        _schedule_exit(state, coin, position, state.limits.paper.time_stop_ms)


def release_consumption(market: MarketState, bid: tuple[Decimal | None, ...], ask: tuple[Decimal | None, ...]) -> None:
    """Forget what was taken from a touch once the venue shows another price or size; `bid`, `ask` are (px, sz)."""
    bbo = market.bbo
    if bbo is None or bid != (bbo.bid_px, bbo.bid_sz):
        market.bid_consumed_sz = ZERO
    if bbo is None or ask != (bbo.ask_px, bbo.ask_sz):
        market.ask_consumed_sz = ZERO
    market.is_touch_consumed = market.bid_consumed_sz != ZERO or market.ask_consumed_sz != ZERO


def _schedule_exit(state: EngineState, coin: str, position: PaperPosition, delay_ms: int) -> None:
    position.exit_timer = state.timer_count + 1
    schedule(state, state.mono_ns + delay_ms * NS_PER_MS, TimerKind.PAPER_EXIT, coin, position.exit_timer)


def _intend(state: EngineState, order: PaperOrder, out: list[AnyOutput]) -> None:
    check(order.cloid not in state.orders, "I-01", cloid=order.cloid)
    state.orders[order.cloid] = order
    _change(state, order, out, status="intent", reason=order.reason, filled_sz=ZERO)
    due = state.mono_ns + state.limits.paper.latency_ms * NS_PER_MS
    schedule(state, due, TimerKind.PAPER_MATCH, order.cloid)


def _abort(state: EngineState, order: PaperOrder, out: list[AnyOutput], reason: str) -> None:
    del state.orders[order.cloid]
    _change(state, order, out, status="aborted", reason=reason, filled_sz=ZERO)


def _offer(market: MarketState, order: PaperOrder) -> tuple[Decimal, Decimal, str]:
    # (px, size we may take, reason when there is none)
    bbo = market.bbo
    if market.book_class is not BookClass.VALID or bbo is None:
        return ZERO, ZERO, f"book_{market.book_class}"
    if order.side is _BUY:
        px, sz, consumed = bbo.ask_px, bbo.ask_sz, market.ask_consumed_sz
        is_inside = px is not None and px <= order.limit_px
    else:
        px, sz, consumed = bbo.bid_px, bbo.bid_sz, market.bid_consumed_sz
        is_inside = px is not None and px >= order.limit_px
    if px is None or sz is None or not is_inside:
        return ZERO, ZERO, "touch_beyond_limit"
    left = floor_sz(min(order.sz, sz - consumed), market.spec.sz_decimals)
    return px, left, "touch_consumed"


def _fill(
    state: EngineState,
    market: MarketState,
    order: PaperOrder,
    position: PaperPosition | None,
    out: list[AnyOutput],
    *,
    px: Decimal,
    sz: Decimal,
) -> None:
    if order.side is _BUY:
        market.ask_consumed_sz += sz
    else:
        market.bid_consumed_sz += sz
    market.is_touch_consumed = True
    state.fill_count += 1
    fee = fee_of(px * sz, market.spec.taker_fee_bps)
    out.append(
        FillApplied(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=order.coin,
            cloid=order.cloid,
            tid=state.fill_count,
            mode=MODE,
            side=order.side,
            px=px,
            sz=sz,
            fee=fee,
            is_reduce_only=order.is_reduce_only,
            decided_ts_ns=order.decided_ts_ns,
        )
    )
    status = "filled" if sz == order.sz else "partly_filled"
    _change(state, order, out, status=status, reason=order.reason, filled_sz=sz)
    posting_id = f"{order.cloid}-{state.fill_count}"
    currency = currency_of(market.spec.collateral_token)
    cash = money(px * sz) if order.side is Side.SELL else -money(px * sz)
    if order.is_reduce_only:
        check(position is not None, "I-10", cloid=order.cloid)
    if position is None:
        legs = _open(state, order, out, px=px, sz=sz, cash=cash)
    else:
        legs = _close(state, order, position, out, sz=sz, cash=cash)
    post(state, out, coin=order.coin, posting_id=f"{posting_id}-fill", currency=currency, reason="fill", legs=legs)
    post(
        state,
        out,
        coin=order.coin,
        posting_id=f"{posting_id}-fee",
        currency=currency,
        reason="fee",
        legs=(("cash", -fee), ("fees", fee)),
    )


def _open(
    state: EngineState, order: PaperOrder, out: list[AnyOutput], *, px: Decimal, sz: Decimal, cash: Decimal
) -> tuple[tuple[str, Decimal], ...]:
    position = PaperPosition(
        sz=sz if order.side is _BUY else -sz,
        entry_px=px,
        entry_ts_ns=state.ts_ns,
        entry_edge_bps=order.edge_bps,
        signal_id=order.signal_id,
        cost_ntl=abs(cash),
    )
    state.positions[order.coin] = position
    _schedule_exit(state, order.coin, position, state.limits.paper.time_stop_ms)
    _report_position(state, order.coin, position, out, realised_pnl=ZERO, reason=order.reason)
    return (("cash", cash), ("position", -cash))


def _close(
    state: EngineState,
    order: PaperOrder,
    position: PaperPosition,
    out: list[AnyOutput],
    *,
    sz: Decimal,
    cash: Decimal,
) -> tuple[tuple[str, Decimal], ...]:
    check(order.is_reduce_only and sz <= abs(position.sz), "I-10", cloid=order.cloid, sz=sz, position=position.sz)
    is_long = position.sz > ZERO
    left = abs(position.sz) - sz
    cost = position.cost_ntl if left == ZERO else money(position.entry_px * sz)
    realised = cash + (-cost if is_long else cost)
    position.sz = left if is_long else -left
    position.cost_ntl -= cost
    _report_position(state, order.coin, position, out, realised_pnl=realised, reason=order.reason)
    if left == ZERO:
        del state.positions[order.coin]
    return (("cash", cash), ("position", -cost if is_long else cost), ("realised_pnl", -realised))


def _report_position(
    state: EngineState,
    coin: str,
    position: PaperPosition,
    out: list[AnyOutput],
    *,
    realised_pnl: Decimal,
    reason: str,
) -> None:
    is_flat = position.sz == ZERO
    out.append(
        PositionChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=coin,
            mode=MODE,
            sz=position.sz,
            entry_px=None if is_flat else position.entry_px,
            entry_ts_ns=None if is_flat else position.entry_ts_ns,
            entry_edge_bps=None if is_flat else position.entry_edge_bps,
            realised_pnl=realised_pnl,
            reason=reason,
        )
    )


def _change(
    state: EngineState, order: PaperOrder, out: list[AnyOutput], *, status: str, reason: str, filled_sz: Decimal
) -> None:
    out.append(
        OrderChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=order.coin,
            cloid=order.cloid,
            signal_id=order.signal_id,
            mode=MODE,
            side=order.side,
            is_reduce_only=order.is_reduce_only,
            limit_px=order.limit_px,
            sz=order.sz,
            filled_sz=filled_sz,
            status=status,
            reason=reason,
            decided_ts_ns=order.decided_ts_ns,
        )
    )
