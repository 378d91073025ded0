"""What may be traded for real in each market, and how: the least of what rotation, phase and file allow.

Rule: asked on the way to an order, so it is worked out whenever one of the three changes, and only then.
"""

from decimal import Decimal

import msgspec

from streaming.core.events import MarketAllowance
from streaming.core.limits import ExitLimits
from streaming.core.sizing import real_sizing
from streaming.core.state import EngineState, MarketState
from streaming.core.trigger import set_threshold
from streaming.core.units import ZERO


def share_allowances(state: EngineState) -> None:
    """Tell every market what phase, file and rotation allow it: asked on the way to an order, so worked out once."""
    rotation = state.control.rotation
    allowed = {} if rotation is None or rotation.is_expired else {m.coin: m for m in rotation.markets}
    for coin, market in state.markets.items():
        _share(state, market, None if market.is_exit_only else allowed.get(coin))


def _share(state: EngineState, market: MarketState, allowance: MarketAllowance | None) -> None:
    limits = state.limits
    threshold_bps_min = ZERO
    market.allowance_ntl = market.real_sizing = market.real_exits = None
    market.is_oracle_led_only = False
    if allowance is not None:
        market.allowance_ntl = allowance.ntl_max
        market.real_sizing = real_sizing(limits.sizing, state.control.phase, allowance.ntl_max)
        market.is_oracle_led_only = allowance.is_oracle_led_only
        threshold_bps_min = allowance.threshold_bps or ZERO
        if allowance.hold_ms_max is not None:
            time_stop_ms = min(limits.exits.time_stop_ms, allowance.hold_ms_max)
            market.real_exits = msgspec.structs.replace(limits.exits, time_stop_ms=time_stop_ms)
    if threshold_bps_min != market.threshold_bps_min:
        market.threshold_bps_min = threshold_bps_min
        set_threshold(market, limits.detector)


def exits_of(state: EngineState, coin: str) -> ExitLimits:
    """Return when a real position of this market is closed: the file's rules, or tighter ones of the rotation."""
    market = state.markets.get(coin)
    return state.limits.exits if market is None else market.real_exits or state.limits.exits


def allowance_of(state: EngineState, coin: str) -> Decimal | None:
    """Return the notional that the rotation in force allows a market for real; None is not allowed."""
    market = state.markets.get(coin)
    return None if market is None else market.allowance_ntl
