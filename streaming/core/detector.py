"""Crosses: when the side we would hit has passed the oracle far enough.

Rule 1: buy when the ask is below the oracle, sell when the bid is above it; mid is never a trigger.
Rule 2: the hot path compares the touch with prices computed beforehand; they change only with oracle, spec or limits.
Rule 3: a cross that raises no signal is counted by its first reason, never written tick by tick.
"""

from decimal import Decimal

from streaming.core.effects import AnyOutput
from streaming.core.episodes import ORACLE_LED, QUOTE_LED, begin, end, tick
from streaming.core.market import Side
from streaming.core.rounding import round_px_toward_safe
from streaming.core.signals import raise_signal
from streaming.core.state import EngineState, MarketState, Readiness, count_no_signal
from streaming.core.trading.entries import try_enter
from streaming.core.units import BPS, ZERO

_BUY, _SELL = Side.BUY, Side.SELL
_READY = Readiness.READY


def raw_edge_bps(side: Side, px: Decimal, oracle_px: Decimal) -> Decimal:
    """Return how far `px` is beyond the oracle in our favour: (o - ask) / o buying, (bid - o) / o selling, in bps.

    Args:
        side: Ours.
        px: The touch we would hit, quote per unit.
        oracle_px: Last received oracle, > 0.
    """
    distance = oracle_px - px if side is _BUY else px - oracle_px
    return distance * BPS / oracle_px


def judge(
    state: EngineState,
    market: MarketState,
    out: list[AnyOutput],
    touch: tuple[Decimal, Decimal],
    oracle_px: Decimal,
    *,
    is_ctx: bool,
    is_oracle_led: bool,
) -> None:
    """Look for crosses after a bbo or ctx.

    Args:
        state: The engine's state.
        market: The market whose touch or oracle is new; its book is VALID.
        out: Where outputs go.
        touch: Best bid and best ask, quote per unit.
        oracle_px: Last received oracle, > 0.
        is_ctx: A ctx was received, not a bbo.
        is_oracle_led: The event is a ctx whose oracle differs from the one before.
    """
    bid_px, ask_px = touch
    if not market.is_quiet:
        for side, px in ((_BUY, ask_px), (_SELL, bid_px)):
            _follow(state, market, side, out, px, oracle_px, is_ctx=is_ctx, is_oracle_led=is_oracle_led)
        market.is_quiet = (
            market.buy_episode is None and market.sell_episode is None and market.is_buy_armed and market.is_sell_armed
        )
    elif ask_px < oracle_px:
        if ask_px <= market.buy_trigger_px:
            _cross(state, market, _BUY, out, ask_px, oracle_px, is_oracle_led=is_oracle_led)
        else:
            count_no_signal(market, "below_threshold")
    elif bid_px > oracle_px:
        if bid_px >= market.sell_trigger_px:
            _cross(state, market, _SELL, out, bid_px, oracle_px, is_oracle_led=is_oracle_led)
        else:
            count_no_signal(market, "below_threshold")


def count_void_cross(market: MarketState) -> None:
    """Count a cross in a book that can not be judged."""
    bbo, ctx = market.bbo, market.ctx
    if bbo is None or ctx is None:
        return
    oracle_px = ctx.oracle_px
    if (bbo.ask_px is not None and bbo.ask_px < oracle_px) or (bbo.bid_px is not None and bbo.bid_px > oracle_px):
        count_no_signal(market, "book_void")


def _follow(
    state: EngineState,
    market: MarketState,
    side: Side,
    out: list[AnyOutput],
    px: Decimal,
    oracle_px: Decimal,
    *,
    is_ctx: bool,
    is_oracle_led: bool,
) -> None:
    if side is _BUY:
        episode, is_armed = market.buy_episode, market.is_buy_armed
        is_rearmed = px >= oracle_px * market.buy_rearm_factor
        is_crossed = px <= market.buy_trigger_px
        is_beyond = px < oracle_px
    else:
        episode, is_armed = market.sell_episode, market.is_sell_armed
        is_rearmed = px <= oracle_px * market.sell_rearm_factor
        is_crossed = px >= market.sell_trigger_px
        is_beyond = px > oracle_px
    if episode is not None:
        if is_rearmed:
            end(state, market, episode, out, ended_by="oracle_moved" if is_ctx else "quote_moved", is_armed=True)
        else:
            tick(episode, raw_edge_bps(side, px, oracle_px))
    elif is_armed:
        if is_crossed:
            _cross(state, market, side, out, px, oracle_px, is_oracle_led=is_oracle_led)
        elif is_beyond:
            count_no_signal(market, "below_threshold")
    elif is_rearmed:
        _arm(market, side)
    elif is_crossed:
        count_no_signal(market, "not_armed")


def _arm(market: MarketState, side: Side) -> None:
    if side is _BUY:
        market.is_buy_armed = True
    else:
        market.is_sell_armed = True


def _cross(
    state: EngineState,
    market: MarketState,
    side: Side,
    out: list[AnyOutput],
    px: Decimal,
    oracle_px: Decimal,
    *,
    is_oracle_led: bool,
) -> None:
    if market.readiness is not _READY:
        count_no_signal(market, "not_ready")
        return
    limit_px = round_px_toward_safe(side, px, market.spec.sz_decimals)
    if limit_px == ZERO:
        count_no_signal(market, "px_off_grid")
        return
    edge_bps = raw_edge_bps(side, limit_px, oracle_px)
    if edge_bps < market.threshold_bps:
        count_no_signal(market, "below_threshold")  # the edge after rounding decides (I-08)
        return
    origin = ORACLE_LED if is_oracle_led else QUOTE_LED
    if market.allowance_ntl is not None and try_enter(
        state, market, side, out, origin=origin, limit_px=limit_px, edge_bps=edge_bps
    ):
        return  # sent first, told afterwards: `explain_entry`
    episode = begin(state, market, side, out, origin=origin, edge_bps=edge_bps)
    touch_sz = market.touch_sz(side)
    raise_signal(state, market, episode, out, limit_px=limit_px, touch_sz=touch_sz, edge_bps=edge_bps)
