"""The exchange of the simulated venue, without I/O: requests and time go in, events come out.

Rule 1: time is data. `receive` and `advance` are told what time it is; it never goes back.
Rule 2: what is wrong with a request as it arrives is refused at once and costs nothing. What was accepted is executed
    in its block, where nonce, expiry and budget are tested again and used up, and is answered exactly once.
Rule 3: blocks stand on a grid of 68 ms. A block that nobody's request, order or position concerns is passed over.
Rule 4: after a pause of more than ten seconds the past is not replayed: requests that waited run in the first block.
    Only the newest funding that was slept through is paid.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.clearing import Setting
from streaming.sim.exchange.accounts.leverage import change_isolated_margin, set_leverage, top_up_isolated_margin
from streaming.sim.exchange.events import ExchangeEvent, Json
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.orders.checks import Checks
from streaming.sim.exchange.orders.matching import Matcher, Moment
from streaming.sim.exchange.orders.orders import OrderStore
from streaming.sim.exchange.orders.placing import DONE, Placing, TradingAction
from streaming.sim.exchange.outbox import Outbox
from streaming.sim.exchange.requests import actions, refusals
from streaming.sim.exchange.requests.account_actions import AccountAction, AgentSendAsset, SendAsset, UsdSend
from streaming.sim.exchange.requests.actions import SignedRequest, Unreadable, read_request
from streaming.sim.exchange.requests.auth import Authority, Authorized
from streaming.sim.exchange.requests.block_queue import AnswerQueue, Kind, Pending, RequestQueue
from streaming.sim.exchange.requests.budget import Budget
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.exchange.requests.user_actions import UserActions
from streaming.sim.exchange.times import BLOCK_MS, block_at
from streaming.sim.exchange.upkeep import ScheduledCancels, Upkeep
from streaming.sim.exchange.view import Liquidity, MarketView
from streaming.sim.scenario.rules import VenueRules
from streaming.sim.scenario.universe import Universe

WEIGHT_MAX = 200
PAUSE_MS = 10_000
PRIORITY_MAX = 80_000
"""Priority beyond 8 bps buys no time."""
_MS_PER_PRIORITY = 45 / 10_000
"""A basis point of priority fee (N = 10,000) buys about 45 ms."""

_OtherAction = actions.MarginAction | AccountAction | actions.ScheduleCancel | actions.Noop | actions.Unsupported


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that will not be executed: the HTTP answer to it."""

    status: int
    body: str | Json


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that waits for its block; `events.Answered` with this ticket is its answer."""

    ticket: int


class Exchange:
    """One venue's accounts, orders and books.

    Args:
        universe: Dexes and markets.
        rules: Delays, balances, limits.
        view: The generated side.
        seed: Makes ids; the same seed, inputs and times give the same events.
        begin_ms: First instant, ms UTC; ids of a later start are others.
        hooks: Faults; none by default.
    """

    def __init__(
        self,
        universe: Universe,
        rules: VenueRules,
        view: MarketView,
        *,
        seed: int,
        begin_ms: int,
        hooks: ExchangeHooks | None = None,
    ) -> None:
        self.rules = rules
        self.begin_ms = begin_ms
        self.view = view
        self.hooks = hooks or ExchangeHooks()
        self.accounts = Accounts(universe, rules, view)
        self.authority = Authority(rules)
        self.budget = Budget(rules.limits, lambda user: self.accounts.look(user).volumes.weighted_usd)
        self.orders = OrderStore()
        self._ids = Ids(seed, begin_ms)
        self._outbox = Outbox()
        self._matcher = Matcher(view, self.accounts, self.orders, self._outbox, self._ids)
        self._scheduled = ScheduledCancels(rules, self.accounts)
        self.upkeep = Upkeep(
            accounts=self.accounts,
            orders=self.orders,
            matcher=self._matcher,
            outbox=self._outbox,
            ids=self._ids,
            scheduled=self._scheduled,
        )
        self._coins = {asset: coin for coin, asset in universe.asset_ids.items()}
        self._placing = Placing(
            coins=self._coins,
            rules=rules,
            accounts=self.accounts,
            orders=self.orders,
            matcher=self._matcher,
            checks=Checks(view, rules, self.accounts, self.orders, self.hooks),
            hooks=self.hooks,
            ids=self._ids,
        )
        self.user_actions = UserActions(
            authority=self.authority, budget=self.budget, accounts=self.accounts, orders=self.orders
        )
        self._requests = RequestQueue()
        self._answers = AnswerQueue()
        self._tickets = 0
        self._at_ms: int | None = None

    # --- requests

    def receive(self, body: object, now_ms: int) -> Refused | Accepted:
        """Take in a decoded JSON body of `/exchange`, or the payload of a `post` action."""
        try:
            request = read_request(body)
        except Unreadable as unreadable:
            return Refused(422, str(unreadable))
        authorized = self._authorize(request, now_ms)
        if isinstance(authorized, Refusal):
            return Refused(200, authorized.body)
        self.accounts.of(authorized.user)
        kind = kind_of(request.action)
        delay_ms = self._delay_ms(request.action, kind)
        delay_ms += self.hooks.extra_delay_ms(authorized.user, request.type_name, now_ms)
        self._tickets += 1
        self._requests.put(Pending(self._tickets, request, authorized, now_ms, kind), delay_ms)
        return Accepted(self._tickets)

    def _authorize(self, request: SignedRequest, now_ms: int) -> Authorized | Refusal:
        authorized = self.authority.authorize(request, now_ms, self.accounts.is_known)
        if isinstance(authorized, Refusal):
            return authorized
        if not self.accounts.has_room(authorized.user):
            return Refusal(refusals.must_deposit(authorized.user))
        count = request.request_count
        if count > WEIGHT_MAX:
            return Refusal(refusals.OVERWEIGHT)
        refused = self.budget.take(authorized.user, count, is_cancel=request.is_cancel, now_ms=now_ms)
        return authorized if refused is None else refused

    def _delay_ms(self, action: actions.Action, kind: Kind) -> int:
        if kind is not Kind.TAKING:
            return self.rules.maker_delay_ms
        delay_ms = self.rules.taker_delay_ms
        if isinstance(action, actions.Order) and isinstance(action.grouping, actions.Priority):
            bought_ms = round(min(action.grouping.fee_1e8, PRIORITY_MAX) * _MS_PER_PRIORITY)
            delay_ms = max(min(delay_ms, self.rules.maker_delay_ms), delay_ms - bought_ms)
        return delay_ms

    # --- time

    def advance(self, now_ms: int) -> list[ExchangeEvent]:
        """Run every block up to `now_ms` and return what happened since the last call, in order."""
        last = now_ms // BLOCK_MS * BLOCK_MS
        at_ms = self._at_ms if self._at_ms is not None else last - BLOCK_MS
        resumed_ms = last - PAUSE_MS // BLOCK_MS * BLOCK_MS
        if at_ms < resumed_ms:
            self.upkeep.skip(at_ms, resumed_ms)
            at_ms = resumed_ms
        while at_ms < last:
            block_ms = min(last, at_ms + BLOCK_MS if self.upkeep.is_busy else self._next_block_ms(at_ms, last))
            self._run_block(max(at_ms, block_ms - BLOCK_MS), block_ms)
            at_ms = block_ms
        self._at_ms = at_ms
        for ticket, body in self._answers.take(now_ms):
            self._outbox.answered(ticket, body)
        self._outbox.extend(self.accounts.take_ledger_written())
        self._outbox.end_block()
        return self._outbox.take()

    def _next_block_ms(self, at_ms: int, last_ms: int) -> int:
        due = (self._requests.next_due_ms(), self._scheduled.next_due_ms())
        return min((max(at_ms + BLOCK_MS, block_at(ms)) for ms in due if ms is not None), default=last_ms)

    def _run_block(self, after_ms: int, block_ms: int) -> None:
        self.upkeep.before_requests(after_ms, block_ms)
        for pending in self._requests.take(block_ms):
            self._execute(pending, block_ms)
        self.upkeep.after_requests(after_ms, block_ms)
        self._outbox.end_block()

    def next_due_ms(self) -> int | None:
        """Return the earliest time at which `advance` would do something for clients; None waits for a request."""
        due = [self._requests.next_due_ms(), self._answers.next_due_ms(), self._scheduled.next_due_ms()]
        if self.upkeep.is_busy and self._at_ms is not None:
            due.append(self._at_ms + BLOCK_MS)
        return min((ms for ms in due if ms is not None), default=None)

    # --- execution

    def _execute(self, pending: Pending, block_ms: int) -> None:
        user, type_name = pending.user, pending.request.type_name
        if self.hooks.drop_before(user, type_name, block_ms):
            return
        refused = self.authority.admit(pending.request, pending.authorized, block_ms)
        if refused is None and (text := self.hooks.refuse_action(user, type_name, block_ms)) is not None:
            refused = Refusal(text)
        reply = refused or self._apply(pending, block_ms)
        if isinstance(reply, Refusal):
            self.budget.settle(user, pending.request.request_count, reply)
        body = reply.body if isinstance(reply, Refusal) else reply
        if self.hooks.drop_answer(user, type_name, block_ms):
            return
        body = self.hooks.reshape_answer(user, type_name, body, block_ms)
        delay_ms = self.rules.commit_ms + self.hooks.answer_delay_ms(user, type_name, block_ms)
        self._answers.put(pending.ticket, body, block_ms + delay_ms)

    def _apply(self, pending: Pending, block_ms: int) -> Json | Refusal:
        user, action = pending.user, pending.request.action
        if isinstance(action, TradingAction):
            return self._placing.apply(user, action, Moment(block_ms, self._ids.tx_hash(block_ms, pending.ticket)))
        return self._refusal(user, action, block_ms) or DONE

    def _refusal(self, user: str, action: _OtherAction, block_ms: int) -> Refusal | None:
        match action:
            case actions.Noop():
                return None
            case actions.ScheduleCancel():
                return self._scheduled.plan(user, action.time_ms, block_ms)
            case actions.Unsupported():
                return Refusal(refusals.unsupported(action.type_name))
            case actions.UpdateLeverage() | actions.UpdateIsolatedMargin() | actions.TopUpIsolatedOnlyMargin():
                return self._change_margin(user, action, block_ms)
            case _:
                return self._change_account(user, action, block_ms)

    def _change_account(self, user: str, action: AccountAction, block_ms: int) -> Refusal | None:
        refusal = self.user_actions.apply(user, action, block_ms)
        if refusal is None:
            users = {user}
            if isinstance(action, UsdSend | SendAsset | AgentSendAsset):
                users.add(action.destination.lower())
            for changed in sorted(users):
                for dex in self.accounts.universe.dexes:
                    self._outbox.dex_changed(changed, dex.name)
        return refusal

    def _change_margin(self, user: str, action: actions.MarginAction, block_ms: int) -> Refusal | None:
        coin = self._coins.get(action.asset)
        if coin is None:
            return Refusal(refusals.ASSET_UNKNOWN)
        self._outbox.account_changed(user, coin)
        resting = self.orders.live(user, coin.rpartition(":")[0])
        if isinstance(action, actions.UpdateLeverage):
            setting = Setting(action.leverage, action.is_cross)
            text = set_leverage(self.accounts, user, coin, setting, resting, block_ms)
        elif isinstance(action, actions.UpdateIsolatedMargin):
            usd = Decimal(action.usd_1e6).scaleb(-6)
            text = change_isolated_margin(self.accounts, user, coin, usd, resting, block_ms)
        else:
            text = top_up_isolated_margin(self.accounts, user, coin, Decimal(action.leverage), resting, block_ms)
        return None if text is None else Refusal(text)

    # --- what others see and do

    def publish(self, events: Iterable[ExchangeEvent]) -> None:
        """Let events that were made outside of a block (by faults on accounts) come out of the next `advance`."""
        self._outbox.extend(events)

    def book(self, coin: str, now_ms: int) -> Liquidity:
        """Return what everybody sees: generated less consumed, and clients' resting orders; at most 20 levels."""
        return self._matcher.book(coin, now_ms).merged()

    def is_touched(self, coin: str) -> bool:
        """Tell whether clients rest in a market or have consumed size that is not back yet."""
        book = self._matcher.books.get(coin)
        return book is not None and book.is_touched


def kind_of(action: actions.Action) -> Kind:
    """Return an action's place inside its block."""
    match action:
        case actions.Cancel() | actions.CancelByCloid():
            return Kind.CANCEL
        case actions.Order():
            return _kind_of_orders(action.orders, {"Gtc", "Ioc", "FrontendMarket"})
        case actions.Modify():
            return _kind_of_orders((action.order,), _modify_taking(is_always=action.is_always))
        case actions.BatchModify():
            items = [item.order for item in action.modifies]
            return _kind_of_orders(items, _modify_taking(is_always=action.is_always))
        case _:
            return Kind.PASSIVE


def _modify_taking(*, is_always: bool) -> set[str]:
    # Without `a` a GTC order is placed as ALO.
    return {"Gtc", "Ioc", "FrontendMarket"} if is_always else {"Ioc", "FrontendMarket"}


def _kind_of_orders(items: Sequence[actions.OrderItem], taking: set[str]) -> Kind:
    is_taking = any(item.order_type.limit is not None and item.order_type.limit.tif in taking for item in items)
    return Kind.TAKING if is_taking else Kind.PASSIVE
