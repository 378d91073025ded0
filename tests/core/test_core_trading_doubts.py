"""Orders of unknown outcome: what ends a doubt, what does not, and what waits for it (reliability.md, section 4)."""

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest
from core_builders import COIN, a_timer, of_type, venue_ms
from trading_builders import OTHER, Desk, a_desk, blocked_by, fill_part, statuses

from streaming.core.trading.doubts import ASK_AGAIN_MS
from streaming.core.trading.effects import AccountAsked, ActionDecided, FillsAsked, LiveFillApplied, OrderAsked
from streaming.core.trading.events import AccountRead, OrderRead
from streaming.core.trading.model import DexAccount, OrderStatus

if TYPE_CHECKING:
    from streaming.core.events import AnyEvent

D = Decimal


def lost(desk: Desk, coin: str = COIN) -> ActionDecided:
    """Send an entry whose answer never comes."""
    desk.cross(coin)
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.unknown(action))
    assert desk.orders(coin)[0].status is OrderStatus.IN_DOUBT
    return action


def expire(desk: Desk) -> None:
    """Let the entry's deadline pass by more than 2 s, with the venue asked nothing yet."""
    desk.is_answering = False
    desk.run(5_050)


def test_f26_read_timeout_order_executed_fill_arrives_position_right_no_second_order() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.feed(desk.execute(action).fills)
    assert desk.position().sz == D("0.499")
    assert not desk.live.orders
    desk.run(4_000)
    assert not desk.actions
    assert desk.latch == ""


def test_f26_read_timeout_order_executed_nothing_streamed_query_finds_it_no_second_order() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.execute(action)
    outputs = desk.run(6_500)
    assert desk.position().sz == D("0.499")
    assert len(of_type(outputs, LiveFillApplied)) == 1
    assert not [a for a in desk.actions if a.may_add_risk]
    assert desk.latch == ""


def test_f27_read_timeout_order_not_executed_ends_as_never_arrived_within_a_minute() -> None:
    desk = a_desk()
    lost(desk)
    outputs = desk.run(15_000)
    assert statuses(outputs)[-1] == "never_arrived"
    assert not desk.live.orders
    assert not desk.live.doubts
    assert desk.latch == ""
    assert not desk.actions


def test_f28_an_answer_that_says_nothing_is_a_doubt_and_a_late_answer_still_ends_it() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    desk.feed(desk.sent(action), desk.answered(action, is_unknown=True, text="502 Bad Gateway"))
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    assert desk.orders()[0].text == "502 Bad Gateway"
    desk.feed(found.answer, found.fills)
    assert not desk.live.orders
    assert not desk.live.actions
    assert desk.position().sz == D("0.499")


def test_f36_no_answer_in_time_is_a_doubt_and_frees_the_place_in_flight() -> None:
    desk = a_desk()
    desk.cross()
    desk.feed(desk.sent(desk.take_action()))
    assert desk.live.budget.in_flight_count == 1
    desk.run(5_100)
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    assert desk.live.budget.in_flight_count == 0


def test_f26_a_partial_fill_before_the_doubt_counts_and_the_query_says_the_rest() -> None:
    desk = a_desk()
    desk.venue.plan, desk.venue.parts = fill_part("0.6"), 2
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    first = msgspec.structs.replace(found.fills, fills=found.fills.fills[:1])
    desk.feed(desk.sent(action), first, desk.unknown(action))
    assert desk.position().sz == D("0.150")
    assert desk.orders()[0].open_sz == D("0.349")
    desk.run(6_500)
    assert desk.position().sz == D("0.299")
    assert desk.latch == ""


def test_i11_a_doubt_keeps_its_reservation_and_its_market_closed_and_the_account_unready() -> None:
    desk = a_desk(COIN, OTHER)
    lost(desk)
    assert desk.live.is_ready is False
    desk.calm()
    desk.run(300)
    assert "order_in_flight" in blocked_by(desk.cross())
    assert "trading_not_ready" in blocked_by(desk.cross(OTHER))
    assert not desk.actions
    desk.calm(OTHER)
    desk.run(15_000)
    assert desk.live.is_ready
    desk.cross(OTHER)
    assert desk.take_action().may_add_risk


