"""Questions to the venue about our account, and what an answer may prove.

Rule 1: an answer that crossed a change of ours proves nothing and is asked again: the question remembers the count.
Rule 2: one question of a kind is open at a time, and one deadline of a kind is set: whoever asks joins in (I-37).
Rule 3: a failed question is asked again by whoever needs it.
"""

from streaming.core.effects import AnyOutput
from streaming.core.state import EngineState, TimerKind, schedule
from streaming.core.trading.account import Question
from streaming.core.trading.effects import AccountAsked, FillsAsked, OrderAsked
from streaming.core.trading.events import QueryFailed
from streaming.core.units import NS_PER_MS, NS_PER_S

QUESTION_NS_MAX = 15 * NS_PER_S
"""A question without an answer for this long is forgotten: the shell bounds every request well below it."""
RETRY_MS = 1_000
FILL_OVERLAP_MS = 60_000
"""How far before the last known fill a query begins: fills of one block may come apart, and clocks differ."""


def ask_account(state: EngineState, out: list[AnyOutput]) -> None:
    """Ask for positions and money on every watched dex."""
    query_id = _open(state, "account")
    if query_id:
        out.append(AccountAsked(ts_ns=state.ts_ns, mono_ns=state.mono_ns, query_id=query_id))


def ask_fills(state: EngineState, out: list[AnyOutput], since_ts_ms: int | None = None) -> None:
    """Ask for all fills since the last known one, or since an instant (ms, venue time)."""
    live = state.live
    start_ts_ms = max(live.fills_from_ts_ms, live.last_fill_ts_ms - FILL_OVERLAP_MS)
    if since_ts_ms is not None:
        start_ts_ms = max(live.fills_from_ts_ms, min(start_ts_ms, since_ts_ms))
    query_id = _open(state, "fills", start_ts_ms=start_ts_ms)
    if query_id:
        out.append(FillsAsked(ts_ns=state.ts_ns, mono_ns=state.mono_ns, query_id=query_id, start_ts_ms=start_ts_ms))


def ask_order(state: EngineState, out: list[AnyOutput], cloid: str) -> None:
    """Ask what the venue knows of a cloid."""
    query_id = _open(state, "order", cloid=cloid)
    if query_id:
        out.append(OrderAsked(ts_ns=state.ts_ns, mono_ns=state.mono_ns, query_id=query_id, cloid=cloid))


def ask_later(state: EngineState, kind: TimerKind, delay_ms: int) -> None:
    """Set the one deadline of a repeated read (`ACCOUNT`, `FILLS`); an earlier one that is set already stands."""
    due_mono_ns = state.mono_ns + delay_ms * NS_PER_MS
    set_mono_ns = state.live.reads_due_mono_ns.get(kind)
    if set_mono_ns is None or due_mono_ns < set_mono_ns:
        state.live.reads_due_mono_ns[kind] = due_mono_ns
        schedule(state, due_mono_ns, kind, "", due_mono_ns)


def is_due(state: EngineState, kind: TimerKind, due_mono_ns: int) -> bool:
    """Say whether a deadline of a repeated read is the one that counts; it is over then."""
    if state.live.reads_due_mono_ns.get(kind) != due_mono_ns:
        return False
    del state.live.reads_due_mono_ns[kind]
    return True


def take_answer(state: EngineState, query_id: int) -> tuple[Question, bool] | None:
    """Return the question of an answer and whether nothing of ours changed since; None if nobody asked."""
    question = state.live.questions.pop(query_id, None)
    return None if question is None else (question, question.change_count == state.live.change_count)


def on_query_failed(state: EngineState, event: QueryFailed, out: list[AnyOutput]) -> None:  # noqa: ARG001
    """Forget a question that got no answer; reads that repeat by themselves are tried again soon."""
    question = state.live.questions.pop(event.query_id, None)
    if question is None or question.kind == "order":
        return  # an order in doubt asks by its own clock
    kind = TimerKind.FILLS if question.kind == "fills" else TimerKind.ACCOUNT
    ask_later(state, kind, RETRY_MS)


def _open(state: EngineState, kind: str, *, cloid: str = "", start_ts_ms: int = 0) -> int:
    # Returns the id of the new question, 0 while an equal one is open.
    live = state.live
    live.questions = {
        query_id: question
        for query_id, question in live.questions.items()
        if state.mono_ns - question.asked_mono_ns < QUESTION_NS_MAX
    }
    if any(question.kind == kind and question.cloid == cloid for question in live.questions.values()):
        return 0
    live.question_count += 1
    live.questions[live.question_count] = Question(
        kind=kind,
        cloid=cloid,
        start_ts_ms=start_ts_ms,
        asked_mono_ns=state.mono_ns,
        change_count=live.change_count,
        venue_ts_ms=live.venue_ts_ms,
    )
    return live.question_count
