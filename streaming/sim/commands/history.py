"""`hip3 history`: write complete past days of the simulated venue, through the engine or straight from columns."""

import argparse
import signal
import sys
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

import msgspec

from streaming.core.errors import ConfigError

HELP = "write complete past days of the simulated venue, in virtual time"
DAYS_MAX = 366


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 history`."""
    parser.add_argument("--days", type=int, help="the last N complete UTC days (2)")
    parser.add_argument("--from", dest="first", metavar="DAY", help="first day, YYYY-MM-DD; instead of --days")
    parser.add_argument("--to", dest="last", metavar="DAY", help="last day; the first alone when left out")
    parser.add_argument("--warehouse", default="warehouse", help="folder that receives the tables (warehouse)")
    parser.add_argument("--seed", type=int, default=7, help="everything that happens follows from it (7)")
    parser.add_argument("--scenario", default="demo", help="which market behaves how: a name or a TOML file (demo)")
    parser.add_argument(
        "--columns",
        action="store_true",
        help="market data alone, without the engine: bbo, ctx and trades; into a warehouse of its own",
    )
    parser.add_argument("--workers", type=int, default=2, help="days written at the same time (2)")
    parser.add_argument("--force", action="store_true", help="write days again that are there already")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the days and say what they hold."""
    from streaming.sim.history.day import Day
    from streaming.sim.history.progress import day_text, shown_progress
    from streaming.sim.history.writers import write_days
    from streaming.sim.scenario.load import load_scenario

    if args.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, found {args.workers}")
    # Ending this process ends the writers: a SIGTERM unwinds like Ctrl-C does.
    signal.signal(signal.SIGTERM, _end)
    root = str(Path(args.warehouse).expanduser().absolute())
    name = load_scenario(args.scenario, seed=args.seed).name
    days = [
        Day(
            root=root,
            day=day,
            seed=args.seed,
            scenario=args.scenario,
            scenario_name=name,
            is_columnar=args.columns,
        )
        for day in _days(args)
    ]
    with shown_progress([day.day for day in days]) as progress:
        written = write_days(
            days, workers=args.workers, is_forced=args.force, on_hours=progress.on_hours, on_day=progress.on_day
        )
    if args.json:
        result = [msgspec.structs.asdict(day) | {"events_per_s": day.events_per_s} for day in written]
        sys.stdout.write(msgspec.json.encode({"days": result}).decode() + "\n")
    else:
        sys.stdout.writelines(f"{day_text(day)}\n" for day in written)
    return 0


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _days(args: argparse.Namespace) -> list[str]:
    from streaming.shell.clock import SystemClock
    from streaming.sim.history.writers import days_before

    now_ns = SystemClock().ts_ns()
    if args.first is None:
        count = 2 if args.days is None else args.days
        if args.last is not None or not 1 <= count <= DAYS_MAX:
            raise ConfigError(f"expected --days 1-{DAYS_MAX} or --from DAY [--to DAY], found --days {count}")
        return days_before(now_ns, count)
    if args.days is not None:
        raise ConfigError("expected --days or --from, found both; leave one out")
    first = _date("--from", args.first)
    last = first if args.last is None else _date("--to", args.last)
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    if not 1 <= len(days) <= DAYS_MAX or days[-1] > days_before(now_ns, 1)[0]:
        raise ConfigError(f"expected 1-{DAYS_MAX} days that are over (UTC), found {first} to {last}")
    return days


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option}: expected a day as YYYY-MM-DD, found {text[:20]!r}") from error
