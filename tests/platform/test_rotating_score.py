"""Dollars a day: capacity of fills, weights, lower bound."""

import math
import random
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hip3_platform.analytics.rotating import capacity, score
from hip3_platform.analytics.rotating.capacity import CapacityRule, daily_usd, fill_sizes
from hip3_platform.analytics.rotating.score import ScoreRule, score_markets

DAY = "2026-11-28"


def back(days: int) -> str:
    return (date.fromisoformat(DAY) - timedelta(days=days)).isoformat()


def a_daily(**markets: list[float]) -> pl.DataFrame:
    """`a_daily(A=[3, 1])`: 3 dollars on the as-of day, 1 the day before."""
    rows = [(back(age), coin, float(usd), 1) for coin, values in markets.items() for age, usd in enumerate(values)]
    return pl.DataFrame(rows, schema=capacity.DAILY, orient="row")


def scored(daily: pl.DataFrame, *coins: str, **rule: float) -> dict[str, dict[str, object]]:
    frame = score_markets(daily, coins, venue="sim", day=DAY, rule=ScoreRule(**rule))  # type: ignore[arg-type]
    return {row["coin"]: row for row in frame.to_dicts()}


def slow(values: dict[str, list[float]], half_life: float) -> dict[str, tuple[float, float]]:
    """Mean and se by the written formulas, one plain loop each."""
    own = {}
    for coin, usds in values.items():
        w = [math.exp(-math.log(2) * age / half_life) for age in range(len(usds))]
        mean = sum(a * b for a, b in zip(w, usds, strict=True)) / sum(w)
        n_eff = sum(w) ** 2 / sum(a * a for a in w)
        biased = sum(a * (b - mean) ** 2 for a, b in zip(w, usds, strict=True)) / sum(w)
        own[coin] = (mean, biased * n_eff / (n_eff - 1), n_eff)
    pooled = sum(v * (n - 1) for _, v, n in own.values()) / sum(n - 1 for *_, n in own.values())
    return {coin: (mean, math.sqrt((0.5 * v + 0.5 * pooled) / n)) for coin, (mean, v, n) in own.items()}


def test_score_effective_days_of_the_whole_window_are_those_of_the_method() -> None:
    (row,) = scored(a_daily(A=[0.0, 1.0] * 14), "A").values()
    assert row["n_eff"] == pytest.approx(17.8, abs=0.05), "12 / sqrt(17.8) in the method"


def test_score_equals_the_formulas_written_out() -> None:
    draw = random.Random(5)
    values = {coin: [draw.gauss(mean, sd) for _ in range(n)] for coin, mean, sd, n in
              (("A", 5, 3, 28), ("B", -2, 12, 20), ("C", 0, 1, 4))}  # fmt: skip
    found = scored(a_daily(**values), *values)
    for coin, (mean, se) in slow(values, 7).items():
        assert (found[coin]["mean_usd"], found[coin]["se_usd"]) == pytest.approx((mean, se))
        assert found[coin]["score_usd"] == pytest.approx(mean - se)
    assert [found[coin]["rank"] for coin in sorted(values, key=lambda c: -found[c]["score_usd"])] == [1, 2, 3]


def test_score_hand_worked_two_days() -> None:
    # Weights 1 and 1/2, dollars 6 and 0: mean 4; n_eff 2.25 / 1.25 = 1.8; variance (4 + 8) / (1.5 - 1.25/1.5) = 18.
    (row,) = scored(a_daily(A=[6, 0]), "A", half_life_days=1, day_count_min=2).values()
    assert (row["mean_usd"], row["n_eff"], row["sd_usd"]) == pytest.approx((4, 1.8, math.sqrt(18)))
    assert row["score_usd"] == pytest.approx(4 - math.sqrt(10))


