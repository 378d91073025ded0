from decimal import Decimal

import pytest
from core_builders import (
    COIN,
    START_TS_NS,
    WARM_MS,
    a_bbo,
    a_book,
    a_ctx,
    a_poll,
    a_spec,
    a_status,
    a_timer,
    a_warm_engine,
    an_engine,
    an_opening,
    events_until_ready,
    feed,
    limits_with,
    of_type,
    stamps,
    warm_events,
)

from streaming.core.effects import GateChanged, GateId, GatesEvaluated, GateStatus, ParamChanged, Reconnect
from streaming.core.events import AnyEvent, SpecApproved, SpecsReceived
from streaming.core.gates import GATES, decide, evaluate
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.state import EngineState

PASS, REDUCE, BLOCK = GateStatus.PASS, GateStatus.REDUCE, GateStatus.BLOCK


def status_of(state: EngineState, gate: GateId, coin: str = COIN) -> GateStatus:
    results = evaluate(state.markets[coin], state.mono_ns, state.limits.gates)
    # What the sweep reads is what a signal carries.
    assert decide(state.markets[coin], state.mono_ns, state.limits.gates) == [result.status for result in results]
    return {result.gate: result.status for result in results}[gate]


def specs_at(at_ms: float, *specs: MarketSpec) -> SpecsReceived:
    return SpecsReceived(**stamps(at_ms), specs=specs)


def test_gates_table_has_the_eight_gates_in_order() -> None:
    assert tuple(row.id for row in GATES) == tuple(GateId)
    for row in GATES:
        assert row.action_flat
        assert row.action_in_position
        assert row.recovery
        assert not row.cooldown or hasattr(Limits().gates, row.cooldown)


def test_gates_nothing_known_blocks_all_but_the_flags() -> None:
    state = an_engine()
    results = evaluate(state.markets[COIN], 0, state.limits.gates)
    assert {r.gate for r in results if r.status is PASS} == {GateId.PARAM_CHANGE, GateId.TIME_REGRESSION}
    assert all(r.observed is None for r in results if r.status is BLOCK)


def test_gates_healthy_market_passes_all_eight() -> None:
    state = a_warm_engine()
    assert [r.status for r in evaluate(state.markets[COIN], state.mono_ns, state.limits.gates)] == [PASS] * 8


