"""Scenarios by name or path: what `--scenario` takes."""

from pathlib import Path

from streaming.core.errors import ConfigError
from streaming.sim.scenario.demo import DEMO, DRILL, ONE
from streaming.sim.scenario.draw import SHOWCASE_NAME, UNIVERSE_NAME, draw_showcase, draw_universe
from streaming.sim.scenario.files import SUFFIX, read_scenario
from streaming.sim.scenario.scenario import Scenario

_FIXED = {scenario.name: scenario for scenario in (DEMO, DRILL, ONE)}
NAMES = (DEMO.name, DRILL.name, ONE.name, UNIVERSE_NAME, SHOWCASE_NAME)


def load_scenario(name_or_path: str, *, seed: int) -> Scenario:
    """Return a built-in scenario by name, or read a file: whatever has a folder in it or ends in `.toml`.

    Args:
        name_or_path: `demo`, `drill`, `one`, `universe`, `showcase`, or the path of a TOML file.
        seed: Drawn universes follow from it.

    Raises:
        ConfigError: No such scenario, or the file names a key that is wrong.
    """
    if "/" in name_or_path or name_or_path.endswith(SUFFIX):
        return read_scenario(Path(name_or_path).expanduser(), lambda name: _built_in(name, seed))
    return _built_in(name_or_path, seed)


def _built_in(name: str, seed: int) -> Scenario:
    if name == UNIVERSE_NAME:
        return draw_universe(seed)
    if name == SHOWCASE_NAME:
        return draw_showcase(seed)
    if name not in _FIXED:
        raise ConfigError(f"--scenario: expected one of {', '.join(NAMES)} or a .toml file, found {name[:60]!r}")
    return _FIXED[name]
