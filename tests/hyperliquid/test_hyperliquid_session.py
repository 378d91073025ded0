import json
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    FrameMalformed,
    SessionFrameReceived,
    SubscriptionAcked,
    VenueErrorReceived,
)
from streaming.hyperliquid.encode import PING, subscribe
from streaming.hyperliquid.session import Action, Drop, Send, Session, Subscription

S = 1_000_000_000
T0 = 1_000 * S
BBO = Subscription("bbo", "xyz:ALPHA")
CTX = Subscription("activeAssetCtx", "xyz:ALPHA")
BOOK = Subscription("l2Book", "xyz:BETA", fast=True)
PLAN = (BBO, CTX, BOOK)


def a_session(subscriptions: tuple[Subscription, ...] = PLAN, seed: int = 7) -> Session:
    return Session(subscriptions, random=Random(seed))


def an_ack(subscription: Subscription, generation: int = 1) -> SubscriptionAcked:
    return SubscriptionAcked(
        recv_mono_ns=0,
        recv_ts_ns=0,
        generation=generation,
        channel=subscription.channel,
        coin=subscription.coin,
        is_fast=subscription.fast,
    )


def a_bbo(generation: int = 1) -> BboUpdated:
    return BboUpdated(
        recv_mono_ns=0, recv_ts_ns=0, coin="xyz:ALPHA", generation=generation, venue_ts_ms=1,
        bid_px=None, bid_sz=None, ask_px=None, ask_sz=None,
    )  # fmt: skip


def a_pong(generation: int = 1) -> SessionFrameReceived:
    return SessionFrameReceived(recv_mono_ns=0, recv_ts_ns=0, generation=generation, channel="pong")


def a_malformed(generation: int = 1, reason: str = "not JSON") -> FrameMalformed:
    return FrameMalformed(recv_mono_ns=0, recv_ts_ns=0, generation=generation, channel="unknown", reason=reason)


def an_error(text: str) -> VenueErrorReceived:
    return VenueErrorReceived(recv_mono_ns=0, recv_ts_ns=0, generation=1, text=text)


def opened(subscriptions: tuple[Subscription, ...] = PLAN) -> Session:
    session = a_session(subscriptions)
    session.connection_opened(T0)
    return session


def acked(subscriptions: tuple[Subscription, ...] = PLAN) -> Session:
    session = opened(subscriptions)
    for item in subscriptions:
        session.frame_received(an_ack(item), T0)
    return session


def run_until(session: Session, end_ns: int, *, events: dict[int, AnyEvent] | None = None) -> list[tuple[int, Action]]:
    """Play a virtual clock: deliver `events` by second, call deadlines exactly when they are due."""
    log: list[tuple[int, Action]] = []
    agenda = sorted((events or {}).items())
    while True:
        deadline_ns = session.next_deadline_mono_ns()
        if agenda and (deadline_ns is None or agenda[0][0] <= deadline_ns):
            now_ns, event = agenda.pop(0)
            log += [(now_ns, action) for action in session.frame_received(event, now_ns)]
        elif deadline_ns is not None and deadline_ns <= end_ns:
            log += [(deadline_ns, action) for action in session.deadline_passed(deadline_ns)]
        else:
            return log


def test_connection_opened_subscribes_everything_again_in_each_generation() -> None:
    # F-01
    session = a_session()

    first = session.connection_opened(T0)
    session.connection_lost(T0 + S)
    second = session.connection_opened(T0 + 3 * S)

    assert first == second == [Send(subscribe(item)) for item in PLAN]
    assert session.generation == 2
    assert session.sent_count == 6
    assert session.unacked == PLAN


def test_acks_of_every_subscription_leave_nothing_waiting() -> None:
    session = acked()

    assert session.unacked == ()
    assert run_until(session, T0 + 44 * S) == []


def test_missing_ack_is_retried_once_after_5_s_and_then_given_up() -> None:
    # F-14
    session = opened()
    session.frame_received(an_ack(BBO), T0)
    session.frame_received(an_ack(CTX), T0)

    log = run_until(session, T0 + 30 * S)

    assert log == [(T0 + 5 * S, Send(subscribe(BOOK)))]
    assert session.given_up == (BOOK,)
    assert session.unacked == ()


def test_ack_of_the_slow_book_does_not_confirm_the_fast_one() -> None:
    session = opened((BOOK,))

    session.frame_received(an_ack(Subscription("l2Book", "xyz:BETA")), T0)

    assert session.unacked == (BOOK,)


def test_late_ack_takes_a_subscription_back_from_given_up() -> None:
    session = opened((BBO,))
    run_until(session, T0 + 12 * S)
    assert session.given_up == (BBO,)

    session.frame_received(an_ack(BBO), T0 + 13 * S)

    assert session.given_up == ()


