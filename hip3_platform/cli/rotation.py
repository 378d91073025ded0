"""`hip3 rotation`: what the newest rotation says of every market; approve what it proposes; go back to an older one."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming.contracts.rotation import RotationDoc

HELP = "show the newest rotation, approve the markets it proposes, or roll back to an older version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--warehouse", type=Path, help="default $HIP3_WAREHOUSE, else ./warehouse")
    shared.add_argument("--venue", help="default $HIP3_VENUE, else sim")
    shared.add_argument("--json", action="store_true", help="print the document as JSON")
    acting = argparse.ArgumentParser(add_help=False)
    acting.add_argument("--reason", required=True, help="written into the document and kept")
    acting.add_argument("--operator", help="who asks; default $USER")
    acting.add_argument("--version", type=int, help="the version you looked at; refused if it is not the newest")
    verbs = parser.add_subparsers(dest="verb", required=True)
    show = verbs.add_parser("show", parents=[shared], help="every market with its decision and why")
    show.add_argument("--version", type=int, help="an older version")
    approve = verbs.add_parser("approve", parents=[shared, acting], help="let proposed markets in")
    approve.add_argument("coins", nargs="*", help="full names, such as xyz:NVDA; default all that are proposed")
    rollback = verbs.add_parser("rollback", parents=[shared, acting], help="an older content as a new version")
    rollback.add_argument("--to", type=int, required=True, metavar="VERSION", help="version whose content comes back")


def run(args: argparse.Namespace) -> int:
    """Do it and print the document that is in force then; 1 when it is refused."""
    from hip3_platform.analytics.rotating import archive
    from hip3_platform.analytics.rotating.document import RotationRefused

    root = args.warehouse or Path(os.environ.get("HIP3_WAREHOUSE") or "warehouse")
    venue = args.venue or os.environ.get("HIP3_VENUE") or "sim"
    if args.verb == "show":
        doc = archive.newest(root, venue) if args.version is None else archive.read_version(root, venue, args.version)
        if doc is None:
            raise RotationRefused(f"there is no rotation of {venue} in {root}; a closed day makes one")
        return _print(doc, is_json=args.json, versions=archive.versions(root, venue))
    if not args.reason.strip():
        raise RotationRefused("--reason: expected why, found nothing")
    who = {"version": args.version, "operator": args.operator or getpass.getuser(), "reason": args.reason.strip()}
    if args.verb == "approve":
        made = archive.approve(root, venue, coins=args.coins, **who)
    else:
        made = archive.roll_back(root, venue, to_version=args.to, **who)
    return _print(made, is_json=args.json, versions=archive.versions(root, venue))


def _print(doc: "RotationDoc", *, is_json: bool, versions: tuple[int, ...]) -> int:
    from streaming.contracts.rotation import encode_rotation

    text = encode_rotation(doc).decode() if is_json else "\n".join(_lines(doc, versions))
    sys.stdout.write(text + "\n")
    return 0


def _lines(doc: "RotationDoc", versions: tuple[int, ...]) -> list[str]:
    allowed = {m.coin: m for m in doc.markets}
    found = [f"rotation {doc.version} of {doc.venue}, account {doc.account}, as of {doc.as_of_day}"]
    if doc.note:
        found.append(f"note: {doc.note}")
    for told in doc.explanations:
        market = allowed.get(told.coin)
        notional = "" if market is None else f" up to {market.ntl_max} USD"
        found.append(f"  {told.coin:<16} {told.decision:<11}{notional} {told.reason}")
    if doc.proposed:
        found.append(f"approve with: hip3 rotation approve --version {doc.version} --reason ...")
    return [*found, f"versions stored: {', '.join(map(str, versions[-8:])) or 'none'}"]
