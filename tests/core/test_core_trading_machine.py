"""Orders, positions and money under arbitrary interleavings: a model that is the venue, faults, restarts, and healing.

Each rule is something that happens to the sidecar; invariants hold after every one of them, whatever the order. At the
end of each run everything heals, and then everything has to be resolved, flat, and conserved to the cent.
"""

from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
from core_builders import COIN, an_ack, limits_with, of_type
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trading_builders import (
    OTHER,
    THIRD,
    Consequences,
    Desk,
    VenueDouble,
    fill_nothing,
    fill_part,
    ledger_sums,
    refuse,
    warm_up,
)

from streaming.core.effects import AnyOutput
from streaming.core.events import AnyEvent, ArmRequested
from streaming.core.market import Side
from streaming.core.recovery import carry_over
from streaming.core.trading.account import LiveAccount, live_exposure_ntl
from streaming.core.trading.effects import ActionDecided, LiveFillApplied, LiveOrderChanged
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import OVER
from streaming.core.trading.orders import TRANSITIONS
from streaming.core.trading.recovery import carried_account
from streaming.core.trading.refusal import RefusalCode

D = Decimal
COINS = (COIN, OTHER, THIRD)
CENT = D("0.01")
LIMITS = limits_with(
    sizing={"account_ntl_max": D(120)},
    losses={"day_loss_usd_max": D(10_000), "market_day_loss_usd_max": D(10_000), "drawdown_usd_max": D(10_000),
            "reentry_cooldown_ms": 100, "loss_streak_count_max": 1_000},
)  # fmt: skip
PLANS = {
    "all": lambda ticket: ("filled", ticket.sz),
    "part": fill_part("0.5"),
    "nothing": fill_nothing,
    "margin": refuse(RefusalCode.MARGIN),
    "rests": lambda _: ("resting", D(0)),
}


DELIVERIES = st.sampled_from(
    ["in order", "in order", "in order", "answer first", "backwards", "twice", "only the answer is told",
     "answer is lost", "nothing is told", "lost on the way", "never left", "later"]
)  # fmt: skip


