"""The engine as a whole: sequence, deadlines, clocks, determinism, snapshots, recovery."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from core_builders import (
    COIN,
    START_MONO_NS,
    START_TS_NS,
    WARM_MS,
    a_bbo,
    a_book,
    a_ctx,
    a_poll,
    a_rotation,
    a_session,
    a_spec,
    a_status,
    a_timer,
    a_trade,
    a_warm_engine,
    an_engine,
    an_opening,
    events_until_ready,
    feed,
    of_type,
    some_trades,
    stamps,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.effects import AnyOutput, FillApplied, HealthSampled, PositionChanged, RotationExpired
from streaming.core.engine import decode_snapshot, encode_snapshot, new_state, next_deadline_mono_ns, step
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    ConnectionLost,
    Phase,
    PhaseRequested,
    ResetRequested,
    SessionClosed,
    SessionFrameReceived,
    SpecsReceived,
    StopRequested,
    UserFrameReceived,
    VenueErrorReceived,
)
from streaming.core.limits import Limits
from streaming.core.recovery import Carried, carry_over, fold

T = WARM_MS
MS = 1_000_000
OTHER = "xyz:TSLA"


def test_step_every_call_is_one_sequence_number() -> None:
    state = an_engine()
    feed(state, an_opening(), a_bbo(1), a_timer(2))
    assert state.seq == 3


def test_step_tick_without_consequence_returns_nothing() -> None:
    state = a_warm_engine()
    assert step(state, a_bbo(T)) == []
    assert step(state, a_ctx(T)) == []


@pytest.mark.parametrize(
    "event",
    [
        SessionFrameReceived(**stamps(T), generation=1, channel="pong"),
        UserFrameReceived(**stamps(T), channel="userFills", generation=1, item_count=3, is_snapshot=True),
        VenueErrorReceived(**stamps(T), generation=1, text="Already subscribed"),
        a_timer(T),
    ],
)
def test_step_frames_without_meaning_for_markets_change_nothing_else(event: AnyEvent) -> None:
    state = a_warm_engine()
    markets = msgspec.msgpack.encode(state.markets)
    assert step(state, event) == []
    assert msgspec.msgpack.encode(state.markets) == markets


def test_step_venue_errors_are_counted() -> None:
    state = a_warm_engine()
    feed(state, VenueErrorReceived(**stamps(T), generation=1, text="x"))
    assert state.venue_error_count == 1


def test_deadline_none_before_the_first_event_then_the_next_second() -> None:
    state = an_engine()
    assert next_deadline_mono_ns(state) is None
    feed(state, an_opening())
    assert next_deadline_mono_ns(state) == START_MONO_NS + 1_000 * MS


def test_deadline_samples_are_taken_as_of_their_own_second_before_the_event() -> None:
    state = a_warm_engine()
    samples = of_type(feed(state, a_bbo(6_500, bid_px="99.99")), HealthSampled)
    assert [s.mono_ns - START_MONO_NS for s in samples] == [4_000 * MS, 5_000 * MS, 6_000 * MS]
    assert [s.ts_ns - START_TS_NS for s in samples] == [4_000 * MS, 5_000 * MS, 6_000 * MS]
    assert [s.book.bbo_age_ms for s in samples] == [1_000, 2_000, 3_000]
    assert {s.book.bid_px for s in samples} == {Decimal("99.98")}
    assert [s.bbo_count for s in samples] == [1, 0, 0]


def test_deadline_health_sample_counts_and_flags() -> None:
    state = a_warm_engine()
    feed(state, a_timer(4_000))
    feed(state, a_bbo(4_100, bid_px=None), a_bbo(4_200, bid_px="99.80", ask_px="100.20"), a_ctx(4_300))
    sample = of_type(feed(state, a_timer(5_000)), HealthSampled)[0]
    assert (sample.bbo_count, sample.bbo_null_count, sample.ctx_count) == (2, 1, 1)
    assert (sample.is_ready, sample.is_oracle_stale, sample.is_spread_shock) == (True, False, True)
    assert sample.book_class == "valid"
    stale = of_type(feed(state, a_timer(12_301)), HealthSampled)[-1]
    assert not stale.is_oracle_stale
    assert of_type(feed(state, a_timer(13_000)), HealthSampled)[-1].is_oracle_stale


def test_deadline_sample_does_not_change_after_it_was_taken() -> None:
    state = a_warm_engine()
    feed(state, a_timer(4_000), a_timer(5_000))
    weak_cross = a_ctx(6_100, oracle_px="100.03")
    samples = of_type(feed(state, weak_cross), HealthSampled)
    assert [s.no_signal_counts for s in samples] == [{}]
    assert of_type(feed(state, a_timer(7_000)), HealthSampled)[0].no_signal_counts == {"below_threshold": 1}


def test_deadline_clock_jump_skips_seconds_instead_of_inventing_samples() -> None:
    state = a_warm_engine()
    hour_ms = 3_600_000
    samples = of_type(feed(state, a_timer(hour_ms)), HealthSampled)
    assert len(samples) <= 11
    assert next_deadline_mono_ns(state) == START_MONO_NS + (hour_ms + 1_000) * MS
    assert len(of_type(feed(state, a_timer(hour_ms + 1_000)), HealthSampled)) == 1


def test_deadline_short_gap_is_sampled_second_by_second() -> None:
    state = a_warm_engine()
    feed(state, a_timer(4_000))
    assert len(of_type(feed(state, a_timer(14_000)), HealthSampled)) == 10


def test_clock_late_stamp_is_clamped() -> None:
    state = a_warm_engine()
    feed(state, a_timer(T + 500))
    before = state.mono_ns
    late = a_ctx(T + 100, oracle_px="100.20")
    outputs = feed(state, late, a_bbo(T + 50, venue_ts_ms=START_TS_NS // MS + T + 600))
    assert state.mono_ns == before
    assert {o.mono_ns for o in outputs} == {before}
    assert {o.ts_ns for o in outputs} == {late.recv_ts_ns}
    book = state.markets[COIN].snapshot(state.mono_ns)
    assert (book.bbo_age_ms, book.ctx_age_ms) == (450, 400)
    assert next_deadline_mono_ns(state) is not None


def test_clock_wall_step_leaves_ages_alone() -> None:
    state = a_warm_engine()
    timer = a_timer(4_000)
    stepped = type(timer)(recv_mono_ns=timer.recv_mono_ns, recv_ts_ns=timer.recv_ts_ns + 3_600_000 * MS)
    sample = of_type(feed(state, stepped), HealthSampled)[0]
    assert sample.book.bbo_age_ms == 1_000
    assert sample.ts_ns == timer.recv_ts_ns + 3_600_000 * MS


def _lively(state_coins: tuple[str, ...]) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    for i in range(120):
        at = T + 211 * i
        coin = state_coins[i % len(state_coins)]
        generation = 1 if i < 80 else 2
        if i == 80:
            events += events_until_ready(at, coins=state_coins, generation=2)
        events.append(a_ctx(at + 1, coin=coin, oracle_px=str(100 + (i % 7 - 3) / 10), generation=generation))
        events.append(a_bbo(at + 2, coin=coin, ask_sz=str(40 + i % 3), generation=generation))
        if i % 9 == 0:
            events.append(a_bbo(at + 3, coin=coin, bid_px=None, generation=generation))
        if i % 5 == 0:
            events.append(a_book(at + 4, coin=coin, generation=generation))
            events.append(some_trades(at + 4, a_trade(at, tid=i, coin=coin), generation=generation))
        if i == 40:
            events.append(StopRequested(**stamps(at + 5), command_id=1, reason="drill", operator="op"))
            events.append(ResetRequested(**stamps(at + 6), command_id=2, reason="over", operator="op"))
            events.append(a_rotation(at + 7))
        if i == 60:
            events.append(SpecsReceived(**stamps(at + 5), specs=(a_spec(taker_fee_bps="1"), a_spec(OTHER))))
            events.append(a_poll(at + 6, a_status(), a_status(OTHER)))
    return events


def _encoded(outputs: list[AnyOutput]) -> list[bytes]:
    return [msgspec.msgpack.encode(output) for output in outputs]


def test_determinism_same_events_give_equal_outputs_and_states() -> None:
    specs = (a_spec(), a_spec(OTHER))
    runs = []
    for _ in range(2):
        state = a_warm_engine(*specs)
        runs.append((_encoded(feed(state, *_lively((COIN, OTHER)))), encode_snapshot(state)))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 200


@given(cut=st.integers(0, 440))
@settings(derandomize=True, max_examples=15, deadline=None)
def test_snapshot_anywhere_restored_state_continues_identically(cut: int) -> None:
    specs = (a_spec(), a_spec(OTHER))
    events = _lively((COIN, OTHER))
    state = a_warm_engine(*specs)
    feed(state, *events[:cut])
    restored = decode_snapshot(encode_snapshot(state))
    assert restored == state
    rest = [*events[cut:], SessionClosed(**stamps(T + 60_000), reason="end")]
    assert _encoded(feed(restored, *rest)) == _encoded(feed(state, *rest))
    assert encode_snapshot(restored) == encode_snapshot(state)


EVENT = st.one_of(
    st.builds(
        lambda dt, bid, ask, sz, gen: ("bbo", dt, bid, ask, sz, gen),
        st.integers(-50, 3_000),
        st.one_of(st.none(), st.integers(9_950, 10_050)),
        st.one_of(st.none(), st.integers(9_950, 10_050)),
        st.integers(0, 100),
        st.sampled_from([1, 1, 1, 2]),
    ),
    st.builds(lambda dt, oracle: ("ctx", dt, oracle), st.integers(-50, 3_000), st.integers(9_900, 10_100)),
    st.builds(lambda dt: ("lost", dt), st.integers(0, 500)),
    st.builds(lambda dt: ("ready", dt), st.integers(0, 500)),
    st.builds(lambda dt: ("stop", dt), st.integers(0, 500)),
    st.builds(lambda dt: ("reset", dt), st.integers(0, 500)),
    st.builds(lambda dt: ("poll", dt), st.integers(0, 500)),
)


def _event(what: tuple[Any, ...], at: float, generation: int) -> list[AnyEvent]:
    kind = what[0]
    if kind == "bbo":
        _, _, bid, ask, sz, back = what
        px = [None if ticks is None else str(Decimal(ticks) / 100) for ticks in (bid, ask)]
        return [a_bbo(at, bid_px=px[0], ask_px=px[1], bid_sz=str(sz), ask_sz=str(sz), generation=generation + 1 - back)]
    if kind == "ctx":
        return [a_ctx(at, oracle_px=str(Decimal(what[2]) / 100), generation=generation)]
    if kind == "lost":
        return [ConnectionLost(**stamps(at), generation=generation, reason="closed")]
    if kind == "stop":
        return [StopRequested(**stamps(at), command_id=1, reason="drill", operator="op")]
    if kind == "reset":
        return [ResetRequested(**stamps(at), command_id=1, reason="over", operator="op")]
    return [a_poll(at, a_status())]


@given(walk=st.lists(EVENT, min_size=10, max_size=60))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_step_any_walk_breaks_no_invariant_and_replays_equal(walk: list[tuple[Any, ...]]) -> None:
    events: list[AnyEvent] = []
    at, generation = float(T), 1
    for what in walk:
        at = max(0.0, at + what[1])
        if what[0] == "ready":
            generation += 1
            events += events_until_ready(at, generation=generation)
        else:
            events += _event(what, at, generation)
    first, second = a_warm_engine(), a_warm_engine()
    outputs = feed(first, *events)
    middle = decode_snapshot(encode_snapshot(second))
    assert _encoded(outputs) == _encoded(feed(middle, *events))
    mono = [o.mono_ns for o in outputs]
    assert mono == sorted(mono)
    assert first.seq == second.seq + len(events)


def test_snapshot_foreign_bytes_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_snapshot(b"\x81\xa3seq")


def _recovered(state_before: bytes, outputs: list[AnyOutput]) -> Carried:
    state = decode_snapshot(state_before)
    fold(state, outputs)
    return carry_over(state)


def test_recovery_folded_decisions_equal_the_state_that_took_them() -> None:
    state = a_warm_engine(a_spec(), a_spec(OTHER))
    snapshot = encode_snapshot(state)
    outputs = feed(
        state,
        PhaseRequested(**stamps(T), command_id=1, phase=Phase.PAPER, reason="seen", operator="op"),
        ArmRequested(**stamps(T), command_id=2, is_armed=True, operator="op"),
        a_rotation(T),
        a_rotation(T, version=9, venue="mainnet"),
        a_ctx(T, oracle_px="100.20"),
        a_timer(T + 500),
        StopRequested(**stamps(T + 501), command_id=3, reason="drill", operator="op"),
    )
    carried = _recovered(snapshot, outputs)
    assert carried == carry_over(state)
    assert carried.control.latch.reason == "drill"
    assert carried.positions[COIN].signal_id != ""


def test_recovery_position_closed_and_rotation_expired_are_gone() -> None:
    state = a_warm_engine()
    snapshot = encode_snapshot(state)
    outputs = feed(state, a_rotation(T), a_ctx(T, oracle_px="100.20"), a_timer(T + 500))
    outputs += feed(state, *[a_bbo(T + 500 * i) for i in range(2, 20)])
    outputs += feed(state, StopRequested(**stamps(T + 9_900), command_id=3, reason="drill", operator="op"))
    outputs += feed(state, ResetRequested(**stamps(T + 9_901), command_id=4, reason="over", operator="op"))
    outputs += feed(state, a_timer(3_700_000))
    assert of_type(outputs, RotationExpired)
    carried = _recovered(snapshot, outputs)
    assert carried == carry_over(state)
    assert carried.positions == {}
    assert carried.control.latch is None
    assert carried.control.rotation.is_expired


def test_recovery_partly_closed_position_keeps_its_entry_and_counts_its_exits() -> None:
    state = a_warm_engine()
    snapshot = encode_snapshot(state)
    outputs = feed(state, a_ctx(T, oracle_px="100.20"), *[a_bbo(T + 500 * i, bid_sz="0.2") for i in range(1, 13)])
    carried = _recovered(snapshot, outputs)
    assert carried == carry_over(state)
    assert (carried.positions[COIN].sz, carried.positions[COIN].exit_count) == (Decimal("0.299"), 1)
    assert carried.positions[COIN].cost_ntl == Decimal("0.299") * Decimal("100.02")


def test_recovery_foreign_outputs_of_unknown_markets_are_taken_over_as_far_as_possible() -> None:
    state = a_warm_engine()
    outputs = feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 500))
    other = an_engine(a_spec(OTHER))
    fold(other, outputs)
    assert list(other.positions) == [COIN]
    fold(other, [RotationExpired(ts_ns=0, mono_ns=0, version=1, sha256="x")])
    assert other.control.rotation is None


def test_recovery_new_session_keeps_latch_and_rotation_and_closes_the_carried_position() -> None:
    state = a_warm_engine()
    feed(state, a_rotation(T), a_ctx(T, oracle_px="100.20"), a_timer(T + 500))
    feed(state, StopRequested(**stamps(T + 501), command_id=3, reason="drill", operator="op"))
    carried = carry_over(state)
    following = new_state(a_session(session_id="s2"), Limits(), (a_spec(),), carried=carried)
    assert following.control.latch is not None
    outputs = feed(following, *events_until_ready(20_000), *[a_bbo(20_500 + 500 * i) for i in range(20)])
    fill = of_type(outputs, FillApplied)[0]
    assert fill.is_reduce_only
    assert of_type(outputs, PositionChanged)[-1].sz == 0
    assert of_type(feed(following, a_timer(3_600_000)), RotationExpired)


def test_recovery_position_in_a_market_no_longer_watched_is_kept_and_counts() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 500))
    following = new_state(a_session(session_id="s2"), Limits(), (a_spec(OTHER),), carried=carry_over(state))
    feed(following, *events_until_ready(20_000, coins=(OTHER,)), a_timer(60_000))
    assert list(following.positions) == [COIN]


def test_carry_over_shares_nothing_with_the_state() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 500))
    carried = carry_over(state)
    state.control.is_armed = True
    state.positions[COIN].sz = Decimal(9)
    assert not carried.control.is_armed
    assert carried.positions[COIN].sz == Decimal("0.499")
