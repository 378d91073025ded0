"""`hip3 venue`: run the simulated venue until Ctrl-C."""

import argparse
import json
import sys

HELP = "serve the simulated venue (info and websocket) on one local port"
EXIT_PORT_OCCUPIED = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hip3 venue`."""
    parser.add_argument("--port", type=_port, default=8010, help="port on 127.0.0.1, 0 takes a free one (8010)")
    parser.add_argument("--seed", type=int, default=7, help="everything that happens follows from it (7)")
    parser.add_argument("--scenario", choices=("demo",), default="demo", help="which market behaves how (demo)")
    parser.add_argument("--json", action="store_true", help="say it in JSON")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    import uvloop

    from streaming.sim.markets.generator import Generator
    from streaming.sim.scenario.load import load_scenario
    from streaming.sim.venue.server import PortOccupiedError, serve

    def announce(port: int) -> None:
        facts = {
            "info": f"http://127.0.0.1:{port}/info",
            "ws": f"ws://127.0.0.1:{port}/ws",
            "port": port,
            "seed": args.seed,
            "scenario": args.scenario,
        }
        text = f"hip3 venue: simulated markets (seed {args.seed}, {args.scenario}) on {facts['info']} and {facts['ws']}"
        sys.stdout.write((json.dumps(facts) if args.json else text) + "\n")
        sys.stdout.flush()

    try:
        uvloop.run(serve(args.port, Generator(args.seed, load_scenario(args.scenario, seed=args.seed)), announce))
    except PortOccupiedError as error:
        sys.stderr.write(f"hip3 venue: {error}\n")
        return EXIT_PORT_OCCUPIED
    return 0


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"expected 0-65535, found {value}")
    return value
