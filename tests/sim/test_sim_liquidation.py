from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_accounts import ANN, BOB, Floor
from sim_market_view import FOO, GOLD, NVDA, START_MS

from streaming.sim.exchange.accounts.liquidation import COOLDOWN_MS
from streaming.sim.exchange.accounts.margin import maintenance_usd
from streaming.sim.exchange.accounts.settlement import DELEVERAGED
from streaming.sim.exchange.events import AccountChanged, Filled, Notified, UserEvent

D = Decimal


def isolated(floor: Floor, sz: str = "1") -> None:
    """GOLD at 20x from 4000: liquidated at 4000 x 0.95 / 0.975 = 3897.43 if long."""
    floor.trade(ANN, sz, "4000", GOLD, is_free=True)


# --- who is due


@pytest.mark.parametrize(
    ("px", "method"),
    [("3898", None), ("3897", "market"), ("3865", "market"), ("3864", "backstop"), ("3000", "backstop")],
)
def test_due_isolated_long_by_mark(px: str, method: str | None) -> None:
    floor = Floor()
    isolated(floor)
    floor.view.set_px(GOLD, px)
    assert [due.method for due in floor.liquidator.due(START_MS)] == ([method] if method else [])


def test_due_isolated_position_alone_even_of_a_rich_account() -> None:
    floor = Floor()
    isolated(floor)
    floor.trade(ANN, "1", "190", NVDA)
    floor.view.set_px(GOLD, "3880")
    (due,) = floor.liquidator.due(START_MS)
    assert (due.is_cross, due.positions) == (False, ((GOLD, D(1)),))
    assert [(close.coin, close.is_buy, close.sz) for close in due.closes] == [(GOLD, False, D(1))]


def test_due_cross_position_is_carried_by_the_whole_cash() -> None:
    floor = Floor(balance_usd=D(1_000))
    floor.trade(ANN, "-50", "190", NVDA, is_free=True)
    floor.view.set_px(NVDA, "204")
    assert not list(floor.liquidator.due(START_MS))
    floor.view.set_px(NVDA, "205")
    (due,) = floor.liquidator.due(START_MS)
    assert (due.is_cross, due.method, due.account_value, due.ntl) == (True, "market", D(250), D(10_250))
    assert [(close.is_buy, close.sz) for close in due.closes] == [(True, D(50))]


def test_due_changes_nothing() -> None:
    floor = Floor()
    isolated(floor)
    floor.view.set_px(GOLD, "3880")
    assert list(floor.liquidator.due(START_MS)) == list(floor.liquidator.due(START_MS))
    assert floor.accounts.of(ANN).szi(GOLD) == 1


def test_due_sees_what_earlier_liquidations_have_changed() -> None:
    floor = Floor()
    for user in (ANN, BOB):
        floor.trade(user, "1", "4000", GOLD, is_free=True)
    floor.view.set_px(GOLD, "3890")
    seen = []
    for due in floor.liquidator.due(START_MS):
        seen.append(due.user)
        floor.trade(BOB, "-1", "3890", GOLD, is_free=True)
    assert seen == [ANN]


# --- slices


def test_slices_first_a_fifth_then_the_whole_until_the_cooldown_ends() -> None:
    floor = Floor()
    isolated(floor, "40")
    floor.view.set_px(GOLD, "3890")
    (first,) = floor.liquidator.due(START_MS)
    assert first.closes[0].sz == 8
    floor.trade(ANN, "-8", "3890", GOLD, is_free=True)
    floor.liquidator.record(first, START_MS)
    (second,) = floor.liquidator.due(START_MS + COOLDOWN_MS - 1)
    assert second.closes[0].sz == 32
    (third,) = floor.liquidator.due(START_MS + COOLDOWN_MS)
    assert third.closes[0].sz == D("6.4")


def test_slices_small_position_is_sent_whole() -> None:
    floor = Floor()
    isolated(floor, "25")
    floor.view.set_px(GOLD, "3890")
    assert next(floor.liquidator.due(START_MS)).closes[0].sz == 25


def test_backstop_takes_a_large_position_whole() -> None:
    floor = Floor()
    isolated(floor, "40")
    floor.view.set_px(GOLD, "3850")
    (due,) = floor.liquidator.due(START_MS)
    assert (due.method, due.closes[0].sz) == ("backstop", 40)


# --- on record


def test_record_tells_user_and_ledger() -> None:
    floor = Floor()
    isolated(floor)
    floor.view.set_px(GOLD, "3890")
    (due,) = floor.liquidator.due(START_MS)
    event, notice = floor.liquidator.record(due, START_MS)
    assert notice == Notified(ANN, "Isolated position liquidated: xyz:GOLD")
    assert isinstance(event, UserEvent)
    told = event.data["liquidation"]
    assert set(told) == {
        "lid", "liquidator", "liquidated_user", "liquidated_ntl_pos", "liquidated_account_value",
    }  # fmt: skip
    assert (told["liquidated_user"], told["liquidated_ntl_pos"]) == (ANN, "3890.0")
    assert told["liquidated_account_value"] == "90.0"
    assert told["liquidator"] == "0x4000000000000000000000000000000000000001"
    assert floor.accounts.of(ANN).ledger[-1]["delta"] == {
        "type": "liquidation",
        "liquidatedNtlPos": "3890.0",
        "accountValue": "90.0",
        "leverageType": "Isolated",
        "liquidatedPositions": [{"coin": GOLD, "szi": "1.0"}],
    }


