"""Comparisons of ratios that come out as the engine's do: floats decide, and whole numbers where floats are close.

The engine compares Decimals. A float of a ratio of two int64 is off by a few units in the last place, so only rows
whose ratio lies within `_NEAR` of the limit are compared again in whole numbers.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np

from hip3_platform.analytics.evidence.family import Flags, Floats, Ints

_NEAR = 1e-12


def reaches(numerator: Ints, denominator: Ints, limit: Decimal) -> Flags:
    """Tell where numerator / denominator >= limit, exactly; denominators are > 0."""
    ratio = numerator / denominator
    flags: Flags = ratio >= float(limit)
    for place in _near(ratio, float(limit)).tolist():
        flags[place] = Fraction(int(numerator[place]), int(denominator[place])) >= Fraction(limit)
    return flags


def exceeds(
    numerator: Ints, denominator: Ints, limits: Floats, exact: Callable[[int], Decimal], factor: int = 1
) -> Flags:
    """Tell where numerator / denominator > factor * limit, exactly.

    Args:
        numerator: Whole numbers.
        denominator: Whole numbers > 0.
        limits: The limit of every row as a float.
        exact: Row → the limit itself.
        factor: Multiplies every limit.
    """
    ratio = numerator / denominator
    flags: Flags = ratio > factor * limits
    for place in _near(ratio, factor * limits).tolist():
        limit = factor * Fraction(exact(place))
        flags[place] = Fraction(int(numerator[place]), int(denominator[place])) > limit
    return flags


def _near(ratio: Floats, limit: float | Floats) -> Ints:
    return np.flatnonzero(np.abs(ratio - limit) <= _NEAR * np.maximum(1.0, np.abs(limit)))
