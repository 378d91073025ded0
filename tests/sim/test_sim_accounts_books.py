"""Any sequence of what can happen to accounts: no money or position appears or vanishes, and nobody owes the venue."""

from collections.abc import Callable
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from sim_accounts import ANN, BOB, Claim, Floor
from sim_market_view import FOO, GOLD, NVDA

from streaming.sim.exchange.accounts.funding import settle_hour
from streaming.sim.exchange.accounts.leverage import change_isolated_margin
from streaming.sim.exchange.accounts.transfers import Transfer, send

D = Decimal
DEXES = ("", "xyz", "abc")
_USERS = st.sampled_from([ANN, BOB])
_COINS = st.sampled_from([NVDA, GOLD, FOO])
_LEVELS = {NVDA: 190, GOLD: 4_000, FOO: 50}
_MOVES = st.integers(-120, 120).map(lambda per_mille: 1 + D(per_mille) / 1_000)
_USD = st.integers(-20_000, 20_000).map(lambda cents: D(cents) / 100)


def _trade(floor: Floor, user: str, coin: str, lots: int) -> None:
    """An order at the mark that margin allows trades at once."""
    px, sz = floor.view.mark_px(coin, floor.now_ms), D(abs(lots)) / 10
    if lots and floor.accounts.can_place(user, Claim(lots > 0, px, sz, coin), [], floor.now_ms) is None:
        floor.trade(user, D(lots) / 10, px, coin)
        due = [liquidation for liquidation in floor.liquidator.due(floor.now_ms) if liquidation.user == user]
        assert due == [], "an order that margin allows must not be liquidated at the same mark"


def _move(floor: Floor, coin: str, ratio: Decimal) -> None:
    floor.view.set_px(coin, str((_LEVELS[coin] * ratio).quantize(D("0.01"))))
    for liquidation in floor.liquidator.due(floor.now_ms):
        if liquidation.method == "backstop":
            floor.liquidator.take_over(liquidation, floor.now_ms)
            continue
        for close in liquidation.closes:
            floor.trade(liquidation.user, close.sz if close.is_buy else -close.sz, close.mark_px, close.coin)
        floor.liquidator.record(liquidation, floor.now_ms)


def _fund(floor: Floor, coin: str, ratio: Decimal) -> None:
    floor.view.stands[coin].funding_ratio = (ratio - 1) / 100
    settle_hour(floor.accounts, floor.now_ms, floor.now_ms)


def _settle(floor: Floor, coin: str) -> None:
    floor.settlements.settle_market(coin, floor.now_ms)


def _margin(floor: Floor, user: str, coin: str, usd: Decimal) -> None:
    change_isolated_margin(floor.accounts, user, coin, usd, [], floor.now_ms)


def _send(floor: Floor, user: str, usd: Decimal) -> None:
    other = BOB if user == ANN else ANN
    send(
        floor.accounts,
        Transfer(user=user, destination=other, source="xyz", target="abc", usd=usd, nonce=1),
        floor.now_ms,
    )


def _withdraw(floor: Floor, user: str, usd: Decimal) -> None:
    if usd > 0:
        floor.accounts.withdraw(user, "xyz", usd, [], floor.now_ms)


_STEPS: st.SearchStrategy[tuple[object, ...]] = st.one_of(
    st.tuples(st.just(_trade), _USERS, _COINS, st.integers(-400, 400)),
    st.tuples(st.just(_move), _COINS, _MOVES),
    st.tuples(st.just(_fund), _COINS, _MOVES),
    st.tuples(st.just(_settle), _COINS),
    st.tuples(st.just(_margin), _USERS, _COINS, _USD),
    st.tuples(st.just(_send), _USERS, _USD),
    st.tuples(st.just(_withdraw), _USERS, _USD),
)


@settings(max_examples=120)
@given(steps=st.lists(_STEPS, min_size=4, max_size=30))
def test_books_balance_after_any_sequence(steps: list[tuple[Callable[..., None], *tuple[object, ...]]]) -> None:
    floor = Floor(balance_usd=D(500))
    for step, *arguments in steps:
        step(floor, *arguments)
        floor.check_books()
        for account in floor.accounts.all():
            for dex in DEXES:
                house = account.houses[dex]
                assert house.cross or house.raw_usd >= 0, "cash without a cross position is never negative"