def test_silence_is_pinged_after_45_s_and_dropped_10_s_later() -> None:
    # F-03
    log = run_until(acked(), T0 + 100 * S)

    assert log == [(T0 + 45 * S, Send(PING)), (T0 + 55 * S, Drop("ping_timeout"))]


def test_frames_keep_the_session_from_pinging() -> None:
    events: dict[int, AnyEvent] = {T0 + second * S: a_bbo() for second in range(1, 200, 20)}

    assert run_until(acked(), T0 + 200 * S, events=events) == []


def test_data_silence_is_dropped_after_60_s_although_pongs_come() -> None:
    # F-05
    events: dict[int, AnyEvent] = {T0 + 46 * S: a_pong()}

    log = run_until(acked(), T0 + 200 * S, events=events)

    assert log == [(T0 + 45 * S, Send(PING)), (T0 + 60 * S, Drop("data_silence"))]


def test_after_a_drop_nothing_more_is_done_on_that_connection() -> None:
    session = acked()
    run_until(session, T0 + 100 * S)

    assert session.next_deadline_mono_ns() is None
    assert session.deadline_passed(T0 + 200 * S) == []
    assert session.frame_received(a_malformed(), T0 + 200 * S) == []
    assert session.resubscribe("xyz:ALPHA", T0 + 200 * S) == []


def test_frames_of_an_older_generation_change_nothing() -> None:
    # F-09, I-21
    session = a_session()
    session.connection_opened(T0)
    session.connection_lost(T0)
    session.connection_opened(T0 + S)

    for item in PLAN:
        session.frame_received(an_ack(item, generation=1), T0 + S)
    for _ in range(10):
        assert session.frame_received(a_malformed(generation=1), T0 + S) == []

    assert session.unacked == PLAN


def garbage(session: Session, now_ns: int, count: int, every_ns: int = S) -> list[Action]:
    generation = session.generation
    return [
        action
        for index in range(count)
        for action in session.frame_received(a_malformed(generation), now_ns + index * every_ns)
    ]


def test_five_malformed_frames_in_10_s_drop_the_connection() -> None:
    # F-10
    assert garbage(acked(), T0, 4) == []
    assert garbage(acked(), T0, 5) == [Drop("malformed_frames")]
    assert garbage(acked(), T0, 50, every_ns=3 * S) == []


def test_spot_contexts_are_no_garbage_of_the_connection() -> None:
    session = acked()

    for _ in range(50):
        assert session.frame_received(a_malformed(reason="spot_context"), T0) == []


@pytest.mark.parametrize(("pause_s", "is_hostile"), [(90, True), (200, False)])
def test_third_drop_for_garbage_within_5_min_is_hostile(pause_s: int, is_hostile: bool) -> None:
    # F-10
    session = a_session()
    for index in range(3):
        assert not session.is_feed_hostile
        now_ns = T0 + index * pause_s * S
        session.connection_opened(now_ns)
        assert garbage(session, now_ns, 5, every_ns=0) == [Drop("malformed_frames")]
        session.connection_lost(now_ns)

    assert session.is_feed_hostile is is_hostile


def test_venue_errors_are_counted_and_refusals_apart() -> None:
    session = acked()

    assert session.frame_received(an_error("Already unsubscribed: {}"), T0) == []
    assert session.frame_received(an_error("Invalid subscription {}"), T0) == []
    assert session.frame_received(an_error("Cannot track more than 10 total users."), T0) == []

    assert (session.error_count, session.refused_count) == (3, 2)


def test_resubscribe_ends_and_starts_every_stream_of_the_coin() -> None:
    session = acked()

    actions = session.resubscribe("xyz:ALPHA", T0 + S)

    frames = [json.loads(action.frame) for action in actions if isinstance(action, Send)]
    assert [(f["method"], f["subscription"]["type"]) for f in frames] == [
        ("unsubscribe", "bbo"),
        ("subscribe", "bbo"),
        ("unsubscribe", "activeAssetCtx"),
        ("subscribe", "activeAssetCtx"),
    ]
    assert session.unacked == (BBO, CTX)


def test_backoff_doubles_with_jitter_and_is_capped_at_60_s() -> None:
    # F-19, I-37
    session = a_session()

    delays = [session.connection_lost(T0 + index * 100 * S) for index in range(12)]

    for index, delay_ms in enumerate(delays):
        base_ms = min(1_000 * 2**index, 40_000)
        assert base_ms <= delay_ms <= base_ms * 3 // 2 <= 60_000
    assert delays != [a_session(seed=8).connection_lost(T0) for _ in range(12)]


@pytest.mark.parametrize(("age_s", "is_reset"), [(59, False), (60, True)])
def test_backoff_resets_only_after_a_stable_minute(age_s: int, is_reset: bool) -> None:
    session = a_session()
    for _ in range(6):
        session.connection_lost(T0)
    session.connection_opened(T0 + 100 * S)
    session.frame_received(a_bbo(), T0 + (100 + age_s) * S)

    delay_ms = session.connection_lost(T0 + 200 * S)

    assert (delay_ms <= 1_500) is is_reset


