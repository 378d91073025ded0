"""Answers what the engine asks about the account, in the background and within bounds.

Why this module exists: the engine asks without waiting; a venue that is slow or down must cost no more than a few
requests, and every question must end, so that nothing waits for an answer that is not coming.

Rule 1: at most `TASK_COUNT_MAX` questions are asked at a time, the rest wait in order, at most `WAITING_COUNT_MAX`.
Rule 2: of the account's state only the newest question is asked: an older one that still waits is void.
Rule 3: every question ends as one event; a venue's failure, a full queue and a void question are `QueryFailed`.
Rule 4: an exception that is no `VenueError` ends the process (F-71).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from streaming.core.errors import VenueError
from streaming.core.events import AnyEvent
from streaming.core.trading.effects import AccountAsked, FillsAsked, OrderAsked
from streaming.core.trading.events import AccountRead, AddressBudgetRead, FillsRead, OrderRead, QueryFailed
from streaming.shell.clock import Clock
from streaming.shell.info.rest import InfoClient
from streaming.shell.process.faults import Faults
from streaming.shell.telemetry.logs import get_logger

TASK_COUNT_MAX: Final = 3
WAITING_COUNT_MAX: Final = 64
BUDGET_S: Final = 60.0
_REASON_LENGTH_MAX: Final = 200

Question = AccountAsked | FillsAsked | OrderAsked


class Questions:
    """Asks the venue about one account."""

    def __init__(
        self,
        client: InfoClient,
        *,
        account: str,
        dexes: Sequence[str],
        apply: Callable[[AnyEvent], None],
        clock: Clock,
        faults: Faults,
    ) -> None:
        """Ask nothing before `ask`.

        Args:
            client: Of the venue.
            account: Master address, never an agent's.
            dexes: Watched dexes, in the order of `AccountRead.accounts`.
            apply: `Runtime.apply`.
            clock: Stamps.
            faults: Takes what a task raises.
        """
        self._client = client
        self._account = account
        self._dexes = tuple(dexes)
        self._apply = apply
        self._clock = clock
        self._faults = faults
        self._waiting: deque[Question] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(component="questions")

    def ask(self, question: Question) -> None:
        """Ask as soon as there is room; returns at once."""
        if isinstance(question, AccountAsked):
            self._drop_older()
        if len(self._waiting) >= WAITING_COUNT_MAX:
            self._failed(question.query_id, "too many questions wait")
            return
        self._waiting.append(question)
        self._start()

    async def watch_budget(self) -> None:
        """Read the account's request budget every minute until cancelled."""
        while True:
            try:
                budget = await self._client.user_rate_limit(self._account)
            except VenueError as error:
                self._log.warning("address_budget_not_read", error=str(error)[:_REASON_LENGTH_MAX])
            else:
                self._apply(
                    AddressBudgetRead(
                        recv_mono_ns=self._clock.mono_ns(),
                        recv_ts_ns=self._clock.ts_ns(),
                        used_count=budget.used_count,
                        cap_count=budget.cap_count + budget.surplus_count,
                    )
                )
            await asyncio.sleep(BUDGET_S)

    async def close(self) -> None:
        """Drop every question; nobody is left to hear the answers."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_older(self) -> None:
        older = [waiting for waiting in self._waiting if isinstance(waiting, AccountAsked)]
        for question in older:
            self._waiting.remove(question)
            self._failed(question.query_id, "a newer question about the account replaced it")

    def _start(self) -> None:
        while self._waiting and len(self._tasks) < TASK_COUNT_MAX:
            task = asyncio.get_running_loop().create_task(self._answer(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._faults.report(error)
            return
        self._start()

    async def _answer(self, question: Question) -> None:
        try:
            event = await self._asked(question)
        except VenueError as error:
            self._failed(question.query_id, str(error))
        else:
            self._apply(event)

    async def _asked(self, question: Question) -> AnyEvent:
        match question:
            case AccountAsked():
                return await self._account_read(question)
            case FillsAsked():
                return await self._fills_read(question)
            case OrderAsked():
                return await self._order_read(question)

    async def _account_read(self, question: AccountAsked) -> AccountRead:
        accounts = [
            await self._client.clearinghouse_state(self._account, dex, is_essential=True) for dex in self._dexes
        ]
        return AccountRead(
            recv_mono_ns=self._clock.mono_ns(),
            recv_ts_ns=self._clock.ts_ns(),
            query_id=question.query_id,
            accounts=tuple(accounts),
        )

    async def _fills_read(self, question: FillsAsked) -> FillsRead:
        fills = await self._client.user_fills_by_time(self._account, question.start_ts_ms, is_essential=True)
        return FillsRead(
            recv_mono_ns=self._clock.mono_ns(),
            recv_ts_ns=self._clock.ts_ns(),
            query_id=question.query_id,
            start_ts_ms=question.start_ts_ms,
            fills=fills,
        )

    async def _order_read(self, question: OrderAsked) -> OrderRead:
        venue_ts_ms = await self._venue_ts_ms()
        update = await self._client.order_status(self._account, question.cloid, is_essential=True)
        return OrderRead(
            recv_mono_ns=self._clock.mono_ns(),
            recv_ts_ns=self._clock.ts_ns(),
            query_id=question.query_id,
            cloid=question.cloid,
            update=update,
            venue_ts_ms=venue_ts_ms,
        )

    async def _venue_ts_ms(self) -> int:
        """Read the venue's time before the answer that it dates: `unknownOid` brings none of its own."""
        try:
            return (await self._client.exchange_status()).venue_ts_ms
        except VenueError:
            return 0

    def _failed(self, query_id: int, reason: str) -> None:
        self._apply(
            QueryFailed(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                query_id=query_id,
                reason=reason[:_REASON_LENGTH_MAX],
            )
        )
