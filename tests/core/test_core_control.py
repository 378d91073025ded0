"""Latch, arming, phase, limits, rotation, and the account-wide reasons against entries."""

from decimal import Decimal

import pytest
from core_builders import (
    COIN,
    START_TS_NS,
    WARM_MS,
    a_ctx,
    a_poll,
    a_rotation,
    a_session,
    a_spec,
    a_status,
    a_timer,
    a_warm_engine,
    an_allowance,
    an_engine,
    feed,
    limits_with,
    of_type,
    stamps,
)

from streaming.core.allowance import allowance_of
from streaming.core.effects import (
    AnyOutput,
    ArmChanged,
    CommandAnswered,
    EntriesChanged,
    FollowupTaken,
    GatesEvaluated,
    LatchChanged,
    LimitsChanged,
    OrderChanged,
    PhaseChanged,
    RotationExpired,
    RotationJudged,
    SignalRaised,
)
from streaming.core.engine import new_state
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    LimitsReloaded,
    Phase,
    PhaseRequested,
    RateUseReported,
    ResetRequested,
    SpecApproved,
    StopRequested,
    WriterHealthReported,
)
from streaming.core.limits import Limits
from streaming.core.recovery import carry_over
from streaming.core.state import EngineState
from streaming.core.stop import entries_closed_by
from streaming.core.trading.effects import LadderChanged

T = WARM_MS
HOUR_NS = 3_600_000_000_000


def stop(at_ms: float = T, reason: str = "drill", command_id: int = 1) -> StopRequested:
    return StopRequested(**stamps(at_ms), command_id=command_id, reason=reason, operator="op")


def reset(at_ms: float = T, reason: str = "drill over", operator: str = "op") -> ResetRequested:
    return ResetRequested(**stamps(at_ms), command_id=2, reason=reason, operator=operator)


def arm(is_armed: bool = True) -> ArmRequested:
    return ArmRequested(**stamps(T), command_id=3, is_armed=is_armed, operator="op")


def phase(wanted: Phase, reason: str = "24 h observed") -> PhaseRequested:
    return PhaseRequested(**stamps(T), command_id=4, phase=wanted, reason=reason, operator="op")


def writer(is_healthy: bool) -> WriterHealthReported:
    return WriterHealthReported(**stamps(T), is_healthy=is_healthy, sync_lag_ms=1_500, loop_lag_ms=3, queue_count=7)


def rate(ratio: str) -> RateUseReported:
    return RateUseReported(**stamps(T), use_ratio=Decimal(ratio), limit_name="ip_weight")


def answer_of(outputs: list[AnyOutput]) -> tuple[bool, tuple[str, ...]]:
    answers = of_type(outputs, CommandAnswered)
    assert len(answers) == 1
    return answers[0].is_accepted, answers[0].reasons


def test_stop_first_reason_is_kept_and_both_are_accepted() -> None:
    state = a_warm_engine()
    first, second = feed(state, stop()), feed(state, stop(reason="again", command_id=9))
    assert answer_of(first) == answer_of(second) == (True, ())
    assert [(c.is_set, c.reason, c.operator) for c in of_type(first, LatchChanged)] == [(True, "drill", "op")]
    assert of_type(second, LatchChanged) == []
    assert state.control.latch is not None
    assert state.control.latch.reason == "drill"
    assert [c.command_id for c in of_type(second, CommandAnswered)] == [9]


def test_stop_latch_blocks_signals_that_are_still_recorded_and_followed_up() -> None:
    state = a_warm_engine()
    feed(state, stop())
    outputs = feed(state, a_ctx(T + 1, oracle_px="100.20"), a_timer(T + 5_001))
    assert len(of_type(outputs, SignalRaised)) == 1
    assert of_type(outputs, GatesEvaluated)[0].blocked_by == ("stop_latch",)
    assert of_type(outputs, OrderChanged) == []
    assert len(of_type(outputs, FollowupTaken)) == 3


def test_reset_clears_the_latch_and_entries_open() -> None:
    state = a_warm_engine()
    feed(state, stop())
    outputs = feed(state, reset())
    assert answer_of(outputs) == (True, ())
    assert [c.is_set for c in of_type(outputs, LatchChanged)] == [False]
    assert [(c.control, c.is_open) for c in of_type(outputs, EntriesChanged)] == [("stop_latch", True)]
    assert of_type(feed(state, a_ctx(T + 1, oracle_px="100.20")), OrderChanged)


