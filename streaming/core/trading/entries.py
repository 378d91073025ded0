"""Entering a market for real: may it be, how much, and the intent.

Rule 1: real money needs an approved phase, arming, a signer, and a rotation that names the market; without any of them
the signal is traded on paper, as every other market's (I-19).
Rule 2: what forbids a real entry now is named with the gates, and nothing is entered instead.
Rule 3: caps are those of the phase, of the rotation and of the file, whichever is least, against the position plus the
worst case of everything in flight or in doubt (I-11).
"""

from decimal import Decimal

import msgspec

from streaming.core.blackout import is_blacked_out, parse_windows
from streaming.core.calendar import is_session_open
from streaming.core.effects import AnyOutput, EntryRefused, SignalRaised
from streaming.core.errors import check
from streaming.core.events import Phase
from streaming.core.limits import SizingLimits
from streaming.core.market import Side
from streaming.core.orders import cloid_of
from streaming.core.rotation import allowance_of
from streaming.core.sizing import Held, size_entry
from streaming.core.state import EngineState, MarketState
from streaming.core.trading.account import has_open_order, live_exposure_count, live_exposure_ntl, open_sides
from streaming.core.trading.action_budget import ActionKind, refusal
from streaming.core.trading.dispatch import queue_order
from streaming.core.trading.losses import correlation_block, entry_blocks
from streaming.core.trading.model import LiveOrder, Tif
from streaming.core.underlyings import is_known, session_kind_of

TRADING_PHASES = (Phase.MICRO, Phase.STEADY, Phase.ROTATE)
MICRO_ALPHA_MAX = Decimal("0.05")
MICRO_ORDER_NTL_MAX = Decimal(50)
MICRO_POSITION_NTL_MAX = Decimal(100)
"""What `micro` allows whatever the file says (roadmap, phase B)."""


def is_real(state: EngineState, coin: str) -> bool:
    """Say whether a signal of this market is traded for real, if it is traded."""
    control = state.control
    return (
        control.phase in TRADING_PHASES
        and control.is_armed
        and bool(state.session.agent)
        and allowance_of(state, coin) is not None
    )


def real_controls(state: EngineState, coin: str, side: Side) -> tuple[str, ...]:
    """Name everything beside gates and account-wide controls that forbids a real entry now."""
    live, limits = state.live, state.limits
    controls: tuple[str, ...] = ()
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
    if group := correlation_block(losses, coin, side, open_sides(live)):
        controls += (group,)
    if losses.blackout_windows_utc and is_blacked_out(parse_windows(losses.blackout_windows_utc), state.ts_ns):
        controls += ("blackout",)
    if not losses.is_closed_session_traded and not _is_session_open(coin, state.ts_ns):
        controls += ("session_closed",)
    if reason := refusal(live.budget, limits.actions, state.mono_ns, ActionKind.NEW, 1):
        controls += (f"budget_{reason}",)
    return controls


def _is_session_open(coin: str, ts_ns: int) -> bool:
    # A name that we do not know may trade at hours that we do not know: that errs towards no entry.
    return is_known(coin) and is_session_open(session_kind_of(coin), ts_ns)


def enter_real(
    state: EngineState, market: MarketState, signal: SignalRaised, out: list[AnyOutput], *, is_reduced: bool
) -> None:
    """Turn an unblocked signal into an intent, or into the reason why there is none."""
    limits = phase_sizing(state, market.spec.coin)
    held = Held(ntl=live_exposure_ntl(state.live), count=live_exposure_count(state.live))
    sizing = size_entry(
        limits,
        market.spec,
        held,
        limit_px=signal.limit_px,
        touch_sz=signal.touch_sz,
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
    queue_order(
        state,
        LiveOrder(
            coin=signal.coin,
            cloid=cloid_of(state.session.session_id, signal.signal_id, "entry"),
            signal_id=signal.signal_id,
            action_id=0,
            nonce=0,
            side=signal.side,
            is_reduce_only=False,
            tif=Tif.IOC,
            limit_px=signal.limit_px,
            sz=sizing.sz,
            expected_px=signal.limit_px,
            edge_bps=signal.raw_edge_bps,
            reason="entry",
            spec_version=market.spec.spec_version,
            decided_ts_ns=state.ts_ns,
            decided_mono_ns=state.mono_ns,
            received_mono_ns=state.event_mono_ns,
            expires_ts_ms=0,
        ),
    )
    exposure = live_exposure_ntl(state.live)
    check(exposure <= limits.account_ntl_max, "I-11", exposure=exposure, cap=limits.account_ntl_max)


def phase_sizing(state: EngineState, coin: str) -> SizingLimits:
    """Return the file's sizing limits, tightened by the phase and by the rotation's allowance for this market."""
    limits = state.limits.sizing
    position_ntl_max = limits.position_ntl_max
    allowance = allowance_of(state, coin)
    if allowance is not None:
        position_ntl_max = min(position_ntl_max, allowance)
    if state.control.phase is not Phase.MICRO:
        return msgspec.structs.replace(limits, position_ntl_max=position_ntl_max)
    return msgspec.structs.replace(
        limits,
        alpha_ratio=min(limits.alpha_ratio, MICRO_ALPHA_MAX),
        order_ntl_max=min(limits.order_ntl_max, MICRO_ORDER_NTL_MAX),
        position_ntl_max=min(position_ntl_max, MICRO_POSITION_NTL_MAX),
    )
