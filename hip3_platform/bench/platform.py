"""`hip3 bench platform`: the word and its options. What it does stands in `waiting`, which imports Dagster."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streaming.core.errors import ConfigError

HELP = "waiting days from trigger to green, through a running Dagster"
SCENARIO = "one"
"""What is measured is the platform; what rows cost is the business of `analytics`."""
DAYS = 30
_DAYS_MIN, _DAYS_MAX = 3, 31
"""Fewer are no backfill, and more are not one run of `catch_up`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that only this word has; `--scenario` and `--seed` are there."""
    parser.add_argument("--backfill-days", type=int, default=DAYS, help=f"days that wait for platform ({DAYS})")


def measured(args: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    """Make the days, let a Dagster of its own judge them and return the figures.

    Raises:
        ConfigError: An option is out of range, or this is no checkout.
        Hip3Error: A day failed, or what was started ended.
    """
    if not _DAYS_MIN <= args.backfill_days <= _DAYS_MAX:
        raise ConfigError(f"--backfill-days: expected {_DAYS_MIN} to {_DAYS_MAX}, found {args.backfill_days}")
    from hip3_platform.bench.waiting import bench_platform  # noqa: PLC0415 - start-up of all other words

    with tempfile.TemporaryDirectory(prefix="hip3-bench-") as folder:
        return bench_platform(
            Path(folder), scenario=args.scenario or SCENARIO, seed=args.seed, day_count=args.backfill_days, tell=tell
        )
