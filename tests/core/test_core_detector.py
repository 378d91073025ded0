"""Crosses, episodes and signals through `step`."""

from decimal import Decimal
from pathlib import Path

import pytest
from core_builders import (
    COIN,
    START_MONO_NS,
    START_TS_NS,
    WARM_MS,
    a_bbo,
    a_ctx,
    a_spec,
    a_timer,
    a_warm_engine,
    an_engine,
    an_opening,
    events_until_ready,
    feed,
    limits_with,
    of_type,
    stamps,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.detector import raw_edge_bps
from streaming.core.effects import EpisodeBegan, EpisodeEnded, GatesEvaluated, HealthSampled, SignalRaised
from streaming.core.events import AnyEvent, ConnectionLost, RateUseReported, SessionClosed, WriterHealthReported
from streaming.core.market import Side
from streaming.core.state import EngineState

T = WARM_MS
SNAPSHOTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "markets" / "oracle_snapshots.parquet"


def no_signal_counts(state: EngineState) -> dict[str, int]:
    return state.markets[COIN].no_signal_counts


def test_raw_edge_real_oracle_snapshots_give_the_known_answer() -> None:
    if not SNAPSHOTS.exists():
        pytest.skip("shared/data/markets absent")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        row
        for row in parquet.read_table(SNAPSHOTS).to_pylist()
        if row["dex"] != "main" and row["impact_bid_px"] is not None and row["impact_ask_px"] is not None
    ]
    edges = []
    for row in rows:
        oracle, bid, ask = (Decimal(repr(row[name])) for name in ("oracle_px", "impact_bid_px", "impact_ask_px"))
        edges.append((raw_edge_bps(Side.SELL, bid, oracle), raw_edge_bps(Side.BUY, ask, oracle)))
    assert len(edges) == 188
    assert sum(sell > 0 for sell, _ in edges) == 78
    assert sum(buy > 0 for _, buy in edges) == 17
    assert [sum(max(pair) > bound for pair in edges) for bound in (5, 10, 20)] == [29, 15, 11]


@pytest.mark.parametrize(
    ("side", "px", "expected"),
    [
        (Side.BUY, "99.9", "10"),
        (Side.BUY, "100.1", "-10"),
        (Side.SELL, "100.1", "10"),
        (Side.SELL, "99.9", "-10"),
        (Side.BUY, "100", "0"),
    ],
)
def test_raw_edge_is_positive_only_beyond_the_oracle_in_our_favour(side: Side, px: str, expected: str) -> None:
    assert raw_edge_bps(side, Decimal(px), Decimal(100)) == Decimal(expected)


@pytest.mark.parametrize(
    ("event", "side", "origin"),
    [
        (a_ctx(T, oracle_px="100.20"), Side.BUY, "oracle_led"),
        (a_ctx(T, oracle_px="99.80"), Side.SELL, "oracle_led"),
        (a_bbo(T, bid_px="99.86", ask_px="99.90"), Side.BUY, "quote_led"),
        (a_bbo(T, bid_px="100.10", ask_px="100.14"), Side.SELL, "quote_led"),
    ],
)
def test_cross_side_we_would_hit_and_origin_are_told(event: AnyEvent, side: Side, origin: str) -> None:
    outputs = feed(a_warm_engine(), event)
    began, signal = of_type(outputs, EpisodeBegan)[0], of_type(outputs, SignalRaised)[0]
    assert (began.side, began.origin, signal.side, signal.origin) == (side, origin, side, origin)
    assert signal.episode_id == began.episode_id
    assert signal.threshold_bps == Decimal("4.8")
    assert signal.net_edge_bps == signal.raw_edge_bps - Decimal("2.8")
    assert (signal.bbo_seq > 0, signal.ctx_seq > 0) == (True, True)


@given(ask_ticks=st.integers(9_900, 10_100), oracle_ticks=st.integers(99_000, 101_000))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_cross_precomputed_trigger_agrees_with_the_edge(ask_ticks: int, oracle_ticks: int) -> None:
    ask, oracle = Decimal(ask_ticks) / 100, Decimal(oracle_ticks) / 1000
    state = an_engine()
    feed(state, *events_until_ready())
    outputs = feed(
        state,
        a_bbo(2, bid_px=str(min(ask, oracle) - Decimal("0.01")), ask_px=str(ask)),
        a_ctx(3, oracle_px=str(oracle)),
    )
    buys = [e for e in of_type(outputs, EpisodeBegan) if e.side is Side.BUY and e.origin == "oracle_led"]
    began_before = [e for e in of_type(outputs, EpisodeBegan) if e.side is Side.BUY and e.origin == "quote_led"]
    is_cross = raw_edge_bps(Side.BUY, ask, oracle) >= Decimal("4.8")
    assert bool(buys) == (is_cross and not began_before and oracle != 100)


