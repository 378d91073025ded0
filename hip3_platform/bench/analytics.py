"""`hip3 bench analytics`: the word and its options. What it does stands in `rounds`, which imports the analytics."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streaming.core.errors import ConfigError

HELP = "a day's metrics, episodes and markouts over 60 markets"
ROWS, MARKETS, ROUNDS, DAYS = 20_000_000, 60, 3, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this word has; `--markets` and `--rounds` are there."""
    parser.add_argument("--rows", type=int, default=ROWS, help=f"bbo rows of analytics ({ROWS}); ctx is a quarter")
    parser.add_argument(
        "--days", type=int, default=DAYS, help=f"days in a row of analytics ({DAYS}); 1 leaves them out"
    )
    parser.add_argument("--folder", type=Path, help="where analytics keeps its made-up days for the next run")


def measured(args: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    """Make the days, measure all ways and return the figures.

    Raises:
        ConfigError: An option is out of range, or the folder holds days of another shape.
        Hip3Error: A way failed.
    """
    markets, rounds = args.markets or MARKETS, args.rounds or ROUNDS
    bounds = (("--rows", args.rows, markets * 100, 10**9), ("--markets", markets, 1, 240), ("--days", args.days, 1, 60))
    for option, value, low, high in (*bounds, ("--rounds", rounds, 1, 100)):
        if not low <= value <= high:
            raise ConfigError(f"{option}: expected {low} to {high}, found {value}")
    from hip3_platform.bench.rounds import Sizes, bench_analytics  # noqa: PLC0415 - start-up of all other words

    sizes = Sizes(args.rows, markets, rounds, args.days)
    if args.folder is not None:
        return bench_analytics(args.folder, sizes, tell)
    with tempfile.TemporaryDirectory(prefix="hip3-bench-") as folder:
        return bench_analytics(Path(folder), sizes, tell)
