"""What cost the predecessor money: positions that were lost, doubled, revived or never closed (section 10, M and P).

Each test replays one of its incidents on our engine and the scripted venue; `docs/predecessor.md` lists them all.
"""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, NS_PER_MS, a_ctx, an_allowance, limits_with, of_type
from trading_builders import (
    OTHER,
    THIRD,
    D,
    Desk,
    a_desk,
    blocked_by,
    fill_all,
    fill_nothing,
    fill_part,
    refuse,
    statuses,
)

from streaming.core.effects import GatesEvaluated
from streaming.core.limits import Limits
from streaming.core.market import Side
from streaming.core.trading.account import live_exposure_ntl
from streaming.core.trading.effects import (
    AccountAsked,
    ActionDecided,
    LiveFillApplied,
    LiveOrderChanged,
    LivePositionChanged,
    LossesChanged,
    TradeClosed,
)
from streaming.core.trading.events import AccountRead
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.refusal import RefusalCode

CAP_NTL = D(50)


def held_ntl(desk: Desk) -> Decimal:
    """Return what the venue says is held, at the price it was bought for."""
    return sum((abs(ntl) for ntl in desk.venue.entry_ntl.values()), D(0))


def reduce_actions(actions: list[ActionDecided]) -> list[ActionDecided]:
    return [a for a in actions if a.kind == "order" and all(order.is_reduce_only for order in a.orders)]


# --- caps


def test_p2_cap_holds_while_positions_resync() -> None:
    """Caches that were cleared before they were filled again let a cap of 50 USD grow to 1,607 USD."""
    desk = a_desk(COIN, OTHER, limits=limits_with(sizing={"account_ntl_max": CAP_NTL}))
    desk.enter()
    assert held_ntl(desk) > CAP_NTL / 2
    desk.is_answering = False  # every answer about the account now takes for ever
    for _ in range(3):
        desk.lose()
        desk.connect()
        for coin in (COIN, OTHER):
            desk.calm(coin)
            desk.run(100)
            outputs = desk.cross(coin)
            assert live_exposure_ntl(desk.live) >= held_ntl(desk)
            assert "trading_not_ready" in blocked_by(outputs)
        desk.complete()
    assert held_ntl(desk) <= CAP_NTL


def test_p2_cap_holds_between_the_order_and_its_fill_in_every_other_market() -> None:
    desk = a_desk(COIN, OTHER, THIRD, limits=limits_with(sizing={"account_ntl_max": CAP_NTL}))
    for coin in (COIN, OTHER, THIRD):
        desk.cross(coin)
    asked = sum((o.sz * o.limit_px for action in desk.actions for o in action.orders), D(0))
    assert D(0) < asked <= CAP_NTL
    desk.complete()
    assert held_ntl(desk) <= CAP_NTL


def test_size_at_the_cap_is_not_refused_because_cap_and_size_use_one_price() -> None:
    desk = a_desk(ntl_max="50")
    outputs = desk.cross()
    (ticket,) = desk.actions[0].orders
    assert CAP_NTL - ticket.limit_px * D("0.001") < ticket.sz * ticket.limit_px <= CAP_NTL
    assert not blocked_by(outputs)


def test_m12_exposure_is_counted_once_at_every_step_between_order_and_fill() -> None:
    """Handle and actor both updated the caches: what was pending counted twice."""
    desk = a_desk()
    desk.venue.parts = 2
    desk.cross()
    action = desk.take_action()
    (ticket,) = action.orders
    asked_ntl = ticket.sz * ticket.limit_px
    found = desk.execute(action)
    halves = [msgspec.structs.replace(found.fills, fills=(fill,)) for fill in found.fills.fills]
    for event in (desk.sent(action), halves[0], found.answer, found.updates, halves[1], found.answer):
        desk.feed(event)
        assert live_exposure_ntl(desk.live) == asked_ntl
    assert desk.position().cost_ntl == asked_ntl
    assert not desk.live.orders


# --- fills


