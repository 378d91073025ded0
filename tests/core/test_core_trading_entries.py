"""Whether, how large and how an entry leaves: controls, caps, batches, budgets."""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, START_TS_NS, a_rotation, a_spec, an_allowance, limits_with, of_type
from trading_builders import (
    ACCOUNT,
    OTHER,
    THIRD,
    Desk,
    a_desk,
    blocked_by,
    fill_nothing,
    refuse,
    statuses,
)

from streaming.core.effects import EntryRefused, OrderChanged
from streaming.core.events import ArmRequested, Phase, PhaseRequested
from streaming.core.limits import Limits
from streaming.core.trading.account import live_exposure_ntl
from streaming.core.trading.dispatch import queue_order, schedule_cancel
from streaming.core.trading.effects import ActionDecided, LiveOrderChanged
from streaming.core.trading.events import AddressBudgetRead
from streaming.core.trading.model import OrderStatus, Tif
from streaming.core.trading.refusal import RefusalCode
from streaming.core.trading.settle import settle

D = Decimal
MANY = tuple(f"xyz:{name}" for name in ("NVDA", "AAPL", "AMD", "AMZN", "META", "MSFT", "TSLA", "GOOGL"))


def without(desk: Desk, what: str) -> None:
    at = desk.stamped()
    if what == "arming":
        desk.feed(ArmRequested(**at, command_id=3, is_armed=False, operator="op"))
    elif what == "phase":
        desk.feed(PhaseRequested(**at, command_id=3, phase=Phase.PAPER, reason="back", operator="op"))
    else:
        rotation = a_rotation(
            desk.at_ms,
            account=ACCOUNT,
            version=2,
            replaces_sha256="a" * 64,
            sha256="b" * 64,
            markets=(an_allowance(OTHER),),
        )
        desk.feed(rotation)


@pytest.mark.parametrize("what", ["arming", "phase", "rotation"])
def test_i19_without_arming_phase_or_rotation_a_signal_is_traded_on_paper(what: str) -> None:
    desk = a_desk(COIN, OTHER)
    without(desk, what)
    outputs = desk.cross()
    assert not of_type(outputs, ActionDecided)
    assert not of_type(outputs, LiveOrderChanged)
    assert of_type(outputs, OrderChanged)


@pytest.mark.parametrize("what", ["arming", "phase", "rotation"])
def test_f92_when_entries_end_while_a_position_is_held_its_exits_go_on(what: str) -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter()
    without(desk, what)
    desk.run(5_100)
    (ticket,) = desk.take_action().orders
    assert (ticket.coin, ticket.is_reduce_only) == (COIN, True)


def test_f88_an_expired_rotation_ends_entries_and_not_exits() -> None:
    desk = a_desk(COIN)
    desk.feed(
        a_rotation(
            desk.at_ms,
            account=ACCOUNT,
            version=2,
            sha256="b" * 64,
            replaces_sha256="a" * 64,
            expires_ts_ns=START_TS_NS + 8_000 * 10**6,
        )
    )
    desk.enter()
    desk.run(6_000)
    assert desk.state.control.rotation is not None
    assert desk.state.control.rotation.is_expired
    assert [a.orders[0].is_reduce_only for a in desk.actions] == [True]


def test_f95_an_intent_whose_market_left_the_rotation_before_the_send_ends_as_aborted() -> None:
    desk = a_desk(COIN, OTHER)
    desk.cross()
    action = desk.take_action()
    without(desk, "rotation")
    outputs = desk.feed(desk.not_sent(action, "not_allowed"))
    assert statuses(outputs) == ["aborted"]
    assert not desk.live.orders


def test_i19_a_new_connection_has_to_earn_real_entries_again() -> None:
    desk = a_desk()
    desk.lose()
    desk.is_answering = False
    desk.connect()
    desk.run(300)
    desk.calm()
    assert "trading_not_ready" in blocked_by(desk.cross())


def test_i10_no_entry_while_the_market_has_a_position_or_an_order() -> None:
    desk = a_desk()
    desk.cross()
    desk.calm()
    desk.run(200)
    assert "order_in_flight" in blocked_by(desk.cross())
    desk.complete()
    desk.calm()
    desk.run(200)
    desk.complete()
    desk.quotes[COIN] = ("99.98", "100.02", "100")
    assert len(desk.live.positions) + len(desk.live.orders) <= 1


def test_i10_a_position_forbids_another_entry_there() -> None:
    desk = a_desk()
    desk.enter()
    desk.quotes[COIN] = ("99.98", "100.31", "100.3")  # the episode ends; the position is kept
    desk.run(200)
    desk.quotes[COIN] = ("99.98", "100.02", "100.3")
    outputs = desk.run(200)
    assert "position_open" in blocked_by(outputs)
    assert not desk.actions


