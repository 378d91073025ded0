"""What is scored: plans of markets, and universes as draws of noise under them.

Rule 1: a plan is a run of the venue: scenario and seed decide its markets, regimes, halts and changes. Its truth is
what `hip3 venue truth` finds for the same scenario, seed and dates. Plan k has the seed S + k, and dates of its own:
windows begin on all days of the week, for most underlyings rest at weekends.
Rule 2: a universe is a plan under noise of its own, which no other universe and no day of the truth has. Truth is what
costs, so up to 6 universes share a plan; figures over them are of as many distinct markets as there are plans x 24.
Rule 3: a heavier plan draws a factor for every day and market, of which half is common, on volatility and jumps, and
has shocks that all markets feel with three times the variance. Everything else is its plan's.
"""

import math
from datetime import date, timedelta
from functools import lru_cache

import msgspec

from streaming.sim.markets.generator import Generator
from streaming.sim.markets.noise import generator_of, key_of
from streaming.sim.scenario.load import load_scenario
from streaming.sim.scenario.scenario import Scenario

MARKETS = 24
WINDOW_DAYS = 14
UNIVERSES_A_PLAN = 6
UNIVERSES_A_HEAVY = 10
"""One heavy universe for so many others."""
_FIRST_DAY = date(2026, 6, 15)
_SHIFT_DAYS, _SHIFTS = 9, 28
HEAVY_LOG_SD = 0.9
"""Of a day's factor: the log-volatility of days in the measurements behind the evidence method (section 4)."""
HEAVY_FACTOR_MAX = 8.0
HEAVY_SHOCK_FACTOR = math.sqrt(3.0)
_RATE_H_MAX = 3600.0
_SHOCK_BPS_MAX = 1000.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Markets with everything that is planned for them."""

    scenario: str
    """Name or path, as for `--scenario`."""
    seed: int
    is_heavy: bool = False

    @property
    def days(self) -> tuple[str, ...]:
        """Dates of the window: it begins up to four weeks after 2026-06-15."""
        first = _FIRST_DAY + timedelta(days=_SHIFT_DAYS * self.seed % _SHIFTS)
        return tuple((first + timedelta(days=at)).isoformat() for at in range(WINDOW_DAYS))


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """One universe."""

    plan: Plan
    index: int
    """Counts the universes of a score, heavy ones apart."""

    @property
    def name(self) -> str:
        """Text that tells it from every other universe."""
        kind = " heavy" if self.plan.is_heavy else ""
        return f"{self.plan.scenario} seed {self.plan.seed} universe {self.index}{kind}"

    @property
    def noise_seed(self) -> int:
        """Seed of everything that is not planned."""
        return key_of(self.plan.seed, "score", self.plan.is_heavy, self.index)


def draws_of(scenario: str, seed: int, universes: int) -> list[Draw]:
    """Return the universes of a score, those of one plan together, heavy ones last."""
    plans = -(-universes // UNIVERSES_A_PLAN)
    plain = [
        Draw(plan=Plan(scenario=scenario, seed=seed + index * plans // universes), index=index)
        for index in range(universes)
    ]
    heavy = Plan(scenario=scenario, seed=seed, is_heavy=True)
    return plain + [Draw(plan=heavy, index=index) for index in range(-(-universes // UNIVERSES_A_HEAVY))]


@lru_cache(maxsize=4)
def scenario_of(plan: Plan) -> Scenario:
    """Return the scenario of a plan; raises ConfigError when there is none."""
    return load_scenario(plan.scenario, seed=plan.seed)


def coins_of(plan: Plan) -> tuple[str, ...]:
    """Return the markets of a plan: those of builder dexes."""
    return tuple(market.coin for market in scenario_of(plan).universe.builder_markets)


def day_generator(plan: Plan, noise_seed: int, date: int) -> Generator:
    """Return what makes the hours of a date, counted from the window's first, under noise of its own."""
    scenario = scenario_of(plan)
    if plan.is_heavy:
        scenario = _heavy(scenario, noise_seed, date)
    return Generator(noise_seed, scenario, plan_seed=plan.seed)


def _heavy(scenario: Scenario, noise_seed: int, date: int) -> Scenario:
    common = float(generator_of(noise_seed, "heavy", date).standard_normal())
    markets, characters = [], dict(scenario.characters)
    for market in scenario.universe.markets:
        own = float(generator_of(noise_seed, "heavy", market.coin, date).standard_normal())
        log_factor = HEAVY_LOG_SD * (common + own) / math.sqrt(2.0)
        factor = min(max(math.exp(log_factor), 1.0 / HEAVY_FACTOR_MAX), HEAVY_FACTOR_MAX)
        character = characters[market.coin]
        markets.append(msgspec.structs.replace(market, vol_bps=market.vol_bps * factor))
        characters[market.coin] = msgspec.structs.replace(
            character,
            jump_rate_h=min(character.jump_rate_h * factor, _RATE_H_MAX),
            shock_bps=min(character.shock_bps * HEAVY_SHOCK_FACTOR, _SHOCK_BPS_MAX),
        )
    universe = type(scenario.universe)(dexes=scenario.universe.dexes, markets=tuple(markets))
    return Scenario(
        name=scenario.name, universe=universe, characters=characters, rules=scenario.rules, faults=scenario.faults
    )
