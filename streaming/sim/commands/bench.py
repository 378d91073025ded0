"""`hip3 bench`: measures the hot paths beside a floor and beside other people's ways, in the same run.

Words of other packages are entry points of the group `hip3.benches`: modules with `HELP`, `add_arguments(parser)` and
`measured(args, tell) -> figures`. One whose package is not installed is left out.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from streaming.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType

GROUP = "hip3.benches"
HELP = "measure sign, decode, ingest, replay or tick-to-order; see docs/bench.md"
WORDS = ("sign", "decode", "ingest", "replay", "tick-to-order")
_COUNT_MAX, _SECONDS_MAX, _MARKETS_MAX = 10_000_000, 3_600.0, 240
_TRADED_MAX = 20
"""Names of the bench venue that trade at every hour."""
_DEFAULT_COUNTS = {"sign": 40, "decode": 40, "replay": 300_000, "tick-to-order": 400}
_DEFAULT_MARKETS = {"ingest": 200, "tick-to-order": 20}


class Bench(Protocol):
    """What an entry point of the group resolves to (a module)."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    measured: Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]


def _others() -> dict[str, Bench]:
    found = {}
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            found[point.name] = cast(Bench, importlib.import_module(point.value))
        except ModuleNotFoundError:
            continue  # the sidecar's extra alone: that word is not there
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 bench`, and those of words that other packages bring."""
    others = _others()
    parser.add_argument("word", choices=(*WORDS, *others), help="what to measure")
    for each in others.values():
        each.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--count", type=int, help="rounds of sign and decode (40), events of replay (300000), ticks a lane (400)"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long ingest is measured (20)")
    parser.add_argument("--rate", type=float, help="frames a second of ingest (40000), ticks a second a lane (8)")
    parser.add_argument("--markets", type=int, help="markets of ingest (200), tick-to-order (20), analytics (60)")
    parser.add_argument("--pause-ms", type=float, default=1.0, help="quiet time before each tick (1)")
    parser.add_argument("--rounds", type=int, help="passes of replay (5), rounds of analytics (3)")
    parser.add_argument("--seed", type=int, default=7, help="the markets of replay and platform follow from it (7)")
    parser.add_argument("--scenario", help="the markets of replay (demo) and platform (one): a name or a TOML file")
    parser.add_argument("--peers", type=Path, default=Path(".cache/peers"), help="environments that `make peers` built")
    parser.add_argument("--no-peers", action="store_true", help="leave the official SDK out")


def run(args: argparse.Namespace) -> int:
    """Measure one word and print its figures; 1 when something speaks against them."""
    # Ending this process ends its children: a SIGTERM unwinds like Ctrl-C does.
    signal.signal(signal.SIGTERM, _end)
    result = _measured(args)
    if args.json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _table(result))
    problems = result.get("problems", ())
    for problem in problems:
        _tell(problem)
    return 1 if problems else 0


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    word: str = args.word
    if word not in WORDS:
        return _others()[word].measured(args, _tell)
    count = _within("--count", args.count or _DEFAULT_COUNTS.get(word, 1), 1, _COUNT_MAX)
    seconds = _within("--seconds", args.seconds, 0.1, _SECONDS_MAX)
    most = _TRADED_MAX if word == "tick-to-order" else _MARKETS_MAX
    markets = int(_within("--markets", args.markets or _DEFAULT_MARKETS.get(word, 1), 1, most))
    peers: Path | None = None if args.no_peers else args.peers
    match word:
        case "sign":
            from streaming.sim.bench.sign import bench_sign

            return bench_sign(peers, rounds=int(count), tell=_tell)
        case "decode":
            from streaming.sim.bench.decode import bench_decode

            return bench_decode(rounds=int(count), tell=_tell)
        case "replay":
            from streaming.sim.bench.replay import bench_replay

            rounds = int(_within("--rounds", args.rounds or 5, 1, 1_000))
            return bench_replay(
                seed=args.seed, scenario_name=args.scenario or "demo", count=int(count), rounds=rounds, tell=_tell
            )
        case "ingest":
            from streaming.sim.bench.ingest import bench_ingest

            rate = int(_within("--rate", args.rate or 40_000, 1, 1_000_000))
            return _run(bench_ingest(rate_per_s=rate, market_count=markets, seconds=seconds, tell=_tell))
        case _:
            from streaming.sim.bench.field import Plan, bench_tick_to_order

            plan = Plan(
                count=int(count),
                market_count=markets,
                rate_per_s=_within("--rate", args.rate or 8.0, 0.01, 1_000),
                pause_s=_within("--pause-ms", args.pause_ms, 0.0, 1_000) / 1_000,
                peers=peers,
            )
            return _run(bench_tick_to_order(plan, _tell))


def _run(job: "Coroutine[Any, Any, dict[str, Any]]") -> dict[str, Any]:
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(job)


def _end(number: int, _frame: "FrameType | None") -> None:
    raise SystemExit(128 + number)


def _within(option: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise ConfigError(f"{option}: expected {least:g} to {most:g}, found {value:g}")
    return value


def _tell(text: str) -> None:
    sys.stderr.write(f"hip3 bench: {text}\n")
    sys.stderr.flush()


def _table(result: dict[str, Any], indent: str = "") -> list[str]:
    """Return nested figures as aligned lines."""
    width = max(map(len, result), default=0)
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_table(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{name}: {item}" for item in value]
        else:
            lines.append(f"{indent}{name:<{width}}  {value}")
    return lines
