"""`hip3 project`: make tables of recorded journals; `--rebuild` proves that the sealed tables hold the same rows."""

import argparse
import json
import sys

from streaming.shell.config.options import add_json_argument

HELP = "make tables of closed journal segments, or prove sealed ones with --rebuild"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--config", help="TOML file; default $HIP3_CONFIG, else ./hip3.toml if it is there")
    parser.add_argument("--warehouse", help="folder of journal and tables; default from the configuration")
    parser.add_argument("--venue", help="default from the configuration")
    parser.add_argument("--session", help="one session; default is every one with segments left to project")
    parser.add_argument(
        "--rebuild", action="store_true", help="project all segments again; a sealed part that would change is refused"
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Project and print one line a segment; raises `StoreError` on damage or a difference."""
    from dataclasses import asdict

    from streaming.shell.replay.place import place_of
    from streaming.shell.tables.project import project_venue
    from streaming.shell.telemetry.logs import configure_logs

    configure_logs(level="warning")
    root, venue = place_of(args)
    done = project_venue(root, venue, session_id=args.session, rebuild=args.rebuild)
    if args.json:
        sys.stdout.write(json.dumps({"venue": venue, "segments": [asdict(item) for item in done]}) + "\n")
        return 0
    for item in done:
        sys.stdout.write(
            f"{item.session_id} segment {item.segment}: {item.input_count} inputs, {item.row_count} rows, "
            f"{item.part_count} new parts, {item.repaired_count} repaired\n"
        )
    sys.stdout.write(f"{len(done)} segments {'proved' if args.rebuild else 'projected'}\n")
    return 0
