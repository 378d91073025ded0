"""Exact numbers from wire strings.

Why this module exists: msgspec decodes a `Decimal` field from `"NaN"`, `"1e400"`, `" 1 "`, `"1_0"` and from a bare JSON
number as well (reliability.md, M12). So fields are typed `str`, which refuses bare numbers, and pass through here.

Rule 1: plain ASCII digits with an optional fraction; no sign where none belongs, no exponent, no space, no underscore.
Rule 2: px and sz fit decimal128(18, 8): at most 8 decimals and less than 1e10 (F-84).
Rule 3: every refusal is a `WireNumberError`, whose text names what is wrong and never repeats the input.
"""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from streaming.core.units import CONTEXT

_TABLE_NUMBER = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,8})?", re.ASCII).fullmatch
is_positive_decimal = re.compile(r"(?=[0.]*[1-9])[0-9]{1,10}(?:\.[0-9]{1,8})?", re.ASCII).fullmatch
"""Matches what `positive_decimal` takes, without making the number."""
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,24})?", re.ASCII).fullmatch
_SZ_QUANTUM = Decimal("1e-8")


class WireNumberError(ValueError):
    """A wire string is not a number of the documented form."""


def positive_decimal(text: str) -> Decimal:
    """Return a px or sz: > 0, < 1e10 and at most 8 decimals; exact.

    Raises:
        WireNumberError: For anything else.
    """
    if _TABLE_NUMBER(text) is None:
        raise WireNumberError("number out of form or range")
    value = Decimal(text)
    if not value:
        raise WireNumberError("number is zero")
    return value


px_decimal = lru_cache(maxsize=16_384)(positive_decimal)
"""`positive_decimal` that remembers: a price comes again and again on the hot path, a size hardly ever, and sizes would
push the prices out. Refusals are not remembered."""


def plain_decimal(text: str) -> Decimal:
    """Return a rate, cap or amount: |x| < 1e15, at most 24 decimals; exact.

    Raises:
        WireNumberError: For anything else, a negative zero included.
    """
    if _PLAIN_NUMBER(text) is None:
        raise WireNumberError("number out of form or range")
    value = Decimal(text)
    if not value and value.is_signed():
        raise WireNumberError("number is a negative zero")
    return value


def unsigned_decimal(text: str) -> Decimal:
    """Return a `plain_decimal` that is not negative.

    Raises:
        WireNumberError: For anything else.
    """
    value = plain_decimal(text)
    if value.is_signed():
        raise WireNumberError("number is negative")
    return value


def sz_rounded_up(text: str) -> Decimal:
    """Return an open interest, >= 0, rounded up to 8 decimals: gate 4 has to err towards blocking.

    The wire carries more decimals than any size has (`1399928.0799999998`).

    Raises:
        WireNumberError: For anything that is no such number.
    """
    if _TABLE_NUMBER(text) is not None:
        return Decimal(text)  # at most 8 decimals: nothing to round
    return unsigned_decimal(text).quantize(_SZ_QUANTUM, rounding=ROUND_CEILING, context=CONTEXT)


def statistic(text: str) -> float:
    """Return a number that nothing decides on (funding, premium, volume) as a float.

    Raises:
        WireNumberError: For anything that is no plain number.
    """
    if _PLAIN_NUMBER(text) is None:
        raise WireNumberError("number out of form or range")
    return float(text)
