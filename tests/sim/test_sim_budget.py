from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.budget import Budget
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.scenario.rules import LimitRules

ANN, BOB = "0xaa", "0xbb"
NOW_MS = 1_790_000_000_000
ALLOWED = 10_000


class Desk:
    """A budget whose users have traded what a test says."""

    def __init__(self, rules: LimitRules | None = None) -> None:
        self.volumes: dict[str, Decimal] = {}
        self.budget = Budget(rules or LimitRules(), lambda user: self.volumes.get(user, Decimal(0)))

    def take(self, count: int = 1, *, user: str = ANN, is_cancel: bool = False, at_ms: int = 0) -> Refusal | None:
        return self.budget.take(user, count, is_cancel=is_cancel, now_ms=NOW_MS + at_ms)

    def used(self, user: str = ANN) -> int:
        count: int = self.budget.body(user)["nRequestsUsed"]
        return count


def test_address_has_ten_thousand_requests_and_the_next_is_refused_with_the_real_text() -> None:
    desk = Desk()
    assert desk.take(ALLOWED) is None
    assert desk.take() is None  # the one action of the first ten seconds
    refused = desk.take(3)
    assert refused is not None
    assert refused.body == {
        "status": "err",
        "response": "Too many cumulative requests sent (10004 > 10000) for cumulative volume traded $0.00. "
        "Place taker orders to free up 1 request per USDC traded.",
    }


def test_volume_adds_one_request_for_each_usdc() -> None:
    desk = Desk()
    desk.take(ALLOWED)
    desk.volumes[ANN] = Decimal("2.99")
    assert desk.take(2) is None
    assert desk.budget.body(ANN) == {
        "cumVlm": "2.99", "nRequestsUsed": 10_002, "nRequestsCap": 10_002, "nRequestsSurplus": 0,
    }  # fmt: skip
    assert desk.take() is None
    refused = desk.take()
    assert refused is not None
    assert "(10004 > 10002) for cumulative volume traded $2.99." in refused.text


def test_beyond_the_budget_one_action_passes_in_ten_seconds_and_refusals_do_not_delay_it() -> None:
    desk = Desk()
    desk.take(ALLOWED)
    assert desk.take(at_ms=0) is None
    assert [desk.take(at_ms=ms) is None for ms in (1, 5_000, 9_999, 10_000, 10_001, 19_999, 20_000)] == [
        False, False, False, True, False, False, True,
    ]  # fmt: skip
    assert desk.used() == ALLOWED + 3


def test_cancels_have_twice_the_limit_but_at_most_a_hundred_thousand_more() -> None:
    desk = Desk()
    assert desk.take(ALLOWED) is None
    assert desk.take(ALLOWED, is_cancel=True) is None
    assert desk.take(is_cancel=True) is None
    assert desk.take(is_cancel=True) is not None
    desk.volumes[ANN] = Decimal(1_000_000)
    limit = ALLOWED + 1_000_000 + 100_000
    assert desk.take(limit - desk.used(), is_cancel=True) is None
    assert desk.take(is_cancel=True, at_ms=10_000) is None
    assert desk.take(is_cancel=True, at_ms=10_000) is not None


def test_addresses_have_budgets_of_their_own() -> None:
    desk = Desk()
    desk.take(ALLOWED)
    assert desk.take(ALLOWED, user=BOB) is None


@pytest.mark.parametrize(("factor", "cost"), [(0, 0), (1, 3), (5, 15)])
def test_settle_lets_a_refused_action_cost_its_factor(factor: int, cost: int) -> None:
    desk = Desk()
    desk.take(3)
    desk.budget.settle(ANN, 3, Refusal(refusals.EXPIRED, factor))
    assert desk.used() == cost


def test_reserved_requests_are_used_first_and_shown_as_surplus() -> None:
    desk = Desk()
    desk.take(10)
    desk.budget.reserve(ANN, 15)
    assert desk.budget.body(ANN) == {
        "cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": ALLOWED, "nRequestsSurplus": 5,
    }  # fmt: skip
    assert desk.take(ALLOWED + 5) is None
    assert desk.used() == ALLOWED


def test_limits_that_are_not_enforced_refuse_nobody_and_still_count() -> None:
    desk = Desk(LimitRules(is_enforced=False))
    assert desk.take(ALLOWED + 5) is None
    assert desk.take(5) is None
    assert desk.used() == ALLOWED + 10


def test_body_of_an_address_that_never_acted_is_empty() -> None:
    assert Desk().budget.body(BOB) == {
        "cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": ALLOWED, "nRequestsSurplus": 0,
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.integers(0, 4_000)), max_size=60))
def test_used_is_the_sum_of_what_passed_and_never_far_beyond_the_limit(steps: list[tuple[int, bool, int]]) -> None:
    desk = Desk(LimitRules(address_request_count=100))
    at_ms, passed, beyond_at = 0, 0, []
    for count, is_cancel, wait_ms in steps:
        at_ms += wait_ms
        if desk.take(count, is_cancel=is_cancel, at_ms=at_ms) is None:
            passed += count
            if passed > (200 if is_cancel else 100):
                beyond_at.append(at_ms)
        assert desk.used() == passed
    assert all(later - earlier >= 10_000 for earlier, later in pairwise(beyond_at))
