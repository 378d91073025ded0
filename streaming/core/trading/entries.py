"""Entering a market for real: may it be, how much, and the intent.

Rule 1: real money needs an approved phase, arming, a signer, and a rotation that names the market; without any of them
the signal is traded on paper, as every other market's (I-19).
Rule 2: what forbids a real entry now is named with the gates, and nothing is entered instead.
Rule 3: caps are those of the phase, of the rotation and of the file, whichever is least, against the position plus the
worst case of everything in flight or in doubt (I-11).
"""

from decimal import Decimal
from functools import lru_cache

from streaming.core.allowance import allowance_of
from streaming.core.blackout import is_blacked_out, parse_windows
from streaming.core.calendar import SessionKind, is_session_open
from streaming.core.effects import AnyOutput, EntryRefused, GateStatus, SignalRaised
from streaming.core.episodes import QUOTE_LED
from streaming.core.errors import check
from streaming.core.events import Phase
from streaming.core.gates import decide
from streaming.core.limits import LossLimits
from streaming.core.market import Side
from streaming.core.orders import cloid_of, signal_id_of
from streaming.core.sizing import NOTHING_HELD, Held, Sizing, size_entry
from streaming.core.state import EngineState, Entered, MarketState
from streaming.core.stop import entries_closed_by
from streaming.core.trading.account import has_open_order, live_exposure_count, live_exposure_ntl, open_sides
from streaming.core.trading.action_budget import ActionKind, refusal, spend
from streaming.core.trading.dispatch import begin_action, queue_order, take_action_id
from streaming.core.trading.effects import ActionDecided, LiveOrderChanged
from streaming.core.trading.losses import correlation_block, entry_blocks
from streaming.core.trading.model import LiveOrder, OrderTicket, Tif
from streaming.core.trading.nonce import next_nonce
from streaming.core.underlyings import is_known, session_kind_of
from streaming.core.units import NS_PER_MS

TRADING_PHASES = (Phase.MICRO, Phase.STEADY, Phase.ROTATE)


def is_entry_possible(state: EngineState) -> bool:
    """Say whether any market may be entered for real as things stand: everything but the gates of the market itself."""
    control = state.control
    return (
        control.is_armed
        and control.latch is None
        and control.rotation is not None
        and not control.rotation.is_expired
        and control.phase in TRADING_PHASES
        and state.live.is_ready
    )


def is_real(state: EngineState, coin: str) -> bool:
    """Say whether a signal of this market is traded for real, if it is traded."""
    control = state.control
    return (
        control.phase in TRADING_PHASES
        and control.is_armed
        and bool(state.session.agent)
        and allowance_of(state, coin) is not None
    )


def try_enter(
    state: EngineState,
    market: MarketState,
    side: Side,
    out: list[AnyOutput],
    *,
    origin: str,
    limit_px: Decimal,
    edge_bps: Decimal,
) -> bool:
    """Decide an entry for real, if nothing at all stands against it; the edge does not wait for the explanation.

    Returns:
        Whether an action was decided: `state.entered` says which, and has to be explained in the same step. Otherwise
        nothing was changed, and the signal is judged in full.
    """
    check(state.entered is None, "I-10", coin=market.spec.coin)
    limits, coin = state.limits, market.spec.coin
    if limits.actions.entry_batch_ms or not is_real(state, coin) or entries_closed_by(state):
        return False
    statuses = decide(market, state.mono_ns, limits.gates)
    if GateStatus.BLOCK in statuses or real_controls(state, coin, side, origin):
        return False
    sizing = _size(
        state, market, limit_px=limit_px, touch_sz=market.touch_sz(side), is_reduced=GateStatus.REDUCE in statuses
    )
    nonce = None if sizing.reason else next_nonce(state.live.nonce, state.ts_ns)
    if nonce is None:
        return False
    signal_id = signal_id_of(state.session.session_id, state.seq, coin, side)
    entered = state.entered = Entered(
        coin=coin,
        side=side,
        origin=origin,
        limit_px=limit_px,
        edge_bps=edge_bps,
        signal_id=signal_id,
        cloid=cloid_of(state.session.session_id, signal_id, "entry"),
        sz=sizing.sz,
        action_id=take_action_id(state.live),
        nonce=nonce,
        expires_ts_ms=state.ts_ns // NS_PER_MS + limits.actions.entry_expiry_ms,
    )
    out.append(_action_of(state, market, entered))
    return True


def _action_of(state: EngineState, market: MarketState, entered: Entered) -> ActionDecided:
    ticket = OrderTicket(
        coin=entered.coin,
        asset_id=market.spec.asset_id,
        cloid=entered.cloid,
        side=entered.side,
        limit_px=entered.limit_px,
        sz=entered.sz,
        is_reduce_only=False,
        tif=Tif.IOC,
    )
    return ActionDecided(
        ts_ns=state.ts_ns,
        mono_ns=state.mono_ns,
        action_id=entered.action_id,
        kind="order",
        orders=(ticket,),
        cancels=(),
        schedule_ts_ms=None,
        nonce=entered.nonce,
        expires_ts_ms=entered.expires_ts_ms,
        may_add_risk=True,
    )


