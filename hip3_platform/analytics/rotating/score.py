"""What ranks a market: a lower bound of its dollars a day at the measured latency and capacity.

Source: evidence method, section 9. Weight of a day = 0.5 ^ (age / half-life), over a window of 28 days.
Rule 1: mean = sum w x / sum w; n_eff = (sum w)^2 / sum w^2; variance with reliability weights,
sum w (x - mean)^2 / (sum w - sum w^2 / sum w), half its own and half that of all markets (pooled by n_eff - 1): 28 days
of one market say little about its variance.
Rule 2: score = mean - 1 standard error, se = sqrt(variance / n_eff). It ranks; what may trade is decided elsewhere.
Rule 3: fewer days than `day_count_min` is no score: unknown, never 0.
Rule 4: sums are exact (`math.fsum`), so the order of rows and markets does not matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """How far back to look, how fast to forget, and how much is enough."""

    half_life_days: float = 7.0
    window_days: int = 28
    day_count_min: int = 4


SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "rank": pl.Int64,
    "score_usd": pl.Float64,
    "mean_usd": pl.Float64,
    "se_usd": pl.Float64,
    "sd_usd": pl.Float64,
    "n_eff": pl.Float64,
    "day_count": pl.Int64,
    "fill_count": pl.Int64,
    "reason": pl.String,
}
"""Columns of the ranking, one row a market: scored ones by falling score, then the others by name."""

ABOUT: dict[str, str] = {
    "venue": "venue of the window",
    "day": "as-of day: last day of the window",
    "coin": "market",
    "rank": "1 is best; null without a score",
    "score_usd": "lower bound of dollars a day: mean - 1 standard error",
    "mean_usd": "dollars a day by the policy approved, weighted with a half-life of 7 days",
    "se_usd": "its standard error, the variance half pooled over the markets",
    "sd_usd": "the market's own standard deviation of a day",
    "n_eff": "effective number of days",
    "day_count": "days watched in the window",
    "fill_count": "modelled fills in the window",
    "reason": "figures, or why there is no score",
}
"""What each column is, for the UI."""


@dataclass(frozen=True, slots=True)
class _Moments:
    coin: str
    day_count: int
    fill_count: int
    mean: float
    variance: float
    n_eff: float


def _moments(coin: str, days: Sequence[tuple[int, float, int]], rule: ScoreRule) -> _Moments:
    weights = [0.5 ** (age / rule.half_life_days) for age, _, _ in days]
    total, squares = math.fsum(weights), math.fsum(w * w for w in weights)
    mean = math.fsum(w * usd for w, (_, usd, _) in zip(weights, days, strict=True)) / total
    spread = math.fsum(w * (usd - mean) ** 2 for w, (_, usd, _) in zip(weights, days, strict=True))
    return _Moments(
        coin=coin, day_count=len(days), fill_count=sum(fills for _, _, fills in days), mean=mean,
        variance=spread / (total - squares / total), n_eff=total * total / squares,
    )  # fmt: skip


def _days_of(daily: pl.DataFrame, day: str, rule: ScoreRule) -> dict[str, list[tuple[int, float, int]]]:
    last = date.fromisoformat(day)
    found: dict[str, dict[int, tuple[int, float, int]]] = {}
    for row_day, coin, usd, fills in daily.select("day", "coin", "usd", "fills").iter_rows():
        age = (last - date.fromisoformat(row_day)).days
        if not 0 <= age < rule.window_days:
            continue
        if usd is None or not math.isfinite(usd):
            raise ValueError(f"expected finite dollars, found {usd} of {coin} on {row_day}")
        if age in found.setdefault(coin, {}):
            raise ValueError(f"expected one row a market and day, found two of {coin} on {row_day}")
        found[coin][age] = (age, usd, fills)
    return {coin: list(days.values()) for coin, days in found.items()}


def score_markets(
    daily: pl.DataFrame, markets: Sequence[str], *, venue: str, day: str, rule: ScoreRule
) -> pl.DataFrame:
    """Score `markets` as of `day`.

    Args:
        daily: Rows of `capacity.DAILY`; days outside the window are ignored.
        markets: Every market watched.
        venue: Of the rows.
        day: Last day of the window, YYYY-MM-DD.
        rule: Window and half-life.

    Returns:
        A frame with the columns of `SCHEMA`, one row for each of `markets`.

    Raises:
        ValueError: For two rows of a market and day, or dollars that are no finite number.
    """
    days = _days_of(daily, day, rule)
    coins = sorted(set(markets))
    enough = [coin for coin in coins if len(days.get(coin, ())) >= max(2, rule.day_count_min)]
    scored = [_moments(coin, days[coin], rule) for coin in enough]
    degrees = math.fsum(m.n_eff - 1 for m in scored)
    pooled = math.fsum((m.n_eff - 1) * m.variance for m in scored) / degrees if scored else 0.0
    rows = [_row(m, pooled) for m in scored]
    rows.sort(key=lambda row: (-row["score_usd"], row["coin"]))
    for rank, row in enumerate(rows, start=1):
        row["rank"] = rank
    rows += [_unscored(coin, days.get(coin, []), rule) for coin in coins if coin not in set(enough)]
    return pl.DataFrame([{"venue": venue, "day": day, **row} for row in rows], schema=SCHEMA, orient="row")


def _row(m: _Moments, pooled: float) -> dict[str, Any]:
    se = math.sqrt((m.variance + pooled) / 2 / m.n_eff)
    return {
        "coin": m.coin, "score_usd": m.mean - se, "mean_usd": m.mean, "se_usd": se, "sd_usd": math.sqrt(m.variance),
        "n_eff": m.n_eff, "day_count": m.day_count, "fill_count": m.fill_count,
        "reason": f"{m.mean:+.2f} ± {se:.2f} USD a day over {m.day_count} days, {m.fill_count} fills",
    }  # fmt: skip


def _unscored(coin: str, days: list[tuple[int, float, int]], rule: ScoreRule) -> dict[str, Any]:
    return {
        "coin": coin, "rank": None, "score_usd": None, "mean_usd": None, "se_usd": None, "sd_usd": None, "n_eff": None,
        "day_count": len(days), "fill_count": sum(fills for _, _, fills in days),
        "reason": f"watched on {len(days)} days of the window, fewer than {rule.day_count_min}",
    }  # fmt: skip
