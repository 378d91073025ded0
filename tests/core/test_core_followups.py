from decimal import Decimal

import pytest
from core_builders import (
    COIN,
    START_MONO_NS,
    START_TS_NS,
    WARM_MS,
    a_bbo,
    a_ctx,
    a_poll,
    a_status,
    a_timer,
    a_warm_engine,
    an_opening,
    events_until_ready,
    feed,
    limits_with,
    of_type,
    stamps,
)

from streaming.core.effects import EntryRefused, FollowupTaken, GatesEvaluated, SignalRaised
from streaming.core.events import AnyEvent, ConnectionLost, SessionClosed

T = WARM_MS
MS = 1_000_000


def test_followups_are_taken_at_every_offset_with_both_sides_as_of_the_deadline() -> None:
    state = a_warm_engine()
    signal = of_type(feed(state, a_ctx(T, oracle_px="100.20")), SignalRaised)[0]
    outputs = feed(state, a_bbo(T + 2_500, bid_px="100.11", ask_px="100.15"), a_bbo(T + 9_000))
    taken = of_type(outputs, FollowupTaken)
    assert [f.offset_ms for f in taken] == [1_000, 3_000, 5_000]
    assert [f.ts_ns for f in taken] == [START_TS_NS + (T + offset) * MS for offset in (1_000, 3_000, 5_000)]
    assert [f.mono_ns for f in taken] == [START_MONO_NS + (T + offset) * MS for offset in (1_000, 3_000, 5_000)]
    assert [(f.book.bid_px, f.book.ask_px) for f in taken] == [
        (Decimal("99.98"), Decimal("100.02")),
        (Decimal("100.11"), Decimal("100.15")),
        (Decimal("100.11"), Decimal("100.15")),
    ]
    assert [f.book.ctx_age_ms for f in taken] == [1_000, 3_000, 5_000]
    assert [f.book.bbo_age_ms for f in taken] == [1_100, 500, 2_500]
    assert {(f.signal_id, f.entry_px, f.signal_ts_ns, f.is_missing) for f in taken} == {
        (signal.signal_id, signal.limit_px, signal.ts_ns, False)
    }
    assert state.followups == {}


def test_followups_blocked_signal_is_followed_up_like_a_taken_one() -> None:
    state = a_warm_engine()
    feed(state, a_poll(T, a_status(is_halted=True)))
    outputs = feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 5_000))
    assert of_type(outputs, GatesEvaluated)[0].is_blocked
    assert of_type(outputs, EntryRefused) == []
    assert len(of_type(outputs, FollowupTaken)) == 3


def test_followups_configured_offsets_are_used() -> None:
    state = a_warm_engine(limits=limits_with(detector={"followup_offsets_ms": (250, 10_000)}))
    outputs = feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 10_000))
    assert [f.offset_ms for f in of_type(outputs, FollowupTaken)] == [250, 10_000]


def test_followups_none_configured_keeps_nothing() -> None:
    state = a_warm_engine(limits=limits_with(detector={"followup_offsets_ms": ()}))
    feed(state, a_ctx(T, oracle_px="100.20"))
    assert state.followups == {}


RECONNECT: list[AnyEvent] = [
    ConnectionLost(**stamps(T + 100), generation=1, reason="closed"),
    *events_until_ready(T + 200, generation=2),
]


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (RECONNECT[:1], "connection_lost"),
        (RECONNECT, "connection_lost"),
        ([an_opening(T + 100, generation=2)], "connection_lost"),
        ([a_bbo(T + 100, bid_px=None)], "book_one_sided"),
        ([a_bbo(T + 100, bid_px=None, ask_px=None)], "book_empty"),
        ([a_bbo(T + 100, venue_ts_ms=1)], "time_regression"),
    ],
)
def test_followups_market_that_can_not_be_known_is_a_row_that_says_so(between: list[AnyEvent], reason: str) -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), *between)
    taken = of_type(feed(state, a_timer(T + 1_000)), FollowupTaken)
    assert [(f.coin, f.is_missing, f.missing_reason) for f in taken] == [(COIN, True, reason)]


def test_followups_outstanding_ones_of_a_closed_session_are_missing() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 1_000))
    taken = of_type(feed(state, SessionClosed(**stamps(T + 2_000), reason="sigterm")), FollowupTaken)
    assert [(f.offset_ms, f.missing_reason) for f in taken] == [(3_000, "session_closed"), (5_000, "session_closed")]
    assert of_type(feed(state, a_timer(T + 9_000)), FollowupTaken) == []