def test_subscriptions_beyond_the_message_limit_wait_for_the_window() -> None:
    # I-37
    session = a_session(tuple(Subscription("bbo", f"xyz:A{index}") for index in range(1_000)))
    sent = len(session.connection_opened(T0))
    session.connection_lost(T0)
    sent_again = len(session.connection_opened(T0 + 2 * S))
    for index in range(1_000):
        session.frame_received(an_ack(Subscription("bbo", f"xyz:A{index}"), generation=2), T0 + 3 * S)

    assert (sent, sent_again) == (1_000, 900)
    deadline_ns = session.next_deadline_mono_ns()
    assert deadline_ns is not None
    later: list[Action] = []
    now_ns = T0 + 3 * S
    while len(later) < 100:
        now_ns = max(now_ns, session.next_deadline_mono_ns() or 0)
        session.frame_received(a_bbo(generation=2), now_ns)
        later += session.deadline_passed(now_ns)
    assert all(isinstance(action, Send) for action in later)
    assert T0 + 60 * S <= now_ns <= T0 + 63 * S


def test_session_without_subscriptions_is_kept_alive_by_pings_alone() -> None:
    session = opened(())
    events: dict[int, AnyEvent] = {T0 + second * S: a_pong() for second in (46, 92)}

    log = run_until(session, T0 + 100 * S, events=events)

    assert log == [(T0 + 45 * S, Send(PING)), (T0 + 91 * S, Send(PING))]


def test_message_use_ratio_counts_every_frame_that_was_sent() -> None:
    session = acked()
    session.resubscribe("xyz:ALPHA", T0)

    assert session.message_use_ratio(T0) * 2_000 == session.sent_count == 7


class SessionMachine(RuleBasedStateMachine):
    """Any order of openings, losses, frames and deadlines keeps the venue's limits and wakes up in time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = T0
        self.session = a_session()
        self.is_open = False
        self.connect_at_ns = T0
        self.connects_ns: list[int] = []
        self.sends_ns: list[int] = []

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                assert self.is_open
                self.sends_ns.append(self.now_ns)
            else:
                assert action is actions[-1]
                self.lose()

    def lose(self) -> None:
        self.is_open = False
        delay_ms = self.session.connection_lost(self.now_ns)
        assert 0 < delay_ms <= 60_000
        self.connect_at_ns = self.now_ns + delay_ms * 1_000_000

    @precondition(lambda self: not self.is_open)
    @rule(is_successful=st.booleans())
    def connect(self, is_successful: bool) -> None:
        self.now_ns = max(self.now_ns, self.connect_at_ns)
        self.connects_ns.append(self.now_ns)
        if is_successful:
            self.is_open = True
            self.carry_out(self.session.connection_opened(self.now_ns))
        else:
            self.lose()

    @precondition(lambda self: self.is_open)
    @rule()
    def server_closes(self) -> None:
        self.lose()

    @precondition(lambda self: self.is_open)
    @rule(kind=st.sampled_from(["ack", "bbo", "pong", "garbage", "old"]), index=st.integers(0, 2))
    def frame_comes(self, kind: str, index: int) -> None:
        generation = self.session.generation
        event: AnyEvent = {
            "ack": an_ack(PLAN[index], generation),
            "bbo": a_bbo(generation),
            "pong": a_pong(generation),
            "garbage": a_malformed(generation),
            "old": a_bbo(generation - 1),
        }[kind]
        self.carry_out(self.session.frame_received(event, self.now_ns))

    @precondition(lambda self: self.is_open)
    @rule(seconds=st.integers(0, 70))
    def time_passes(self, seconds: int) -> None:
        end_ns = self.now_ns + seconds * S
        while self.is_open:
            deadline_ns = self.session.next_deadline_mono_ns()
            assert deadline_ns is not None
            if deadline_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, deadline_ns)
            self.carry_out(self.session.deadline_passed(self.now_ns))
            assert not self.is_open or (self.session.next_deadline_mono_ns() or 0) > self.now_ns
        self.now_ns = max(self.now_ns, end_ns)

    @precondition(lambda self: self.is_open)
    @rule()
    def coin_is_subscribed_again(self) -> None:
        self.carry_out(self.session.resubscribe("xyz:ALPHA", self.now_ns))

    @invariant()
    def no_minute_has_too_many_connects_or_messages(self) -> None:
        assert sum(at > self.now_ns - 60 * S for at in self.connects_ns) <= 30
        assert sum(at > self.now_ns - 60 * S for at in self.sends_ns) <= 2_000

    @invariant()
    def what_is_open_has_a_deadline(self) -> None:
        assert (self.session.next_deadline_mono_ns() is not None) is self.is_open
        assert not set(self.session.unacked) & set(self.session.given_up)


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=40, stateful_step_count=40, derandomize=True, deadline=None)
