"""Dying and coming back: recorded facts make the account what it was, and nothing is decided a second time."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, a_rotation, limits_with, of_type
from trading_builders import ACCOUNT, OTHER, Desk, a_desk, fill_part, latch_reasons, refuse, statuses

from streaming.core.engine import decode_snapshot, encode_snapshot
from streaming.core.market import Side
from streaming.core.recovery import carry_over
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.effects import LiveFillApplied
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.recovery import carried_account
from streaming.core.trading.refusal import RefusalCode

D = Decimal


def carried(desk: Desk) -> LiveAccount:
    return carry_over(desk.folded()).live


def assert_recovers(desk: Desk) -> None:
    """The fold of what was recorded is what the living process would have carried."""
    expected = without_stamps(carried_account(desk.state.live))
    found = without_stamps(carried(desk))
    for name in LiveAccount.__struct_fields__:
        assert getattr(found, name) == getattr(expected, name), name


def without_stamps(live: LiveAccount) -> LiveAccount:
    # Since when somebody waits is counted anew by each process, and is no fact.
    live.orders = {
        cloid: msgspec.structs.replace(order, doubt_mono_ns=0, answered_mono_ns=0)
        for cloid, order in live.orders.items()
    }
    return live


def an_entry(desk: Desk) -> None:
    desk.enter()


def a_part(desk: Desk) -> None:
    desk.venue.plan, desk.venue.parts = fill_part("0.4"), 2
    desk.enter()


def a_doubt(desk: Desk) -> None:
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.unknown(action))


def a_promise(desk: Desk) -> None:
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.execute(action).answer)


def a_round_trip(desk: Desk) -> None:
    desk.enter()
    desk.run(5_100)
    desk.complete()


def an_exit_under_way(desk: Desk) -> None:
    desk.enter()
    desk.run(5_100)
    desk.feed(desk.sent(desk.take_action()))


def money(desk: Desk) -> None:
    desk.enter()
    desk.funding("-0.25")
    desk.transfer("40")


def a_foreign_fill(desk: Desk) -> None:
    desk.feed(desk.foreign(COIN, Side.BUY, "0.3"), desk.foreign("xyz:MSFT", closed_pnl=D(2)))


def a_turn_over(desk: Desk) -> None:
    desk.enter()
    desk.feed(desk.foreign(COIN, Side.SELL, "0.8"))


def a_refusal(desk: Desk) -> None:
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    desk.enter()


def a_batch(desk: Desk) -> None:
    desk.state.limits = limits_with(actions={"entry_batch_ms": 1_000})
    desk.cross()


def a_reset(desk: Desk) -> None:
    desk.feed(desk.foreign())
    desk.complete()
    desk.run(3_000)
    desk.reset()


def a_position_that_is_not_ours(desk: Desk) -> None:
    desk.venue.positions["xyz:MSFT"], desk.venue.entry_ntl["xyz:MSFT"] = D(1), D(50)
    desk.run(12_000)
    desk.reset()


def a_reset_of_conservation(desk: Desk) -> None:
    desk.venue.cash["xyz"] += 7
    desk.run(12_000)
    desk.reset()


def a_flatten(desk: Desk) -> None:
    desk.enter()
    desk.flatten()


def a_cash_start(desk: Desk) -> None:
    a_reset_of_conservation(desk)
    desk.run(5_000)
    desk.enter()


HISTORIES: list[Callable[[Desk], None]] = [
    an_entry, a_part, a_doubt, a_promise, a_round_trip, an_exit_under_way, money, a_foreign_fill, a_turn_over,
    a_refusal, a_batch, a_reset, a_position_that_is_not_ours, a_reset_of_conservation, a_flatten, a_cash_start,
]  # fmt: skip


def test_f92_what_may_be_open_at_a_start_are_positions_and_orders_that_are_not_settled() -> None:
    desk = a_desk(COIN, OTHER)
    assert carry_over(desk.folded()).open_coins == ()
    a_doubt(desk)
    assert carry_over(desk.folded()).open_coins == (COIN,), "it may have been executed"
    desk.enter(OTHER)
    assert carry_over(desk.folded()).open_coins == (COIN,), "nothing is entered beside a doubt"
    desk = a_desk(COIN, OTHER)
    desk.enter(OTHER)
    assert carry_over(desk.folded()).open_coins == (OTHER,)
    desk.run(5_100)
    desk.complete()
    assert carry_over(desk.folded()).open_coins == ()


@pytest.mark.parametrize("history", HISTORIES)
def test_i24_the_fold_of_recorded_facts_equals_what_was_carried(history: Callable[[Desk], None]) -> None:
    desk = a_desk(COIN, OTHER)
    history(desk)
    assert_recovers(desk)


@pytest.mark.parametrize("history", HISTORIES)
def test_i24_a_whole_session_folds_from_its_first_snapshot(history: Callable[[Desk], None]) -> None:
    desk = Desk(COIN, OTHER)
    desk.connect()
    desk.control()
    desk.run(6_000)
    history(desk)
    assert_recovers(desk)


@pytest.mark.parametrize("history", HISTORIES)
def test_i24_a_snapshot_that_was_written_and_read_goes_on_alike(history: Callable[[Desk], None]) -> None:
    desk = a_desk(COIN, OTHER)
    history(desk)
    raw = encode_snapshot(desk.state)
    assert encode_snapshot(decode_snapshot(raw)) == raw


def test_f54_killed_after_the_intent_and_before_the_send_ends_as_never_arrived_and_is_not_sent_again() -> None:
    desk = a_desk()
    desk.cross()
    after = desk.restart()
    after.connect()
    assert after.orders()[0].status is OrderStatus.IN_DOUBT
    outputs = after.run(15_000)
    assert statuses(outputs)[-1] == "never_arrived"
    assert not after.live.orders
    assert not after.actions
    assert after.live.is_ready


def test_f55_killed_after_the_send_the_position_is_found_and_its_exit_runs() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    desk.execute(action)
    after = desk.restart()
    outputs = after.connect()
    assert after.position().sz == D("0.499")
    assert len(of_type(outputs, LiveFillApplied)) == 1
    after.is_executing = True
    after.run(14_000)
    assert not after.live.positions
    assert after.latch == ""


def test_f55_before_anything_else_the_first_step_after_a_restart_puts_what_was_under_way_in_doubt() -> None:
    desk = a_desk(COIN, OTHER)
    desk.cross(COIN)
    desk.cross(OTHER)
    after = desk.restart()
    outputs = after.feed(after.status())
    assert {order.status for order in after.live.orders.values()} == {OrderStatus.IN_DOUBT}
    assert statuses(outputs, COIN) == statuses(outputs, OTHER) == ["in_doubt"]


def test_f55_a_carried_position_gets_its_exit_back() -> None:
    desk = a_desk()
    desk.enter()
    after = desk.restart()
    after.connect()
    after.is_executing = True
    after.run(8_000)
    assert not after.live.positions
    assert after.latch == ""
    assert abs(after.live.cash["xyz"] - after.venue.cash["xyz"]) < D("0.00001")


def test_f57_killed_again_and_again_in_recovery_it_converges_without_a_second_effect() -> None:
    desk = a_desk()
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action))
    desk.execute(action)
    for kill in range(10):
        desk = desk.restart(f"s{kill + 2}")
        desk.feed(desk.status())
        if kill % 2:
            desk.connect()
        assert_recovers(desk)
    desk.at_ms += 100
    desk.connect()
    desk.is_executing = True
    desk.run(15_000)
    assert not desk.live.positions
    assert not desk.live.orders
    assert desk.latch == ""
    assert len(desk.venue.fills) == 2


def test_i16_fills_that_were_applied_before_the_restart_do_not_count_again() -> None:
    desk = a_desk()
    desk.enter()
    after = desk.restart()
    outputs = after.connect()
    after.feed(after.snapshot_of_fills())
    assert not of_type(outputs, LiveFillApplied)
    assert after.position().sz == D("0.499")


def test_i04_nonces_increase_over_a_restart_even_with_a_clock_that_stepped_back() -> None:
    desk = a_desk()
    desk.enter()
    last = desk.live.nonce.last
    after = desk.restart()
    after.connect()
    after.at_ms += 3_200
    event = after.status()
    back = msgspec.structs.replace(event, recv_ts_ns=event.recv_ts_ns - 3_600 * 10**9)
    after.feed(back)
    (action,) = after.actions
    assert action.nonce > last


def test_i17_the_latch_survives_and_a_restart_under_it_closes_what_is_held() -> None:
    desk = a_desk()
    desk.enter()
    desk.stop("before")
    desk.actions = []
    desk.run(20_000)  # the exit is lost: it ends as never arrived, and another is lost
    after = desk.restart()
    after.connect()
    assert after.latch == "before"
    after.is_executing = True
    after.run(20_000)
    assert not after.live.positions
    assert latch_reasons(after.outputs) == []


def test_a_doubt_that_was_carried_has_a_minute_of_its_own_whatever_the_clock_of_the_boot_says() -> None:
    desk = a_desk()
    a_doubt(desk)
    desk.run(3_000)
    folded = desk.folded()
    (order,) = folded.live.orders.values()
    folded.live.orders[order.cloid] = msgspec.structs.replace(order, doubt_mono_ns=10**18)
    after = Desk(COIN, venue=desk.venue, carried=carry_over(folded), session_id="s2", at_ms=desk.at_ms + 100)
    after.is_answering = False
    after.connect()
    after.run(50_000)
    assert after.latch == ""
    after.run(20_000)
    assert after.latch.startswith("order_in_doubt_unresolved")


def test_fills_that_a_carried_order_still_owes_are_asked_for_without_a_connection() -> None:
    desk = a_desk()
    a_promise(desk)
    after = desk.restart()
    after.feed(after.status())
    after.run(2_000, is_quoting=False)
    assert after.position().sz == D("0.499")
    assert not [order for order in after.orders() if not order.is_reduce_only]
    assert after.position().exit_reason.startswith("gate_")  # nothing is known of the market: it is closed


def test_money_of_the_time_between_two_sessions_is_booked_from_the_snapshots() -> None:
    desk = a_desk()
    desk.enter()
    desk.funding("-0.5")
    desk.transfer("10")
    desk.at_ms += 100
    desk.funding("-0.7", is_told=False)
    desk.transfer("20", "0xt2", is_told=False)
    after = desk.restart()
    after.connect()
    after.is_executing = True
    after.run(15_000)
    assert after.latch == ""
    assert abs(after.live.cash["xyz"] - after.venue.cash["xyz"]) < D("0.00001")


def test_entries_that_waited_for_their_batch_were_never_recorded_and_are_gone() -> None:
    desk = a_desk()
    a_batch(desk)
    desk.take_snapshot()
    assert not carried(desk).orders


def test_f92_a_carried_position_outside_the_rotation_is_managed() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter()
    desk.feed(
        a_rotation(
            desk.at_ms, account=ACCOUNT, version=2, sha256="b" * 64, replaces_sha256="a" * 64,
            markets=(a_rotation().markets[0].__class__(coin=OTHER, ntl_max=D(50)),),
        )
    )  # fmt: skip
    after = desk.restart()
    after.connect()
    after.is_executing = True
    after.run(8_000)
    assert not after.live.positions


def test_what_is_carried_shares_nothing_with_the_session_it_came_from() -> None:
    desk = a_desk()
    desk.enter()
    kept = carry_over(desk.state).live
    before = encode_live(kept)
    desk.run(5_100)
    desk.complete()
    desk.funding("-1")
    assert encode_live(kept) == before


def encode_live(live: LiveAccount) -> bytes:
    return msgspec.msgpack.encode(live)
