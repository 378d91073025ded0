from decimal import Decimal

import pytest
from sim_market_view import GOLD, NVDA, START_MS, FakeView, small_universe

from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.events import Filled, OrderUpdated, Traded, UserEvent
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.matching import Matcher, Moment
from streaming.sim.exchange.orders.orders import Order, OrderStore, Tif
from streaming.sim.exchange.outbox import Outbox
from streaming.sim.exchange.view import PublicTrade
from streaming.sim.scenario.rules import VenueRules

ANN, BOB, EVE = (f"0x{name * 20}" for name in ("aa", "bb", "ee"))
NOW = Moment(START_MS, "0x01")


class Floor:
    """A matcher on NVDA with 5 at 190.00/190.02 and 10 one tick behind."""

    def __init__(self, **rules: object) -> None:
        universe = small_universe()
        self.view = FakeView(universe)
        self.view.set_book(NVDA, [("190.00", "5"), ("189.99", "10")], [("190.02", "5"), ("190.03", "10")])
        self.accounts = Accounts(universe, VenueRules(**rules), self.view)
        self.orders, self.outbox, self.ids = OrderStore(), Outbox(), Ids(7, START_MS)
        self.matcher = Matcher(self.view, self.accounts, self.orders, self.outbox, self.ids)

    def order(
        self, user: str, is_buy: bool, px: str, sz: str, *, tif: Tif = "Gtc", is_reduce_only: bool = False
    ) -> Order:
        order = Order(
            oid=self.ids.oid(),
            user=user,
            coin=NVDA,
            asset=110_000,
            is_buy=is_buy,
            px=Decimal(px),
            sz=Decimal(sz),
            orig_sz=Decimal(sz),
            tif=tif,
            is_reduce_only=is_reduce_only,
            cloid=None,
            placed_ms=START_MS,
        )
        self.orders.add(order)
        return order

    def rest(self, user: str, is_buy: bool, px: str, sz: str, *, is_reduce_only: bool = False) -> Order:
        order = self.order(user, is_buy, px, sz, is_reduce_only=is_reduce_only)
        self.matcher.rest(order, START_MS)
        return order

    def take(self, user: str, is_buy: bool, px: str, sz: str, *, ratio: str | None = None) -> Order:
        order = self.order(user, is_buy, px, sz, tif="Ioc")
        self.matcher.take(order, NOW, ratio=Decimal(ratio) if ratio else None)
        return order

    def fills(self, user: str) -> list[tuple[str, str]]:
        return [(f["px"], f["sz"]) for f in self.accounts.of(user).fills]

    def top(self, *, is_bid: bool) -> tuple[str, str, int]:
        book = self.matcher.book(NVDA, START_MS).merged()
        level = (book.bids if is_bid else book.asks)[0]
        return str(level.px), str(level.sz), level.n


def test_take_more_than_the_touch_fills_level_by_level_at_makers_prices() -> None:
    floor = Floor()
    order = floor.take(ANN, True, "190.03", "8")
    assert floor.fills(ANN) == [("190.02", "5.0"), ("190.03", "3.0")]
    assert order.average_px == Decimal("190.02375")
    tids = {fill["tid"] for fill in floor.accounts.of(ANN).fills}
    assert len(tids) == 2
    assert all(0 <= tid < 2**50 for tid in tids)


def test_take_beyond_the_limit_leaves_the_rest() -> None:
    floor = Floor()
    assert floor.take(ANN, True, "190.02", "8").sz == 3


def test_consumed_size_is_missing_until_the_generated_touch_changes() -> None:
    floor = Floor()
    floor.take(ANN, True, "190.02", "5")
    assert floor.top(is_bid=False) == ("190.03", "10", 1)
    floor.view.set_book(NVDA, [("190.00", "5")], [("190.02", "6")])
    assert floor.top(is_bid=False) == ("190.02", "6", 1)


def test_generated_size_older_than_an_order_trades_before_it() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.00", "3")
    floor.take(ANN, False, "190.00", "6")
    assert resting.filled_sz == 1
    assert floor.top(is_bid=True) == ("190.00", "2", 1)