def test_i19_reset_disarms_and_arming_is_a_word_of_its_own() -> None:
    state = a_warm_engine()
    feed(state, arm(), stop())
    outputs = feed(state, reset())
    assert [(c.is_armed, c.operator) for c in of_type(outputs, ArmChanged)] == [(False, "op")]
    assert [c.is_armed for c in of_type(feed(state, arm()), ArmChanged)] == [True]


@pytest.mark.parametrize(
    ("command", "reasons"),
    [
        (reset(reason=" "), ("a reason is needed",)),
        (reset(reason="", operator=""), ("a reason is needed", "an operator is needed")),
    ],
)
def test_reset_without_a_reason_is_refused_and_the_latch_stays(
    command: ResetRequested, reasons: tuple[str, ...]
) -> None:
    state = a_warm_engine()
    feed(state, stop())
    assert answer_of(feed(state, command)) == (False, reasons)
    assert state.control.latch is not None


def test_reset_without_a_latch_is_refused() -> None:
    assert answer_of(feed(a_warm_engine(), reset())) == (False, ("the stop latch is not set",))


def test_arm_is_reported_once_and_needs_an_open_latch() -> None:
    state = a_warm_engine()
    assert [c.is_armed for c in of_type(feed(state, arm(), arm()), ArmChanged)] == [True]
    feed(state, arm(is_armed=False), stop())
    assert answer_of(feed(state, arm())) == (False, ("the stop latch is set: drill; reset it first",))
    assert answer_of(feed(state, arm(is_armed=False))) == (True, ())


def test_phase_observe_and_paper_are_approved_and_reported_once() -> None:
    state = a_warm_engine()
    outputs = feed(state, phase(Phase.PAPER), phase(Phase.PAPER), phase(Phase.OBSERVE))
    changes = [(c.previous, c.phase) for c in of_type(outputs, PhaseChanged)]
    assert changes == [(Phase.OBSERVE, Phase.PAPER), (Phase.PAPER, Phase.OBSERVE)]


@pytest.mark.parametrize("wanted", [Phase.MICRO, Phase.STEADY, Phase.ROTATE])
def test_phase_with_real_orders_needs_a_session_that_can_sign(wanted: Phase) -> None:
    state = a_warm_engine()
    accepted, reasons = answer_of(feed(state, phase(wanted, reason="")))
    assert not accepted
    assert reasons == (
        "a reason is needed",
        "this session can not sign orders: set account and agent_key_file, then start again",
    )
    assert state.control.phase is Phase.OBSERVE


def test_limits_tighter_ones_apply_at_once() -> None:
    state = a_warm_engine()
    tighter = limits_with(detector={"edge_bps_min": Decimal(30)})
    event = LimitsReloaded(**stamps(T), command_id=5, config_hash="c1", limits=tighter)
    outputs = feed(state, event)
    assert answer_of(outputs) == (True, ())
    assert [c.config_hash for c in of_type(outputs, LimitsChanged)] == ["c1"]
    assert of_type(feed(state, a_ctx(T + 1, oracle_px="100.20")), SignalRaised) == []
    assert state.markets[COIN].threshold_bps == Decimal("32.8")


def test_limits_wider_ones_are_refused_whole_with_every_reason() -> None:
    state = a_warm_engine()
    wider = limits_with(
        sizing={"order_ntl_max": Decimal(60), "alpha_ratio": Decimal("0.05"), "account_ntl_max": Decimal(501)}
    )
    outputs = feed(state, LimitsReloaded(**stamps(T), command_id=5, config_hash="c1", limits=wider))
    expected = ("sizing.order_ntl_max would get wider", "sizing.account_ntl_max would get wider")
    assert answer_of(outputs) == (False, expected)
    assert state.limits.sizing.alpha_ratio == Decimal("0.10")


@pytest.mark.parametrize(
    ("closing", "opening", "control"),
    [
        (rate("0.95"), rate("0.9499"), "rate_limit"),
        (writer(False), writer(True), "writer"),
        (a_poll(T, a_status(), is_post_only=True), a_poll(T, a_status()), "venue_post_only"),
    ],
)
def test_entries_account_wide_reason_closes_and_opens_once(closing: AnyEvent, opening: AnyEvent, control: str) -> None:
    state = a_warm_engine()
    outputs = feed(state, closing, closing)
    assert entries_closed_by(state) == (control,)
    outputs += feed(state, opening, opening)
    assert entries_closed_by(state) == ()
    assert [(c.control, c.is_open) for c in of_type(outputs, EntriesChanged)] == [(control, False), (control, True)]


