"""Parity: the recorded inputs are decided again and compared with the recorded decisions (I-24).

Nothing else re-decides. The first difference is reported with its seq, both lists of outputs and both gate vectors.

Rule 1: equal means equal bytes of the recorded encoding.
Rule 2: each segment also carries a snapshot; the state that was reached must encode to the same bytes.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streaming.core.effects import AnyOutput, GatesEvaluated, OrderChanged
from streaming.core.engine import decode_snapshot, encode_snapshot
from streaming.core.engine import step as decide
from streaming.core.state import EngineState
from streaming.core.trading.effects import ActionDecided, LiveOrderChanged
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import Step
from streaming.shell.journal.recovery import state_before
from streaming.shell.replay.recorded import (
    RecordedSession,
    Span,
    Tell,
    nothing_recorded,
    recorded_segments,
    recorded_sessions,
    told_nowhere,
)

TOLD_EACH = 20_000
"""Inputs between two looks at the clock."""


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
    """Gate vectors of the signals that were recorded for this input, one a signal."""
    decided_gates: list[Any]
    """Gate vectors decided now; empty when no signal was raised."""
    differing_gates: list[str]
    """Gates whose status, observation or limit differs, and `blocked_by` when what blocked does."""


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
    tell: Tell = told_nowhere,
) -> ParityReport:
    """Decide the recorded inputs of one session, or of every session with inputs in a UTC day, again.

    Raises:
        StoreError: No such session, nothing recorded for the day, or a damaged journal.
    """
    sessions = []
    for session in recorded_sessions(root, venue, session_id=session_id, day=day):
        result = _check_session(session, Span.of(day), tell)
        if result.input_count or session_id is not None:
            sessions.append(result)
    if not sessions:
        raise nothing_recorded(root, venue, session_id=session_id, day=day)
    firsts = [s.first_difference for s in sessions if s.first_difference is not None]
    difference_count = sum(s.difference_count for s in sessions)
    state_difference_count = sum(s.state_difference_count for s in sessions)
    return ParityReport(
        venue=venue,
        day=day,
        code_version=code_version,
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


class _Checker:
    """Carries the state of one session's re-decision from input to input."""

    def __init__(self, result: SessionParity, state: EngineState, span: Span) -> None:
        self._result = result
        self._state = state
        self._span = span
        self._recorded: Counter[str] = Counter()
        self._decided: Counter[str] = Counter()
        self._unlike: tuple[Step, list[AnyOutput]] | None = None
        """A difference, counted when the next input shows that the process lived on."""

    def compare_state(self, header: fmt.SegmentHeader) -> None:
        """Compare the state reached with the snapshot of a segment, then go on from the recorded one."""
        if encode_snapshot(self._state) != header.snapshot:
            self._result.state_difference_count += 1
            self._state = decode_snapshot(header.snapshot)

    def compare(self, step: Step) -> None:
        """Decide one input again."""
        self._count_unlike()
        decided = decide(self._state, step.event)
        if not self._span.has(step.event.recv_ts_ns):
            return
        result = self._result
        result.input_count += 1
        if not decided and not step.outputs:
            return
        result.decision_count += len(step.outputs)
        self._recorded.update(map(_kind, step.outputs))
        self._decided.update(map(_kind, decided))
        if fmt.encode_outputs(decided) != fmt.encode_outputs(step.outputs):
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
                self._result.first_difference = difference_of(self._result.session_id, *found)


def _check_session(session: RecordedSession, span: Span, tell: Tell) -> SessionParity:
    result = SessionParity(session_id=session.session_id, code_version="")
    checker: _Checker | None = None
    for segment in recorded_segments(session, tell):
        if checker is None:
            result.code_version = segment.header.session.code_version
            checker = _Checker(result, state_before(session.folder, segment.header), span)
        else:
            checker.compare_state(segment.header)
        result.segment_count += 1
        for count, step in enumerate(segment.steps, 1):
            checker.compare(step)
            if count % TOLD_EACH == 0:
                tell(f"{session.session_id}: {result.input_count:,} inputs, {result.difference_count} differences")
        result.torn_byte_count += segment.torn_byte_count
    if checker is not None:
        checker.finish()
    return result


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


def difference_of(session_id: str, step: Step, decided: list[AnyOutput]) -> Difference:
    """Return an input with both lists of outputs and both gate vectors."""
    recorded_gates, decided_gates = _gates(step.outputs), _gates(decided)
    return Difference(
        session_id=session_id,
        seq=step.seq,
        recv_ts_ns=step.event.recv_ts_ns,
        event=type(step.event).__name__,
        coin=getattr(step.event, "coin", ""),
        recorded=_plain(step.outputs),
        decided=_plain(decided),
        recorded_gates=recorded_gates,
        decided_gates=decided_gates,
        differing_gates=_differing(step.outputs, decided),
    )


def _plain(outputs: Sequence[AnyOutput]) -> list[Any]:
    return [msgspec.to_builtins(output) for output in outputs]


def _gates(outputs: Sequence[AnyOutput]) -> list[Any]:
    return [msgspec.to_builtins(o.results) for o in outputs if isinstance(o, GatesEvaluated)]


def _differing(recorded: Sequence[AnyOutput], decided: Sequence[AnyOutput]) -> list[str]:
    names: list[str] = []
    vectors = ([o for o in outputs if isinstance(o, GatesEvaluated)] for outputs in (recorded, decided))
    for before, after in zip(*vectors, strict=False):
        names += [b.gate.value for b, a in zip(before.results, after.results, strict=False) if b != a]
        if before.blocked_by != after.blocked_by:
            names.append("blocked_by")
    return list(dict.fromkeys(names))