def test_cross_edge_equal_to_the_threshold_raises_a_signal() -> None:
    state = a_warm_engine(a_spec(taker_fee_bps="1"))  # 2 x 1 + 1 + 2 = 5 bps
    assert of_type(feed(state, a_bbo(T, bid_px="99.90", ask_px="99.951")), SignalRaised) == []
    signal = of_type(feed(state, a_bbo(T + 1, bid_px="99.90", ask_px="99.95")), SignalRaised)[0]
    assert signal.raw_edge_bps == signal.threshold_bps == 5


def test_cross_fee_of_the_market_moves_the_threshold() -> None:
    state = a_warm_engine(a_spec(taker_fee_bps="9"))  # 2 x 9 + 3 = 21 bps
    assert of_type(feed(state, a_ctx(T, oracle_px="100.20")), SignalRaised) == []
    assert of_type(feed(state, a_ctx(T + 1, oracle_px="100.30")), SignalRaised)[0].threshold_bps == 21


def test_cross_touch_off_the_grid_is_judged_at_the_rounded_limit() -> None:
    state = a_warm_engine()
    signal = of_type(feed(state, a_bbo(T, bid_px="99.80", ask_px="99.9012")), SignalRaised)[0]
    assert signal.limit_px == Decimal("99.901")
    assert signal.raw_edge_bps == raw_edge_bps(Side.BUY, Decimal("99.901"), Decimal(100))


def test_cross_price_without_a_legal_neighbour_raises_no_signal() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="0.001"))
    feed(state, a_timer(4_000), a_bbo(4_001, bid_px="0.00000001", ask_px="0.00000002"))
    assert no_signal_counts(state) == {"px_off_grid": 1}


@pytest.mark.parametrize("oracle_px", ["0.00000001", "9999999999.99999999"])
@pytest.mark.parametrize("touch", [("9999999998", "9999999999"), ("0.00000001", "0.00000002")])
def test_cross_hostile_prices_end_as_rows_that_fit_the_tables(oracle_px: str, touch: tuple[str, str]) -> None:
    state = a_warm_engine()
    hostile = [
        a_ctx(T, oracle_px=oracle_px, mark_px="9999999999", open_interest_sz="999999999999999"),
        a_bbo(T + 1, bid_px=touch[0], ask_px=touch[1]),
        a_timer(T + 9_000),
    ]
    outputs = feed(state, *hostile)
    for signal in of_type(outputs, SignalRaised):
        assert abs(signal.raw_edge_bps) < Decimal("1e12")
    for evaluated in of_type(outputs, GatesEvaluated):
        for result in evaluated.results:
            for value in (result.observed, result.limit):
                assert value is None or (abs(value) < Decimal("1e26") and -value.as_tuple().exponent <= 12)  # type: ignore[operator]


def test_cross_below_the_threshold_is_counted_per_event() -> None:
    state = a_warm_engine()
    feed(state, a_timer(4_000))
    feed(state, a_ctx(4_001, oracle_px="100.03"), a_bbo(4_002), a_ctx(4_003, oracle_px="99.97"))
    assert no_signal_counts(state) == {"below_threshold": 3}


def test_cross_edge_at_the_rounded_limit_decides_last() -> None:
    state = a_warm_engine()
    state.markets[COIN].buy_trigger_px = Decimal("99.99")  # a trigger that would let a smaller edge pass
    outputs = feed(state, a_bbo(T, bid_px="99.90", ask_px="99.98"))
    assert of_type(outputs, SignalRaised) == []
    assert no_signal_counts(state)["below_threshold"] == 1


def test_cross_market_not_ready_is_counted_and_signalled_once_ready() -> None:
    state = an_engine()
    opening, poll, bbo_ack, ctx_ack, ctx, bbo = events_until_ready()
    feed(state, opening, poll, bbo_ack, ctx, bbo, a_ctx(2, oracle_px="101"))
    assert no_signal_counts(state) == {"not_ready": 1}
    feed(state, ctx_ack)
    assert of_type(feed(state, a_bbo(3)), SignalRaised)


