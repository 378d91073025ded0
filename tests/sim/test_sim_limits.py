"""What one IP may do, in numbers: refused beyond, free again after."""

from hypothesis import given
from hypothesis import strategies as st

from streaming.sim.scenario.rules import LimitRules
from streaming.sim.venue.limits import Limits, Window, exchange_weight, item_weight, request_weight

IP, OTHER = "127.0.0.1", "127.0.0.2"
RULES = LimitRules(
    weight_per_minute=100,
    connection_count_max=2,
    connections_per_minute=3,
    subscription_count_max=4,
    user_count_max=2,
    messages_per_minute=5,
    inflight_post_count_max=2,
)


@given(
    steps=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 60)), max_size=40),
    cap=st.integers(60, 200),
)
def test_limits_weight_within_any_minute_never_exceeds_the_cap(steps: list[tuple[int, int]], cap: int) -> None:
    limits, now_ms, granted = Limits(LimitRules(weight_per_minute=cap)), 0, []
    for wait_ms, weight in steps:
        now_ms += wait_ms
        used = sum(amount for ts_ms, amount in granted if ts_ms > now_ms - 60_000)
        is_granted = limits.spend(IP, weight, now_ms)
        assert is_granted is (used + weight <= cap)
        if is_granted:
            granted.append((now_ms, weight))


def test_limits_weight_of_long_answers_counts_although_it_was_given() -> None:
    limits = Limits(RULES)
    assert limits.spend(IP, 90, 0)
    limits.spend_more(IP, 25, 0)
    assert not limits.spend(IP, 1, 59_999)
    assert limits.spend(IP, 100, 60_000)
    assert limits.spend(OTHER, 100, 0)


def test_limits_weights_are_the_documented_ones() -> None:
    assert [request_weight(kind) for kind in ("l2Book", "userRole", "meta", "recentTrades")] == [2, 60, 20, 20]
    assert [item_weight("userFills", count) for count in (0, 19, 20, 2_000)] == [0, 0, 1, 100]
    assert item_weight("candleSnapshot", 5_000) == 83
    assert item_weight("meta", 500) == 0
    orders = {"action": {"type": "order", "orders": [{}] * 79}}
    assert exchange_weight(orders) == 2
    assert exchange_weight({"action": {"type": "cancel", "cancels": [{}] * 39}}) == 1
    assert [exchange_weight(body) for body in ({}, [], None, {"action": {"type": "order"}})] == [1] * 4


def test_limits_connections_are_bounded_at_once_and_by_the_minute() -> None:
    limits = Limits(RULES)
    assert [limits.connect(IP, 0) for _ in range(3)] == [True, True, False]
    assert limits.connect(OTHER, 0)
    limits.disconnect(IP)
    assert limits.connect(IP, 10)
    limits.disconnect(IP)
    assert not limits.connect(IP, 20), "three new ones within the minute"
    assert limits.connect(IP, 60_011)


def test_limits_users_and_subscriptions_are_freed_when_they_end() -> None:
    limits = Limits(RULES)
    assert [limits.subscribe(IP, user) for user in ("a", "b", "a")] == [None] * 3
    assert limits.subscribe(IP, "c") == "Cannot track more than 2 total users."
    limits.unsubscribe(IP, "b")
    assert limits.subscribe(IP, "c") is None
    assert limits.subscribe(IP, "") is None
    assert limits.subscribe(IP, "") is not None
    assert limits.subscribe(OTHER, "d") is None
    limits.unsubscribe(IP, "a")
    assert limits.subscribe(IP, "b") == "Cannot track more than 2 total users.", "a has another stream"


def test_limits_messages_and_posts() -> None:
    limits = Limits(RULES)
    assert [limits.message(IP, 0) for _ in range(5)] == [None] * 5
    assert limits.message(IP, 59_999) is not None
    assert limits.message(IP, 60_000) is None
    assert [limits.begin_post(IP, number) for number in (1, 2)] == [None, None]
    assert limits.begin_post(IP, 1234) == "too many pending post requests id=1234"
    limits.end_post(IP)
    assert limits.begin_post(IP, 3) is None


def test_limits_not_enforced_refuse_nothing() -> None:
    limits = Limits(LimitRules(is_enforced=False, weight_per_minute=1, connection_count_max=0, messages_per_minute=0))
    assert limits.spend(IP, 5_000, 0)
    assert limits.connect(IP, 0)
    assert limits.message(IP, 0) is None
    assert all(limits.subscribe(IP, str(user)) is None for user in range(50))


def test_window_forgets_after_exactly_a_minute() -> None:
    window = Window()
    window.add(3, 1_000)
    window.add(4, 2_000)
    assert [window.sum(now_ms) for now_ms in (2_000, 60_999, 61_000, 61_999, 62_000)] == [7, 7, 4, 4, 0]