def test_second_partial_fill_of_one_order_counts() -> None:
    """Fills were known by their cloid, so that the second part of an order was dropped."""
    desk = a_desk()
    desk.venue.parts = 3
    outputs = desk.enter()
    fills = of_type(outputs, LiveFillApplied)
    assert len({fill.fill.tid for fill in fills}) == 3
    assert len({fill.fill.cloid for fill in fills}) == 1
    assert desk.position().sz == desk.venue.positions[COIN]


def test_closed_positions_are_not_revived_by_a_snapshot_of_fills() -> None:
    desk = a_desk()
    desk.is_executing = True
    desk.cross()
    desk.calm()
    desk.run(8_000)
    assert not desk.live.positions
    desk.lose()
    outputs = desk.connect()  # its snapshot holds every fill of the account, and so does the read that follows
    outputs += desk.run(3_000)
    after = desk.restart()
    outputs += after.connect()
    outputs += after.run(3_000)
    assert len(after.venue.fills) >= 2
    assert not of_type(outputs, LivePositionChanged)
    assert not after.live.positions
    assert after.latch == ""


def test_stuck_pending_order_resolves_by_query() -> None:
    """The post was answered without an outcome and no update ever came: GOLD stayed pending for ever."""
    desk = a_desk()
    desk.venue.plan = fill_nothing
    desk.cross()
    action = desk.take_action()
    desk.execute(action)  # nothing of what follows from it reaches us
    desk.feed(desk.sent(action))
    desk.calm()
    outputs = desk.run(15_000)
    assert statuses(outputs)[-2:] == ["in_doubt", "unfilled"]
    assert not desk.live.orders
    assert desk.live.is_ready
    assert desk.latch == ""


# --- exits


def test_p4_two_exit_reasons_send_one_flatten() -> None:
    """Four monitors looked at the same position; the second order left before the first one's fill was seen."""
    desk = a_desk()
    desk.enter()
    desk.calm()
    sent: list[ActionDecided] = []
    for oracle_px in ("99.0", "98.0"):  # reversed, and then reversed further
        desk.cross(oracle_px=oracle_px)
        sent += [desk.take_action() for _ in desk.actions[:]]
    desk.run(6_000)  # the time stop comes while the order is under way
    desk.flatten()
    desk.stop()
    sent += [desk.take_action() for _ in desk.actions[:]]
    assert len(reduce_actions(sent)) == 1


def test_p4_every_reason_at_once_in_every_market_is_one_flatten_a_market() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter()
    desk.enter(OTHER)
    desk.flatten()
    desk.stop()
    desk.run(400)
    coins = [order.coin for action in reduce_actions(desk.actions) for order in action.orders]
    assert sorted(coins) == sorted((COIN, OTHER))


@pytest.mark.parametrize("code", [RefusalCode.NO_MATCH, RefusalCode.OI_CAP, RefusalCode.MARGIN])
def test_p4b_a_refused_flatten_releases_its_claim_and_is_tried_again(code: RefusalCode) -> None:
    desk = a_desk()
    desk.enter()
    desk.calm()
    desk.venue.plan = refuse(code)
    desk.run(6_000)
    desk.complete()
    assert desk.live.positions
    desk.venue.plan = fill_all
    desk.run(2_000)
    desk.complete()
    assert not desk.live.positions
    assert not desk.venue.positions


def test_p4b_a_flatten_that_never_left_releases_its_claim() -> None:
    desk = a_desk()
    desk.enter()
    desk.calm()
    desk.run(5_500)
    desk.feed(desk.not_sent(desk.take_action(), "no_connection"))
    desk.run(1_000)
    desk.complete()
    assert not desk.live.positions


def test_p4b_a_flatten_filled_in_part_goes_on_with_the_rest() -> None:
    desk = a_desk()
    desk.enter()
    desk.venue.plan = fill_part("0.5")
    outputs = desk.run(5_100)
    outputs += desk.complete()
    desk.venue.plan = fill_all
    outputs += desk.run(1_000)
    outputs += desk.complete()
    first, rest = [a.orders[0].sz for a in reduce_actions(of_type(outputs, ActionDecided))]
    assert rest == first - (first / 2).quantize(D("0.001"))
    assert not desk.venue.positions


