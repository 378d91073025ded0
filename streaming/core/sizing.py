"""How large an entry may be.

Rule 1: min(alpha x displayed size, what every cap leaves after the worst case of everything held and in flight).
Rule 2: size is floored to the lot; caps and the minimum are tested on the floored size.
Rule 3: the result is a size or a reason, never a size of zero.
"""

from decimal import Decimal

import msgspec

from streaming.core.errors import check
from streaming.core.events import Phase
from streaming.core.limits import SizingLimits
from streaming.core.market import MarketSpec
from streaming.core.rounding import floor_sz
from streaming.core.units import ZERO


class Sizing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An entry's size, or why there is none (`sz` 0)."""

    sz: Decimal
    reason: str


class Held(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The worst case of an account before the entry: everything held, in flight or in doubt."""

    ntl: Decimal
    """Cost of positions plus notional of entries that may still fill, quote units."""
    count: int
    """Markets with a position or such an entry."""


NOTHING_HELD = Held(ntl=ZERO, count=0)

MICRO_ALPHA_MAX = Decimal("0.05")
MICRO_ORDER_NTL_MAX = Decimal(50)
MICRO_POSITION_NTL_MAX = Decimal(100)
"""What `micro` allows whatever the file says (roadmap, phase B)."""


def real_sizing(limits: SizingLimits, phase: Phase, allowance_ntl: Decimal) -> SizingLimits:
    """Return the file's sizing limits, tightened by the phase and by the rotation's allowance for a market."""
    position_ntl_max = min(limits.position_ntl_max, allowance_ntl)
    if phase is not Phase.MICRO:
        return msgspec.structs.replace(limits, position_ntl_max=position_ntl_max)
    return msgspec.structs.replace(
        limits,
        alpha_ratio=min(limits.alpha_ratio, MICRO_ALPHA_MAX),
        order_ntl_max=min(limits.order_ntl_max, MICRO_ORDER_NTL_MAX),
        position_ntl_max=min(position_ntl_max, MICRO_POSITION_NTL_MAX),
    )


def size_entry(
    limits: SizingLimits, spec: MarketSpec, held: Held, *, limit_px: Decimal, touch_sz: Decimal, is_reduced: bool
) -> Sizing:
    """Size an entry in a market that has neither a position nor an order in flight.

    Args:
        limits: Caps in force.
        spec: The market to enter.
        held: What counts against the account's caps.
        limit_px: Rounded limit price, > 0.
        touch_sz: Displayed size at the touch that nobody of us has consumed, >= 0.
        is_reduced: A gate says REDUCE.
    """
    if held.count >= limits.position_count_max:
        return _refused("position_count_max")
    account_left = limits.account_ntl_max - held.ntl
    ntl_max = min(limits.order_ntl_max, limits.position_ntl_max, account_left)
    if ntl_max <= ZERO:
        return _refused("account_ntl_max")
    sz = min(limits.alpha_ratio * touch_sz, ntl_max / limit_px)
    if is_reduced:
        sz *= limits.reduce_ratio
    sz = floor_sz(sz, spec.sz_decimals)
    if sz == ZERO:
        return _refused("below_lot")
    ntl = sz * limit_px
    if ntl < limits.order_ntl_min:
        return _refused("below_order_ntl_min")
    check(ntl <= ntl_max, "I-11", coin=spec.coin, ntl=ntl, ntl_max=ntl_max)
    return Sizing(sz=sz, reason="")


def _refused(reason: str) -> Sizing:
    return Sizing(sz=ZERO, reason=reason)
