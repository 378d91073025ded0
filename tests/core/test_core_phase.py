"""Who may raise the phase, by which document; and that lowering it needs none."""

import msgspec
import pytest
from core_builders import WARM_MS, a_session, a_warm_engine, feed, of_type, stamps

from streaming.core.effects import CommandAnswered, PhaseChanged
from streaming.core.events import Phase, PhaseRequested
from streaming.core.phase import is_promotion
from streaming.core.state import EngineState

ACCOUNT = "0x" + "Ab" * 20
VERDICT = {"verdict_sha256": "d" * 64, "verdict_venue": "testnet", "verdict_account": ACCOUNT.lower()}


def an_engine_that_signs(venue: str = "testnet", phase: Phase = Phase.PAPER) -> EngineState:
    state = a_warm_engine()
    state.session = msgspec.structs.replace(a_session(venue=venue, account=ACCOUNT), agent="0x" + "cd" * 20)
    state.control.phase = phase
    return state


def ask(state: EngineState, wanted: Phase, reason: str = "seen", **fields: object) -> tuple[str, ...]:
    """Ask for a phase and return the reasons of the refusal."""
    before = state.control.phase
    base = PhaseRequested(**stamps(WARM_MS), command_id=4, phase=wanted, reason=reason, operator="op")
    outputs = feed(state, msgspec.structs.replace(base, **fields))
    (answer,) = of_type(outputs, CommandAnswered)
    assert answer.is_accepted == (not answer.reasons)
    assert state.control.phase is (before if answer.reasons else wanted)
    changes = [(change.previous, change.phase) for change in of_type(outputs, PhaseChanged)]
    assert changes == ([] if answer.reasons or wanted is before else [(before, wanted)])
    return answer.reasons


def test_approval_by_a_verdict_of_this_venue_and_account_is_recorded_with_its_sha256() -> None:
    state = an_engine_that_signs()
    event = PhaseRequested(**stamps(WARM_MS), command_id=4, phase=Phase.MICRO, reason="14 days", operator="ann")
    (change,) = of_type(feed(state, msgspec.structs.replace(event, **VERDICT)), PhaseChanged)
    assert (change.previous, change.phase) == (Phase.PAPER, Phase.MICRO)
    assert (change.operator, change.reason, change.verdict_sha256) == ("ann", "14 days", "d" * 64)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"verdict_sha256": ""}, "a verdict is needed"),
        ({"verdict_venue": "sim"}, "venue 'sim'"),
        ({"verdict_account": "paper"}, "account 'paper'"),
        ({"verdict_missing": ("null_rate is FAIL",)}, "null_rate is FAIL"),
        ({"is_platform": True}, "the platform may lower"),
    ],
)
def test_approval_without_a_good_verdict_is_refused(fields: dict[str, object], word: str) -> None:
    state = an_engine_that_signs()
    (reason,) = ask(state, Phase.MICRO, **{**VERDICT, **fields})
    assert word in reason
    assert state.control.phase is Phase.PAPER


def test_every_reason_against_a_verdict_is_told_at_once() -> None:
    fields = {**VERDICT, "verdict_venue": "sim", "verdict_account": "", "verdict_missing": ("a", "b")}
    assert len(ask(an_engine_that_signs(), Phase.STEADY, **fields)) == 5


def test_simulated_reason_counts_on_the_simulated_venue_for_micro_only() -> None:
    assert ask(an_engine_that_signs("sim"), Phase.MICRO, "simulated") == ()
    assert ask(an_engine_that_signs("sim"), Phase.MICRO, "because")
    assert ask(an_engine_that_signs("testnet"), Phase.MICRO, "simulated")
    assert ask(an_engine_that_signs("sim", Phase.MICRO), Phase.STEADY, "simulated")
    assert ask(an_engine_that_signs("sim"), Phase.MICRO, "simulated", is_platform=True)


@pytest.mark.parametrize("wanted", [Phase.STEADY, Phase.ROTATE])
def test_stages_are_not_skipped(wanted: Phase) -> None:
    (reason,) = ask(an_engine_that_signs(), wanted, **VERDICT)
    assert "one stage at a time" in reason


def test_observe_counts_as_the_stage_before_micro() -> None:
    assert ask(an_engine_that_signs(phase=Phase.OBSERVE), Phase.MICRO, **VERDICT) == ()


@pytest.mark.parametrize("is_platform", [False, True])
@pytest.mark.parametrize("current", list(Phase))
@pytest.mark.parametrize("wanted", list(Phase))
def test_platform_never_raises_and_anyone_lowers_without_a_verdict(
    current: Phase, wanted: Phase, is_platform: bool
) -> None:
    reasons = ask(an_engine_that_signs(phase=current), wanted, is_platform=is_platform)
    order = ["observe", "paper", "micro", "steady", "rotate"]
    if order.index(wanted) <= order.index(current):
        assert reasons == ()
    elif is_platform:
        assert reasons
    assert is_promotion(current, wanted) == (order.index(wanted) > order.index(current))


def test_lowering_needs_a_reason_and_a_name() -> None:
    state = an_engine_that_signs(phase=Phase.STEADY)
    assert ask(state, Phase.PAPER, "", operator=" ") == ("a reason is needed", "an operator is needed")
    assert state.control.phase is Phase.STEADY
