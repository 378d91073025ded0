"""Entries close while the venue's clock and ours disagree (F-62), and while data arrives late (F-06)."""

import msgspec
import pytest
from core_builders import (
    COIN,
    a_bbo,
    a_book,
    a_ctx,
    a_spec,
    a_warm_engine,
    an_engine,
    an_opening,
    events_until_ready,
    feed,
    of_type,
    stamps,
    venue_ms,
)
from core_builders import WARM_MS as T

from streaming.core.effects import EntriesChanged, GatesEvaluated, Reconnect
from streaming.core.engine import decode_snapshot, encode_snapshot
from streaming.core.events import AnyEvent, BboUpdated, ConnectionLost, LimitsReloaded
from streaming.core.limits import Limits, widened
from streaming.core.state import EngineState
from streaming.core.stop import entries_closed_by
from streaming.core.venue_clock import HOLD_NS, WINDOW_NS

WINDOW_MS = WINDOW_NS // 1_000_000
HOLD_MS = HOLD_NS // 1_000_000
HOUR_MS = 3_600_000


def late(at_ms: float, delay_ms: float, **changes: str) -> BboUpdated:
    """A bbo of the venue's time `at_ms` that our wall clock stamps `delay_ms` later."""
    bbo = a_bbo(at_ms, venue_ts_ms=venue_ms(at_ms), **changes)
    return msgspec.structs.replace(bbo, recv_ts_ns=bbo.recv_ts_ns + round(delay_ms * 1_000_000))


def changes(outputs: list[object]) -> list[tuple[str, bool]]:
    return [(output.control, output.is_open) for output in of_type(outputs, EntriesChanged)]  # type: ignore[arg-type]


def settled(delay_ms: float, *, limits: Limits | None = None) -> EngineState:
    """An engine whose market has shown two bbos with this delay, the first of which says nothing."""
    state = an_engine(limits=limits)
    feed(state, *events_until_ready(0), late(100, delay_ms), late(200, delay_ms))
    return state


@pytest.mark.parametrize(
    ("offset_ms", "closed_by"),
    [(0, ()), (4_999, ()), (5_000, ("venue_clock",)), (-4_999, ()), (-5_000, ("venue_clock",))],
)
def test_venue_clock_f62_offset_of_5_s_either_way_closes_entries(offset_ms: int, closed_by: tuple[str, ...]) -> None:
    state = an_engine()
    opening, *rest = events_until_ready(0)
    feed(state, opening, *[event for event in rest if not isinstance(event, BboUpdated)])
    feed(state, late(100, offset_ms), late(200, offset_ms))
    assert entries_closed_by(state) == closed_by


