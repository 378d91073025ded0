"""Wire texts of Decimals: the one place of the exchange side that spells numbers.

Rule 1: at least one decimal (`84143.0`, `0.0`), trailing zeros stripped, never an exponent, never `-0.0`.
Rule 2: USD amounts have at most 6 decimals and are cut, not rounded (fee 0.00999795 is `0.009997` on the wire).
"""

from decimal import ROUND_DOWN, Decimal

from streaming.core.rounding import wire_number

ZERO_HASH = f"0x{0:064x}"
"""Hash of what no transaction caused: funding, settlement."""
_USD = Decimal("1e-6")
_PX = Decimal("1e-10")


def number_text(value: Decimal) -> str:
    """Return a number as the venue writes it in bodies."""
    text = wire_number(value)
    return text if "." in text else f"{text}.0"


def cut_usd(value: Decimal) -> Decimal:
    """Cut an amount to the venue's unit, a millionth."""
    return value.quantize(_USD, rounding=ROUND_DOWN)


def usd_text(value: Decimal) -> str:
    """Return an amount of money as wire text."""
    return number_text(cut_usd(value))


def ratio_text(value: Decimal) -> str:
    """Return a ratio or a computed price as wire text: at most 10 decimals."""
    return number_text(value.quantize(_PX))
