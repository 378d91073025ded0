"""`hip3 evidence`: what the evidence path is worth, shown on simulated markets whose truth is known."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any

HELP = "score the evidence path on simulated universes with known truth; docs/evidence.md"
UNIVERSES_MAX, TRUTH_DAYS_MAX, WORKERS_MAX = 1_000, 10_000, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 evidence`."""
    words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
    score = words.add_parser("score", help="draw universes, decide blind, hold the decisions against the truth")
    score.add_argument("--universes", type=int, default=30, metavar="N", help="universes of 14 days (30)")
    score.add_argument("--seed", type=int, default=7, help="markets, plans and noise follow from it (7)")
    score.add_argument("--scenario", default="universe", help="name or file of the scenario (universe)")
    score.add_argument("--truth-days", type=int, help="days of truth a market; a multiple of 10 (100)")
    score.add_argument("--keep", default="", metavar="DIR", help="keep truths there; what fits is not computed again")
    score.add_argument("--tables", metavar="DIR", help="score universes brought as tables with a truth file instead")
    score.add_argument("--workers", type=int, default=2, help="processes (2)")
    score.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Score and print; 1 when a bar is missed."""
    import msgspec

    from hip3_platform.scoring.report import report_lines

    # Ending this process ends the workers: a SIGTERM unwinds like Ctrl-C does.
    previous = signal.signal(signal.SIGTERM, _end)
    try:
        scored = _scored(args)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if args.json:
        sys.stdout.write(msgspec.json.encode(scored).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in report_lines(scored))
    for problem in scored["problems"]:
        sys.stderr.write(f"hip3 evidence score: {problem}\n")
    return 1 if scored["problems"] else 0


def _scored(args: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    from hip3_platform.scoring.progress import shown_progress
    from hip3_platform.scoring.score import Request, score, score_tables
    from hip3_platform.scoring.truth import TEST_DAYS, TRUTH_DAYS

    workers = _within("--workers", args.workers, 1, WORKERS_MAX)
    with shown_progress() as shown:
        if args.tables is not None:
            return score_tables(Path(args.tables).expanduser(), workers, shown)
        truth_days = TRUTH_DAYS if args.truth_days is None else args.truth_days
        if truth_days % TEST_DAYS:
            raise _refused("--truth-days", f"a multiple of {TEST_DAYS}", truth_days)
        request = Request(
            universes=_within("--universes", args.universes, 1, UNIVERSES_MAX),
            seed=args.seed,
            scenario=args.scenario,
            truth_days=_within("--truth-days", truth_days, TEST_DAYS, TRUTH_DAYS_MAX),
            workers=workers,
            keep=args.keep,
        )
        return score(request, shown)


def _within(option: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise _refused(option, f"{least}-{most}", value)
    return value


def _refused(option: str, expected: str, found: int) -> Exception:
    from streaming.core.errors import ConfigError

    return ConfigError(f"{option}: expected {expected}, found {found}")


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
