"""Placing, modifying and cancelling: what trading actions do in their block, and what they answer.

Rule 1: an answer has one status for each order or cancel, in their order; only what is wrong with a whole batch is
    told once (`status: err`, or a single status).
Rule 2: a refused order of a good batch has an oid and a history like any other; a refused batch leaves no trace.
Rule 3: what is paid for priority (HYPE from staking) is outside of the dexes and not kept.
Rule 4: a modify cancels first; the new order has a new oid and the builder of the old one. Without `a` it also has its
    side and may only rest (ALO, or GTC as ALO): what is wrong with it by itself leaves the old one where it is, while
    one that crosses costs the old one too (seen on the wire).

Source: hyperliquid-protocol.md, sections 3.1, 3.2, 3.5 and 10.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from streaming.core.rounding import wire_number
from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.checks import Checks, Rejection, malformed
from streaming.sim.exchange.orders.matching import Matcher, Moment, reaches
from streaming.sim.exchange.orders.orders import FILLED, Order, OrderStore, Tif
from streaming.sim.exchange.requests import actions, refusals
from streaming.sim.exchange.requests.refusals import Refusal, Status
from streaming.sim.scenario.rules import VenueRules

BUILDER_FEE_TENTHS_MAX = 100
_TENTH = Decimal("0.1")
_TENTH_BP = Decimal("1e-5")


def ok(kind: str, statuses: Sequence[Json]) -> Json:
    """Return the body of an answer with a status for each item."""
    return {"status": "ok", "response": {"type": kind, "data": {"statuses": list(statuses)}}}


TradingAction = actions.Order | actions.Modify | actions.BatchModify | actions.Cancel | actions.CancelByCloid

DONE: Json = {"status": "ok", "response": {"type": "default"}}
"""The answer to an action without items."""


class _Replacement(NamedTuple):
    """A modify that may go ahead."""

    old: Order | None
    """To be cancelled; None when it is gone already."""
    new: Order


class Placing:
    """Executes trading actions."""

    def __init__(
        self,
        *,
        coins: dict[int, str],
        rules: VenueRules,
        accounts: Accounts,
        orders: OrderStore,
        matcher: Matcher,
        checks: Checks,
        hooks: ExchangeHooks,
        ids: Ids,
    ) -> None:
        self._coins = coins
        self._rules = rules
        self._accounts = accounts
        self._orders = orders
        self._matcher = matcher
        self._checks = checks
        self._hooks = hooks
        self._ids = ids

    def apply(self, user: str, action: TradingAction, moment: Moment) -> Json | Refusal:
        """Execute an action and return its answer, or the refusal of the whole of it."""
        match action:
            case actions.Order():
                return self.place(user, action, moment)
            case actions.Modify():
                return self.modify(user, action, moment)
            case actions.BatchModify():
                return self.modify_batch(user, action, moment)
            case actions.Cancel() | actions.CancelByCloid():
                return self.cancel(user, action, moment)

    # --- orders

    def place(self, user: str, action: actions.Order, moment: Moment) -> Json | Refusal:
        """Execute an `order` action."""
        refused = self._terms_refusal(user, action)
        if refused is not None:
            return refused
        text = self._batch_refusal(user, "order", action.orders, moment.now_ms)
        if text is not None:
            return ok("order", [{"error": text}])
        return ok("order", [self._place_one(user, item, action.builder, moment) for item in action.orders])

    def _terms_refusal(self, user: str, action: actions.Order) -> Refusal | None:
        if not action.orders:
            return Refusal(refusals.EMPTY_BATCH)
        if isinstance(action.grouping, actions.Priority):
            if not _may_have_priority(action.orders):
                return Refusal(refusals.PRIORITY_MIXED)
        elif action.grouping != "na":
            return Refusal(refusals.GROUPING_UNSUPPORTED)
        builder = action.builder
        if builder is None:
            return None
        approved = self._accounts.of(user).builder_fee_max.get(builder.address)
        is_fine = approved is not None and builder.fee_tenths_bp * _TENTH_BP <= approved
        if not is_fine or builder.fee_tenths_bp > BUILDER_FEE_TENTHS_MAX:
            return Refusal(refusals.BUILDER_NOT_APPROVED)
        return None

    def _batch_refusal(self, user: str, kind: str, items: Sequence[actions.OrderItem], now_ms: int) -> str | None:
        """Return what is wrong with a batch as far as it follows from the payload alone."""
        text = self._hooks.refuse_batch(user, kind, now_ms)
        if text is not None:
            return text
        for item in items:
            coin = self._coins.get(item.asset)
            if coin is None:
                return refusals.of_asset(refusals.ASSET_UNKNOWN, item.asset)
            text = malformed(item)
            if text is None and self._checks.is_outside_band(coin, Decimal(item.px), now_ms):
                text = refusals.far_from_reference(self._rules.price_band_ratio)
            if text is not None:
                return refusals.of_asset(text, item.asset)
        return None

    def _place_one(
        self, user: str, item: actions.OrderItem, builder: actions.Builder | None, moment: Moment
    ) -> dict[str, Json]:
        if item.order_type.limit is None:
            return {"error": refusals.of_asset(refusals.TRIGGERS_UNSUPPORTED, item.asset)}
        order = self._order(user, item, item.order_type.limit.tif, moment.now_ms)
        if builder is not None:
            order.builder, order.builder_fee_bps = builder.address, builder.fee_tenths_bp * _TENTH
        return self._place(order, moment)

    def _place(self, order: Order, moment: Moment) -> dict[str, Json]:
        rejection = self.admit(order, moment)
        if rejection is not None:
            has_asset = " asset=" in rejection.text
            return {"error": rejection.text if has_asset else refusals.of_asset(rejection.text, order.asset)}
        return order.status_body

    def _order(self, user: str, item: actions.OrderItem, tif: Tif, now_ms: int) -> Order:
        return Order(
            oid=self._ids.oid(),
            user=user,
            coin=self._coins[item.asset],
            asset=item.asset,
            is_buy=item.is_buy,
            px=Decimal(item.px),
            sz=Decimal(item.sz),
            orig_sz=Decimal(item.sz),
            tif=tif,
            is_reduce_only=item.is_reduce_only,
            cloid=item.cloid.lower() if item.cloid else None,
            placed_ms=now_ms,
        )

    def admit(self, order: Order, moment: Moment) -> Rejection | None:
        """Test an order and let it trade and rest; a rejected one is history with its status."""
        rejection = self._checks.rejection(order, moment.now_ms)
        if rejection is None and order.tif == "Alo":
            rejection = self._post_only_rejection(order, moment.now_ms)
        if rejection is not None:
            order.status = rejection.status
            self._orders.add(order)
            self._matcher.end(order, rejection.status, moment.now_ms)
            return rejection
        self._orders.add(order)
        if order.is_reduce_only:
            reducible = self._matcher.reducible(order.user, order.coin, is_buy=order.is_buy)
            order.sz = min(order.sz, reducible)
        return self._execute(order, moment)

    def _post_only_rejection(self, order: Order, now_ms: int) -> Rejection | None:
        book = self._matcher.book(order.coin, now_ms)
        touch = book.best(is_bid=not order.is_buy)
        if touch is None or not reaches(order, touch):
            return None
        bid, ask = (wire_number(book.best(is_bid=is_bid) or ZERO) for is_bid in (True, False))
        return Rejection.of(refusals.post_only_crosses(bid, ask))

    def _execute(self, order: Order, moment: Moment) -> Rejection | None:
        if order.tif != "Alo":
            ratio = self._hooks.partial_ratio(order.user, order.coin, moment.now_ms) if order.is_at_once else None
            self._matcher.take(order, moment, ratio=ratio)
        if not order.sz:
            self._matcher.end(order, FILLED, moment.now_ms)
        elif not order.is_at_once:
            self._matcher.rest(order, moment.now_ms)
        elif order.filled_sz:
            self._matcher.end(order, Status.CANCELED, moment.now_ms)
        else:
            return self._unmatched(order, moment.now_ms)
        return None

    def _unmatched(self, order: Order, now_ms: int) -> Rejection:
        is_empty = self._matcher.book(order.coin, now_ms).best(is_bid=not order.is_buy) is None
        is_market = order.tif == "FrontendMarket"
        rejection = Rejection.of(refusals.NO_LIQUIDITY if is_market and is_empty else refusals.IOC_NO_MATCH)
        self._matcher.end(order, rejection.status, now_ms)
        return rejection

    # --- modifies

    def modify(self, user: str, action: actions.Modify, moment: Moment) -> Json | Refusal:
        """Execute a `modify` action; it has no list of statuses, so its error is the whole answer."""
        text = self._batch_refusal(user, "modify", (action.order,), moment.now_ms)
        if text is not None:
            return Refusal(text)
        item = actions.ModifyItem(oid=action.oid, order=action.order)
        replacement = self._replacement(user, item, moment, is_always=action.is_always)
        if isinstance(replacement, str):
            return Refusal(replacement)
        text = self._replace(replacement, moment).get("error")
        return DONE if text is None else Refusal(refusals.modify_placing_failed(text))

    def modify_batch(self, user: str, action: actions.BatchModify, moment: Moment) -> Json | Refusal:
        """Execute a `batchModify` action; it answers like `order`."""
        if not action.modifies:
            return Refusal(refusals.EMPTY_BATCH)
        items = [item.order for item in action.modifies]
        text = self._batch_refusal(user, "batchModify", items, moment.now_ms)
        if text is not None:
            return ok("order", [{"error": text}])
        statuses: list[Json] = []
        for item in action.modifies:
            replacement = self._replacement(user, item, moment, is_always=action.is_always)
            if isinstance(replacement, str):
                statuses.append({"error": replacement})
            else:
                statuses.append(self._replace(replacement, moment))
        return ok("order", statuses)

    def _replacement(
        self, user: str, item: actions.ModifyItem, moment: Moment, *, is_always: bool
    ) -> _Replacement | str:
        """Return what a modify would do, or why it is refused while nothing has changed."""
        limit = item.order.order_type.limit
        if limit is None:
            return refusals.of_asset(refusals.TRIGGERS_UNSUPPORTED, item.order.asset)
        old = self._orders.find(user, item.oid)
        live = old if old is not None and old.is_live else None
        if is_always:
            return _Replacement(live, self._order(user, item.order, limit.tif, moment.now_ms))
        if live is None:
            return refusals.NOT_MODIFIABLE
        new = self._order(user, item.order, "Alo", moment.now_ms)
        is_like_old = (new.asset, new.is_buy) == (live.asset, live.is_buy) and limit.tif in {"Alo", "Gtc"}
        is_fine = is_like_old and self._checks.is_valid(new, moment.now_ms)
        return _Replacement(live, new) if is_fine else refusals.MODIFY_INVALID

    def _replace(self, replacement: _Replacement, moment: Moment) -> dict[str, Json]:
        old, new = replacement
        if old is not None:
            self._matcher.cancel(old, Status.CANCELED, moment.now_ms)
            new.builder, new.builder_fee_bps = old.builder, old.builder_fee_bps
        return self._place(new, moment)

    # --- cancels

    def cancel(self, user: str, action: actions.Cancel | actions.CancelByCloid, moment: Moment) -> Json | Refusal:
        """Execute a `cancel` or `cancelByCloid` action."""
        keys: list[tuple[int, int | str]]
        if isinstance(action, actions.Cancel):
            keys = [(item.asset, item.oid) for item in action.cancels]
        else:
            keys = [(item.asset, item.cloid) for item in action.cancels]
        if not keys:
            return Refusal(refusals.EMPTY_BATCH)
        return ok("cancel", [self._cancel_one(user, asset, key, moment.now_ms) for asset, key in keys])

    def _cancel_one(self, user: str, asset: int, key: int | str, now_ms: int) -> Json:
        order = self._orders.find(user, key)
        if order is None or not order.is_live or order.asset != asset:
            return {"error": refusals.of_asset(refusals.UNKNOWN_ORDER, asset)}
        self._matcher.cancel(order, Status.CANCELED, now_ms)
        return "success"


def _may_have_priority(items: Sequence[actions.OrderItem]) -> bool:
    kinds = {item.order_type.limit.tif if item.order_type.limit else None for item in items}
    return kinds == {"Ioc"} or (kinds == {"Alo"} and not any(item.is_reduce_only for item in items))
