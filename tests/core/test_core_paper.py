"""Sizing, the paper fill model, positions, exits and their ledger, through `step`."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from core_builders import (
    COIN,
    START_TS_NS,
    WARM_MS,
    a_bbo,
    a_ctx,
    a_poll,
    a_spec,
    a_status,
    a_timer,
    a_warm_engine,
    an_engine,
    feed,
    limits_with,
    of_type,
    stamps,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.effects import (
    AnyOutput,
    EntryRefused,
    FillApplied,
    LedgerPosted,
    OrderChanged,
    PositionChanged,
    SignalRaised,
)
from streaming.core.errors import InvariantViolation
from streaming.core.events import AnyEvent, ConnectionLost, SessionClosed, StopRequested
from streaming.core.ledger import currency_of, post
from streaming.core.market import Side
from streaming.core.orders import cloid_of
from streaming.core.paper import paper_held
from streaming.core.paper_book import PaperPosition
from streaming.core.sizing import Sizing, size_entry
from streaming.core.state import EngineState

T = WARM_MS
D = Decimal
BUY_CROSS = a_ctx(T, oracle_px="100.20")
SELL_CROSS = a_ctx(T, oracle_px="99.80")


def alive(from_ms: float, to_ms: float, bid_sz: str = "50", ask_sz: str = "50") -> list[AnyEvent]:
    """A quote every 500 ms, so that gate 7 stays open."""
    return [a_bbo(at, bid_sz=bid_sz, ask_sz=ask_sz) for at in range(int(from_ms), int(to_ms), 500)]


def statuses(outputs: list[AnyOutput]) -> list[tuple[str, str, Decimal]]:
    return [(o.status, o.reason, o.filled_sz) for o in of_type(outputs, OrderChanged)]


def _sized(state: EngineState, *, limit_px: Decimal, touch_sz: Decimal, is_reduced: bool) -> Sizing:
    spec = state.markets[COIN].spec
    return size_entry(
        state.limits.sizing, spec, paper_held(state), limit_px=limit_px, touch_sz=touch_sz, is_reduced=is_reduced
    )


def balances(outputs: list[AnyOutput]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for leg in of_type(outputs, LedgerPosted):
        totals[leg.account] += leg.amount
    return dict(totals)


@pytest.mark.parametrize(
    ("sizing", "touch_sz", "is_reduced", "sz", "reason"),
    [
        ({}, "2", False, "0.2", ""),
        ({}, "50", False, "0.499", ""),
        ({}, "50", True, "0", "below_order_ntl_min"),
        ({"order_ntl_min": D(5)}, "50", True, "0.099", ""),
        ({}, "0.9", False, "0", "below_order_ntl_min"),
        ({}, "0.009", False, "0", "below_lot"),
        ({}, "0", False, "0", "below_lot"),
        ({"position_ntl_max": D(20)}, "50", False, "0.199", ""),
        ({"account_ntl_max": D(30)}, "50", False, "0.299", ""),
        ({"account_ntl_max": D(0)}, "50", False, "0", "account_ntl_max"),
        ({"alpha_ratio": D("0.01")}, "20", False, "0.2", ""),
    ],
)
def test_size_entry_smallest_of_share_and_caps_floored_to_the_lot(
    sizing: dict[str, Any], touch_sz: str, is_reduced: bool, sz: str, reason: str
) -> None:
    state = a_warm_engine(limits=limits_with(sizing=sizing))
    found = _sized(state, limit_px=D("100.02"), touch_sz=D(touch_sz), is_reduced=is_reduced)
    assert (found.sz, found.reason) == (D(sz), reason)


def test_size_entry_rounding_below_the_minimum_is_refused_after_rounding() -> None:
    state = a_warm_engine(a_spec(sz_decimals=0))
    found = _sized(state, limit_px=D("9.99"), touch_sz=D(19), is_reduced=False)
    assert (found.sz, found.reason) == (0, "below_order_ntl_min")


@given(
    limit_ticks=st.integers(1, 1_000_000),
    touch=st.decimals(min_value=0, max_value=100_000, places=3, allow_nan=False),
    held=st.decimals(min_value=0, max_value=600, places=2, allow_nan=False),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_size_entry_any_input_stays_inside_every_cap(limit_ticks: int, touch: Decimal, held: Decimal) -> None:
    state = an_engine()
    limit_px = D(limit_ticks) / 100
    if held:
        state.positions["xyz:TSLA"] = a_position(cost_ntl=held)
    sizing = _sized(state, limit_px=limit_px, touch_sz=touch, is_reduced=False)
    limits = state.limits.sizing
    ntl = sizing.sz * limit_px
    assert (sizing.sz == 0) == bool(sizing.reason)
    assert ntl <= min(limits.order_ntl_max, limits.position_ntl_max)
    assert sizing.sz == 0 or ntl + held <= limits.account_ntl_max
    assert sizing.sz == 0 or ntl >= limits.order_ntl_min
    assert sizing.sz <= touch * limits.alpha_ratio


def a_position(**changes: object) -> PaperPosition:
    fields: dict[str, Any] = {
        "sz": D(1),
        "entry_px": D(10),
        "entry_ts_ns": START_TS_NS,
        "entry_edge_bps": None,
        "signal_id": "s",
        "cost_ntl": D(10),
    }
    return PaperPosition(**(fields | changes))


def test_entry_count_of_positions_is_capped() -> None:
    state = a_warm_engine(limits=limits_with(sizing={"position_count_max": 1}))
    state.positions["xyz:OTHER"] = a_position()
    assert [r.reason for r in of_type(feed(state, BUY_CROSS), EntryRefused)] == ["position_count_max"]


def test_entry_burst_over_all_markets_keeps_the_account_cap() -> None:
    specs = [a_spec(f"xyz:M{i:02}") for i in range(42)]
    state = a_warm_engine(*specs, limits=limits_with(sizing={"position_count_max": 42, "account_ntl_max": D(220)}))
    outputs = feed(state, *[a_ctx(T, oracle_px="100.20", coin=spec.coin) for spec in specs])
    intents = of_type(outputs, OrderChanged)
    assert len(of_type(outputs, SignalRaised)) == 42
    assert sum(o.limit_px * o.sz for o in intents) <= 220
    assert len(intents) + len(of_type(outputs, EntryRefused)) == 42


def test_entry_reduce_gate_shrinks_the_size() -> None:
    state = a_warm_engine(limits=limits_with(sizing={"order_ntl_min": D(1)}))
    feed(state, a_bbo(T, bid_px="99.92", ask_px="100.08"))
    outputs = feed(state, a_ctx(T + 1, oracle_px="100.30", mark_px="100", mid_px="100"))
    assert [o.sz for o in of_type(outputs, OrderChanged)] == [D("0.099")]


def test_entry_sees_the_book_at_decision_plus_latency() -> None:
    state = a_warm_engine()
    signal = of_type(intent := feed(state, BUY_CROSS), SignalRaised)[0]
    assert statuses(intent) == [("intent", "entry", 0)]
    outputs = feed(state, a_bbo(T + 399, bid_px="99.97", ask_px="100.01"), a_bbo(T + 401, ask_px="100.10"))
    fill = of_type(outputs, FillApplied)[0]
    assert (fill.px, fill.sz, fill.side, fill.tid) == (D("100.01"), D("0.499"), Side.BUY, 1)
    assert fill.ts_ns == START_TS_NS + (T + 400) * 1_000_000
    assert fill.decided_ts_ns == signal.ts_ns
    assert fill.fee == D("0.004492")  # 0.499 x 100.01 x 0.9 bps = 0.00449145, rounded up
    position = of_type(outputs, PositionChanged)[0]
    assert (position.sz, position.entry_px, position.entry_edge_bps) == (D("0.499"), D("100.01"), signal.raw_edge_bps)


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (a_bbo(T + 100, bid_px="99.99", ask_px="100.03"), "touch_beyond_limit"),
        (a_bbo(T + 100, bid_px=None), "book_one_sided"),
        (ConnectionLost(**stamps(T + 100), generation=1, reason="closed"), "book_none"),
    ],
)
def test_entry_touch_that_is_gone_is_no_fill(meanwhile: AnyEvent, reason: str) -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS)
    outputs = feed(state, meanwhile, a_timer(T + 400))
    assert statuses(outputs) == [("unfilled", reason, 0)]
    assert of_type(outputs, FillApplied) == []
    assert state.positions == {}


def test_entry_fills_at_most_what_the_touch_offers() -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS)
    outputs = feed(state, a_bbo(T + 100, ask_sz="0.2"), a_timer(T + 400))
    assert statuses(outputs) == [("partly_filled", "entry", D("0.2"))]
    assert state.positions[COIN].sz == D("0.2")


def test_entry_sell_side_opens_a_short() -> None:
    state = a_warm_engine()
    outputs = feed(state, SELL_CROSS, a_timer(T + 400))
    assert of_type(outputs, PositionChanged)[0].sz < 0
    assert balances(outputs)["cash"] > 0


def test_position_time_stop_closes_at_the_opposite_touch_and_the_ledger_balances() -> None:
    state = a_warm_engine()
    events = [*alive(T + 450, T + 5_300), a_bbo(T + 5_399, bid_px="100.07", ask_px="100.11"), a_timer(T + 5_900)]
    outputs = feed(state, BUY_CROSS, *events)
    assert statuses(outputs) == [
        ("intent", "entry", 0),
        ("filled", "entry", D("0.499")),
        ("intent", "time_stop", 0),
        ("filled", "time_stop", D("0.499")),
    ]
    exit_order = of_type(outputs, OrderChanged)[-1]
    assert (exit_order.is_reduce_only, exit_order.side) == (True, Side.SELL)
    assert exit_order.limit_px == D("99.57")  # 100.07 less 50 bps, ceiled to the grid
    flat = of_type(outputs, PositionChanged)[-1]
    assert (flat.sz, flat.entry_px, flat.reason) == (0, None, "time_stop")
    assert flat.realised_pnl == (D("100.07") - D("100.02")) * D("0.499")
    totals = balances(outputs)
    fees = sum(fill.fee for fill in of_type(outputs, FillApplied))
    assert totals["position"] == 0
    assert totals["realised_pnl"] == -flat.realised_pnl
    assert totals["fees"] == fees
    assert totals["cash"] == flat.realised_pnl - fees
    assert state.positions == {}
    assert state.orders == {}


def test_position_short_is_bought_back_with_its_loss() -> None:
    state = a_warm_engine()
    outputs = feed(state, SELL_CROSS, *alive(T + 450, T + 6_000), a_timer(T + 6_000))
    flat = of_type(outputs, PositionChanged)[-1]
    assert (flat.sz, flat.realised_pnl) == (0, (D("99.98") - D("100.02")) * D("0.5"))
    assert of_type(outputs, FillApplied)[-1].side is Side.BUY


def test_exit_is_tried_again_until_flat() -> None:
    state = a_warm_engine()
    outputs = feed(state, BUY_CROSS, *alive(T + 450, T + 5_400), *alive(T + 5_500, T + 9_000, bid_sz="0.2"))
    outputs += feed(state, *alive(T + 9_000, T + 12_000))
    exits = [o for o in of_type(outputs, OrderChanged) if o.is_reduce_only and o.status != "intent"]
    # the same displayed 0.2 is not consumed a second time; a changed size is new liquidity
    assert [(o.status, o.filled_sz) for o in exits] == [
        ("partly_filled", D("0.2")),
        ("unfilled", 0),
        ("unfilled", 0),
        ("filled", D("0.299")),
    ]
    assert [o.reason for o in exits][1] == "touch_consumed"
    assert len({o.cloid for o in exits}) == 4
    assert balances(outputs)["position"] == 0
    assert state.positions == {}


def test_exit_without_a_book_waits_and_keeps_one_claim() -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS, *alive(T + 450, T + 5_000), a_bbo(T + 5_000, bid_px=None, ask_px=None))
    waiting = feed(state, a_timer(T + 20_000))
    assert of_type(waiting, OrderChanged) == []
    outputs = feed(state, a_bbo(T + 20_100), *alive(T + 20_500, T + 24_000))
    assert [s for s, *_ in statuses(outputs)] == ["intent", "filled"]


def test_exit_limit_beyond_slippage_is_not_chased_in_one_order() -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS, *alive(T + 450, T + 5_400))
    outputs = feed(state, a_timer(T + 5_400), a_bbo(T + 5_500, bid_px="99", ask_px="99.04"), a_timer(T + 5_900))
    assert statuses(outputs)[1:] == [("unfilled", "touch_beyond_limit", 0)]
    assert COIN in state.positions


@pytest.mark.parametrize(
    ("tripping", "reason"),
    [
        (a_poll(T + 1_000, a_status(is_halted=True)), "gate_halt"),
        (a_bbo(T + 1_000, venue_ts_ms=1), "gate_time_regression"),
    ],
)
def test_exit_gate_that_stops_the_market_closes_the_position_at_once(tripping: AnyEvent, reason: str) -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS, a_bbo(T + 450))
    outputs = feed(state, tripping, a_timer(T + 2_900))
    assert statuses(outputs) == [("intent", reason, 0), ("filled", reason, D("0.499"))]


def test_consumption_same_touch_is_not_taken_twice_by_a_second_entry() -> None:
    state = a_warm_engine(limits=limits_with(sizing={"alpha_ratio": D(1), "order_ntl_min": D(1)}))
    feed(state, a_bbo(T, ask_sz="0.4"), a_ctx(T + 1, oracle_px="100.20"), a_timer(T + 500))
    assert state.markets[COIN].ask_consumed_sz == D("0.4")
    feed(state, *alive(T + 1_000, T + 7_000, ask_sz="0.4"), a_ctx(T + 7_000, oracle_px="100"))
    assert state.positions == {}
    refused = of_type(feed(state, a_ctx(T + 7_001, oracle_px="100.20")), EntryRefused)
    assert [r.reason for r in refused] == ["below_lot"]
    feed(state, a_bbo(T + 7_100, ask_sz="0.3"), a_ctx(T + 7_101, oracle_px="100"))
    assert state.markets[COIN].ask_consumed_sz == 0
    assert statuses(feed(state, a_ctx(T + 7_102, oracle_px="100.20"))) == [("intent", "entry", 0)]


def test_stop_aborts_the_entry_in_flight_and_lets_exits_go() -> None:
    state = a_warm_engine(a_spec(), a_spec("xyz:TSLA"))
    feed(state, BUY_CROSS, a_timer(T + 400))
    feed(state, a_bbo(T + 401, coin="xyz:TSLA"), a_ctx(T + 402, oracle_px="100.20", coin="xyz:TSLA"))
    stop = StopRequested(**stamps(T + 410), command_id=1, reason="test", operator="op")
    assert statuses(feed(state, stop)) == [("aborted", "stop_latch", 0)]
    outputs = feed(state, *alive(T + 900, T + 6_000), a_timer(T + 6_000))
    assert statuses(outputs) == [("intent", "time_stop", 0), ("filled", "time_stop", D("0.499"))]


def test_session_close_aborts_orders_in_flight_and_keeps_positions() -> None:
    state = a_warm_engine()
    feed(state, BUY_CROSS)
    outputs = feed(state, SessionClosed(**stamps(T + 100), reason="sigterm"))
    assert statuses(outputs) == [("aborted", "session_closed: sigterm", 0)]
    assert state.orders == {}
    assert statuses(feed(state, a_timer(T + 1_000))) == []


def test_cloid_is_deterministic_and_spelled_as_the_venue_wants() -> None:
    first = cloid_of("s1", "sig", "entry")
    assert first == cloid_of("s1", "sig", "entry")
    assert len({first, cloid_of("s2", "sig", "entry"), cloid_of("s1", "sig", "exit1")}) == 3
    assert first.startswith("0x")
    assert len(first) == 34
    int(first, 16)


def test_ledger_unbalanced_posting_is_an_invariant_violation() -> None:
    with pytest.raises(InvariantViolation, match="I-14"):
        post(an_engine(), [], coin=COIN, posting_id="p", currency="USDC", reason="fill", legs=(("cash", D(1)),))


def test_ledger_fee_of_zero_posts_no_empty_legs() -> None:
    state = a_warm_engine(a_spec(taker_fee_bps="0"))
    outputs = feed(state, BUY_CROSS, a_timer(T + 400))
    assert [leg.account for leg in of_type(outputs, LedgerPosted)] == ["cash", "position"]


def test_ledger_currency_is_the_collateral_of_the_dex() -> None:
    assert (currency_of(0), currency_of(235)) == ("USDC", "token235")


@given(
    quotes=st.lists(
        st.tuples(st.integers(9_900, 10_100), st.integers(1, 30), st.integers(1, 3_000), st.integers(0, 3_000)),
        min_size=5,
        max_size=40,
    )
)
@settings(derandomize=True, max_examples=60, deadline=None)
def test_ledger_any_walk_balances_and_ends_flat_once_the_book_is_deep(quotes: list[tuple[int, int, int, int]]) -> None:
    state = a_warm_engine(limits=limits_with(sizing={"alpha_ratio": D(1), "order_ntl_min": D("0.01")}))
    at, outputs = T, []
    for bid_ticks, spread, sz, oracle_shift in quotes:
        at += 700
        bid, ask = D(bid_ticks) / 100, D(bid_ticks + spread) / 100
        outputs += feed(state, a_bbo(at, bid_px=str(bid), ask_px=str(ask), bid_sz=str(D(sz) / 1_000), ask_sz="0.4"))
        outputs += feed(state, a_ctx(at + 100, oracle_px=str(D(98_500 + oracle_shift) / 1_000), mark_px=str(bid)))
        _assert_books(state, outputs)
    outputs += feed(state, *[a_bbo(at + 500 * i, bid_sz="50", ask_sz=str(50 + i)) for i in range(1, 40)])
    _assert_books(state, outputs)
    assert state.positions == {}
    assert balances(outputs).get("position", 0) == 0


def _assert_books(state: EngineState, outputs: list[AnyOutput]) -> None:
    # Positions are the fold of fills (I-12), postings balance (I-14), caps hold (I-11).
    held = sum((f.sz if f.side is Side.BUY else -f.sz for f in of_type(outputs, FillApplied)), D(0))
    assert held == (state.positions[COIN].sz if COIN in state.positions else 0)
    by_posting: dict[str, Decimal] = defaultdict(Decimal)
    for leg in of_type(outputs, LedgerPosted):
        by_posting[leg.posting_id] += leg.amount
    assert all(total == 0 for total in by_posting.values())
    position = state.positions.get(COIN)
    assert position is None or position.cost_ntl <= state.limits.sizing.position_ntl_max
    assert -balances(outputs).get("realised_pnl", 0) == sum(
        (p.realised_pnl for p in of_type(outputs, PositionChanged)), D(0)
    )
