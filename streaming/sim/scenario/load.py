"""Scenarios by name."""

from streaming.core.errors import ConfigError
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.scenario import Scenario

NAMES = ("demo",)


def load_scenario(name: str, *, seed: int) -> Scenario:  # noqa: ARG001 - drawn universes follow from it
    """Return a scenario by name.

    Raises:
        ConfigError: No such scenario.
    """
    if name != DEMO.name:
        raise ConfigError(f"--scenario: expected one of {', '.join(NAMES)}, found {name!r}")
    return DEMO
