"""Notionals: caps, a quarter of Kelly, groups, the risk budget; settings that only tighten; incidents."""

import random
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hip3_platform.analytics.rotating import blacklist
from hip3_platform.analytics.rotating.allocation import AllocationRule, Allotment, Stake, allocate, groups_of
from hip3_platform.analytics.rotating.blacklist import BlacklistRule, blacklist_of, incidents_of
from hip3_platform.analytics.rotating.settings import Own, correlation_groups_of, hot_settings, own_of

D = Decimal
DAY = "2026-11-28"
WIDE = AllocationRule(cap_usd=1e6, group_cap_usd=1e6, risk_budget_usd=1e6, capital_usd=1e6, fill_ratio=1e6)


def a_stake(coin: str = "xyz:NVDA", **changes: float | None) -> Stake:
    fields = {"lcb_bps": 2.0, "var_bps2": 100.0, "fill_usd_p50": 40.0, "worst_bps": 50.0}
    return Stake(coin=coin, **(fields | changes))  # type: ignore[arg-type]


def allotted(*stakes: Stake, rule: AllocationRule, **groups: list[str]) -> dict[str, Decimal]:
    return {a.coin: a.usd for a in allocate(stakes, groups, rule)}


@pytest.mark.parametrize(
    ("rule", "usd"),
    [
        (AllocationRule(), "80"),  # 2 x 40
        (AllocationRule(cap_usd=60.0), "60"),
        # c x LCB / variance x capital = 0.25 x 2e-4 / (100e-8) x 1.5 = 75
        (AllocationRule(capital_usd=1.5), "75"),
        (AllocationRule(group_cap_usd=30.0), "30"),
        (AllocationRule(risk_budget_usd=0.25), "25"),  # 100 bps of 25
        (AllocationRule(risk_budget_usd=0.1), "0"),  # 10 is below the least order
    ],
)
def test_the_tightest_limit_decides(rule: AllocationRule, usd: str) -> None:
    assert allotted(a_stake(), rule=rule, g=["xyz:NVDA"]) == {"xyz:NVDA": D(usd)}


def test_everything_is_scaled_by_one_factor_within_the_budget_and_groups_by_theirs() -> None:
    stakes = [a_stake("A", fill_usd_p50=20.0), a_stake("B", fill_usd_p50=10.0), a_stake("C", fill_usd_p50=30.0)]
    assert allotted(*stakes, rule=AllocationRule(group_cap_usd=45.0), g=["A", "B"]) == {"A": 30, "B": 15, "C": 60}
    assert allotted(*stakes, rule=AllocationRule(risk_budget_usd=0.9)) == {"A": 30, "B": 15, "C": 45}


def test_a_market_in_two_groups_obeys_both() -> None:
    stakes = [a_stake("A", fill_usd_p50=50.0), a_stake("B", fill_usd_p50=50.0), a_stake("C", fill_usd_p50=50.0)]
    found = allotted(*stakes, rule=AllocationRule(group_cap_usd=100.0), g=["A", "B"], h=["A", "B", "C"])
    assert found["A"] + found["B"] + found["C"] <= 100
    assert found == {"A": D("33.33"), "B": D("33.33"), "C": D("33.33")}


