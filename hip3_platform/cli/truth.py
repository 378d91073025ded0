"""What the simulated history really pays, beside what the evidence approved: the answer sheet, read after the exam.

The truth of a scenario is computed by brute force by another program (`hip3 venue truth`, docs/truth.md), which shares
no code with the evidence. Nothing that decides reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from streaming.contracts.paths import gold_path

HELD = ("latency_fragile", "approved_micro", "approved_trade")


class _Policy(msgspec.Struct):
    threshold_bps: int
    origin: str
    horizon_s: int
    mean_bps: float | None


class _Latency(msgspec.Struct):
    latency_ms: int
    policies: list[_Policy]
    best: _Policy | None


class _Market(msgspec.Struct):
    coin: str
    label: str
    latencies: list[_Latency]


class _Truth(msgspec.Struct):
    days: int
    markets: list[_Market]


@dataclass(frozen=True, slots=True)
class Judged:
    """One market: what was said of it, and what is true."""

    coin: str
    label: str
    """What the scenario made it."""
    verdict: str
    is_approved: bool
    policy: str | None
    claimed_bps: float | None
    true_bps: float | None
    """What the final policy really earns a fill; None without one, or where it never fills."""
    best_true_bps: float | None
    """What the best policy with 10 fills a day really earns."""

    @property
    def is_wrong(self) -> bool:
        """Whether a market was approved whose policy does not earn anything."""
        return self.is_approved and (self.true_bps is None or self.true_bps <= 0)

    @property
    def line(self) -> str:
        """As a line for people."""
        said = "approved" if self.is_approved else "not approved"
        claim = "" if self.claimed_bps is None else f"{self.claimed_bps:+.1f} claimed, "
        true = "no policy" if self.true_bps is None else f"{claim}{self.true_bps:+.1f} bps true by {self.policy}"
        return f"  {self.coin:<14} {said:<13} {true}; it is a {self.label}, judged {self.verdict}"


def judge(warehouse: Path, venue: str, day: str, truth_file: Path) -> tuple[Judged, ...]:
    """Compare the approvals of `day` with the truth, by market."""
    truth = msgspec.json.decode(truth_file.read_bytes(), type=_Truth)
    rows = pl.read_parquet(gold_path(warehouse, table="approvals", venue=venue, day=day))
    standings = pl.read_parquet(gold_path(warehouse, table="standings", venue=venue, day=day))
    in_force = dict(standings.select("coin", "state").iter_rows())
    said = {row["coin"]: row for row in rows.iter_rows(named=True)}
    return tuple(_judged(market, said[market.coin], in_force) for market in truth.markets if market.coin in said)


def _judged(market: _Market, said: dict[str, Any], in_force: dict[str, str]) -> Judged:
    at = next(each for each in market.latencies if each.latency_ms == said["latency_ms"])
    key = (said["threshold_bps"], said["origin"], said["horizon_s"])
    true = {(p.threshold_bps, p.origin, p.horizon_s): p.mean_bps for p in at.policies}
    return Judged(
        coin=market.coin,
        label=market.label.replace("_", " "),
        verdict=said["verdict"].replace("_", " "),
        is_approved=in_force[market.coin] in HELD,
        policy=said["policy"],
        claimed_bps=said["test_theta_bps"],
        true_bps=true.get(key),
        best_true_bps=None if at.best is None else at.best.mean_bps,
    )
