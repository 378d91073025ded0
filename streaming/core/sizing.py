"""How large an entry may be.

Rule 1: min(alpha x displayed size, what every cap leaves after the worst case of everything held and in flight).
Rule 2: size is floored to the lot; caps and the minimum are tested on the floored size.
Rule 3: the result is a size or a reason, never a size of zero.
"""

from decimal import Decimal

import msgspec

from streaming.core.errors import check
from streaming.core.rounding import floor_sz
from streaming.core.state import EngineState, MarketState
from streaming.core.units import ZERO


class Sizing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An entry's size, or why there is none (`sz` 0)."""

    sz: Decimal
    reason: str


def exposure_ntl(state: EngineState) -> Decimal:
    """Return the worst case of the account: cost of positions plus notional of entries in flight, quote units."""
    held = sum((position.cost_ntl for position in state.positions.values()), ZERO)
    in_flight = sum((o.limit_px * o.sz for o in state.orders.values() if not o.is_reduce_only), ZERO)
    return held + in_flight


def exposure_count(state: EngineState) -> int:
    """Return how many markets hold a position or have an entry in flight."""
    return len(state.positions) + sum(not order.is_reduce_only for order in state.orders.values())


def size_entry(
    state: EngineState, market: MarketState, *, limit_px: Decimal, touch_sz: Decimal, is_reduced: bool
) -> Sizing:
    """Size an entry in a market that has neither a position nor an order in flight.

    Args:
        state: The engine's state.
        market: The market to enter.
        limit_px: Rounded limit price, > 0.
        touch_sz: Displayed size at the touch that nobody of us has consumed, >= 0.
        is_reduced: A gate says REDUCE.
    """
    limits = state.limits.sizing
    if exposure_count(state) >= limits.position_count_max:
        return _refused("position_count_max")
    account_left = limits.account_ntl_max - exposure_ntl(state)
    ntl_max = min(limits.order_ntl_max, limits.position_ntl_max, account_left)
    if ntl_max <= ZERO:
        return _refused("account_ntl_max")
    sz = min(limits.alpha_ratio * touch_sz, ntl_max / limit_px)
    if is_reduced:
        sz *= limits.reduce_ratio
    sz = floor_sz(sz, market.spec.sz_decimals)
    if sz == ZERO:
        return _refused("below_lot")
    ntl = sz * limit_px
    if ntl < limits.order_ntl_min:
        return _refused("below_order_ntl_min")
    check(ntl <= ntl_max, "I-11", coin=market.spec.coin, ntl=ntl, ntl_max=ntl_max)
    return Sizing(sz=sz, reason="")


def _refused(reason: str) -> Sizing:
    return Sizing(sz=ZERO, reason=reason)
