"""Complete past days of the simulated venue: one process a day, some days at a time.

Rule 1: a day whose manifest exists is left alone unless it is forced; a forced day first loses its manifest, then its
parts, so no reader ever sees half of it.
Rule 2: parts of a run that was killed stand in no manifest; the next run of that day removes them and starts again.
Rule 3: workers take no Ctrl-C and end with their parent: it terminates them, and each looks for it every hour it wrote.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec

from streaming.contracts.paths import day_of
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY
from streaming.sim.virtual import VENUE, Day, VirtualDay

_JOIN_S = 5.0


class DayWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a day."""

    day: str
    session_id: str
    is_new: bool
    """False: it was there already."""
    event_count: int = 0
    rows: dict[str, int] = {}
    seconds: float = 0.0

    @property
    def events_per_s(self) -> int:
        """Inputs of the engine a second."""
        return round(self.event_count / self.seconds) if self.seconds else 0


class _HoursDone(msgspec.Struct, frozen=True):
    count: int


class _Failed(msgspec.Struct, frozen=True):
    reason: str


OnHours = Callable[[str, int], None]
"""Told a day and how many of its 24 hours are sealed."""


def days_before(now_ns: int, count: int) -> list[str]:
    """Return the last `count` complete UTC days, oldest first."""
    return [day_of(now_ns - back * NS_PER_DAY) for back in range(count, 0, -1)]


def is_written(day: Day) -> bool:
    """Tell whether the day is complete."""
    return day.manifest.exists()


def clear(day: Day) -> None:
    """Remove everything of a day's session, its announcement first."""
    day.manifest.unlink(missing_ok=True)
    for part in Path(day.root).glob(f"landing/*/venue={VENUE}/day={day.day}/{day.session_id}-*"):
        part.unlink(missing_ok=True)


def write_days(
    days: Sequence[Day], *, workers: int, is_forced: bool, on_hours: OnHours, on_day: Callable[[DayWritten], None]
) -> list[DayWritten]:
    """Write days that are not there yet, up to `workers` at a time; returns one result a day, in the order given.

    Raises:
        StoreError: A day could not be written; the others that had begun are given up.
    """
    done: dict[str, DayWritten] = {}
    waiting: list[Day] = []
    for day in days:
        if is_written(day) and not is_forced:
            done[day.day] = DayWritten(day=day.day, session_id=day.session_id, is_new=False)
            on_day(done[day.day])
        else:
            waiting.append(day)
    running: dict[Connection, tuple[Day, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                _start(running, waiting.pop(0))
            for link in wait(list(running)):
                if not isinstance(link, Connection):
                    continue
                day, process = running[link]
                message = _receive(link, day, process)
                if isinstance(message, _HoursDone):
                    on_hours(day.day, message.count)
                    continue
                done[day.day] = message
                on_day(message)
                process.join()
                link.close()
                del running[link]
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join(_JOIN_S)
    return [done[day.day] for day in days]


def _start(running: dict[Connection, tuple[Day, SpawnProcess]], day: Day) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(day, theirs, os.getpid()), name=f"history {day.day}", daemon=True)
    process.start()
    theirs.close()
    running[ours] = (day, process)


def _receive(link: Connection, day: Day, process: SpawnProcess) -> _HoursDone | DayWritten:
    try:
        message = link.recv()
    except EOFError:
        process.join(_JOIN_S)
        raise StoreError(
            f"expected the writer of {day.day} to finish, found it ended with code {process.exitcode}"
        ) from None
    if isinstance(message, _Failed):
        raise StoreError(f"{day.day}: {message.reason}")
    return message  # type: ignore[no-any-return]


def _work(day: Day, link: Connection, parent: int) -> None:
    """Write one day in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def on_hour(count: int) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)
        link.send(_HoursDone(count))

    begin = time.perf_counter()
    try:
        clear(day)
        counts = VirtualDay(day).write(on_hour)
    except (StoreError, OSError) as error:
        link.send(_Failed(str(error)))
        return
    written = DayWritten(
        day=day.day,
        session_id=day.session_id,
        is_new=True,
        event_count=counts.event_count,
        rows=dict(counts.rows),
        seconds=round(time.perf_counter() - begin, 2),
    )
    link.send(written)
