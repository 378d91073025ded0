"""`hip3 status`: what the running sidecar is doing, as a table or as JSON."""

import argparse
import sys

from streaming.shell.config.options import add_place_arguments

HELP = "show what the running sidecar is doing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and print; a sidecar that is down is an error that says where was looked."""
    import msgspec

    from streaming.contracts.control import API_PREFIX, StatusView
    from streaming.shell.control.client import NotRunning, connect
    from streaming.shell.control.status_text import status_text

    raw = connect(args).get(f"{API_PREFIX}/status")
    try:
        view = msgspec.json.decode(raw, type=StatusView)
    except msgspec.MsgspecError as error:
        raise NotRunning(f"expected a status of this version, found {str(error)[:100]}: {raw[:80]!r}") from error
    sys.stdout.write(raw.decode() + "\n" if args.json else status_text(view))
    return 0
