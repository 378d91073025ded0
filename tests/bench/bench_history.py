"""How fast history is written: a day of 24 markets through the engine, and 30 such days by the columnar path.

    make bench-history            both, into a folder of their own that is removed afterwards

Wall clock includes every start-up. CPU seconds are those of all processes; on a machine that does other things they say
more. Nothing here is part of `make test`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from typing import NamedTuple

FIRST = date(2026, 6, 1)


class Bench(NamedTuple):
    """One measurement and the wall clock it may take on two cores."""

    name: str
    days: int
    bar_s: float
    options: tuple[str, ...]


BENCHES = {
    "engine": Bench("engine", 1, 90.0, ()),
    "columns": Bench("columns", 30, 120.0, ("--columns",)),
}


def main() -> int:
    """Measure what was asked for; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(BENCHES), help="one of the two")
    parser.add_argument("--scenario", default="universe", help="name or TOML file (universe)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST, help=f"first day ({FIRST})")
    args = parser.parse_args()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    say(f"{cores} cores, load before {load:.1f}; scenario {args.scenario}, seed {args.seed}")
    wanted = [BENCHES[args.only]] if args.only else list(BENCHES.values())
    missed = [bench.name for bench in wanted if not measure(bench, args.scenario, args.seed, args.first)]
    return 1 if missed else 0


def measure(bench: Bench, scenario: str, seed: int, first: date) -> bool:
    """Run `hip3 history`, print a line, and tell whether the bar was met."""
    last = first + timedelta(days=bench.days - 1)
    with tempfile.TemporaryDirectory(prefix="hip3-bench-") as warehouse:
        command = [
            sys.executable, "-m", "streaming.cli", "history", "--scenario", scenario, "--seed", str(seed),
            "--from", str(first), "--to", str(last), "--warehouse", warehouse, "--json", *bench.options,
        ]  # fmt: skip
        before, begin = _cpu_s(), time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        wall_s, cpu_s = time.perf_counter() - begin, _cpu_s() - before
    days = json.loads(done.stdout)["days"]
    rows = {table: sum(day["rows"].get(table, 0) for day in days) for table in ("bbo", "ctx", "trades", "health")}
    events = sum(day["event_count"] for day in days)
    total = sum(sum(day["rows"].values()) for day in days)
    market_days = rows["ctx"] / 86_400
    counts = ", ".join(f"{count:,} {table}" for table, count in rows.items() if count)
    say(f"{bench.name}: {len(days)} days, {market_days:.0f} market-days: {events:,} events ({counts}), {total:,} rows")
    verdict = "met" if wall_s <= bench.bar_s else "MISSED"
    say(
        f"  {wall_s:.1f} s wall (bar {bench.bar_s:.0f} s {verdict}), {cpu_s:.1f} CPU-s, {events / wall_s:,.0f} events/s"
    )
    return wall_s <= bench.bar_s


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
