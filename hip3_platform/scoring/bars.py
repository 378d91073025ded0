"""What the evidence path must reach, and whether it did."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Bar(NamedTuple):
    """A figure with the range it must lie in."""

    name: str
    about: str
    low: float
    high: float


BARS = (
    Bar("fdr", "false discoveries of approved markets, after probes", 0.0, 0.05),
    Bar("fdr_boundary", "universes with an approval where every best edge is 0", 0.0, 0.05),
    Bar("fdr_latency", "false discoveries with 300 ms more latency, fragile markets out", 0.0, 0.05),
    Bar("power", "true edge of 3 bps and 10 fills a day that is approved", 0.80, 1.0),
    Bar("power_often", "the same with 20 fills a day", 0.85, 1.0),
    Bar("coverage", "95 % intervals that hold what is true", 0.93, 0.97),
)
"""Source: section 7 of the evidence method."""


def bars_of(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every bar with its figure and whether it is reached; a figure that is missing is not."""
    rows = []
    for bar in BARS:
        value = figures[bar.name]
        reached = value is not None and bar.low <= value <= bar.high
        shown = "not measured" if value is None else f"{value:.4f}"
        text = f"{bar.name} ({bar.about}): expected {bar.low:g} to {bar.high:g}, found {shown}"
        rows.append(bar._asdict() | {"value": value, "reached": reached, "text": text})
    return rows
