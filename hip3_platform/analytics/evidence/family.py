"""The family of policies that is tested, and the sums every later step reads.

Source: sections 2 and 6 of the evidence method. A policy is (threshold, origin, horizon); what it earns also depends on
the latency between decision and match, for which a grid is evaluated. Everything after the scan of a day works on sums
by hour, so a window of 14 days of one market is a few thousand numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

THRESHOLDS_BPS = (3, 5, 8, 11, 15, 20, 30)
ORIGINS = ("any", "oracle_led")
HORIZONS_S = (1, 3, 5, 10)
LATENCIES_MS = (100, 200, 400, 500, 800)
SPACING_MS = 12_000
"""Largest latency + largest horizon + 1 s, rounded up: decisions of one threshold never overlap."""
HOURS = 24
FRAGILE_MS = 300
"""How much worse the true latency may be before an approval is called fragile (section 6, rule 4)."""


@dataclass(frozen=True, slots=True, order=True)
class Policy:
    """Decide when the edge exceeds `threshold_bps`, for decisions of `origin`, and leave after `horizon_s`."""

    threshold_bps: int
    origin: str
    horizon_s: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Indices into the axes (threshold, origin, horizon)."""
        return (
            THRESHOLDS_BPS.index(self.threshold_bps), ORIGINS.index(self.origin), HORIZONS_S.index(self.horizon_s),
        )  # fmt: skip

    @property
    def text(self) -> str:
        """Short form for people and tables, such as `T8 oracle_led 3s`."""
        return f"T{self.threshold_bps} {self.origin} {self.horizon_s}s"


POLICIES = tuple(Policy(t, o, h) for t in THRESHOLDS_BPS for o in ORIGINS for h in HORIZONS_S)


def stressed_latency_ms(latency_ms: int) -> int | None:
    """Return the smallest latency of the grid that is at least 300 ms worse; None when the grid ends before."""
    return next((each for each in LATENCIES_MS if each >= latency_ms + FRAGILE_MS), None)


@dataclass(frozen=True, slots=True)
class HourSums:
    """Sums over the decisions of one market, by day and UTC hour of the decision.

    Axes are (days, 24, thresholds, origins[, latencies[, horizons]]); origin `any` contains `oracle_led`.
    """

    days: tuple[str, ...]
    """UTC days, ascending; a day without data is present with zeros if the market was watched."""
    decisions: Ints
    """(days, 24, thresholds, origins)"""
    fills: Ints
    """(days, 24, thresholds, origins, latencies)"""
    net_bps: Floats
    """Sum of results of fills after fees and depth: (days, 24, thresholds, origins, latencies, horizons)."""
    net_bps2: Floats
    """Sum of their squares, likewise."""

    @classmethod
    def empty(cls, days: tuple[str, ...]) -> "HourSums":
        """Return sums of days on which nothing was decided."""
        groups = (len(days), HOURS, len(THRESHOLDS_BPS), len(ORIGINS))
        nets = (*groups, len(LATENCIES_MS), len(HORIZONS_S))
        return cls(
            days=days,
            decisions=np.zeros(groups, dtype=np.int64),
            fills=np.zeros((*groups, len(LATENCIES_MS)), dtype=np.int64),
            net_bps=np.zeros(nets),
            net_bps2=np.zeros(nets),
        )

    @classmethod
    def joined(cls, parts: "tuple[HourSums, ...]") -> "HourSums":
        """Join consecutive windows of one market; the days of `parts` must ascend."""
        return cls(
            days=tuple(day for part in parts for day in part.days),
            decisions=np.concatenate([part.decisions for part in parts]),
            fills=np.concatenate([part.fills for part in parts]),
            net_bps=np.concatenate([part.net_bps for part in parts]),
            net_bps2=np.concatenate([part.net_bps2 for part in parts]),
        )
