"""Price-time matching: what happens when an order meets a book, and everything that follows for both sides.

Rule 1: the price of a fill is the maker's; every maker met is one fill with its own tid.
Rule 2: an order never trades with its own address: the resting one is cancelled and the taker goes on.
Rule 3: a reduce-only order never exceeds the position it reduces: it shrinks with it, and ends with it.
Rule 4: margin is tested when an order arrives, and again for a resting order when somebody meets it.

Source: hyperliquid-protocol.md, section 10.
"""

from dataclasses import dataclass
from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.executions import Execution, LiquidationMark
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.book import Book, Offer
from streaming.sim.exchange.orders.orders import FILLED, Order, OrderStore
from streaming.sim.exchange.outbox import Outbox
from streaming.sim.exchange.requests.refusals import Status
from streaming.sim.exchange.texts import number_text
from streaming.sim.exchange.view import MarketView, PublicTrade

_TOLD_CANCELS = frozenset(
    {
        Status.MARGIN_CANCELED,
        Status.SELF_TRADE_CANCELED,
        Status.OI_CAP_CANCELED,
        Status.DELISTED_CANCELED,
        Status.LIQUIDATED_CANCELED,
    }
)
"""Cancels that `nonUserCancel` tells of; `reduceOnlyCanceled` is none of them (seen on the wire)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The block and the transaction that something happens in."""

    now_ms: int
    tx_hash: str
    liquidation: LiquidationMark | None = None


