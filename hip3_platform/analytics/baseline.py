"""A day's volumes against the market's own recent days: rates an observed hour, so that a part of a day compares too.

Rule 1: the baseline is the median of up to 14 days before, weekends with weekends and weekdays with weekdays (markets
of listed underlyings sleep on weekends); under 3 such days there is none, and the profile says so with null.
Rule 2: a day that has data but no figures is no short history: it is a table that is missing, and a finding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.gold import DAILY_METRICS
from streaming.contracts.paths import gold_path

WINDOW_DAYS = 14
HISTORY_DAYS_MIN = 3
OBSERVED_S_MIN = 600
"""A market that was observed for less than ten minutes has no rate worth comparing (samples are one a second)."""
EXPECTED_SIGNALS_MIN = 20
"""Below that many expected signals a ratio is chance: a Poisson count of 20 stays within a factor 3 always."""
SATURDAY = 5
VOLUMES = {"bbo_ratio": "bbo_count", "ctx_ratio": "ctx_count", "signal_ratio": "signal_count"}
"""Column of the profile → count of gold/daily_metrics."""
_COLUMNS = ["coin", "health_count", *VOLUMES.values()]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What earlier days say."""

    days: tuple[str, ...]
    """Days that were read."""
    missing: tuple[str, ...]
    """Days of the window with sealed data and without figures."""
    rates: pl.DataFrame
    """coin, days, and the median hourly rate of each of `VOLUMES`; markets with enough history only."""

    @property
    def findings(self) -> list[Finding]:
        """One for every missing day."""
        expected = f"gold/{DAILY_METRICS} of every earlier day with data"
        return [Finding(day, "baseline", expected, "none: judge that day first", "", False) for day in self.missing]


def window_before(day: str, count: int = WINDOW_DAYS) -> tuple[str, ...]:
    """Return the `count` days before `day`, ascending."""
    last = date.fromisoformat(day)
    return tuple((last - timedelta(days=back)).isoformat() for back in range(count, 0, -1))


def _is_weekend(day: str) -> bool:
    return date.fromisoformat(day).weekday() >= SATURDAY


def _hourly(frame: pl.DataFrame) -> pl.DataFrame:
    rates = [(pl.col(count) * 3_600 / pl.col("health_count")).alias(name) for name, count in VOLUMES.items()]
    return frame.filter(pl.col("health_count") >= OBSERVED_S_MIN).select("coin", "health_count", *rates)


def read_baseline(root: Path, venue: str, day: str, landed: Iterable[str]) -> Baseline:
    """Read the figures of the days before `day`.

    Args:
        root: Warehouse.
        venue: Venue.
        day: UTC day that is judged.
        landed: Days with sealed data; those in the window must have figures.
    """
    window = window_before(day)
    paths = {earlier: gold_path(root, table=DAILY_METRICS, venue=venue, day=earlier) for earlier in window}
    read = tuple(earlier for earlier in window if paths[earlier].is_file())
    missing = tuple(sorted(set(landed) & set(window) - set(read)))
    alike = [paths[earlier] for earlier in read if _is_weekend(earlier) == _is_weekend(day)]
    schema = {"coin": pl.String, "health_count": pl.Int64, **dict.fromkeys(VOLUMES, pl.Float64)}
    hourly = [_hourly(pl.read_parquet(path, columns=_COLUMNS)) for path in alike]
    rates = pl.concat([pl.DataFrame(schema=schema), *hourly]).group_by("coin").agg(
        pl.len().alias("days"), *(pl.col(name).median() for name in VOLUMES)
    ).filter(pl.col("days") >= HISTORY_DAYS_MIN).sort("coin")  # fmt: skip
    return Baseline(read, missing, rates)


def compare(metrics: pl.DataFrame, baseline: Baseline) -> list[dict[str, Any]]:
    """Return one record a market: coin, days of history (0 without) and each volume over its baseline (null without).

    Args:
        metrics: Rows of gold/daily_metrics of the day.
        baseline: Of the days before.
    """
    joined = metrics.select("coin").join(_hourly(metrics.select(_COLUMNS)), on="coin", how="left").join(
        baseline.rates, on="coin", how="left", suffix="_usual"
    )  # fmt: skip
    expected_signals = pl.col("signal_ratio_usual") * pl.col("health_count") / 3_600
    ratios = [_ratio(name) for name in VOLUMES]
    return joined.with_columns(pl.col("days").fill_null(0).alias("history_days"), expected=expected_signals).select(
        "coin", "history_days", *ratios[:-1],
        pl.when(pl.col("expected") >= EXPECTED_SIGNALS_MIN).then(ratios[-1]).alias("signal_ratio"),
    ).sort("coin").to_dicts()  # fmt: skip


def _ratio(name: str) -> pl.Expr:
    usual = pl.col(f"{name}_usual")
    return pl.when(usual > 0).then(pl.col(name) / usual).alias(name)


def history_text(records: Sequence[dict[str, Any]]) -> str:
    """Return how many markets had something to be compared with."""
    judged = sum(record["history_days"] > 0 for record in records)
    if not judged:
        return f"no baseline yet (fewer than {HISTORY_DAYS_MIN} earlier days of its kind)"
    return f"volumes of {judged} of {len(records)} markets against their baseline"
