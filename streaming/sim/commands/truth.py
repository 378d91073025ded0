"""`hip3 venue truth`: what the markets of a scenario really pay, by brute force."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from streaming.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from streaming.sim.markets.truth import MarketTruth, TruthFile
    from streaming.sim.markets.truth_days import Job

TRUTH_HELP = "compute what the markets of a scenario really pay, over simulated days; docs/truth.md"
DAYS_MAX = 10_000
WINDOW_MAX = 366
_LINES = 20


def add_truth_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 venue truth`."""
    parser.add_argument("--scenario", default="universe", help="name or file of the scenario (universe)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the run whose truth is wanted (7)")
    parser.add_argument("--days", type=int, default=100, help="independent days to simulate, per market (100)")
    parser.add_argument("--from", dest="first", metavar="DAY", default="2026-06-15", help="first date (2026-06-15)")
    parser.add_argument("--window", type=int, default=14, help="dates from there on, simulated in turn (14)")
    parser.add_argument(
        "--hours", choices=("all", "tradable"), default="all", help="hours that decide; docs/truth.md (all)"
    )
    parser.add_argument("--coin", action="append", default=[], help="only this market; may be repeated")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--out", metavar="FILE", help="write the truth file; what it already holds is not done again")
    parser.add_argument("--force", action="store_true", help="compute again whatever --out holds")
    parser.add_argument("--json", action="store_true", help="print the truth file")


def run_truth(args: argparse.Namespace) -> int:
    """Compute the truth, write it, print it."""
    import msgspec

    from streaming.shell.tables.seal import write_sealed
    from streaming.sim.markets.truth_workers import find_truth

    job = _job(args)
    out = _out(args.out)
    truth = None if out is None or args.force else _known(out, job)
    is_new = truth is None
    if truth is None:
        # Ending this process ends the workers: a SIGTERM unwinds like Ctrl-C does.
        previous = signal.signal(signal.SIGTERM, _end)
        try:
            with _shown(job) as on_day:
                truth = find_truth(job, workers=args.workers, on_day=on_day)
        finally:
            signal.signal(signal.SIGTERM, previous)
    raw = msgspec.json.format(msgspec.json.encode(truth), indent=1)
    if out is not None and is_new:
        try:
            write_sealed(out, raw + b"\n", mode=0o644)
        except OSError as error:
            raise StoreError(f"--out {out}: {error.strerror}") from error
    if args.json:
        sys.stdout.buffer.write(raw + b"\n")
        return 0
    sys.stdout.writelines(f"{line}\n" for line in _table(truth))
    if out is not None:
        sys.stdout.write(f"{out} {'written' if is_new else 'already holds it'}\n")
    return 0


def _job(args: argparse.Namespace) -> "Job":
    import msgspec

    from streaming.sim.markets.truth_days import Job, coins_of
    from streaming.sim.scenario.load import load_scenario

    for option, value, most in (("--days", args.days, DAYS_MAX), ("--window", args.window, WINDOW_MAX)):
        if not 1 <= value <= most:
            raise ConfigError(f"{option}: expected 1-{most}, found {value}")
    if args.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, found {args.workers}")
    try:
        date.fromisoformat(args.first)
    except ValueError as error:
        raise ConfigError(f"--from: expected a day as YYYY-MM-DD, found {args.first[:20]!r}") from error
    scenario = load_scenario(args.scenario, seed=args.seed)
    job = Job(
        scenario=args.scenario,
        seed=args.seed,
        first_day=args.first,
        window_days=args.window,
        days=args.days,
        coins=tuple(args.coin),
        hours=args.hours,
    )
    for coin in args.coin:
        if coin not in scenario.universe.by_coin:
            raise ConfigError(f"--coin: expected a market of {scenario.name}, found {coin[:40]!r}")
    return msgspec.structs.replace(job, coins=coins_of(job, scenario))


def _out(text: str | None) -> Path | None:
    if not text:
        return None
    out = Path(text).expanduser().absolute()
    if out.exists() and not out.is_file():
        # Reading a device may never end, and writing aside would replace it.
        raise ConfigError(f"--out: expected a file or nothing at {out}, found something else; name another path")
    return out


def _known(out: Path, job: "Job") -> "TruthFile | None":
    """Return what a file holds if it is the answer to this job, from this generator."""
    from streaming.sim.markets.truth import read_truth
    from streaming.sim.markets.truth_days import fingerprint
    from streaming.sim.scenario.load import load_scenario

    if not out.exists():
        return None
    found = read_truth(out)
    scenario = load_scenario(job.scenario, seed=job.seed)
    asked = (scenario.name, job.seed, job.first_day, job.window_days, job.days, job.hours, job.coins)
    coins = tuple(market.coin for market in found.markets)
    held = (found.scenario, found.seed, found.first_day, found.window_days, found.days, found.hours, coins)
    return found if held == asked and found.fingerprint == fingerprint(job, scenario) else None


@contextmanager
def _shown(job: "Job") -> Iterator[Callable[[str], None]]:
    """Show progress on stderr: a bar on a terminal, some lines elsewhere."""
    total = len(job.coins) * job.days
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bars:
            task = bars.add_task("market-days", total=total)
            yield lambda _coin: bars.advance(task)
        return
    done = 0

    def on_day(_coin: str) -> None:
        nonlocal done
        done += 1
        if done % max(1, total // _LINES) == 0:
            sys.stderr.write(f"hip3 venue truth: {done}/{total} market-days\n")
            sys.stderr.flush()

    yield on_day


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _table(truth: "TruthFile") -> Iterator[str]:
    from streaming.sim.markets.truth import BEST_LATENCY_MS

    yield (
        f"{truth.scenario} seed {truth.seed}: {truth.days} days, dates {truth.first_day} + {truth.window_days}; "
        f"simulated, no market result. Best policy at {BEST_LATENCY_MS} ms:"
    )
    for market in truth.markets:
        yield f"{market.coin:16}{market.label:20}{market.fee_bps:4.1f} bps fee  {_best(market, BEST_LATENCY_MS)}"


def _best(market: "MarketTruth", latency_ms: int) -> str:
    best = market.at(latency_ms).best
    if best is None:
        return "no policy with 10 fills a day"
    error = "" if best.se_bps is None else f" ± {best.se_bps:.2f}"
    return (
        f"{best.mean_bps:+7.2f}{error} bps, {best.fills_per_day:6.1f} fills/day at > {best.threshold_bps} bps, "
        f"{best.origin}, {best.horizon_s} s"
    )
