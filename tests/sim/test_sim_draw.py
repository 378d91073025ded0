import os
import subprocess
import sys
from collections import Counter
from functools import cache
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.sim.markets.generator import NONE, Generator
from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.draw import COUNT_MAX, draw_showcase, draw_universe
from streaming.sim.scenario.draw_characters import draw_character
from streaming.sim.scenario.load import load_scenario
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Market, Session

MONDAY = 494_856  # 2026-06-15T00Z
SEEDS = range(30)


@cache
def universe(seed: int) -> Scenario:
    return draw_universe(seed)


def markets() -> list[tuple[Market, Character]]:
    return [(m, universe(seed).characters[m.coin]) for seed in SEEDS for m in universe(seed).universe.builder_markets]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**63), count=st.integers(1, COUNT_MAX))
def test_draw_universe_any_seed_and_count_is_within_all_bounds(seed: int, count: int) -> None:
    scenario = draw_universe(seed, count)
    drawn = scenario.universe.builder_markets
    assert len(drawn) == len({market.coin for market in drawn}) == count
    assert set(scenario.characters) == set(scenario.universe.by_coin)
    for market in drawn:
        character = scenario.characters[market.coin]
        assert msgspec.convert(msgspec.to_builtins(market), Market) == market
        assert msgspec.convert(msgspec.to_builtins(character), Character) == character


@pytest.mark.parametrize("count", [0, -1, COUNT_MAX + 1])
def test_draw_universe_impossible_count_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"count: expected 1 to {COUNT_MAX}, found {count}"):
        draw_universe(1, count)


