"""What an operator reads on stderr of what the engine decided: transitions, and no flood at a start or a reconnect."""

from core_builders import (
    WARM_MS as T,
)
from core_builders import (
    a_bbo,
    a_ctx,
    a_timer,
    a_warm_engine,
    an_engine,
    events_until_ready,
    feed,
    of_type,
    stamps,
    warm_events,
)
from structlog.testing import capture_logs

from streaming.core.effects import AnyOutput, GateChanged
from streaming.core.events import ConnectionLost
from streaming.core.state import GATE_COUNT
from streaming.shell.telemetry.narrate import Narrator


def told(*outputs: AnyOutput, narrator: Narrator | None = None) -> list[tuple[str, str]]:
    """Return (level, event) of each line."""
    with capture_logs() as lines:
        (narrator or Narrator()).tell(outputs)
    return [(line["log_level"], line["event"]) for line in lines]


def test_narrator_logs_transitions_and_no_ticks() -> None:
    state = a_warm_engine()
    lines = told(*feed(state, a_ctx(T, oracle_px="100.20"), a_timer(T + 10_000), a_timer(T + 11_000)))
    assert {event for _, event in lines} <= {"gate_blocked", "gate_changed"}
    assert ("info", "gate_blocked") in lines


def test_narrator_session_start_tells_no_gate_that_opens() -> None:
    """Every gate counts as blocking at the start: 8 lines a market would say nothing."""
    state = an_engine()
    outputs = feed(state, *events_until_ready(0), *warm_events(100))
    lines = told(*outputs)
    assert ("debug", "gate_changed") in lines
    assert [line for line in lines if line[0] != "debug"] == [("info", "market_ready_changed")]
    assert len(of_type(outputs, GateChanged)) >= GATE_COUNT - 1, "they are recorded all the same"


def test_narrator_gate_that_closed_is_told_when_it_opens_and_a_waiting_market_is_quiet() -> None:
    state, narrator = a_warm_engine(), Narrator()
    silence = feed(state, a_timer(T + 9_000))
    assert ("info", "gate_blocked") in told(*silence, narrator=narrator)
    back = feed(state, a_bbo(T + 9_100), a_ctx(T + 9_100), a_timer(T + 10_200))
    assert ("info", "gate_changed") in told(*back, narrator=narrator)
    lost = ConnectionLost(**stamps(T + 10_300), generation=1, reason="closed")
    lines = told(*feed(state, lost, a_timer(T + 12_000)), narrator=narrator)
    assert ("debug", "gate_blocked") in lines
    assert [line for line in lines if line[0] != "debug"] == [("info", "market_ready_changed")]
