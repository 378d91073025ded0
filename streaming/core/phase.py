"""Whether a phase may be approved: what stands against it, as reasons.

Rule 1: lowering the phase is always allowed, to an operator and to the platform, with a reason and a name.
Rule 2: raising it is an operator's act and never the platform's; it goes one stage at a time.
Rule 3: above `paper` it relies on a verdict of this venue and account in which every row of the stage that is left is
PASS; the sha256 of that document is recorded. On the simulated venue `micro` needs none, with the reason "simulated".
Source: architecture document, "Phases".
"""

from streaming.core.events import Phase, PhaseRequested
from streaming.core.state import EngineState

PAPER_PHASES = (Phase.OBSERVE, Phase.PAPER)
SIMULATED_VENUE, SIMULATED_REASON = "sim", "simulated"
_PHASES = tuple(Phase)
_STAGES = {Phase.OBSERVE: 0, Phase.PAPER: 0, Phase.MICRO: 1, Phase.STEADY: 2, Phase.ROTATE: 3}
"""`observe` and `paper` are one stage: nothing real is at stake in either."""


def is_promotion(current: Phase, wanted: Phase) -> bool:
    """Say whether `wanted` allows more than `current`."""
    return _PHASES.index(wanted) > _PHASES.index(current)


def promotion_reasons(state: EngineState, event: PhaseRequested) -> tuple[str, ...]:
    """Return every reason against raising the phase to what the event asks for; empty when it may be raised."""
    current, wanted = state.control.phase, event.phase
    if event.is_platform:
        return (f"the platform may lower the phase and never raise it: it is {current}",)
    if wanted in PAPER_PHASES or _is_simulated(state, event):
        return ()
    reasons = _verdict_reasons(state, event)
    if _STAGES[wanted] != _STAGES[current] + 1:
        reasons += (f"{wanted} does not follow {current}: one stage at a time",)
    return reasons


def _is_simulated(state: EngineState, event: PhaseRequested) -> bool:
    is_micro = event.phase is Phase.MICRO
    return is_micro and state.session.venue == SIMULATED_VENUE and event.reason == SIMULATED_REASON


def _verdict_reasons(state: EngineState, event: PhaseRequested) -> tuple[str, ...]:
    session = state.session
    if not event.verdict_sha256:
        return ("a verdict is needed, none was cited: the platform writes one a day, `hip3 phase approve` cites it",)
    reasons: tuple[str, ...] = ()
    if event.verdict_venue != session.venue:
        reasons += (f"the verdict is of venue {event.verdict_venue!r}, this session runs on {session.venue!r}",)
    if event.verdict_account.lower() != session.account.lower():
        reasons += (f"the verdict is of account {event.verdict_account!r}, this session is {session.account!r}",)
    return reasons + tuple([f"verdict: {row}" for row in event.verdict_missing])
