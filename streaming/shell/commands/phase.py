"""`hip3 phase`: an operator approves how far the running sidecar may go."""

import argparse

from streaming.shell.config.options import add_operator_argument, add_place_arguments

HELP = "approve a phase of the running sidecar: observe, paper, micro, steady or rotate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)
    add_operator_argument(parser)
    parser.add_argument("phase", help="observe, paper, micro, steady or rotate")
    parser.add_argument("--reason", required=True, help="the verdict this relies on")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, operator_of, print_answer

    body: dict[str, object] = {
        "phase": args.phase,
        "reason": args.reason,
        "operator": operator_of(args.operator),
    }
    answer = connect(args).post("phase", body)
    return print_answer("phase", answer, is_json=args.json, done=f"phase {args.phase} approved")