def book_entry(
    state: EngineState, market: MarketState, entered: Entered, signal: SignalRaised, out: list[AnyOutput]
) -> None:
    """Book an entry that was decided in this step: its order, its action, what it takes of budget and caps."""
    spend(state.live.budget, state.limits.actions, state.mono_ns, ActionKind.NEW, 1)
    order = _order(
        state,
        market,
        signal,
        entered.sz,
        action_id=entered.action_id,
        nonce=entered.nonce,
        expires_ts_ms=entered.expires_ts_ms,
    )
    state.live.orders[order.cloid] = order
    state.live.change_count += 1
    out.append(LiveOrderChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, order=order))
    begin_action(state, entered.action_id, "order", entered.nonce, (order.cloid,), entered.expires_ts_ms)
    exposure, cap = live_exposure_ntl(state.live), state.limits.sizing.account_ntl_max
    check(exposure <= cap, "I-11", exposure=exposure, cap=cap)


def real_controls(state: EngineState, coin: str, side: Side, origin: str) -> tuple[str, ...]:
    """Name everything beside gates and account-wide controls that forbids a real entry now."""
    live, limits = state.live, state.limits
    controls: tuple[str, ...] = ()
    if origin == QUOTE_LED and state.markets[coin].is_oracle_led_only:
        controls += ("quote_led",)
    if not live.is_ready:
        controls += ("trading_not_ready",)
    if coin in live.positions:
        controls += ("position_open",)
    if has_open_order(live, coin):
        controls += ("order_in_flight",)
    if live.is_flattening:
        controls += ("flattening",)
    if coin in live.stops:
        controls += ("market_stopped",)
    losses = limits.losses
    controls += entry_blocks(live.losses, coin, state.ts_ns, state.mono_ns, losses)
    if losses.correlation_groups and (group := correlation_block(losses, coin, side, open_sides(live))):
        controls += (group,)
    controls += _hour_controls(losses, coin, state.ts_ns)
    if reason := refusal(live.budget, limits.actions, state.mono_ns, ActionKind.NEW, 1):
        controls += (f"budget_{reason}",)
    return controls


def _hour_controls(losses: LossLimits, coin: str, ts_ns: int) -> tuple[str, ...]:
    controls: tuple[str, ...] = ()
    if losses.blackout_windows_utc and is_blacked_out(parse_windows(losses.blackout_windows_utc), ts_ns):
        controls += ("blackout",)
    if not losses.is_closed_session_traded and not _is_session_open(coin, ts_ns):
        controls += ("session_closed",)
    return controls


@lru_cache(maxsize=4_096)
def _hours_of(coin: str) -> SessionKind | None:
    # A name that we do not know may trade at hours that we do not know: that errs towards no entry.
    return session_kind_of(coin) if is_known(coin) else None


def _is_session_open(coin: str, ts_ns: int) -> bool:
    kind = _hours_of(coin)
    return kind is not None and is_session_open(kind, ts_ns)


def enter_real(
    state: EngineState, market: MarketState, signal: SignalRaised, out: list[AnyOutput], *, is_reduced: bool
) -> None:
    """Turn an unblocked signal into an intent, or into the reason why there is none."""
    sizing = _size(state, market, limit_px=signal.limit_px, touch_sz=signal.touch_sz, is_reduced=is_reduced)
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
    queue_order(state, _order(state, market, signal, sizing.sz))
    exposure, cap = live_exposure_ntl(state.live), state.limits.sizing.account_ntl_max
    check(exposure <= cap, "I-11", exposure=exposure, cap=cap)


def _size(state: EngineState, market: MarketState, *, limit_px: Decimal, touch_sz: Decimal, is_reduced: bool) -> Sizing:
    live = state.live
    held = NOTHING_HELD
    if live.orders or live.positions:
        held = Held(ntl=live_exposure_ntl(live), count=live_exposure_count(live))
    limits = market.real_sizing or state.limits.sizing
    return size_entry(limits, market.spec, held, limit_px=limit_px, touch_sz=touch_sz, is_reduced=is_reduced)


def _order(
    state: EngineState,
    market: MarketState,
    signal: SignalRaised,
    sz: Decimal,
    *,
    action_id: int = 0,
    nonce: int = 0,
    expires_ts_ms: int = 0,
) -> LiveOrder:
    return LiveOrder(
        coin=signal.coin,
        cloid=cloid_of(state.session.session_id, signal.signal_id, "entry"),
        signal_id=signal.signal_id,
        action_id=action_id,
        nonce=nonce,
        side=signal.side,
        is_reduce_only=False,
        tif=Tif.IOC,
        limit_px=signal.limit_px,
        sz=sz,
        expected_px=signal.limit_px,
        edge_bps=signal.raw_edge_bps,
        reason="entry",
        spec_version=market.spec.spec_version,
        decided_ts_ns=state.ts_ns,
        decided_mono_ns=state.mono_ns,
        received_mono_ns=state.event_mono_ns,
        expires_ts_ms=expires_ts_ms,
    )
