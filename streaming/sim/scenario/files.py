"""Scenario files: a universe of one's own in TOML, checked key by key.

Rule 1: an error names the file and the key and says what was expected and what was found; all impossible values of a
file are told at once.
Rule 2: `base` starts from a built-in scenario: a market of the file replaces the one of the same coin or joins at the
end of its dex. Without markets of its own a file has the very markets of its base, whatever else it changes.
Rule 3: the scenario's name carries a digest of dexes, markets and characters, never of rules or faults: switching on a
fault does not change the markets it strikes.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streaming.core.errors import ConfigError
from streaming.sim.scenario.characters import Character
from streaming.sim.scenario.fault_check import fault_problems
from streaming.sim.scenario.faults import FaultSpec
from streaming.sim.scenario.rules import VenueRules
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import (
    FEE_SCALE_MAX,
    FEE_SCALE_MAX_GROWTH,
    VALIDATOR_DEX,
    Dex,
    Market,
    Universe,
)

SUFFIX = ".toml"
MARKET_COUNT_MAX = 500
_SCALED_MAX = 2**53
_DEFAULT_DEXES = (Dex(name=VALIDATOR_DEX, full_name="validator"),)
_MOST = {"spread_bps": 2_000, "vol_bps": 100, "depth_usd": 1e12, "oi_usd": 1e12, "volume_usd": 1e12}
_NAMED = re.compile(r"[a-z_0-9]+( [^:]*)?: expected ")
_INDEX = re.compile(r"\[(\d+)\]")


class MarketEntry(Market, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market of a scenario file: its facts and how it behaves."""

    character: Character
    """Label and parameters of its behaviour."""

    def market(self) -> Market:
        """Return the facts alone."""
        return Market(**{name: getattr(self, name) for name in Market.__struct_fields__})


class ScenarioFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a scenario file may hold. The generator's seed comes from the command line, not from here."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
    """Name of the scenario; a digest of its markets is added."""
    base: str | None = None
    """Built-in scenario to start from: its dexes, markets and characters."""
    dexes: tuple[Dex, ...] = ()
    """Dexes beside those of the base; the first of all is the validator dex, with an empty name."""
    markets: tuple[MarketEntry, ...] = ()
    """Markets that replace or join those of the base."""
    rules: VenueRules = VenueRules()
    """Network, delays, balances and limits."""
    faults: tuple[FaultSpec, ...] = ()
    """Faults that begin by themselves."""