def test_older_size_that_others_took_or_withdrew_is_older_no_more() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.00", "3")
    floor.view.set_book(NVDA, [("190.00", "2")], [("190.02", "5")])
    floor.matcher.book(NVDA, START_MS)
    floor.view.set_book(NVDA, [("190.00", "9")], [("190.02", "5")])
    floor.take(ANN, False, "190.00", "3")
    assert resting.filled_sz == 1


def test_order_that_rested_before_the_generated_price_came_trades_first() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.01", "3")
    floor.view.set_book(NVDA, [("190.01", "5")], [("190.02", "5")])
    floor.take(ANN, False, "190.01", "2")
    assert resting.filled_sz == 2


def test_two_clients_at_one_price_trade_in_the_order_of_arrival() -> None:
    floor = Floor()
    first, second = floor.rest(BOB, True, "190.01", "3"), floor.rest(EVE, True, "190.01", "3")
    floor.take(ANN, False, "190.01", "4")
    assert (first.filled_sz, second.filled_sz) == (3, 1)


def test_better_price_trades_before_an_older_order() -> None:
    floor = Floor()
    older, better = floor.rest(BOB, True, "190.00", "3"), floor.rest(EVE, True, "190.01", "3")
    floor.take(ANN, False, "190.00", "3")
    assert (older.filled_sz, better.filled_sz) == (0, 3)


def test_clients_trade_with_each_other_is_one_public_trade_and_two_fills_with_one_tid() -> None:
    floor = Floor()
    floor.rest(BOB, True, "190.01", "3")
    floor.take(ANN, False, "190.01", "3")
    events = floor.outbox.take()
    (trade,) = [event.trade for event in events if isinstance(event, Traded)]
    fills = {event.user: event.fill for event in events if isinstance(event, Filled)}
    assert trade["side"] == "A"
    assert trade["users"] == [BOB, ANN]
    assert fills[ANN]["crossed"]
    assert not fills[BOB]["crossed"]
    assert {fills[ANN]["tid"], fills[BOB]["tid"]} == {trade["tid"]}


def test_own_resting_order_is_cancelled_and_the_taker_goes_on() -> None:
    floor = Floor()
    own, other = floor.rest(ANN, True, "190.01", "3"), floor.rest(BOB, True, "190.01", "3")
    taker = floor.take(ANN, False, "190.01", "3")
    assert own.status == "selfTradeCanceled"
    assert own.filled_sz == 0
    assert other.filled_sz == taker.filled_sz == 3
    told = [e.data for e in floor.outbox.take() if isinstance(e, UserEvent) and e.user == ANN]
    assert told == [{"nonUserCancel": [{"coin": NVDA, "oid": own.oid}]}]


def test_resting_reduce_only_order_shrinks_with_the_position_and_ends_with_it() -> None:
    floor = Floor()
    floor.take(ANN, True, "190.02", "5")
    reducing = floor.rest(ANN, False, "190.50", "5", is_reduce_only=True)
    floor.take(ANN, False, "190.00", "2")
    assert (reducing.sz, reducing.orig_sz, reducing.status) == (3, 5, "open")
    floor.take(ANN, False, "190.00", "3")
    assert reducing.status == "reduceOnlyCanceled"
    assert not floor.matcher.books[NVDA].has_orders
    assert not [e for e in floor.outbox.take() if isinstance(e, UserEvent)]


def test_reduce_only_orders_met_by_one_taker_never_flip_the_position() -> None:
    floor = Floor()
    floor.take(ANN, True, "190.02", "5")
    orders = [floor.rest(ANN, False, "190.01", sz, is_reduce_only=True) for sz in ("3", "5", "5")]
    floor.take(BOB, True, "190.01", "9")
    assert floor.accounts.of(ANN).szi(NVDA) == 0
    assert [order.filled_sz for order in orders] == [3, 2, 0]
    assert [order.status for order in orders] == ["filled", "filled", "reduceOnlyCanceled"]


