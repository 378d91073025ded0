"""Numbers of the core: one Decimal context and the few operations on it that more than one module needs.

Rule 1: px, sz, ntl, fees and `*_bps` that decide are Decimal, from the wire string on; floats are statistics.
Rule 2: what a gate reads is quantised, so that a snapshot taken and restored compares equal.
"""

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
    setcontext,
)

BPS = Decimal(10_000)
ZERO = Decimal(0)
ONE = Decimal(1)
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S

_EWMA_QUANTUM = Decimal("1e-12")
_MICRO = Decimal("1e-6")
_BPS_BOUND, _BPS_BOUND_BELOW = Decimal("1e11"), Decimal("-1e11")
_NTL_BOUND, _NTL_BOUND_BELOW = Decimal("1e20"), Decimal("-1e20")

CONTEXT = Context(
    prec=28,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)


def use_exact_decimals() -> None:
    """Install the project's Decimal context in this thread (threads inherit none of it).

    Building a Decimal from a float, or ordering one against a float, raises `FloatOperation` afterwards.
    """
    setcontext(CONTEXT.copy())


def quantize_ewma(value: Decimal) -> Decimal:
    """Round an exponentially weighted mean to 1e-12, the precision a snapshot keeps."""
    return value.quantize(_EWMA_QUANTUM)


def quantize_bps(value: Decimal) -> Decimal:
    """Round basis points to 1e-6 and bound them by 1e11: what the tables store (decimal128(18, 6))."""
    return _bounded(value, _BPS_BOUND_BELOW, _BPS_BOUND)


def quantize_ntl(value: Decimal) -> Decimal:
    """Round a notional that a gate observes to 1e-6 and bound it by 1e20 (the tables store decimal128(38, 12))."""
    return _bounded(value, _NTL_BOUND_BELOW, _NTL_BOUND)


def _bounded(value: Decimal, least: Decimal, most: Decimal) -> Decimal:
    # A hostile price (1e-8 against 1e9) must end as an absurd figure in a row, never as an exception (F-12).
    if least <= value <= most:
        return value.quantize(_MICRO)
    return most if value > most else least


def utc_day_of(ts_ns: int) -> int:
    """Return the number of the UTC day (days since 1970-01-01) in which a wall-clock instant lies."""
    return ts_ns // NS_PER_DAY