def test_p7_moves_before_the_entry_close_nothing() -> None:
    """Counters that outlived positions closed a new one at once."""
    desk = a_desk()
    for oracle_px in ("100.03", "99.97") * 5:  # 6 bps against a long, again and again
        desk.cross(oracle_px=oracle_px)
        desk.run(300)
    assert not desk.actions
    desk.enter()
    desk.run(1_000)
    assert desk.live.positions
    assert not desk.actions


PATIENT = limits_with(
    exits={
        "time_stop_ms": 60_000,
        "quick_profit_bps": D(10_000),
        "trailing_start_bps": D(10_000),
        "edge_evaporated_bps": D("0.01"),
    }
)
"""A position that only its time closes."""


def a_patient_desk() -> Desk:
    """Return a desk that bought below an oracle which stays where every new connection finds it."""
    desk = a_desk(limits=PATIENT)
    desk.quotes[COIN] = ("99.66", "99.70", "100")
    desk.feed(*desk.quote(COIN))
    desk.complete()
    assert desk.live.positions
    return desk


def test_p8_reads_of_the_account_and_reconnects_do_not_put_off_the_time_stop() -> None:
    """A resync each minute reset the time of entry: for weeks no time stop fired."""
    desk = a_patient_desk()
    entered_mono_ns = desk.position().baseline.entry_mono_ns
    outputs = []
    for _ in range(4):
        outputs += desk.run(5_000)
        desk.lose()
        desk.run(200)
        desk.connect()
    assert len(of_type(outputs, AccountAsked)) >= 4
    assert desk.position().baseline.entry_mono_ns == entered_mono_ns
    outputs = desk.run(60_000)
    closing = [o for o in of_type(outputs, LivePositionChanged) if o.position is not None and o.position.exit_reason]
    assert closing[0].position.exit_reason == "time_stop"
    assert closing[0].mono_ns - entered_mono_ns == 60_000 * NS_PER_MS


def test_p9_a_hundred_quotes_between_two_oracle_steps_do_not_hide_the_direction() -> None:
    """Directions were compared on every quote: 99 % of them said "unchanged"."""
    desk = a_desk()
    desk.enter()
    desk.calm()
    for _ in range(100):
        desk.feed(desk.quote(COIN)[0])
    desk.cross(oracle_px="99.5")
    (action,) = reduce_actions(desk.actions)
    assert desk.position().exit_reason == "oracle_reversed"
    assert action.orders[0].sz == abs(desk.position().sz)


# --- what the venue says about the account


def read_account(desk: Desk, **changes: object) -> None:
    """Wait for the next read of the account and answer it with changes; everything else is answered truly."""
    desk.is_answering = False
    while not any(isinstance(query, AccountAsked) for query in desk.queries):
        others, desk.queries = desk.queries, []
        desk.feed(*[desk.truth(query) for query in others])
        desk.run(200)
    accounts = tuple(msgspec.structs.replace(a, **changes) for a in desk.venue.accounts(desk.at_ms))
    query = desk.asked(AccountAsked)
    desk.feed(AccountRead(**desk.stamped(), query_id=query.query_id, accounts=accounts))


def test_p5c_one_answer_without_positions_deletes_none_and_two_stop_trading() -> None:
    """The venue flapped between 0 and 2 positions, and the bot believed it."""
    desk = a_patient_desk()
    held = dict(desk.venue.positions)
    empty = {"positions": (), "account_value": desk.venue.cash["xyz"]}
    for _ in range(2):
        read_account(desk, **empty)
        read_account(desk)
        assert desk.latch == ""
    assert {coin: position.sz for coin, position in desk.live.positions.items()} == held
    read_account(desk, **empty)
    read_account(desk, **empty)
    assert desk.latch.startswith("foreign_activity")
    assert {coin: position.sz for coin, position in desk.live.positions.items()} == held


