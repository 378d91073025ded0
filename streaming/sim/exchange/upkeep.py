"""What happens in a block without anybody's request: funding, planned cancels, liquidations, markets that close.

Rule 1: a market that is halted or delisted has no orders (`delistedCanceled`) and no positions (settled at the mark).
Rule 2: a liquidation first cancels its user's orders on the markets concerned, then meets the book like any order.
Rule 3: at the open interest cap, orders that open and are priced beyond the oracle are cancelled.
Rule 4: a planned cancel ends every open order of its user on every dex, at most ten times on a UTC day.

Source: hyperliquid-protocol.md, sections 3.2, 9 and 10.
"""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal

from streaming.core.rounding import px_tick
from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.executions import LiquidationMark
from streaming.sim.exchange.accounts.funding import hours_due, settle_hour
from streaming.sim.exchange.accounts.liquidation import Liquidation, Liquidator
from streaming.sim.exchange.accounts.settlement import Settlements
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.checks import is_beyond
from streaming.sim.exchange.orders.matching import Matcher, Moment, reaches
from streaming.sim.exchange.orders.orders import FILLED, Order, OrderStore, Tif
from streaming.sim.exchange.outbox import Outbox
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.refusals import Refusal, Status
from streaming.sim.exchange.times import DAY_MS
from streaming.sim.scenario.rules import VenueRules

SCHEDULE_AHEAD_MS = 5_000
SCHEDULE_COUNT_MAX = 10
SLIPPAGE_RATIO = Decimal("0.1")
"""How far from the mark a market order of the venue itself may trade."""


class ScheduledCancels:
    """Planned cancels (`scheduleCancel`): a user's dead man's switch."""

    def __init__(self, rules: VenueRules, accounts: Accounts) -> None:
        self._rules = rules
        self._accounts = accounts
        self._times: dict[str, int] = {}
        self._triggered: dict[str, tuple[int, int]] = {}
        """User → UTC day of the newest trigger, and how many that day had."""

    def plan(self, user: str, time_ms: int | None, now_ms: int) -> Refusal | None:
        """Plan, or without a time drop the plan; returns why not, or None."""
        if time_ms is None:
            self._times.pop(user, None)
            return None
        traded, required = self._accounts.of(user).volumes.total_usd, self._rules.schedule_cancel_volume_usd
        if traded < required:
            return Refusal(refusals.schedule_cancel_volume(required, traded))
        if time_ms < now_ms + SCHEDULE_AHEAD_MS:
            return Refusal(refusals.SCHEDULE_TOO_SOON)
        if self._triggered_count(user, now_ms) >= SCHEDULE_COUNT_MAX:
            return Refusal(refusals.too_many_schedules(SCHEDULE_COUNT_MAX))
        self._times[user] = time_ms
        return None

    def take(self, now_ms: int) -> list[str]:
        """Return whose plan is due; each is due once."""
        due = sorted((time_ms, user) for user, time_ms in self._times.items() if time_ms <= now_ms)
        for _, user in due:
            del self._times[user]
            self._triggered[user] = now_ms // DAY_MS, self._triggered_count(user, now_ms) + 1
        return [user for _, user in due]

    def _triggered_count(self, user: str, now_ms: int) -> int:
        day, count = self._triggered.get(user, (0, 0))
        return count if day == now_ms // DAY_MS else 0

    def next_due_ms(self) -> int | None:
        """Return when the next plan is due."""
        return min(self._times.values(), default=None)


