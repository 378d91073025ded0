"""The venue's price and size grid, and numbers as wire strings.

Rule 1: rounding is directional and named; nothing rounds to the nearest.
Rule 2: what was rounded is tested again: edge, caps and minimum hold for the rounded values (I-08).

Source: hyperliquid.gitbook.io, "Tick and lot size": a price is an integer, or has at most 5 significant figures and at
most 6 - szDecimals decimals (perps); a size has at most szDecimals decimals and no rule of significant figures.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from streaming.core.market import Side
from streaming.core.units import ONE, ZERO

PX_DECIMALS_MAX = 6
PX_SIGNIFICANT_MAX = 5
_POWERS = tuple(Decimal(1).scaleb(-n) for n in range(PX_DECIMALS_MAX + 1))


def px_tick(px: Decimal, sz_decimals: int) -> Decimal:
    """Return the distance between legal prices at the level of `px` (> 0), for a perp of `sz_decimals` 0-6."""
    decimals = min(PX_DECIMALS_MAX - sz_decimals, PX_SIGNIFICANT_MAX - 1 - px.adjusted())
    return _POWERS[decimals] if decimals > 0 else ONE


def is_legal_px(px: Decimal, sz_decimals: int) -> bool:
    """Say whether the venue's grid contains `px`."""
    return px > ZERO and px % px_tick(px, sz_decimals) == ZERO


def round_px_toward_safe(side: Side, px: Decimal, sz_decimals: int) -> Decimal:
    """Round a limit price to the venue's grid without making it more aggressive.

    A buy is floored and a sell is ceiled, so the order never trades worse than the price that was checked.

    Args:
        side: BUY or SELL.
        px: Limit price in quote per unit, > 0.
        sz_decimals: Size decimals of the market, 0-6.

    Returns:
        Largest (buy) or smallest (sell) legal price not beyond `px`; `Decimal(0)` if none exists.

    Source:
        hyperliquid.gitbook.io, "Tick and lot size": 5 significant figures, MAX_DECIMALS 6 for perps, integers always.
    """
    if px <= ZERO:
        return ZERO
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return px.quantize(px_tick(px, sz_decimals), rounding=rounding)


def floor_sz(sz: Decimal, sz_decimals: int) -> Decimal:
    """Floor a size >= 0 to the market's lot; 0 when it is below one lot."""
    return sz.quantize(_POWERS[sz_decimals], rounding=ROUND_FLOOR)


def wire_number(value: Decimal) -> str:
    """Write a number as the venue hashes it: no exponent, no trailing zeros, no `-0`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
