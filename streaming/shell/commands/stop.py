"""`hip3 stop`: sets the stop latch; no entry follows until an operator resets it."""

import argparse

from streaming.shell.config.options import add_operator_argument, add_place_arguments

HELP = "set the stop latch of the running sidecar"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)
    add_operator_argument(parser)
    parser.add_argument("--reason", required=True, help="why; kept until the reset")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, operator_of, print_answer

    body: dict[str, object] = {"reason": args.reason, "operator": operator_of(args.operator)}
    answer = connect(args).post("stop", body)
    return print_answer("stop", answer, is_json=args.json, done="stopped: no entries until `hip3 reset` and `hip3 arm`")
