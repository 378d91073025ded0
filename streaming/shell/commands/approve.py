"""`hip3 approve`: an operator accepts a market's changed specification, which gate 5 holds back after a second one."""

import argparse

from streaming.shell.config.options import add_operator_argument, add_place_arguments

HELP = "accept the changed specification of a market"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)
    add_operator_argument(parser)
    parser.add_argument("coin", help="full name, such as xyz:NVDA")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, operator_of, print_answer

    body: dict[str, object] = {"coin": args.coin, "operator": operator_of(args.operator)}
    answer = connect(args).post("approve", body)
    return print_answer("approve", answer, is_json=args.json, done=f"{args.coin}: the changed spec is approved")
