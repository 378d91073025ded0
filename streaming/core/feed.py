"""Market data into market state: the hot path.

Rule 1: frames of any but the live connection are dropped and counted; older data never replaces newer (I-23).
Rule 2: only a valid two-sided book moves the spread's EWMA, confirms the touch, or is judged; what enters the EWMA is
at most k x the EWMA (gate 3).
Rule 3: venue time that runs backwards on `bbo` or `l2Book` stops the market until a new connection (gate 8); a jump
ahead is not believed: it earns no freshness, and nothing can go back from it (F-16).
"""

from decimal import Decimal

from streaming.core.detector import count_void_cross, judge
from streaming.core.effects import AnyOutput
from streaming.core.episodes import end_all
from streaming.core.events import BboUpdated, BookUpdated, CtxUpdated
from streaming.core.market import BookClass
from streaming.core.paper import release_consumption
from streaming.core.readiness import progress, request_reconnect
from streaming.core.spread import shock_ratio_of
from streaming.core.state import EngineState, MarketState, Readiness
from streaming.core.trading.exits import judge_exit
from streaming.core.trading.fills import report_losses
from streaming.core.trading.losses import oracle_moved
from streaming.core.trigger import set_triggers
from streaming.core.units import NS_PER_MS, quantize_ewma
from streaming.core.venue_clock import JUMP_MS_MAX, is_jump, observe_delay, roll_window

_VALID = BookClass.VALID
_READY = Readiness.READY


def on_bbo(state: EngineState, event: BboUpdated, out: list[AnyOutput]) -> None:  # noqa: C901 - hot path: each call more costs every bbo
    """Take over a best bid and offer, classify it, and judge it when it is valid."""
    market = state.markets.get(event.coin)
    if market is None or event.generation != state.live_generation:
        _count_dropped(state, is_known=market is not None)
        return
    venue_ts_ms = event.venue_ts_ms
    ahead_ms = venue_ts_ms - market.bbo_venue_ts_ms
    if ahead_ms < 0:
        _regress(state, market, out, "bbo")
        return
    is_trusted = ahead_ms <= JUMP_MS_MAX or not is_jump(state, venue_ts_ms)
    if is_trusted:
        market.bbo_venue_ts_ms = venue_ts_ms
        clock = state.venue_clock
        delay_ns = event.recv_ts_ns - venue_ts_ms * NS_PER_MS
        if not clock.low_ns <= delay_ns <= clock.high_ns and market.bbo is not None:
            observe_delay(state, out, delay_ns)
    market.bbo_count += 1
    market.bbo_seq = state.seq
    bid_px, ask_px = event.bid_px, event.ask_px
    if market.is_touch_consumed:
        release_consumption(market, (bid_px, event.bid_sz), (ask_px, event.ask_sz))
    market.bbo = event
    if bid_px is None or ask_px is None or bid_px >= ask_px or not event.bid_sz or not event.ask_sz:
        _void(state, market, event, out)
        return
    market.book_class = _VALID
    if is_trusted:
        market.confirmation_mono_ns = state.mono_ns
    _observe_spread(state, market, ask_px - bid_px)
    if market.readiness is not _READY:
        market.has_bbo = True
        progress(state, market, out)
    ctx = market.ctx
    if ctx is not None:
        judge(state, market, out, (bid_px, ask_px), ctx.oracle_px, is_ctx=False, is_oracle_led=False)
    if event.coin in state.live.positions:
        judge_exit(state, market, out)


def on_ctx(state: EngineState, event: CtxUpdated, out: list[AnyOutput]) -> None:
    """Take over oracle and mark, confirm the book when the venue's mid equals ours, and judge a valid book."""
    market = state.markets.get(event.coin)
    if market is None or event.generation != state.live_generation:
        _count_dropped(state, is_known=market is not None)
        return
    if state.mono_ns >= state.venue_clock.window_end_mono_ns:
        roll_window(state, out)
    previous = market.ctx
    market.ctx = event
    market.ctx_seq = state.seq
    market.ctx_count += 1
    oracle_px = event.oracle_px
    is_oracle_led = False
    if previous is None or previous.oracle_px != oracle_px:
        is_oracle_led = previous is not None
        _step_oracle(state, market, previous, oracle_px, out)
    if market.readiness is not _READY:
        market.has_ctx = True
        progress(state, market, out)
    if event.coin in state.live.positions:
        judge_exit(state, market, out)
    bbo = market.bbo
    if bbo is None:
        return
    bid_px, ask_px, mid_px = bbo.bid_px, bbo.ask_px, event.mid_px
    if market.book_class is not _VALID or bid_px is None or ask_px is None:
        count_void_cross(market)
        return
    if mid_px is not None and mid_px + mid_px == bid_px + ask_px:
        market.confirmation_mono_ns = state.mono_ns
    judge(state, market, out, (bid_px, ask_px), oracle_px, is_ctx=True, is_oracle_led=is_oracle_led)


