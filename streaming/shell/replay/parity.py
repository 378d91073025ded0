"""Parity: the recorded inputs are decided again and compared with the recorded decisions (I-24).

Nothing else re-decides. The first difference is reported with its seq, both lists of outputs and both gate vectors.

Rule 1: equal means equal bytes of the recorded encoding.
Rule 2: each segment also carries a snapshot; the state that was reached must encode to the same bytes.
Rule 3: with changed limits (`--set`) it is a what-if: both counts are told and nothing is a failure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streaming.contracts.paths import day_begin_ns, journal_folder
from streaming.core.effects import AnyOutput, GatesEvaluated, OrderChanged
from streaming.core.engine import decode_snapshot, encode_snapshot
from streaming.core.engine import step as decide
from streaming.core.errors import StoreError
from streaming.core.events import LimitsReloaded, SessionClosed
from streaming.core.state import EngineState
from streaming.core.trading.effects import ActionDecided, LiveOrderChanged
from streaming.core.units import NS_PER_DAY
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import (
    SegmentFile,
    Step,
    list_segments,
    list_sessions,
    opened_ts_ns,
    read_session,
    state_before,
    steps,
)
from streaming.shell.replay.whatif import changed_limits

_TS_NS_MAX = 2**63 - 1


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One input on which the recorded decision and the one taken now differ."""

    session_id: str
    seq: int
    recv_ts_ns: int
    event: str
    coin: str
    recorded: list[Any]
    decided: list[Any]
    recorded_gates: list[Any]
    decided_gates: list[Any]


class SessionParity(msgspec.Struct, kw_only=True):
    """Result of one session, or of the part of it that lies in the day."""

    session_id: str
    code_version: str
    segment_count: int = 0
    input_count: int = 0
    decision_count: int = 0
    """Recorded outputs."""
    difference_count: int = 0
    state_difference_count: int = 0
    """Segments whose snapshot is not the state that was reached."""
    torn_byte_count: int = 0
    recorded_counts: dict[str, int] = {}
    decided_counts: dict[str, int] = {}
    first_difference: Difference | None = None


class ParityReport(msgspec.Struct, kw_only=True):
    """Result of a session or of all sessions of a day."""

    venue: str
    day: str | None
    code_version: str
    """Of the code that decided again."""
    settings: list[str]
    """Changed limits; with any it is a what-if."""
    is_equal: bool
    is_same_code: bool
    """All sessions were recorded by the code that decided again; otherwise a difference may be the change of code."""
    session_count: int
    input_count: int
    decision_count: int
    difference_count: int
    state_difference_count: int
    first_difference: Difference | None
    sessions: list[SessionParity]


def check_parity(
    root: Path,
    venue: str,
    *,
    code_version: str,
    session_id: str | None = None,
    day: str | None = None,
    settings: Sequence[str] = (),
) -> ParityReport:
    """Decide the recorded inputs of one session, or of every session with inputs in a UTC day, again.

    Raises:
        StoreError: No such session, nothing recorded for the day, or a damaged journal.
    """
    names = [session_id] if session_id is not None else list_sessions(root, venue)
    sessions = []
    for name in names:
        segments = _segments_of_day(journal_folder(root, venue, name), day)
        if segments:
            result = _check_session(segments, day=day, settings=settings)
            if result.input_count or session_id is not None:
                sessions.append(result)
    if not sessions:
        what = f"session {session_id}" if session_id is not None else f"day {day}"
        raise StoreError(f"expected a journal for {what} of venue {venue} in {root}, found none")
    firsts = [s.first_difference for s in sessions if s.first_difference is not None]
    difference_count = sum(s.difference_count for s in sessions)
    state_difference_count = sum(s.state_difference_count for s in sessions)
    return ParityReport(
        venue=venue,
        day=day,
        code_version=code_version,
        settings=list(settings),
        is_equal=not difference_count and not state_difference_count,
        is_same_code=all(session.code_version == code_version for session in sessions),
        session_count=len(sessions),
        input_count=sum(s.input_count for s in sessions),
        decision_count=sum(s.decision_count for s in sessions),
        difference_count=difference_count,
        state_difference_count=state_difference_count,
        first_difference=firsts[0] if firsts else None,
        sessions=sessions,
    )


def _segments_of_day(folder: Path, day: str | None) -> list[SegmentFile]:
    segments = list_segments(folder)
    if day is None:
        return segments
    begin_ns = day_begin_ns(day)
    opened = [opened_ts_ns(segment) for segment in segments]
    ends = [*opened[1:], _TS_NS_MAX]
    return [
        segment
        for segment, first, last in zip(segments, opened, ends, strict=True)
        if first is not None and first < begin_ns + NS_PER_DAY and (last is None or last >= begin_ns)
    ]


