"""Ranks, and variants that take turns."""

from streaming.sim.bench.statistic import calls_of, measured_in_turns, median, quantile, ratio


def test_quantiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (median(values), quantile(values, 0.99), quantile([7.0], 0.99)) == (51.0, 100.0, 7.0)


def test_variants_take_turns_in_changing_order_and_the_first_round_is_not_counted() -> None:
    turns: list[str] = []

    def taking(name: str, first_us: int) -> object:
        def measure(count: int) -> int:
            turns.append(name)
            return count * 1_000 * (first_us if turns.count(name) == 1 else 3)

        return measure

    us = measured_in_turns({"a": (taking("a", 900), 2), "b": (taking("b", 900), 5)}, 3)
    assert us == {"a": 3.0, "b": 3.0}
    assert turns == ["b", "a", "a", "b", "b", "a", "a", "b"]


def test_a_measure_makes_the_calls_it_is_asked_for() -> None:
    calls: list[int] = []
    assert calls_of(lambda: calls.append(1))(5) >= 0
    assert len(calls) == 5


def test_a_ratio_to_nothing_is_no_error() -> None:
    assert (ratio(3.0, 2.0), ratio(3.0, 0.0)) == (1.5, 0.0)