@pytest.mark.parametrize("name", ["lcb_bps", "var_bps2", "fill_usd_p50", "worst_bps"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_known_allots_nothing(name: str, value: float | None) -> None:
    (found,) = allocate([a_stake(**{name: value})], {}, AllocationRule())
    assert (found.usd, "unknown" in found.reason) == (0, True)


@given(seed=st.integers(0, 2**32))
def test_no_cap_group_or_budget_is_ever_passed(seed: int) -> None:
    draw = random.Random(seed)
    coins = [f"M{n}" for n in range(draw.randint(1, 8))]
    stakes = [
        a_stake(coin, lcb_bps=draw.uniform(-1, 9), var_bps2=draw.uniform(0, 300), fill_usd_p50=draw.uniform(0, 90),
                worst_bps=draw.uniform(0, 900))
        for coin in coins
    ]  # fmt: skip
    rule = AllocationRule(
        cap_usd=draw.uniform(5, 150), capital_usd=draw.uniform(1, 500), group_cap_usd=draw.uniform(20, 200),
        risk_budget_usd=draw.uniform(0.1, 20), worst_bps_min=draw.uniform(0, 200),
    )  # fmt: skip
    groups = {f"g{n}": draw.sample(coins, draw.randint(1, len(coins))) for n in range(3)}
    found = allocate(stakes, groups, rule)
    assert allocate(draw.sample(stakes, len(stakes)), dict(reversed(groups.items())), rule) == found
    usd = {a.coin: Fraction(a.usd) for a in found}
    assert sorted(usd) == sorted(coins)
    worst = {s.coin: Fraction(max(s.worst_bps or 0, rule.worst_bps_min)) / 10_000 for s in stakes}
    assert sum(usd[coin] * worst[coin] for coin in coins) <= Fraction(rule.risk_budget_usd)
    for members in groups.values():
        assert sum(usd[coin] for coin in members) <= Fraction(rule.group_cap_usd)
    for stake in stakes:
        kelly = 0.25 * rule.capital_usd * max(0, stake.lcb_bps or 0) * 1e4 / (stake.var_bps2 or 1)
        assert usd[stake.coin] == 0 or rule.order_usd_min <= usd[stake.coin] <= Fraction(rule.cap_usd)
        assert float(usd[stake.coin]) <= min(kelly, 2 * (stake.fill_usd_p50 or 0)) + 1e-9


def test_groups_are_the_configured_ones_and_by_kind_of_underlying_what_is_left() -> None:
    coins = ["xyz:NVDA", "flx:NVDA", "xyz:GOLD", "xyz:SILVER", "xyz:NVDA"]
    found = groups_of(coins, {"metals": ("xyz:GOLD", "xyz:COPPER"), "none": ("xyz:X",)})
    assert found == {"metals": ("xyz:GOLD",), "kind:equity": ("flx:NVDA", "xyz:NVDA"), "kind:metal": ("xyz:SILVER",)}


def test_a_market_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        allocate([a_stake(), a_stake()], {}, AllocationRule())
    assert allocate([], {}, WIDE) == ()
    assert isinstance(allocate([a_stake()], {}, WIDE)[0], Allotment)


# --- settings


@pytest.mark.parametrize(
    ("policy", "own", "threshold_bps", "hold_ms"),
    [
        ((8, "any", 3), Own(D("4.8"), 5_000), D(8), 3_000),
        ((3, "any", 3), Own(D("4.8"), 5_000), None, 3_000),
        ((8, "any", 10), Own(D("4.8"), 5_000), D(8), None),
        ((8, "any", 5), Own(D(8), 5_000), D(8), 5_000),
        ((3, "any", 10), Own(), D(3), 10_000),
        ((None, None, None), Own(D(1), 1), None, None),
    ],
)
def test_settings_are_the_policy_where_that_tightens(
    policy: tuple[int | None, str | None, int | None], own: Own, threshold_bps: Decimal | None, hold_ms: int | None
) -> None:
    found = hot_settings(*policy, own)
    assert (found.threshold_bps, found.hold_ms_max) == (threshold_bps, hold_ms)
    is_kept = (policy[0] is not None and threshold_bps is None) or (policy[2] is not None and hold_ms is None)
    assert bool(found.note) == is_kept
    assert hot_settings(8, "oracle_led", 3, own).is_oracle_led_only


def test_settings_of_the_sidecar_are_read_from_its_configuration() -> None:
    limits = {"detector": {"slippage_bps": "1.5", "edge_bps_min": "3"}, "exits": {"time_stop_ms": 4000},
              "losses": {"correlation_groups": {"chips": ["xyz:NVDA", "xyz:AMD"]}}}  # fmt: skip
    text = msgspec.json.encode({"venue": "sim", "limits": limits}).decode()
    assert own_of(text, D("0.9")) == Own(threshold_bps=D("6.3"), time_stop_ms=4_000)
    assert own_of(text, None) == Own(threshold_bps=None, time_stop_ms=4_000)
    assert correlation_groups_of(text) == {"chips": ("xyz:NVDA", "xyz:AMD")}


# --- blacklist


def found_on(day: str = DAY, **frames: list[tuple[object, ...]]) -> pl.DataFrame:
    schemas = {"events": blacklist.EVENTS, "specs": blacklist.SPECS, "round_trips": blacklist.TRIPS,
               "metrics": blacklist.METRICS}  # fmt: skip
    tables = {name: pl.DataFrame(frames.get(name, []), schema=schema, orient="row") for name, schema in schemas.items()}
    return incidents_of(day, **tables, rule=BlacklistRule())


HALTED = ("A", "gate_changed", "halt", "block", "was pass; observed 1, limit 0")


def test_incidents_of_each_kind_with_their_figures() -> None:
    found = found_on(
        events=[
            HALTED, HALTED,
            ("B", "gate_changed", "halt", "block", "was pass; observed unknown, limit 0"),
            ("B", "gate_changed", "halt", "pass", "was block; observed 0, limit 0"),
            ("B", "gate_changed", "spread_shock", "block", "was pass; observed 9, limit 3"),
        ],
        specs=[("A", "v1"), ("A", "v1"), ("C", "v1"), ("C", "v2")],
        round_trips=[("D", D(2), D(100), D("-2.01")), ("D", D(2), D(100), D(5)), ("E", D(2), D(100), D(-2))],
        metrics=[("F", 0.0501), ("G", 0.05), ("H", None)],
    )  # fmt: skip
    assert found.select("coin", "kind").rows() == [
        ("A", "halt"), ("C", "parameter_change"), ("D", "tail_loss"), ("F", "oracle_stall")
    ]  # fmt: skip
    assert found["detail"].to_list() == [
        "halted 2 times", "2 specifications on one day", "a round trip lost 100 bps",
        "oracle stale at 5.0% of samples",
    ]  # fmt: skip


def test_a_listing_ends_after_its_days_and_the_last_to_run_out_counts() -> None:
    rule = BlacklistRule(manual=("Z",))
    both = pl.concat([found_on(events=[HALTED]), found_on(round_trips=[("A", D(1), D(100), D(-9))])])
    for later, until in ((0, "2026-12-05"), (7, "2026-12-05"), (8, None)):
        day = (date.fromisoformat(DAY) + timedelta(days=later)).isoformat()
        listed = blacklist_of(both, day, rule)
        assert (listed["A"].until if "A" in listed else None) == until
        assert listed["Z"].until is None
    assert "halt" not in blacklist_of(both, "2026-12-02", rule)["A"].reason, "a halt counts for three days"
    assert not blacklist_of(both, "2026-11-27", BlacklistRule()), "what has not happened yet lists nothing"
    assert rule.window_days == 8
