"""k of gate 3 per market: learned from its own spreads, never above the configured one."""

from decimal import Decimal

import pytest
from core_builders import COIN, WARM_MS, a_bbo, a_ctx, a_timer, a_warm_engine, feed, limits_with, of_type
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.effects import GateChanged, GateId, GateStatus
from streaming.core.gates import spread_shock
from streaming.core.spread import learn_spread, shock_ratio_of
from streaming.core.state import EngineState
from streaming.core.units import quantize_ewma

D = Decimal


def a_quiet_engine(seconds: int) -> EngineState:
    """A market whose spread is its mean for so long."""
    state = a_warm_engine()
    market = state.markets[COIN]
    for _ in range(seconds):
        learn_spread(market, state.limits.gates)
    return state


def test_without_history_k_is_the_configured_one() -> None:
    state = a_warm_engine()
    market = state.markets[COIN]
    market.shock_ratio = None
    assert shock_ratio_of(market, state.limits.gates) == state.limits.gates.spread_shock_ratio_max


def test_a_calm_market_becomes_stricter_down_to_the_floor_and_no_further() -> None:
    state = a_quiet_engine(10_000)
    assert shock_ratio_of(state.markets[COIN], state.limits.gates) == state.limits.gates.spread_shock_ratio_min


def test_a_restless_market_keeps_the_configured_k() -> None:
    state = a_quiet_engine(10_000)
    market = state.markets[COIN]
    market.spread_px = market.spread_reference_px * 5
    for _ in range(200):
        learn_spread(market, state.limits.gates)
    assert shock_ratio_of(market, state.limits.gates) == state.limits.gates.spread_shock_ratio_max


def test_a_void_book_teaches_nothing() -> None:
    state = a_warm_engine()
    market = state.markets[COIN]
    before = market.shock_quantile_ratio
    feed(state, a_bbo(WARM_MS, ask_px=None))
    learn_spread(market, state.limits.gates)
    assert market.shock_quantile_ratio == before


def test_a_tighter_limit_at_run_time_is_tighter_at_once() -> None:
    state = a_quiet_engine(10)
    tighter = limits_with(gates={"spread_shock_ratio_max": D(2)})
    assert shock_ratio_of(state.markets[COIN], tighter.gates) == D(2)


def test_gate_3_trips_at_the_learned_k_through_real_frames() -> None:
    # The spread is 0.04: 2 x that is a shock for a market that learned 1.5, and none for k = 3.
    for seconds, status in ((0, GateStatus.PASS), (10_000, GateStatus.REDUCE)):
        state = a_quiet_engine(seconds)
        outputs = feed(
            state, a_bbo(WARM_MS, bid_px="99.96", ask_px="100.04"), a_ctx(WARM_MS + 1), a_timer(WARM_MS + 1_100)
        )
        changed = [o.current for o in of_type(outputs, GateChanged) if o.gate is GateId.SPREAD_SHOCK]
        assert changed == ([] if status is GateStatus.PASS else [GateStatus.REDUCE])


def burst(state: EngineState, at_ms: float, count: int) -> float:
    """Show a spread of 100 x the usual one so often, then the usual one until the gate has recovered."""
    for number in range(count):
        feed(state, a_bbo(at_ms + number, bid_px="98", ask_px="102"))
    at_ms += count
    feed(state, a_bbo(at_ms), a_bbo(at_ms + 5_001))
    return at_ms + 5_002


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_burst_of_shocks_does_not_open_the_gate_for_the_next_one(count: int) -> None:
    state = a_warm_engine()
    market, limits = state.markets[COIN], state.limits.gates
    at_ms = burst(state, WARM_MS, count)
    assert spread_shock(market, state.mono_ns, limits) is GateStatus.PASS
    feed(state, a_bbo(at_ms, bid_px="99.75", ask_px="100.25"))  # 12.5 x
    assert spread_shock(market, state.mono_ns, limits) is not GateStatus.PASS


def test_a_spread_that_stays_wide_is_learned_and_the_gate_opens() -> None:
    state = a_warm_engine()
    market, limits = state.markets[COIN], state.limits.gates
    quotes = [a_bbo(WARM_MS + 100 * i, bid_px="99.8", ask_px="100.2", ask_sz=str(50 + i)) for i in range(100)]
    seen = []
    for quote in quotes:
        feed(state, quote)
        seen.append(spread_shock(market, state.mono_ns, limits))
    # 10 x: at most 1.1 times the mean a quote, so above 3 x it takes 13 of them, and then the cooldown.
    assert seen[:13] == [GateStatus.BLOCK] * 13
    assert seen[-1] is GateStatus.PASS


@given(
    ticks=st.lists(st.integers(min_value=1, max_value=10_000), min_size=1, max_size=60),
    quantile=st.decimals(min_value=1, max_value=3, places=2),
)
@settings(derandomize=True, max_examples=50, deadline=None)
def test_no_spread_moves_the_mean_by_more_than_one_at_the_bound(ticks: list[int], quantile: Decimal) -> None:
    state = a_warm_engine()
    market, limits = state.markets[COIN], state.limits.gates
    market.shock_ratio = quantile
    for number, tick in enumerate(ticks):
        feed(state, a_bbo(WARM_MS + number, bid_px="98", ask_px=str(98 + D(tick) / 100)))
        step = limits.spread_ewma_alpha * (shock_ratio_of(market, limits) - 1)
        assert market.spread_ewma <= quantize_ewma(market.spread_reference_px * (1 + step))


@given(ratios=st.lists(st.decimals(min_value=0, max_value=50, places=2, allow_nan=False), max_size=300))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_whatever_is_seen_k_stays_between_floor_and_configured(ratios: list[Decimal]) -> None:
    state = a_warm_engine()
    market, limits = state.markets[COIN], state.limits.gates
    for ratio in ratios:
        market.spread_px = market.spread_reference_px * ratio
        learn_spread(market, limits)
        assert limits.spread_shock_ratio_min <= shock_ratio_of(market, limits) <= limits.spread_shock_ratio_max
