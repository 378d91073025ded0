from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import InvariantViolation
from streaming.core.limits import ActionLimits
from streaming.core.trading.action_budget import (
    LIMITED_SPACING_NS,
    ActionBudget,
    ActionKind,
    answered,
    budget_read,
    forecast_hours,
    limit_cleared,
    limit_hit,
    next_free_mono_ns,
    refusal,
    spend,
)
from streaming.core.units import NS_PER_S

REDUCE, CANCEL, NEW = ActionKind.REDUCE, ActionKind.CANCEL, ActionKind.NEW
T0 = 5 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
LIMITS = ActionLimits()  # 10/s, burst 40, 20 for exits; 20 places, 10 for exits; 500 requests for exits; 5 fail → 60 s
WIDE_LIMITS = ActionLimits(in_flight_count_max=100, exit_in_flight_count=1)


def a_budget(*, used: int = 0, cap: int = 10_000) -> ActionBudget:
    budget = ActionBudget()
    budget_read(budget, used, cap, T0)
    return budget


def spend_most(budget: ActionBudget, limits: ActionLimits, now_mono_ns: int, kind: ActionKind) -> int:
    """Send single actions of a kind until one is refused; how many went."""
    count = 0
    while not refusal(budget, limits, now_mono_ns, kind, 1):
        spend(budget, limits, now_mono_ns, kind, 1)
        count += 1
    return count


def fail(budget: ActionBudget, now_mono_ns: int, count: int) -> None:
    for _ in range(count):
        spend(budget, LIMITS, now_mono_ns, REDUCE, 1)
        answered(budget, LIMITS, now_mono_ns, failure_weight=1)


def test_new_budget_lets_every_kind_go() -> None:
    assert [refusal(a_budget(), LIMITS, T0, kind, 1) for kind in ActionKind] == ["", "", ""]


def test_action_without_orders_is_our_bug() -> None:
    with pytest.raises(InvariantViolation):
        refusal(a_budget(), LIMITS, T0, NEW, 0)


def test_tokens_entries_leave_20_to_exits_and_cancels_leave_10_to_reduce_only_orders() -> None:
    budget = a_budget()

    assert spend_most(budget, WIDE_LIMITS, T0, NEW) == 20
    assert refusal(budget, WIDE_LIMITS, T0, NEW, 1) == "action_rate"
    assert spend_most(budget, WIDE_LIMITS, T0, CANCEL) == 10
    assert spend_most(budget, WIDE_LIMITS, T0, REDUCE) == 10
    assert refusal(budget, WIDE_LIMITS, T0, REDUCE, 1) == "action_rate"


def test_tokens_each_order_of_a_batch_costs_one_and_the_batch_one_place() -> None:
    budget = a_budget()
    spend(budget, LIMITS, T0, NEW, 15)

    assert budget.in_flight_count == 1
    assert refusal(budget, LIMITS, T0, NEW, 6) == "action_rate"
    assert refusal(budget, LIMITS, T0, NEW, 5) == ""


def test_tokens_come_back_at_the_rate_and_not_beyond_the_burst() -> None:
    budget = a_budget()
    spend(budget, LIMITS, T0, REDUCE, 40)

    assert refusal(budget, LIMITS, T0 + NS_PER_S - 1, REDUCE, 10) == "action_rate"
    assert refusal(budget, LIMITS, T0 + NS_PER_S, REDUCE, 10) == ""
    assert refusal(budget, LIMITS, T0 + HOUR_NS, REDUCE, 40) == ""
    assert refusal(budget, LIMITS, T0 + HOUR_NS, REDUCE, 41) == "action_rate"


def test_tokens_clock_that_reads_earlier_refills_nothing() -> None:
    budget = a_budget()
    spend(budget, LIMITS, T0, REDUCE, 20)
    spend(budget, LIMITS, T0 - NS_PER_S, REDUCE, 20)

    assert refusal(budget, LIMITS, T0 - NS_PER_S, REDUCE, 1) == "action_rate"
    assert refusal(budget, LIMITS, T0, REDUCE, 1) == "action_rate"