def test_venue_clock_reports_each_transition_once_and_opens_again() -> None:
    state = settled(0)
    assert changes(feed(state, late(300, -6_000), late(400, -6_000))) == [("venue_clock", False)]
    # the clocks agree again: the window that saw them apart has to pass
    outputs = [
        output
        for second in range(1, 2 * WINDOW_MS // 1_000 + 6)
        for output in feed(state, late(1_000 * second, 0), a_ctx(1_000 * second))
    ]
    assert changes(outputs)[-1] == ("venue_lag", True)
    assert ("venue_clock", True) in changes(outputs)
    assert entries_closed_by(state) == ()


def test_venue_clock_first_bbo_of_a_subscription_says_nothing() -> None:
    """It repeats the touch of long ago with its own time; also after a reconnect."""
    state = settled(0)
    feed(state, ConnectionLost(recv_mono_ns=state.mono_ns, recv_ts_ns=state.ts_ns, generation=1, reason="closed"))
    feed(state, an_opening(300, generation=2))
    bbo = a_bbo(400, venue_ts_ms=venue_ms(400 - 50_000), generation=2)
    assert changes(feed(state, bbo)) == []


def test_venue_clock_jump_of_the_venue_is_not_believed() -> None:
    state = settled(0)
    ahead = [a_bbo(at_ms, venue_ts_ms=venue_ms(at_ms + 3_600_000)) for at_ms in (300, 400)]
    assert changes(feed(state, *ahead)) == []


def quotes(state: EngineState, *at_s: int, moved_ms: int = 0, generation: int = 1) -> list[object]:
    """A bbo and a ctx at each second; the bbo's venue times are moved in one market and right in all others."""
    events: list[AnyEvent] = []
    for at_ms in [1_000 * at for at in at_s]:
        for coin in state.markets:
            time_ms = venue_ms(at_ms + moved_ms * (coin == COIN))
            events.append(a_ctx(at_ms, coin=coin, mid_px=None, generation=generation))
            events.append(a_bbo(at_ms, coin=coin, venue_ts_ms=time_ms, generation=generation))
    return list(feed(state, *events))


def another_connection(state: EngineState, at_s: int, *, moved_ms: int = 0) -> list[AnyEvent]:
    """Return the end of a connection and the begin of the next one, whose first bbo of one market is moved."""
    events = events_until_ready(1_000 * at_s, coins=state.markets, generation=2)
    [index] = [i for i, event in enumerate(events) if isinstance(event, BboUpdated) and event.coin == COIN]
    events[index] = msgspec.structs.replace(events[index], venue_ts_ms=venue_ms(1_000 * at_s + moved_ms))
    return [ConnectionLost(**stamps(1_000 * at_s), generation=1, reason="closed"), *events]


def is_fresh(state: EngineState) -> bool:
    return state.markets[COIN].confirmation_mono_ns == state.mono_ns


def test_venue_clock_f16_i22_jump_of_one_market_that_lasts_over_a_reconnect_concerns_that_one_alone() -> None:
    state = an_engine(a_spec(COIN), a_spec("xyz:AAPL"))
    feed(state, *events_until_ready(0, coins=state.markets))
    quotes(state, *range(1, 10))
    outputs = quotes(state, *range(10, 20), moved_ms=HOUR_MS)
    assert not is_fresh(state)
    outputs += feed(state, *another_connection(state, 20, moved_ms=HOUR_MS))
    outputs += quotes(state, *range(21, 31), moved_ms=HOUR_MS, generation=2)
    assert state.markets[COIN].confirmation_mono_ns is None, "no freshness for what is not believed"
    outputs += quotes(state, 31, generation=2)[:1]
    assert not state.markets[COIN].is_time_regressed, "what was not believed can not be gone back from"
    outputs += quotes(state, *range(32, 40), generation=2)
    assert not of_type(outputs, Reconnect)
    assert changes(outputs) == []
    assert state.markets[COIN].confirmation_mono_ns is not None


@pytest.mark.parametrize("lasts_s", [5, 100])
def test_venue_clock_f16_time_that_was_behind_and_comes_back_is_believed(lasts_s: int) -> None:
    """An hour late looks like a way that takes an hour, so entries close; they open with the fault's end."""
    state = an_engine(a_spec(COIN))
    feed(state, *events_until_ready(0))
    quotes(state, *range(1, 10))
    feed(state, *another_connection(state, 10, moved_ms=-HOUR_MS))
    end_s = 11 + lasts_s
    quotes(state, *range(11, end_s), moved_ms=-HOUR_MS, generation=2)
    assert entries_closed_by(state)
    quotes(state, *range(end_s, end_s + HOLD_MS // 1_000 + 1), generation=2)
    assert is_fresh(state)
    assert entries_closed_by(state) == ()


def test_venue_clock_f16_jump_that_lasts_long_does_not_make_its_end_another_one() -> None:
    state = an_engine(a_spec(COIN))
    feed(state, *events_until_ready(0))
    quotes(state, *range(1, 10))
    quotes(state, *range(10, 110), moved_ms=HOUR_MS)
    assert not is_fresh(state)
    quotes(state, 110)
    assert is_fresh(state)
    assert entries_closed_by(state) == ()


def test_venue_clock_touch_of_long_ago_does_not_make_the_next_one_a_jump() -> None:
    """A quiet market's first bbo has the time of its last change."""
    state = settled(0)
    feed(state, *another_connection(state, 10, moved_ms=-HOUR_MS))
    assert changes(quotes(state, 11, generation=2)) == []
    assert is_fresh(state)


def test_venue_clock_f16_book_that_jumps_and_comes_back_neither_confirms_nor_stops() -> None:
    state = settled(0)
    outputs = feed(state, a_book(300, venue_ts_ms=venue_ms(HOUR_MS)), a_book(400))
    assert is_fresh(state), "by the second"
    assert not of_type(outputs, Reconnect)
    feed(state, a_book(500, venue_ts_ms=venue_ms(HOUR_MS)))
    assert not is_fresh(state)


def test_venue_clock_f62_clock_that_stepped_while_disconnected_is_still_seen() -> None:
    """Where the venue's clock must be is known by our monotonic clock: a wrong wall clock makes no time a jump."""
    state = settled(0)
    events = [*another_connection(state, 10), late(11_000, 0), late(12_000, 0)]
    for event in events:
        changes_of = {"recv_ts_ns": event.recv_ts_ns - HOUR_MS * 1_000_000}
        is_bbo = isinstance(event, BboUpdated)
        feed(state, msgspec.structs.replace(event, **changes_of | ({"generation": 2} if is_bbo else {})))
    assert is_fresh(state)
    assert "venue_clock" in entries_closed_by(state)


@pytest.mark.parametrize(("delay_ms", "is_closed"), [(1_080, False), (1_081, True), (3_000, True)])
def test_venue_lag_f06_more_than_1_s_above_the_least_delay_closes_entries(delay_ms: int, is_closed: bool) -> None:
    state = settled(80)
    assert changes(feed(state, late(5_000, delay_ms))) == ([("venue_lag", False)] if is_closed else [])


def test_venue_lag_opens_after_a_hold_without_a_late_one() -> None:
    state = settled(80)
    at_ms = 6_000
    feed(state, late(at_ms, 3_000))
    assert changes(feed(state, late(at_ms + HOLD_MS - 1, 80))) == []
    assert entries_closed_by(state) == ("venue_lag",)
    assert changes(feed(state, late(at_ms + HOLD_MS, 80))) == [("venue_lag", True)]
    assert entries_closed_by(state) == ()


def test_venue_lag_a_way_that_got_longer_is_accepted_after_two_windows() -> None:
    state = settled(80)
    outputs = [
        output
        for second in range(3, 2 * WINDOW_MS // 1_000 + 6)
        for output in feed(state, late(1_000 * second, 1_500), a_ctx(1_000 * second))
    ]
    assert changes(outputs) == [("venue_lag", False), ("venue_lag", True)]


def test_venue_lag_stands_against_a_signal_like_any_control() -> None:
    state = a_warm_engine()
    feed(state, late(T + 2_000, 3_000))
    [gates] = of_type(feed(state, a_ctx(T + 2_100, oracle_px="100.50", mid_px=None)), GatesEvaluated)
    assert "venue_lag" in gates.blocked_by


def test_venue_lag_tighter_limit_holds_from_the_next_bbo() -> None:
    state = settled(80)
    tighter = Limits(venue_lag_ms_max=100)
    reload = LimitsReloaded(
        recv_mono_ns=state.mono_ns, recv_ts_ns=state.ts_ns, command_id=1, config_hash="c1", limits=tighter
    )
    feed(state, reload)
    assert changes(feed(state, late(5_000, 300))) == [("venue_lag", False)]
    assert widened(tighter, Limits()) == ("venue_lag_ms_max",)


def test_venue_clock_snapshot_continues_identically() -> None:
    state = settled(80)
    restored = decode_snapshot(encode_snapshot(state))
    events = [late(5_000, 3_000), late(5_100, 60), a_ctx(40_000), late(40_100, 80)]
    assert [feed(state, event) for event in events] == [feed(restored, event) for event in events]
    assert encode_snapshot(state) == encode_snapshot(restored)
