"""Flags that several commands share, and what they mean for the configuration.

Light on purpose: a command's `--help` imports argparse and this, nothing else.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming.shell.config.load import Effective

_SETTINGS = ("venue", "warehouse", "control_port", "sim_port", "account", "transport")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command with a configuration takes."""
    add_place_arguments(parser)
    parser.add_argument("--venue", help="sim, testnet or mainnet")
    parser.add_argument("--sim-port", help="port of the simulated venue on 127.0.0.1")
    parser.add_argument("--account", help="master address; without one the sidecar observes")
    parser.add_argument("--transport", help="picows or websockets")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other key, such as limits.gates.ctx_age_ms_max=5000; limits may only be tightened",
    )


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what finds the configuration and a running sidecar."""
    parser.add_argument("--config", type=Path, help="TOML file; default $HIP3_CONFIG, else ./hip3.toml if it is there")
    parser.add_argument("--warehouse", help="folder of journal, tables and control files")
    parser.add_argument("--control-port", help="port of the control API on 127.0.0.1")
    add_json_argument(parser)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_operator_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--operator`, who is written down with the command."""
    parser.add_argument("--operator", help="who asks; default $USER")


def flags_of(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the command line by dotted key.

    Raises:
        ConfigError: If `--set` is not KEY=VALUE.
    """
    from streaming.core.errors import ConfigError  # noqa: PLC0415 - a command's --help stays light

    found = {name: text for name in _SETTINGS if (text := getattr(args, name, None)) is not None}
    for assignment in getattr(args, "set", []):
        key, separator, value = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set: expected KEY=VALUE, found {assignment[:60]!r}")
        found[key.strip()] = value.strip()
    return found


def load(args: argparse.Namespace) -> "Effective":
    """Return the effective configuration of a command line; raises `ConfigError`."""
    from streaming.shell.config.load import load_config  # noqa: PLC0415 - as above

    return load_config(args.config, flags=flags_of(args))
