"""What-if: the recorded inputs are decided again under other limits, and the two runs are compared.

Rule 1: every input keeps its sequence number, so signals of both runs have the same ids and are compared one by one.
Rule 2: the run before is what was recorded. A session that could sign is decided twice instead, on paper both times:
    the venue's answers belong to the orders that were sent, and no recording knows what it would have said to others.
Rule 3: a replay may widen limits, which a running process may not; what is wider in the file stays as recorded.
"""

from collections.abc import Sequence
from heapq import heapify
from pathlib import Path
from typing import get_args

import msgspec

from streaming.core.allowance import share_allowances
from streaming.core.effects import AnyOutput
from streaming.core.engine import decode_snapshot
from streaming.core.engine import step as decide
from streaming.core.events import AnyEvent, LimitsReloaded
from streaming.core.limits import Limits, widened
from streaming.core.state import EngineState, TimerKind
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.events import LiveEvent
from streaming.core.trigger import set_threshold
from streaming.shell.journal.reader import Step
from streaming.shell.journal.recovery import state_before
from streaming.shell.replay.outcome import Outcome, OutcomeTally, Signal
from streaming.shell.replay.parity import TOLD_EACH, Difference, difference_of
from streaming.shell.replay.recorded import (
    RecordedSession,
    Span,
    Tell,
    nothing_recorded,
    recorded_segments,
    recorded_sessions,
    told_nowhere,
)
from streaming.shell.replay.settings import changed_limits, named_settings

_LIVE_EVENTS = frozenset(get_args(LiveEvent))
_PAPER_TIMERS = frozenset({
    TimerKind.SWEEP, TimerKind.READY_TIMEOUT, TimerKind.EXCLUSION_END, TimerKind.FOLLOWUP, TimerKind.PAPER_MATCH,
    TimerKind.PAPER_EXIT, TimerKind.PARAM_COOLDOWN, TimerKind.ROTATION_EXPIRY,
})  # fmt: skip
SAMPLE_COUNT_MAX = 20
"""Changed signals that are listed one by one, a session."""