def read_scenario(path: Path, base_of: Callable[[str], Scenario]) -> Scenario:
    """Read a scenario file.

    Args:
        path: The TOML file.
        base_of: Returns a built-in scenario by name; raises ConfigError for others.

    Raises:
        ConfigError: Naming the file and every key that is wrong.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigError(
            f"--scenario: expected a readable file, found no regular file at {path}"
        )  # a device may not end
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"--scenario: expected a readable file, found {error.strerror} at {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, found {str(error)[:150]}; correct that line") from error
    if infinite := [*_not_finite(tree, "")]:
        raise ConfigError(f"{path}: expected finite numbers, found others at {', '.join(infinite)}")
    try:
        file = msgspec.convert(tree, ScenarioFile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_readable(str(error), tree)}") from error
    try:
        base = None if file.base is None else base_of(file.base)
    except ConfigError as error:
        raise ConfigError(f"{path}: base: {str(error).removeprefix('--scenario: ')}") from error
    scenario = _merged(file, base)
    if problems := [*scenario_problems(file, scenario)]:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return scenario


def _merged(file: ScenarioFile, base: Scenario | None) -> Scenario:
    known = base.universe if base is not None else Universe(dexes=_DEFAULT_DEXES, markets=())
    own_dexes = {dex.name: dex for dex in file.dexes}
    dexes = tuple(own_dexes.pop(dex.name, dex) for dex in known.dexes) + tuple(own_dexes.values())
    own = {entry.coin: entry.market() for entry in file.markets}
    characters = {entry.coin: entry.character for entry in file.markets}
    markets = tuple(own.pop(market.coin, market) for market in known.markets) + tuple(own.values())
    if base is not None:
        characters = dict(base.characters) | characters
    name = base.name if base is not None and not file.markets and not file.dexes else None
    return Scenario(
        name=name or f"{file.name}-{_digest(dexes, markets, characters)}",
        universe=Universe(dexes=dexes, markets=markets),
        characters=characters,
        rules=file.rules,
        faults=file.faults,
    )


def _digest(*parts: Any) -> str:  # noqa: ANN401 - whatever msgspec encodes
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:8]


def scenario_problems(file: ScenarioFile, scenario: Scenario) -> Iterator[str]:
    """Yield what the types of a file can not refuse: values that contradict each other."""
    universe = scenario.universe
    for index, dex in enumerate(file.dexes):
        if dex.name in {other.name for other in file.dexes[:index]}:
            yield f"dexes[{index}].name: expected every dex once, found {dex.name!r} again"
    if not universe.builder_markets:
        yield "markets: expected at least one market of a builder dex, such as `xyz:NVDA`, found none"
    if len(universe.markets) > MARKET_COUNT_MAX:
        yield f"markets: expected at most {MARKET_COUNT_MAX}, found {len(universe.markets)}"
    for index, entry in enumerate(file.markets):
        if entry.coin in {other.coin for other in file.markets[:index]}:
            yield f"markets[{index}].coin: expected every market once, found {entry.coin!r} again"
        if entry.dex not in universe.by_dex:
            yield f"markets[{index}].coin: expected a dex among {[*universe.by_dex]}, found {entry.dex!r}"
        yield from (f"markets[{index}].{problem}" for problem in market_problems(entry))
    for index, spec in enumerate(file.faults):
        yield from (f"faults[{index}].{problem}" for problem in fault_problems(spec, universe))


def market_problems(market: Market) -> Iterator[str]:
    """Yield facts of a market that can not be together."""
    units = market.px * 10**market.px_decimals
    if not 100 <= units <= _SCALED_MAX:
        low = 100 / 10**market.px_decimals
        yield f"px: expected at least {low:g} with sz_decimals {market.sz_decimals}, found {market.px:g}"
    if market.touch_usd / market.px * 10**market.sz_decimals < 1:
        yield (
            f"touch_usd: expected at least one lot, which is {market.px / 10**market.sz_decimals:g} USD, "
            f"found {market.touch_usd:g}"
        )
    if market.depth_usd < market.touch_usd:
        yield f"depth_usd: expected at least touch_usd ({market.touch_usd:g}), found {market.depth_usd:g}"
    if market.oi_usd > market.oi_cap_usd:
        yield f"oi_usd: expected at most oi_cap_usd ({market.oi_cap_usd:g}), found {market.oi_usd:g}"
    scale_max = FEE_SCALE_MAX_GROWTH if market.is_growth_mode else FEE_SCALE_MAX
    if not (market.fee_scale.is_finite() and 0 <= market.fee_scale <= scale_max):
        yield f"fee_scale: expected 0 to {scale_max}, found {market.fee_scale}"
    for name, most in _MOST.items():
        if getattr(market, name) > most:
            yield f"{name}: expected at most {most:g}, found {getattr(market, name):g}"


def _not_finite(tree: Any, key: str) -> Iterator[str]:  # noqa: ANN401 - whatever TOML holds
    if isinstance(tree, Decimal) and not tree.is_finite():
        yield key
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from _not_finite(value, f"{key}.{name}" if key else name)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _not_finite(value, f"{key}[{index}]")


def _readable(message: str, tree: dict[str, Any]) -> str:
    """Turn msgspec's ``Expected `float` > 0.0 - at `$.markets[0].px` `` into key, expected and found."""
    what, separator, place = message.partition(" - at ")
    if not separator:
        return f"{what[:1].lower()}{what[1:]}"
    key = place.strip("`").removeprefix("$").removeprefix(".")
    found: Any = tree
    for part in _INDEX.sub(r".\1", key).split("."):
        if isinstance(found, list):
            found = found[int(part)] if part.isdigit() and int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, dict) else None
    if _NAMED.match(what):
        # A struct refused values that do not fit together, and named them itself.
        return f"{key}.{what}"
    if isinstance(found, dict | list) or found is None:
        return f"{key}: {what[:1].lower()}{what[1:]}"
    return f"{key}: {what[:1].lower()}{what[1:]}, found {str(found)[:60]!r}"
