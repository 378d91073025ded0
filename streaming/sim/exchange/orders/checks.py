"""Whether an order may be placed: every test of one order but the one of the matching itself.

Rule 1: what follows from the payload alone is told once for the whole batch (`batch_refusal`).
Rule 2: the order of the tests is: cloid, market open, post-only window, tick and lot, minimum and maximum value,
    reduce-only, number of open orders, open interest cap, distance from the oracle, margin. The venue does not publish
    its order; observed is that the minimum value comes before margin, and reduce-only regardless of the price.

Source: hyperliquid-protocol.md, sections 3.5, 5, 7 and 10.
"""

from dataclasses import dataclass
from decimal import Decimal

from streaming.core.rounding import is_legal_px
from streaming.core.units import ONE, ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.orders.orders import Order, OrderStore
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.actions import OrderItem
from streaming.sim.exchange.view import Listed, MarketView
from streaming.sim.scenario.rules import VenueRules

NTL_MIN_USD = Decimal(10)
MARKET_NTL_MAX_USD = ((25, 30_000_000), (20, 5_000_000), (10, 2_000_000), (0, 500_000))
"""Maximum leverage of a market, at least → the most one market order may be worth."""
LIMIT_NTL_FACTOR = 10
"""A limit order may be worth this many times as much."""
ORACLE_DISTANCE_RATIO = Decimal("0.5")
"""An order further from the oracle is refused; the real threshold is not published, it lies inside the price band."""
OPEN_ORDER_COUNT_MAX = 5_000
ORDER_VOLUME_USD = Decimal(5_000_000)
"""One more open order for each of this volume."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one order is refused."""

    text: str
    status: str

    @classmethod
    def of(cls, text: str) -> "Rejection":
        """Return the rejection with the status that belongs to the text."""
        return cls(text, refusals.status_of(text))


@dataclass(frozen=True, slots=True)
class Case:
    """An order and what it is tested against."""

    order: Order
    listed: Listed
    szi: Decimal
    now_ms: int

    @property
    def reducible(self) -> Decimal:
        """Size the order could close."""
        return max(ZERO, -self.szi if self.order.is_buy else self.szi)


def malformed(item: OrderItem) -> str | None:
    """Return what is wrong with the texts of an order, whatever the market."""
    if Decimal(item.px) <= ZERO:
        return refusals.INVALID_PX
    sz = Decimal(item.sz)
    if sz < ZERO:
        return refusals.INVALID_SZ
    return None if sz else refusals.ZERO_SZ


def is_beyond(order: Order, oracle_px: Decimal) -> bool:
    """Tell whether an order is priced more aggressively than the oracle."""
    return order.px > oracle_px if order.is_buy else order.px < oracle_px


def market_ntl_max(leverage_max: int) -> int:
    """Return the most one market order may be worth in a market with this maximum leverage."""
    return next(usd for least, usd in MARKET_NTL_MAX_USD if leverage_max >= least)


