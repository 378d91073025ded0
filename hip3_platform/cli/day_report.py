"""`hip3 report`: a day of a venue as one HTML page that needs no network and no script."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hip3_platform.cli.progress import teller
from streaming.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from hip3_platform.looks.files import Files
    from hip3_platform.looks.page import Page

HELP = "write a judged day as one self-contained HTML page; docs/report.md"
DAYS_NAMED_MAX = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--day", help="as-of day (YYYY-MM-DD); default the newest day with a ranking")
    parser.add_argument("--warehouse", type=Path, help="default $HIP3_WAREHOUSE, else ./warehouse")
    parser.add_argument("--venue", help="default $HIP3_VENUE, else sim")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default <warehouse>/reports/<venue>-<day>.html")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Write the page, print where it is and what it could not show."""
    from streaming.contracts.paths import checked_day, checked_name

    begin_ns = time.monotonic_ns()
    root = args.warehouse or Path(os.environ.get("HIP3_WAREHOUSE") or "warehouse")
    try:
        venue = checked_name(args.venue or os.environ.get("HIP3_VENUE") or "sim")
        asked = None if args.day is None else checked_day(args.day)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    day = _day(root, venue, asked)
    path = args.out or root / "reports" / f"{venue}-{day}.html"
    if path.is_dir():
        raise ConfigError(f"--out: expected a file, found the folder {path}")
    files, page = _page(root, venue, day)
    size = _write(path, page)
    seconds = (time.monotonic_ns() - begin_ns) / 1e9
    sys.stdout.write(_json(files, page, path, size, seconds) if args.json else _text(page, path, size, seconds))
    return 0


def _day(root: Path, venue: str, asked: str | None) -> str:
    from hip3_platform.looks.files import judged_days

    days = judged_days(root, venue)
    if not days:
        raise StoreError(
            f"expected a judged day of venue {venue} in {root}, found no gold/market_ranking: name the warehouse with "
            "--warehouse, or judge a day first (`hip3 up --once`, or Dagster)"
        )
    if asked is not None and asked not in days:
        named = ", ".join(days[-DAYS_NAMED_MAX:])
        older = f" and {len(days) - DAYS_NAMED_MAX} before" if len(days) > DAYS_NAMED_MAX else ""
        raise StoreError(f"expected a ranking of {asked} of venue {venue} in {root}, found those of {named}{older}")
    return asked or days[-1]


def _page(root: Path, venue: str, day: str) -> "tuple[Files, Page]":
    import msgspec
    import polars as pl

    from hip3_platform.looks.day import page_of
    from hip3_platform.looks.files import Files

    files = Files(root, venue, day)
    try:
        return files, page_of(files, teller("hip3 report"))
    except (pl.exceptions.PolarsError, msgspec.DecodeError) as error:
        raise StoreError(
            f"expected derived tables of {day} as this version writes them, found one that is not ({_line(error)}): "
            "judge the days of the window again"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _write(path: Path, page: "Page") -> int:
    from hip3_platform.analytics.store import write_bytes
    from hip3_platform.looks.page import html

    try:
        return write_bytes(path, html(page).encode())
    except OSError as error:
        raise StoreError(f"expected to write {path}, found {error}: choose another file with --out") from error


def _json(files: "Files", page: "Page", path: Path, size: int, seconds: float) -> str:
    import msgspec

    from hip3_platform.analytics.day_checks import states_of

    told = {
        "venue": page.venue,
        "day": page.day,
        "path": str(path.resolve()),
        "bytes": size,
        "seconds": round(seconds, 3),
        "sections": [{"title": each.title, "missing": list(each.missing)} for each in page.sections],
        "checks": states_of(files.checks()).to_dicts(),
        "sources": list(page.sources),
    }
    return msgspec.json.encode(told).decode() + "\n"


def _text(page: "Page", path: Path, size: int, seconds: float) -> str:
    lines = [f"{path}  {size / 1e6:.1f} MB, {len(page.sections)} sections, {seconds:.1f} s"]
    lines += [f"  {each.title}: {text}" for each in page.sections for text in each.missing]
    return "\n".join(lines) + "\n"
