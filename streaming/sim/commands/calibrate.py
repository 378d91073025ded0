"""`hip3 venue calibrate`: figures of generated markets beside those of real ones."""

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.core.errors import ConfigError

if TYPE_CHECKING:
    from streaming.sim.markets.calibrate import Figure
    from streaming.sim.markets.generator import MarketHour

CALIBRATE_HELP = "print figures of the generated markets beside those of real ones"
HOURS_MAX = 200


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 venue calibrate`."""
    parser.add_argument("--scenario", default="universe", help="name or file of the scenario (universe)")
    parser.add_argument("--seed", type=int, default=7, help="first seed (7)")
    parser.add_argument("--universes", type=int, default=3, help="seeds from there on, taken together (3)")
    parser.add_argument("--hours", type=int, default=20, help="weekday hours of every market (20)")
    parser.add_argument("--from", dest="first", metavar="DAY", default="2026-06-15", help="first date (2026-06-15)")
    parser.add_argument("--data", metavar="DIR", help="folder of the real files: their figures are computed again")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_calibrate(args: argparse.Namespace) -> int:
    """Measure and print."""
    import msgspec

    from streaming.sim.markets.calibrate import FIGURES, measure, published, sample_hours
    from streaming.sim.markets.generator import Generator
    from streaming.sim.scenario.load import load_scenario

    for option, value, most in (("--universes", args.universes, 100), ("--hours", args.hours, HOURS_MAX)):
        if not 1 <= value <= most:
            raise ConfigError(f"{option}: expected 1-{most}, found {value}")
    try:
        first = date.fromisoformat(args.first)
    except ValueError as error:
        raise ConfigError(f"--from: expected a day as YYYY-MM-DD, found {args.first[:20]!r}") from error
    real = published(Path(args.data).expanduser()) if args.data else {}
    seeds = range(args.seed, args.seed + args.universes)
    generators = [Generator(seed, load_scenario(args.scenario, seed=seed)) for seed in seeds]
    ours = measure(generators, sample_hours(first, args.hours), book_depths)
    figures = [msgspec.structs.replace(f, ours=ours[f.key], recomputed=real.get(f.key)) for f in FIGURES]
    if args.json:
        rows = [msgspec.structs.asdict(figure) | {"is_met": figure.is_met} for figure in figures]
        facts = {"scenario": args.scenario, "seeds": list(seeds), "hours": args.hours, "figures": rows}
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        return 0
    sys.stdout.write(f"{args.scenario}, seeds {seeds[0]}-{seeds[-1]}, {args.hours} weekday hours of every market\n")
    sys.stdout.writelines(f"{line}\n" for line in _table(figures))
    return 0


def book_depths(hour: "MarketHour", row: int) -> tuple[float, float]:
    """Return the notional that the venue's books hold within 10 bps of the mid, bids and asks."""
    from streaming.sim.venue.market.books import ladder, touch_of

    touch = touch_of(hour, row)
    mid = (touch.bid_px + touch.ask_px) / 2
    units = 10.0 ** (hour.market.px_decimals + hour.market.sz_decimals)
    bids, asks = ladder(hour.market, touch, int(hour.bbo_ts_ms[row]))
    near = [sum(px * sz for px, sz, _ in side if abs(px - mid) <= mid * 1e-3) / units for side in (bids, asks)]
    return near[0], near[1]


def _table(figures: "list[Figure]") -> Iterator[str]:
    yield f"{'figure':26}{'real':>10}{'files':>10}{'ours':>10}  {'tolerance':19}"
    for figure in figures:
        files = "" if figure.recomputed is None else _short(figure.recomputed)
        span = f"{_short(figure.low)} to {_short(figure.high)}"
        verdict = "met" if figure.is_met else "NOT MET"
        ours = "" if figure.ours is None else _short(figure.ours)
        yield f"{figure.key:26}{_short(figure.real):>10}{files:>10}{ours:>10}  {span:19}{verdict:9}{figure.text}"
    yield "Marginals only: no public data shows how real quotes follow the oracle over time."


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
