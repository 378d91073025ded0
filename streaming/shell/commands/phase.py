"""`hip3 phase`: what stands against the next phase; an operator's approval of it, or his step back."""

import argparse
import sys
from typing import TYPE_CHECKING

from streaming.shell.config.options import add_operator_argument, add_place_arguments

if TYPE_CHECKING:
    from streaming.contracts.control import StatusView
    from streaming.shell.control.client import Client

HELP = "show the verdict on the phases; approve the next phase, or go back to a lower one"
_PHASES = ("observe", "paper", "micro", "steady", "rotate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in (
        ("status", "every row of the newest verdict, what is missing, and the file it stands in"),
        ("approve", "let the running sidecar go further; relies on the newest verdict, whose rows have to be PASS"),
        ("demote", "take the running sidecar back to a lower phase; needs no verdict"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        add_place_arguments(verb)
        if name != "status":
            add_operator_argument(verb)
            verb.add_argument("--to", required=True, choices=_PHASES, metavar="PHASE", help=", ".join(_PHASES))
            verb.add_argument("--reason", required=True, help="why, in a sentence: it is written down")


def run(args: argparse.Namespace) -> int:
    """Run the verb: 0 done, 1 refused."""
    if args.verb == "status":
        return _status(args)
    return _change(args)


def _status(args: argparse.Namespace) -> int:
    from streaming.shell.config.options import load
    from streaming.shell.control.client import NotRunning
    from streaming.shell.control.phase_view import newest_verdict, phase_json, phase_text

    config = load(args).config
    try:
        running = _running(args)[1]
    except NotRunning:
        running = None
    cited = newest_verdict(config.root, config.venue if running is None else running.venue)
    if args.json:
        sys.stdout.write(phase_json(running, cited) + "\n")
    else:
        sys.stdout.write(phase_text(running, cited))
    return 0


def _change(args: argparse.Namespace) -> int:
    from streaming.shell.config.options import load
    from streaming.shell.control.client import operator_of, print_answer
    from streaming.shell.control.phase_view import newest_verdict

    client, running = _running(args)
    wanted, now = _PHASES.index(args.to), _PHASES.index(running.phase)
    if (wanted < now) if args.verb == "approve" else (wanted > now):
        other = "demote" if args.verb == "approve" else "approve"
        sys.stderr.write(
            f"hip3 phase: refused: the phase is {running.phase}: {args.to} is not for `hip3 phase {args.verb}`; use "
            f"`hip3 phase {other}`\n"
        )
        return 1
    body: dict[str, object] = {"phase": args.to, "reason": args.reason, "operator": operator_of(args.operator)}
    done = f"phase {args.to}"
    if args.verb == "approve" and not _is_simulated(args, running):
        cited = newest_verdict(load(args).config.root, running.venue)
        if cited.doc is not None:
            body["verdict"] = cited.raw.decode()
            done += f", by the verdict of {cited.doc.day}, sha256 {cited.sha256}"
    answer = client.post("phase", body)
    return print_answer("phase", answer, is_json=args.json, done=done)


def _is_simulated(args: argparse.Namespace, running: "StatusView") -> bool:
    # Mirrors the engine's rule, which decides: such an approval relies on no document, so it cites none.
    return (running.venue, args.to, args.reason) == ("sim", "micro", "simulated")


def _running(args: argparse.Namespace) -> "tuple[Client, StatusView]":
    """Return the client and the status of the running sidecar; raises `NotRunning`."""
    import msgspec

    from streaming.contracts.control import API_PREFIX, StatusView
    from streaming.shell.control.client import NotRunning, connect

    client = connect(args)
    raw = client.get(f"{API_PREFIX}/status")
    try:
        return client, msgspec.json.decode(raw, type=StatusView)
    except msgspec.MsgspecError as error:
        raise NotRunning(f"expected a status of this version, found {str(error)[:100]}: {raw[:80]!r}") from error
