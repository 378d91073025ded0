"""What may be traded for real in each market, and how much: the least of what rotation, phase and file allow.

Rule: asked on the way to an order, so it is worked out whenever one of the three changes, and only then.
"""

from decimal import Decimal

from streaming.core.sizing import real_sizing
from streaming.core.state import EngineState


def share_allowances(state: EngineState) -> None:
    """Tell every market what phase, file and rotation allow it: asked on the way to an order, so worked out once."""
    rotation = state.control.rotation
    allowed = {} if rotation is None or rotation.is_expired else {m.coin: m.ntl_max for m in rotation.markets}
    for coin, market in state.markets.items():
        ntl = market.allowance_ntl = allowed.get(coin)
        market.real_sizing = None if ntl is None else real_sizing(state.limits.sizing, state.control.phase, ntl)


def allowance_of(state: EngineState, coin: str) -> Decimal | None:
    """Return the notional that the rotation in force allows a market for real; None is not allowed."""
    market = state.markets.get(coin)
    return None if market is None else market.allowance_ntl