def test_cross_void_book_is_counted() -> None:
    state = a_warm_engine()
    feed(state, a_timer(4_000))
    feed(state, a_bbo(4_001, bid_px=None, ask_px="99"), a_ctx(4_002), a_bbo(4_003, bid_px="101", ask_px=None))
    assert no_signal_counts(state) == {"book_void": 3}


def test_cross_void_book_before_any_ctx_or_without_a_cross_is_not_counted() -> None:
    state = an_engine()
    feed(state, an_opening(), a_bbo(1, bid_px=None, ask_px="99"))
    feed(state, a_ctx(2, oracle_px="90"))
    assert no_signal_counts(state) == {}


def test_health_sample_carries_the_counts_and_starts_anew() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.03"))
    first, second = (of_type(feed(state, a_timer(at)), HealthSampled)[0] for at in (4_000, 5_000))
    assert first.no_signal_counts == {"below_threshold": 1}
    assert second.no_signal_counts == {}


def test_episode_frozen_quote_is_one_signal_however_many_ticks() -> None:
    state = a_warm_engine()
    outputs = feed(state, *[a_ctx(T + 1_000 * i, oracle_px="100.20") for i in range(60)])
    assert len(of_type(outputs, SignalRaised)) == 1
    assert state.markets[COIN].buy_episode is not None
    assert state.markets[COIN].buy_episode.tick_count == 60


def test_episode_whole_life_is_one_row() -> None:
    state = a_warm_engine()
    outputs = feed(
        state,
        a_ctx(T, oracle_px="100.20"),
        a_ctx(T + 100, oracle_px="100.30"),
        a_bbo(T + 200, bid_px="100.10", ask_px="100.20"),
        a_bbo(T + 350, bid_px="100.26", ask_px="100.29"),
    )
    began, ended = of_type(outputs, EpisodeBegan)[0], of_type(outputs, EpisodeEnded)[0]
    assert ended.episode_id == began.episode_id
    assert (ended.begin_ts_ns, ended.duration_ms) == (START_TS_NS + T * 1_000_000, 350)
    assert ended.tick_count == 3
    assert ended.entry_edge_bps == began.raw_edge_bps == Decimal("17.964072")
    assert ended.peak_edge_bps == Decimal("27.916251")
    assert ended.ended_by == "quote_moved"


@pytest.mark.parametrize(
    ("ending", "ended_by"),
    [
        (a_bbo(T + 10, bid_px="100.15", ask_px="100.19"), "quote_moved"),
        (a_ctx(T + 10, oracle_px="100.03"), "oracle_moved"),
        (a_bbo(T + 10, bid_px=None), "book_void"),
        (ConnectionLost(**stamps(T + 10), generation=1, reason="closed"), "connection_lost"),
        (an_opening(T + 10, generation=2), "connection_lost"),
        (a_bbo(T + 10, venue_ts_ms=1), "market_stopped"),
        (SessionClosed(**stamps(T + 10), reason="sigterm"), "session_closed"),
    ],
)
def test_episode_what_ended_it_is_told(ending: AnyEvent, ended_by: str) -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"))
    assert [e.ended_by for e in of_type(feed(state, ending), EpisodeEnded)] == [ended_by]


def test_episode_edge_between_rearm_and_threshold_stays_open() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"))
    edge_just_above_half = a_ctx(T + 1, oracle_px="100.0442")
    assert of_type(feed(state, edge_just_above_half), EpisodeEnded) == []
    edge_just_below_half = a_ctx(T + 2, oracle_px="100.0439")
    assert len(of_type(feed(state, edge_just_below_half), EpisodeEnded)) == 1


def test_episode_rearmed_side_signals_again() -> None:
    state = a_warm_engine()
    events = [a_ctx(T + i, oracle_px="100.20" if i % 2 == 0 else "100") for i in range(6)]
    assert len(of_type(feed(state, *events), SignalRaised)) == 3


def test_episode_ended_by_a_void_book_stays_unarmed_until_the_edge_is_gone() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), a_bbo(T + 1, bid_px=None), a_timer(4_000))
    assert of_type(feed(state, a_bbo(4_001)), SignalRaised) == []
    assert no_signal_counts(state) == {"not_armed": 1}
    feed(state, a_ctx(4_002, oracle_px="100.06"))  # neither crossed nor fallen back
    assert no_signal_counts(state) == {"not_armed": 1}
    feed(state, a_ctx(4_002, oracle_px="100"))
    assert of_type(feed(state, a_ctx(4_003, oracle_px="100.20")), SignalRaised)


