"""`hip3 doctor`: checks this machine and installation, not the venue."""

import argparse
import sys

from streaming.shell.config.options import add_config_arguments

HELP = "check this machine and installation: Python, clocks, disk, ports, permissions, versions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run every check; 0 fine (warnings included), 1 something would keep the sidecar from working."""
    import msgspec

    from streaming.shell.config.doctor import findings, findings_text
    from streaming.shell.config.options import load

    found = findings(load(args).config)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if args.json else findings_text(found))
    return 1 if any(finding.level == "fail" for finding in found) else 0
