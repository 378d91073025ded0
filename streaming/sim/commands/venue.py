"""`hip3 venue`: run the simulated venue until Ctrl-C; with a verb, look at its markets instead."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.core.errors import ConfigError
from streaming.sim.commands.calibrate import CALIBRATE_HELP, add_calibrate_arguments, run_calibrate
from streaming.sim.commands.truth import TRUTH_HELP, add_truth_arguments, run_truth

if TYPE_CHECKING:
    from streaming.sim.venue.market.tape import HourSource

HELP = "serve the simulated venue (info, exchange, websocket) on one local port"
EXIT_PORT_OCCUPIED = 6
SEED = 7
SCENARIO = "demo"
SPEED_MIN, SPEED_MAX = 0.01, 1_000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 venue` and of its verbs."""
    _add_serve_arguments(parser, is_default=True)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs (serve when left out)")
    _add_serve_arguments(verbs.add_parser("serve", help=HELP, description=HELP), is_default=False)
    add_truth_arguments(verbs.add_parser("truth", help=TRUTH_HELP, description=TRUTH_HELP))
    add_calibrate_arguments(verbs.add_parser("calibrate", help=CALIBRATE_HELP, description=CALIBRATE_HELP))


def _add_serve_arguments(parser: argparse.ArgumentParser, *, is_default: bool) -> None:
    # Behind the verb nothing has a default, so that options before the verb keep what was said.
    def default(value: object) -> object:
        return value if is_default else argparse.SUPPRESS

    parser.add_argument(
        "--port", type=_port, default=default(8010), help="port on 127.0.0.1, 0 takes a free one (8010)"
    )
    parser.add_argument(
        "--seed", type=int, default=default(None), help=f"everything that happens follows from it ({SEED})"
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME|FILE",
        default=default(None),
        help=f"demo, drill, one, universe, showcase, or a .toml file (docs/scenario.example.toml) ({SCENARIO})",
    )
    parser.add_argument(
        "--replay", metavar="DIR", default=default(None), help="play a recorded session instead: its journal folder"
    )
    parser.add_argument("--speed", type=float, metavar="X", default=default(None), help="of the replay (1)")
    parser.add_argument("--json", action="store_true", default=default(False), help="say it in JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    match args.verb:
        case "truth":
            return run_truth(args)
        case "calibrate":
            return run_calibrate(args)
        case _:
            return _serve(args)


def _serve(args: argparse.Namespace) -> int:
    import uvloop

    from streaming.sim.venue.faults.faults import VenueFaults
    from streaming.sim.venue.server import PortOccupiedError, serve, system_now_ms

    source, facts = _source(args)

    def announce(port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        places = {
            "info": f"{base}/info",
            "exchange": f"{base}/exchange",
            "ws": f"ws://127.0.0.1:{port}/ws",
            "admin": f"{base}/admin/faults",
            "port": port,
        }
        text = f"hip3 venue: {facts['what']} on {base} (/info, /exchange, /ws; faults at /admin/faults)"
        sys.stdout.write((json.dumps(places | facts) if args.json else text) + "\n")
        sys.stdout.flush()

    try:
        uvloop.run(serve(args.port, source, announce, hooks=VenueFaults(source.scenario, system_now_ms)))
    except PortOccupiedError as error:
        sys.stderr.write(f"hip3 venue: {error}\n")
        return EXIT_PORT_OCCUPIED
    return 0


def _source(args: argparse.Namespace) -> tuple["HourSource", dict[str, str | int]]:
    if args.replay is not None:
        return _replay(args)
    from streaming.sim.markets.generator import Generator
    from streaming.sim.scenario.load import load_scenario

    if args.speed is not None:
        raise ConfigError("--speed: expected together with --replay DIR; generated markets play at their own pace")
    seed, scenario = SEED if args.seed is None else args.seed, args.scenario or SCENARIO
    what = f"simulated markets (seed {seed}, {scenario})"
    return Generator(seed, load_scenario(scenario, seed=seed)), {"what": what, "seed": seed, "scenario": scenario}


def _replay(args: argparse.Namespace) -> tuple["HourSource", dict[str, str | int]]:
    from streaming.sim.replay.recording import read_recording
    from streaming.sim.replay.source import ReplaySource
    from streaming.sim.venue.server import system_now_ms

    if args.scenario is not None:
        raise ConfigError("--replay: expected without --scenario; the recording says which markets there are")
    speed = 1.0 if args.speed is None else args.speed
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise ConfigError(f"--speed: expected {SPEED_MIN:g} to {SPEED_MAX:g}, found {speed:g}")
    if not args.json:
        sys.stderr.write(f"hip3 venue: reading {args.replay}\n")
    recording = read_recording(Path(args.replay).expanduser())
    source = ReplaySource(recording, seed=args.seed or 0, begin_ms=system_now_ms(), speed=speed)
    what = f"{recording.text} at speed {speed:g}, {source.length_s:.0f} s to play"
    return source, {"what": what, "session": recording.session_id, "market_count": len(recording.markets)}


def _port(text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected 0-65535, found {text[:20]!r}") from error
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"expected 0-65535, found {value}")
    return value
