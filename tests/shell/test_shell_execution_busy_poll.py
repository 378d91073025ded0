"""Polling instead of sleeping: for a while after a turn, for sessions that may enter, on a core that is theirs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shell_parts import FakeClock
from trading_builders import a_desk

from streaming.core.units import NS_PER_MS
from streaming.shell.execution.busy_poll import BACK_OFF_NS, CROWDED_NS, BusyPoll

POLL_MS = 10
CROWDED_MS = CROWDED_NS / NS_PER_MS
STEP_MS = CROWDED_MS / 2


class Bench:
    """A session that may trade for real, polling by a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = a_desk().state
        self.crowded: list[None] = []
        self.poll = BusyPoll(
            self.state, poll_ms=POLL_MS, clock=self.clock, on_crowded=lambda: self.crowded.append(None)
        )

    def turn(self) -> None:
        self.poll.turn_ended()

    async def pass_time(self, ms: float) -> None:
        """Let time pass, and the loop look once."""
        self.clock.advance(ms)
        await asyncio.sleep(0)


def on_bench(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        bench = Bench()
        try:
            await test(bench)
        finally:
            bench.poll.close()
        assert not bench.poll.is_polling

    asyncio.run(main())


def test_busy_poll_keeps_the_loop_awake_for_a_while_after_the_last_turn() -> None:
    async def test(bench: Bench) -> None:
        bench.turn()
        for _ in range(5):
            await bench.pass_time(STEP_MS)
        bench.turn()  # the while begins anew
        for _ in range(round(POLL_MS / STEP_MS) - 1):
            await bench.pass_time(STEP_MS)
            assert bench.poll.is_polling
        await bench.pass_time(STEP_MS)
        assert not bench.poll.is_polling
        assert not bench.crowded

    on_bench(test)


def test_busy_poll_lets_whatever_is_ready_run_in_between() -> None:
    async def test(bench: Bench) -> None:
        bench.turn()
        ran = []
        asyncio.get_running_loop().call_soon(ran.append, "callback")
        await bench.pass_time(STEP_MS)
        assert ran == ["callback"]
        assert bench.poll.is_polling

    on_bench(test)


def test_busy_poll_lets_a_session_sleep_that_may_not_enter() -> None:
    async def test(bench: Bench) -> None:
        bench.state.control.is_armed = False
        bench.turn()
        assert not bench.poll.is_polling

    on_bench(test)


def test_busy_poll_takes_a_long_turn_of_its_own_for_no_crowd() -> None:
    async def test(bench: Bench) -> None:
        bench.turn()
        bench.clock.advance(5 * CROWDED_MS)  # spent on the turn that ends now
        bench.turn()
        await bench.pass_time(STEP_MS)
        assert bench.poll.is_polling
        assert not bench.crowded

    on_bench(test)


def test_busy_poll_gives_way_when_somebody_else_wants_the_core() -> None:
    async def test(bench: Bench) -> None:
        bench.turn()
        await bench.pass_time(CROWDED_MS + STEP_MS)  # we were ready to run all that time
        assert not bench.poll.is_polling
        assert len(bench.crowded) == 1
        await bench.pass_time(BACK_OFF_NS / NS_PER_MS - STEP_MS)
        bench.turn()
        assert not bench.poll.is_polling
        await bench.pass_time(STEP_MS)
        bench.turn()
        assert bench.poll.is_polling

    on_bench(test)