# --- backstop


def test_take_over_isolated_takes_the_position_and_its_margin_only() -> None:
    floor = Floor()
    isolated(floor)
    floor.view.set_px(GOLD, "3850")
    (due,) = floor.liquidator.due(START_MS)
    events = floor.liquidator.take_over(due, START_MS)
    (fill,) = [event.fill for event in events if isinstance(event, Filled)]
    assert (fill["dir"], fill["px"], fill["fee"]) == ("Liquidated Isolated Long", "3850.0", "0.0")
    assert fill["liquidation"] == {"liquidatedUser": ANN, "markPx": "3850.0", "method": "backstop"}
    assert AccountChanged(ANN, "xyz") in events
    assert floor.accounts.of(ANN).houses["xyz"].raw_usd == 9_800
    assert floor.accounts.of(ANN).szi(GOLD) == 0
    floor.check_books()


def test_take_over_cross_takes_everything_of_the_dex_and_nothing_of_others() -> None:
    floor = Floor(balance_usd=D(1_000))
    floor.trade(ANN, "-50", "190", NVDA, is_free=True)
    floor.view.set_px(NVDA, "207")
    (due,) = floor.liquidator.due(START_MS)
    fills = [e.fill["dir"] for e in floor.liquidator.take_over(due, START_MS) if isinstance(e, Filled)]
    account = floor.accounts.of(ANN)
    assert fills == ["Liquidated Cross Short"]
    assert (account.houses["xyz"].raw_usd, account.houses[""].raw_usd) == (0, 1_000)
    floor.check_books()


PRICES = st.integers(3_000, 5_000).map(D)


@settings(max_examples=80)
@given(
    sizes=st.lists(st.sampled_from(["1", "-1", "0.5", "-0.7", "3"]), min_size=1, max_size=4),
    walk=st.lists(PRICES, min_size=1, max_size=12),
)
def test_after_liquidation_no_margin_is_below_maintenance(sizes: list[str], walk: list[Decimal]) -> None:
    """A margin below maintenance (so one below zero) is always due; closed at the mark it is gone, and no money is."""
    floor = Floor()
    for place, size in enumerate(sizes):
        floor.trade((ANN, BOB)[place % 2], size, "4000", GOLD)
    for px in walk:
        floor.view.set_px(GOLD, str(px))
        held = [p for account in floor.accounts.holders() for p in account.houses["xyz"].isolated]
        due = list(floor.liquidator.due(floor.now_ms))
        short_of = [p for p in held if p.equity(px) < maintenance_usd(p, px, 20)]
        assert len(due) == len(short_of)
        for liquidation in due:
            if liquidation.method == "backstop":
                floor.liquidator.take_over(liquidation, floor.now_ms)
            else:
                for close in liquidation.closes:
                    signed = close.sz if close.is_buy else -close.sz
                    floor.trade(liquidation.user, signed, px, close.coin)
        assert not list(floor.liquidator.due(floor.now_ms))
        floor.check_books()


# --- settlement


def test_settle_market_closes_all_at_the_mark_for_nothing() -> None:
    floor = Floor()
    floor.trade(ANN, "10", "50", FOO, is_free=True)
    floor.trade(BOB, "-4", "50", FOO, is_free=True)
    floor.trade(BOB, "1", "190", NVDA)
    floor.view.set_px(FOO, "52.5")
    events = floor.settlements.settle_market(FOO, START_MS)
    fills = {event.user: event.fill for event in events if isinstance(event, Filled)}
    assert {user: (fill["side"], fill["closedPnl"]) for user, fill in fills.items()} == {
        ANN: ("A", "25.0"),
        BOB: ("B", "-10.0"),
    }
    assert {(f["dir"], f["px"], f["fee"], f["crossed"]) for f in fills.values()} == {
        ("Settlement", "52.5", "0.0", True)
    }
    notices = [event for event in events if isinstance(event, Notified)]
    assert notices == [Notified(user, "Position settled at the mark price: abc:FOO") for user in (ANN, BOB)]
    assert floor.accounts.of(BOB).szi(NVDA) == 1
    assert floor.accounts.of(ANN).houses["abc"].raw_usd == 10_025
    assert len({fill["oid"] for fill in fills.values()}) == 2
    floor.check_books()


def test_close_by_force_closes_a_part_and_then_the_rest() -> None:
    floor = Floor()
    floor.trade(ANN, "10", "190")
    first = floor.settlements.close(ANN, NVDA, D(4), direction=DELEVERAGED, now_ms=START_MS)[0]
    assert isinstance(first, Filled)
    assert (first.fill["dir"], first.fill["sz"], first.fill["fee"]) == ("Auto-Deleveraging", "4.0", "0.0")
    floor.settlements.close(ANN, NVDA, D(6), direction=DELEVERAGED, now_ms=START_MS)
    assert floor.accounts.of(ANN).szi(NVDA) == 0
