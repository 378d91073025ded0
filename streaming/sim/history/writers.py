"""Complete past days of the simulated venue: one process a day, some days at a time.

Rule 1: a day whose manifest exists is left alone unless it is forced; a forced day first loses its manifest, then its
parts, so no reader ever sees half of it.
Rule 2: parts of a run that was killed stand in no manifest; the next run of that day removes them and starts again.
Rule 3: writers report in JSON lines on their stdout. They take no Ctrl-C themselves: the parent terminates them, and
should it be killed, the next line finds no reader and ends the writer.
"""

import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

import msgspec

from streaming.contracts.manifest import read_manifest
from streaming.contracts.paths import day_of
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY
from streaming.sim.history.virtual import VENUE, Day, VirtualDay

_END_S = 5.0


class DayWritten(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What became of a day."""

    day: str
    session_id: str
    is_new: bool
    """False: it was there already."""
    event_count: int = 0
    """Inputs of the engine; of a day that was there already, the last sequence number with a row."""
    rows: dict[str, int] = {}
    """Rows by table."""
    seconds: float = 0.0

    @property
    def events_per_s(self) -> int:
        """Inputs of the engine a second."""
        return round(self.event_count / self.seconds) if self.seconds else 0


class _HoursDone(msgspec.Struct, frozen=True, tag=True):
    count: int


class _Failed(msgspec.Struct, frozen=True, tag=True):
    reason: str


_Line = _HoursDone | DayWritten | _Failed
_decode_line = msgspec.json.Decoder(_Line).decode

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
            done[day.day] = _as_announced(day)
            on_day(done[day.day])
        else:
            waiting.append(day)
    with _Writers(on_hours) as writers:
        while waiting or writers.count:
            while waiting and writers.count < workers:
                writers.start(waiting.pop(0))
            for written in writers.wait():
                done[written.day] = written
                on_day(written)
    return [done[day.day] for day in days]


def _as_announced(day: Day) -> DayWritten:
    """Return what the manifest of a complete day says."""
    rows: Counter[str] = Counter()
    seq_last = 0
    for line in read_manifest(day.manifest):
        rows[line.table] += line.row_count
        seq_last = max(seq_last, line.seq_max)
    return DayWritten(day=day.day, session_id=day.session_id, is_new=False, event_count=seq_last, rows=dict(rows))


class _Writers:
    """The processes at work; leaving the context ends those that are left."""

    def __init__(self, on_hours: OnHours) -> None:
        self._on_hours = on_hours
        self._selector = selectors.DefaultSelector()
        self._running: dict[IO[bytes], tuple[Day, subprocess.Popen[bytes]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for _, process in self._running.values():
            process.terminate()
        for stream, (_, process) in self._running.items():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            stream.close()
        self._selector.close()

    @property
    def count(self) -> int:
        """How many are at work."""
        return len(self._running)

    def start(self, day: Day) -> None:
        """Start the writer of a day."""
        command = [sys.executable, "-m", "streaming.sim.history.writers", msgspec.json.encode(day).decode()]
        # Unbuffered: a line that waited in a buffer of ours would not wake the selector.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603
        if process.stdout is None:
            raise StoreError(f"{day.day}: the writer has no stdout")
        self._running[process.stdout] = (day, process)
        self._selector.register(process.stdout, selectors.EVENT_READ)

    def wait(self) -> list[DayWritten]:
        """Wait for news and return the days that are complete.

        Raises:
            StoreError: A writer failed or died.
        """
        return [
            written
            for key, _ in self._selector.select()
            for written in self._take(next(stream for stream in self._running if stream is key.fileobj))
        ]

    def _take(self, stream: IO[bytes]) -> list[DayWritten]:
        day, process = self._running[stream]
        raw = stream.readline()
        if not raw.endswith(b"\n"):
            raise StoreError(f"expected the writer of {day.day} to finish, found it ended with code {process.wait()}")
        line = _decode_line(raw)
        if isinstance(line, _Failed):
            raise StoreError(f"{day.day}: {line.reason}")
        if isinstance(line, _HoursDone):
            self._on_hours(day.day, line.count)
            return []
        process.wait()
        self._selector.unregister(stream)
        stream.close()
        del self._running[stream]
        return [line]


def _work(day: Day) -> None:
    """Write one day and report; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begin = time.perf_counter()
    try:
        clear(day)
        counts = VirtualDay(day).write(lambda hours: _report(_HoursDone(hours)))
    except BrokenPipeError:
        # Nobody reads any more; what was written stands in no manifest.
        sys.exit(1)
    except (StoreError, OSError) as error:
        _report(_Failed(str(error)))
        return
    written = DayWritten(
        day=day.day,
        session_id=day.session_id,
        is_new=True,
        event_count=counts.event_count,
        rows=dict(counts.rows),
        seconds=round(time.perf_counter() - begin, 2),
    )
    _report(written)


def _report(line: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work(msgspec.json.decode(sys.argv[1], type=Day))
