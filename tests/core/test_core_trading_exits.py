"""Leaving a position: one claim, full size, bounded price, until flat."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from core_builders import COIN, a_bbo, a_ctx, a_spec, limits_with, of_type
from trading_builders import OTHER, Desk, a_desk, fill_nothing, refuse, statuses

from streaming.core.events import SpecsReceived
from streaming.core.market import Side
from streaming.core.trading.effects import LivePositionChanged, TradeClosed
from streaming.core.trading.model import ActionStatus, OrderStatus
from streaming.core.trading.refusal import RefusalCode

D = Decimal


def test_the_time_stop_closes_the_whole_position_reduce_only_within_the_slippage_bound() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(4_900)
    assert not desk.actions
    desk.run(200)
    action = desk.take_action()
    (ticket,) = action.orders
    assert not action.may_add_risk
    assert (ticket.side, ticket.sz, ticket.is_reduce_only) == (Side.SELL, D("0.499"), True)
    assert ticket.limit_px == D("99.481")  # 99.98 less 50 bps, rounded toward safe
    assert desk.position().exit_reason == "time_stop"


def test_the_time_stop_needs_no_market_data_and_prices_by_the_mark_or_else_by_the_entry() -> None:
    desk = a_desk()
    desk.enter()
    desk.lose()
    desk.run(5_100)
    (ticket,) = desk.take_action().orders
    assert ticket.limit_px == D("99.50")  # the entry's mark: nothing newer is known
    one_sided = a_desk()
    one_sided.enter()
    one_sided.feed(a_bbo(one_sided.at_ms, bid_px=None, ask_px="100.02"))
    one_sided.run(5_100, is_quoting=False)
    (ticket,) = one_sided.take_action().orders
    assert ticket.limit_px == D("99.50")


@pytest.mark.parametrize(
    ("oracle_px", "bid_px", "reason"),
    [
        ("100.2", "99.98", "oracle_reversed"),
        ("100.3", "100.20", "quick_profit"),
        ("100.3", "99.5", "mark_regression"),
    ],
)
def test_each_rule_closes_by_its_own_name(oracle_px: str, bid_px: str, reason: str) -> None:
    desk = a_desk()
    desk.enter()
    desk.run(400)
    mark_px = "100" if reason != "mark_regression" else "99.7"
    desk.feed(a_bbo(desk.at_ms, bid_px=bid_px, ask_px="100.31"))
    if desk.position().exit_reason == "":
        desk.feed(a_ctx(desk.at_ms, oracle_px=oracle_px, mark_px=mark_px, mid_px=None))
    assert desk.position().exit_reason == reason
    assert len(desk.actions) == 1


def test_f114_two_reasons_in_one_tick_are_one_claim_and_one_order() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(400)
    desk.feed(a_ctx(desk.at_ms, oracle_px="99", mark_px="99", mid_px=None))
    desk.feed(a_ctx(desk.at_ms, oracle_px="98", mark_px="98", mid_px=None))
    desk.stop()
    assert len(desk.actions) == 1
    assert desk.position().exit_reason == "oracle_reversed"


@pytest.mark.parametrize("how", ["rejected", "unfilled", "not_sent", "partly", "in_doubt"])
def test_f114_any_end_of_an_exit_releases_the_claim_and_what_is_left_is_tried_again(how: str) -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    held = D("0.499")
    match how:
        case "rejected":
            desk.venue.plan = refuse(RefusalCode.TICK)
            desk.feed(desk.sent(action), *desk.execute(action).all())
        case "unfilled":
            desk.venue.plan = fill_nothing
            desk.feed(desk.sent(action), *desk.execute(action).all())
        case "not_sent":
            desk.feed(desk.not_sent(action, "no_connection"))
        case "partly":
            desk.venue.plan = lambda _: ("filled", D("0.2"))
            desk.feed(desk.sent(action), *desk.execute(action).all())
            held = D("0.299")
        case _:
            desk.feed(desk.sent(action), desk.unknown(action))
            for _ in range(200):
                desk.run(100 if not desk.actions else 0)
    desk.venue.plan = lambda ticket: ("filled", ticket.sz)
    if how != "in_doubt":
        desk.run(400)
        assert not desk.actions  # a pause before the next try
        desk.run(200)
    again = desk.take_action()
    assert again.orders[0].sz == held
    assert again.orders[0].cloid != action.orders[0].cloid
    desk.feed(desk.sent(again), *desk.execute(again).all())
    assert not desk.live.positions


def test_i09_while_an_exit_is_open_nobody_asks_for_another() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    desk.feed(desk.sent(action))
    desk.run(3_000)
    desk.stop()
    desk.flatten()
    desk.run(1_000)
    assert not desk.actions
    assert len(desk.orders()) == 1


def test_i10_a_reduce_only_order_never_asks_for_more_than_is_held() -> None:
    desk = a_desk()
    desk.venue.parts = 2
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    first = msgspec.structs.replace(found.fills, fills=found.fills.fills[:1])
    desk.feed(desk.sent(action), first)
    desk.stop()
    assert not desk.actions  # the entry may still fill: the exit waits for its end
    rest = msgspec.structs.replace(found.fills, fills=found.fills.fills[1:])
    desk.feed(found.answer, rest)
    desk.run(600)
    (ticket,) = desk.take_action().orders
    assert ticket.sz == D("0.499")


def test_f41_an_exit_is_rounded_anew_to_a_changed_spec() -> None:
    desk = a_desk(COIN)
    desk.enter()
    coarse = a_spec(COIN, sz_decimals=2, asset_id=110_000)
    desk.feed(SpecsReceived(**desk.stamped(), specs=(coarse,)))
    desk.run(1_100)
    (ticket,) = desk.take_action().orders
    assert ticket.sz == D("0.49")
    assert desk.position().exit_reason == "gate_param_change"


def test_f41_what_is_less_than_a_lot_of_the_changed_spec_goes_whole() -> None:
    desk = a_desk(COIN)
    desk.enter()
    coarse = a_spec(COIN, sz_decimals=0, asset_id=110_000)
    desk.feed(SpecsReceived(**desk.stamped(), specs=(coarse,)))
    desk.run(1_100)
    (ticket,) = desk.take_action().orders
    assert ticket.sz == D("0.499")


def test_i37_an_exit_beyond_the_rate_comes_as_soon_as_there_is_room() -> None:
    limits = limits_with(
        actions={"action_burst_count": 2, "action_rate_per_s": 1, "exit_token_count": 1, "address_reserve_count": 0}
    )
    desk = a_desk(COIN, OTHER, limits=limits)
    desk.enter(COIN)
    desk.run(1_500)
    desk.enter(OTHER)
    assert set(desk.live.positions) == {COIN, OTHER}
    desk.stop()
    left: list[float] = []
    for _ in range(60):
        left += [desk.at_ms] * len(desk.actions)
        desk.complete()
        desk.run(100)
    assert not desk.live.positions
    assert len(left) == 2
    assert left[1] - left[0] >= 500


def test_f43_with_every_answer_a_refusal_the_exits_go_on_at_a_bounded_rate() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    tried = 0
    for _ in range(100):
        for action in desk.actions:
            tried += 1
            desk.feed(desk.sent(action), desk.answered(action, code=RefusalCode.AUTH, text="not you"))
        desk.actions = []
        desk.run(100)
    assert desk.latch == "agent_refused: not you"
    assert 2 <= tried <= 4  # the agent may be approved again; until then every try is only a request less
    assert desk.position().sz == D("0.499")


def test_i01_exits_of_positions_that_no_signal_opened_have_cloids_of_their_own() -> None:
    desk = a_desk(COIN, OTHER)
    first = desk.foreign(COIN)
    second = desk.foreign(OTHER)
    desk.feed(msgspec.structs.replace(first, fills=(*first.fills, *second.fills)))
    cloids = [ticket.cloid for action in desk.actions for ticket in action.orders]
    assert len(cloids) == len(set(cloids)) == 2


def test_f39_a_position_whose_market_can_not_be_watched_is_a_humans() -> None:
    desk = a_desk()
    desk.enter()
    folded = desk.folded()
    del folded.markets[COIN]
    alone = Desk(OTHER, session_id="s2", at_ms=desk.at_ms + 100, venue=desk.venue)
    alone.state.live.positions = dict(folded.live.positions)
    alone.connect()
    alone.run(5_000)
    assert alone.latch.startswith(f"position_not_watched: {COIN} 0.499")
    assert not alone.actions


def test_a_request_for_a_market_without_a_position_is_nothing() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    desk.complete()
    outputs = desk.run(3_000)
    assert not of_type(outputs, LivePositionChanged)
    assert not desk.actions


def test_l3_a_position_is_flat_within_the_tries_that_the_market_needs() -> None:
    desk = a_desk()
    desk.enter()
    tries = iter(["no_match"] * 5)
    desk.venue.plan = lambda ticket: (next(tries, "filled"), ticket.sz)
    original = desk.venue.plan
    desk.venue.plan = lambda ticket: (
        (word, D(0)) if (word := original(ticket)[0]) != "filled" else ("filled", ticket.sz)
    )
    desk.is_executing = True
    outputs = desk.run(12_000)
    assert not desk.live.positions
    (closed,) = of_type(outputs, TradeClosed)
    assert closed.exit_reason == "time_stop"
    counts = [o.position.exit_count for o in of_type(outputs, LivePositionChanged) if o.position]
    assert counts == sorted(counts)
    assert max(counts) == 6


def test_statuses_of_an_exit_follow_the_table() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.run(5_100) + desk.complete()
    seen = statuses(outputs)
    assert seen[:3] == ["intent", "sent", "filled"]
    assert all(left != right or left == "filled" for left, right in pairwise(seen))
    assert OrderStatus(seen[-1]) is OrderStatus.FILLED


def test_f114_a_shrunk_exit_that_was_filled_in_part_and_reports_too_much_blocks_no_other() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    desk.feed(desk.sent(action))
    theirs = desk.foreign(COIN, Side.SELL, "0.25", direction="Settlement")  # told to nobody yet
    desk.venue.plan = lambda _: ("filled", D("0.2"))
    found = desk.execute(action)  # of 0.249 that it was shrunk to; the update speaks of 0.45
    desk.feed(found.updates, found.fills, theirs)
    assert desk.position().sz == D("0.049")
    desk.venue.plan = lambda ticket: ("filled", ticket.sz)
    desk.is_executing = True
    desk.run(4_000)
    assert not desk.live.positions
    assert desk.latch == ""


def test_f114_an_entry_whose_last_fills_never_come_does_not_keep_what_came_from_being_closed() -> None:
    desk = a_desk()
    desk.venue.parts = 2
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    desk.venue.fills.pop()
    first = msgspec.structs.replace(found.fills, fills=found.fills.fills[:1])
    desk.feed(desk.sent(action), found.answer, first)
    desk.run(5_600)
    (leaving,) = desk.actions
    assert leaving.orders[0].is_reduce_only
    assert leaving.orders[0].sz == desk.position().sz


def test_f23_an_exit_that_the_venue_refuses_with_its_batch_holds_back_no_other_market() -> None:
    """The latch closes both in one action; one of the two is what the venue refuses, whoever stands beside it."""
    desk = a_desk(COIN, OTHER)
    desk.enter(COIN)
    desk.enter(OTHER)
    desk.stop()
    action = desk.take_action()
    assert {ticket.coin for ticket in action.orders} == {COIN, OTHER}
    error = ActionStatus(kind="error", code=RefusalCode.TICK, text="tick")
    desk.feed(desk.sent(action), desk.answered(action, statuses=(error,)))
    desk.run(1_000)
    found = [[ticket.coin for ticket in each.orders] for each in desk.actions]
    assert sorted(found) == sorted([[COIN], [OTHER]]), "each is tried again by itself"
