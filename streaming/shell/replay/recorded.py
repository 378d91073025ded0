"""The recorded sessions that a replay decides again: which of them, segment by segment, input by input.

Rule 1: memory holds one segment.
Rule 2: a writer killed between an input and its outputs leaves an input that nothing was decided on: it is left out.
Rule 3: a run over more than a few seconds says how far it is, on stderr.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from streaming.contracts.paths import day_begin_ns, journal_folder
from streaming.core.errors import StoreError
from streaming.core.events import SessionClosed
from streaming.core.units import NS_PER_DAY, NS_PER_S
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import (
    SegmentFile,
    Step,
    list_segments,
    list_sessions,
    opened_ts_ns,
    read_session,
    steps,
)

TOLD_EVERY_NS = 3 * NS_PER_S
_TS_NS_MAX = 2**63 - 1

Tell = Callable[[str], None]
"""Takes what the progress is."""


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A session, or the segments of it that touch the day in question."""

    session_id: str
    folder: Path
    segments: list[SegmentFile]


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """One segment: its header, its inputs with what was decided on them, and the bytes of a torn tail."""

    header: fmt.SegmentHeader
    steps: Iterator[Step]
    torn_byte_count: int


@dataclass(frozen=True, slots=True)
class Span:
    """The inputs that count, by receive time: all of them, or those of a UTC day."""

    begin_ns: int
    end_ns: int

    @classmethod
    def of(cls, day: str | None) -> "Span":
        """Return the span of a day (YYYY-MM-DD), or of everything."""
        if day is None:
            return cls(0, _TS_NS_MAX)
        begin_ns = day_begin_ns(day)
        return cls(begin_ns, begin_ns + NS_PER_DAY)

    def has(self, ts_ns: int) -> bool:
        """Say whether an instant (ns UTC) lies in it."""
        return self.begin_ns <= ts_ns < self.end_ns


def recorded_sessions(root: Path, venue: str, *, session_id: str | None, day: str | None) -> Iterator[RecordedSession]:
    """Yield one session, or every session of a venue that may have inputs in a UTC day.

    Raises:
        StoreError: A journal is damaged.
    """
    for name in [session_id] if session_id is not None else list_sessions(root, venue):
        folder = journal_folder(root, venue, name)
        segments = list_segments(folder)
        if day is not None:
            segments = _touching(segments, Span.of(day))
        if segments:
            yield RecordedSession(name, folder, segments)


def newest_session(root: Path, venue: str) -> str:
    """Return the session of a venue that recorded last.

    Raises:
        StoreError: Nothing was ever recorded.
    """
    sessions = list_sessions(root, venue)
    if not sessions:
        raise StoreError(
            f"expected a journal of venue {venue} in {root}, found none; --warehouse and --venue name others"
        )
    return sessions[-1]


def nothing_recorded(root: Path, venue: str, *, session_id: str | None, day: str | None) -> StoreError:
    """Return the error for a question that no journal answers."""
    what = f"session {session_id}" if session_id is not None else f"day {day}"
    return StoreError(f"expected a journal for {what} of venue {venue} in {root}, found none")


def recorded_segments(session: RecordedSession, tell: Tell) -> Iterator[RecordedSegment]:
    """Yield the segments of a session in order.

    Raises:
        StoreError: Damage, or nothing was recorded at all.
    """
    folder, segments = session.folder, session.segments
    is_tail = segments[-1].number == list_segments(folder)[-1].number
    is_empty = True
    for index, (header, body) in enumerate(_by_segment(read_session(folder, segments)), 1):
        is_empty = False
        is_end = is_tail and header.number == segments[-1].number
        torn = sum(r.byte_count for r in body if isinstance(r, fmt.TornTail))
        tell(f"{session.session_id}: segment {index} of {len(segments)}, {len(body):,} records")
        yield RecordedSegment(header, _decided(steps(body), is_end=is_end), torn)
    if is_empty:
        raise StoreError(f"{folder}: nothing was recorded")


def told_on_stderr(command: str) -> Tell:
    """Return a `Tell` that writes at most one line every few seconds, none before the first of them have passed."""
    told_ns = time.monotonic_ns()

    def tell(text: str) -> None:
        nonlocal told_ns
        now = time.monotonic_ns()
        if now - told_ns >= TOLD_EVERY_NS:
            told_ns = now
            sys.stderr.write(f"{command}: {text}\n")
            sys.stderr.flush()

    return tell


def told_nowhere(_text: str) -> None:
    """Be a `Tell` for callers that want silence."""


def _touching(segments: list[SegmentFile], span: Span) -> list[SegmentFile]:
    opened = [opened_ts_ns(segment) for segment in segments]
    ends = [*opened[1:], _TS_NS_MAX][: len(opened)]
    return [
        segment
        for segment, first, last in zip(segments, opened, ends, strict=True)
        if first is not None and first < span.end_ns and (last is None or last >= span.begin_ns)
    ]


def _decided(found: Iterator[Step], *, is_end: bool) -> Iterator[Step]:
    held = next(found, None)
    for step in found:
        if held is not None:
            yield held
        held = step
    if held is not None and (not is_end or held.outputs or isinstance(held.event, SessionClosed)):
        yield held


def _by_segment(records: Iterator[fmt.Record]) -> Iterator[tuple[fmt.SegmentHeader, list[fmt.Record]]]:
    header: fmt.SegmentHeader | None = None
    body: list[fmt.Record] = []
    for record in records:
        if isinstance(record, fmt.SegmentHeader):
            if header is not None:
                yield header, body
            header, body = record, []
        else:
            body.append(record)
    if header is not None:
        yield header, body