T = WARM_MS
SPREAD = {"bid_px": "99.92", "ask_px": "100.08"}  # 4 x the usual 0.04
WIDE = {"bid_px": "99.80", "ask_px": "100.20"}  # 10 x
CASES: list[tuple[str, GateId, list[AnyEvent], GateStatus, list[AnyEvent]]] = [
    (
        "oracle_fresh trips above 8,000 ms without a ctx and recovers on data",
        GateId.ORACLE_FRESH,
        [a_timer(T + 8_001)],
        BLOCK,
        [a_ctx(T + 8_002)],
    ),
    (
        "mark_mid_divergence trips above 50 bps and recovers on data",
        GateId.MARK_MID_DIVERGENCE,
        [a_ctx(T, mark_px="100.51")],
        BLOCK,
        [a_ctx(T + 1, mark_px="100.50")],
    ),
    (
        "mark_mid_divergence blocks on a one-sided book",
        GateId.MARK_MID_DIVERGENCE,
        [a_bbo(T, bid_px=None)],
        BLOCK,
        [a_bbo(T + 1)],
    ),
    (
        "spread_shock shrinks above 3 x and recovers 5 s after the return",
        GateId.SPREAD_SHOCK,
        [a_bbo(T, **SPREAD)],
        REDUCE,
        [a_bbo(T + 1), a_timer(T + 5_001)],
    ),
    (
        "spread_shock blocks above 6 x and recovers 5 s after the return",
        GateId.SPREAD_SHOCK,
        [a_bbo(T, **WIDE)],
        BLOCK,
        [a_bbo(T + 1), a_bbo(T + 5_001)],
    ),
    (
        "spread_shock still holds 1 ms before its cooldown ends",
        GateId.SPREAD_SHOCK,
        [a_bbo(T, **WIDE), a_bbo(T + 1), a_bbo(T + 5_000)],
        BLOCK,
        [a_bbo(T + 5_001)],
    ),
    (
        "spread_shock starts its cooldown anew when the spread widens again",
        GateId.SPREAD_SHOCK,
        [a_bbo(T, **SPREAD), a_bbo(T + 1), a_bbo(T + 4_000, **SPREAD), a_bbo(T + 4_001), a_timer(T + 9_000)],
        REDUCE,
        [a_timer(T + 9_001)],
    ),
    (
        "oi_cap blocks when the venue says so and recovers with the poll",
        GateId.OI_CAP,
        [a_poll(T, a_status(is_at_oi_cap=True))],
        BLOCK,
        [a_poll(T + 1, a_status())],
    ),
    (
        "oi_cap blocks at open interest equal to the cap",
        GateId.OI_CAP,
        [a_poll(T, a_status(oi_cap_ntl="100000"))],
        BLOCK,
        [a_ctx(T + 1, open_interest_sz="999.99")],
    ),
    (
        "oi_cap blocks when the cap is unknown",
        GateId.OI_CAP,
        [a_poll(T, a_status(oi_cap_ntl=None))],
        BLOCK,
        [a_poll(T + 1, a_status())],
    ),
    (
        "oi_cap blocks when the poll is older than 120 s",
        GateId.OI_CAP,
        [a_timer(120_001)],
        BLOCK,
        [a_poll(120_002, a_status())],
    ),
    (
        "oi_cap blocks a market that the poll does not name",
        GateId.OI_CAP,
        [a_poll(T)],
        BLOCK,
        [a_poll(T + 1, a_status())],
    ),
    (
        "param_change recovers 30 s after a consistent refetch",
        GateId.PARAM_CHANGE,
        [specs_at(T, a_spec(taker_fee_bps="9"))],
        BLOCK,
        [specs_at(T + 1_000, a_spec(taker_fee_bps="9")), a_timer(T + 31_000)],
    ),
    (
        "param_change waits for the refetch however long it takes",
        GateId.PARAM_CHANGE,
        [specs_at(T, a_spec(taker_fee_bps="9")), a_timer(T + 90_000)],
        BLOCK,
        [specs_at(T + 90_000, a_spec(taker_fee_bps="9")), a_timer(T + 120_000)],
    ),
    (
        "halt recovers 60 s after the status is normal again",
        GateId.HALT,
        [a_poll(T, a_status(is_halted=True)), a_poll(T + 1_000, a_status()), a_timer(T + 60_999)],
        BLOCK,
        [a_timer(T + 61_000)],
    ),
    (
        "halt blocks in a post-only window",
        GateId.HALT,
        [a_poll(T, a_status(), is_post_only=True)],
        BLOCK,
        [a_poll(T + 1, a_status()), a_timer(T + 60_001)],
    ),
    (
        "halt blocks when the status is unknown, and cools down after it",
        GateId.HALT,
        [a_poll(T, a_status(is_halted=None)), a_poll(T + 1, a_status())],
        BLOCK,
        [a_timer(T + 60_001)],
    ),
    (
        "halt blocks after the polls failed for 120 s, and cools down after them",
        GateId.HALT,
        [a_timer(121_000), a_poll(122_000, a_status())],
        BLOCK,
        [a_poll(150_000, a_status()), a_timer(182_000)],
    ),
    (
        "halt blocks a market that is gone from meta",
        GateId.HALT,
        [specs_at(T)],
        BLOCK,
        [specs_at(T + 1, a_spec()), a_poll(T + 2, a_status()), a_timer(T + 60_002)],
    ),
    (
        "no_bbo_update trips 2,000 ms after the last confirmation and recovers on a bbo",
        GateId.NO_BBO_UPDATE,
        [a_timer(T + 2_001)],
        BLOCK,
        [a_bbo(T + 2_002)],
    ),
    (
        "no_bbo_update recovers on a ctx whose mid equals ours",
        GateId.NO_BBO_UPDATE,
        [a_ctx(T + 2_001, mid_px="100.01")],
        BLOCK,
        [a_ctx(T + 2_002, mid_px="100.00")],
    ),
    (
        "no_bbo_update recovers on a fast book with the same touch",
        GateId.NO_BBO_UPDATE,
        [a_book(T + 2_001, ask_px="100.03")],
        BLOCK,
        [a_book(T + 2_002)],
    ),
    (
        "no_bbo_update is not confirmed by a slow book",
        GateId.NO_BBO_UPDATE,
        [a_book(T + 2_001, is_fast=False)],
        BLOCK,
        [a_bbo(T + 2_002)],
    ),
    (
        "time_regression trips on an older bbo and recovers with a new connection",
        GateId.TIME_REGRESSION,
        [a_bbo(T, venue_ts_ms=START_TS_NS // 1_000_000)],
        BLOCK,
        [an_opening(T + 1, generation=2)],
    ),
    (
        "time_regression trips on an older l2Book",
        GateId.TIME_REGRESSION,
        [a_book(T), a_book(T + 1, venue_ts_ms=START_TS_NS // 1_000_000)],
        BLOCK,
        [an_opening(T + 2, generation=2)],
    ),
]


@pytest.mark.parametrize(
    ("gate", "tripping", "expected", "recovering"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_gates_input_trips_and_recovers_as_the_table_says(
    gate: GateId, tripping: list[AnyEvent], expected: GateStatus, recovering: list[AnyEvent]
) -> None:
    state = a_warm_engine()
    assert status_of(state, gate) is PASS
    feed(state, *tripping)
    assert status_of(state, gate) is expected
    feed(state, *recovering)
    assert status_of(state, gate) is PASS


@pytest.mark.parametrize(
    ("gate", "events"),
    [
        (GateId.ORACLE_FRESH, [a_timer(T - 100 + 8_000)]),
        (GateId.MARK_MID_DIVERGENCE, [a_ctx(T, mark_px="100.5")]),
        (GateId.SPREAD_SHOCK, [a_bbo(T, bid_px="99.94", ask_px="100.06")]),
        (GateId.NO_BBO_UPDATE, [a_timer(T - 100 + 2_000)]),
        (GateId.TIME_REGRESSION, [a_bbo(T), a_bbo(T)]),
        (GateId.OI_CAP, [a_timer(120_000)]),
    ],
)
def test_gates_value_equal_to_the_limit_passes(gate: GateId, events: list[AnyEvent]) -> None:
    state = a_warm_engine()
    feed(state, *events)
    assert status_of(state, gate) is PASS


def test_oracle_fresh_unchanged_price_with_fresh_ctx_passes() -> None:
    state = a_warm_engine()
    feed(state, *[a_ctx(T + 1_000 * i) for i in range(30)])
    assert status_of(state, GateId.ORACLE_FRESH) is PASS
    book = state.markets[COIN].snapshot(state.mono_ns)
    assert (book.ctx_age_ms, book.oracle_age_ms) == (0, T + 29_000 - 1)


def test_spread_shock_too_few_observations_blocks() -> None:
    state = an_engine()
    feed(state, *events_until_ready(), *warm_events(100, 18))
    assert status_of(state, GateId.SPREAD_SHOCK) is BLOCK
    feed(state, a_bbo(3_000))
    assert status_of(state, GateId.SPREAD_SHOCK) is PASS


def test_spread_ewma_void_books_leave_it_unchanged() -> None:
    state = a_warm_engine()
    market = state.markets[COIN]
    before = (market.spread_ewma, market.spread_count)
    feed(state, a_bbo(T, bid_px=None), a_bbo(T, bid_px="100.02"), a_bbo(T, bid_px="101"), a_bbo(T, bid_sz="0"))
    assert (market.spread_ewma, market.spread_count) == before


def test_gates_other_market_is_never_changed() -> None:
    other = "xyz:TSLA"
    state = a_warm_engine(a_spec(), a_spec(other))
    before = evaluate(state.markets[other], state.mono_ns, state.limits.gates)
    feed(
        state,
        a_bbo(T, **WIDE),
        a_ctx(T, mark_px="90"),
        a_bbo(T, venue_ts_ms=1),
        specs_at(T, a_spec(taker_fee_bps="9"), a_spec(other)),
    )
    after = evaluate(state.markets[other], state.mono_ns, state.limits.gates)
    assert [r.status for r in after] == [r.status for r in before] == [PASS] * 8


def test_gates_disabled_gate_passes_and_still_shows_what_it_saw() -> None:
    state = a_warm_engine(limits=limits_with(gates={"disabled_gates": {"mark_mid_divergence": "trial"}}))
    feed(state, a_ctx(T, mark_px="110"))
    results = {r.gate: r for r in evaluate(state.markets[COIN], state.mono_ns, state.limits.gates)}
    result = results[GateId.MARK_MID_DIVERGENCE]
    assert result.status is status_of(state, GateId.MARK_MID_DIVERGENCE) is PASS
    assert result.observed == Decimal(1_000)
    assert result.limit == Decimal(50)


def test_param_change_second_change_within_an_hour_needs_an_operator() -> None:
    state = a_warm_engine()
    feed(state, specs_at(T, a_spec(taker_fee_bps="9")))
    outputs = feed(state, specs_at(T + 60_000, a_spec()))
    assert of_type(outputs, ParamChanged)[0].needs_operator
    feed(state, *[specs_at(T + 60_000 + i * 30_000, a_spec()) for i in range(1, 5)])
    assert status_of(state, GateId.PARAM_CHANGE) is BLOCK
    feed(state, SpecApproved(**stamps(T + 200_000), command_id=1, coin=COIN, operator="op"))
    assert status_of(state, GateId.PARAM_CHANGE) is PASS


def test_param_change_third_value_during_the_cooldown_is_not_approved() -> None:
    state = a_warm_engine()
    feed(state, specs_at(T, a_spec(taker_fee_bps="9")), specs_at(T + 1_000, a_spec(taker_fee_bps="9")))
    feed(state, specs_at(T + 20_000, a_spec(taker_fee_bps="8")), a_timer(T + 31_000))
    assert status_of(state, GateId.PARAM_CHANGE) is BLOCK
    assert state.markets[COIN].approved_spec_version == a_spec().spec_version


def test_time_regression_reconnect_is_requested_once_and_old_data_is_not_taken() -> None:
    state = a_warm_engine(a_spec(), a_spec("xyz:TSLA"))
    old = START_TS_NS // 1_000_000
    outputs = feed(
        state,
        a_bbo(T, venue_ts_ms=old, bid_px="90", ask_px="91"),
        a_bbo(T, venue_ts_ms=old),
        a_bbo(T, venue_ts_ms=old, coin="xyz:TSLA"),
    )
    assert len(of_type(outputs, Reconnect)) == 1
    assert state.markets[COIN].ask_px == Decimal("100.02")


def test_venue_time_jump_forward_earns_no_confirmation() -> None:
    state = a_warm_engine()
    hour_ms = 3_600_000
    feed(state, a_bbo(T + 3_000, venue_ts_ms=START_TS_NS // 1_000_000 + hour_ms))
    assert status_of(state, GateId.NO_BBO_UPDATE) is BLOCK
    feed(state, a_bbo(T + 3_001))
    assert status_of(state, GateId.NO_BBO_UPDATE) is PASS
    assert status_of(state, GateId.TIME_REGRESSION) is PASS


def test_venue_time_jump_with_as_much_time_passed_here_is_trusted() -> None:
    state = a_warm_engine()
    feed(state, a_bbo(T + 120_000))
    assert status_of(state, GateId.NO_BBO_UPDATE) is PASS


def test_gate_changed_transitions_are_reported_once_with_their_duration() -> None:
    state = a_warm_engine()
    feed(state, a_timer(T))
    outputs = feed(state, *[a_timer(3_000 + 1_000 * i) for i in range(1, 8)])
    changes = [c for c in of_type(outputs, GateChanged) if c.gate is GateId.NO_BBO_UPDATE]
    assert [(c.previous, c.current) for c in changes] == [(PASS, BLOCK)]
    recovered = feed(state, a_bbo(10_500), a_timer(11_000))
    change = next(c for c in of_type(recovered, GateChanged) if c.gate is GateId.NO_BBO_UPDATE)
    assert (change.previous, change.current, change.blocked_ms) == (BLOCK, PASS, 5_000)


def test_gates_evaluated_signal_carries_all_eight_and_names_the_blocking_ones() -> None:
    state = a_warm_engine()
    feed(state, a_poll(T, a_status(is_halted=True)))
    outputs = feed(state, a_ctx(T + 1, oracle_px="101", mark_px="101"))
    evaluated = of_type(outputs, GatesEvaluated)[0]
    assert len(evaluated.results) == 8
    assert evaluated.is_blocked
    assert evaluated.blocked_by == ("mark_mid_divergence", "halt")