def test_entries_all_reasons_are_named() -> None:
    state = a_warm_engine()
    feed(state, writer(False), rate("1"), stop(), a_poll(T, a_status(), is_post_only=True))
    assert entries_closed_by(state) == ("stop_latch", "rate_limit", "writer", "venue_post_only")


def test_spec_approval_is_refused_when_there_is_nothing_to_approve() -> None:
    state = a_warm_engine()
    known = SpecApproved(**stamps(T), command_id=6, coin=COIN, operator="op")
    unknown = SpecApproved(**stamps(T), command_id=6, coin="xyz:X", operator="op")
    assert answer_of(feed(state, known)) == (False, (f"the spec of '{COIN}' is approved already",))
    assert answer_of(feed(state, unknown)) == (False, ("market 'xyz:X' is not known here",))


def rotated(state: EngineState | None = None) -> EngineState:
    state = state or a_warm_engine(a_spec(), a_spec("xyz:TSLA"))
    feed(state, a_rotation(T))
    return state


def test_rotation_valid_one_is_applied_whole() -> None:
    state = a_warm_engine(a_spec(), a_spec("xyz:TSLA"))
    outputs = feed(state, a_rotation(T, blacklist=("xyz:TSLA",)))
    judged = of_type(outputs, RotationJudged)[0]
    assert (judged.is_accepted, judged.reasons, judged.version) == (True, (), 1)
    assert answer_of(outputs) == (True, ())
    assert allowance_of(state, COIN) is not None
    assert allowance_of(state, "xyz:TSLA") is None


