"""Which warehouse and venue a command over recorded data means: its flags, else the configuration."""

import argparse
from pathlib import Path

from streaming.contracts.paths import VENUES
from streaming.core.errors import ConfigError
from streaming.shell.config.load import load_config


def place_of(args: argparse.Namespace) -> tuple[Path, str]:
    """Return (warehouse, venue).

    Raises:
        ConfigError: The configuration can not be used, or the venue is none of ours.
    """
    flags = {"warehouse": args.warehouse} if args.warehouse else {}
    config = load_config(Path(args.config) if args.config else None, flags=flags).config
    # Wider than the configuration's own choice: tables of replayed recordings have a venue too.
    venue = args.venue or config.venue
    if venue not in VENUES:
        raise ConfigError(f"--venue: expected one of {', '.join(VENUES)}, found {venue[:40]!r}")
    return config.root, venue