def test_micro_caps_hold_whatever_the_file_and_the_rotation_say() -> None:
    wide = limits_with(sizing={"alpha_ratio": D(1), "order_ntl_max": D(5_000), "position_ntl_max": D(5_000),
                               "account_ntl_max": D(50_000)})  # fmt: skip
    desk = a_desk(limits=wide, ntl_max="4000")
    desk.cross()
    (ticket,) = desk.take_action().orders
    assert D(49) < ticket.sz * ticket.limit_px <= D(50)
    thin = a_desk(limits=wide, ntl_max="4000")
    thin.venue.plan = fill_nothing
    thin.state.markets[COIN].bbo = msgspec.structs.replace(thin.state.markets[COIN].bbo, ask_sz=D(4))
    thin.cross()
    (ticket,) = thin.take_action().orders
    assert ticket.sz == D("0.200")  # alpha 0.05 of what is displayed


def test_above_micro_the_file_and_the_rotation_bound_the_size() -> None:
    wide = limits_with(sizing={"order_ntl_max": D(400), "position_ntl_max": D(300), "account_ntl_max": D(5_000)})
    desk = a_desk(limits=wide, phase=Phase.STEADY, ntl_max="200")
    desk.cross()
    (ticket,) = desk.take_action().orders
    assert D(199) < ticket.sz * ticket.limit_px <= D(200)


def test_a_signal_too_small_for_the_venue_is_refused_with_a_row() -> None:
    desk = a_desk(ntl_max="9")
    outputs = desk.cross()
    assert [o.reason for o in of_type(outputs, EntryRefused)] == ["below_order_ntl_min"]
    assert not desk.actions


def burst(desk: Desk) -> None:
    for coin in desk.coins:
        desk.cross(coin)


def test_f117_one_oracle_move_signals_every_market_and_caps_hold_on_the_sum_of_worst_cases() -> None:
    tight = limits_with(sizing={"account_ntl_max": D(130), "position_count_max": 5})
    desk = a_desk(*MANY, limits=tight)
    burst(desk)
    assert live_exposure_ntl(desk.live) <= D(130)
    sizes = [ticket.sz * ticket.limit_px for action in desk.actions for ticket in action.orders]
    assert len(sizes) == 3
    refused = of_type(desk.outputs, EntryRefused)
    assert {o.reason for o in refused} == {"below_lot"}  # what the cap leaves is not a lot
    assert len(refused) == len(MANY) - 3


def test_f117_the_count_of_positions_holds_with_everything_in_flight_and_in_doubt() -> None:
    desk = a_desk(*MANY, limits=limits_with(sizing={"position_count_max": 3}))
    burst(desk)
    first, second, third = desk.actions
    desk.actions = []
    desk.feed(desk.sent(first), *desk.execute(first).all())
    desk.feed(desk.sent(second), desk.unknown(second), desk.sent(third))
    assert len(of_type(desk.outputs, EntryRefused)) == len(MANY) - 3
    assert {o.reason for o in of_type(desk.outputs, EntryRefused)} == {"position_count_max"}


def test_f117_again_while_exits_are_in_flight_nothing_is_entered_where_something_is_held() -> None:
    desk = a_desk(*MANY[:3], limits=limits_with(sizing={"position_count_max": 3}))
    burst(desk)
    desk.complete()
    desk.run(5_100)
    exits = list(desk.actions)
    assert sum(len(action.orders) for action in exits) == 3
    for coin in desk.coins:
        desk.calm(coin)
        desk.cross(coin)
    assert desk.actions == exits


# --- batches


def batch(ms: int = 100, **changes: int) -> Limits:
    return limits_with(actions={"entry_batch_ms": ms, **changes})


def test_entries_of_a_batch_wait_and_share_one_action() -> None:
    desk = a_desk(COIN, OTHER, THIRD, limits=batch())
    burst(desk)
    assert not desk.actions
    assert len(desk.live.orders) == 3
    desk.run(100)
    (action,) = desk.actions
    assert [ticket.coin for ticket in action.orders] == [COIN, OTHER, THIRD]
    assert action.may_add_risk


def test_exits_never_wait_for_a_batch_and_never_share_an_action_with_entries() -> None:
    desk = a_desk(COIN, OTHER, limits=batch(1_000))
    desk.cross()
    desk.run(1_000)
    desk.complete()
    desk.run(4_900)
    desk.cross(OTHER)
    assert not desk.actions
    desk.run(100)
    (exit_action,) = desk.actions
    assert [ticket.is_reduce_only for ticket in exit_action.orders] == [True]
    assert not exit_action.may_add_risk
    desk.run(1_000)
    assert [action.may_add_risk for action in desk.actions] == [False, True]