def test_episode_sell_side_unarmed_and_rearmed_likewise() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="99.80"), a_bbo(T + 1, ask_px=None), a_bbo(T + 2))
    assert not state.markets[COIN].is_sell_armed
    outputs = feed(state, a_ctx(T + 3), a_ctx(T + 4, oracle_px="99.80"), a_ctx(T + 5), a_bbo(T + 6))
    assert [s.side for s in of_type(outputs, SignalRaised)] == [Side.SELL]
    assert state.markets[COIN].is_quiet


def test_episode_oracle_jumping_across_the_book_ends_one_side_and_begins_the_other() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"))
    outputs = feed(state, a_ctx(T + 1, oracle_px="99.80"))
    assert [e.side for e in of_type(outputs, EpisodeEnded)] == [Side.BUY]
    assert [e.side for e in of_type(outputs, EpisodeBegan)] == [Side.SELL]


def test_episode_open_on_one_side_counts_weak_crosses_of_the_other() -> None:
    state = a_warm_engine()
    feed(state, a_ctx(T, oracle_px="100.20"), a_timer(4_000))
    feed(state, a_ctx(4_001, oracle_px="99.97"))
    assert no_signal_counts(state) == {"below_threshold": 1}


def test_signal_first_ctx_of_a_connection_is_not_oracle_led() -> None:
    state = a_warm_engine()
    feed(state, an_opening(T, generation=2))
    ready = events_until_ready(T + 1, generation=3)
    ready[-2] = a_ctx(T + 2, oracle_px="100.20", generation=3)
    signal = of_type(feed(state, *ready), SignalRaised)[0]
    assert signal.origin == "quote_led"


def test_signal_id_is_a_function_of_its_cause() -> None:
    first, again = (of_type(feed(a_warm_engine(), a_ctx(T, oracle_px="101")), SignalRaised)[0] for _ in range(2))
    other = of_type(feed(a_warm_engine(), a_ctx(T, oracle_px="99")), SignalRaised)[0]
    assert first.signal_id == again.signal_id != other.signal_id
    assert len(first.signal_id) == 32


def test_signal_controls_beside_the_gates_block_and_are_named() -> None:
    state = a_warm_engine()
    feed(
        state,
        RateUseReported(**stamps(T), use_ratio=Decimal("0.95"), limit_name="messages"),
        WriterHealthReported(**stamps(T), is_healthy=False, sync_lag_ms=2_000, loop_lag_ms=0, queue_count=0),
    )
    evaluated = of_type(feed(state, a_ctx(T, oracle_px="100.20")), GatesEvaluated)[0]
    assert evaluated.blocked_by == ("rate_limit", "writer")


def test_signal_open_position_and_order_in_flight_block_the_other_side() -> None:
    state = a_warm_engine(limits=limits_with(detector={"rearm_ratio": Decimal("0.5")}))
    feed(state, a_ctx(T, oracle_px="100.20"))
    in_flight = of_type(feed(state, a_ctx(T + 1, oracle_px="99.80")), GatesEvaluated)[0]
    assert in_flight.blocked_by == ("order_in_flight",)
    feed(state, a_bbo(T + 500), a_ctx(T + 501, oracle_px="100"))
    held = of_type(feed(state, a_ctx(T + 502, oracle_px="99.80")), GatesEvaluated)[0]
    assert held.blocked_by == ("position_open",)


def test_signal_book_shows_both_sides_and_ages_at_the_decision() -> None:
    book = of_type(feed(a_warm_engine(), a_ctx(T + 50, oracle_px="100.20")), SignalRaised)[0].book
    assert (book.bid_px, book.ask_px) == (Decimal("99.98"), Decimal("100.02"))
    assert (book.oracle_px, book.mark_px, book.spread_bps) == (Decimal("100.20"), Decimal(100), Decimal(4))
    assert (book.bbo_age_ms, book.confirmation_age_ms, book.ctx_age_ms, book.oracle_age_ms) == (150, 0, 0, 0)


def test_signal_stamps_are_those_of_the_event() -> None:
    signal = of_type(feed(a_warm_engine(), a_ctx(T + 50, oracle_px="100.20")), SignalRaised)[0]
    assert signal.ts_ns == START_TS_NS + (T + 50) * 1_000_000
    assert signal.mono_ns == START_MONO_NS + (T + 50) * 1_000_000