def test_places_entries_leave_10_to_exits_and_cancels_leave_5_to_reduce_only_orders() -> None:
    budget, limits = a_budget(), ActionLimits(action_burst_count=100)

    assert spend_most(budget, limits, T0, NEW) == 10
    assert refusal(budget, limits, T0, NEW, 1) == "in_flight"
    assert spend_most(budget, limits, T0, CANCEL) == 5
    assert spend_most(budget, limits, T0, REDUCE) == 5
    assert refusal(budget, limits, T0, REDUCE, 1) == "in_flight"
    assert next_free_mono_ns(budget, limits, T0, REDUCE, 1) is None

    answered(budget, limits, T0, failure_weight=0)
    assert refusal(budget, limits, T0, REDUCE, 1) == ""


def test_answer_to_nothing_is_our_bug() -> None:
    with pytest.raises(InvariantViolation):
        answered(a_budget(), LIMITS, T0, failure_weight=0)


def test_spending_what_is_refused_is_our_bug() -> None:
    with pytest.raises(InvariantViolation, match="I-37"):
        spend(a_budget(), LIMITS, T0, NEW, 21)


def test_circuit_opens_for_entries_alone_after_5_failures_in_a_row_and_closes_after_60_s() -> None:
    budget = a_budget()
    fail(budget, T0, 4)
    assert refusal(budget, LIMITS, T0, NEW, 1) == ""
    fail(budget, T0, 1)

    assert [refusal(budget, LIMITS, T0 + NS_PER_S, kind, 1) for kind in ActionKind] == ["", "", "circuit_open"]
    assert refusal(budget, LIMITS, T0 + 60 * NS_PER_S - 1, NEW, 1) == "circuit_open"
    assert refusal(budget, LIMITS, T0 + 60 * NS_PER_S, NEW, 1) == ""
    assert next_free_mono_ns(budget, LIMITS, T0, NEW, 1) == T0 + 60 * NS_PER_S


def test_circuit_one_failure_after_its_time_opens_it_again_and_a_success_ends_the_row() -> None:
    later = T0 + 61 * NS_PER_S
    budget = a_budget()
    fail(budget, T0, 5)
    fail(budget, later, 1)
    assert refusal(budget, LIMITS, later, NEW, 1) == "circuit_open"

    spend(budget, LIMITS, later, REDUCE, 1)
    answered(budget, LIMITS, later, failure_weight=0)
    fail(budget, later + 61 * NS_PER_S, 4)
    assert refusal(budget, LIMITS, later + 61 * NS_PER_S, NEW, 1) == ""


def test_f35_limited_address_sends_one_reduce_only_order_per_spacing_and_nothing_else() -> None:
    budget = a_budget()
    spend(budget, LIMITS, T0, NEW, 1)
    limit_hit(budget)
    free = T0 + LIMITED_SPACING_NS

    assert refusal(budget, LIMITS, free - 1, REDUCE, 1) == "address_limited"
    assert next_free_mono_ns(budget, LIMITS, T0, REDUCE, 1) == free
    assert refusal(budget, LIMITS, free, CANCEL, 1) == "address_limited"
    assert refusal(budget, LIMITS, free, NEW, 1) == "address_limited"
    assert refusal(budget, LIMITS, free, REDUCE, 2) == "address_limited"
    assert next_free_mono_ns(budget, LIMITS, T0, CANCEL, 1) is None

    spend(budget, LIMITS, free, REDUCE, 1)
    assert refusal(budget, LIMITS, free + 10 * NS_PER_S, REDUCE, 1) == "address_limited"
    limit_cleared(budget)
    assert refusal(budget, LIMITS, free, NEW, 1) == ""


def test_address_read_that_shows_requests_left_ends_the_limited_mode_and_one_that_does_not_keeps_it() -> None:
    budget = a_budget()
    limit_hit(budget)

    budget_read(budget, 10_000, 10_000, T0)
    assert refusal(budget, LIMITS, T0, CANCEL, 1) == "address_limited"
    budget_read(budget, 10_000, 10_001, T0)
    assert refusal(budget, LIMITS, T0, CANCEL, 1) == ""


