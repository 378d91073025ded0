"""`hip3 preflight`: the effective configuration with the source of each value, and every reason not to start."""

import argparse
import sys

from streaming.shell.config.options import add_config_arguments

HELP = "print the effective configuration and every reason not to start; sends nothing but reads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; 0 may start, 3 refused."""
    import asyncio

    from streaming.shell.config.load import effective
    from streaming.shell.config.options import load
    from streaming.shell.config.preflight import preflight, preflight_json, preflight_text
    from streaming.shell.config.schema import config_hash
    from streaming.shell.telemetry.logs import configure_logs

    loaded = load(args)
    configure_logs()
    verdict = asyncio.run(preflight(loaded.config))
    values = effective(loaded)
    render = preflight_json if args.json else preflight_text
    sys.stdout.write(render(values, config_hash(loaded.config), verdict))
    return 3 if verdict.refusals else 0