def test_score_too_few_days_and_days_outside_the_window_are_unknown_and_not_zero() -> None:
    old = a_daily(A=[1, 2, 3, 4]).with_columns(day=pl.lit(back(28)) + pl.lit(""))
    short = a_daily(A=[1, 2, 3])
    for daily in (old.head(1), short, short.clear()):
        row = scored(daily, "A")["A"]
        assert (row["score_usd"], row["rank"]) == (None, None)
        assert "fewer than 4" in str(row["reason"])


@pytest.mark.parametrize("usd", [math.nan, math.inf, None])
def test_score_refuses_dollars_that_are_no_number(usd: float | None) -> None:
    daily = a_daily(A=[1, 2, 3, 4]).with_columns(usd=pl.lit(usd, dtype=pl.Float64))
    with pytest.raises(ValueError, match="finite"):
        scored(daily, "A")


def test_score_refuses_two_rows_of_a_day() -> None:
    daily = a_daily(A=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="one row"):
        scored(pl.concat([daily, daily.head(1)]), "A")


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_score_order_of_rows_and_markets_changes_nothing(seed: int, count: int) -> None:
    draw = random.Random(seed)
    coins = [f"M{n}" for n in range(count)]
    daily = a_daily(**{coin: [draw.uniform(-50, 50) for _ in range(draw.randint(0, 30))] for coin in coins})
    rule = ScoreRule()
    straight = score_markets(daily, coins, venue="sim", day=DAY, rule=rule)
    mixed = daily.sample(fraction=1, shuffle=True, seed=seed % 1000)
    draw.shuffle(coins)
    assert score_markets(mixed, coins, venue="sim", day=DAY, rule=rule).equals(straight)


# --- capacity


def a_fill(**changes: object) -> dict[str, object]:
    fill = {"day": DAY, "coin": "A", "net_bps": 10.0, "funding_bps": 0.0, "entry_touch_usd": 400.0,
            "exit_touch_usd": 1e6}  # fmt: skip
    return fill | changes


def earned(*fills: dict[str, object], watched: list[tuple[str, str]] | None = None) -> pl.DataFrame:
    days = pl.DataFrame(watched or [(DAY, "A")], schema=capacity.WATCHED, orient="row")
    return daily_usd(pl.DataFrame(fills, schema=capacity.FILLS), days, CapacityRule())


@pytest.mark.parametrize(
    ("changes", "usd"),
    [
        ({}, 0.04),  # 40 of 400 at a tenth, 10 bps
        ({"entry_touch_usd": 5_000.0}, 0.05),  # the order's cap
        ({"exit_touch_usd": 20.0}, 0.02),
        ({"exit_touch_usd": 10.99}, 0.0),  # less than the venue takes
        ({"entry_touch_usd": 109.0}, 0.0),
        ({"net_bps": -10.0, "funding_bps": 5.0}, -0.06),
    ],
)
def test_capacity_of_a_fill(changes: dict[str, object], usd: float) -> None:
    assert earned(a_fill(**changes))["usd"].to_list() == pytest.approx([usd])


def test_capacity_a_watched_day_without_fills_is_zero_dollars_and_a_day_not_watched_is_no_row() -> None:
    daily = earned(a_fill(), a_fill(), watched=[(back(1), "A"), (DAY, "B"), (DAY, "A")])
    assert daily.rows() == [(back(1), "A", 0.0, 0), (DAY, "A", pytest.approx(0.08), 2), (DAY, "B", 0.0, 0)]


def test_capacity_a_fill_on_a_day_not_watched_is_refused() -> None:
    with pytest.raises(ValueError, match="watched"):
        earned(a_fill(day=back(1)))


def test_capacity_sizes_are_the_median_and_the_worst_loss() -> None:
    fills = [a_fill(net_bps=n, entry_touch_usd=t) for n, t in ((5.0, 200.0), (-30.0, 300.0), (7.0, 50.0))]
    sizes = fill_sizes(pl.DataFrame([*fills, a_fill(coin="B")], schema=capacity.FILLS), CapacityRule())
    assert sizes.rows() == [("A", 20.0, 30.0, 3), ("B", 40.0, 0.0, 1)]
    assert set(score.ABOUT) == set(score.SCHEMA)