def test_draw_universe_hash_seed_of_python_changes_nothing() -> None:
    script = (
        "import hashlib, msgspec\n"
        "from streaming.sim.scenario.draw import draw_universe\n"
        "s = draw_universe(7)\n"
        "print(hashlib.sha256(msgspec.json.encode((s.universe.markets, s.characters))).hexdigest())\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(texts) == 1


def test_draw_universe_another_seed_is_another_universe() -> None:
    assert universe(1) == draw_universe(1)
    assert universe(1).universe != universe(2).universe


def test_draw_universe_labels_are_mixed_and_each_universe_has_stale_and_pulled_quotes() -> None:
    counts = Counter(character.label for _, character in markets())
    assert set(counts) == set(Label)
    for seed in SEEDS:
        of_one = Counter(character.label for character in universe(seed).characters.values())
        assert of_one[Label.STALE_QUOTE] >= 4
        assert of_one[Label.PULLED_QUOTE] >= 1


def test_draw_universe_spreads_have_the_published_median_and_tail() -> None:
    spreads = [market.spread_bps for market, character in markets() if character.empty_ratio < 1.0]
    assert 3.8 <= np.median(spreads) <= 5.8
    assert 18.0 <= np.quantile(spreads, 0.9) <= 33.0
    depths = [market.depth_usd for market, _ in markets()]
    assert 30e3 <= np.median(depths) <= 75e3
    assert np.corrcoef(np.log([m.spread_bps for m, _ in markets()]), np.log(depths))[0, 1] < -0.6


def test_draw_universe_fees_books_basis_and_sessions_are_as_published() -> None:
    drawn = markets()
    assert 0.02 <= np.mean([not market.is_growth_mode for market, _ in drawn]) <= 0.2
    assert 0.12 <= np.mean([character.empty_ratio == 1.0 for _, character in drawn]) <= 0.2
    small = [c.basis_bps for _, c in drawn if c.label is not Label.STANDING_BASIS]
    assert min(small) >= 1.0
    assert max(small) <= 9.0
    assert {market.session for market, _ in drawn} == set(Session)
    assert all(not character.is_always_open for _, character in drawn)


def test_draw_universe_some_ticks_are_coarse_against_the_spread() -> None:
    ratios = []
    for market, _ in markets():
        tick = max(10.0**-market.px_decimals, 10.0 ** (np.floor(np.log10(market.px)) - 4))
        ratios.append(tick / market.px * 1e4 / market.spread_bps)
    assert max(ratios) <= 1.3  # a book is never narrower than about a tick
    assert 0.05 <= np.mean(np.array(ratios) > 0.5) <= 0.4


@pytest.mark.parametrize("seed", [1, 2])
def test_draw_universe_touch_changes_once_a_second_on_average(seed: int) -> None:
    generator = Generator(seed, universe(seed))
    hours = range(MONDAY + 1, MONDAY + 24, 4)
    counts = [generator.hour(m.coin, h).bbo_ts_ms.size for m in universe(seed).universe.builder_markets for h in hours]
    assert 1.0 <= np.sum(counts) / (24 * len(hours) * 3600) <= 1.6


def test_draw_universe_impact_prices_lie_across_the_oracle_in_half_of_the_rows() -> None:
    across, far, missing = [], [], []
    for seed in range(6):
        generator = Generator(seed, universe(seed))
        for place, market in enumerate(universe(seed).universe.builder_markets):
            hour = generator.hour(market.coin, MONDAY + 7 * place + 31 * seed)
            there = (hour.mid2_px != NONE)[::60]
            missing += (~there).tolist()
            oracle = hour.oracle_px[::60][there]
            over = np.maximum(hour.impact_bid_px[::60][there] - oracle, oracle - hour.impact_ask_px[::60][there])
            across += (over > 0).tolist()
            far += (over / oracle * 1e4 > 10.0).tolist()
    assert 0.41 <= np.mean(across) <= 0.61
    assert 0.04 <= np.mean(far) <= 0.14
    assert 0.13 <= np.mean(missing) <= 0.25


def test_draw_character_pulled_quote_is_drawn_like_a_stale_one() -> None:
    """With the same draws the two differ in nothing but label and pull ratio: no distribution tells them apart."""
    for market, _ in markets()[:200]:
        stale, pulled = (
            draw_character(label, market, Random(market.coin)) for label in (Label.STALE_QUOTE, Label.PULLED_QUOTE)
        )
        steps = ("jump_rate_h", "jump_bps_min", "jump_bps_scale", "spike_rate_h", "slow_ratio", "slow_delay_s")
        assert [getattr(stale, name) for name in steps] == [getattr(pulled, name) for name in steps]
        assert not stale.pull_ratio
        assert pulled.pull_ratio > 0.9


def test_draw_showcase_has_one_market_of_every_label_named_after_it() -> None:
    scenario = draw_showcase(4)
    drawn = scenario.universe.builder_markets
    assert [scenario.characters[market.coin].label for market in drawn] == list(Label)
    assert {m.coin for m in drawn} == {"xyz:" + label.value.replace("_", "-").upper() for label in Label}


@pytest.mark.parametrize("name", ["demo", "drill", "one", "universe", "showcase"])
def test_load_scenario_built_in_is_found_by_its_name(name: str) -> None:
    scenario = load_scenario(name, seed=3)
    assert scenario.name == name
    assert scenario.universe.builder_markets


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"slow_ratio": 0.5}, "slow_delay_s"),
        ({"one_sided_ratio": 0.7, "empty_ratio": 0.7}, "one_sided_ratio"),
        ({"cycle_days": 3.0, "delisted_days": 3.0}, "delisted_days"),
        ({"delisted_days": 3.0}, "cycle_days"),
        ({"blip_rate_h": 3.0}, "blip_life_s"),
        ({"widen_factor": 2.0}, "widen_s"),
        ({"halt_rate_day": 2.0}, "halt_s"),
        ({"pull_ratio": 1.5}, "pull_ratio"),
        ({"bbo_rate_s": 0.0}, "bbo_rate_s"),
        ({"maker": "nobody"}, "maker"),
    ],
)
def test_character_impossible_parameters_are_refused_by_name(parameters: dict[str, object], text: str) -> None:
    good = {"label": "stale_quote", "jump_rate_h": 1.0, "jump_bps_min": 1.0, "jump_bps_scale": 1.0, "bbo_rate_s": 1.0}
    assert msgspec.convert(good, Character).label is Label.STALE_QUOTE
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(good | parameters, Character)
