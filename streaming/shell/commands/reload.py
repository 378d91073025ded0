"""`hip3 reload`: the running sidecar reads its configuration again and applies limits that are tighter."""

import argparse

from streaming.shell.config.options import add_place_arguments

HELP = "apply tighter limits of the configuration file without a restart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    from streaming.shell.control.client import connect, print_answer

    answer = connect(args).post("reload", {})
    return print_answer("reload", answer, is_json=args.json, done="reloaded: the file's limits are in force")
