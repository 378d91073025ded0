"""Ground truth of a scenario: what its markets really pay, by brute force over simulated days. Format: docs/truth.md.

Rule 1: truth belongs to a run's plan. The plan (regimes, halts, changes of parameters) follows from the run's seed; all
noise of day k is drawn with a seed of its own that no run has. So days are independent, and none is the run's own.
Rule 2: day k has the date `first_day` + k mod `window_days`: weekdays, holidays, regimes count as they do in the run.
Rule 3: hidden rules of filling (quotes that are pulled from our orders) are in. No column shows them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from streaming.core.errors import ConfigError
from streaming.sim.markets.noise import Floats, Ints
from streaming.sim.markets.scan import HORIZONS_S, LATENCIES_MS, ORIGINS, THRESHOLDS_BPS, Sums

FORMAT = "hip3-truth"
VERSION = 1
BEST_FILLS_PER_DAY = 10.0
BEST_LATENCY_MS = 200
ORDER_USD = 50.0
"""Notional of the order that is marked out; the first phase that trades may not send a larger one."""


Hours = Literal["all", "tradable"]
"""All hours, or those in which the underlying's own market is not known to be closed (`core/underlyings`): the sidecar
enters no market in the others."""


class PolicyTruth(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy earns at one latency, after fees and the way out."""

    threshold_bps: int
    origin: str
    horizon_s: int
    mean_bps: float | None
    """Mean of a fill; None where there was no fill."""
    se_bps: float | None
    """Standard error by day clusters; None with less than two days with fills."""
    fills_per_day: float
    decisions_per_day: float


class LatencyTruth(msgspec.Struct, frozen=True, kw_only=True):
    """All policies at one latency."""

    latency_ms: int
    best: PolicyTruth | None
    """Highest mean of those with at least 10 fills a day; None when no policy has so many."""
    policies: list[PolicyTruth]


class RegimeTruth(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a market keeps to one regime."""

    begin_ms: int
    end_ms: int
    factors: dict[str, float]
    """On which parameters of the character, by how much; the share of slow followers, spread, jumps, volatility."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something planned that happens to the listing of a market."""

    ts_ms: int
    kind: str
    value: str


class MarketTruth(msgspec.Struct, frozen=True, kw_only=True):
    """All that is true about one market."""

    coin: str
    label: str
    character: dict[str, Any]
    """Its parameters, as in a scenario file."""
    session: str
    fee_bps: float
    """Taker fee of one side at the begin of the first day; `changes` may change it."""
    spread_bps: float
    regimes: list[RegimeTruth]
    """Regimes that touch the window, in order."""
    changes: list[Change]
    latencies: list[LatencyTruth]

    def at(self, latency_ms: int) -> LatencyTruth:
        """Return the truth at a latency of the grid; KeyError for another one."""
        for latency in self.latencies:
            if latency.latency_ms == latency_ms:
                return latency
        raise KeyError(latency_ms)


class TruthFile(msgspec.Struct, frozen=True, kw_only=True):
    """A truth file."""

    format: str = FORMAT
    version: int = VERSION
    venue: str = "sim"
    scenario: str
    """Name of the scenario, as in the generator's seed."""
    seed: int
    first_day: str
    window_days: int
    """Dates `first_day` .. `first_day` + window: simulated in turn."""
    days: int
    """Independent days that were simulated, per market."""
    fingerprint: str
    """Digest of sample columns of the run: a changed generator has another one, and its truth is another."""
    order_usd: float = ORDER_USD
    hours: Hours = "all"
    """In which hours policies decide."""
    markets: list[MarketTruth]


def read_truth(path: Path) -> TruthFile:
    """Read a truth file.

    Raises:
        ConfigError: It is not there, not readable, or of another version.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=TruthFile)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path}: expected a truth file, found {error}") from error
    if (found.format, found.version) != (FORMAT, VERSION):
        raise ConfigError(f"{path}: expected {FORMAT} {VERSION}, found {found.format} {found.version}")
    return found


@dataclass(slots=True)
class Tally:
    """Sums of days from which means and their errors follow; arrays by (threshold, origin, latency[, horizon])."""

    days: int
    decisions: Ints
    n: Floats
    n2: Floats
    days_with_fills: Ints
    r: Floats
    r2: Floats
    rn: Floats

    @classmethod
    def empty(cls) -> "Tally":
        """Return a tally of no days."""
        groups = (len(THRESHOLDS_BPS), len(ORIGINS))
        fills, nets = (*groups, len(LATENCIES_MS)), (*groups, len(LATENCIES_MS), len(HORIZONS_S))
        return cls(
            days=0,
            decisions=np.zeros(groups, dtype=np.int64),
            n=np.zeros(fills),
            n2=np.zeros(fills),
            days_with_fills=np.zeros(fills, dtype=np.int64),
            r=np.zeros(nets),
            r2=np.zeros(nets),
            rn=np.zeros(nets),
        )

    def add(self, day: Sums) -> None:
        """Add one day."""
        fills = day.fills.astype(np.float64)
        self.days += 1
        self.decisions += day.decisions
        self.n += fills
        self.n2 += fills**2
        self.days_with_fills += day.fills > 0
        self.r += day.net_bps
        self.r2 += day.net_bps**2
        self.rn += day.net_bps * fills[..., None]

    def mean_bps(self) -> Floats:
        """Mean of a fill; nan where there was none."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.r / self.n[..., None])

    def se_bps(self) -> Floats:
        """Standard error of the mean, days as clusters; nan with fewer than two days with fills.

        se^2 = G/(G-1) * sum over days of (s - mean n)^2 / (sum n)^2, G days with fills (evidence method, section 2).
        """
        mean, g = self.mean_bps(), self.days_with_fills[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            around = np.maximum(self.r2 - 2.0 * mean * self.rn + mean**2 * self.n2[..., None], 0.0)
            return np.asarray(np.where(g > 1, np.sqrt(g / (g - 1.0) * around) / self.n[..., None], np.nan))

    def truths(self) -> list[LatencyTruth]:
        """Return the truth by latency."""
        mean, se = self.mean_bps(), self.se_bps()
        return [self._latency(place, mean, se) for place in range(len(LATENCIES_MS))]

    def _latency(self, place: int, mean: Floats, se: Floats) -> LatencyTruth:
        policies = [
            PolicyTruth(
                threshold_bps=threshold,
                origin=origin,
                horizon_s=horizon,
                mean_bps=_number(mean[t, o, place, h]),
                se_bps=_number(se[t, o, place, h]),
                fills_per_day=_number(self.n[t, o, place] / self.days) or 0.0,
                decisions_per_day=_number(self.decisions[t, o] / self.days) or 0.0,
            )
            for t, threshold in enumerate(THRESHOLDS_BPS)
            for o, origin in enumerate(ORIGINS)
            for h, horizon in enumerate(HORIZONS_S)
        ]
        often = [p for p in policies if p.fills_per_day >= BEST_FILLS_PER_DAY and p.mean_bps is not None]
        best = max(often, key=lambda p: p.mean_bps or 0.0, default=None)
        return LatencyTruth(latency_ms=LATENCIES_MS[place], best=best, policies=policies)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
