"""Which markets earned their costs over a rolling window: one row a market, every market with a reason.

Figure: mean executable exit at +5 s after fees, per episode. Standard error sd / sqrt(n).
Rule 1: fewer than `episode_count_min` episodes is "unranked": no figure of such a market may be compared.
Rule 2: markets are ranked by `score_bps` = mean - 1 standard error, so that a lucky handful does not lead.
Rule 3: ties are broken by name: equal input gives equal bytes.
"""

import math
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class RankingRule:
    """How far back to look and how much is enough."""

    window_days: int = 14
    episode_count_min: int = 30


SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "state": pl.String,
    "rank": pl.Int64,
    "score_bps": pl.Float64,
    "mean_bps": pl.Float64,
    "se_bps": pl.Float64,
    "sd_bps": pl.Float64,
    "gross_mean_bps": pl.Float64,
    "fee_mean_bps": pl.Float64,
    "win_rate": pl.Float64,
    "episode_count": pl.Int64,
    "blocked_count": pl.Int64,
    "void_count": pl.Int64,
    "day_count": pl.Int64,
    "reason": pl.String,
}
"""Columns of gold/market_ranking, one row a market."""

ABOUT: dict[str, str] = {
    "venue": "venue of the window",
    "day": "as-of day: last day of the window",
    "coin": "market",
    "state": "ranked, or unranked with too few episodes",
    "rank": "1 is best; null when unranked",
    "score_bps": "mean - 1 standard error: what ranks",
    "mean_bps": "mean executable exit at +5 s after fees, per episode",
    "se_bps": "standard error of the mean, sd / sqrt(n)",
    "sd_bps": "standard deviation of an episode",
    "gross_mean_bps": "mean before fees",
    "fee_mean_bps": "mean of both taker fees",
    "win_rate": "share of episodes with a positive result",
    "episode_count": "executable episodes in the window",
    "blocked_count": "episodes a gate blocked",
    "void_count": "episodes without a known exit",
    "day_count": "days with signals",
    "reason": "figure, or why unranked",
}
"""What each column is, for the UI."""


def _moments(values: list[float]) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation; summed exactly, so the result does not depend on order."""
    n = len(values)
    if n == 0:
        return None, None
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))


def _row(coin: str, rows: pl.DataFrame, rule: RankingRule) -> dict[str, Any]:
    taken = rows.filter(pl.col("state") == "executable")
    net = taken["net_bps"].to_list()
    mean, sd = _moments(net)
    se = sd / math.sqrt(len(net)) if sd is not None else None
    is_ranked = len(net) >= rule.episode_count_min
    return {
        "coin": coin,
        "state": "ranked" if is_ranked else "unranked",
        "score_bps": mean - se if is_ranked and mean is not None and se is not None else None,
        "mean_bps": mean,
        "se_bps": se,
        "sd_bps": sd,
        "gross_mean_bps": _moments(taken["gross_bps"].to_list())[0],
        "fee_mean_bps": _moments(taken["fee_bps"].to_list())[0],
        "win_rate": sum(value > 0 for value in net) / len(net) if net else None,
        "episode_count": len(net),
        "blocked_count": int((rows["state"] == "blocked").sum()),
        "void_count": int((rows["state"] == "void").sum()),
        "day_count": rows["day"].n_unique(),
        "reason": ""
        if is_ranked
        else f"{len(net)} executable episodes in the window, fewer than {rule.episode_count_min}",
    }


def rank_markets(markouts: pl.DataFrame, markets: tuple[str, ...], rule: RankingRule) -> list[dict[str, Any]]:
    """Rank `markets` by the markouts of one window.

    Args:
        markouts: Rows of gold/markouts of every day in the window.
        markets: Every market watched in the window; one without a markout is listed as unranked.
        rule: Window and least number of episodes.

    Returns:
        One dict a market without venue and day: ranked ones first, by falling score; then unranked ones by name.
    """
    groups = {key[0]: group for key, group in markouts.group_by("coin", maintain_order=True)}
    rows = [_row(coin, groups.get(coin, markouts.clear()), rule) for coin in markets]
    ranked = sorted((r for r in rows if r["state"] == "ranked"), key=lambda r: (-r["score_bps"], r["coin"]))
    unranked = sorted((r for r in rows if r["state"] == "unranked"), key=lambda r: str(r["coin"]))
    for rank, row in enumerate(ranked, start=1):
        row["rank"] = rank
        figure = f"{row['mean_bps']:+.2f} ± {row['se_bps']:.2f} bps after fees"
        row["reason"] = f"rank {rank}: {figure} over {row['episode_count']} episodes"
    return [*ranked, *({**row, "rank": None} for row in unranked)]


def ranking_frame(rows: list[dict[str, Any]], venue: str, day: str) -> pl.DataFrame:
    """Return the ranking as of `day` as one frame with exactly the columns of `SCHEMA`."""
    return pl.DataFrame([{"venue": venue, "day": day, **row} for row in rows], schema=SCHEMA, orient="row")