REFUSALS = [
    ({"venue": "mainnet"}, "venue is 'mainnet', this session runs on 'sim'"),
    ({"account": "0xabc"}, "account is '0xabc', this session is 'paper'"),
    ({"version": 1}, "version 1 does not go forward from 1"),
    ({"replaces_sha256": ""}, f"it replaces nothing, but {'a' * 64} is in force"),
    ({"replaces_sha256": "b" * 64}, f"it replaces {'b' * 64}, but {'a' * 64} is in force"),
    ({"expires_ts_ns": START_TS_NS}, "it has expired"),
    ({"markets": ()}, "it allows no market"),
    ({"markets": (an_allowance("xyz:X"),)}, "market 'xyz:X' is not known here"),
    ({"markets": (an_allowance(), an_allowance())}, f"market '{COIN}' occurs twice"),
    ({"blacklist": (COIN,)}, f"market '{COIN}' is allowed and blacklisted"),
    (
        {"markets": (an_allowance(ntl_max="100.01"),)},
        f"market '{COIN}': ntl_max 100.01 is not above 0 and at most 100",
    ),
    ({"markets": (an_allowance(ntl_max="0"),)}, f"market '{COIN}': ntl_max 0 is not above 0 and at most 100"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSALS, ids=[reason[:40] for _, reason in REFUSALS])
def test_rotation_each_fault_is_refused_and_nothing_changes(changes: dict[str, object], reason: str) -> None:
    state = rotated()
    before = state.control.rotation
    second = {"version": 2, "sha256": "c" * 64, "replaces_sha256": "a" * 64}
    outputs = feed(state, a_rotation(T + 1, **(second | changes)))
    assert answer_of(outputs) == (False, (reason,))
    assert of_type(outputs, RotationJudged)[0].reasons == (reason,)
    assert state.control.rotation == before


def test_rotation_f92_market_that_is_watched_to_be_left_is_allowed_by_none() -> None:
    carried = carry_over(rotated())
    state = new_state(a_session(), Limits(), (a_spec(), a_spec("xyz:TSLA")), exit_only=(COIN,), carried=carried)
    assert allowance_of(state, COIN) is None, "the rotation carried over named it"
    second = a_rotation(T, version=2, sha256="c" * 64, replaces_sha256="a" * 64)
    assert answer_of(feed(state, second))[1] == (f"market '{COIN}' is not configured here: it is watched to be left",)


def test_rotation_every_reason_is_named_at_once() -> None:
    state = a_warm_engine()
    event = a_rotation(
        T, venue="mainnet", version=0, replaces_sha256="b" * 64, expires_ts_ns=0, markets=(an_allowance("xyz:X", "0"),)
    )
    assert len(answer_of(feed(state, event))[1]) == 6


def test_rotation_account_of_a_session_with_money_must_match() -> None:
    state = an_engine(session=a_session(account="0xabc"))
    assert answer_of(feed(state, a_rotation(T)))[0] is False
    assert answer_of(feed(state, a_rotation(T, account="0xabc")))[0] is True


def test_rotation_two_pushes_on_one_base_one_wins() -> None:
    state = rotated()
    push = {"version": 2, "replaces_sha256": "a" * 64}
    first = feed(state, a_rotation(T, sha256="c" * 64, **push))
    second = feed(state, a_rotation(T, sha256="d" * 64, **push))
    assert [answer_of(outputs)[0] for outputs in (first, second)] == [True, False]


def test_rotation_expires_at_its_deadline_and_stays_the_one_to_replace() -> None:
    state = rotated()
    outputs = feed(state, a_timer(3_600_000))
    assert [(r.version, r.sha256) for r in of_type(outputs, RotationExpired)] == [(1, "a" * 64)]
    assert allowance_of(state, COIN) is None
    assert of_type(feed(state, a_timer(3_700_000)), RotationExpired) == []
    later = {"version": 2, "sha256": "c" * 64, "expires_ts_ns": START_TS_NS + 2 * HOUR_NS}
    assert answer_of(feed(state, a_rotation(3_700_001, **later)))[0] is False
    assert answer_of(feed(state, a_rotation(3_700_001, replaces_sha256="a" * 64, **later)))[0] is True
    assert allowance_of(state, COIN) is not None


def test_rotation_replaced_one_does_not_expire_the_new_one() -> None:
    state = rotated()
    second = a_rotation(
        T, version=2, sha256="c" * 64, replaces_sha256="a" * 64, expires_ts_ns=START_TS_NS + 2 * HOUR_NS
    )
    feed(state, second)
    assert of_type(feed(state, a_timer(3_600_001)), RotationExpired) == []


def test_rotation_wall_clock_that_stepped_back_waits_for_the_expiry() -> None:
    state = rotated()
    timer = a_timer(3_600_000)
    early = type(timer)(recv_mono_ns=timer.recv_mono_ns, recv_ts_ns=timer.recv_ts_ns - 5_000_000_000)
    assert of_type(feed(state, early), RotationExpired) == []
    assert len(of_type(feed(state, a_timer(3_605_001)), RotationExpired)) == 1


def test_rotation_none_allows_nothing() -> None:
    assert allowance_of(a_warm_engine(), COIN) is None


def a_rate(at_ms: float, ratio: str) -> RateUseReported:
    return RateUseReported(**stamps(at_ms), use_ratio=Decimal(ratio), limit_name="messages")


def test_degradation_ladder_each_step_up_and_down_again() -> None:
    state = a_warm_engine()
    seen = []
    for index, ratio in enumerate(("0.5", "0.8", "0.9", "0.95", "0.9", "0.79")):
        seen += [o.step for o in of_type(feed(state, a_rate(WARM_MS + index, ratio)), LadderChanged)]
    assert seen == [1, 2, 3, 2, 0]
    assert state.control.latch is None


def test_degradation_ladder_a_limit_used_up_for_ten_seconds_stops() -> None:
    state = a_warm_engine()
    outputs = feed(state, a_rate(WARM_MS, "1"), a_rate(WARM_MS + 9_000, "1.1"), a_rate(WARM_MS + 10_000, "1.02"))
    assert [o.step for o in of_type(outputs, LadderChanged)] == [3, 4]
    assert [o.reason for o in of_type(outputs, LatchChanged)] == ["rate_limit_exhausted: messages 102 %"]


def test_degradation_ladder_full_for_a_moment_only_closes_entries() -> None:
    state = a_warm_engine()
    outputs = feed(state, a_rate(WARM_MS, "1"), a_rate(WARM_MS + 5_000, "0.5"), a_rate(WARM_MS + 12_000, "1"))
    assert [o.step for o in of_type(outputs, LadderChanged)] == [3, 0, 3]
    assert state.control.latch is None
