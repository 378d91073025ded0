"""Ours: what the assets daily_metrics and day_evidence call, as it is. All figures, episodes, markouts, basis."""

from pathlib import Path

from hip3_platform.analytics.gold import write_daily_metrics
from hip3_platform.analytics.gold_evidence import write_day_evidence
from hip3_platform.bench.day import VENUE


def work(root: Path, _out: Path, day: str) -> None:
    """Write gold of the day."""
    write_daily_metrics(root, VENUE, day)
    write_day_evidence(root, VENUE, day)
