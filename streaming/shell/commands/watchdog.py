"""`hip3 watchdog`: flattens, reduce-only, when the sidecar's heartbeat is stale."""

import argparse
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.shell.config.options import add_config_arguments

if TYPE_CHECKING:
    from streaming.shell.watchdog.guard import Line

HELP = "close the account's positions, reduce-only, when the sidecar stops living; needs an agent key of its own"

EXIT_SECOND_INSTANCE = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    # Else `--password X` would be taken for `--password-file X`, whose error prints what was typed.
    parser.allow_abbrev = False
    add_config_arguments(parser)
    parser.add_argument("--key-file", type=Path, required=True, help="agent key of the watchdog, never the sidecar's")
    parser.add_argument("--password-file", type=Path, help="password of that key if it is a keystore")
    parser.add_argument("--stale-s", type=int, default=15, help="silence after which it acts; default 15, at least 5")
    parser.add_argument(
        "--slippage-bps-max",
        type=_decimal,
        default=Decimal(300),
        help="furthest from the mark price that a close may be filled; default 300",
    )
    parser.add_argument("--once", action="store_true", help="check key, approval and heartbeat, send nothing, and end")


def run(args: argparse.Namespace) -> int:
    """Watch until a signal; returns the exit code."""
    import asyncio

    import uvloop

    from streaming.shell.config.options import load
    from streaming.shell.process.lock import AlreadyRunning
    from streaming.shell.process.start import harden
    from streaming.shell.telemetry.logs import configure_logs
    from streaming.shell.watchdog.process import Options, look_once, watch_over

    config = load(args).config
    harden()
    configure_logs()
    options = Options(
        key_file=args.key_file.expanduser(),
        password_file=args.password_file.expanduser() if args.password_file else None,
        stale_s=args.stale_s,
        slippage_bps_max=args.slippage_bps_max,
    )
    job = look_once if args.once else watch_over
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(job(config, options, _sayer(is_json=args.json)))
    except AlreadyRunning as error:
        sys.stderr.write(f"hip3 watchdog: {error}\n")
        return EXIT_SECOND_INSTANCE


def _sayer(*, is_json: bool) -> Callable[["Line"], None]:
    from streaming.shell.watchdog.text import json_line, text_line

    def say(line: "Line") -> None:
        sys.stdout.write((json_line(line) if is_json else text_line(line)) + "\n")
        sys.stdout.flush()

    return say


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise argparse.ArgumentTypeError(f"expected a number, found {text[:40]!r}")
    return value