class _Checker:
    """Carries the state of one session's re-decision from input to input."""

    def __init__(self, result: SessionParity, state: EngineState, day: str | None, settings: Sequence[str]) -> None:
        self._result = result
        self._state = state
        self._settings = settings
        self._begin_ns = 0 if day is None else day_begin_ns(day)
        self._end_ns = _TS_NS_MAX if day is None else self._begin_ns + NS_PER_DAY
        self._recorded: Counter[str] = Counter()
        self._decided: Counter[str] = Counter()
        self._has_begun = False
        self._unlike: tuple[Step, list[AnyOutput]] | None = None
        """A difference, counted when the next input shows that the process lived on."""

    def compare_state(self, header: fmt.SegmentHeader) -> None:
        """Compare the state reached with the snapshot of a segment, then go on from the recorded one."""
        if not self._settings and encode_snapshot(self._state) != header.snapshot:
            self._result.state_difference_count += 1
            self._state = decode_snapshot(header.snapshot)

    def compare(self, step: Step) -> None:
        """Decide one input again."""
        self._count_unlike()
        event = step.event
        if self._settings:
            if not self._has_begun:
                self._change_limits(step)
            if isinstance(event, LimitsReloaded):
                event = msgspec.structs.replace(event, limits=changed_limits(event.limits, self._settings))
        decided = decide(self._state, event)
        if not self._begin_ns <= event.recv_ts_ns < self._end_ns:
            return
        result = self._result
        result.input_count += 1
        if not decided and not step.outputs:
            return
        result.decision_count += len(step.outputs)
        self._recorded.update(map(_kind, step.outputs))
        self._decided.update(map(_kind, decided))
        if not self._settings and fmt.encode_outputs(decided) != fmt.encode_outputs(step.outputs):
            self._unlike = step, decided

    def finish(self) -> None:
        """Put the counts into the result."""
        if self._unlike is not None and _is_cut(*self._unlike):
            self._unlike = None
        self._count_unlike()
        self._result.recorded_counts = dict(sorted(self._recorded.items()))
        self._result.decided_counts = dict(sorted(self._decided.items()))

    def _count_unlike(self) -> None:
        found, self._unlike = self._unlike, None
        if found is not None:
            self._result.difference_count += 1
            if self._result.first_difference is None:
                self._result.first_difference = _difference(self._result.session_id, *found)

    def _change_limits(self, step: Step) -> None:
        self._has_begun = True
        session = self._state.session
        decide(
            self._state,
            LimitsReloaded(
                recv_mono_ns=step.event.recv_mono_ns,
                recv_ts_ns=step.event.recv_ts_ns,
                command_id=0,
                config_hash=session.config_hash,
                limits=changed_limits(self._state.limits, self._settings),
            ),
        )


def _check_session(segments: list[SegmentFile], *, day: str | None, settings: Sequence[str]) -> SessionParity:
    folder = segments[0].path.parent
    is_tail = segments[-1].number == list_segments(folder)[-1].number
    result: SessionParity | None = None
    checker: _Checker | None = None
    for header, body in _by_segment(read_session(folder, segments)):
        if checker is None or result is None:
            result = SessionParity(session_id=header.session.session_id, code_version=header.session.code_version)
            checker = _Checker(result, state_before(folder, header), day, settings)
        else:
            checker.compare_state(header)
        result.segment_count += 1
        for step, is_last in _with_last(steps(body)):
            # A writer killed between an input and its outputs leaves an input that nothing was decided on.
            is_cut = is_last and is_tail and header.number == segments[-1].number and not step.outputs
            if not is_cut or isinstance(step.event, SessionClosed):
                checker.compare(step)
        result.torn_byte_count += sum(r.byte_count for r in body if isinstance(r, fmt.TornTail))
    if checker is None or result is None:
        raise StoreError(f"{folder}: nothing was recorded")
    checker.finish()
    return result


def _with_last(found: Iterator[Step]) -> Iterator[tuple[Step, bool]]:
    held = next(found, None)
    for step in found:
        if held is not None:
            yield held, False
        held = step
    if held is not None:
        yield held, True


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


def _is_cut(step: Step, decided: list[AnyOutput]) -> bool:
    # The process died after an entry was written and sent, before it was explained: what is there must be equal.
    count = len(step.outputs)
    is_sent = count > 0 and isinstance(step.outputs[-1], ActionDecided)
    return is_sent and fmt.encode_outputs(decided[:count]) == fmt.encode_outputs(step.outputs)


def _kind(output: AnyOutput) -> str:
    # What a reader of a what-if asks for first stands apart: blocked signals and what became of orders.
    if isinstance(output, GatesEvaluated):
        return "GatesEvaluated.blocked" if output.is_blocked else "GatesEvaluated.passed"
    if isinstance(output, OrderChanged):
        return f"OrderChanged.{output.status}"
    if isinstance(output, LiveOrderChanged):
        return f"LiveOrderChanged.{output.order.status}"
    return type(output).__name__


def _difference(session_id: str, step: Step, decided: list[AnyOutput]) -> Difference:
    return Difference(
        session_id=session_id,
        seq=step.seq,
        recv_ts_ns=step.event.recv_ts_ns,
        event=type(step.event).__name__,
        coin=getattr(step.event, "coin", ""),
        recorded=_plain(step.outputs),
        decided=_plain(decided),
        recorded_gates=_gates(step.outputs),
        decided_gates=_gates(decided),
    )


def _plain(outputs: Sequence[AnyOutput]) -> list[Any]:
    return [msgspec.to_builtins(output) for output in outputs]


def _gates(outputs: Sequence[AnyOutput]) -> list[Any]:
    return [msgspec.to_builtins(o.results) for o in outputs if isinstance(o, GatesEvaluated)]
