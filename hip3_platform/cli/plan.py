"""What one `hip3 up` starts and where: paths, ports, and the environment of its children."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from streaming.core.errors import ConfigError, Hip3Error

ENV_PREFIX = "HIP3_"
ENV_KEPT = frozenset({"HIP3_BLACKLIST"})
"""What the platform reads. All other names with our prefix configure the user's own sidecar, not the one of `hip3 up`:
its account and its key are simulated, and a key of a real account must not come near it."""

TRADES_MAX = 1_500
"""The venue names its newest 2,000 fills, and every one of ours is compared."""


class StageFailed(Hip3Error):
    """A stage did not show what it must; the message ends with the child's last lines."""


@dataclass(frozen=True)
class Plan:
    """What to start and where."""

    root: Path
    warehouse: Path
    dagster_home: Path
    days: int
    seed: int
    scenario: str
    trade_count: int
    """Trades to wait for; 0 waits for none and trades nothing."""
    venue_port: int
    control_port: int
    dagster_port: int
    timeout_s: float
    is_once: bool
    is_json: bool

    @staticmethod
    def of(args: argparse.Namespace) -> "Plan":
        """Resolve paths; raises ConfigError where the checkout can not be found or a number makes no sense."""
        root = checkout_root(Path(args.root) if args.root else Path.cwd())
        if args.days < 1:
            raise ConfigError(f"--days: expected 1 or more, found {args.days}")
        if not 0 <= args.trades <= TRADES_MAX:
            raise ConfigError(f"--trades: expected 0 to {TRADES_MAX}, found {args.trades}")
        return Plan(
            root=root,
            warehouse=Path(args.warehouse).resolve() if args.warehouse else root / "warehouse",
            dagster_home=Path(args.dagster_home).resolve() if args.dagster_home else root / "dagster_home",
            days=args.days,
            seed=args.seed,
            scenario=args.scenario,
            trade_count=args.trades,
            venue_port=args.venue_port,
            control_port=args.control_port,
            dagster_port=args.dagster_port,
            timeout_s=args.timeout_s,
            is_once=args.once,
            is_json=args.json,
        )

    @property
    def venue_url(self) -> str:
        """Base address of the simulated venue."""
        return f"http://127.0.0.1:{self.venue_port}"

    @property
    def control_url(self) -> str:
        """Base address of the sidecar's control API and live page."""
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def dagster_url(self) -> str:
        """Address of the Dagster UI."""
        return f"http://127.0.0.1:{self.dagster_port}"

    def environment(self, account: str = "") -> dict[str, str]:
        """Return the environment of a child; Dagster rotates for `account`."""
        return child_environment(warehouse=self.warehouse, dagster_home=self.dagster_home, account=account)


def child_environment(*, warehouse: Path, dagster_home: Path, venue: str = "sim", account: str = "") -> dict[str, str]:
    """Return an environment in which Dagster serves the days of `venue` in `warehouse`, and rotates for `account`."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX) or name in ENV_KEPT}
    return {
        **kept,
        "DAGSTER_HOME": str(dagster_home),
        "HIP3_WAREHOUSE": str(warehouse),
        "HIP3_VENUE": venue,
        "HIP3_ACCOUNT": account,
        "PYTHONUNBUFFERED": "1",
    }


def checkout_root(start: Path) -> Path:
    """Return the checkout that holds `start`; raises ConfigError if none does."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "workspace.yaml").is_file() and (folder / "dagster_home" / "dagster.yaml").is_file():
            return folder
    raise ConfigError(
        f"expected a checkout of hip3 (workspace.yaml and dagster_home/dagster.yaml) at or above {start}; found none; "
        "run it there, or name it with --root"
    )
