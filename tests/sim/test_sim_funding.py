from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_accounts import ANN, BOB, Floor
from sim_market_view import GOLD, NVDA, START_MS

from streaming.sim.exchange.accounts.funding import cum_funding_body, hours_due, settle_hour
from streaming.sim.exchange.events import AccountChanged, UserEvent
from streaming.sim.exchange.texts import ZERO_HASH
from streaming.sim.exchange.times import HOUR_MS

D = Decimal
HOUR = START_MS // HOUR_MS * HOUR_MS + HOUR_MS
BLOCK = HOUR + 42


def settle(floor: Floor) -> list[object]:
    return list(settle_hour(floor.accounts, HOUR, BLOCK))


@pytest.mark.parametrize(
    ("after", "until", "hours"),
    [
        (HOUR - 1, HOUR, [HOUR]),
        (HOUR, HOUR + 68, []),
        (HOUR - 68, HOUR - 1, []),
        (HOUR - 1, HOUR + HOUR_MS, [HOUR, HOUR + HOUR_MS]),
    ],
)
def test_hours_due_are_those_passed(after: int, until: int, hours: list[int]) -> None:
    assert list(hours_due(after, until)) == hours


def test_settle_hour_long_pays_oracle_times_rate_from_the_cash() -> None:
    floor = Floor()
    floor.trade(ANN, "15", "190", is_free=True)
    floor.view.stands[NVDA].oracle_px = D(200)
    floor.view.stands[NVDA].funding_ratio = D("0.0000125")
    events = settle(floor)
    payment = {"coin": NVDA, "usdc": "-0.0375", "szi": "15.0", "fundingRate": "0.0000125", "nSamples": None}
    assert events == [
        UserEvent(ANN, {"funding": {"time": BLOCK, **payment}}),
        AccountChanged(ANN, "xyz"),
    ]
    account = floor.accounts.of(ANN)
    assert list(account.fundings) == [{"time": BLOCK, "hash": ZERO_HASH, "delta": {"type": "funding", **payment}}]
    assert account.houses["xyz"].raw_usd == 10_000 - 15 * 190 - D("0.0375")


def test_settle_hour_isolated_short_receives_into_its_margin() -> None:
    floor = Floor()
    floor.trade(ANN, "-2", "4000", GOLD, is_free=True)
    before = floor.accounts.of(ANN).houses["xyz"].raw_usd
    settle(floor)
    position = floor.accounts.of(ANN).position(GOLD)
    assert position is not None
    assert position.equity(D(4000)) == 400 + D("0.08")
    assert floor.accounts.of(ANN).houses["xyz"].raw_usd == before
    assert cum_funding_body(floor.accounts.of(ANN), position) == {
        "allTime": "-0.08", "sinceOpen": "-0.08", "sinceChange": "-0.08",
    }  # fmt: skip


def test_cum_funding_counts_since_change_and_since_open_apart() -> None:
    floor = Floor()
    floor.trade(ANN, "-2", "4000", GOLD)
    settle(floor)
    floor.trade(ANN, "1", "4000", GOLD)
    settle(floor)
    position = floor.accounts.of(ANN).position(GOLD)
    assert position is not None
    assert (position.funding_since_open, position.funding_since_change) == (D("-0.12"), D("-0.04"))
    floor.trade(ANN, "1", "4000", GOLD)
    floor.trade(ANN, "1", "4000", GOLD)
    position = floor.accounts.of(ANN).position(GOLD)
    assert position is not None
    assert cum_funding_body(floor.accounts.of(ANN), position)["allTime"] == "-0.12"
    assert position.funding_since_open == 0


def test_settle_hour_nobody_holds_nothing_happens() -> None:
    floor = Floor()
    floor.accounts.of(ANN)
    floor.trade(BOB, "1", "190")
    floor.trade(BOB, "-1", "190")
    assert settle(floor) == []


@given(
    sizes=st.lists(st.integers(-500, 500).filter(bool), min_size=1, max_size=6),
    rate=st.integers(-4_000_000, 4_000_000).map(lambda units: D(units) / 10**10),
)
def test_settle_hour_conserves_money(sizes: list[int], rate: Decimal) -> None:
    floor = Floor()
    floor.view.stands[NVDA].funding_ratio = floor.view.stands[GOLD].funding_ratio = rate
    for place, size in enumerate(sizes):
        floor.trade((ANN, BOB)[place % 2], D(size) / 1000, "190", (NVDA, GOLD)[place // 2 % 2])
    settle(floor)
    floor.check_books()
