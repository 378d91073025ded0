from core_builders import (
    COIN,
    WARM_MS,
    a_ctx,
    a_poll,
    a_spec,
    a_status,
    a_timer,
    a_warm_engine,
    an_engine,
    an_opening,
    feed,
    of_type,
    stamps,
)

from streaming.core.effects import EpisodeEnded, ParamChanged, SignalRaised, SpecObserved
from streaming.core.events import SpecsReceived
from streaming.core.market import MarketSpec
from streaming.core.specs import SPEC_VERSIONS_KEPT

T = WARM_MS


def specs_at(at_ms: float, *specs: MarketSpec) -> SpecsReceived:
    return SpecsReceived(**stamps(at_ms), specs=specs)


def test_specs_every_approved_spec_is_observed_with_the_first_event() -> None:
    state = an_engine(a_spec(), a_spec("xyz:TSLA"))
    observed = of_type(feed(state, an_opening()), SpecObserved)
    assert [o.spec.coin for o in observed] == [COIN, "xyz:TSLA"]
    assert of_type(feed(state, specs_at(1, a_spec(), a_spec("xyz:TSLA"))), SpecObserved) == []


def test_specs_difference_names_the_fields_and_ends_the_episode() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"))
    outputs = feed(state, specs_at(T + 1, a_spec(taker_fee_bps="9", sz_decimals=2)))
    change = of_type(outputs, ParamChanged)[0]
    assert change.fields == ("sz_decimals: 3 → 2", "taker_fee_bps: 0.9 → 9")
    assert (change.previous_spec_version, change.current_spec_version) == (f"{COIN}-0.9-3", f"{COIN}-9-2")
    assert not change.needs_operator
    assert [e.ended_by for e in of_type(outputs, EpisodeEnded)] == ["market_stopped"]
    assert [o.spec.taker_fee_bps for o in of_type(outputs, SpecObserved)] == [9]


def test_specs_new_fee_moves_the_threshold_at_once() -> None:
    state = a_warm_engine()
    feed(state, specs_at(T, a_spec(taker_fee_bps="9")))
    assert state.markets[COIN].threshold_bps == 21
    assert of_type(feed(state, a_ctx(T + 1, oracle_px="100.20")), SignalRaised) == []


def test_specs_version_that_comes_back_is_observed_once_but_reported_each_time() -> None:
    state = a_warm_engine()
    outputs = feed(state, *[specs_at(T + i, a_spec(taker_fee_bps="9" if i % 2 else "0.9")) for i in range(1, 5)])
    assert len(of_type(outputs, SpecObserved)) == 1
    assert len(of_type(outputs, ParamChanged)) == 4


def test_specs_memory_of_versions_is_bounded() -> None:
    state = a_warm_engine()
    feed(state, *[specs_at(T + i, a_spec(spec_version=f"v{i}")) for i in range(SPEC_VERSIONS_KEPT + 10)])
    assert len(state.markets[COIN].seen_spec_versions) == SPEC_VERSIONS_KEPT


def test_specs_new_market_of_the_venue_is_not_watched_before_a_restart() -> None:
    state = a_warm_engine()
    assert feed(state, specs_at(T, a_spec(), a_spec("xyz:NEW"))) == []
    assert list(state.markets) == [COIN]


def test_specs_cooldown_of_a_change_that_an_operator_has_approved_is_over() -> None:
    state = a_warm_engine()
    change = a_spec(taker_fee_bps="9")
    feed(state, specs_at(T, change), specs_at(T + 1_000, change), specs_at(T + 2_000, change), a_timer(T + 31_000))
    assert state.markets[COIN].approved_spec_version == change.spec_version
    assert not state.markets[COIN].is_param_changed
    feed(state, a_timer(T + 90_000))
    assert not state.markets[COIN].is_param_changed


def test_specs_delisted_market_is_stopped_also_after_its_spec_is_approved() -> None:
    state = a_warm_engine()
    delisted = a_spec(is_delisted=True, spec_version="gone")
    feed(
        state, specs_at(T, delisted), specs_at(T + 1_000, delisted), a_timer(T + 31_000), a_poll(T + 32_000, a_status())
    )
    assert state.markets[COIN].normal_mono_ns is None


def test_specs_a_halt_that_lists_the_market_as_delisted_is_no_parameter_change_however_often() -> None:
    state = a_warm_engine()
    market = state.markets[COIN]
    for start in (T, T + 10_000):
        outputs = feed(
            state,
            specs_at(start, a_spec(is_delisted=True, spec_version="delisted")),
            a_poll(start + 1, a_status(is_halted=True)),
            specs_at(start + 2_000, a_spec()),
            a_poll(start + 2_001, a_status()),
        )
        assert of_type(outputs, ParamChanged) == []
        assert not market.needs_operator
        assert market.spec == a_spec()
        assert market.normal_mono_ns == state.mono_ns  # gate 6 counts its own minute from here


def test_specs_a_parameter_that_changes_with_a_halt_is_still_a_change() -> None:
    state = a_warm_engine()
    outputs = feed(state, specs_at(T, a_spec(is_delisted=True, taker_fee_bps="9")))
    assert [o.coin for o in of_type(outputs, ParamChanged)] == [COIN]
