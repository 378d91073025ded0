"""The agent is asked about before a start and every hour: an unapproved one stops before an exit is refused."""

from core_builders import START_MONO_NS, START_TS_NS

from streaming.core.events import AnyEvent, StopRequested
from streaming.shell.config.doctor import Finding
from streaming.shell.config.schema import Config
from streaming.shell.execution.agent_watch import AgentWatch

AGENT = "0x" + "2" * 40


class FixedClock:
    def mono_ns(self) -> int:
        return START_MONO_NS

    def ts_ns(self) -> int:
        return START_TS_NS


def judged(*found: Finding) -> list[AnyEvent]:
    applied: list[AnyEvent] = []
    watch = AgentWatch(Config(), None, AGENT, apply=applied.append, clock=FixedClock())  # type: ignore[arg-type]
    watch.judge(list(found))
    return applied


def test_f43_an_agent_that_may_not_sign_any_more_stops_trading() -> None:
    (event,) = judged(Finding(name="agent", level="fail", detail="expected it to be approved, found role 'missing'"))
    assert isinstance(event, StopRequested)
    assert event.reason.startswith("agent_not_approved: expected it to be approved")


def test_a_venue_that_does_not_answer_proves_nothing_about_the_agent() -> None:
    detail = "expected an answer of the venue, found OutcomeUnknown; ask again"
    assert judged(Finding(name="agent", level="fail", detail=detail, is_answered=False)) == []


def test_an_agent_that_ends_soon_and_other_findings_only_warn() -> None:
    assert (
        judged(Finding(name="agent", level="warn", detail="ends"), Finding(name="account", level="fail", detail="x"))
        == []
    )
