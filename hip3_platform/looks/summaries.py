"""What figures and tables of a page are drawn from: pure functions of the derived tables."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.estimate import estimate
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, ORIGINS, THRESHOLDS_BPS, Policy
from hip3_platform.analytics.evidence.sessions import in_tradable_hours
from hip3_platform.analytics.evidence.sums import from_frame
from hip3_platform.looks.figures import Bounded

_LEVEL = {"insufficient": 0, "rejected": 0, "latency_fragile": 1, "approved_micro": 2, "approved_trade": 3}
USUAL, USUAL_LATENCY_MS = Policy(8, "oracle_led", 3), 200
"""What is drawn where no market has a policy of its own."""


def best_markets(approvals: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the rows of gold/approvals of the markets worth a look: approved ones first, then by mean - 1 se.

    A market without a policy for tomorrow is not among them.
    """
    level = pl.col("state").replace_strict(_LEVEL, return_dtype=pl.Int8)
    lower = pl.col("test_theta_bps") - pl.col("test_se_bps")
    with_policy = approvals.filter(pl.col("threshold_bps").is_not_null())
    return with_policy.sort(level, lower, "coin", descending=[True, True, False], nulls_last=True).head(count)


def policy_of(row: Mapping[str, Any]) -> Policy:
    """Return the policy for tomorrow of a row of gold/approvals that has one."""
    return Policy(int(row["threshold_bps"]), row["origin"], int(row["horizon_s"]))


def usual_policy(best: pl.DataFrame) -> Policy:
    """Return the most frequent policy of rows of `best_markets`, of equally frequent ones the smallest."""
    counts: dict[Policy, int] = {}
    for row in best.iter_rows(named=True):
        counts[policy_of(row)] = counts.get(policy_of(row), 0) + 1
    return min(counts, key=lambda policy: (-counts[policy], policy)) if counts else USUAL


def usual_rows(coins: Iterable[str]) -> pl.DataFrame:
    """Return rows as `promised_and_had` takes them, for markets that have no policy yet: the usual one."""
    rows = [{"coin": coin, **asdict(USUAL), "latency_ms": USUAL_LATENCY_MS} for coin in coins]
    kinds = {"coin": pl.String, "threshold_bps": pl.Int64, "origin": pl.String, "horizon_s": pl.Int64}
    return pl.DataFrame(rows, schema={**kinds, "latency_ms": pl.Int64}, orient="row")


def decay_of(basis: pl.DataFrame) -> pl.DataFrame:
    """Return how much of the entry edge was left some seconds after oracle-led decisions.

    Args:
        basis: Rows of gold/basis.

    Returns:
        coin, offset_ms, episode_count (decisions whose end is known), and the means over them of quote_share and
        oracle_share (who closed the gap) and of open_share = 1 - quote share - oracle share; sorted by coin and offset.
    """
    led = basis.filter(pl.col("origin") == "oracle_led").sort("coin", "ts_ns")
    parts = []
    for horizon_s in HORIZONS_S:
        quote, oracle = pl.col(f"quote_share_{horizon_s}s"), pl.col(f"oracle_share_{horizon_s}s")
        known = led.filter(quote.is_not_null() & oracle.is_not_null())
        parts.append(
            known.group_by("coin", maintain_order=True)
            .agg(
                episode_count=pl.len(),
                quote_share=quote.mean(),
                oracle_share=oracle.mean(),
                open_share=(1 - quote - oracle).mean(),
            )
            .with_columns(offset_ms=pl.lit(horizon_s * 1_000))
        )
    return pl.concat(parts).sort("coin", "offset_ms")


def threshold_bounds(
    policy_hours: pl.DataFrame, coin: str, days: Iterable[str], policy: Policy, latency_ms: int
) -> dict[int, Bounded]:
    """Return what each threshold earned a fill in tradable hours of a window, with 95 % t intervals by day clusters.

    Args:
        policy_hours: Rows of gold/policy_hours of the market.
        coin: Market.
        days: The window.
        policy: Whose origin and horizon are kept.
        latency_ms: Assumed latency, on the grid.

    Returns:
        Threshold in bps → fills, low, mean, high; None where nothing can be said. Every threshold is looked at on all
        days: in sample.
    """
    sums = in_tradable_hours(from_frame(policy_hours, days), coin)
    origin, horizon = ORIGINS.index(policy.origin), HORIZONS_S.index(policy.horizon_s)
    latency = LATENCIES_MS.index(latency_ms)
    net = sums.net_bps[:, :, :, origin, latency, horizon].sum(axis=1)
    fills = sums.fills[:, :, :, origin, latency].sum(axis=1)
    found = estimate(net, fills)
    low, high = found.interval_bps()
    return {
        threshold: (int(found.fills[at]), _known(low[at]), _known(found.theta_bps[at]), _known(high[at]))
        for at, threshold in enumerate(THRESHOLDS_BPS)
    }


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def promised_and_had(policy_fills: pl.LazyFrame, best: pl.DataFrame) -> pl.DataFrame:
    """Return edge and result of the fills of markets by their policy for tomorrow, to be drawn as a distribution.

    Args:
        policy_fills: Rows of gold/policy_fills.
        best: Rows of `best_markets`.

    Returns:
        coin, ts_ns, raw_edge_bps, net_bps, state (always executable), sorted by coin and time.
    """
    keys = {"threshold_bps": pl.Int16, "latency_ms": pl.Int32, "horizon_s": pl.Int16}
    chosen = best.select("coin", "origin", *(pl.col(name).cast(kind) for name, kind in keys.items())).lazy()
    taken = policy_fills.join(chosen, on=["coin", *keys], maintain_order="left").filter(
        (pl.col("origin") == "any") | pl.col("is_oracle_led")
    )
    named = taken.select("coin", "ts_ns", "net_bps", raw_edge_bps="edge_bps", state=pl.lit("executable"))
    return named.sort("coin", "ts_ns", maintain_order=True).collect()


def taken_like(policy_hours: pl.DataFrame, coin: str, raw_threshold_bps: int, latency_ms: int) -> float | None:
    """Return the mean result a fill of a market's crosses of any origin, left after 5 s; None without a fill.

    Args:
        policy_hours: Rows of gold/policy_hours.
        coin: Market.
        raw_threshold_bps: Edge asked for; the highest threshold of the family that is not above it is taken.
        latency_ms: Assumed latency.
    """
    threshold = max((each for each in THRESHOLDS_BPS if each <= raw_threshold_bps), default=THRESHOLDS_BPS[0])
    rows = policy_hours.filter(
        (pl.col("coin") == coin) & (pl.col("threshold_bps") == threshold) & (pl.col("origin") == "any")
        & (pl.col("horizon_s") == 5) & (pl.col("latency_ms") == latency_ms)
    )  # fmt: skip
    fills = int(rows["fills"].sum())
    return float(rows["net_bps"].sum()) / fills if fills else None
