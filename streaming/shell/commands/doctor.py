"""`hip3 doctor`: checks this machine and installation and, where the venue answers, plan and account."""

import argparse
import sys

from streaming.shell.config.options import add_config_arguments

HELP = "check this machine (clocks, disk, ports, permissions, versions) and what the venue says about the account"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run every check; 0 fine (warnings included), 1 something would keep the sidecar from working."""
    import asyncio

    import msgspec

    from streaming.shell.config.account_checks import venue_findings
    from streaming.shell.config.doctor import agent_key, findings, findings_text
    from streaming.shell.config.options import load

    config = load(args).config
    found = findings(config)
    found += asyncio.run(venue_findings(config, agent_key(config)[0]))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if args.json else findings_text(found))
    return 1 if any(finding.level == "fail" for finding in found) else 0
