"""`hip3 run`: the sidecar itself."""

import argparse
import sys

from streaming.shell.config.options import add_config_arguments

HELP = "watch the venue's markets live; needs `hip3 venue` for the simulated one"

EXIT_SECOND_INSTANCE = 5
EXIT_PORT_OCCUPIED = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run until a signal; returns the exit code."""
    import asyncio

    import uvloop

    from streaming.shell.config.options import load
    from streaming.shell.process.crashpoint import arm_crash_point
    from streaming.shell.process.lock import AlreadyRunning
    from streaming.shell.process.sockets import PortOccupied
    from streaming.shell.process.start import announcer, harden
    from streaming.shell.process.supervise import Supervisor
    from streaming.shell.telemetry.logs import configure_logs

    loaded = load(args)
    harden()
    arm_crash_point(loaded.config.venue)
    supervisor = Supervisor(loaded, read_config=lambda: load(args), logs=configure_logs())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(supervisor.run(announcer(is_json=args.json)))
    except AlreadyRunning as error:
        sys.stderr.write(f"hip3 run: {error}\n")
        return EXIT_SECOND_INSTANCE
    except PortOccupied as error:
        sys.stderr.write(f"hip3 run: {error}\n")
        return EXIT_PORT_OCCUPIED
