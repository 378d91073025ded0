import dataclasses
from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.sim.markets.generator import HOUR_MS, NONE, Generator
from streaming.sim.markets.noise import key_of, lattice, node_of, smooth, smooth_at
from streaming.sim.markets.regimes import vol_waves
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.scenario import Scenario

COIN = "xyz:TSLA"
MONDAY = 494_856
YEAR_H = 8760


def scenario_with(strength: float) -> Scenario:
    character = msgspec.structs.replace(DEMO.characters[COIN], regime_strength=strength)
    return dataclasses.replace(DEMO, characters={**DEMO.characters, COIN: character})


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), begin=st.integers(0, YEAR_H), length=st.integers(1, 1000))
def test_regimes_any_span_tile_it_without_gap(seed: int, begin: int, length: int) -> None:
    generator = Generator(seed, scenario_with(1.0))
    begin_ms, end_ms = (MONDAY + begin) * HOUR_MS, (MONDAY + begin + length) * HOUR_MS
    regimes = generator.regimes(COIN, begin_ms, end_ms)
    assert regimes[0].begin_ms <= begin_ms < regimes[0].end_ms
    assert regimes[-1].begin_ms < end_ms <= regimes[-1].end_ms
    for before, after in pairwise(regimes):
        assert before.end_ms == after.begin_ms
    for regime in regimes:
        assert regime.end_ms > regime.begin_ms
        assert 0.25 <= regime.slow_factor <= 1.0
        assert 0.8 <= regime.spread_factor <= 1.3
        assert 0.6 <= regime.jump_factor <= 1.5
        assert 0.7 <= regime.vol_factor <= 1.4


def test_regimes_change_within_a_fortnight_and_some_kill_the_edge() -> None:
    generator = Generator(1, scenario_with(1.0))
    year = generator.regimes(COIN, MONDAY * HOUR_MS, (MONDAY + YEAR_H) * HOUR_MS)
    assert 80 <= len(year) <= 105
    shifted = [regime for regime in year if regime.slow_factor < 1.0]
    assert 0.15 < len(shifted) / len(year) < 0.45
    assert all(regime.spread_factor >= 1.0 for regime in shifted)
    assert min(regime.slow_factor for regime in shifted) < 0.5


def test_regimes_strength_zero_changes_nothing() -> None:
    for regime in Generator(1, scenario_with(0.0)).regimes(COIN, MONDAY * HOUR_MS, (MONDAY + 1000) * HOUR_MS):
        assert (regime.slow_factor, regime.spread_factor, regime.jump_factor, regime.vol_factor) == (1.0,) * 4


def test_hour_spread_follows_the_regime() -> None:
    generator, calm = Generator(1, scenario_with(1.0)), Generator(1, scenario_with(0.0))
    year = generator.regimes(COIN, MONDAY * HOUR_MS, (MONDAY + YEAR_H) * HOUR_MS)
    wide = max(year, key=lambda regime: regime.spread_factor)
    hour = wide.begin_ms // HOUR_MS + 5
    spreads = []
    for each in (generator, calm):
        columns = each.hour(COIN, hour)
        there = (columns.bid_px != NONE) & (columns.ask_px != NONE)
        spreads.append(np.mean((columns.ask_px - columns.bid_px)[there]))
    assert abs(spreads[0] / spreads[1] - wide.spread_factor) < 0.15


def test_vol_waves_share_a_part_between_markets() -> None:
    hours = range(MONDAY, MONDAY + 24 * 60, 24)
    logs = {coin: np.log([vol_waves(1, coin, hour).mean() for hour in hours]) for coin in ("xyz:A", "xyz:B")}
    other = np.log([vol_waves(2, "xyz:A", hour).mean() for hour in hours])
    assert np.corrcoef(logs["xyz:A"], logs["xyz:B"])[0, 1] > 0.2
    assert abs(np.corrcoef(logs["xyz:A"], other)[0, 1]) < 0.35
    assert 0.1 < logs["xyz:A"].std() < 0.8


@given(key=st.integers(0, 2**64 - 1), node=st.integers(-(2**40), 2**40), share=st.floats(0.0, 1.0))
def test_noise_one_instant_equals_the_column(key: int, node: int, share: float) -> None:
    assert node_of(key, node) == lattice(key, np.array([node]))[0]
    ts_s = (node % 10**6 + share) * 60.0
    assert abs(smooth_at(key, ts_s, 60.0) - smooth(key, np.array([ts_s]), 60.0)[0]) < 1e-6
    assert key_of("a", 1) == key_of("a", "1") != key_of("a", 2)