class Matcher:
    """All books, and the only place where orders of clients trade or end."""

    def __init__(self, view: MarketView, accounts: Accounts, orders: OrderStore, outbox: Outbox, ids: Ids) -> None:
        self._view = view
        self._accounts = accounts
        self._orders = orders
        self._outbox = outbox
        self._ids = ids
        self.books: dict[str, Book] = {}

    def book(self, coin: str, now_ms: int) -> Book:
        """Return a market's book with the generated orders in force; what they bring across is not matched yet."""
        book = self.books.get(coin)
        if book is None:
            book = self.books[coin] = Book()
        book.refresh(self._view.liquidity(coin, now_ms))
        return book

    # --- one order

    def take(self, order: Order, moment: Moment, *, ratio: Decimal | None = None) -> None:
        """Let an order trade up to its limit; what is left of it stays in `order.sz`.

        Args:
            order: Live and remembered, but not resting.
            moment: When and by which transaction.
            ratio: The part of it that may trade at most; None is all.
        """
        book = self.book(order.coin, moment.now_ms)
        touch = book.best(is_bid=not order.is_buy)
        if touch is None or not reaches(order, touch):
            return
        if self._view.is_pulled(order.coin, moment.now_ms, order.oid):
            book.pull_touch(is_bid=not order.is_buy)
            self._outbox.book_changed(order.coin)
        allowed = order.sz if ratio is None else self._part(order, ratio, moment.now_ms)
        for offer in book.offers(is_bid=not order.is_buy):
            if allowed <= ZERO or not reaches(order, offer.px):
                break
            if offer.order is not None and not self._meets(offer.order, order, moment):
                continue
            # A maker's order may have shrunk with its position since its level was looked at.
            sz = min(allowed, order.sz, offer.order.sz if offer.order else offer.sz)
            self._trade(order, offer, sz, moment)
            allowed -= sz

    def _part(self, order: Order, ratio: Decimal, now_ms: int) -> Decimal:
        lot = Decimal(1).scaleb(-self._view.listed(order.coin, now_ms).market.sz_decimals)
        return order.sz * ratio // lot * lot

    def _meets(self, resting: Order, taker: Order, moment: Moment) -> bool:
        """Tell whether a resting order may trade with the taker; if not it is cancelled."""
        if not resting.is_live:
            return False
        if resting.user == taker.user:
            self.cancel(resting, Status.SELF_TRADE_CANCELED, moment.now_ms)
            return False
        return self._is_covered(resting, moment.now_ms)

    def _is_covered(self, resting: Order, now_ms: int) -> bool:
        """Tell whether its owner can still afford a resting order; if not it is cancelled."""
        others = [order for order in self._orders.live(resting.user, resting.dex) if order is not resting]
        if self._accounts.can_place(resting.user, resting, others, now_ms) is None:
            return True
        self.cancel(resting, Status.MARGIN_CANCELED, now_ms)
        return False

    def rest(self, order: Order, now_ms: int) -> None:
        """Put what is left of an order into the book."""
        self.book(order.coin, now_ms).add(order)
        self._outbox.book_changed(order.coin)
        self._note(order, "open", now_ms)

    def cancel(self, order: Order, status: str, now_ms: int) -> None:
        """End a live order, resting or not."""
        if order.is_resting:
            self.books[order.coin].remove(order)
            order.is_resting = False
            self._outbox.book_changed(order.coin)
        self.end(order, status, now_ms)
        if status in _TOLD_CANCELS:
            self._outbox.user_event(order.user, {"nonUserCancel": [{"coin": order.coin, "oid": order.oid}]})

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """Give an order that does not rest its last status."""
        self._note(order, status, now_ms)

    def _note(self, order: Order, status: str, now_ms: int) -> None:
        order.status, order.status_ms = status, now_ms
        self._orders.note(order)
        self._outbox.order_updated(order)

    # --- the generated side comes to clients' orders

    def sweep(self, coin: str, now_ms: int) -> None:
        """Match resting orders that the generated book has come across: it takes, at their prices."""
        book = self.book(coin, now_ms)
        while (crossed := book.crossed()) is not None:
            order, other = crossed
            if self._is_covered(order, now_ms):
                sz = min(order.sz, other.sz)
                book.consume(other.px, sz, is_bid=not order.is_buy)
                self._hit(order, sz, now_ms)

    def public_trade(self, coin: str, trade: PublicTrade, now_ms: int) -> None:
        """Let a generated trade hit clients' orders first: at better prices, then in their place of the queue."""
        book = self.book(coin, now_ms)
        left = trade.sz
        for order in book.hit_by(trade):
            if order.px == trade.px:
                left = book.erode(order, left)
            if left <= ZERO:
                return
            if order.is_live and self._is_covered(order, now_ms):
                sz = min(left, order.sz)
                left -= sz
                self._hit(order, sz, now_ms)

    def _hit(self, order: Order, sz: Decimal, now_ms: int) -> None:
        moment = Moment(now_ms, self._ids.tx_hash(now_ms, order.oid))
        self._settle(order, order.px, sz, moment, other=self._ids.stranger(order.oid, now_ms), is_taker=False)

    # --- fills

    def _trade(self, taker: Order, offer: Offer, sz: Decimal, moment: Moment) -> None:
        maker = offer.order
        if maker is None:
            self.books[taker.coin].consume(offer.px, sz, is_bid=not taker.is_buy)
            self._outbox.book_changed(taker.coin)
            stranger = self._ids.stranger(taker.oid, moment.now_ms)
            self._settle(taker, offer.px, sz, moment, other=stranger, is_taker=True)
            return
        tid = self._ids.tid(taker.oid, maker.oid)
        self._outbox.traded(trade_body(taker, offer.px, sz, moment, tid=tid, other=maker.user, is_taker=True))
        for order, is_taker in ((taker, True), (maker, False)):
            self._fill(order, offer.px, sz, moment, tid=tid, is_taker=is_taker)

    def _settle(self, order: Order, px: Decimal, sz: Decimal, moment: Moment, *, other: str, is_taker: bool) -> None:
        """Trade with the generated side."""
        tid = self._ids.tid(order.oid, 0)
        self._outbox.traded(trade_body(order, px, sz, moment, tid=tid, other=other, is_taker=is_taker))
        self._fill(order, px, sz, moment, tid=tid, is_taker=is_taker)

    def _fill(self, order: Order, px: Decimal, sz: Decimal, moment: Moment, *, tid: int, is_taker: bool) -> None:
        order.sz -= sz
        order.filled_sz += sz
        order.filled_ntl += px * sz
        execution = Execution(
            coin=order.coin,
            is_buy=order.is_buy,
            px=px,
            sz=sz,
            time_ms=moment.now_ms,
            oid=order.oid,
            tid=tid,
            is_taker=is_taker,
            tx_hash=moment.tx_hash,
            cloid=order.cloid,
            builder=order.builder,
            builder_fee_bps=order.builder_fee_bps,
            liquidation=moment.liquidation,
        )
        self._outbox.filled(order.user, self._accounts.apply_fill(order.user, execution))
        self._outbox.account_changed(order.user, order.coin)
        if order.is_resting:
            self._outbox.book_changed(order.coin)
            if not order.sz:
                self.books[order.coin].remove(order)
                order.is_resting = False
                self._note(order, FILLED, moment.now_ms)
        self.shrink(order.user, order.coin, moment.now_ms)

    def shrink(self, user: str, coin: str, now_ms: int) -> None:
        """Hold the resting reduce-only orders of a user to the position they reduce."""
        for order in self._orders.live_of_coin(user, coin):
            if not (order.is_reduce_only and order.is_resting):
                continue
            reducible = self.reducible(user, coin, is_buy=order.is_buy)
            if not reducible:
                self.cancel(order, Status.REDUCE_ONLY_CANCELED, now_ms)
            elif order.sz > reducible:
                order.sz = reducible
                self._outbox.book_changed(coin)

    def reducible(self, user: str, coin: str, *, is_buy: bool) -> Decimal:
        """Return the size that an order of this side can close."""
        szi = self._accounts.of(user).szi(coin)
        return max(ZERO, -szi if is_buy else szi)


def reaches(order: Order, px: Decimal) -> bool:
    """Tell whether an order may trade at a price."""
    return px <= order.px if order.is_buy else px >= order.px


def trade_body(
    order: Order, px: Decimal, sz: Decimal, moment: Moment, *, tid: int, other: str, is_taker: bool
) -> dict[str, Json]:
    """Return an item of `trades`: side is the taker's, users are buyer and seller."""
    is_buy = order.is_buy if is_taker else not order.is_buy
    return {
        "coin": order.coin,
        "side": "B" if is_buy else "A",
        "px": number_text(px),
        "sz": number_text(sz),
        "time": moment.now_ms,
        "hash": moment.tx_hash,
        "tid": tid,
        "users": [order.user, other] if order.is_buy else [other, order.user],
    }