def _step_oracle(
    state: EngineState, market: MarketState, previous: CtxUpdated | None, oracle_px: Decimal, out: list[AnyOutput]
) -> None:
    market.oracle_mono_ns = state.mono_ns
    set_triggers(market, oracle_px)
    losses, limits = state.live.losses, state.limits.losses
    if previous is not None and oracle_moved(
        losses, market.spec.coin, previous.oracle_px, oracle_px, state.mono_ns, limits
    ):
        report_losses(state, out)


def on_book(state: EngineState, event: BookUpdated, out: list[AnyOutput]) -> None:
    """Let a fast book with the same touch confirm ours; a book never replaces the bbo."""
    market = state.markets.get(event.coin)
    if market is None or event.generation != state.live_generation:
        _count_dropped(state, is_known=market is not None)
        return
    last = market.book_fast_venue_ts_ms if event.is_fast else market.book_slow_venue_ts_ms
    if event.venue_ts_ms < last:
        _regress(state, market, out, "l2Book")
        return
    if event.venue_ts_ms - last > JUMP_MS_MAX and is_jump(state, event.venue_ts_ms):
        return
    if not event.is_fast:
        market.book_slow_venue_ts_ms = event.venue_ts_ms
        return
    market.book_fast_venue_ts_ms = event.venue_ts_ms
    bbo = market.bbo
    if market.book_class is not _VALID or bbo is None or not event.bids or not event.asks:
        return
    bid, ask = event.bids[0], event.asks[0]
    if bid.px == bbo.bid_px and ask.px == bbo.ask_px and bid.sz == bbo.bid_sz and ask.sz == bbo.ask_sz:
        market.confirmation_mono_ns = state.mono_ns


def classify(event: BboUpdated) -> BookClass:
    """Say what a best bid and offer is worth; a side counts when price and size are above 0."""
    has_bid = bool(event.bid_px) and bool(event.bid_sz)
    has_ask = bool(event.ask_px) and bool(event.ask_sz)
    if event.bid_px is None or event.ask_px is None or not (has_bid and has_ask):
        return BookClass.ONE_SIDED if has_bid or has_ask else BookClass.EMPTY
    if event.bid_px == event.ask_px:
        return BookClass.LOCKED
    return BookClass.VALID if event.bid_px < event.ask_px else BookClass.CROSSED


def _observe_spread(state: EngineState, market: MarketState, spread: Decimal) -> None:
    # Compared with the mean before this spread: a shock must not dilute the measure of itself. Nor of the next one: it
    # enters the mean as what just passes, so that wide spreads have to last before they are usual.
    mean = market.spread_ewma
    market.spread_px = spread
    if market.spread_count == 0:
        market.spread_count = 1
        market.spread_ewma = market.spread_reference_px = quantize_ewma(spread)
        return
    limits = state.limits.gates
    market.spread_count += 1
    market.spread_reference_px = mean
    bound = shock_ratio_of(market, limits) * mean
    if spread > bound:
        if market.spread_count > limits.spread_ewma_count_min:
            level = 2 if spread > bound + bound else 1
            market.shock_level = max(market.shock_level, level)
            market.shock_under_mono_ns = None
        spread = bound
    elif market.shock_level:
        _recover_spread(state, market)
    if spread != mean:
        market.spread_ewma = quantize_ewma(mean + limits.spread_ewma_alpha * (spread - mean))


def _recover_spread(state: EngineState, market: MarketState) -> None:
    since = market.shock_under_mono_ns
    if since is None:
        market.shock_under_mono_ns = state.mono_ns
    elif state.mono_ns - since >= state.limits.gates.spread_shock_cooldown_ms * NS_PER_MS:
        market.shock_level = 0
        market.shock_under_mono_ns = None


def _void(state: EngineState, market: MarketState, event: BboUpdated, out: list[AnyOutput]) -> None:
    market.book_class = classify(event)
    if event.bid_px is None or event.ask_px is None:
        market.bbo_null_count += 1
    end_all(state, market, out, "book_void")
    count_void_cross(market)


def _regress(state: EngineState, market: MarketState, out: list[AnyOutput], channel: str) -> None:
    state.stale_frame_count += 1
    if not market.is_time_regressed:
        market.is_time_regressed = True
        end_all(state, market, out, "market_stopped")
        request_reconnect(state, out, f"time_regression {market.spec.coin} {channel}")


def _count_dropped(state: EngineState, *, is_known: bool) -> None:
    if is_known:
        state.stale_frame_count += 1
    else:
        state.unknown_coin_count += 1
