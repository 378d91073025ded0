from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.budget import SHED_RATIO, WeightWindow
from streaming.core.errors import InvariantViolation

S = 1_000_000_000


def test_spent_weight_counts_for_the_whole_window_and_is_then_forgotten() -> None:
    window = WeightWindow(1_200, 60 * S)

    window.spend(10 * S, 20)

    assert window.used_weight(10 * S) == 20
    assert window.used_weight(70 * S) == 20
    assert window.used_weight(71 * S) == 0


def test_use_ratio_is_exact_and_may_exceed_one() -> None:
    window = WeightWindow(1_200, 60 * S)

    window.spend(0, 300)
    assert window.use_ratio(0) == Decimal("0.25")
    window.spend(0, 1_200)
    assert window.use_ratio(0) == Decimal("1.25")


def test_may_spend_sheds_at_80_percent_and_keeps_the_rest_for_what_is_essential() -> None:
    window = WeightWindow(1_200, 60 * S)
    window.spend(0, 950)

    assert not window.may_spend(0, 20, SHED_RATIO)
    assert window.may_spend(0, 10, SHED_RATIO)
    assert window.may_spend(0, 250)
    assert not window.may_spend(0, 251)


@pytest.mark.parametrize("weight", [1, 60, 61, 100])
def test_next_free_is_the_first_instant_at_which_the_weight_fits(weight: int) -> None:
    window = WeightWindow(100, 60 * S)
    window.spend(0, 60)
    window.spend(30 * S, 40)

    free_ns = window.next_free_ns(30 * S, weight)

    assert not window.may_spend(free_ns - 1, weight)
    assert window.may_spend(free_ns, weight)


def test_next_free_is_now_if_the_weight_fits() -> None:
    window = WeightWindow(100, 60 * S)
    window.spend(30 * S, 40)

    assert window.next_free_ns(31 * S, 60) == 31 * S


def test_next_free_of_a_weight_that_never_fits_is_when_the_window_is_empty() -> None:
    window = WeightWindow(100, 60 * S)
    window.spend(0, 100)

    assert window.used_weight(window.next_free_ns(0, 1_000)) == 0


def test_earlier_time_is_judged_as_of_the_latest() -> None:
    window = WeightWindow(100, 60 * S)
    window.spend(100 * S, 10)
    window.spend(50 * S, 10)

    assert window.used_weight(159 * S) == 20


def test_window_without_limit_is_our_bug() -> None:
    with pytest.raises(InvariantViolation):
        WeightWindow(0, 60 * S)


@given(
    spends=st.lists(st.tuples(st.integers(0, 20 * S), st.integers(1, 400)), min_size=1, max_size=60),
    share=st.sampled_from([Decimal(1), SHED_RATIO]),
)
def test_no_sliding_window_ever_holds_more_than_the_share(spends: list[tuple[int, int]], share: Decimal) -> None:
    # I-37
    window = WeightWindow(1_200, 60 * S)
    now_ns, done = 0, []
    for gap_ns, weight in spends:
        now_ns += gap_ns
        if window.may_spend(now_ns, weight, share):
            window.spend(now_ns, weight)
            done.append((now_ns, weight))

    for end_ns, _ in done:
        assert sum(weight for at_ns, weight in done if end_ns - 60 * S < at_ns <= end_ns) <= 1_200 * share
    assert len(window._buckets) <= 62
