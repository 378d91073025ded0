"""Setting the stop latch: one place, whoever asks for it.

Rule: the first reason is kept until an operator resets it (I-17); what follows from the latch for real orders is done
at the end of the same step, before any effect of it (I-20).
"""

from streaming.core.effects import AnyOutput, EntriesChanged, LatchChanged
from streaming.core.state import EngineState, Latch


def set_latch(state: EngineState, out: list[AnyOutput], *, reason: str, operator: str) -> None:
    """Stop: no order that can add risk any more; a latch that is set keeps its reason."""
    if state.control.latch is not None:
        return
    state.control.latch = Latch(reason=reason, operator=operator, ts_ns=state.ts_ns)
    out.append(LatchChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, is_set=True, reason=reason, operator=operator))
    report_entries(state, out, "stop_latch", is_open=False, detail=reason)
    state.must_settle = True


def report_entries(state: EngineState, out: list[AnyOutput], control: str, *, is_open: bool, detail: str) -> None:
    """Write that an account-wide control opened or closed entries."""
    out.append(
        EntriesChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, control=control, is_open=is_open, detail=detail)
    )