def test_address_reserve_is_for_exits_alone_and_counts_what_was_sent_since_the_read() -> None:
    budget = a_budget(used=9_490)
    assert refusal(budget, LIMITS, T0, NEW, 11) == "address_reserve"
    assert refusal(budget, LIMITS, T0, NEW, 10) == ""
    spend(budget, LIMITS, T0, NEW, 10)

    assert [refusal(budget, LIMITS, T0, kind, 1) for kind in ActionKind] == ["", "", "address_reserve"]
    assert next_free_mono_ns(budget, LIMITS, T0, NEW, 1) is None
    budget_read(budget, 9_499, 10_000, T0)
    assert refusal(budget, LIMITS, T0, NEW, 1) == ""


def test_address_budget_that_was_never_read_blocks_entries_alone() -> None:
    budget = ActionBudget()
    assert [refusal(budget, LIMITS, T0, kind, 1) for kind in ActionKind] == ["", "", "address_reserve"]


@pytest.mark.parametrize(
    ("rate", "count", "wait_ns"), [(10, 10, NS_PER_S), (3, 1, 333_333_334), (1, 40, 40 * NS_PER_S)]
)
def test_next_free_waits_for_the_tokens_to_the_ns(rate: int, count: int, wait_ns: int) -> None:
    budget, limits = a_budget(), ActionLimits(action_rate_per_s=rate)
    spend(budget, limits, T0, REDUCE, 40)

    assert next_free_mono_ns(budget, limits, T0, REDUCE, count) == T0 + wait_ns
    assert refusal(budget, limits, T0 + wait_ns - 1, REDUCE, count) == "action_rate"


def test_next_free_is_none_for_an_action_larger_than_the_bucket_will_ever_hold() -> None:
    assert next_free_mono_ns(a_budget(), LIMITS, T0, NEW, 20) == T0
    assert next_free_mono_ns(a_budget(), LIMITS, T0, NEW, 21) is None
    assert next_free_mono_ns(a_budget(), LIMITS, T0, REDUCE, 41) is None


def test_forecast_is_the_rest_at_the_rate_at_which_it_fell() -> None:
    budget = a_budget(used=0, cap=10_000)
    budget_read(budget, 1_500, 10_500, T0 + HOUR_NS)

    assert forecast_hours(budget, T0 + HOUR_NS) == Decimal(9)
    assert forecast_hours(budget, T0 + HOUR_NS + HOUR_NS // 2) == Decimal("8.5")
    assert forecast_hours(budget, T0 + 20 * HOUR_NS) == 0


def test_forecast_is_unknown_without_reads_and_while_volume_pays_for_the_requests() -> None:
    assert forecast_hours(ActionBudget(), T0) is None
    budget = a_budget(used=0, cap=10_000)
    assert forecast_hours(budget, T0) is None
    budget_read(budget, 100, 10_100, T0 + HOUR_NS)
    assert forecast_hours(budget, T0 + HOUR_NS) is None


def test_forecast_of_a_spent_budget_is_zero() -> None:
    assert forecast_hours(a_budget(used=10_001, cap=10_000), T0) == 0


def test_forecast_looks_at_the_last_ten_reads_only() -> None:
    budget = a_budget(used=0, cap=100_000)
    for hour in range(1, 12):
        budget_read(budget, 50_000 + hour, 100_000, T0 + hour * HOUR_NS)

    assert len(budget.address_reads) == 10
    assert forecast_hours(budget, T0 + 11 * HOUR_NS) == Decimal(100_000 - 50_011)


def test_forecast_of_absurd_figures_is_absurd_and_no_error() -> None:
    budget = a_budget(used=0, cap=10**40)
    budget_read(budget, 1, 10**40, T0 + HOUR_NS)

    forecast = forecast_hours(budget, T0 + HOUR_NS)
    assert forecast is not None
    assert forecast > 10**38


def test_state_survives_a_snapshot() -> None:
    budget = a_budget()
    spend(budget, LIMITS, T0, NEW, 3)
    limit_hit(budget)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(budget), type=ActionBudget) == budget