def test_i11_entries_that_wait_count_against_the_caps() -> None:
    desk = a_desk(*MANY, limits=limits_with(sizing={"account_ntl_max": D(130)}, actions={"entry_batch_ms": 100}))
    burst(desk)
    desk.run(200)
    (action,) = desk.actions
    assert sum(ticket.sz * ticket.limit_px for ticket in action.orders) <= D(130)


@pytest.mark.parametrize("what", ["stop", "flatten", "lose"])
def test_f116_what_ends_entries_ends_those_that_wait(what: str) -> None:
    desk = a_desk(COIN, OTHER, limits=batch())
    burst(desk)
    outputs = getattr(desk, what)()
    for coin in (COIN, OTHER):
        assert statuses(outputs, coin) == ["aborted"]
    desk.run(300)
    assert not desk.actions
    assert not desk.live.orders


def test_ioc_and_gtc_go_apart_from_alo_and_exits_apart_from_all() -> None:
    desk = a_desk(COIN)
    desk.cross()
    (order,) = desk.orders()
    desk.actions, desk.live.orders, desk.live.actions = [], {}, {}
    for index, (tif, is_exit) in enumerate(
        [(Tif.ALO, False), (Tif.IOC, False), (Tif.GTC, False), (Tif.IOC, True), (Tif.ALO, False)]
    ):
        cloid = f"0x{index:032x}"
        queue_order(
            desk.state,
            msgspec.structs.replace(
                order, cloid=cloid, tif=tif, is_reduce_only=is_exit, action_id=0, status=OrderStatus.INTENT
            ),
        )
    outputs: list[object] = []
    settle(desk.state, outputs)  # type: ignore[arg-type]
    actions = [output for output in outputs if isinstance(output, ActionDecided)]
    kinds = [[(t.tif.value, t.is_reduce_only) for t in action.orders] for action in actions]
    assert kinds == [[("Ioc", True)], [("Ioc", False), ("Gtc", False)], [("Alo", False), ("Alo", False)]]
    nonces = [action.nonce for action in actions]
    assert nonces == sorted(set(nonces))


def test_an_action_holds_no_more_orders_than_the_venue_weighs() -> None:
    desk = a_desk(limits=limits_with(actions={"action_burst_count": 1_000, "action_rate_per_s": 1_000}))
    desk.feed(AddressBudgetRead(**desk.stamped(), used_count=0, cap_count=100_000))
    desk.cross()
    (order,) = desk.orders()
    desk.live.orders, desk.live.actions = {}, {}
    for index in range(201):
        queue_order(
            desk.state,
            msgspec.structs.replace(order, cloid=f"0x{index:032x}", action_id=0, status=OrderStatus.INTENT),
        )
    outputs: list[object] = []
    settle(desk.state, outputs)  # type: ignore[arg-type]
    assert [len(o.orders) for o in outputs if isinstance(o, ActionDecided)] == [200, 1]


# --- budgets


def test_i37_an_entry_beyond_the_rate_is_blocked_and_named() -> None:
    desk = a_desk(COIN, OTHER, limits=limits_with(actions={"action_burst_count": 21, "action_rate_per_s": 1}))
    desk.cross()
    assert "budget_action_rate" in blocked_by(desk.cross(OTHER))


def test_i37_the_address_reserve_is_for_exits() -> None:
    desk = a_desk()
    desk.feed(AddressBudgetRead(**desk.stamped(), used_count=9_600, cap_count=10_000))
    assert "budget_address_reserve" in blocked_by(desk.cross())


def test_an_entry_whose_batch_finds_the_budget_spent_is_aborted_with_a_row() -> None:
    desk = a_desk(COIN, OTHER, limits=batch(100, action_burst_count=21, action_rate_per_s=1))
    burst(desk)
    outputs = desk.run(100)
    assert statuses(outputs, COIN) == ["intent", "aborted"]
    assert not desk.live.orders
    assert not desk.actions


def test_i04_a_clock_a_day_behind_the_last_nonce_sends_nothing() -> None:
    desk = a_desk()
    desk.live.nonce.last += 2 * 86_400_000 + START_TS_NS // 10**6
    outputs = desk.cross()
    assert statuses(outputs) == ["intent", "aborted"]
    aborted = of_type(outputs, LiveOrderChanged)[-1].order
    assert aborted.text == "clock_behind_nonce"
    assert not desk.actions


def test_i05_every_action_has_a_deadline_and_an_entrys_is_the_shorter_one() -> None:
    desk = a_desk()
    desk.cross()
    entry = desk.take_action()
    assert entry.expires_ts_ms == entry.ts_ns // 10**6 + 3_000
    desk.feed(desk.sent(entry), *desk.execute(entry).all())
    desk.run(5_100)
    leaving = desk.take_action()
    assert leaving.expires_ts_ms == leaving.ts_ns // 10**6 + 5_000