def test_i19_readiness_ends_in_the_step_that_makes_the_doubt_also_by_a_deadline() -> None:
    desk = a_desk(COIN, OTHER)
    desk.cross()
    desk.feed(desk.sent(desk.take_action()))
    desk.at_ms += 5_001
    desk.feed(a_timer(desk.at_ms))
    assert desk.live.is_ready is False
    assert "orders out of doubt" in desk.live.unready_reason


def test_a_doubt_that_the_stream_ends_makes_the_account_ready_in_the_same_step() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.feed(desk.execute(action).fills)
    assert desk.live.is_ready


def prove_step(
    desk: Desk,
    *,
    is_unknown: bool = True,
    is_fills_clean: bool = True,
    is_agreeing: bool = True,
    is_venue_time_past: bool = True,
) -> None:
    """Answer the three questions of one try, each as told."""
    for query in list(desk.queries):
        desk.queries.remove(query)
        events: list[AnyEvent] = []
        answer = desk.truth(query)
        if isinstance(query, OrderAsked) and isinstance(answer, OrderRead):
            ts_ms = answer.venue_ts_ms if is_venue_time_past else 0
            events = [msgspec.structs.replace(answer, venue_ts_ms=ts_ms)] if is_unknown else [desk.fail(query)]
        elif isinstance(query, FillsAsked):
            events = [answer] if is_fills_clean else [desk.fail(query)]
        elif isinstance(answer, AccountRead):
            if is_agreeing:
                events = [answer if is_venue_time_past else at_venue_time(answer, venue_ms(6_000))]
            else:
                desk.venue.positions[COIN], desk.venue.entry_ntl[COIN] = D("0.3"), D(30)
                events = [desk.truth(query)]
                desk.venue.positions.clear()
        desk.feed(*events)


def at_venue_time(read: AccountRead, venue_ts_ms: int) -> AccountRead:
    accounts = tuple(msgspec.structs.replace(account, venue_ts_ms=venue_ts_ms) for account in read.accounts)
    return msgspec.structs.replace(read, accounts=accounts)


def tries(desk: Desk, count: int, **proofs: bool) -> None:
    for _ in range(count):
        prove_step(desk, **proofs)
        desk.run(ASK_AGAIN_MS + 100)


def test_i03_never_arrived_needs_all_four_proofs_and_takes_them() -> None:
    desk = a_desk()
    lost(desk)
    expire(desk)
    tries(desk, 1)
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT  # one unknownOid, one agreeing read: not twice yet
    tries(desk, 2)
    assert not desk.live.orders


@pytest.mark.parametrize("missing", ["is_unknown", "is_fills_clean", "is_agreeing", "is_venue_time_past"])
def test_i03_a_doubt_without_one_of_the_four_proofs_stays_and_after_a_minute_a_human_looks(missing: str) -> None:
    desk = a_desk()
    lost(desk)
    expire(desk)
    tries(desk, 8, **{missing: False})
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    assert desk.latch == ""
    tries(desk, 42, **{missing: False})
    assert desk.latch.startswith("order_in_doubt_unresolved")
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT


def a_latched_doubt() -> Desk:
    """An order whose doubt nothing ended for a minute."""
    desk = a_desk()
    lost(desk)
    expire(desk)
    tries(desk, 50, is_unknown=False)
    assert desk.latch.startswith("order_in_doubt_unresolved")
    return desk


def test_a_reset_gives_a_doubt_another_minute_of_questions() -> None:
    desk = a_latched_doubt()
    desk.reset()
    tries(desk, 45, is_unknown=False)  # 54 s
    assert desk.latch == ""
    tries(desk, 10, is_unknown=False)
    assert desk.latch.startswith("order_in_doubt_unresolved"), "and then a human looks again"