class TradingMachine(RuleBasedStateMachine):
    """The desk, a venue that is told to misbehave, and letters between them that may be lost, late or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = VenueDouble()
        self.desk = Desk(*COINS, limits=LIMITS, venue=self.venue)
        warm_up(self.desk)
        self.letters: list[AnyEvent] = []
        """Sent by the venue and not delivered yet."""
        self.seen: list[AnyOutput] = []
        self.nonces: list[int] = []
        self.cloids: dict[str, str] = {}
        self.ended: dict[str, Decimal] = {}
        self.baselines: dict[str, tuple[int, object]] = {}
        self.session_count = 1
        self.foreign_count = 0

    @initialize(parts=st.integers(1, 3))
    def begin(self, parts: int) -> None:
        self.venue.parts = parts

    # --- what happens

    def took(self, outputs: list[AnyOutput], *, was_latched: bool) -> None:
        self.seen += outputs
        is_latched = was_latched
        for output in outputs:
            if isinstance(output, ActionDecided):
                self.nonces.append(output.nonce)
                if is_latched:
                    assert not output.may_add_risk, "I-18"
                    assert all(ticket.is_reduce_only for ticket in output.orders), "I-18"
                for ticket in output.orders:
                    known = self.cloids.setdefault(ticket.cloid, ticket.coin)
                    assert known == ticket.coin, "I-01"
            elif isinstance(output, LiveOrderChanged):
                self.judge_order(output)
        assert not any(ledger_sums(outputs).values()), "I-14"

    def judge_order(self, output: LiveOrderChanged) -> None:
        order = output.order
        if order.cloid in self.ended:
            assert order.status in OVER, "I-03"
        if order.status in OVER:
            self.ended[order.cloid] = order.filled_sz
            assert not TRANSITIONS[order.status], "I-03"

    def do(self, *events: AnyEvent) -> None:
        was_latched = self.desk.latch != ""
        self.took(self.desk.feed(*events), was_latched=was_latched)

    @rule(coin=st.sampled_from(COINS), oracle_px=st.sampled_from(["99.6", "100", "100.3", "100.5"]))
    def oracle_moves(self, coin: str, oracle_px: str) -> None:
        was_latched = self.desk.latch != ""
        if self.desk.state.is_connected:
            self.took(self.desk.cross(coin, oracle_px=oracle_px), was_latched=was_latched)

    @rule(ms=st.sampled_from([50, 300, 1_000, 3_000, 6_000, 20_000]))
    def time_passes(self, ms: int) -> None:
        was_latched = self.desk.latch != ""
        self.took(self.desk.run(ms, step_ms=250), was_latched=was_latched)

    @rule(name=st.sampled_from(sorted(PLANS)))
    def venue_changes_its_mind(self, name: str) -> None:
        self.venue.plan = PLANS[name]

    @rule(coin=st.sampled_from(COINS), side=st.sampled_from(Side), how=DELIVERIES, ms=st.sampled_from([0, 300, 2_000]))
    def market_is_traded(self, coin: str, side: Side, how: str, ms: int) -> None:
        if not self.desk.state.is_connected:
            self.reconnect()
        self.time_passes(ms)
        self.oracle_moves(coin, "100")
        self.oracle_moves(coin, "100.3" if side is Side.BUY else "99.7")
        self.actions_leave(how)

    @rule(how=DELIVERIES, ms=st.sampled_from([300, 5_200, 12_000]))
    def position_is_left(self, how: str, ms: int) -> None:
        self.time_passes(ms)
        self.actions_leave(how)

    @rule(how=DELIVERIES)
    def actions_leave(self, how: str) -> None:
        while self.desk.actions:
            action = self.desk.take_action()
            if how == "never left":
                self.do(self.desk.not_sent(action, "no_connection"))
                continue
            if how != "answer first":
                self.do(self.desk.sent(action))
            if how == "lost on the way":
                self.do(self.desk.unknown(action))
                continue
            found: Consequences = self.desk.execute(action)
            self.deliver(action, found, how)

    def deliver(self, action: ActionDecided, found: Consequences, how: str) -> None:
        events = found.all()
        match how:
            case "in order" | "answer first":
                self.do(*events)
            case "backwards":
                self.do(*events[::-1])
            case "twice":
                self.do(*events, *events[1:], *events)
            case "only the answer is told":
                self.do(found.answer)
            case "answer is lost":
                self.do(self.desk.unknown(action))
                self.letters += events[1:]
            case "nothing is told":
                self.do(self.desk.unknown(action))
            case _:
                self.letters += events

    @precondition(lambda self: self.letters)
    @rule(index=st.integers(0, 99), how=st.sampled_from(["delivered", "delivered", "twice", "lost"]))
    def letter(self, index: int, how: str) -> None:
        event = self.letters.pop(index % len(self.letters))
        at: Any = self.desk.stamped()
        event = msgspec.structs.replace(event, **at)
        if how != "lost":
            self.do(event)
        if how == "twice":
            self.do(event)

    @rule()
    def queries_fail(self) -> None:
        self.desk.is_answering = False

    @rule()
    def queries_work(self) -> None:
        self.answer_queries()

    @rule()
    def connection_is_lost(self) -> None:
        if self.desk.state.is_connected:
            self.do_lose()

    @rule()
    def connection_is_new(self) -> None:
        if self.desk.state.is_connected:
            self.do_lose()
        self.reconnect()

    @rule()
    def acknowledged_again(self) -> None:
        self.do(an_ack(self.desk.at_ms, generation=self.desk.generation))

    @rule(amount=st.sampled_from(["-0.2", "0.1"]), coin=st.sampled_from(COINS), is_told=st.booleans())
    def funding_is_paid(self, amount: str, coin: str, *, is_told: bool) -> None:
        self.desk.at_ms += 1
        was_latched = self.desk.latch != ""
        is_told = is_told and self.desk.state.is_connected
        if not is_told and self.desk.state.is_connected:
            self.do_lose()  # while we are connected the stream tells it
        self.took(self.desk.funding(amount, coin, is_told=is_told), was_latched=was_latched)

    @rule(amount=st.sampled_from(["25", "-10"]))
    def money_is_moved(self, amount: str) -> None:
        self.desk.at_ms += 1
        was_latched = self.desk.latch != ""
        is_told = self.desk.state.is_connected
        reference = f"0x{len(self.venue.transfers)}"
        self.took(self.desk.transfer(amount, reference, is_told=is_told), was_latched=was_latched)

    @precondition(lambda self: self.venue.positions)
    @rule(ratio=st.sampled_from(["1", "0.5"]), what=st.sampled_from(["Settlement", "Close Long"]))
    def venue_or_somebody_reduces(self, ratio: str, what: str) -> None:
        coin, sz = next(iter(self.venue.positions.items()))
        part = (abs(sz) * D(ratio)).quantize(D("0.001"))
        if part > 0:
            side = Side.SELL if sz > 0 else Side.BUY
            self.letters.append(self.desk.foreign(coin, side, str(part), direction=what))
            self.foreign_count += 1

    @rule(is_reset_soon=st.booleans())
    def operator_stops(self, *, is_reset_soon: bool) -> None:
        was_latched = self.desk.latch != ""
        self.took(self.desk.stop(), was_latched=was_latched)
        if is_reset_soon:
            self.operator_resets()

    @precondition(lambda self: self.desk.latch)
    @rule()
    def operator_resets(self) -> None:
        self.took(self.desk.reset(), was_latched=False)

    @rule()
    def operator_arms(self) -> None:
        at = self.desk.stamped()
        self.do(ArmRequested(**at, command_id=5, is_armed=True, operator="op"))

    @rule(hours=st.sampled_from([-1, 1]))
    def wall_clock_steps(self, hours: int) -> None:
        event = self.desk.status()
        self.do(msgspec.structs.replace(event, recv_ts_ns=event.recv_ts_ns + hours * 3_600 * 10**9))

    @rule(is_early=st.booleans())
    def process_dies(self, *, is_early: bool) -> None:
        self.compare_fold()
        self.session_count += 1
        desk = self.desk
        for action in desk.actions[: len(desk.actions) // 2 if is_early else 0]:
            self.desk.execute(action)  # it left, and nobody lived to hear of it
        self.letters = []
        self.desk = desk.restart(f"s{self.session_count}")
        self.desk.generation = desk.generation
        self.desk.is_answering = desk.is_answering
        self.baselines = {}
        self.reconnect()

    @rule()
    def snapshot_is_taken(self) -> None:
        self.desk.take_snapshot()

    # --- parts of rules

    def do_lose(self) -> None:
        was_latched = self.desk.latch != ""
        self.took(self.desk.lose(), was_latched=was_latched)
        self.letters = [e for e in self.letters if type(e).__name__ == "ActionAnswered"]

    def reconnect(self) -> None:
        was_latched = self.desk.latch != ""
        self.took(self.desk.connect(), was_latched=was_latched)

    def answer_queries(self) -> None:
        self.desk.is_answering = True
        queries, self.desk.queries = self.desk.queries, []
        self.do(*[self.desk.truth(query) for query in queries])

    def compare_fold(self) -> None:
        """I-24: what recovery makes of the record is what the process would have carried."""
        found, expected = carry_over(self.desk.folded()).live, carried_account(self.desk.state.live)
        for name in LiveAccount.__struct_fields__:
            ours, theirs = getattr(expected, name), getattr(found, name)
            if name == "nonce":
                assert theirs.last <= ours.last
            elif name in {"orders", "recent_orders"}:
                assert {c: bare(o) for c, o in ours.items()} == {c: bare(o) for c, o in theirs.items()}, name
            elif name == "losses":
                assert sums(ours) == sums(theirs), name
            else:
                assert ours == theirs, name

    # --- what always holds

    @invariant()
    def nonces_increase(self) -> None:
        assert self.nonces == sorted(set(self.nonces)), "I-04"

    @invariant()
    def one_order_a_market(self) -> None:
        live = self.desk.live
        for coin in COINS:
            acting = [o for o in live.orders.values() if o.coin == coin and not o.is_over]
            assert len(acting) <= 1, "I-09, I-10"

    @invariant()
    def exposure_is_bounded(self) -> None:
        # Fills may be better than their limits, and what somebody else did is not of our doing.
        if not self.foreign_count:
            assert live_exposure_ntl(self.desk.live) <= LIMITS.sizing.account_ntl_max * D("1.001"), "I-11"

    @invariant()
    def positions_are_the_fold_of_fills(self) -> None:
        if "adopted" in {getattr(o, "reason", "") for o in self.seen}:
            return
        held: dict[str, Decimal] = {}
        tids: list[int] = []
        for output in of_type(self.seen, LiveFillApplied):
            fill = output.fill
            tids.append(fill.tid)
            held[fill.coin] = held.get(fill.coin, D(0)) + (fill.sz if fill.side is Side.BUY else -fill.sz)
        assert len(tids) == len(set(tids)), "I-16"
        found = {coin: position.sz for coin, position in self.desk.live.positions.items()}
        assert found == {coin: sz for coin, sz in held.items() if sz}, "I-12"

    @invariant()
    def nothing_stops_without_a_cause(self) -> None:
        assert not self.desk.latch.startswith(("conservation", "evidence_contradicted")), self.desk.latch

    @invariant()
    def baselines_are_set_once(self) -> None:
        for coin, position in self.desk.live.positions.items():
            known = self.baselines.get(coin)
            if known is not None and known[0] == position.entry_ts_ns:
                assert known[1] == position.baseline, "I-13"
            self.baselines[coin] = (position.entry_ts_ns, position.baseline)

    # --- in the end everything heals

    def teardown(self) -> None:
        self.venue.plan = PLANS["all"]
        self.answer_queries()
        if self.desk.state.is_connected:
            self.do_lose()
        self.reconnect()
        self.letters = []
        self.desk.is_executing = True
        self.desk.complete()
        for coin in COINS:
            self.desk.quotes[coin] = ("99.98", "100.02", "100")
        for _ in range(6):
            if self.desk.latch:
                self.desk.reset()
            self.desk.run(25_000, step_ms=500)
        live = self.desk.live
        assert not live.orders, "L-2"
        assert not live.positions, "L-3"
        assert not self.venue.positions
        assert live.is_ready, live.unready_reason
        assert abs(live.cash["xyz"] - self.venue.cash["xyz"]) <= CENT, "I-15"
        self.compare_fold()


def sums(losses: LossState) -> LossState:
    # Cooldowns begin anew with each process; results do not.
    return msgspec.structs.replace(
        losses, pause_until_mono_ns=0, reentry_until_mono_ns={}, oracle_jump_until_mono_ns={}
    )


def bare(order: Any) -> Any:  # noqa: ANN401 - LiveOrder
    return msgspec.structs.replace(order, doubt_mono_ns=0, answered_mono_ns=0)


def test_any_interleaving_keeps_the_invariants_and_heals() -> None:
    run_state_machine_as_test(
        TradingMachine, settings=settings(max_examples=40, stateful_step_count=40, derandomize=True, deadline=None)
    )
