"""Questions about the account: each ends as one event, within bounds, whatever the venue does (I-33)."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from streaming.core.errors import OutcomeUnknown, RateLimited, StoreError
from streaming.core.trading.effects import AccountAsked, FillsAsked, OrderAsked
from streaming.core.trading.events import AccountRead, AddressBudgetRead, FillsRead, OrderRead, QueryFailed
from streaming.core.trading.model import DexAccount
from streaming.shell.execution import questions
from streaming.shell.execution.questions import TASK_COUNT_MAX, WAITING_COUNT_MAX, Questions
from streaming.shell.process.faults import Faults

ACCOUNT = "0x" + "a1" * 20
CLOID = "0x" + "cd" * 16
MONO_NS, TS_NS = 7, 8
VENUE_MS = 1_790_000_000_123


class StoppedClock:
    def mono_ns(self) -> int:
        return MONO_NS

    def ts_ns(self) -> int:
        return TS_NS


class FakeInfo:
    """Answers when its gate is open, and counts how many wait at a time."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.time_failure: Exception | None = None
        self.waiting_count = 0
        self.waiting_count_max = 0

    async def _answer(self, *asked: object) -> None:
        self.asked.append(asked)
        self.waiting_count += 1
        self.waiting_count_max = max(self.waiting_count, self.waiting_count_max)
        await self.gate.wait()
        self.waiting_count -= 1
        if self.failure is not None:
            raise self.failure

    async def clearinghouse_state(self, user: str, dex: str, *, is_essential: bool) -> DexAccount:
        assert is_essential
        await self._answer("state", user, dex)
        return DexAccount(
            dex=dex, account_value=Decimal(1), withdrawable=Decimal(1), positions=(), venue_ts_ms=VENUE_MS
        )

    async def user_fills_by_time(self, user: str, start_ms: int, *, is_essential: bool) -> tuple[()]:
        assert is_essential
        await self._answer("fills", user, start_ms)
        return ()

    async def order_status(self, user: str, cloid: str, *, is_essential: bool) -> None:
        assert is_essential
        await self._answer("order", user, cloid)

    async def exchange_status(self) -> object:
        self.asked.append(("time",))
        if self.time_failure is not None:
            raise self.time_failure
        return SimpleNamespace(venue_ts_ms=VENUE_MS)

    async def user_rate_limit(self, user: str) -> object:
        await self._answer("budget", user)
        return SimpleNamespace(used_count=10, cap_count=10_000, surplus_count=500)


