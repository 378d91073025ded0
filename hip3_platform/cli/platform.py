"""`hip3 platform`: Dagster over a sidecar's warehouse: closed days judged, the rotation handed back; until Ctrl-C.

Rule 1: venue and account are those of the sidecar that runs over the warehouse; named ones have to equal them. Days of
another venue would be judged without a word, and a rotation for another account is refused by the sidecar.
Rule 2: Dagster takes the place of this process, so signals and exit codes are its own.
Rule 3: every venue has a Dagster home of its own: asset keys name no venue, and days of two would stand in one list.
"""

import argparse
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HELP = "judge closed days with Dagster and hand the rotation to the running sidecar; until Ctrl-C"
DAGSTER_PORT = 3000
EXIT_OCCUPIED = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Whose days are judged."""

    venue: str
    account: str
    """Master address; empty for an observing sidecar, whose rotation is for paper alone."""
    why: str
    """Where venue and account were found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; beside a running sidecar none is needed."""
    parser.add_argument("--warehouse", type=Path, help="default $HIP3_WAREHOUSE, else <root>/warehouse")
    parser.add_argument("--venue", help="sim, testnet or mainnet; default the running sidecar's, else $HIP3_VENUE")
    parser.add_argument("--account", help="master address; default the running sidecar's, else $HIP3_ACCOUNT")
    parser.add_argument("--root", type=Path, help="checkout with workspace.yaml (default: here or above)")
    parser.add_argument("--dagster-home", type=Path, help="Dagster's own state; default <root>/dagster_home/<venue>")
    parser.add_argument("--dagster-port", type=int, default=DAGSTER_PORT, help=f"default {DAGSTER_PORT}")
    parser.add_argument("--json", action="store_true", help="print what is started as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Become Dagster; 6 when the port or the Dagster home is occupied.

    Raises:
        ConfigError: The venue is unknown, or venue or account is not the running sidecar's.
    """
    import msgspec

    from hip3_platform.cli.dagster_dev import dagster_words, hold_dagster_home, is_occupied, prepare_dagster_home
    from hip3_platform.cli.plan import checkout_root, child_environment

    root = checkout_root(args.root or Path.cwd())
    warehouse = (args.warehouse or Path(os.environ.get("HIP3_WAREHOUSE") or root / "warehouse")).resolve()
    place = place_of(warehouse, args.venue or "", args.account or "")
    home = (args.dagster_home or root / "dagster_home" / place.venue).resolve()
    if is_occupied(args.dagster_port):
        _say(f"port {args.dagster_port} is occupied: end what listens there, or choose another with --dagster-port")
        return EXIT_OCCUPIED
    if hold_dagster_home(home) is None:
        _say(f"{home} is in use by another Dagster: end that one, or choose another home with --dagster-home")
        return EXIT_OCCUPIED
    if aside := prepare_dagster_home(root, home, warehouse):
        _say(f"the warehouse is new: Dagster's memory of an older one was put aside in {aside}")
    url = f"http://127.0.0.1:{args.dagster_port}/"
    if args.json:
        place_told = {"venue": place.venue, "account": place.account}
        told = {"url": url, **place_told, "warehouse": str(warehouse), "dagster_home": str(home)}
        print(msgspec.json.encode(told).decode(), flush=True)
    _say(f"Dagster: {url} judges {place.venue} for {place.account or 'paper alone'} ({place.why}) in {warehouse}")
    _say("a day is judged minutes after it closed (UTC) and its last rows are sealed; Ctrl-C ends Dagster alone")
    return _become(
        dagster_words(root, args.dagster_port),
        child_environment(warehouse=warehouse, dagster_home=home, venue=place.venue, account=place.account),
    )


def _become(words: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    # Dagster ends at SIGTERM as it would at SIGINT, which a shell has its background jobs ignore: it would never end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(words[0], words, environment)  # noqa: S606 - our own interpreter, no shell


def place_of(warehouse: Path, venue: str, account: str) -> Place:
    """Return whose days are judged.

    Args:
        warehouse: Where a sidecar may run.
        venue: As named by the user; empty if he did not.
        account: Likewise.

    Raises:
        ConfigError: Nothing says which venue, no venue has that name, or a running sidecar says another one.
    """
    from hip3_platform.resources.sidecar import SidecarAbsent, SidecarResource
    from streaming.contracts.paths import VENUES
    from streaming.core.errors import ConfigError

    try:
        running = SidecarResource(root=str(warehouse)).status()
    except SidecarAbsent:
        venue = venue or os.environ.get("HIP3_VENUE", "")
        if not venue:
            raise ConfigError(
                f"expected a running sidecar of {warehouse} or --venue, found neither; start `hip3 run`, or name it"
            ) from None
        if venue not in VENUES:  # it names folders, and days of a misspelt one would be waited for in silence
            raise ConfigError(f"--venue: expected one of {', '.join(VENUES)}, found {venue[:40]!r}") from None
        return Place(venue, (account or os.environ.get("HIP3_ACCOUNT", "")).lower(), "no sidecar runs there")
    theirs = {"venue": running.venue, "account": running.account.lower()}
    for name, named in (("venue", venue), ("account", account.lower())):
        if named and named != theirs[name]:
            raise ConfigError(
                f"--{name}: expected {theirs[name] or 'none'}, which the sidecar running over {warehouse} has, found "
                f"{named}; leave the option out, or choose another warehouse"
            )
    return Place(theirs["venue"], theirs["account"], "as the running sidecar says")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
