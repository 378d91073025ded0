"""The throw-away account that `hip3 up` trades for: a simulated master, an agent it approves, a configuration.

Rule 1: every start has an account of its own. The simulated venue forgets all accounts when it ends, and an account
that came back empty would be money that vanished (`reconciliations`).
Rule 2: the master's key exists until the agent is approved, the agent's as long as `hip3 up` runs; both lie in files of
mode 0600 in a folder of mode 0700, and neither is printed.
Rule 3: the sidecar reads the file written here and no other: a user's hip3.toml is neither read nor changed.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hip3_platform.cli.plan import Plan
from streaming.contracts.paths import control_folder

AGENT_NAME = "hip3"
Hip3 = Callable[[str, Sequence[str]], bytes]
"""Runs a command of `hip3` under a name and returns what it printed."""


@dataclass(frozen=True)
class SimAccount:
    """An account of the simulated venue and the configuration that trades for it."""

    address: str
    """Of the master, lower case: what a rotation names."""
    agent: str
    config_file: Path


@contextmanager
def sim_account(plan: Plan, hip3: Hip3) -> Iterator[SimAccount]:
    """Make an account on the venue of `plan`; its files are gone afterwards.

    Args:
        plan: The venue has to answer already.
        hip3: Raises when a command fails.
    """
    control = control_folder(plan.warehouse)
    control.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="up-", dir=control))
    try:
        yield _make(plan, hip3, folder)
    finally:
        shutil.rmtree(folder)


def _make(plan: Plan, hip3: Hip3, folder: Path) -> SimAccount:
    agent_file = folder / "agent.key"
    agent = _new_key(hip3, "agent", agent_file)
    with tempfile.TemporaryDirectory(dir=folder) as short_lived:
        master_file = Path(short_lived) / "master.key"
        master = _new_key(hip3, "master", master_file)
        hip3(
            "approve",
            ("keys", "approve", "--venue", "sim", "--sim-port", str(plan.venue_port), "--agent", agent,
             "--name", AGENT_NAME, "--master-key-file", str(master_file)),
        )  # fmt: skip
    config_file = folder / "hip3.toml"
    config_file.write_text(config_text(plan, master, agent_file))
    return SimAccount(master, agent, config_file)


def _new_key(hip3: Hip3, name: str, path: Path) -> str:
    facts = json.loads(hip3(f"keys-{name}", ("keys", "new", "--raw", "--key-file", str(path), "--json")))
    return str(facts["address"]).lower()


def config_text(plan: Plan, account: str, agent_key_file: Path) -> str:
    """Return the sidecar's configuration."""
    # JSON's strings are TOML's basic strings.
    return f"""\
# Written by `hip3 up` for the simulated venue; gone when it ends.
venue = "sim"
sim_port = {plan.venue_port}
control_port = {plan.control_port}
warehouse = {json.dumps(str(plan.warehouse))}
account = {json.dumps(account)}
agent_key_file = {json.dumps(str(agent_key_file))}

[limits.losses]
# The drill's markets always have an outside price, on a Sunday too.
is_closed_session_traded = true
"""
