"""What `/v1/status` says about real trading: positions, orders that still bind something, results, readiness.

Rule 1: figures are those of the engine now; nothing is asked of the venue for a status.
Rule 2: a position is valued at the side of the touch it would leave by, never at the mid.
"""

from decimal import Decimal

from streaming.contracts.control import OrderView, PositionView, TradingView
from streaming.core.rounding import wire_number
from streaming.core.state import EngineState
from streaming.core.trading.action_budget import forecast_hours
from streaming.core.trading.model import LiveOrder, LivePosition, OrderStatus
from streaming.core.units import NS_PER_MS, ZERO, utc_day_of

LADDER_NAMES = ("normal", "polls shed", "fewer subscriptions", "no entries", "stopped")
"""Steps of the degradation ladder."""
_SHOWN_QUANTUM = Decimal("1e-8")


def trading_view(state: EngineState, now_mono_ns: int) -> TradingView:
    """Return real trading as of now."""
    live, losses = state.live, state.live.losses
    orders = tuple([_order_view(order, now_mono_ns) for order in live.orders.values() if not order.is_settled])
    reads = live.budget.address_reads
    is_day_over = utc_day_of(state.ts_ns) > losses.day
    return TradingView(
        is_ready=live.is_ready,
        unready_reason="" if live.is_ready else live.unready_reason,
        ladder_step=live.ladder_step,
        ladder_name=LADDER_NAMES[live.ladder_step],
        is_flattening=live.is_flattening,
        day_pnl_usd=ZERO if is_day_over else losses.day_pnl_usd,
        drawdown_usd=losses.peak_pnl_usd - losses.total_pnl_usd,
        loss_streak_count=losses.loss_count,
        address_left_count=reads[-1].left_count - live.budget.unread_count if reads else None,
        address_left_hours=forecast_hours(live.budget, now_mono_ns),
        action_in_flight_count=sum(action.is_open for action in live.actions.values()),
        in_doubt_count=sum(order.status == OrderStatus.IN_DOUBT for order in orders),
        positions=tuple([_position_view(state, position) for position in live.positions.values()]),
        orders=orders,
        ignored_coins=tuple(live.ignored_coins),
    )


def _order_view(order: LiveOrder, now_mono_ns: int) -> OrderView:
    return OrderView(
        coin=order.coin,
        cloid=order.cloid,
        side=order.side,
        is_reduce_only=order.is_reduce_only,
        limit_px=order.limit_px,
        sz=order.sz,
        applied_sz=order.applied_sz,
        status=order.status,
        reason=order.reason,
        age_ms=max(0, (now_mono_ns - order.decided_mono_ns) // NS_PER_MS),
    )


def _position_view(state: EngineState, position: LivePosition) -> PositionView:
    return PositionView(
        coin=position.coin,
        sz=position.sz,
        entry_px=_shown(position.entry_px),
        cost_ntl=position.cost_ntl,
        unrealised_pnl=_unrealised_pnl(state, position),
        net_pnl=position.net_pnl,
        held_ms=max(0, (state.ts_ns - position.entry_ts_ns) // NS_PER_MS),
        exit_reason=position.exit_reason,
    )


def _unrealised_pnl(state: EngineState, position: LivePosition) -> Decimal | None:
    market = state.markets.get(position.coin)
    bbo = None if market is None else market.bbo
    exit_px = None if bbo is None else bbo.bid_px if position.is_long else bbo.ask_px
    if exit_px is None:
        return None
    return _shown((exit_px - position.entry_px) * position.sz)


def _shown(value: Decimal) -> Decimal:
    # A mean price has as many digits as the context allows; nobody reads them.
    return Decimal(wire_number(value.quantize(_SHOWN_QUANTUM)))
