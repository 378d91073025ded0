"""How far history is: a bar a day on a terminal, plain lines elsewhere. Always on stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from streaming.sim.history.writers import DayWritten

_HOURS = 24
_TOLD = ("bbo", "ctx", "trades", "episodes", "signals")
_LINE_EVERY_HOURS = 6


class Shown(Protocol):
    """Receives progress."""

    def on_hours(self, day: str, count: int) -> None:
        """Take over that `count` hours of a day are sealed."""

    def on_day(self, written: DayWritten) -> None:
        """Take over that a day is complete."""


@contextmanager
def shown_progress(days: Sequence[str]) -> Iterator[Shown]:
    """Show the progress of `days` while the context lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars, days)


def day_text(written: DayWritten) -> str:
    """Return one line about a day."""
    rows = written.rows
    counts = ", ".join(f"{rows[table]:,} {table}" for table in _TOLD if table in rows)
    text = f"{written.day}: {written.event_count:,} events, {counts}, {sum(rows.values()):,} rows"
    if not written.is_new:
        return f"{text}, already there"
    return f"{text} in {written.seconds:.1f} s ({written.events_per_s:,} events/s)"


class _Lines:
    def on_hours(self, day: str, count: int) -> None:
        if count == 1 or count % _LINE_EVERY_HOURS == 0:
            sys.stderr.write(f"hip3 history: {day} {count}/{_HOURS} h\n")
            sys.stderr.flush()

    def on_day(self, written: DayWritten) -> None:
        sys.stderr.write(f"hip3 history: {written.day} {'written' if written.is_new else 'already there'}\n")
        sys.stderr.flush()


class _Bars:
    def __init__(self, bars: Progress, days: Sequence[str]) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {day: bars.add_task(day, total=_HOURS, note="waiting") for day in days}

    def on_hours(self, day: str, count: int) -> None:
        self._bars.update(self._tasks[day], completed=count, note=f"{count}/{_HOURS} h")

    def on_day(self, written: DayWritten) -> None:
        note = f"{written.event_count:,} events" if written.is_new else "already there"
        self._bars.update(self._tasks[written.day], completed=_HOURS, note=note)