class SignalChange(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that only one run raised, or that the runs judged differently; None is "not raised"."""

    session_id: str
    seq: int
    ts_ns: int
    signal_id: str
    coin: str
    side: str
    before: tuple[str, ...] | None
    """What blocked it; empty when nothing did."""
    after: tuple[str, ...] | None


class Compared(msgspec.Struct, kw_only=True):
    """Two runs over the same inputs, of a market or of all."""

    before: Outcome = msgspec.field(default_factory=Outcome)
    after: Outcome = msgspec.field(default_factory=Outcome)
    same_count: int = 0
    """Signals that both runs raised and judged alike."""
    changed_count: int = 0
    """Signals that both raised, with another gate vector or other controls."""
    only_before_count: int = 0
    only_after_count: int = 0

    def add(self, other: "Compared") -> None:
        """Add another market or session."""
        self.before.add(other.before)
        self.after.add(other.after)
        self.same_count += other.same_count
        self.changed_count += other.changed_count
        self.only_before_count += other.only_before_count
        self.only_after_count += other.only_after_count


class SessionWhatIf(msgspec.Struct, kw_only=True):
    """Result of one session, or of the part of it that lies in the day."""

    session_id: str
    code_version: str = ""
    is_paper_only: bool = False
    """It could sign, so both runs were decided on paper (Rule 2)."""
    widened: tuple[str, ...] = ()
    """Limits that are wider than those the session ran with."""
    input_count: int = 0
    markets: dict[str, Compared] = {}
    changes: list[SignalChange] = []
    first_change: Difference | None = None


class WhatIfReport(msgspec.Struct, kw_only=True):
    """Result of a session or of all sessions of a day."""

    venue: str
    day: str | None
    settings: list[str]
    """Changed limits, by their full names."""
    code_version: str
    is_same_code: bool
    """False: a part of what changed may be the change of code, not of limits."""
    session_count: int
    input_count: int
    total: Compared
    markets: dict[str, Compared]
    first_change: Difference | None
    """The first input with other signals, with everything both runs decided on it and both gate vectors."""
    sessions: list[SessionWhatIf]


def check_what_if(
    root: Path,
    venue: str,
    settings: Sequence[str],
    *,
    code_version: str,
    session_id: str | None = None,
    day: str | None = None,
    tell: Tell = told_nowhere,
) -> WhatIfReport:
    """Decide recorded inputs again under changed limits and compare both runs.

    Raises:
        ConfigError: A setting names no limit, or its value is out of bounds.
        StoreError: No such session, nothing recorded for the day, or a damaged journal.
    """
    changed_limits(Limits(), settings)  # what is wrong with a setting is said before a journal is looked for
    sessions = []
    for session in recorded_sessions(root, venue, session_id=session_id, day=day):
        result = _compare_session(session, Span.of(day), settings, tell)
        if result.input_count or session_id is not None:
            sessions.append(result)
    if not sessions:
        raise nothing_recorded(root, venue, session_id=session_id, day=day)
    markets: dict[str, Compared] = {}
    for result in sessions:
        for coin, compared in result.markets.items():
            markets.setdefault(coin, Compared()).add(compared)
    total = Compared()
    for compared in markets.values():
        total.add(compared)
    firsts = [s.first_change for s in sessions if s.first_change is not None]
    return WhatIfReport(
        venue=venue,
        day=day,
        settings=named_settings(settings),
        code_version=code_version,
        is_same_code=all(session.code_version == code_version for session in sessions),
        session_count=len(sessions),
        input_count=sum(s.input_count for s in sessions),
        total=total,
        markets=dict(sorted(markets.items())),
        first_change=firsts[0] if firsts else None,
        sessions=sessions,
    )


def use_limits(state: EngineState, limits: Limits) -> None:
    """Put limits in force at once, wider ones too: what a reload does after it was accepted."""
    state.limits = limits
    share_allowances(state)
    state.venue_clock.forget_bounds()
    for market in state.markets.values():
        set_threshold(market, limits.detector)


def _on_paper(state: EngineState) -> None:
    # The signer goes, and with it everything that waits for the venue's answers.
    state.session = msgspec.structs.replace(state.session, agent="")
    state.live = LiveAccount()
    state.timers = [timer for timer in state.timers if timer[2] in _PAPER_TIMERS]
    heapify(state.timers)


class _Comparer:
    """Carries the states of both runs from input to input."""

    def __init__(self, result: SessionWhatIf, states: "_States", settings: Sequence[str], span: Span) -> None:
        self._result = result
        self._states = states
        self._settings = settings
        self._span = span
        self._before, self._after = OutcomeTally(), OutcomeTally()

    def compare(self, step: Step) -> None:
        """Decide one input again."""
        found = self._states.decided(step, self._settings)
        if not self._span.has(step.event.recv_ts_ns):
            return
        self._result.input_count += 1
        if found is None:
            return
        before, after = found
        if not before and not after:
            return
        old = {signal.signal_id: signal for signal in self._before.add(before)}
        new = {signal.signal_id: signal for signal in self._after.add(after)}
        if not old and not new:
            return
        is_changed = False
        for signal_id in old | new:
            is_changed |= self._match(step, old.get(signal_id), new.get(signal_id))
        if is_changed and self._result.first_change is None:
            shown = Step(step.seq, step.event, before)
            self._result.first_change = difference_of(self._result.session_id, shown, after)

    def finish(self) -> None:
        """Put the totals into the result."""
        for coin, outcome in self._before.markets.items():
            self._of(coin).before = outcome
        for coin, outcome in self._after.markets.items():
            self._of(coin).after = outcome

    def _of(self, coin: str) -> Compared:
        return self._result.markets.setdefault(coin, Compared())

    def _match(self, step: Step, old: Signal | None, new: Signal | None) -> bool:
        signal = old or new
        if signal is None or old == new:
            if signal is not None:
                self._of(signal.coin).same_count += 1
            return False
        compared = self._of(signal.coin)
        compared.changed_count += old is not None and new is not None
        compared.only_before_count += new is None
        compared.only_after_count += old is None
        if len(self._result.changes) < SAMPLE_COUNT_MAX:
            self._result.changes.append(
                SignalChange(
                    session_id=self._result.session_id,
                    seq=step.seq,
                    ts_ns=step.event.recv_ts_ns,
                    signal_id=signal.signal_id,
                    coin=signal.coin,
                    side=signal.side,
                    before=None if old is None else old.blocked_by,
                    after=None if new is None else new.blocked_by,
                )
            )
        return True


class _States:
    """The engine under changed limits, and a second one where the recording can not stand for the run before."""

    def __init__(self, snapshot: bytes, after: EngineState, settings: Sequence[str]) -> None:
        self.after = after
        self.baseline: EngineState | None = None
        if after.session.agent:
            self.baseline = decode_snapshot(snapshot)
            _on_paper(self.baseline)
            _on_paper(after)
        recorded = after.limits
        use_limits(after, changed_limits(recorded, settings))
        self.widened = widened(recorded, after.limits)

    def decided(self, step: Step, settings: Sequence[str]) -> tuple[list[AnyOutput], list[AnyOutput]] | None:
        """Return what both runs decide on an input; None where it tells of real orders only."""
        event: AnyEvent = step.event
        if self.baseline is None:
            return step.outputs, decide(self.after, _changed(event, settings))
        if type(event) in _LIVE_EVENTS:
            # The sequence goes on, so that later signals keep their ids.
            self.baseline.seq += 1
            self.after.seq += 1
            return None
        return decide(self.baseline, event), decide(self.after, _changed(event, settings))


def _changed(event: AnyEvent, settings: Sequence[str]) -> AnyEvent:
    if isinstance(event, LimitsReloaded):
        return msgspec.structs.replace(event, limits=changed_limits(event.limits, settings))
    return event


def _compare_session(session: RecordedSession, span: Span, settings: Sequence[str], tell: Tell) -> SessionWhatIf:
    result = SessionWhatIf(session_id=session.session_id)
    comparer: _Comparer | None = None
    for segment in recorded_segments(session, tell):
        header = segment.header
        if comparer is None:
            states = _States(header.snapshot, state_before(session.folder, header), settings)
            result.code_version = header.session.code_version
            result.is_paper_only = states.baseline is not None
            result.widened = states.widened
            comparer = _Comparer(result, states, settings, span)
        for count, step in enumerate(segment.steps, 1):
            comparer.compare(step)
            if count % TOLD_EACH == 0:
                tell(f"{session.session_id}: {result.input_count:,} inputs decided again")
    if comparer is not None:
        comparer.finish()
    return result