def test_maker_without_margin_is_cancelled_when_somebody_meets_it() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.01", "5000")
    taker = floor.take(ANN, False, "190.01", "3")
    assert resting.status == "marginCanceled"
    assert taker.filled_sz == 0


def test_generated_book_that_comes_across_an_order_takes_it_at_its_price() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.01", "7")
    floor.view.set_book(NVDA, [("189.90", "5")], [("189.95", "4"), ("190.00", "2"), ("190.05", "9")])
    floor.matcher.sweep(NVDA, START_MS + 68)
    assert floor.fills(BOB) == [("190.01", "4.0"), ("190.01", "2.0")]
    assert resting.sz == 1
    book = floor.matcher.book(NVDA, START_MS + 68).merged()
    assert book.bids[0].px < book.asks[0].px


@pytest.mark.parametrize(
    ("sz", "filled"), [("4", "0"), ("6", "1"), ("20", "3")], ids=["queue", "part of it", "all of it"]
)
def test_generated_trade_at_an_orders_price_passes_the_older_size_first(sz: str, filled: str) -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.00", "3")
    trade = PublicTrade(START_MS, is_buy=False, px=Decimal("190.00"), sz=Decimal(sz))
    floor.matcher.public_trade(NVDA, trade, START_MS)
    assert resting.filled_sz == Decimal(filled)


def test_generated_trade_beyond_an_orders_price_hits_it_first() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.01", "3")
    trade = PublicTrade(START_MS, is_buy=False, px=Decimal("190.00"), sz=Decimal(2))
    floor.matcher.public_trade(NVDA, trade, START_MS)
    assert floor.fills(BOB) == [("190.01", "2.0")]
    assert resting.is_resting


def test_generated_buy_does_not_touch_bids() -> None:
    floor = Floor()
    resting = floor.rest(BOB, True, "190.01", "3")
    floor.matcher.public_trade(NVDA, PublicTrade(START_MS, is_buy=True, px=Decimal(190), sz=Decimal(9)), START_MS)
    assert not resting.filled_sz


def test_makers_who_pull_leave_the_next_level() -> None:
    floor = Floor()
    floor.view.stands[NVDA].is_pulled = True
    assert floor.take(ANN, True, "190.02", "3").filled_sz == 0
    assert floor.top(is_bid=False) == ("190.03", "10", 1)
    assert floor.view.liquidity(NVDA, START_MS).asks[0].px == Decimal("190.02")


def test_take_with_a_ratio_fills_that_part_in_whole_lots() -> None:
    floor = Floor()
    assert floor.take(ANN, True, "190.02", "1.111", ratio="0.5").filled_sz == Decimal("0.555")


def test_updates_of_a_resting_order_that_fills_are_open_then_filled() -> None:
    floor = Floor()
    floor.rest(BOB, True, "190.01", "3")
    floor.take(ANN, False, "190.01", "1")
    floor.take(ANN, False, "190.01", "2")
    updates = [e.update for e in floor.outbox.take() if isinstance(e, OrderUpdated) and e.user == BOB]
    assert [(u["status"], u["order"]["sz"], u["order"]["origSz"]) for u in updates] == [
        ("open", "3.0", "3.0"),
        ("filled", "0.0", "3.0"),
    ]


def test_empty_book_matches_nothing() -> None:
    floor = Floor()
    floor.view.set_book(NVDA, [], [])
    assert floor.take(ANN, True, "200", "1").filled_sz == 0
    assert floor.matcher.book(GOLD, START_MS).merged().bids == ()


def test_a_venue_that_starts_again_gives_ids_that_no_earlier_start_gave() -> None:
    def given(begin_ms: int) -> tuple[list[int], list[int]]:
        ids = Ids(7, begin_ms)
        oids = [ids.oid() for _ in range(1_000)]
        return oids, [ids.tid(oid, 0) for oid in oids]

    oids, tids = given(START_MS)
    later_oids, later_tids = given(START_MS + 1_000)
    assert given(START_MS) == (oids, tids)
    assert max(oids) < min(later_oids) < 2**53
    assert not set(tids) & set(later_tids)
