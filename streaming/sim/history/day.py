"""A UTC day of the simulated venue that is to be written: its session, its span, and what became of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import checked_day, day_begin_ns, manifest_path
from streaming.core.state import SessionInfo
from streaming.core.units import NS_PER_MS
from streaming.shell.config.schema import Config, config_hash, config_json
from streaming.shell.process.version import code_version
from streaming.shell.tables.seal import write_sealed
from streaming.sim.markets.generator import HOUR_MS

VENUE: Literal["sim"] = "sim"
DAY_MS = 24 * HOUR_MS
POLL_MS = 30_000
"""Between two polls of the registry."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What to write."""

    root: str
    """The warehouse."""
    day: str
    seed: int
    scenario: str
    """Name of a built-in scenario, or the path of a file."""
    scenario_name: str = "demo"
    """What the scenario calls itself; a file's name carries a digest of its markets."""
    is_columnar: bool = False
    """Market data alone, without the engine."""

    @property
    def session_id(self) -> str:
        """Name of the session that a history day is; the same for the same day, seed and scenario."""
        kind = "cols" if self.is_columnar else "hist"
        mark = "" if self.scenario_name == "demo" else f"-{self.scenario_name}"
        return f"{kind}-{self.day}-s{self.seed}{mark}"

    @property
    def manifest(self) -> Path:
        """Manifest of the day's session."""
        return manifest_path(Path(self.root), VENUE, self.session_id)

    @property
    def begin_ms(self) -> int:
        """First instant of the day, ms UTC."""
        return day_begin_ns(checked_day(self.day)) // NS_PER_MS


@dataclass(slots=True)
class Counts:
    """What a day came to."""

    event_count: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    def add(self, lines: Iterable[ManifestLine]) -> None:
        """Count the rows of sealed parts."""
        for line in lines:
            self.rows[line.table] += line.row_count


class Identity(NamedTuple):
    """Whose rows they are, and the configuration they were made under."""

    session: SessionInfo
    config: Config
    config_json: str

    @classmethod
    def of(cls, day: Day) -> "Identity":
        """Return the identity of a day's session: the default configuration on the simulated venue."""
        config = Config(venue=VENUE)
        session = SessionInfo(
            session_id=day.session_id,
            venue=VENUE,
            account="",
            code_version=code_version(),
            config_hash=config_hash(config),
        )
        return cls(session, config, config_json(config))


def announce(day: Day, lines: Iterable[ManifestLine]) -> None:
    """Make a complete day known: written aside and renamed, so that a day begun and not finished does not exist."""
    write_sealed(day.manifest, b"".join(map(encode_line, lines)))