def test_a_doubt_that_ends_in_the_minute_after_a_reset_lets_trading_go_on() -> None:
    desk = a_latched_doubt()
    desk.reset()
    desk.is_answering = True
    desk.feed(*[desk.truth(query) for query in desk.queries])
    desk.queries = []
    desk.run(70_000)
    assert not desk.live.orders
    assert desk.live.is_ready
    assert desk.latch == ""


def test_i03_one_unknown_oid_is_not_two_and_two_within_a_second_are_one() -> None:
    desk = a_desk()
    lost(desk)
    expire(desk)
    query = desk.asked(OrderAsked)
    desk.feed(desk.truth(query))
    found = desk.live.doubts[query.cloid]
    assert found.unknown_mono_ns > 0
    assert not found.is_unknown_twice


def test_i03_a_read_of_fills_that_holds_one_of_the_order_forbids_never_arrived() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.venue.plan = fill_part("0.4")
    desk.execute(action)
    desk.venue.orders.clear()  # the venue forgot the order but not its fill
    desk.run(20_000)
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    assert desk.position().sz == D("0.200")
    assert not [a for a in desk.actions if a.may_add_risk]


def test_i03_a_read_of_fills_from_before_the_deadline_proves_nothing() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.is_answering = False
    desk.run(5_050)
    fills = desk.asked(FillsAsked)
    before = msgspec.structs.replace(desk.truth(fills), start_ts_ms=venue_ms(desk.at_ms))
    desk.feed(before)  # it began after the decision: it can not hold what came before
    assert not desk.live.doubts[action.orders[0].cloid].is_fills_clean


def test_i12_a_read_that_disagrees_starts_the_count_of_agreeing_reads_again() -> None:
    desk = a_desk()
    action = lost(desk)
    expire(desk)
    cloid = action.orders[0].cloid
    for sz, expected in (("0", 1), ("0.3", 0), ("0", 1)):
        query = desk.asked(AccountAsked)
        if D(sz):
            desk.venue.positions[COIN], desk.venue.entry_ntl[COIN] = D(sz), D(30)
        answer = desk.truth(query)
        desk.venue.positions.clear()
        desk.feed(answer)
        assert desk.live.doubts[cloid].agreeing_count == expected
        desk.run(ASK_AGAIN_MS + 100)


def test_f62_a_wall_clock_that_steps_back_does_not_put_the_question_off() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    hour_ns = 3_600 * 10**9
    back = desk.unknown(action)
    desk.feed(msgspec.structs.replace(back, recv_ts_ns=back.recv_ts_ns - hour_ns))
    desk.is_answering = False
    desk.run(6_000)
    assert [query for query in desk.queries if isinstance(query, OrderAsked)]


def test_an_exit_waits_for_the_doubt_of_its_market_and_goes_when_it_ends() -> None:
    desk = a_desk()
    desk.venue.plan = fill_part("0.4")
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    desk.feed(desk.sent(action), found.fills, desk.unknown(action))
    assert desk.orders()[0].status is OrderStatus.IN_DOUBT
    desk.is_answering = False
    desk.run(5_500)  # time stop
    assert desk.position().exit_reason == "time_stop"
    assert not desk.actions
    desk.is_answering = True
    desk.feed(*[desk.truth(query) for query in desk.queries])
    desk.queries = []
    desk.run(1_000)
    (ticket,) = desk.take_action().orders
    assert (ticket.is_reduce_only, ticket.sz) == (True, D("0.200"))


def test_i09_an_exit_in_doubt_is_not_sent_again_before_it_is_resolved() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.unknown(action))
    desk.is_answering = False
    desk.run(6_900)
    assert not desk.actions
    desk.is_answering = True
    desk.run(10_000)
    again = desk.take_action()  # as a new intent, sized from the position
    assert again.orders[0].cloid != action.orders[0].cloid
    assert again.orders[0].sz == D("0.499")