class Upkeep:
    """The venue's own acts."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        orders: OrderStore,
        matcher: Matcher,
        outbox: Outbox,
        ids: Ids,
        scheduled: ScheduledCancels,
    ) -> None:
        self._accounts = accounts
        self._orders = orders
        self._matcher = matcher
        self._outbox = outbox
        self._ids = ids
        self._scheduled = scheduled
        self._asset_ids = accounts.universe.asset_ids
        self.settlements = Settlements(accounts, ids)
        self.liquidator = Liquidator(accounts, self.settlements)

    @property
    def is_busy(self) -> bool:
        """Whether a block without requests may change something."""
        return self._accounts.has_holders or any(book.has_orders for book in self._matcher.books.values())

    def before_requests(self, after_ms: int, now_ms: int) -> None:
        """Let the generated markets come to the clients' orders."""
        view = self._accounts.view
        for coin, book in self._matcher.books.items():
            if not book.has_orders:
                continue
            # Settlement, deleveraging and faults change positions without a fill of an order.
            for user in sorted({order.user for order in book.orders() if order.is_reduce_only}):
                self._matcher.shrink(user, coin, now_ms)
            listed = view.listed(coin, now_ms)
            if listed.is_at_oi_cap:
                self._cancel_aggressive(book.orders(), view.oracle_px(coin, now_ms), now_ms)
            if listed.is_open:
                for trade in view.trades(coin, after_ms, now_ms):
                    self._matcher.public_trade(coin, trade, now_ms)
                self._matcher.sweep(coin, now_ms)

    def _cancel_aggressive(self, orders: Iterable[Order], oracle_px: Decimal, now_ms: int) -> None:
        """At the open interest cap nobody may rest beyond the oracle with an order that opens."""
        for order in orders:
            reducible = self._matcher.reducible(order.user, order.coin, is_buy=order.is_buy)
            if order.sz > reducible and is_beyond(order, oracle_px):
                self._matcher.cancel(order, Status.OI_CAP_CANCELED, now_ms)

    def skip(self, after_ms: int, until_ms: int) -> None:
        """Pass over a pause; the newest funding in it is paid."""
        for hour_ms in hours_due(after_ms, until_ms)[-1:]:
            self._outbox.extend(settle_hour(self._accounts, hour_ms, until_ms))

    def after_requests(self, after_ms: int, now_ms: int) -> None:
        """Do what is due at the end of a block."""
        for hour_ms in hours_due(after_ms, now_ms):
            self._outbox.extend(settle_hour(self._accounts, hour_ms, now_ms))
        for user in self._scheduled.take(now_ms):
            self._cancel(self._orders.live(user), Status.SCHEDULED_CANCEL, now_ms)
        for coin in self._closed_coins(now_ms):
            self.close_market(coin, now_ms)
        for liquidation in self.liquidator.due(now_ms):
            self._liquidate(liquidation, now_ms)

    def _cancel(self, orders: Iterable[Order], status: str, now_ms: int) -> None:
        for order in orders:
            self._matcher.cancel(order, status, now_ms)

    def _closed_coins(self, now_ms: int) -> list[str]:
        used = {coin for coin, book in self._matcher.books.items() if book.has_orders}
        for account in self._accounts.holders():
            used.update(coin for house in account.houses.values() for coin in house.positions)
        return sorted(coin for coin in used if not self._accounts.view.listed(coin, now_ms).is_open)

    def close_market(self, coin: str, now_ms: int) -> None:
        """Cancel every order of a market and settle every position at the mark."""
        book = self._matcher.books.get(coin)
        if book is not None:
            self._cancel(book.orders(), Status.DELISTED_CANCELED, now_ms)
        self._outbox.extend(self.settlements.settle_market(coin, now_ms))

    def _liquidate(self, liquidation: Liquidation, now_ms: int) -> None:
        coins = {close.coin for close in liquidation.closes}
        user = liquidation.user
        mine = self._orders.live(user, liquidation.dex)
        concerned = [order for order in mine if liquidation.is_cross or order.coin in coins]
        self._cancel(concerned, Status.LIQUIDATED_CANCELED, now_ms)
        if liquidation.method == "backstop":
            self._outbox.extend(self.liquidator.take_over(liquidation, now_ms))
            return
        traded = [
            self.market_order(
                user, close.coin, close.sz, is_buy=close.is_buy, now_ms=now_ms, mark=liquidation.mark_of(close)
            )
            for close in liquidation.closes
        ]
        if any(traded):
            self._outbox.extend(self.liquidator.record(liquidation, now_ms))

    def market_order(
        self, user: str, coin: str, sz: Decimal, *, is_buy: bool, now_ms: int, mark: LiquidationMark | None = None
    ) -> Decimal:
        """Trade for a user without his doing, up to 10 % beyond the mark; returns what was traded.

        With a liquidation's mark it can only reduce; when nothing can trade there is no order.
        """
        market = self._accounts.market(coin, now_ms)
        px = self._accounts.view.mark_px(coin, now_ms) * (1 + SLIPPAGE_RATIO if is_buy else 1 - SLIPPAGE_RATIO)
        px = px.quantize(px_tick(px, market.sz_decimals), rounding=ROUND_DOWN)
        tif: Tif = "LiquidationMarket" if mark else "Ioc"
        order = Order(
            oid=self._ids.oid(),
            user=user,
            coin=coin,
            asset=self._asset_ids[coin],
            is_buy=is_buy,
            px=px,
            sz=sz,
            orig_sz=sz,
            tif=tif,
            is_reduce_only=mark is not None,
            cloid=None,
            placed_ms=now_ms,
        )
        touch = self._matcher.book(coin, now_ms).best(is_bid=not is_buy)
        if touch is None or not reaches(order, touch) or not self._accounts.view.listed(coin, now_ms).is_open:
            return ZERO
        self._orders.add(order)
        self._matcher.take(order, Moment(now_ms, self._ids.tx_hash(now_ms, order.oid), mark))
        self._matcher.end(order, Status.CANCELED if order.sz else FILLED, now_ms)
        return order.filled_sz
