"""`hip3 reset`: clears the stop latch, with a reason; entries stay disarmed until `hip3 arm`."""

import argparse

from streaming.shell.config.options import add_operator_argument, add_place_arguments

HELP = "clear the stop latch of the running sidecar"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)
    add_operator_argument(parser)
    parser.add_argument("--reason", required=True, help="what was found and done about the stop")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, operator_of, print_answer

    body: dict[str, object] = {"reason": args.reason, "operator": operator_of(args.operator)}
    answer = connect(args).post("reset", body)
    done = "reset: the stop latch is clear; `hip3 arm` lets entries happen again"
    return print_answer("reset", answer, is_json=args.json, done=done)
