"""How far a score is: a bar a stage on a terminal, plain lines elsewhere. Always on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from hip3_platform.scoring.score import Shown

_LINES = 20


@contextmanager
def shown_progress() -> Iterator[Shown]:
    """Show progress while the context lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    with Progress(console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Lines:
    def __init__(self) -> None:
        self._text = ""
        self._total = 0
        self._done = 0

    def stage(self, text: str, total: int) -> None:
        self._text, self._total, self._done = text, total, 0

    def on_day(self) -> None:
        self._done += 1
        if self._done % max(1, self._total // _LINES) == 0:
            sys.stderr.write(f"hip3 evidence score: {self._text} {self._done}/{self._total} market-days\n")
            sys.stderr.flush()


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, text: str, total: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=self._bars.tasks[self._task].total)
        self._task = self._bars.add_task(f"{text}, market-days", total=total)

    def on_day(self) -> None:
        if self._task is not None:
            self._bars.advance(self._task)
