"""Whatever clients and markets do, in whatever order: what must hold of every exchange holds."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sim_market_view import NVDA, START_MS, FakeView, small_universe
from sim_requests import BLOCK_MS, SETTLED_MS, Venue, Wallet, order_item

from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.events import Answered, Filled, Json, OrderUpdated, Traded
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.matching import Matcher, Moment
from streaming.sim.exchange.orders.orders import Order, OrderStore
from streaming.sim.exchange.outbox import Outbox
from streaming.sim.exchange.view import PublicTrade
from streaming.sim.scenario.rules import VenueRules

WALLETS = (Wallet(11), Wallet(12), Wallet(13))
MID = 19_000
"""In ticks of 0.01; all prices of the test lie within ten ticks."""
TICKS = st.integers(-10, 10)
SIZES = st.sampled_from(["0.5", "1", "2", "3.25", "7"])
CLIENTS = st.sampled_from(range(len(WALLETS)))
WAITS = st.sampled_from([0, 1, BLOCK_MS, 300])
TERMINAL_SUFFIXES = ("filled", "anceled", "ejected", "scheduledCancel")


def px_text(tick: int) -> str:
    return f"{Decimal(MID + tick) / 100:.2f}"


@st.composite
def order_items(draw: st.DrawFn) -> dict[str, Any]:
    return order_item(
        draw(st.booleans()),
        px_text(draw(TICKS)),
        draw(SIZES),
        tif=draw(st.sampled_from(["Ioc", "Gtc", "Gtc", "Alo"])),
        is_reduce_only=draw(st.integers(0, 3)) == 0,
    )


@st.composite
def books(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Up to three levels a side, not crossed; a side may be empty."""
    bid, spread = draw(st.integers(-6, 5)), draw(st.integers(1, 3))
    bids = [(px_text(bid - place), draw(SIZES)) for place in range(draw(st.integers(0, 3)))]
    asks = [(px_text(bid + spread + place), draw(SIZES)) for place in range(draw(st.integers(0, 3)))]
    return bids, asks


