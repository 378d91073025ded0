from decimal import Decimal

import pytest
from core_builders import (
    COIN,
    START_MONO_NS,
    WARM_MS,
    a_bbo,
    a_book,
    a_ctx,
    a_spec,
    a_timer,
    a_trade,
    a_warm_engine,
    an_ack,
    an_engine,
    an_opening,
    events_until_ready,
    feed,
    of_type,
    some_trades,
    stamps,
)

from streaming.core.effects import ConnectionChanged, EpisodeEnded, MarketReadyChanged, Resubscribe, SignalRaised
from streaming.core.events import AnyEvent, ConnectionLost, FrameMalformed
from streaming.core.market import BookClass
from streaming.core.state import Readiness

OTHER = "xyz:TSLA"
NEEDED = [an_ack(1), an_ack(1, channel="activeAssetCtx"), a_bbo(1), a_ctx(1)]


def lost(at_ms: float, generation: int = 1) -> ConnectionLost:
    return ConnectionLost(**stamps(at_ms), generation=generation, reason="closed 1006")


def malformed(at_ms: float, reason: str, coin: str = COIN) -> FrameMalformed:
    return FrameMalformed(**stamps(at_ms), generation=1, channel="activeAssetCtx", reason=reason, coin=coin)


@pytest.mark.parametrize("last", range(4))
def test_readiness_all_four_in_any_order_make_ready(last: int) -> None:
    state = an_engine()
    others = [event for i, event in enumerate(NEEDED) if i != last]
    assert of_type(feed(state, an_opening(), *others), MarketReadyChanged) == []
    changed = of_type(feed(state, NEEDED[last]), MarketReadyChanged)
    assert [(c.coin, c.state) for c in changed] == [(COIN, "ready")]


def test_readiness_one_sided_bbo_is_not_enough() -> None:
    state = an_engine()
    feed(state, an_opening(), NEEDED[0], NEEDED[1], NEEDED[3], a_bbo(1, bid_px=None))
    assert state.markets[COIN].readiness is Readiness.WAITING


@pytest.mark.parametrize(
    ("missing", "reason"),
    [(0, "missing: bbo ack"), (1, "missing: ctx ack"), (2, "missing: valid bbo"), (3, "missing: ctx")],
)
def test_readiness_timeout_excludes_and_names_what_is_missing(missing: int, reason: str) -> None:
    state = an_engine()
    feed(state, an_opening(), *[event for i, event in enumerate(NEEDED) if i != missing])
    assert of_type(feed(state, a_timer(9_999)), MarketReadyChanged) == []
    changed = of_type(feed(state, a_timer(10_000)), MarketReadyChanged)
    assert [(c.state, c.reason) for c in changed] == [("excluded", reason)]
    assert changed[0].retry_mono_ns == START_MONO_NS + 310_000 * 1_000_000


def test_readiness_silent_market_never_holds_up_another() -> None:
    state = an_engine(a_spec(), a_spec(OTHER))
    feed(state, *events_until_ready(), a_timer(10_000))
    assert state.markets[COIN].readiness is Readiness.READY
    assert state.markets[OTHER].readiness is Readiness.EXCLUDED


def test_readiness_exclusion_ends_with_a_resubscription_and_a_new_try() -> None:
    state = an_engine()
    feed(state, an_opening(), *NEEDED[:2], NEEDED[3], a_timer(10_000))
    assert of_type(feed(state, a_timer(309_999)), Resubscribe) == []
    outputs = feed(state, a_timer(310_000))
    assert [r.coin for r in of_type(outputs, Resubscribe)] == [COIN]
    assert [c.state for c in of_type(outputs, MarketReadyChanged)] == ["waiting"]
    changed = of_type(feed(state, a_ctx(310_100), a_bbo(310_200)), MarketReadyChanged)
    assert [c.state for c in changed] == ["ready"]


def test_readiness_second_try_without_data_is_excluded_again() -> None:
    state = an_engine()
    outputs = feed(state, an_opening(), *[a_timer(1_000 * i) for i in range(1, 321)])
    assert [c.state for c in of_type(outputs, MarketReadyChanged)] == ["excluded", "waiting", "excluded"]


def test_readiness_bbo_during_exclusion_does_not_end_it() -> None:
    state = an_engine()
    feed(state, an_opening(), *NEEDED[:2], NEEDED[3], a_timer(10_000), a_bbo(11_000))
    assert state.markets[COIN].readiness is Readiness.EXCLUDED


def test_readiness_lost_connection_makes_all_wait_and_forgets_prices() -> None:
    state = a_warm_engine(a_spec(), a_spec(OTHER))
    outputs = feed(state, lost(WARM_MS))
    assert [(c.coin, c.state) for c in of_type(outputs, MarketReadyChanged)] == [(COIN, "waiting"), (OTHER, "waiting")]
    assert [(c.is_open, c.reason) for c in of_type(outputs, ConnectionChanged)] == [(False, "closed 1006")]
    market = state.markets[COIN]
    assert (market.bid_px, market.ask_px, market.oracle_px, market.mark_px) == (None, None, None, None)
    assert market.book_class is BookClass.NONE


def test_readiness_reconnect_needs_everything_again() -> None:
    state = a_warm_engine()
    feed(state, lost(WARM_MS), an_opening(WARM_MS + 1, generation=2))
    assert state.connection_count == 2
    again = [e for e in events_until_ready(WARM_MS + 2, generation=2) if not isinstance(e, type(an_opening()))]
    changed = of_type(feed(state, *again), MarketReadyChanged)
    assert [c.state for c in changed] == ["ready"]


