"""Processes that work tasks off, two by default.

Rule 1: a task is worked by one process and follows from its own fields, so results do not depend on how many there are.
Rule 2: a worker reads a task a line on stdin and answers in JSON lines on stdout. It takes no Ctrl-C itself: the parent
terminates it, and should the parent be killed, the next line finds no reader, or stdin ends, and the worker ends.
"""

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Self

import msgspec

from hip3_platform.scoring.brought import TablesTask, work_tables
from hip3_platform.scoring.plans import Plan
from hip3_platform.scoring.truth import Sheet, sheet_of
from hip3_platform.scoring.universe import Found, UniverseTask, work_universe
from streaming.core.errors import Hip3Error, StoreError

_END_S = 5.0
_READ_BYTES = 1 << 20


class TruthTask(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Simulate the truth of one market."""

    plan: Plan
    coin: str
    days: int


Task = TruthTask | UniverseTask | TablesTask


class _Day(msgspec.Struct, frozen=True, tag=True):
    """Another market-day is done."""


class _SheetDone(msgspec.Struct, frozen=True, tag=True):
    sheet: Sheet


class _UniverseDone(msgspec.Struct, frozen=True, tag=True):
    found: Found


class _Failed(msgspec.Struct, frozen=True, tag=True):
    reason: str


_Line = _Day | _SheetDone | _UniverseDone | _Failed
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_task = msgspec.json.Decoder(Task).decode


class _Worker:
    """One process and the place of the task it has."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "hip3_platform.scoring.workers"]
        # Unbuffered: a line that waited in a buffer not ours would not wake the selector.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603 - our own module
        if self.process.stdin is None or self.process.stdout is None:
            raise StoreError("the worker has no pipes")
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        self.place = -1
        self._begun = b""

    def lines(self) -> list[_Line]:
        """Read what has come; lines that are not complete wait for the rest."""
        raw = os.read(self.stdout.fileno(), _READ_BYTES)
        if not raw:
            raise StoreError(f"expected the worker to answer, found it ended with code {self.process.wait()}")
        *lines, self._begun = (self._begun + raw).split(b"\n")
        return [_decode_line(line) for line in lines]

    def give(self, place: int, task: Task) -> None:
        self.place = place
        self.stdin.write(msgspec.json.encode(task) + b"\n")

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stdin.close()
        self.stdout.close()


class Workers:
    """The processes at work; leaving the context ends them."""

    def __init__(self, count: int) -> None:
        """Start `count` processes."""
        self._workers = [_Worker() for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [worker.process.pid for worker in self._workers]

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.end()

    def results(self, tasks: Sequence[Task], on_day: Callable[[], None]) -> Iterator[tuple[int, Sheet | Found]]:
        """Yield place and result of every task, as they are done.

        Raises:
            StoreError: A worker died.
            Hip3Error: A task can not be worked; the text says why.
        """
        left = deque(enumerate(tasks))
        with selectors.DefaultSelector() as selector:
            for worker in self._workers[: len(tasks)]:
                worker.give(*left.popleft())
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            while selector.get_map():
                for key, _ in selector.select():
                    worker = key.data
                    for line in worker.lines():
                        result = _result(line)
                        if result is None:
                            on_day()
                            continue
                        yield worker.place, result
                        if left:
                            worker.give(*left.popleft())
                        else:
                            selector.unregister(worker.stdout)


def _result(line: _Line) -> Sheet | Found | None:
    match line:
        case _Day():
            return None
        case _SheetDone(sheet):
            return sheet
        case _UniverseDone(found):
            return found
        case _Failed(reason):
            raise Hip3Error(reason)


def _work() -> None:
    """Work off what stdin brings; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for raw in sys.stdin.buffer:
            _report(_done(_decode_task(raw)))
    except BrokenPipeError:
        sys.exit(1)  # nobody reads any more
    except Hip3Error as error:
        _report(_Failed(str(error)))


def _done(task: Task) -> _Line:
    match task:
        case TruthTask():
            return _SheetDone(sheet_of(task.plan, task.coin, task.days, lambda: _report(_Day())))
        case UniverseTask():
            return _UniverseDone(work_universe(task, lambda: _report(_Day())))
        case TablesTask():
            return _UniverseDone(work_tables(task, lambda: _report(_Day())))


def _report(line: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()