def spend_address(desk: Desk) -> None:
    """The venue refuses an entry because the address has nothing left."""
    desk.venue.plan = refuse(RefusalCode.MARGIN)
    desk.cross(desk.coins[-1])
    action = desk.take_action()
    desk.feed(desk.answered(action, code=RefusalCode.ADDRESS_LIMIT, text="too many"))
    desk.venue.plan = lambda ticket: ("filled", ticket.sz)


def test_f35_with_a_spent_address_one_action_in_ten_seconds_is_one_reduce_only_order() -> None:
    desk = a_desk(COIN, OTHER, THIRD)
    desk.enter(COIN)
    desk.enter(OTHER)
    spend_address(desk)
    sent: list[tuple[float, ActionDecided]] = []
    for _ in range(400):
        desk.run(100)
        sent += [(desk.at_ms, action) for action in desk.actions]
        desk.complete()
    assert not desk.live.positions
    assert [len(action.orders) for _, action in sent] == [1, 1]
    assert all(ticket.is_reduce_only for _, action in sent for ticket in action.orders)
    assert sent[1][0] - sent[0][0] >= 10_000
    assert "budget_address_limited" in blocked_by(desk.cross(THIRD, oracle_px="99.5"))
    desk.feed(AddressBudgetRead(**desk.stamped(), used_count=0, cap_count=10_000))
    assert not desk.live.budget.is_address_limited


def test_i37_five_failures_open_the_circuit_for_entries_and_not_for_exits() -> None:
    desk = a_desk(*MANY)
    desk.enter(MANY[0])
    for coin in MANY[1:6]:
        desk.cross(coin)
        action = desk.take_action()
        desk.feed(desk.answered(action, code=RefusalCode.RATE_LIMIT, text="slow down"))
        desk.live.rejection_weight = 0
    assert "budget_circuit_open" in blocked_by(desk.cross(MANY[6]))
    desk.run(5_100)
    assert desk.take_action().orders[0].is_reduce_only


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"blackout_windows_utc": ("14:00-15:00",)}, "blackout"),
        ({"correlation_groups": {"semis": (COIN, THIRD)}, "correlation_count_max": 1}, "correlation_group"),
        ({"oracle_jump_bps_max": D(10)}, "oracle_jump"),
    ],
)
def test_loss_limits_and_calendars_block_by_their_names(changes: dict[str, object], reason: str) -> None:
    desk = a_desk(COIN, THIRD, limits=limits_with(losses=changes))
    desk.cross(THIRD)
    assert reason in blocked_by(desk.cross(COIN))


@pytest.mark.parametrize("coin", ["xyz:NVDA", "xyz:NOSUCHNAME"])
def test_a_closed_or_unknown_session_takes_no_real_entry(coin: str) -> None:
    desk = Desk(coin)
    desk.connect()
    desk.control()
    desk.run(6_000)
    if coin == "xyz:NVDA":
        weekend_ns = 5 * 86_400 * 10**9
        event = desk.quote(coin)[1]
        outputs = desk.feed(
            msgspec.structs.replace(event, recv_ts_ns=event.recv_ts_ns + weekend_ns, oracle_px=D("100.3"))
        )
    else:
        outputs = desk.cross(coin)
    assert "session_closed" in blocked_by(outputs)


def test_the_reentry_cooldown_after_a_loss_blocks_its_market() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    desk.complete()
    desk.calm()
    assert "reentry_cooldown" in blocked_by(desk.cross())
    desk.calm()
    desk.run(2_100)
    desk.cross()
    assert desk.actions


def test_schedule_cancel_is_an_action_of_its_own_and_stops_being_used_once_it_is_refused() -> None:
    desk = a_desk()
    outputs: list[object] = []
    schedule_cancel(desk.state, outputs, 1_790_000_100_000)  # type: ignore[arg-type]
    (action,) = [output for output in outputs if isinstance(output, ActionDecided)]
    assert (action.kind, action.schedule_ts_ms, action.may_add_risk) == ("schedule_cancel", 1_790_000_100_000, False)
    desk.feed(desk.answered(action, code=RefusalCode.SCHEDULE_VOLUME, text="volume"))
    assert not desk.live.may_schedule_cancel
    assert not desk.live.actions


def test_a_specs_version_is_that_of_the_moment_of_the_decision() -> None:
    desk = a_desk(COIN)
    desk.cross()
    assert desk.orders()[0].spec_version == a_spec(COIN).spec_version


def test_f40_a_market_at_its_cap_refuses_once_gets_a_pause_and_stops_nothing() -> None:
    desk = a_desk()
    desk.venue.plan = refuse(RefusalCode.OI_CAP)
    desk.cross()
    desk.complete()
    assert desk.latch == ""
    desk.calm()
    outputs = desk.cross()
    assert "reentry_cooldown" in blocked_by(outputs)
    desk.calm()
    desk.run(61_000)
    desk.cross()
    assert desk.take_action().may_add_risk