kinds = st.sampled_from(list(ActionKind))
some_limits = st.builds(
    ActionLimits,
    action_rate_per_s=st.integers(1, 30),
    action_burst_count=st.integers(2, 40),
    exit_token_count=st.integers(1, 40),
    in_flight_count_max=st.integers(2, 12),
    exit_in_flight_count=st.integers(1, 12),
    failure_count_max=st.integers(1, 4),
)
asks = st.lists(
    st.tuples(
        st.integers(0, 2 * NS_PER_S) | st.integers(0, NS_PER_S // 20),
        kinds,
        st.integers(1, 12),
        st.sampled_from(["wait", "answer", "answer", "answer", "fail", "limit", "clear"]),
    ),
    min_size=1,
    max_size=60,
)


def run(limits: ActionLimits, plan: list[tuple[int, ActionKind, int, str]]) -> tuple[ActionBudget, list, int]:
    """Send whatever is not refused; returns the account, (instant, kind, count) of what went, and the last instant."""
    budget, now, sent = a_budget(used=0, cap=1_000_000), T0, []
    for gap_ns, kind, count, then in plan:
        now += gap_ns
        if not refusal(budget, limits, now, kind, count):
            spend(budget, limits, now, kind, count)
            sent.append((now, kind, count))
            assert budget.in_flight_count <= limits.in_flight_count_max
        if then in ("answer", "fail") and budget.in_flight_count:
            answered(budget, limits, now, failure_weight=int(then == "fail"))
        if then == "limit":
            limit_hit(budget)
        if then == "clear":
            limit_cleared(budget)
    return budget, sent, now


@given(limits=some_limits, plan=asks)
def test_no_window_holds_more_than_the_burst_and_the_refill(limits: ActionLimits, plan: list) -> None:
    # I-37
    _, sent, _ = run(limits, plan)

    for first, (begin_ns, _, _) in enumerate(sent):
        total = 0
        for at_ns, _, count in sent[first:]:
            total += count
            allowed_nanos = limits.action_burst_count * NS_PER_S + (at_ns - begin_ns) * limits.action_rate_per_s
            assert total * NS_PER_S <= allowed_nanos


@given(limits=some_limits, plan=asks)
def test_reduce_only_has_its_share_whatever_was_asked_before(limits: ActionLimits, plan: list) -> None:
    # I-37: its share is what cancels leave, half of the exits' reserve rounded up, of tokens and of places.
    others = [(gap_ns, CANCEL if kind is REDUCE else kind, count, then) for gap_ns, kind, count, then in plan]
    budget, _, now = run(limits, others)
    limit_cleared(budget)

    share = min(limits.action_burst_count, (limits.exit_token_count + 1) // 2)
    assert refusal(budget, limits, now, REDUCE, share) == ""


@given(limits=some_limits, plan=asks)
def test_entries_alone_leave_the_whole_reserve(limits: ActionLimits, plan: list) -> None:
    entries = [(gap_ns, NEW, count, then) for gap_ns, _, count, then in plan]
    budget, _, now = run(limits, entries)
    limit_cleared(budget)

    reserve = min(limits.action_burst_count, limits.exit_token_count)
    assert refusal(budget, limits, now, REDUCE, reserve) == ""


@given(limits=some_limits, plan=asks, kind=kinds, count=st.integers(1, 45))
def test_next_free_is_the_first_instant_at_which_it_may_go(
    limits: ActionLimits, plan: list, kind: ActionKind, count: int
) -> None:
    budget, _, now = run(limits, plan)

    free = next_free_mono_ns(budget, limits, now, kind, count)

    if free is None:
        assert refusal(budget, limits, now + 1_000 * HOUR_NS, kind, count)
        return
    assert free >= now
    assert refusal(budget, limits, free, kind, count) == ""
    assert free == now or refusal(budget, limits, free - 1, kind, count)


@given(plan=asks)
def test_limited_address_never_sends_more_than_one_reduce_only_order_per_10_s(plan: list) -> None:
    stuck = [(gap_ns, kind, count, "limit") for gap_ns, kind, count, _ in plan]
    _, sent, _ = run(LIMITS, stuck)

    for (before_ns, _, _), (at_ns, kind, count) in pairwise(sent):
        assert (kind, count) == (REDUCE, 1)
        assert at_ns - before_ns >= 10 * NS_PER_S
