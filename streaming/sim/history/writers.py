"""Complete past days of the simulated venue: some writers, each a day at a time.

Rule 1: a day whose manifest exists is left alone unless it is forced; a forced day first loses its manifest, then its
parts, so no reader ever sees half of it.
Rule 2: parts of a run that was killed stand in no manifest; the next run of that day removes them and starts again.
Rule 3: writers take days as JSON lines on their stdin and report in JSON lines on their stdout. They take no Ctrl-C
themselves: the parent terminates them, and should it be killed, the next line finds no reader and ends the writer.
Rule 4: through the engine, a writer has a second process that seals (`sealing`); without it, it seals itself.
"""

import gc
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
from streaming.core.errors import ConfigError, StoreError
from streaming.core.units import NS_PER_DAY
from streaming.sim.history.columnar import ColumnDay
from streaming.sim.history.day import VENUE, Counts, Day
from streaming.sim.history.sealing import Aside
from streaming.sim.history.virtual import VirtualDay

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
_decode_line: Callable[[bytes], _Line] = msgspec.json.Decoder(_Line).decode

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
        for _ in range(min(workers, len(waiting))):
            writers.start(waiting.pop(0))
        while writers.count:
            for stream, written in writers.wait():
                done[written.day] = written
                on_day(written)
                writers.go_on(stream, waiting.pop(0) if waiting else None)
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
        for stream in tuple(self._running):
            self._end(stream)
        self._selector.close()

    @property
    def count(self) -> int:
        """How many are at work."""
        return len(self._running)

    def start(self, day: Day) -> None:
        """Start a writer with its first day."""
        command = [sys.executable, "-m", "streaming.sim.history.writers"]
        # Unbuffered: a line that waited in a buffer of ours would not wake the selector.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603 - our own module
        if process.stdout is None:
            raise StoreError(f"{day.day}: the writer has no stdout")
        self._running[process.stdout] = (day, process)
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self.go_on(process.stdout, day)

    def go_on(self, stream: IO[bytes], day: Day | None) -> None:
        """Give a writer its next day, or let it end."""
        _, process = self._running[stream]
        if day is None:
            self._selector.unregister(stream)
            self._end(stream)
            return
        self._running[stream] = (day, process)
        if process.stdin is not None:
            try:
                process.stdin.write(msgspec.json.encode(day) + b"\n")
            except BrokenPipeError as error:
                raise StoreError(f"expected a writer for {day.day}, found it ended") from error

    def wait(self) -> list[tuple[IO[bytes], DayWritten]]:
        """Wait for news and return the days that are complete, with the stream of their writer.

        Raises:
            StoreError: A writer failed or died.
        """
        ready = [key.fileobj for key, _ in self._selector.select()]
        streams = [stream for stream in self._running if any(stream is each for each in ready)]
        return [(stream, written) for stream in streams if (written := self._take(stream)) is not None]

    def _take(self, stream: IO[bytes]) -> DayWritten | None:
        day, process = self._running[stream]
        raw = stream.readline()
        if not raw.endswith(b"\n"):
            raise StoreError(f"expected the writer of {day.day} to finish, found it ended with code {process.wait()}")
        line = _decode_line(raw)
        if isinstance(line, _Failed):
            raise StoreError(f"{day.day}: {line.reason}")
        if isinstance(line, _HoursDone):
            self._on_hours(day.day, line.count)
            return None
        return line

    def _end(self, stream: IO[bytes]) -> None:
        _, process = self._running.pop(stream)
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        stream.close()


def _work() -> None:
    """Write the days that arrive on stdin and report; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Rows and events hold no cycles; collecting them over and over would take a fifth of the time.
    gc.disable()
    for line in sys.stdin.buffer:
        day = msgspec.json.decode(line, type=Day)
        begin = time.perf_counter()
        try:
            clear(day)
            counts = _write(day)
        except BrokenPipeError:
            # Nobody reads any more; what was written stands in no manifest.
            sys.exit(1)
        except (ConfigError, StoreError, OSError) as error:
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
        gc.collect()


def _write(day: Day) -> Counts:
    def on_hour(count: int) -> None:
        _report(_HoursDone(count))

    if day.is_columnar:
        return ColumnDay(day).write(on_hour)
    virtual = VirtualDay(day)
    with Aside(Path(day.root), virtual.identity.session) as sealer:
        return virtual.write(on_hour, sealer)


def _report(line: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()
