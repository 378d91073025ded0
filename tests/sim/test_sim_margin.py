from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.sim.exchange.accounts.clearing import Clearinghouse, Setting
from streaming.sim.exchange.accounts.margin import (
    cross_value_usd,
    liquidation_px,
    maintenance_usd,
    margin_used_usd,
    market_need_usd,
    needed_usd,
    withdrawable_usd,
)
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.texts import cut_usd, ratio_text

D = Decimal
TEN_TIMES = Setting(10, is_cross=True)


class Order(NamedTuple):
    is_buy: bool
    px: Decimal
    sz: Decimal
    is_reduce_only: bool = False
    coin: str = "A"


def position(szi: str, entry_ntl: str = "1000", **changes: object) -> Position:
    facts: dict[str, object] = {"coin": "A", "leverage": 10, "is_cross": True}
    return Position(szi=D(szi), entry_ntl=D(entry_ntl), **(facts | changes))  # type: ignore[arg-type]


def need(held: Position | None, orders: Iterable[Order], mark: str = "100") -> Decimal:
    return market_need_usd(held, TEN_TIMES, list(orders), D(mark))


def test_isolated_short_reproduces_the_recorded_body() -> None:
    """clearinghouseState of a xyz:NVDA short, 2026-08-05: -56 at 2x, mark 216.08."""
    short = Position("xyz:NVDA", D(-56), D("12155.245972"), 2, is_cross=False, raw_usd=D("18485.872074"))
    house = Clearinghouse("xyz", D("17832.00223"), {"xyz:NVDA": short})
    mark = D("216.08")
    px = liquidation_px(house, short, lambda _: mark, lambda _: 20)
    assert px is not None
    assert ratio_text(px) == "322.053520453"
    assert short.entry_px(3) == D("217.057")
    assert cut_usd(short.unrealized(mark)) == D("54.765972")
    assert margin_used_usd(short, mark) == D("6385.392074")
    assert withdrawable_usd(house, lambda _: TEN_TIMES, [], lambda _: mark) == D("17832.00223")


def test_cross_short_reproduces_the_recorded_liquidation_px() -> None:
    """DYDX short of an account with many positions, 2026-07-19; the rest of the account is one flat sum of cash."""
    short = Position("DYDX", D("-100480.9"), D("12228.475431"), 20, is_cross=True)
    mark = D("12141.107147") / D("100480.9")
    rest_maintenance = D("38312.328233") - maintenance_usd(short, mark, 50)
    house = Clearinghouse("", D("3001412.122254") + D("12141.107147") - rest_maintenance, {"DYDX": short})
    px = liquidation_px(house, short, lambda _: mark, lambda _: 50)
    assert px is not None
    assert abs(px - D("29.3180423289")) < D("0.00001")


def test_liquidation_px_unreachable_is_none() -> None:
    house = Clearinghouse("", D(1_000_000), {})
    house.positions["A"] = position("1", "100")
    assert liquidation_px(house, house.positions["A"], lambda _: D(100), lambda _: 20) is None


@given(
    szi=st.integers(-50, 50).filter(bool),
    leverage_max=st.integers(2, 50),
    margin=st.integers(1, 5_000),
    mark=st.integers(50, 150),
)
def test_liquidation_px_is_where_equity_meets_maintenance(szi: int, leverage_max: int, margin: int, mark: int) -> None:
    held = position(str(szi), str(abs(szi) * 100), is_cross=False)
    held.raw_usd = D(margin) - held.szi * mark
    house = Clearinghouse("", D(0), {"A": held})
    px = liquidation_px(house, held, lambda _: D(mark), lambda _: leverage_max)
    if px is not None:
        assert abs(held.equity(px) - maintenance_usd(held, px, leverage_max)) < D("1e-12")


def test_market_need_counts_the_dearer_side() -> None:
    assert need(None, [Order(True, D(100), D(5)), Order(False, D(110), D(4))]) == 50
    assert need(None, [Order(True, D(100), D(4)), Order(False, D(110), D(4))]) == 44


def test_market_need_orders_with_the_position_add_up() -> None:
    assert need(position("3"), [Order(True, D(90), D(2))]) == 48


def test_market_need_orders_against_the_position_count_beyond_it() -> None:
    assert need(position("3"), [Order(False, D(120), D(3))]) == 30
    assert need(position("3"), [Order(False, D(120), D(8))]) == 60
    assert need(position("-3"), [Order(True, D(120), D(8))]) == 60


def test_market_need_reduce_only_orders_are_free() -> None:
    assert need(position("3"), [Order(True, D(90), D(9), is_reduce_only=True)]) == 30


def test_market_need_isolated_position_has_paid_already() -> None:
    assert need(position("3", is_cross=False), []) == 0
    assert need(position("3", is_cross=False), [Order(True, D(100), D(2))]) == 20


@pytest.mark.parametrize(("cash", "free"), [(0, 270), (-300, 0), (-299, 0)])
def test_withdrawable_keeps_a_tenth_of_the_notional(cash: int, free: int) -> None:
    """A 25x position of 300 needs 12 of initial margin, but 30 (10 %) stay behind."""
    house = Clearinghouse("", D(cash), {"A": position("3", leverage=25)})
    marks = lambda _: D(100)  # noqa: E731 - a look-up as the exchange has it
    assert withdrawable_usd(house, lambda _: Setting(25, is_cross=True), [], marks) == free
    assert cross_value_usd(house, marks) == cash + 300


def test_needed_sums_markets() -> None:
    house = Clearinghouse("", D(0), {"A": position("3"), "B": position("2", coin="B", is_cross=False)})
    orders = [Order(True, D(100), D(1), coin="C")]
    assert needed_usd(house, lambda _: TEN_TIMES, orders, lambda _: D(100)) == 40
