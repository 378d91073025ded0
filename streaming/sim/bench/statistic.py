"""Figures of repeated measurements: ranks instead of means, and variants that take turns.

Rule 1: variants take turns in small rounds, in another order each time, so that a drift of the machine meets them all.
Rule 2: a figure that is compared stands beside the same thing measured twice (A/A); what differs less is noise.
Rule 3: p99 needs a hundred samples to mean anything; nothing above it is reported.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from time import perf_counter_ns

from streaming.core.errors import Hip3Error

NS_PER_US = 1_000


class NotComparable(Hip3Error):
    """Variants that had to do the same did not: their times mean nothing."""


Measure = Callable[[int], int]
"""Does something so many times; returns the nanoseconds that took."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0-1) of `values` do not exceed, by nearest rank; `values` is not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """Return the middle of `values`, which are not empty."""
    return quantile(values, 0.5)


def calls_of(function: Callable[[], object]) -> Measure:
    """Return the measure of calling `function`."""

    def measure(count: int) -> int:
        begin_ns = perf_counter_ns()
        for _ in repeat(None, count):
            function()
        return perf_counter_ns() - begin_ns

    return measure


def measured_in_turns(
    variants: Mapping[str, tuple[Measure, int]], rounds: int, on_round: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """Return the median microseconds a call of every variant.

    Args:
        variants: Name → measure, and how many calls it makes a turn: few where one call takes long.
        rounds: Turns of each variant; one more at the beginning is not counted.
        on_round: Told how many rounds are done.
    """
    names = list(variants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        names.append(names.pop(0))
        for name in names:
            measure, count = variants[name]
            taken_ns = measure(count)
            if number:
                found[name].append(taken_ns / count / NS_PER_US)
        on_round(number)
    return {name: median(found[name]) for name in variants}


def ratio(numerator: float, denominator: float) -> float:
    """Return a ratio to three decimals; 0 when there is nothing to divide by."""
    return round(numerator / denominator, 3) if denominator else 0.0