def test_f50_an_outage_resolves_on_return_and_the_exits_go_on() -> None:
    desk = a_desk()
    desk.enter()
    desk.is_answering = False
    desk.lose()
    for _ in range(120):
        desk.run(1_000)
        for action in desk.actions:
            desk.feed(desk.sent(action), desk.unknown(action, "503"))
        desk.actions = []
        desk.feed(*[desk.fail(query) for query in desk.queries])
        desk.queries = []
    assert len(desk.orders()) == 1  # one exit in doubt, never a second beside it
    assert desk.latch.startswith("order_in_doubt_unresolved")
    desk.is_answering = True
    desk.connect()
    desk.run(20_000)
    desk.is_executing = True
    desk.complete()
    desk.run(3_000)
    assert not desk.live.positions
    assert not desk.live.orders


def test_a_contradiction_of_never_arrived_is_applied_and_stops_trading() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.run(15_000)
    assert not desk.live.orders
    late = msgspec.structs.replace(action, expires_ts_ms=action.expires_ts_ms + 10**6)
    desk.feed(desk.execute(late).fills)
    assert desk.latch.startswith("evidence_contradicted")
    assert desk.position().sz == D("0.499")


def test_a_question_that_failed_is_asked_again_and_one_of_a_kind_is_open_at_a_time() -> None:
    desk = a_desk()
    lost(desk)
    expire(desk)
    assert [type(query) for query in desk.queries].count(AccountAsked) == 1
    failed = list(desk.queries)
    desk.queries = []
    desk.feed(*[desk.fail(query) for query in failed])
    desk.run(1_300)
    assert {type(query) for query in desk.queries} == {AccountAsked, FillsAsked, OrderAsked}
    assert len(desk.queries) == 3


def test_i37_reads_of_the_account_do_not_multiply_with_doubts() -> None:
    desk = a_desk()
    lost(desk)
    desk.is_answering = False
    asked = 0
    for _ in range(600):
        desk.run(100)
        asked += sum(isinstance(query, AccountAsked) for query in desk.queries)
        events = [desk.fail(query) if isinstance(query, OrderAsked) else desk.truth(query) for query in desk.queries]
        desk.queries = []
        desk.feed(*events)
    assert asked <= 70
    assert sum(timer[2] == "account" for timer in desk.state.timers) <= 6


def test_answers_to_questions_that_nobody_asked_are_nothing() -> None:
    desk = a_desk()
    cloid = "0x" + "77" * 16
    account = DexAccount(dex="xyz", account_value=D(1), withdrawable=D(1), positions=(), venue_ts_ms=1)
    at = desk.stamped()
    before = desk.live.change_count
    outputs = desk.feed(
        AccountRead(**at, query_id=999, accounts=(account,)),
        OrderRead(**at, query_id=998, cloid=cloid, update=None, venue_ts_ms=0),
    )
    assert outputs == []
    assert desk.live.change_count == before


def test_an_answer_about_an_order_that_ended_meanwhile_is_nothing() -> None:
    desk = a_desk()
    action = lost(desk)
    found = desk.execute(action)
    desk.venue.orders.clear()
    expire(desk)
    late = desk.truth(desk.asked(OrderAsked))
    desk.feed(found.fills)
    assert not desk.live.orders
    before = desk.live.change_count
    desk.feed(late)
    assert desk.live.change_count == before


def test_unknown_to_the_venue_while_it_is_no_doubt_any_more_proves_nothing() -> None:
    desk = a_desk()
    action = lost(desk)
    desk.venue.plan = lambda _: ("resting", D(0))
    found = desk.execute(action)
    expire(desk)
    late = desk.truth(desk.asked(OrderAsked))
    assert isinstance(late, OrderRead)
    desk.feed(found.answer)
    assert desk.orders()[0].status is OrderStatus.RESTING
    desk.feed(msgspec.structs.replace(late, update=None))
    assert desk.orders()[0].status is OrderStatus.RESTING
