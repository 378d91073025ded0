"""`hip3 arm`: lets entries happen, as far as phase, gates and rotation allow; `--off` takes it back."""

import argparse

from streaming.shell.config.options import add_operator_argument, add_place_arguments

HELP = "arm or disarm entries of the running sidecar"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)
    add_operator_argument(parser)
    parser.add_argument("--off", action="store_true", help="disarm")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, operator_of, print_answer

    body: dict[str, object] = {"is_armed": not args.off, "operator": operator_of(args.operator)}
    answer = connect(args).post("arm", body)
    return print_answer("arm", answer, is_json=args.json, done="disarmed" if args.off else "armed")