def test_p5b_money_that_seems_gone_in_one_read_changes_nothing_and_in_two_stops() -> None:
    """A balance of 0 was believed, because the collateral stood elsewhere."""
    desk = a_desk()
    before = dict(desk.live.cash)
    read_account(desk, account_value=D(0))
    read_account(desk)
    assert desk.latch == ""
    read_account(desk, account_value=D(0))
    read_account(desk, account_value=D(0))
    assert desk.latch.startswith("conservation")
    assert desk.live.cash == before


def test_an_order_that_rests_when_the_session_dies_is_taken_back_by_the_next() -> None:
    """Orphans of a dead bot stayed in the book."""
    desk = a_desk()
    desk.venue.plan = lambda _: ("resting", D(0))
    desk.cross()
    action = desk.take_action()
    desk.feed(desk.sent(action), desk.execute(action).answer)
    after = desk.restart()
    after.connect()
    after.control()
    after.run(8_000)
    taken_back = {ticket.cloid for a in after.actions for ticket in a.cancels}
    assert taken_back == {action.orders[0].cloid}
    after.complete()
    assert not after.live.orders


# --- losses and counters


def test_loss_stop_is_fed_by_fills() -> None:
    """The loss stop listened to events that nothing sent."""
    desk = a_desk(limits=limits_with(losses={"day_loss_usd_max": D("0.05")}))
    desk.is_executing = True
    desk.cross()
    desk.quotes[COIN] = ("99.50", "99.54", "99.52")  # the market falls before we can leave
    outputs = desk.run(2_000)
    (closed,) = of_type(outputs, TradeClosed)
    assert closed.realised - closed.fees < D("-0.05")
    assert desk.latch.startswith("day_loss")
    assert of_type(outputs, LossesChanged)


def test_result_of_a_trade_counts_both_fees() -> None:
    """Profit was the difference of prices: no fees, no funding."""
    desk = a_desk()
    desk.is_executing = True
    outputs = desk.enter()
    outputs += desk.run(8_000)
    (closed,) = of_type(outputs, TradeClosed)
    fees = sum((fill.fee for fill in desk.venue.fills), D(0))
    assert len(desk.venue.fills) >= 2
    assert closed.fees == fees > 0
    assert desk.live.losses.total_pnl_usd == closed.realised - fees


def test_p11_signals_that_are_blocked_count_towards_nothing() -> None:
    """Bursts were counted before the gates: refusals closed the market."""
    desk = a_desk(limits=limits_with(gates={"mark_mid_divergence_bps_max": D("0.001")}))
    budget, losses = msgspec.structs.replace(desk.live.budget), msgspec.structs.replace(desk.live.losses)
    for _ in range(20):
        outputs = desk.feed(
            a_ctx(desk.at_ms, generation=desk.generation, oracle_px="100.3", mark_px="100.1", mid_px="100")
        )
        assert of_type(outputs, GatesEvaluated)
        assert blocked_by(outputs) == ("mark_mid_divergence",)
        desk.calm()
    assert not desk.actions
    assert desk.live.budget == budget
    assert desk.live.losses == losses


def test_first_signal_of_a_ready_desk_becomes_an_order() -> None:
    """Parser and detector keyed markets differently: for days there was no signal at all."""
    desk = a_desk()
    outputs = desk.cross()
    assert blocked_by(outputs) == ()
    (action,) = desk.actions
    assert (action.orders[0].coin, action.orders[0].side) == (COIN, Side.BUY)
    assert [o.order.status for o in of_type(outputs, LiveOrderChanged)] == [OrderStatus.INTENT]


def test_tiny_rotation_allowance_is_refused_with_its_reason_and_sends_nothing() -> None:
    """P6: a size from the balance below the venue's least order never traded and never said why."""
    assert an_allowance(COIN, "9").ntl_max < Limits().sizing.order_ntl_min
    desk = a_desk(ntl_max="9")
    outputs = desk.cross()
    assert not desk.actions
    refused = [o.reason for o in outputs if type(o).__name__ == "EntryRefused"]
    assert refused == ["below_order_ntl_min"]
