"""A scenario: the universe, the character of every market, the rules of the venue, and planned faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.sim.scenario.characters import Character
from streaming.sim.scenario.faults import FaultSpec
from streaming.sim.scenario.rules import VenueRules
from streaming.sim.scenario.universe import Universe


@dataclass(frozen=True)
class Scenario:
    """Everything but the seed that decides what happens."""

    name: str
    """Part of the generator's seed and of session ids: a file's name carries a digest of its content."""
    universe: Universe
    characters: Mapping[str, Character]
    """Market → character; one for every market of the universe."""
    rules: VenueRules = field(default_factory=VenueRules)
    faults: tuple[FaultSpec, ...] = ()
