"""The turn: written down whole before anything acts on it, in the order in which it happened."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from core_builders import a_poll, a_status, stamps
from loopback_feed import run
from shell_parts import FakeClock, Shell, a_shell

from streaming.core.effects import HealthSampled, LatchChanged
from streaming.core.errors import StoreError
from streaming.core.events import (
    BboUpdated,
    ConnectionOpened,
    FrameMalformed,
    SessionClosed,
    StopRequested,
    TimerFired,
)
from streaming.shell.journal.reader import list_segments, read_session, steps
from streaming.shell.process.faults import Faults

BBO = (
    b'{"channel":"bbo","data":{"coin":"xyz:NVDA","time":1790000000000,'
    b'"bbo":[{"px":"99.98","sz":"5","n":1},{"px":"100.02","sz":"5","n":1}]}}'
)


def opened(at_ms: float = 0) -> ConnectionOpened:
    return ConnectionOpened(**stamps(at_ms), generation=1)


def spied(monkeypatch: pytest.MonkeyPatch, shell: Shell, calls: list[str], *names: str) -> None:
    """Record the order of the journal's calls."""
    for name in names:
        original: Callable[..., object] = getattr(shell.journal, name)

        def call(*args: object, _name: str = name, _original: Callable[..., object] = original) -> object:
            calls.append(_name)
            return _original(*args)

        monkeypatch.setattr(shell.journal, name, call)


def test_runtime_effects_run_after_one_write_of_the_whole_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    async def play() -> None:
        shell = a_shell(tmp_path)
        spied(monkeypatch, shell, calls, "append_frame", "append_event", "append_outputs", "commit")
        shell.runtime.on_outputs = lambda _: calls.append("effects")
        shell.runtime.apply(opened())
        shell.runtime.frame_received(BBO, 1)
        shell.runtime.frame_received(BBO, 1)
        assert "commit" not in calls
        await shell.turn()
        shell.close()

    run(play())
    assert calls[:6] == ["append_event", "append_outputs", "append_frame", "append_frame", "commit", "effects"]


def test_runtime_journal_holds_every_input_with_dense_sequence(tmp_path: Path) -> None:
    async def play() -> Path:
        shell = a_shell(tmp_path)
        shell.runtime.apply(opened())
        shell.runtime.frame_received(BBO, 1)
        await shell.turn()
        shell.runtime.frame_received(b"\xff not json", 1)
        shell.runtime.apply(SessionClosed(**stamps(5), reason="test"))
        shell.close()
        return shell.journal.folder

    folder = run(play())
    recorded = list(steps(read_session(folder, list_segments(folder))))
    assert [step.seq for step in recorded] == [1, 2, 3, 4]
    assert [type(step.event) for step in recorded] == [ConnectionOpened, BboUpdated, FrameMalformed, SessionClosed]


def test_runtime_write_failure_stops_effects_and_reaches_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> tuple[BaseException, Shell]:
        faults = Faults()
        asyncio.get_running_loop().set_exception_handler(faults.loop_exception)
        shell = a_shell(tmp_path)

        def fail() -> None:
            raise StoreError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(shell.journal, "commit", fail)
            shell.runtime.apply(opened())
            fault = await faults.first()
        shell.journal.close()
        return fault, shell

    fault, shell = run(play())
    assert isinstance(fault, StoreError)
    assert shell.outputs == []


def test_runtime_engine_deadlines_become_timer_events(tmp_path: Path) -> None:
    clock = FakeClock()

    async def play() -> Shell:
        shell = a_shell(tmp_path, clock=clock)
        seen = asyncio.Event()
        shell.runtime.on_outputs = lambda outputs: (
            seen.set() if any(isinstance(output, HealthSampled) for output in outputs) else None
        )
        shell.runtime.apply(opened())
        await shell.turn()
        clock.advance(1_000)
        shell.runtime._alarm.set(clock.mono_ns())
        await seen.wait()
        shell.close()
        return shell

    shell = run(play())
    kinds = [type(step.event) for step in steps(read_session(shell.journal.folder))]
    assert kinds == [ConnectionOpened, TimerFired]


def test_runtime_alarm_that_rings_early_waits_on(tmp_path: Path) -> None:
    """The loop's timer and CLOCK_BOOTTIME are two clocks; an early ring must not become an event."""
    clock = FakeClock()

    async def play() -> int:
        shell = a_shell(tmp_path, clock=clock)
        shell.runtime.apply(opened())
        await shell.turn()
        shell.runtime._alarm._elapsed()
        seq = shell.runtime.state.seq
        shell.close()
        return seq

    assert run(play()) == 1


def test_runtime_command_is_answered_after_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    async def play() -> tuple[bool, Shell]:
        shell = a_shell(tmp_path)
        shell.runtime.apply(opened())
        await shell.turn()
        spied(monkeypatch, shell, calls, "append_event", "commit")
        answer = await shell.runtime.command(
            lambda command_id, mono_ns, ts_ns: StopRequested(
                recv_mono_ns=mono_ns, recv_ts_ns=ts_ns, command_id=command_id, reason="test", operator="me"
            )
        )
        calls.append("answered")
        shell.close()
        return answer.is_accepted, shell

    is_accepted, shell = run(play())
    assert is_accepted
    assert calls[:3] == ["append_event", "commit", "answered"]
    assert len(shell.of_type(LatchChanged)) == 1


def test_runtime_after_close_takes_nothing(tmp_path: Path) -> None:
    async def play() -> int:
        shell = a_shell(tmp_path)
        shell.runtime.apply(opened())
        shell.close()
        shell.runtime.apply(a_poll(1, a_status()))
        shell.runtime.frame_received(BBO, 1)
        return shell.runtime.state.seq

    assert run(play()) == 1


def test_runtime_rolls_segment_with_state_as_of_its_last_input(tmp_path: Path) -> None:
    clock = FakeClock()

    async def play() -> Path:
        shell = a_shell(tmp_path, clock=clock)
        shell.runtime.apply(opened())
        await shell.turn()
        clock.advance(3_600_000)
        shell.runtime.frame_received(BBO, 1)
        await shell.turn()
        shell.close()
        return shell.journal.folder

    folder = run(play())
    assert [segment.number for segment in list_segments(folder)] == [1, 2]
    assert [step.seq for step in steps(read_session(folder))] == [1, 2]
