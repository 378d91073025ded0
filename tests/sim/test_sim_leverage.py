"""What users change about leverage and isolated margin, and what they are answered."""

from decimal import Decimal

import pytest
from sim_accounts import ANN, Claim, Floor
from sim_market_view import BTC, FOO, GOLD, NVDA, START_MS

from streaming.sim.exchange.accounts.clearing import Setting
from streaming.sim.exchange.accounts.leverage import change_isolated_margin, set_leverage, top_up_isolated_margin
from streaming.sim.exchange.requests import refusals

D = Decimal


def cash(floor: Floor, dex: str = "xyz") -> Decimal:
    return floor.accounts.of(ANN).houses[dex].raw_usd


def set_to(floor: Floor, coin: str, leverage: int, *, is_cross: bool, resting: tuple[Claim, ...] = ()) -> str | None:
    return set_leverage(floor.accounts, ANN, coin, Setting(leverage, is_cross), resting, START_MS)


def leverage_of(floor: Floor, coin: str) -> int:
    position = floor.accounts.of(ANN).position(coin)
    assert position is not None
    return position.leverage


# --- leverage


@pytest.mark.parametrize(
    ("coin", "leverage", "is_cross", "refusal"),
    [
        (NVDA, 5, True, None),
        (NVDA, 20, False, None),
        (NVDA, 21, True, refusals.LEVERAGE_INVALID),
        (NVDA, 0, True, refusals.LEVERAGE_INVALID),
        (GOLD, 5, True, refusals.NO_CROSS),
        (GOLD, 5, False, None),
    ],
)
def test_set_leverage_flat(coin: str, leverage: int, is_cross: bool, refusal: str | None) -> None:
    floor = Floor()
    assert set_to(floor, coin, leverage, is_cross=is_cross) == refusal
    setting = floor.accounts.setting(floor.accounts.of(ANN), coin, START_MS)
    assert (setting.leverage == leverage) is (refusal is None)


def test_set_leverage_with_a_position_keeps_its_margin_mode_and_may_rise() -> None:
    floor = Floor()
    set_to(floor, NVDA, 5, is_cross=True)
    floor.trade(ANN, "1", "190")
    assert set_to(floor, NVDA, 5, is_cross=False) == refusals.LEVERAGE_TYPE
    assert set_to(floor, NVDA, 10, is_cross=True) is None
    assert leverage_of(floor, NVDA) == 10


def test_set_leverage_of_a_cross_position_falls_as_far_as_the_cash_of_the_dex_allows() -> None:
    floor = Floor(balance_usd=D(1_000))
    floor.trade(ANN, "10", "190", is_free=True)
    assert set_to(floor, NVDA, 2, is_cross=True) is None
    assert set_to(floor, NVDA, 1, is_cross=True) == refusals.LEVERAGE_DECREASE_CROSS
    assert leverage_of(floor, NVDA) == 2


def test_set_leverage_counts_resting_orders() -> None:
    floor = Floor(balance_usd=D(1_000))
    floor.trade(ANN, "10", "190", is_free=True)
    resting = (Claim(is_buy=True, px=D(180), sz=D(5)),)
    assert set_to(floor, NVDA, 2, is_cross=True, resting=resting) == refusals.LEVERAGE_DECREASE_CROSS
    assert leverage_of(floor, NVDA) == 20


def test_set_leverage_of_an_isolated_position_falls_as_far_as_its_own_margin_allows() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD, is_free=True)
    assert set_to(floor, GOLD, 10, is_cross=False) == refusals.LEVERAGE_DECREASE_ISOLATED
    assert change_isolated_margin(floor.accounts, ANN, GOLD, D(200), [], START_MS) is None
    assert set_to(floor, GOLD, 10, is_cross=False) is None
    assert leverage_of(floor, GOLD) == 10
    floor.check_books()


# --- isolated margin


@pytest.mark.parametrize(
    ("coin", "usd", "refusal"),
    [
        (GOLD, "50", None),
        (GOLD, "9801", refusals.MARGIN_NOT_ADDED),
        (GOLD, "-100", refusals.MARGIN_NOT_REMOVED),
        (GOLD, "0", refusals.MARGIN_CHANGE_ZERO),
        (FOO, "-1", refusals.MARGIN_NOT_REMOVABLE),
        (NVDA, "1", refusals.NOT_ISOLATED),
        (BTC, "1", refusals.NO_POSITION),
    ],
)
def test_change_isolated_margin_answers(coin: str, usd: str, refusal: str | None) -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD)
    floor.trade(ANN, "1", "50", FOO)
    floor.trade(ANN, "0.1", "190", NVDA)
    before = cash(floor)
    assert change_isolated_margin(floor.accounts, ANN, coin, D(usd), [], START_MS) == refusal
    assert cash(floor) == (before if refusal else before - D(usd))
    floor.check_books()


def test_change_isolated_margin_added_can_be_taken_out_again() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD, is_free=True)
    change = [change_isolated_margin(floor.accounts, ANN, GOLD, D(usd), [], START_MS) for usd in (500, "-300.01", -300)]
    # 10 % of the notional stay behind, which is more than the 20x margin.
    assert change == [None, refusals.MARGIN_NOT_REMOVED, None]
    assert cash(floor) == 9_600


@pytest.mark.parametrize(
    ("coin", "leverage", "refusal"),
    [
        (FOO, "2", None),
        (FOO, "0.000000000000000001", refusals.LEVERAGE_INVALID),
        (FOO, "11", refusals.LEVERAGE_INVALID),
        (FOO, "10", refusals.MARGIN_CHANGE_ZERO),
        (GOLD, "2", refusals.NOT_STRICT),
    ],
)
def test_top_up_answers(coin: str, leverage: str, refusal: str | None) -> None:
    floor = Floor()
    floor.trade(ANN, "10", "50", FOO, is_free=True)
    assert top_up_isolated_margin(floor.accounts, ANN, coin, D(leverage), [], START_MS) == refusal
    position = floor.accounts.of(ANN).position(FOO)
    assert position is not None
    assert position.equity(D(50)) == (D(50) if refusal else D(250))
    floor.check_books()


def test_top_up_without_a_position_is_refused() -> None:
    assert top_up_isolated_margin(Floor().accounts, ANN, FOO, D(2), [], START_MS) == refusals.NO_POSITION
