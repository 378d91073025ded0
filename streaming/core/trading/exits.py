"""Leaving a position: one claim a market over all reasons, at full size, until flat.

Rule 1: whoever asks first names the reason; while an order of the market may still act nobody asks again (I-09).
Rule 2: an exit is reduce-only, the whole position, at the opposite touch with bounded slippage; when there is no touch
it goes by the mark, and without that by the entry: an old price is better than staying (I-10).
Rule 3: any terminal outcome releases the claim; what is left is tried again after a pause (F-114).
Rule 4: the rules look at each tick of a market that is held; the time stop is a deadline and needs none.
"""

from decimal import Decimal

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.market import Side
from streaming.core.orders import cloid_of
from streaming.core.rounding import floor_sz, round_px_toward_safe
from streaming.core.state import EngineState, MarketState, TimerKind, schedule
from streaming.core.trading.account import open_orders_of
from streaming.core.trading.action_budget import ActionKind, next_free_mono_ns, refusal
from streaming.core.trading.dispatch import queue_order
from streaming.core.trading.effects import LivePositionChanged
from streaming.core.trading.exit_rules import ExitView, exit_reason
from streaming.core.trading.model import LiveOrder, LivePosition, Tif
from streaming.core.trading.orders import exit_retry_mono_ns
from streaming.core.units import BPS, NS_PER_MS, NS_PER_S, ONE, ZERO

FILLS_PATIENCE_NS = 5 * NS_PER_S
"""How long an exit waits for the fills that an order of its market is known to have had."""


def judge_exit(state: EngineState, market: MarketState, out: list[AnyOutput]) -> None:
    """Ask the exit rules after a tick of a market that is held."""
    coin = market.spec.coin
    position = state.live.positions[coin]
    if position.exit_reason:
        return
    view = ExitView(
        bid_px=market.bid_px,
        ask_px=market.ask_px,
        oracle_px=market.oracle_px,
        mark_px=market.mark_px,
        now_mono_ns=state.mono_ns,
    )
    track = state.live.tracks[coin]
    # Gains count once both fees are paid: the entry's is lost already, and leaving costs the other.
    limits = market.real_exits or state.limits.exits
    reason = exit_reason(position.baseline, track, view, limits, 2 * market.spec.taker_fee_bps)
    if reason:
        request_exit(state, out, coin, reason)


def request_exit(state: EngineState, out: list[AnyOutput], coin: str, reason: str) -> None:
    """Close a position now; a no-op while it is being closed already."""
    position = state.live.positions.get(coin)
    if position is None or position.exit_reason:
        return
    position = msgspec.structs.replace(position, exit_reason=reason)
    _store(state, out, position, reason)
    _try(state, out, coin, position)


def reach_exit(state: EngineState, coin: str, number: int, out: list[AnyOutput]) -> None:
    """Act on an exit deadline: the time stop, or the next try."""
    position = state.live.positions.get(coin)
    if position is None or state.live.exit_timers.get(coin) != number:
        return
    if position.exit_reason:
        _try(state, out, coin, position)
    else:
        request_exit(state, out, coin, "time_stop")


def exit_all(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """Close every position."""
    for coin in list(state.live.positions):
        request_exit(state, out, coin, reason)


def schedule_exit(state: EngineState, coin: str, due_mono_ns: int) -> None:
    """Set the one exit deadline of a market."""
    number = state.timer_count + 1
    state.live.exit_timers[coin] = number
    schedule(state, due_mono_ns, TimerKind.LIVE_EXIT, coin, number)


def _try(state: EngineState, out: list[AnyOutput], coin: str, position: LivePosition) -> None:
    limits = state.limits
    retry_ns = exit_retry_mono_ns(state)
    if any(_is_waited_for(state, order) for order in open_orders_of(state.live, coin)):
        schedule_exit(state, coin, retry_ns)  # its end tries again as well; whichever comes first
        return
    if refusal(state.live.budget, limits.actions, state.mono_ns, ActionKind.REDUCE, 1):
        free_ns = next_free_mono_ns(state.live.budget, limits.actions, state.mono_ns, ActionKind.REDUCE, 1)
        schedule_exit(state, coin, retry_ns if free_ns is None else max(free_ns, state.mono_ns + NS_PER_MS))
        return
    market = state.markets.get(coin)
    if market is None:  # carried over, and nothing is known of the market any more (delisted): a human has to
        set_latch(state, out, reason=f"position_not_watched: {coin} {position.sz}", operator="engine")
        return
    side = Side.SELL if position.is_long else Side.BUY
    touch_px = _touch_px(market, side, position)
    limit_px = _bounded_px(state, market, side, touch_px)
    exit_count = position.exit_count + 1
    _store(state, out, msgspec.structs.replace(position, exit_count=exit_count), position.exit_reason)
    # Named by market and entry: a position that no signal of ours opened has no id of its own (I-01).
    leg = f"{coin}-{position.entry_ts_ns}-exit{exit_count}"
    queue_order(
        state,
        LiveOrder(
            coin=coin,
            cloid=cloid_of(state.session.session_id, position.signal_id, leg),
            signal_id=position.signal_id,
            action_id=0,
            nonce=0,
            side=side,
            is_reduce_only=True,
            tif=Tif.IOC,
            limit_px=limit_px,
            # What is left below the lot of a changed spec goes as it is: the venue may close it whole (F-41).
            sz=floor_sz(abs(position.sz), market.spec.sz_decimals) or abs(position.sz),
            expected_px=touch_px,
            edge_bps=None,
            reason=position.exit_reason,
            spec_version=market.spec.spec_version,
            decided_ts_ns=state.ts_ns,
            decided_mono_ns=state.mono_ns,
            received_mono_ns=state.event_mono_ns,
            expires_ts_ms=0,
        ),
    )
    schedule_exit(state, coin, retry_ns)


def _is_waited_for(state: EngineState, order: LiveOrder) -> bool:
    # One that is over can not act any more. Its fills are on their way, and if they are not, staying would be worse.
    return not order.is_over or state.mono_ns - order.answered_mono_ns < FILLS_PATIENCE_NS


def _touch_px(market: MarketState, side: Side, position: LivePosition) -> Decimal:
    touch_px = market.bid_px if side is Side.SELL else market.ask_px
    if touch_px is not None and touch_px > ZERO:
        return touch_px
    return market.mark_px or market.oracle_px or position.baseline.entry_mark_px or position.entry_px


def _bounded_px(state: EngineState, market: MarketState, side: Side, touch_px: Decimal) -> Decimal:
    slippage = state.limits.exits.slippage_bps_max / BPS
    bound = touch_px * (ONE + slippage) if side is Side.BUY else touch_px * (ONE - slippage)
    # Toward safe keeps the bound; where that leaves no price, the touch itself is one.
    return round_px_toward_safe(side, bound, market.spec.sz_decimals) or touch_px


def _store(state: EngineState, out: list[AnyOutput], position: LivePosition, reason: str) -> None:
    state.live.positions[position.coin] = position
    state.live.change_count += 1
    out.append(
        LivePositionChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=position.coin,
            position=position,
            realised_pnl=ZERO,
            reason=reason,
        )
    )