class Checks:
    """The tests of one venue."""

    def __init__(
        self, view: MarketView, rules: VenueRules, accounts: Accounts, orders: OrderStore, hooks: ExchangeHooks
    ) -> None:
        self._view = view
        self._rules = rules
        self._accounts = accounts
        self._orders = orders
        self._hooks = hooks
        self._tests = (
            self._hook,
            self._cloid,
            self._open_market,
            self._grid,
            self._minimum,
            self._maximum,
            self._reduce_only,
            self._open_order_count,
            self._oi_cap,
            self._oracle_distance,
            self._margin,
        )

    def is_outside_band(self, coin: str, px: Decimal, now_ms: int) -> bool:
        """Tell whether a price is too far from the reference price, taken to be the mark."""
        reference = self._view.mark_px(coin, now_ms)
        return abs(px - reference) > reference * self._rules.price_band_ratio

    def rejection(self, order: Order, now_ms: int) -> Rejection | None:
        """Return why an order can not be placed, or None."""
        case = self._case(order, now_ms)
        for test in self._tests:
            found = test(case)
            if found is not None:
                return found if isinstance(found, Rejection) else Rejection.of(found)
        return None

    def _case(self, order: Order, now_ms: int) -> Case:
        szi = self._accounts.of(order.user).szi(order.coin)
        return Case(order, self._view.listed(order.coin, now_ms), szi, now_ms)

    def is_valid(self, order: Order, now_ms: int) -> bool:
        """Tell whether nothing is wrong with an order by itself, whatever book and margin are like."""
        case = self._case(order, now_ms)
        return not any(test(case) for test in (self._grid, self._minimum, self._reduce_only))

    def _hook(self, case: Case) -> str | None:
        return self._hooks.refuse(case.order.user, case.order.coin, case.now_ms)

    def _cloid(self, case: Case) -> str | None:
        order = case.order
        earlier = self._orders.find(order.user, order.cloid) if order.cloid else None
        if earlier is None:
            return None
        is_accepted = self._hooks.is_duplicate_cloid_accepted(order.user, case.now_ms)
        if is_accepted is None:
            is_accepted = not earlier.is_live
        return None if is_accepted else refusals.CLOID_USED

    def _open_market(self, case: Case) -> str | None:
        if not case.listed.is_open:
            return refusals.HALTED
        is_refused = self._hooks.is_post_only(case.now_ms) and case.order.tif != "Alo"
        return refusals.POST_ONLY_WINDOW if is_refused else None

    def _grid(self, case: Case) -> str | None:
        decimals = case.listed.market.sz_decimals
        if not is_legal_px(case.order.px, decimals):
            return refusals.TICK
        return refusals.INVALID_SZ if case.order.orig_sz % ONE.scaleb(-decimals) else None

    def _minimum(self, case: Case) -> str | None:
        order = case.order
        if order.orig_sz * order.px >= NTL_MIN_USD:
            return None
        is_whole = order.orig_sz == case.reducible and (order.is_at_once or order.is_reduce_only)
        is_shrunk = order.is_reduce_only and order.orig_sz > case.reducible
        return None if is_whole or is_shrunk else refusals.MIN_NOTIONAL

    def _maximum(self, case: Case) -> str | None:
        order = case.order
        factor = 1 if order.tif == "FrontendMarket" else LIMIT_NTL_FACTOR
        allowed = factor * market_ntl_max(case.listed.market.leverage_max)
        sz = min(order.orig_sz, case.reducible) if order.is_reduce_only else order.orig_sz
        return refusals.MAX_NOTIONAL if sz * order.px > allowed else None

    def _reduce_only(self, case: Case) -> str | None:
        return refusals.REDUCE_ONLY if case.order.is_reduce_only and not case.reducible else None

    def _open_order_count(self, case: Case) -> str | None:
        order = case.order
        limits = self._rules.limits
        if order.is_at_once or not limits.is_enforced:
            return None
        count = self._orders.live_count(order.user)
        if order.is_reduce_only:
            return refusals.TOO_MANY_OPEN_ORDERS if count >= limits.open_order_count_max else None
        earned = int(self._accounts.of(order.user).volumes.total_usd // ORDER_VOLUME_USD)
        allowed = min(limits.open_order_count_max + earned, max(OPEN_ORDER_COUNT_MAX, limits.open_order_count_max))
        return refusals.TOO_MANY_OPEN_ORDERS if count >= allowed else None

    def _oi_cap(self, case: Case) -> str | Rejection | None:
        order = case.order
        if not case.listed.is_at_oi_cap or order.is_reduce_only:
            return None
        if order.orig_sz > case.reducible:
            kind = "Flip" if case.reducible else "Increase"
            return Rejection(refusals.OI_CAP, f"position{kind}AtOpenInterestCapRejected")
        oracle_px = self._view.oracle_px(order.coin, case.now_ms)
        return refusals.OI_CAP_AGGRESSIVE if is_beyond(order, oracle_px) else None

    def _oracle_distance(self, case: Case) -> str | None:
        oracle_px = self._view.oracle_px(case.order.coin, case.now_ms)
        is_far = abs(case.order.px - oracle_px) > oracle_px * ORACLE_DISTANCE_RATIO
        return refusals.FAR_FROM_ORACLE if is_far else None

    def _margin(self, case: Case) -> str | None:
        order = case.order
        if order.is_reduce_only:
            return None
        return self._accounts.can_place(order.user, order, self._orders.live(order.user, order.dex), case.now_ms)