class ExchangeMachine(RuleBasedStateMachine):
    """Three clients on one market; every step is written down, so that it can be repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = Venue()
        self.steps: list[tuple[str, Any]] = []
        self.asked: dict[int, int] = {}
        self.wanted: dict[str, dict[str, Any]] = {}
        self.seen = 0
        self.history: defaultdict[int, list[str]] = defaultdict(list)
        self.filled: defaultdict[int, Decimal] = defaultdict(Decimal)
        self.szi: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.answered: dict[int, Json] = {}

    # --- steps

    def do(self, name: str, value: Json) -> Json:
        self.steps.append((name, value))
        return step(self.venue, name, value)

    @initialize(book=books())
    def open_book(self, book: Json) -> None:
        self.do("book", book)

    @rule(who=CLIENTS, items=st.lists(order_items(), min_size=1, max_size=3), ms=WAITS)
    def place(self, who: int, items: list[dict[str, Any]], ms: int) -> None:
        numbered = [{**item, "c": f"0x{len(self.wanted) + place:032x}"} for place, item in enumerate(items)]
        self.wanted |= {item["c"]: item for item in numbered}
        action = {"type": "order", "orders": numbered, "grouping": "na"}
        self.ask(who, action, len(items), ms)

    @precondition(lambda self: self.history)
    @rule(who=CLIENTS, pick=st.integers(0, 50), ms=WAITS)
    def cancel(self, who: int, pick: int, ms: int) -> None:
        oid = sorted(self.history)[pick % len(self.history)]
        action = {"type": "cancel", "cancels": [{"a": 110_000, "o": oid}]}
        self.ask(who, action, 1, ms)

    @precondition(lambda self: self.history)
    @rule(who=CLIENTS, pick=st.integers(0, 50), item=order_items(), is_always=st.booleans(), ms=WAITS)
    def modify(self, who: int, pick: int, item: dict[str, Any], is_always: bool, ms: int) -> None:
        oid = sorted(self.history)[pick % len(self.history)]
        numbered = {**item, "c": f"0x{len(self.wanted):032x}"}
        self.wanted[numbered["c"]] = numbered
        action = {"type": "batchModify", "modifies": [{"oid": oid, "order": numbered}]}
        self.ask(who, {**action, "a": True} if is_always else action, 1, ms)

    def ask(self, who: int, action: dict[str, Any], count: int, ms: int) -> None:
        self.asked[self.do("send", WALLETS[who].sign(action))] = count
        self.do("run", ms)

    @rule(book=books())
    def move(self, book: Json) -> None:
        self.do("book", book)
        self.do("run", BLOCK_MS)
        shown = self.venue.exchange.book(NVDA, self.venue.now_ms)
        assert not shown.bids or not shown.asks or shown.bids[0].px < shown.asks[0].px

    @rule(is_buy=st.booleans(), tick=TICKS, sz=SIZES)
    def others_trade(self, is_buy: bool, tick: int, sz: str) -> None:
        self.do("trade", (is_buy, px_text(tick), sz))
        self.do("run", BLOCK_MS)

    # --- what holds

    @invariant()
    def everything_holds(self) -> None:
        self.check_events()
        self.check_book()
        self.check_accounts()

    def check_events(self) -> None:
        events = self.venue.events[self.seen :]
        self.seen = len(self.venue.events)
        trades = {event.trade["tid"]: event.trade for event in events if isinstance(event, Traded)}
        sides: defaultdict[int, list[Any]] = defaultdict(list)
        for event in events:
            match event:
                case Filled():
                    self.check_fill(event.user, event.fill)
                    sides[event.fill["tid"]].append(event.fill)
                case OrderUpdated():
                    self.check_update(event.update)
                case Answered():
                    assert event.ticket not in self.answered
                    self.answered[event.ticket] = event.body
                case _:
                    pass
        for tid, fills in sides.items():
            assert trades[tid]["users"][0] != trades[tid]["users"][1]
            assert {(fill["px"], fill["sz"]) for fill in fills} == {(trades[tid]["px"], trades[tid]["sz"])}
            if len(fills) == 2:
                assert {fill["side"] for fill in fills} == {"A", "B"}
                assert {fill["crossed"] for fill in fills} == {True, False}

    def check_fill(self, user: str, fill: Json) -> None:
        item, sz, px = self.wanted[fill["cloid"]], Decimal(fill["sz"]), Decimal(fill["px"])
        assert sz > 0
        self.filled[fill["oid"]] += sz
        assert self.filled[fill["oid"]] <= Decimal(item["s"])
        assert px <= Decimal(item["p"]) if item["b"] else px >= Decimal(item["p"])
        assert not (fill["crossed"] and item["t"]["limit"]["tif"] == "Alo")
        start = self.szi[user]
        assert Decimal(fill["startPosition"]) == start
        self.szi[user] += sz if item["b"] else -sz
        if item["r"]:
            assert start < 0 if item["b"] else start > 0
            assert sz <= abs(start)

    def check_update(self, update: Json) -> None:
        order, status = update["order"], update["status"]
        history = self.history[order["oid"]]
        assert not history or history == ["open"]
        assert status == "open" or status.endswith(TERMINAL_SUFFIXES)
        if status == "open":
            assert not history
            assert self.wanted[order["cloid"]]["t"]["limit"]["tif"] != "Ioc"
        if status == "filled":
            assert Decimal(order["sz"]) == 0
        history.append(status)

    def check_book(self) -> None:
        book = self.venue.exchange.book(NVDA, self.venue.now_ms)
        assert all(level.sz > 0 and level.n > 0 for side in (book.bids, book.asks) for level in side)
        assert [level.px for level in book.bids] == sorted({level.px for level in book.bids}, reverse=True)
        assert [level.px for level in book.asks] == sorted({level.px for level in book.asks})

    def check_accounts(self) -> None:
        for wallet in WALLETS:
            assert self.venue.szi(wallet) == self.szi[wallet.address]
            for order in self.venue.exchange.orders.live(wallet.address):
                assert self.history[order.oid] == ["open"]
                assert order.sz > 0
                if order.is_reduce_only:
                    assert order.sz <= abs(self.szi[wallet.address])
                    assert (self.szi[wallet.address] > 0) != order.is_buy

    def teardown(self) -> None:
        self.do("run", SETTLED_MS)
        self.check_events()
        assert self.answered.keys() == self.asked.keys()
        for ticket, body in self.answered.items():
            assert body["status"] == "ok"
            assert len(body["response"]["data"]["statuses"]) == self.asked[ticket]
        again = Venue()
        for name, value in self.steps:
            step(again, name, value)
        assert again.events == self.venue.events


def step(venue: Venue, name: str, value: Json) -> Json:
    match name:
        case "book":
            venue.view.set_book(NVDA, *value)
        case "trade":
            is_buy, px, sz = value
            venue.view.stands[NVDA].trades.append(PublicTrade(venue.now_ms + 1, is_buy, Decimal(px), Decimal(sz)))
        case "run":
            venue.run(value)
        case _:
            return venue.send(value)
    return None


TestExchangeMachine = ExchangeMachine.TestCase
TestExchangeMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)


def floor() -> tuple[Matcher, OrderStore, FakeView, Outbox]:
    universe = small_universe()
    view, orders, outbox = FakeView(universe), OrderStore(), Outbox()
    return Matcher(view, Accounts(universe, VenueRules(), view), orders, outbox, Ids(1, START_MS)), orders, view, outbox


def order_of(oid: int, user: str, is_buy: bool, tick: int, sz: str) -> Order:
    return Order(
        oid=oid,
        user=user,
        coin=NVDA,
        asset=110_000,
        is_buy=is_buy,
        px=Decimal(px_text(tick)),
        sz=Decimal(sz),
        orig_sz=Decimal(sz),
        tif="Gtc",
        is_reduce_only=False,
        cloid=None,
        placed_ms=START_MS,
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    resting=st.lists(st.tuples(st.integers(0, 4), SIZES), max_size=6),
    asks=st.lists(SIZES, max_size=4),
    limit=st.integers(-1, 5),
    sz=st.sampled_from(["1", "4", "9", "40"]),
)
def test_taker_meets_the_best_price_and_at_a_price_the_oldest_order_first(
    resting: list[tuple[int, str]], asks: list[str], limit: int, sz: str
) -> None:
    matcher, orders, view, outbox = floor()
    view.set_book(NVDA, [], [(px_text(tick), size) for tick, size in enumerate(asks)])
    makers = [order_of(1 + n, f"0x{n:040x}", False, tick, size) for n, (tick, size) in enumerate(resting)]
    for maker in makers:
        orders.add(maker)
        matcher.rest(maker, START_MS)
    taker = order_of(100, f"0x{99:040x}", True, limit, sz)
    orders.add(taker)
    matcher.take(taker, Moment(START_MS, "0x01"))

    trades = [event.trade for event in outbox.take() if isinstance(event, Traded)]
    prices = [Decimal(trade["px"]) for trade in trades]
    assert prices == sorted(prices)
    assert sum((Decimal(trade["sz"]) for trade in trades), start=Decimal(0)) == taker.filled_sz
    reachable = [maker for maker in makers if maker.px <= taker.px]
    offered = sum((Decimal(size) for tick, size in enumerate(asks) if tick <= limit), start=Decimal(0))
    offered += sum((maker.orig_sz for maker in reachable), start=Decimal(0))
    assert taker.filled_sz == min(Decimal(sz), offered)
    for maker in makers:
        earlier = [m for m in reachable if m.px < maker.px or (m.px == maker.px and m.oid < maker.oid)]
        if maker.filled_sz:
            assert maker in reachable
            assert all(other.status == "filled" for other in earlier)
            older = sum((Decimal(s) for tick, s in enumerate(asks) if Decimal(px_text(tick)) <= maker.px), Decimal(0))
            assert taker.filled_sz - sum(m.filled_sz for m in makers) >= older
