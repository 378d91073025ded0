"""A desk that trades for real in a test: the engine on one side, a scripted venue on the other, and every disorder.

The venue double is the truth: it fills, refuses and forgets what it is told to, and says so in the words of the real
one. Nothing of the engine is imported into its account: it adds up on its own.

Rule 1: time is the desk's; nothing sleeps. `run` moves it in steps and keeps the market's data fresh.
Rule 2: an action's consequences are separate events (`Consequences`), so that a test can permute, drop and repeat them.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
from core_builders import (
    COIN,
    NS_PER_MS,
    START_MONO_NS,
    START_TS_NS,
    a_bbo,
    a_ctx,
    a_poll,
    a_rotation,
    a_session,
    a_spec,
    a_status,
    a_timer,
    an_allowance,
    events_until_ready,
    of_type,
    stamps,
    venue_ms,
)

from streaming.core.effects import AnyOutput, GatesEvaluated, LatchChanged, LedgerPosted
from streaming.core.engine import decode_snapshot, encode_snapshot, new_state, step
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    ConnectionLost,
    ConnectionOpened,
    Phase,
    PhaseRequested,
    ResetRequested,
    StopRequested,
    SubscriptionAcked,
)
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec, Side
from streaming.core.recovery import Carried, carry_over, fold
from streaming.core.state import EngineState
from streaming.core.trading.effects import AccountAsked, ActionDecided, FillsAsked, LiveOrderChanged, OrderAsked
from streaming.core.trading.events import (
    AccountRead,
    ActionAnswered,
    ActionNotSent,
    ActionOutcomeUnknown,
    ActionSent,
    AddressBudgetRead,
    FillsRead,
    FillsReceived,
    FlattenRequested,
    FundingsReceived,
    OrderRead,
    OrderUpdatesReceived,
    QueryFailed,
    TransfersReceived,
)
from streaming.core.trading.model import (
    ActionStatus,
    DexAccount,
    Funding,
    LiveOrder,
    LivePosition,
    OrderTicket,
    OrderUpdate,
    Transfer,
    VenueFill,
    VenuePosition,
)
from streaming.core.trading.ready import USER_CHANNELS
from streaming.core.trading.refusal import RefusalCode

ACCOUNT = "0x" + "ac" * 20
AGENT = "0x" + "a9" * 20
OTHER = "xyz:AAPL"
THIRD = "xyz:AMD"
DEX = "xyz"
USDC = "USDC"
D = Decimal
READY_MS = 6_000
"""A desk is ready for real trading at this time of its world."""
FEE_RATIO = D("0.00009")
CASH_BEGIN = D(1_000)

Query = AccountAsked | FillsAsked | OrderAsked
Plan = Callable[[OrderTicket], tuple[str, Decimal]]
"""What the venue does with an order: how it ends (`filled`, `no_match`, a refusal code's value, `waiting`, `resting`)
and how much of it is filled at most."""

REFUSED_AS = {
    RefusalCode.NO_MATCH: "iocCancelRejected",
    RefusalCode.REDUCE_ONLY: "reduceOnlyRejected",
    RefusalCode.MARGIN: "perpMarginRejected",
    RefusalCode.OI_CAP: "positionIncreaseAtOpenInterestCapRejected",
    RefusalCode.MIN_NOTIONAL: "minTradeNtlRejected",
}
"""Code → status of `orderUpdates`; another code is `rejected`, whose reason only the answer tells."""


def fill_all(ticket: OrderTicket) -> tuple[str, Decimal]:
    return "filled", ticket.sz


def fill_nothing(_: OrderTicket) -> tuple[str, Decimal]:
    return "no_match", D(0)


def fill_part(ratio: str) -> Plan:
    return lambda ticket: ("filled", (ticket.sz * D(ratio)).quantize(D("0.001")))


def refuse(code: RefusalCode) -> Plan:
    return lambda _: (code.value, D(0))


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an action at the venue, each to be delivered, lost or repeated by the test."""

    answer: ActionAnswered
    updates: OrderUpdatesReceived
    fills: FillsReceived

    def all(self) -> list[AnyEvent]:
        events: list[AnyEvent] = [self.answer]
        events += [self.updates] if self.updates.updates else []
        return events + ([self.fills] if self.fills.fills else [])


class VenueDouble:
    """The account at the venue."""

    def __init__(self) -> None:
        self.plan: Plan = fill_all
        self.parts = 1
        """Fills that an order is cut into."""
        self.fee_token = USDC
        self.fee_ratio = FEE_RATIO
        self.cash: dict[str, Decimal] = {DEX: CASH_BEGIN}
        self.positions: dict[str, Decimal] = {}
        self.entry_ntl: dict[str, Decimal] = {}
        self.fills: list[VenueFill] = []
        self.orders: dict[str, OrderUpdate] = {}
        self.fundings: list[Funding] = []
        self.transfers: list[Transfer] = []
        self.tid = 1_000
        self.oid = 70

    def execute(self, action: ActionDecided, at_ms: float, generation: int = 1) -> Consequences:
        """Let an action arrive: orders end at once, as IOC does; past its deadline it is refused whole."""
        head = {**stamps(at_ms), "action_id": action.action_id, "generation": generation}
        code, text = RefusalCode.NONE, ""
        statuses: list[ActionStatus] = []
        first = len(self.fills)
        if venue_ms(at_ms) >= action.expires_ts_ms:
            code, text = RefusalCode.EXPIRED, "expired"
        elif action.kind == "order":
            statuses = [self._place(ticket, at_ms) for ticket in action.orders]
        elif action.kind == "cancel":
            statuses = [self._cancel(ticket.cloid, at_ms) for ticket in action.cancels]
        else:
            statuses = [ActionStatus(kind="success")]
        tickets = (*action.orders, *action.cancels)
        updates = tuple(self.orders[t.cloid] for t in tickets if t.cloid in self.orders)
        return Consequences(
            answer=ActionAnswered(**head, statuses=tuple(statuses), code=code, text=text),
            updates=OrderUpdatesReceived(**stamps(at_ms), generation=generation, updates=updates),
            fills=FillsReceived(
                **stamps(at_ms), generation=generation, fills=tuple(self.fills[first:]), is_snapshot=False
            ),
        )

    def _place(self, ticket: OrderTicket, at_ms: float) -> ActionStatus:
        if ticket.cloid in self.orders:
            return ActionStatus(kind="error", code=RefusalCode.CLOID_USED, text="cloid used")
        word, sz = self.plan(ticket)
        held = self.positions.get(ticket.coin, D(0))
        self.oid += 1
        effective = ticket.sz
        if ticket.is_reduce_only:
            against = -held if ticket.side is Side.BUY else held
            if against <= 0:
                word, sz = RefusalCode.REDUCE_ONLY.value, D(0)
            effective = min(effective, max(against, D(0)))
            sz = min(sz, effective)
        if word in {"waiting", "resting"}:
            self._note(ticket, "open", ticket.sz, at_ms)
            return ActionStatus(kind=word, oid=self.oid)
        if sz == 0:
            code = RefusalCode(word) if word != "filled" else RefusalCode.NO_MATCH
            self._note(ticket, REFUSED_AS.get(code, "rejected"), ticket.sz, at_ms, code=code)
            return ActionStatus(kind="error", code=code, text=f"refused: {code}")
        self._cut(ticket, sz, at_ms)
        left_sz = effective - sz  # a reduce-only order is shrunk, and reports the size that it was asked for
        self._note(ticket, "canceled" if left_sz else "filled", left_sz, at_ms)
        return ActionStatus(kind="filled", oid=self.oid, total_sz=sz, avg_px=ticket.limit_px)

    def _cut(self, ticket: OrderTicket, sz: Decimal, at_ms: float) -> None:
        part = (sz / self.parts).quantize(D("0.001"))
        sizes = [part] * (self.parts - 1) + [sz - part * (self.parts - 1)]
        for size in sizes:
            self.fill(ticket.coin, ticket.side, size, ticket.limit_px, at_ms, cloid=ticket.cloid, oid=self.oid)

    def _cancel(self, cloid: str, at_ms: float) -> ActionStatus:
        order = self.orders.get(cloid)
        if order is None or order.status != "open":
            return ActionStatus(kind="error", code=RefusalCode.UNKNOWN_ORDER, text="never placed, canceled, or filled")
        self.orders[cloid] = msgspec.structs.replace(
            order, status="canceled", code=RefusalCode.CANCELED, venue_ts_ms=venue_ms(at_ms)
        )
        return ActionStatus(kind="success")

    def fill(self, coin: str, side: Side, sz: Decimal, px: Decimal, at_ms: float, **changes: Any) -> VenueFill:  # noqa: ANN401
        """Move the account; returns the fill as every channel reports it."""
        held, entry_ntl = self.positions.get(coin, D(0)), self.entry_ntl.get(coin, D(0))
        signed = sz if side is Side.BUY else -sz
        closing = min(abs(held), sz) if held * signed < 0 else D(0)
        closed_pnl = D(0)
        if closing:
            entry_px = entry_ntl / abs(held)
            closed_pnl = (px - entry_px) * closing * (1 if held > 0 else -1)
            entry_ntl -= entry_px * closing
        entry_ntl += px * (sz - closing)
        self.positions[coin], self.entry_ntl[coin] = held + signed, entry_ntl
        if self.positions[coin] == 0:
            del self.positions[coin], self.entry_ntl[coin]
        fee = (px * sz * self.fee_ratio).quantize(D("0.000001"))
        self.tid += 1
        fill = VenueFill(
            coin=coin, side=side, px=px, sz=sz, venue_ts_ms=venue_ms(at_ms), tid=self.tid, fee=fee,
            fee_token=self.fee_token, start_position_sz=held, closed_pnl=closed_pnl, oid=changes.pop("oid", 1),
        )  # fmt: skip
        fill = msgspec.structs.replace(fill, **changes)
        self.fills.append(fill)
        dex = coin.rpartition(":")[0]
        if dex in self.cash:
            self.cash[dex] += closed_pnl - (fill.fee if fill.fee_token == USDC else D(0))
        return fill

    def _note(
        self, ticket: OrderTicket, status: str, left_sz: Decimal, at_ms: float, code: RefusalCode = RefusalCode.NONE
    ) -> None:
        if status == "rejected":
            code = RefusalCode.UNKNOWN
        self.orders[ticket.cloid] = OrderUpdate(
            coin=ticket.coin, cloid=ticket.cloid, oid=self.oid, side=ticket.side, limit_px=ticket.limit_px,
            left_sz=left_sz, original_sz=ticket.sz, status=status, venue_ts_ms=venue_ms(at_ms),
            code=RefusalCode.CANCELED if status == "canceled" else code,
        )  # fmt: skip

    def accounts(self, at_ms: float) -> tuple[DexAccount, ...]:
        """Return what every dex says, with a price that moved by one against the entry."""
        return tuple(self._account(dex, at_ms) for dex in self.cash)

    def _account(self, dex: str, at_ms: float) -> DexAccount:
        positions = tuple(
            VenuePosition(
                coin=coin, sz=sz, entry_px=self.entry_ntl[coin] / abs(sz), unrealised_pnl=sz, margin_used=D(10),
                liquidation_px=None, leverage=5, is_isolated=True,
            )
            for coin, sz in self.positions.items()
            if coin.rpartition(":")[0] == dex
        )  # fmt: skip
        unrealised = sum((p.unrealised_pnl for p in positions), D(0))
        value = self.cash[dex] + unrealised
        return DexAccount(
            dex=dex, account_value=value, withdrawable=value, positions=positions, venue_ts_ms=venue_ms(at_ms)
        )


class Desk:
    """An engine that may trade for real, its clock, and its venue."""

    def __init__(
        self,
        *coins: str,
        limits: Limits | None = None,
        venue: VenueDouble | None = None,
        carried: Carried | None = None,
        session_id: str = "s1",
        at_ms: float = 0,
        specs: tuple[MarketSpec, ...] = (),
    ) -> None:
        self.coins = coins or (COIN,)
        self.limits = limits or Limits()
        self.venue = venue or VenueDouble()
        self.at_ms: float = at_ms
        self.session_id = session_id
        specs = specs or tuple(a_spec(coin, asset_id=110_000 + index) for index, coin in enumerate(self.coins))
        self.state = new_state(
            a_session(account=ACCOUNT, agent=AGENT, session_id=session_id), self.limits, specs, carried=carried
        )
        self.snapshot = encode_snapshot(self.state)
        self.generation = 0
        self.outputs: list[AnyOutput] = []
        """Since the last snapshot."""
        self.actions: list[ActionDecided] = []
        """Decided and not yet handed out by `take_action`."""
        self.queries: list[Query] = []
        """Asked and not yet answered."""
        self.is_answering = True
        """Queries are answered at once and truly."""
        self.is_executing = False
        """Actions reach the venue at once and everything comes back in order."""
        self.quotes: dict[str, tuple[str, str, str]] = dict.fromkeys(self.coins, ("99.98", "100.02", "100"))
        """Coin → bid, ask, oracle."""

    # --- time and data

    def feed(self, *events: AnyEvent) -> list[AnyOutput]:
        """Step through events, and let the venue do what follows by itself."""
        outputs: list[AnyOutput] = []
        todo = list(events)
        while todo:
            found = step(self.state, todo.pop(0))
            outputs += found
            self.outputs += found
            self.actions += of_type(found, ActionDecided)
            self.queries += [o for o in found if isinstance(o, AccountAsked | FillsAsked | OrderAsked)]
            if self.is_answering:
                todo += [self.truth(query) for query in self.queries]
                self.queries = []
            if self.is_executing:
                for action in self.actions:
                    todo += [self.sent(action), *self.execute(action).all()]
                self.actions = []
        return outputs

    def stamped(self) -> dict[str, int]:
        return stamps(self.at_ms)

    def quote(self, coin: str) -> list[AnyEvent]:
        bid_px, ask_px, oracle_px = self.quotes[coin]
        mid_px = str((D(bid_px) + D(ask_px)) / 2)
        return [
            a_bbo(self.at_ms, coin=coin, generation=self.generation, bid_px=bid_px, ask_px=ask_px),
            a_ctx(
                self.at_ms, coin=coin, generation=self.generation, oracle_px=oracle_px, mark_px=mid_px, mid_px=mid_px
            ),
        ]

    def run(self, ms: float, *, step_ms: float = 100, is_quoting: bool = True) -> list[AnyOutput]:
        """Let time pass; quotes and status stay fresh unless told otherwise."""
        outputs: list[AnyOutput] = []
        end_ms = self.at_ms + ms
        while self.at_ms < end_ms:
            self.at_ms = min(end_ms, self.at_ms + step_ms)
            if is_quoting and self.state.is_connected:
                if int(self.at_ms) % 30_000 < step_ms:
                    outputs += self.feed(self.status())
                for coin in self.coins:
                    outputs += self.feed(*self.quote(coin))
            outputs += self.feed(a_timer(self.at_ms))
        return outputs

    def status(self) -> AnyEvent:
        return a_poll(self.at_ms, *[a_status(coin) for coin in self.coins])

    # --- becoming ready

    def control(self, phase: Phase = Phase.MICRO, ntl_max: str = "50") -> list[AnyOutput]:
        """Phase, arming, rotation, address budget."""
        at = self.stamped()
        version = 1 if self.state.control.rotation is None else self.state.control.rotation.version + 1
        replaces = "" if version == 1 else "a" * 64
        markets = tuple(an_allowance(coin, ntl_max) for coin in self.coins)
        approval = PhaseRequested(**at, command_id=1, phase=Phase.MICRO, reason="simulated", operator="op")
        if phase is not Phase.MICRO:
            self.feed(approval)
            approval = msgspec.structs.replace(
                approval, phase=phase, reason="test", verdict_sha256="b" * 64, verdict_venue="sim",
                verdict_account=ACCOUNT,
            )  # fmt: skip
        return self.feed(
            approval,
            ArmRequested(**at, command_id=2, is_armed=True, operator="op"),
            a_rotation(
                self.at_ms, account=ACCOUNT, version=version, replaces_sha256=replaces, markets=markets,
                expires_ts_ns=START_TS_NS + 10**6 * 3_600 * 1000 * NS_PER_MS,
            ),
            AddressBudgetRead(**at, used_count=10, cap_count=10_000),
        )  # fmt: skip

    def connect(self) -> list[AnyOutput]:
        """Open the next connection: market data, user channels, snapshot."""
        self.generation += 1
        outputs = self.feed(*events_until_ready(self.at_ms, coins=self.coins, generation=self.generation))
        self.at_ms += 2  # the builder's first quotes lie one later than its acks
        for coin in self.coins:
            outputs += self.feed(*self.quote(coin))
        outputs += self.feed(*[self.ack(channel) for channel in USER_CHANNELS])
        return outputs + self.feed(self.snapshot_of_fills(), self.snapshot_of_fundings(), self.snapshot_of_transfers())

    def ack(self, channel: str) -> SubscriptionAcked:
        return SubscriptionAcked(**self.stamped(), generation=self.generation, channel=channel, coin="", user=ACCOUNT)

    def open(self) -> AnyEvent:
        return ConnectionOpened(**self.stamped(), generation=self.generation)

    def lose(self, reason: str = "reset") -> list[AnyOutput]:
        return self.feed(ConnectionLost(**self.stamped(), generation=self.generation, reason=reason))

    def snapshot_of_fills(self, *fills: VenueFill) -> FillsReceived:
        found = fills or tuple(self.venue.fills)
        return FillsReceived(**self.stamped(), generation=self.generation, fills=found, is_snapshot=True)

    def snapshot_of_fundings(self) -> FundingsReceived:
        return FundingsReceived(
            **self.stamped(), generation=self.generation, fundings=tuple(self.venue.fundings), is_snapshot=True
        )

    def snapshot_of_transfers(self) -> TransfersReceived:
        return TransfersReceived(
            **self.stamped(), generation=self.generation, transfers=tuple(self.venue.transfers), is_snapshot=True
        )

    # --- questions

    def truth(self, query: Query) -> AnyEvent:
        """Answer a question as the venue stands."""
        head = {**self.stamped(), "query_id": query.query_id}
        match query:
            case AccountAsked():
                return AccountRead(**head, accounts=self.venue.accounts(self.at_ms))
            case FillsAsked():
                found = tuple(f for f in self.venue.fills if f.venue_ts_ms >= query.start_ts_ms)
                return FillsRead(**head, start_ts_ms=query.start_ts_ms, fills=found)
            case OrderAsked():
                update = self.venue.orders.get(query.cloid)
                return OrderRead(**head, cloid=query.cloid, update=update, venue_ts_ms=venue_ms(self.at_ms))

    def asked(self, kind: type) -> Any:  # noqa: ANN401 - one of the questions
        """Take the open question of a kind."""
        query = next(q for q in self.queries if isinstance(q, kind))
        self.queries.remove(query)
        return query

    def fail(self, query: Query) -> AnyEvent:
        return QueryFailed(**self.stamped(), query_id=query.query_id, reason="timeout")

    # --- trading

    def cross(self, coin: str = COIN, *, oracle_px: str = "100.3") -> list[AnyOutput]:
        """Let the oracle run away from the quote: a signal to buy."""
        bid_px, ask_px, _ = self.quotes[coin]
        self.quotes[coin] = (bid_px, ask_px, oracle_px)
        mid_px = str((D(bid_px) + D(ask_px)) / 2)
        return self.feed(
            a_ctx(self.at_ms, coin=coin, generation=self.generation, oracle_px=oracle_px, mark_px=mid_px, mid_px=mid_px)
        )

    def calm(self, coin: str = COIN) -> list[AnyOutput]:
        """Bring the oracle back: the episode ends and both sides are armed."""
        return self.cross(coin, oracle_px="100")

    def take_action(self) -> ActionDecided:
        return self.actions.pop(0)

    def sent(self, action: ActionDecided) -> ActionSent:
        return ActionSent(**self.stamped(), action_id=action.action_id, is_rest=False)

    def not_sent(self, action: ActionDecided, reason: str) -> ActionNotSent:
        return ActionNotSent(**self.stamped(), action_id=action.action_id, reason=reason)

    def unknown(self, action: ActionDecided, reason: str = "read timeout") -> ActionOutcomeUnknown:
        return ActionOutcomeUnknown(**self.stamped(), action_id=action.action_id, reason=reason)

    def answered(self, action: ActionDecided, **changes: Any) -> ActionAnswered:  # noqa: ANN401 - any field
        return ActionAnswered(**self.stamped(), action_id=action.action_id, generation=self.generation, **changes)

    def execute(self, action: ActionDecided) -> Consequences:
        return self.venue.execute(action, self.at_ms, self.generation)

    def complete(self) -> list[AnyOutput]:
        """Carry out everything decided so far, in order and without loss."""
        outputs: list[AnyOutput] = []
        while self.actions:
            action = self.take_action()
            outputs += self.feed(self.sent(action), *self.execute(action).all())
        return outputs

    def enter(self, coin: str = COIN) -> list[AnyOutput]:
        """Signal, order, fill: a position."""
        return self.cross(coin) + self.complete()

    def foreign(self, coin: str = COIN, side: Side = Side.BUY, sz: str = "0.2", **changes: Any) -> FillsReceived:  # noqa: ANN401
        """Somebody, or the venue itself, acts on the account."""
        fill = self.venue.fill(coin, side, D(sz), D(changes.pop("px", "100")), self.at_ms, **changes)
        return FillsReceived(**self.stamped(), generation=self.generation, fills=(fill,), is_snapshot=False)

    def funding(self, amount: str, coin: str = COIN, *, is_told: bool = True) -> list[AnyOutput]:
        held = self.venue.positions.get(coin, D(0))
        funding = Funding(coin=coin, amount=D(amount), position_sz=held, venue_ts_ms=venue_ms(self.at_ms))
        self.venue.fundings.append(funding)
        self.venue.cash[coin.rpartition(":")[0]] += funding.amount
        if not is_told:
            return []
        return self.feed(
            FundingsReceived(**self.stamped(), generation=self.generation, fundings=(funding,), is_snapshot=False)
        )

    def transfer(self, amount: str, reference: str = "0xt1", *, is_told: bool = True) -> list[AnyOutput]:
        transfer = Transfer(
            dex=DEX, amount=D(amount), kind="deposit", venue_ts_ms=venue_ms(self.at_ms), reference=reference
        )
        self.venue.transfers.append(transfer)
        self.venue.cash[DEX] += transfer.amount
        if not is_told:
            return []
        return self.feed(
            TransfersReceived(**self.stamped(), generation=self.generation, transfers=(transfer,), is_snapshot=False)
        )

    def stop(self, reason: str = "stop it") -> list[AnyOutput]:
        return self.feed(StopRequested(**self.stamped(), command_id=7, reason=reason, operator="op"))

    def reset(self, reason: str = "looked") -> list[AnyOutput]:
        return self.feed(ResetRequested(**self.stamped(), command_id=8, reason=reason, operator="op"))

    def arm(self) -> list[AnyOutput]:
        return self.feed(ArmRequested(**self.stamped(), command_id=10, is_armed=True, operator="op"))

    def flatten(self, reason: str = "SIGTERM") -> list[AnyOutput]:
        return self.feed(FlattenRequested(**self.stamped(), command_id=9, reason=reason, operator="op"))

    # --- what is known

    @property
    def live(self) -> Any:  # noqa: ANN401 - LiveAccount; tests look at many fields
        return self.state.live

    @property
    def latch(self) -> str:
        latch = self.state.control.latch
        return "" if latch is None else latch.reason

    def position(self, coin: str = COIN) -> LivePosition:
        found: LivePosition = self.state.live.positions[coin]
        return found

    def orders(self, coin: str = COIN) -> list[LiveOrder]:
        return [order for order in self.state.live.orders.values() if order.coin == coin]

    # --- restarts

    def take_snapshot(self) -> None:
        self.snapshot = encode_snapshot(self.state)
        self.outputs = []

    def folded(self) -> EngineState:
        """Return what recovery makes of the last snapshot and everything recorded since."""
        state = decode_snapshot(self.snapshot)
        fold(state, self.outputs)
        return state

    def restart(self, session_id: str = "s2", *, mono_step_ms: float = 0) -> "Desk":
        """Die and come back from the journal; the venue goes on."""
        self.at_ms += 50 + mono_step_ms
        desk = Desk(
            *self.coins, limits=self.limits, venue=self.venue, carried=carry_over(self.folded()),
            session_id=session_id, at_ms=self.at_ms,
        )  # fmt: skip
        desk.quotes = dict(self.quotes)
        return desk


def a_desk(
    *coins: str,
    limits: Limits | None = None,
    venue: VenueDouble | None = None,
    phase: Phase = Phase.MICRO,
    ntl_max: str = "50",
) -> Desk:
    """Return a desk that is ready: a signal now becomes a real order."""
    desk = Desk(*coins, limits=limits, venue=venue)
    warm_up(desk, phase=phase, ntl_max=ntl_max)
    return desk


def warm_up(desk: Desk, *, phase: Phase = Phase.MICRO, ntl_max: str = "50") -> None:
    """Bring a desk from its first event to readiness at `READY_MS`."""
    desk.connect()
    desk.control(phase, ntl_max)
    desk.run(READY_MS - desk.at_ms)
    if not desk.live.is_ready:
        raise AssertionError(f"not ready: {desk.live.unready_reason}")
    desk.take_snapshot()


def statuses(outputs: Iterable[AnyOutput], coin: str = COIN) -> list[str]:
    """Return the statuses that orders of a market went through."""
    return [o.order.status.value for o in of_type(outputs, LiveOrderChanged) if o.order.coin == coin]


def blocked_by(outputs: Iterable[AnyOutput]) -> tuple[str, ...]:
    """Return why the last signal was not traded."""
    found: tuple[str, ...] = of_type(outputs, GatesEvaluated)[-1].blocked_by
    return found


def latch_reasons(outputs: Iterable[AnyOutput]) -> list[str]:
    return [o.reason for o in of_type(outputs, LatchChanged) if o.is_set]


def ledger_sums(outputs: Iterable[AnyOutput]) -> dict[tuple[str, str], Decimal]:
    """Return the sum of the legs of every posting, by posting and currency; all have to be 0 (I-14)."""
    sums: dict[tuple[str, str], Decimal] = {}
    for leg in of_type(outputs, LedgerPosted):
        key = (leg.posting_id, leg.currency)
        sums[key] = sums.get(key, D(0)) + leg.amount
    return sums


def account_of(outputs: Iterable[AnyOutput], account: str, currency: str = "USDC") -> Decimal:
    """Return the sum of one ledger account."""
    legs = [leg for leg in of_type(outputs, LedgerPosted) if leg.account == account and leg.currency == currency]
    return sum((leg.amount for leg in legs), D(0))


def canceled(update: OrderUpdate, status: str = "canceled", code: RefusalCode = RefusalCode.CANCELED) -> OrderUpdate:
    return msgspec.structs.replace(update, status=status, code=code)


def mono_ns(at_ms: float) -> int:
    return START_MONO_NS + round(at_ms * NS_PER_MS)
