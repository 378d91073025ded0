"""`hip3 sweep`: a day under many settings at once, from its tables; `hip3 replay --set` decides one with the engine."""

import argparse
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hip3_platform.cli.progress import teller
from streaming.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import polars as pl

    from streaming.core.limits import Limits

HELP = "try many limits on the tables of a day: signals, what gates leave of them, and what that would have earned"
SETTINGS_MAX = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--day", required=True, help="UTC day with bronze tables (YYYY-MM-DD)")
    parser.add_argument(
        "--set", action="append", default=[], required=True, metavar="KEY=VALUE,VALUE",
        help="values of a limit, detector.edge_bps_min=1,2,4; several limits are combined",
    )  # fmt: skip
    parser.add_argument("--warehouse", help="folder of the tables; default $HIP3_WAREHOUSE, else ./warehouse")
    parser.add_argument("--venue", default="sim", help="venue of the tables; default sim")
    parser.add_argument("--latency-ms", type=int, default=200, help="decision to match; default 200")
    parser.add_argument("--horizon-s", type=int, default=5, help="match to exit; default 5")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Sweep and print."""
    from hip3_platform.analytics.counterfactual import GateRule
    from hip3_platform.analytics.sweep import NotSweptError
    from hip3_platform.analytics.sweep_day import sweep_day
    from streaming.contracts.paths import checked_day, checked_name
    from streaming.core.limits import Limits

    try:
        day, venue = checked_day(args.day), checked_name(args.venue)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    root = Path(args.warehouse or os.environ.get("HIP3_WAREHOUSE") or "warehouse")
    grid = _grid(args.set)
    _settings(Limits(), grid)  # what is wrong with a value is said before anything is read
    rule = GateRule(latency_ms=args.latency_ms, horizon_s=args.horizon_s)
    try:
        frame = sweep_day(
            root, venue, day, lambda limits: _settings(limits, grid), rule=rule, tell=teller("hip3 sweep")
        )
    except NotSweptError as error:
        raise ConfigError(f"--set: {error}") from error
    if not frame.height:
        raise StoreError(
            f"expected bronze tables of {day} of venue {venue} in {root}, with the configuration of a session; found "
            "none: judge the day first (`hip3 up --once`, or Dagster)"
        )
    sys.stdout.write(_json(frame, grid, day, venue, rule) if args.json else _text(frame, grid))
    return 0


def _grid(texts: Sequence[str]) -> list[dict[str, str]]:
    axes: list[list[tuple[str, str]]] = []
    for text in texts:
        name, separator, values = text.partition("=")
        options = [value.strip() for value in values.split(",") if value.strip()]
        if not separator or not options:
            raise ConfigError(f"--set: expected values as detector.edge_bps_min=1,2,4, found {text[:80]!r}")
        axes.append([(name.strip().removeprefix("limits."), value) for value in options])
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > SETTINGS_MAX:
        raise ConfigError(f"--set: expected at most {SETTINGS_MAX} settings together, found {count}: give fewer values")
    return [dict(chosen) for chosen in product(*axes)]


def _settings(limits: "Limits", grid: Sequence[dict[str, str]]) -> list["Limits"]:
    import msgspec

    from hip3_platform.analytics.sweep import SWEPT
    from streaming.core.limits import Limits

    changed = []
    for setting in grid:
        tree: dict[str, Any] = msgspec.to_builtins(limits, builtin_types=(Decimal,))
        for name, value in setting.items():
            if name not in SWEPT:
                raise ConfigError(
                    f"--set: expected one of {', '.join(SWEPT)}; found {name[:80]!r}: try it with `hip3 replay --set`"
                )
            section, _, leaf = name.partition(".")
            tree[section][leaf] = value
        try:
            changed.append(msgspec.convert(tree, Limits, strict=False, builtin_types=(Decimal,)))
        except msgspec.ValidationError as error:
            raise ConfigError(f"--set: {error}") from error
    return changed


def _totals(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    import polars as pl

    counts = [name for name in frame.columns if name.endswith("_count")]
    by_fills = (pl.col("net_bps") * pl.col("fill_count")).sum() / pl.col("fill_count").sum()
    summed = frame.group_by("setting").agg(pl.col(*counts, "net_usd").sum(), net_bps=by_fills.fill_nan(None))
    return summed.sort("setting").to_dicts()


def _json(frame: "pl.DataFrame", grid: Sequence[dict[str, str]], day: str, venue: str, rule: object) -> str:
    import msgspec

    report = {
        "venue": venue,
        "day": day,
        "rule": msgspec.to_builtins(rule),
        "settings": list(grid),
        "totals": _totals(frame),
        "markets": frame.to_dicts(),
    }
    return msgspec.json.encode(report).decode() + "\n"


def _text(frame: "pl.DataFrame", grid: Sequence[dict[str, str]]) -> str:
    head = ("setting", "signals", "passed", "filled", "missed", "net bps", "net usd", "uncertain")
    rows = [head]
    for row in _totals(frame):
        setting = grid[row["setting"]]
        net = "-" if row["net_bps"] is None else f"{row['net_bps']:+.2f}"
        rows.append((
            " ".join(f"{name}={value}" for name, value in setting.items()), str(row["signal_count"]),
            str(row["passed_count"]), str(row["fill_count"]), str(row["missed_count"]), net, f"{row['net_usd']:+.4f}",
            str(row["uncertain_count"] + row["cold_count"]),
        ))  # fmt: skip
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