class Bench:
    def __init__(self) -> None:
        self.info = FakeInfo()
        self.events: list[Any] = []
        self.faults = Faults()
        self.questions = Questions(
            self.info,  # type: ignore[arg-type]
            account=ACCOUNT,
            dexes=("xyz", "abc"),
            apply=self.events.append,
            clock=StoppedClock(),
            faults=self.faults,
        )

    async def settled(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def with_bench(test: Callable[[Bench], Awaitable[None]]) -> Bench:
    async def main() -> Bench:
        bench = Bench()
        try:
            async with asyncio.timeout(10):
                await test(bench)
        finally:
            await bench.questions.close()
        return bench

    return asyncio.run(main())


def account(query_id: int) -> AccountAsked:
    return AccountAsked(ts_ns=0, mono_ns=0, query_id=query_id)


def fills(query_id: int) -> FillsAsked:
    return FillsAsked(ts_ns=0, mono_ns=0, query_id=query_id, start_ts_ms=55)


def order(query_id: int) -> OrderAsked:
    return OrderAsked(ts_ns=0, mono_ns=0, query_id=query_id, cloid=CLOID)


def test_questions_are_answered_with_what_was_asked_for() -> None:
    async def test(bench: Bench) -> None:
        for question in (account(1), fills(2), order(3)):
            bench.questions.ask(question)
            await bench.settled()

    bench = with_bench(test)
    state, past, known = bench.events
    assert isinstance(state, AccountRead)
    assert (state.query_id, [read.dex for read in state.accounts]) == (1, ["xyz", "abc"])
    assert (state.recv_mono_ns, state.recv_ts_ns) == (MONO_NS, TS_NS)
    assert past == FillsRead(recv_mono_ns=MONO_NS, recv_ts_ns=TS_NS, query_id=2, start_ts_ms=55, fills=())
    assert known == OrderRead(
        recv_mono_ns=MONO_NS, recv_ts_ns=TS_NS, query_id=3, cloid=CLOID, update=None, venue_ts_ms=VENUE_MS
    )


def test_questions_venue_time_is_read_before_the_answer_it_dates() -> None:
    # section 4, step 5: "deadline passed by 2 s of venue time" must be true of the answer
    async def test(bench: Bench) -> None:
        bench.questions.ask(order(1))
        await bench.settled()
        bench.info.time_failure = RateLimited("ip_weight", "shed")
        bench.questions.ask(order(2))
        await bench.settled()

    bench = with_bench(test)
    assert [asked[0] for asked in bench.info.asked] == ["time", "order", "time", "order"]
    assert [event.venue_ts_ms for event in bench.events] == [VENUE_MS, 0]


@pytest.mark.parametrize("failure", [OutcomeUnknown("garbage"), RateLimited("ip_weight", "wait")])
def test_questions_venue_failure_is_told_and_ends_nothing(failure: Exception) -> None:
    async def test(bench: Bench) -> None:
        bench.info.failure = failure
        for question in (account(1), fills(2), order(3)):
            bench.questions.ask(question)
        await bench.settled()
        bench.info.failure = None
        bench.questions.ask(order(4))
        await bench.settled()

    bench = with_bench(test)
    assert sorted(event.query_id for event in bench.events if isinstance(event, QueryFailed)) == [1, 2, 3]
    assert [event.query_id for event in bench.events if isinstance(event, OrderRead)] == [4]


def test_questions_only_a_few_are_asked_at_a_time_and_all_are_answered() -> None:
    async def test(bench: Bench) -> None:
        bench.info.gate.clear()
        for number in range(20):
            bench.questions.ask(fills(number))
        await bench.settled()
        assert bench.info.waiting_count == TASK_COUNT_MAX
        bench.info.gate.set()
        await bench.settled()

    bench = with_bench(test)
    assert bench.info.waiting_count_max == TASK_COUNT_MAX
    assert sorted(event.query_id for event in bench.events) == list(range(20))


def test_questions_about_the_account_newest_wins_and_the_older_ends_too() -> None:
    async def test(bench: Bench) -> None:
        bench.info.gate.clear()
        for number in range(TASK_COUNT_MAX):
            bench.questions.ask(fills(number))
        for number in (100, 101, 102):
            bench.questions.ask(account(number))
        assert [event.query_id for event in bench.events if isinstance(event, QueryFailed)] == [100, 101]
        bench.info.gate.set()
        await bench.settled()

    bench = with_bench(test)
    assert [event.query_id for event in bench.events if isinstance(event, AccountRead)] == [102]
    assert sum(asked[0] == "state" for asked in bench.info.asked) == 2, "once a dex"


def test_questions_beyond_the_queue_fail_at_once() -> None:
    async def test(bench: Bench) -> None:
        bench.info.gate.clear()
        for number in range(TASK_COUNT_MAX + WAITING_COUNT_MAX + 1):
            bench.questions.ask(fills(number))
        assert [event.query_id for event in bench.events] == [TASK_COUNT_MAX + WAITING_COUNT_MAX]
        assert isinstance(bench.events[0], QueryFailed)

    with_bench(test)


def test_questions_what_is_not_expected_ends_the_process() -> None:
    # F-71
    async def test(bench: Bench) -> None:
        bench.info.failure = StoreError("journal full")
        bench.questions.ask(account(1))
        assert isinstance(await bench.faults.first(), StoreError)

    assert with_bench(test).events == []


def test_questions_budget_is_read_again_and_again_and_survives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "BUDGET_S", 0)

    async def test(bench: Bench) -> None:
        bench.info.failure = OutcomeUnknown("down")
        job = asyncio.create_task(bench.questions.watch_budget())
        await bench.settled()
        assert bench.events == []
        bench.info.failure = None
        await bench.settled()
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    with structlog.testing.capture_logs() as lines:
        bench = with_bench(test)
    read = AddressBudgetRead(recv_mono_ns=MONO_NS, recv_ts_ns=TS_NS, used_count=10, cap_count=10_500)
    assert len(bench.events) >= 2
    assert set(map(type, bench.events)) == {AddressBudgetRead}
    assert bench.events[0] == read
    assert lines[0]["event"] == "address_budget_not_read"