@pytest.mark.parametrize(
    "late",
    [
        a_bbo(WARM_MS + 2, bid_px="1", ask_px="2"),
        a_ctx(WARM_MS + 2, oracle_px="1"),
        a_book(WARM_MS + 2),
        some_trades(WARM_MS + 2, a_trade(WARM_MS)),
        an_ack(WARM_MS + 2),
        lost(WARM_MS + 2),
        an_opening(WARM_MS + 2, generation=1),
    ],
)
def test_readiness_late_event_of_the_previous_connection_is_dropped(late: AnyEvent) -> None:
    state = a_warm_engine()
    feed(state, an_opening(WARM_MS + 1, generation=2))
    before = state.stale_frame_count
    assert feed(state, late) == []
    assert state.stale_frame_count == before + 1
    assert (state.generation, state.is_connected) == (2, True)
    assert state.markets[COIN].bbo is None


def test_readiness_frames_between_two_connections_are_dropped() -> None:
    state = a_warm_engine()
    feed(state, lost(WARM_MS))
    feed(state, a_bbo(WARM_MS + 1))
    assert state.markets[COIN].bbo is None


def test_readiness_timeout_of_a_previous_connection_excludes_nothing() -> None:
    state = an_engine()
    feed(state, an_opening(), lost(5_000), an_opening(6_000, generation=2))
    assert of_type(feed(state, a_timer(10_500)), MarketReadyChanged) == []
    assert [c.state for c in of_type(feed(state, a_timer(16_000)), MarketReadyChanged)] == ["excluded"]


def test_readiness_exclusion_of_a_previous_connection_is_not_retried_twice() -> None:
    state = an_engine()
    feed(state, an_opening(), a_timer(10_000), lost(20_000), *events_until_ready(21_000, generation=2))
    outputs = feed(state, a_timer(320_000))
    assert of_type(outputs, Resubscribe) == []
    assert state.markets[COIN].readiness is Readiness.READY


def test_readiness_unknown_coins_are_counted_only() -> None:
    state = a_warm_engine()
    events = [a_bbo(WARM_MS, coin="xyz:X"), a_ctx(WARM_MS, coin="xyz:X"), a_book(WARM_MS, coin="xyz:X")]
    assert feed(state, *events, an_ack(WARM_MS, coin="xyz:X")) == []
    assert state.unknown_coin_count == 3


def test_readiness_acks_of_other_channels_do_not_count() -> None:
    state = an_engine()
    feed(state, an_opening(), an_ack(channel="trades"), an_ack(channel="l2Book"))
    market = state.markets[COIN]
    assert (market.is_bbo_acked, market.is_ctx_acked) == (False, False)


def test_readiness_spot_context_drops_its_market_for_the_session() -> None:
    state = a_warm_engine(a_spec(), a_spec(OTHER))
    feed(state, a_ctx(WARM_MS, oracle_px="100.20"))
    outputs = feed(state, malformed(WARM_MS, "spot_context"), malformed(WARM_MS, "spot_context"))
    assert [(c.coin, c.state, c.reason) for c in of_type(outputs, MarketReadyChanged)] == [
        (COIN, "excluded", "spot_context")
    ]
    assert [e.ended_by for e in of_type(outputs, EpisodeEnded)] == ["market_stopped"]
    again = feed(state, *events_until_ready(WARM_MS + 1, coins=(COIN, OTHER), generation=2))
    assert [c.coin for c in of_type(again, MarketReadyChanged) if c.state == "ready"] == [OTHER]
    assert of_type(feed(state, a_ctx(WARM_MS + 5, oracle_px="105", generation=2)), SignalRaised) == []


def test_readiness_other_malformed_frames_are_counted_only() -> None:
    state = a_warm_engine()
    assert feed(state, malformed(WARM_MS, "cut"), malformed(WARM_MS, "spot_context", coin="")) == []
    assert state.malformed_count == 2
    assert state.markets[COIN].readiness is Readiness.READY


def test_readiness_book_of_an_empty_side_confirms_nothing() -> None:
    state = a_warm_engine()
    confirmed = state.markets[COIN].confirmation_mono_ns
    empty = a_book(WARM_MS)
    feed(state, type(empty)(**{f: getattr(empty, f) for f in empty.__struct_fields__ if f != "asks"}, asks=()))
    assert state.markets[COIN].confirmation_mono_ns == confirmed


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        ({"bid_px": None}, BookClass.ONE_SIDED),
        ({"ask_px": None}, BookClass.ONE_SIDED),
        ({"ask_sz": "0"}, BookClass.ONE_SIDED),
        ({"bid_px": None, "ask_px": None}, BookClass.EMPTY),
        ({"bid_px": "100.02"}, BookClass.LOCKED),
        ({"bid_px": "100.03"}, BookClass.CROSSED),
        ({}, BookClass.VALID),
    ],
)
def test_book_class_void_books_are_told_apart_and_never_a_halt(
    quote: dict[str, str | None], expected: BookClass
) -> None:
    state = a_warm_engine()
    feed(state, a_bbo(WARM_MS, **quote))  # type: ignore[arg-type]
    assert state.markets[COIN].book_class is expected
    assert state.markets[COIN].normal_mono_ns is not None
    book = state.markets[COIN].snapshot(state.mono_ns)
    assert (book.spread_bps is None) == (expected is not BookClass.VALID)
    assert book.oracle_px == Decimal(100)
