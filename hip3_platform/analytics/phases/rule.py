"""Thresholds of the phase rows, and what judging a row gives.

Rule 1: no data is NOT YET, never PASS; FAIL says that the data there is speaks against it.
Rule 2: what the architecture document gives as a number stands here as it does there; the others are ours, each with
why. Changing one is a change of the product's rules, not a setting.
Rule 3: shares and means are estimated by UTC day (`evidence.estimate`): fills of one day are no independent draws.
Source: architecture document, "Phases"; evidence method, sections 2 and 6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.estimate import Estimate, estimate
from hip3_platform.analytics.phases.tables import Tables
from streaming.contracts.phase import Action, Stage, State

PASS: Final = "PASS"  # noqa: S105 - a state, no password
FAIL: Final = "FAIL"
NOT_YET: Final = "NOT YET"
TAIL = 0.05
"""One-sided: a lower or upper bound of 95 %."""


@dataclass(frozen=True, slots=True)
class PhaseRule:
    """Thresholds of all rows."""

    unattended_h_min: int = 24
    sample_gap_s_max: int = 120
    """Samples of the fixed clock come every second or every few; a longer silence ends an unattended span."""
    recovery_s_max: int = 600
    """The longest backoff is 60 s: a connection that is not back after ten of them did not recover by itself."""
    degrade_ratio: float = 0.8
    """First step of the degradation ladder (`core.stop`)."""
    figure_days_min: int = 7
    """A week holds every kind of session of the underlyings."""
    interval_days_min: int = 3
    positive_count_min: int = 2
    window_days: int = 14
    """Window of the evidence: with fewer days it can not say no."""
    gate_days_min: int = 8
    gate_count_min: int = 30
    gate_halfwidth_max: float = 0.15
    """A share known worse than this is not known to be stable."""
    gate_false_ratio_max: float = 0.5
    """A gate that stops more winners than losers costs more than it saves."""
    null_ratio_max: float = 0.05
    """Share of bbo frames with a null side, each market over the window: above it a market is one-sided, not quoted."""
    testnet_count_min: int = 10
    micro_count_min: int = 100
    steady_count_min: int = 1_000
    review_days: int = 84
    """12 weeks."""
    review_coverage_min: float = 0.8
    """Share of those days that has to be judged before their silence says anything."""
    tail_capital_ratio: float = 0.10


@dataclass(frozen=True, slots=True)
class Finding:
    """What a row came to."""

    state: State
    figure: str
    evidence: str
    """Tables and days, and what is missing."""
    key: str = ""
    """For an exit that acts: what exactly made it act."""


Judge = Callable[[Tables, PhaseRule], Finding]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of the table: which stage, what is expected, and the function that judges it."""

    phase: Stage
    row: str
    expected: str
    judge: Judge


@dataclass(frozen=True, slots=True)
class ExitRule:
    """An exit: FAIL acts."""

    phase: Stage
    row: str
    expected: str
    """When it acts."""
    judge: Judge
    action: Action
    to_phase: str = ""


def by_day(frame: pl.DataFrame, value: pl.Expr) -> Estimate:
    """Estimate the mean of `value` over the rows of `frame`, with UTC days (column `day`) as clusters."""
    sums = frame.group_by("day").agg(s=value.sum().cast(pl.Float64), n=pl.len()).sort("day")
    return estimate(sums["s"].to_numpy(), sums["n"].to_numpy())


def number(value: Any) -> float:  # noqa: ANN401 - a 0-dimensional array of the estimator
    """Return an estimate of no further axes as a float; nan where there is none."""
    return float(np.asarray(value))


def days_text(days: tuple[str, ...]) -> str:
    """Return days as people write them: first to last, and how many."""
    if not days:
        return "no judged day"
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
