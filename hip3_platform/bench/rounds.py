"""The rounds of `hip3 bench analytics`: a day's work beside the bare scan, the SQL reference and pandas.

Rule 1: every way works in a process of its own, one at a time; what counts is its own clock, from behind its imports.
Rule 2: ours (twice, A/A) and the scans take turns in every round, in another order each time; the figure is the median.
The slow ways, five and more times as long, run once, in the middle round.
Rule 3: the scan is that of the engine that is fastest here and now.
Rule 4: what many days cost is measured on fewer markets of full size: one day, and several in a row, in turns.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from hip3_platform.bench.compare import differences
from hip3_platform.bench.day import Shape, write_day
from streaming.core.errors import ConfigError, Hip3Error

FIRST = date(2026, 6, 15)
CTX_SHARE = 4
"""Rows of bbo for one of ctx."""
WINDOW_SHARE = 10
"""One market of so many is there on every day of the window."""
SCAN_RATIO_MAX, DUCKDB_RATIO_MIN, PEAK_MB_MAX, DAYS_RATIO_MAX = 8.0, 4.0, 1024.0, 1.1
"""Source: the bars of the project; the last leaves a tenth for the neighbouring days that a lone day does not have."""
SCANS, OURS, SLOW = ("scan_pyarrow", "scan_polars", "scan_duckdb"), ("ours_a", "ours_b"), ("duckdb", "pandas")
ONE_DAY, MANY_DAYS = "one_day", "many_days"
_ROW_MARK = ".rows"

Tell = Callable[[str], None]


class Sizes(NamedTuple):
    """What is asked for."""

    rows: int
    """Of bbo, on one day."""
    markets: int
    rounds: int
    days: int


class Took(NamedTuple):
    """What one process took."""

    seconds: float
    peak_mb: float


def bench_analytics(folder: Path, sizes: Sizes, tell: Tell) -> dict[str, Any]:
    """Make the days below `folder`, measure all ways in turns and return the figures.

    Raises:
        ConfigError: The folder holds days of another size.
        Hip3Error: A way failed.
    """
    rows, markets, rounds, day_count = sizes
    shape = Shape(markets, rows, rows // CTX_SHARE)
    few = max(markets // WINDOW_SHARE, 1)
    window = Shape(few, rows // markets * few, rows // markets * few // CTX_SHARE)
    days = [str(FIRST + timedelta(days=at)) for at in range(day_count)]
    roots = {"day": folder / "day", "one": folder / "one", "many": folder / "many"}
    _make(roots["day"], shape, days[:1], tell)
    if day_count > 1:
        _make(roots["one"], window, days[:1], tell)
        _make(roots["many"], window, days, tell)
    found: dict[str, list[Took]] = defaultdict(list)
    names = [*SCANS, *OURS, *((ONE_DAY, MANY_DAYS) if day_count > 1 else ())]
    for at in range(rounds):
        names.append(names.pop(0))
        for name in (*names, *(SLOW if at == rounds // 2 else ())):
            root = roots[{ONE_DAY: "one", MANY_DAYS: "many"}.get(name, "day")]
            found[name].append(_run(name, root, folder, days if name == MANY_DAYS else days[:1]))
            tell(f"round {at + 1} of {rounds}: {name} {found[name][-1].seconds:.2f} s")
    problems = differences(roots["day"], folder, days[0])
    return figures_of(found, problems, day_count) | {
        "rows": {"bbo": shape.bbo_rows, "ctx": shape.ctx_rows}, "markets": markets, "rounds": rounds, "days": day_count,
    }  # fmt: skip


def figures_of(found: dict[str, list[Took]], unequal: list[str], day_count: int) -> dict[str, Any]:
    """Return the figures and what speaks against them.

    Args:
        found: Way → what each of its processes took.
        unequal: Where ours and the reference differ.
        day_count: Days of `many_days`; without that way nothing is said of days.
    """
    seconds = {name: median(each.seconds for each in took) for name, took in found.items()}
    engine = min(SCANS, key=lambda name: seconds[name])
    scan, ours = seconds[engine], (seconds["ours_a"] + seconds["ours_b"]) / 2
    peaks = {name: round(max(each.peak_mb for each in took), 1) for name, took in found.items()}
    figures: dict[str, Any] = {
        "ours_over_scan": round(ours / scan, 3),
        "duckdb_over_ours": round(seconds["duckdb"] / ours, 3),
        "pandas_over_ours": round(seconds["pandas"] / ours, 3),
        "peak_rss_mb": max(peaks[name] for name in (*OURS, MANY_DAYS) if name in peaks),
        "aa_ratio": round(seconds["ours_a"] / seconds["ours_b"], 3),
        "results_equal": not unequal,
        "scan_seconds": round(scan, 3),
        "engine_of_scan": engine.removeprefix("scan_"),
    }
    if MANY_DAYS in seconds:
        figures["days_ratio"] = round(seconds[MANY_DAYS] / seconds[ONE_DAY] / day_count, 3)
    bars = (
        ("ours_over_scan", "at most", SCAN_RATIO_MAX, figures["ours_over_scan"] <= SCAN_RATIO_MAX),
        ("duckdb_over_ours", "at least", DUCKDB_RATIO_MIN, figures["duckdb_over_ours"] >= DUCKDB_RATIO_MIN),
        ("peak_rss_mb", "at most", PEAK_MB_MAX, figures["peak_rss_mb"] <= PEAK_MB_MAX),
        ("days_ratio", "at most", DAYS_RATIO_MAX, figures.get("days_ratio", 0.0) <= DAYS_RATIO_MAX),
    )
    missed = [
        f"{name}: expected {how} {bar:g}, found {figures[name]:g}" for name, how, bar, is_met in bars if not is_met
    ]
    return figures | {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "peak_mb": peaks,
        "problems": [*unequal, *missed],
    }


def _make(root: Path, shape: Shape, days: list[str], tell: Tell) -> None:
    """Write the days that are not there; a folder that holds others is refused."""
    mark, text = root / _ROW_MARK, json.dumps([*(getattr(shape, name) for name in shape.__slots__), days])
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != text:
            raise ConfigError(f"--folder: {root} holds days of another size; name another folder or remove it")
        return
    for day in days:
        write_day(root, day, shape, tell)
    mark.write_text(text, encoding="utf-8")


def _run(name: str, root: Path, out: Path, days: list[str]) -> Took:
    way = "ours" if name in {*OURS, ONE_DAY, MANY_DAYS} else name
    command = [sys.executable, "-m", "hip3_platform.bench.child", way, str(root), str(out), *days]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:  # noqa: S603 - our own module
        try:
            said, complaint = child.communicate()
        finally:
            child.kill()  # on Ctrl-C and SIGTERM; nothing when it ended
    if child.returncode:
        raise Hip3Error(f"{name} ended with code {child.returncode}: {complaint.decode(errors='replace')[-2000:]}")
    return Took(**json.loads(said))
