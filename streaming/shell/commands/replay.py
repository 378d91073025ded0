"""`hip3 replay`: decide recorded inputs again (parity, what-if), or run recorded frames through everything."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streaming.shell.config.options import add_json_argument

if TYPE_CHECKING:
    from msgspec import Struct

HELP = "decide recorded inputs again and compare, or replay a file of recorded frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--session", help="parity of one journaled session; default is the newest")
    what.add_argument("--day", help="parity of every journaled session with inputs on a UTC day (YYYY-MM-DD)")
    what.add_argument("--frames", type=Path, help="JSON lines of recorded websocket frames, in any common wrapping")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what-if: any limit of the configuration, detector.edge_bps_min=3; may be given several times",
    )
    parser.add_argument("--config", help="TOML file; default $HIP3_CONFIG, else ./hip3.toml if it is there")
    parser.add_argument("--warehouse", help="folder of the journals; default from the configuration")
    parser.add_argument("--venue", help="venue of the journals; default from the configuration")
    parser.add_argument("--out", type=Path, help="with --frames: warehouse that receives the tables")
    parser.add_argument("--specs", type=Path, help="with --frames: JSON array of market specs; default is inferred")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Replay and print; 0 no difference (or a what-if, or frames), 1 a difference."""
    from streaming.contracts.paths import checked_day, checked_name
    from streaming.core.errors import ConfigError
    from streaming.shell.process.version import code_version
    from streaming.shell.replay.frames import replay_frames
    from streaming.shell.replay.parity import check_parity
    from streaming.shell.replay.place import place_of
    from streaming.shell.replay.recorded import newest_session, told_on_stderr
    from streaming.shell.replay.text import frames_text, parity_text, what_if_text
    from streaming.shell.replay.whatif import check_what_if

    if args.frames is not None:
        frames = replay_frames(
            args.frames, code_version=code_version(), out=args.out, settings=args.set, specs=args.specs
        )
        sys.stdout.write(_json(frames) if args.json else frames_text(frames))
        return 0
    root, venue = place_of(args)
    try:
        day = None if args.day is None else checked_day(args.day)
        session_id = None if args.session is None else checked_name(args.session)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if day is None and session_id is None:
        session_id = newest_session(root, venue)
    what: dict[str, Any] = {"session_id": session_id, "day": day, "tell": told_on_stderr("hip3 replay")}
    if args.set:
        what_if = check_what_if(root, venue, args.set, code_version=code_version(), **what)
        sys.stdout.write(_json(what_if) if args.json else what_if_text(what_if))
        return 0
    parity = check_parity(root, venue, code_version=code_version(), **what)
    sys.stdout.write(_json(parity) if args.json else parity_text(parity))
    return 0 if parity.is_equal else 1


def _json(report: "Struct") -> str:
    import msgspec

    return msgspec.json.encode(report).decode() + "\n"
