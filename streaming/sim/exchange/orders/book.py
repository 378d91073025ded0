"""One market's book: generated orders, less what clients consumed, and the resting orders of clients.

Rule 1: price first, then time. Generated size at a price is older than a client's order there, unless the order rested
    before the generated book came to that price: `Order.ahead_sz` is what is older, and it only shrinks.
Rule 2: what clients consumed is missing until the generated touch changes (`Liquidity.version`).
Rule 3: bids and asks that are handed out never cross; what the generated side brings across is matched first
    (`Book.crossed`).
"""

from bisect import insort
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from streaming.core.units import ZERO
from streaming.sim.exchange.orders.orders import Order
from streaming.sim.exchange.view import Level, Liquidity, PublicTrade

LEVEL_COUNT = 20


class Offer(NamedTuple):
    """Something to trade against: a client's order, or generated size."""

    px: Decimal
    sz: Decimal
    order: Order | None


def _rank(order: Order) -> tuple[Decimal, int]:
    return (-order.px if order.is_buy else order.px, order.oid)


class Book:
    """The orders of one market; `is_bid` selects a side."""

    def __init__(self) -> None:
        self._resting: dict[bool, list[Order]] = {True: [], False: []}
        self._consumed: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
        self._liquidity = Liquidity((), (), -1)

    @property
    def has_orders(self) -> bool:
        """Whether clients rest here."""
        return bool(self._resting[True] or self._resting[False])

    @property
    def is_touched(self) -> bool:
        """Whether this is another book than the generated one."""
        return self.has_orders or bool(self._consumed[True] or self._consumed[False])

    def refresh(self, liquidity: Liquidity) -> bool:
        """Take the generated book in force; True when its touch changed, which brings consumed size back."""
        if liquidity is self._liquidity:
            return False
        is_new = liquidity.version != self._liquidity.version
        self._liquidity = liquidity
        if is_new:
            for consumed in self._consumed.values():
                consumed.clear()
        for is_bid, orders in self._resting.items():
            if orders:
                available = {level.px: level.sz for level in self._background(is_bid)}
                for order in orders:
                    order.ahead_sz = min(order.ahead_sz, available.get(order.px, ZERO))
        return is_new

    def add(self, order: Order) -> None:
        """Let an order rest behind everything at its price."""
        order.ahead_sz = next((lv.sz for lv in self._background(order.is_buy) if lv.px == order.px), ZERO)
        order.is_resting = True
        insort(self._resting[order.is_buy], order, key=_rank)

    def remove(self, order: Order) -> None:
        """Take an order out; it must rest here."""
        self._resting[order.is_buy].remove(order)

    def orders(self) -> list[Order]:
        """Return the resting orders, bids before asks, best first."""
        return self._resting[True] + self._resting[False]

    def consume(self, px: Decimal, sz: Decimal, *, is_bid: bool) -> None:
        """Note that generated size was traded away."""
        side = self._consumed[is_bid]
        side[px] = side.get(px, ZERO) + sz
        self._erode(px, sz, is_bid=is_bid)

    def hit_by(self, trade: PublicTrade) -> list[Order]:
        """Return the resting orders that a trade between others would have met, in the order of meeting them."""
        orders = self._resting[not trade.is_buy]
        return [o for o in orders if (o.px <= trade.px if trade.is_buy else o.px >= trade.px)]

    def erode(self, order: Order, sz: Decimal) -> Decimal:
        """Let others trade `sz` at an order's price: what is older goes first; returns what is left for the order.

        The generated book shows by itself what others took, so nothing is consumed here.
        """
        older = min(order.ahead_sz, sz)
        self._erode(order.px, older, is_bid=order.is_buy)
        return sz - older

    def _erode(self, px: Decimal, sz: Decimal, *, is_bid: bool) -> None:
        for order in self._resting[is_bid]:
            if order.px == px:
                order.ahead_sz = max(ZERO, order.ahead_sz - sz)

    def pull_touch(self, *, is_bid: bool) -> None:
        """Withdraw the best generated level of a side until the generated touch changes."""
        best = next(iter(self._background(is_bid)), None)
        if best is not None:
            self.consume(best.px, best.sz, is_bid=is_bid)

    def _background(self, is_bid: bool) -> Iterator[Level]:
        consumed = self._consumed[is_bid]
        generated = self._liquidity.bids if is_bid else self._liquidity.asks
        if not consumed:
            yield from generated
            return
        for level in generated:
            left = level.sz - consumed.get(level.px, ZERO)
            if left > ZERO:
                yield Level(level.px, left, level.n)

    def best(self, *, is_bid: bool) -> Decimal | None:
        """Return the best price of a side; None when it is empty."""
        return next((offer.px for offer in self.offers(is_bid=is_bid)), None)

    def offers(self, *, is_bid: bool) -> Iterator[Offer]:
        """Yield what a taker meets on a side, best price first, at a price oldest first.

        The book may change while this runs at prices that were already yielded.
        """
        generated = {level.px: level.sz for level in self._background(is_bid)}
        resting = {px: tuple(group) for px, group in groupby(tuple(self._resting[is_bid]), key=lambda o: o.px)}
        for px in sorted(generated.keys() | resting.keys(), reverse=is_bid):
            yield from _queue(px, generated.get(px, ZERO), resting.get(px, ()))

    def crossed(self) -> tuple[Order, Offer] | None:
        """Return a client's best resting order and the generated offer that reaches it; None without a cross.

        The generated side arrives later than the order, so it is the one that takes.
        """
        for is_bid, orders in self._resting.items():
            other = next(iter(self._background(not is_bid)), None)
            if orders and other is not None:
                order = orders[0]
                if other.px <= order.px if is_bid else other.px >= order.px:
                    return order, Offer(other.px, other.sz, None)
        return None

    def merged(self) -> Liquidity:
        """Return what everybody sees, at most 20 levels a side."""
        return Liquidity(self._merged(is_bid=True), self._merged(is_bid=False), self._liquidity.version)

    def _merged(self, *, is_bid: bool) -> tuple[Level, ...]:
        levels: dict[Decimal, Level] = {level.px: level for level in self._background(is_bid)}
        for order in self._resting[is_bid]:
            was = levels.get(order.px, Level(order.px, ZERO, 0))
            levels[order.px] = Level(order.px, was.sz + order.sz, was.n + 1)
        return tuple(levels[px] for px in sorted(levels, reverse=is_bid)[:LEVEL_COUNT])


def _queue(px: Decimal, generated_sz: Decimal, orders: tuple[Order, ...]) -> list[Offer]:
    # A list: trading changes `ahead_sz` of the orders that come later at this price.
    offers: list[Offer] = []
    passed = ZERO
    for order in orders:
        older = min(order.ahead_sz, generated_sz) - passed
        if older > ZERO:
            passed += older
            offers.append(Offer(px, older, None))
        offers.append(Offer(px, order.sz, order))
    if generated_sz > passed:
        offers.append(Offer(px, generated_sz - passed, None))
    return offers
