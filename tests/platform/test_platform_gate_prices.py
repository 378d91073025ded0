"""What limits cost: signals marked out by hand-worked books, prices against plain formulas."""

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest
from core_builders import a_spec
from platform_warehouse import DAY_1, DAY_2, MarketDay, write_day
from scipy import stats

from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.counterfactual import (
    OUTCOME_ABOUT,
    OUTCOME_SCHEMA,
    PRICE_ABOUT,
    PRICE_SCHEMA,
    GateRule,
    gate_prices,
    outcomes_of,
    write_gate_outcomes,
    write_gate_prices,
)
from hip3_platform.analytics.evidence.latency import ORDERS_MIN
from hip3_platform.analytics.evidence.tables import GATE_SOURCES
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.limits_in_force import FILTER_LIMITS, Limits
from hip3_platform.analytics.store import write_frame
from hip3_platform.assets.counterfactual import build_gate_outcomes, build_gate_prices
from hip3_platform.looks.sections.trading import by_weight
from hip3_platform.partitions import daily_partitions
from hip3_platform.resources.evidence import EvidencePolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.paths import day_begin_ns
from streaming.core.effects import GateId
from streaming.core.limits import WIDER_WHEN, SizingLimits
from streaming.core.sizing import Held, size_entry
from streaming.core.units import NS_PER_MS, NS_PER_S

COIN = "xyz:GOOD"
FEE = 0.9
RULE = GateRule(latency_ms=400)
ENTRY = Decimal("99.8")


@dataclass
class Story:
    """One signal and the book after it: `bid` is the exit, `ask` what the order meets."""

    blocked_by: str = ""
    bid: str = "99.9"
    ask: str = "99.8"
    refused_by: str = ""
    reduced_by: str = ""


def _told(day: str, stories: Iterable[Story]) -> MarketDay:
    market = MarketDay(COIN, signal_count=0, bbo_count=0)
    seq = 0
    begin_ns = day_begin_ns(day) + 3_600 * NS_PER_S

    def bbo(ts_ns: int, bid: str, ask: str) -> None:
        nonlocal seq
        seq += 1
        market.add(
            "bbo", seq=seq, recv_ts_ns=ts_ns, recv_mono_ns=ts_ns, venue_ts_ms=ts_ns // NS_PER_MS, generation=1,
            bid_px=Decimal(bid), bid_sz=Decimal(5), ask_px=Decimal(ask), ask_sz=Decimal(5),
        )  # fmt: skip

    for number, story in enumerate(stories):
        ts_ns = begin_ns + number * 10 * NS_PER_S
        for second in range(0, 5, 2):
            seq += 1
            market.add(
                "ctx", seq=seq, recv_ts_ns=ts_ns + second * NS_PER_S, recv_mono_ns=ts_ns, generation=1,
                oracle_px=Decimal(100), mark_px=Decimal(100), mid_px=Decimal(100),
            )  # fmt: skip
        bbo(ts_ns, "99.7", str(ENTRY))
        _signal(market, story, ts_ns, seq, f"{day}-{number}")
        bbo(ts_ns + 300 * NS_PER_MS, "99.7", story.ask)
        bbo(ts_ns + 3 * NS_PER_S, story.bid, "100.5")
    market.add("specs", seq=1, ts_ns=begin_ns, taker_fee_bps=Decimal("0.9"), is_delisted=False)
    return market


def _signal(market: MarketDay, story: Story, ts_ns: int, seq: int, signal_id: str) -> None:
    both: dict[str, Any] = {"seq": seq, "signal_id": signal_id, "ts_ns": ts_ns}
    market.add(
        "signals", **both, episode_id=signal_id, side="buy", origin="oracle_led", limit_px=ENTRY, touch_sz=Decimal(5),
        raw_edge_bps=Decimal(20), is_blocked=bool(story.blocked_by), blocked_by=story.blocked_by,
    )  # fmt: skip
    market.add("gates", **both, gate="spread_shock", status="reduce" if story.reduced_by else "pass")
    if story.refused_by:
        market.add(
            "events", seq=seq, ordinal=3, ts_ns=ts_ns, kind="entry_refused", subject=signal_id, state="refused",
            detail=story.refused_by,
        )  # fmt: skip


def _bronze(root: Path, day: str, stories: Iterable[Story]) -> None:
    write_day(root, day, [_told(day, stories)], session_id=f"s-{day}")
    landing = read_landing(root, "sim")
    for table in GATE_SOURCES:
        assert compact(root, table, "sim", day, landing.of(day, table)).findings.is_clean


def _net(exit_px: str) -> float:
    return (float(exit_px) - float(ENTRY)) / float(ENTRY) * 1e4 - 2 * FEE


# --- outcomes


def test_outcome_of_every_signal_is_worked_out_by_hand(tmp_path: Path) -> None:
    stories = [
        Story(),
        Story("spread_shock", bid="99.5"),
        Story("spread_shock,position_open", ask="99.81"),
        Story(refused_by="below_minimum"),
        Story(reduced_by="spread_shock", bid="100"),
        Story(),
    ]
    _bronze(tmp_path, DAY_1, stories)
    frame = outcomes_of(tmp_path, "sim", DAY_1, COIN, RULE)
    assert frame["state"].to_list() == ["filled", "filled", "missed", "filled", "filled", "void"]
    nets = frame["net_bps"].to_list()
    assert nets[:2] == pytest.approx([_net("99.9"), _net("99.5")])
    assert nets[2] is None
    assert nets[4] == pytest.approx(_net("100"))
    assert nets[5] is None, "the data end before its exit"
    assert frame["blocked_by"].to_list()[1:3] == ["spread_shock", "spread_shock,position_open"]
    assert frame["refused_by"].to_list() == ["", "", "", "below_minimum", "", ""]
    assert frame["reduced_by"].to_list() == ["", "", "", "", "spread_shock", ""]
    assert set(frame["ntl_usd"]) == {50.0}


def test_outcomes_without_a_spec_are_void_and_never_a_guess(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [Story(), Story()])
    shutil.rmtree(tmp_path / "bronze" / "specs")
    frame = outcomes_of(tmp_path, "sim", DAY_1, COIN, RULE)
    assert frame["state"].to_list() == ["void", "void"]
    assert frame["net_bps"].null_count() == 2


# --- prices


def _outcome(day: str, blocked_by: str = "", net_bps: float | None = 1.0, **values: object) -> dict[str, object]:
    row: dict[str, object] = {
        "venue": "sim", "day": day, "coin": COIN, "signal_id": "x", "ts_ns": 1, "side": "buy", "origin": "oracle_led",
        "raw_edge_bps": 12.0, "blocked_by": blocked_by, "refused_by": "", "reduced_by": "",
        "state": "missed" if net_bps is None else "filled", "net_bps": net_bps, "ntl_usd": 50.0, "config_hash": "c1",
    }  # fmt: skip
    return {**row, **values}


DAYS = tuple(f"2026-11-{number:02d}" for number in range(10, 20))


def _prices(
    rows: list[dict[str, object]], days: tuple[str, ...] = DAYS, limits: dict[str, Limits] | None = None
) -> pl.DataFrame:
    return gate_prices(pl.DataFrame(rows, schema=OUTCOME_SCHEMA, orient="row"), "sim", days, RULE, limits or {})


def _row(frame: pl.DataFrame, name: str, coin: str = COIN) -> dict[str, Any]:
    return frame.filter((pl.col("name") == name) & (pl.col("coin") == coin)).row(0, named=True)


def _cluster_interval(by_day: list[list[float]]) -> tuple[float, float, float]:
    """The method's own formulas (section 2), in plain Python."""
    groups = [day for day in by_day if day]
    n = sum(map(len, groups))
    theta = sum(map(sum, groups)) / n
    residual = sum((sum(day) - theta * len(day)) ** 2 for day in groups)
    se = math.sqrt(len(groups) / (len(groups) - 1) * residual) / n
    df = min(len(groups), n**2 / sum(len(day) ** 2 for day in groups)) - 1
    half = stats.t.ppf(0.975, df) * se
    return theta, theta - half, theta + half


def test_price_is_the_cluster_mean_of_what_it_alone_blocked() -> None:
    by_day = [[5.0 + d + i % 3 for i in range(3 + d % 4)] for d in range(len(DAYS))]
    rows = [_outcome(DAYS[d], "oracle_fresh", net) for d, nets in enumerate(by_day) for net in nets]
    rows += [_outcome(day, "oracle_fresh,position_open", -90.0) for day in DAYS]
    rows += [_outcome(day, "", 2.0 + number) for number, day in enumerate(DAYS)]
    row = _row(_prices(rows), "oracle_fresh")
    theta, low, high = _cluster_interval(by_day)
    assert (row["price_bps"], row["price_bps_low"], row["price_bps_high"]) == pytest.approx((theta, low, high))
    assert (row["state"], row["kind"]) == ("costs", "gate")
    assert (row["only_count"], row["blocked_count"], row["passed_count"]) == (len(rows) - 20, len(rows) - 10, 10)
    assert row["blocked_bps"] < row["price_bps"], "what others blocked as well is shown beside it"
    assert row["passed_bps"] == pytest.approx(6.5)


def test_price_in_dollars_counts_days_on_which_nothing_happened() -> None:
    rows = [_outcome(day, "oracle_fresh", -10.0 - number) for number, day in enumerate(DAYS[:6]) for _ in range(6)]
    row = _row(_prices(rows), "oracle_fresh")
    usd = [6 * (-10.0 - number) * 50 / 1e4 for number in range(6)] + [0.0] * 4
    mean, sd = sum(usd) / 10, math.sqrt(sum((each - sum(usd) / 10) ** 2 for each in usd) / 9)
    half = stats.t.ppf(0.975, 9) * sd / math.sqrt(10)
    assert (row["price_usd"], row["price_usd_low"], row["price_usd_high"]) == pytest.approx(
        (mean, mean - half, mean + half)
    )
    assert row["state"] == "saves"


@pytest.mark.parametrize(("fills", "days"), [(29, 10), (400, 4)])
def test_price_of_too_little_data_is_insufficient_and_has_no_bounds(fills: int, days: int) -> None:
    rows = [_outcome(DAYS[number % days], "halt", 30.0 + number % 7) for number in range(fills)]
    row = _row(_prices(rows), "halt")
    assert row["state"] == "insufficient"
    assert (row["price_bps_low"], row["price_usd_high"], row["blocked_bps_low"]) == (None, None, None)
    assert f"{fills} fills on {days} days" in row["why"]


def test_price_around_zero_is_unclear() -> None:
    rows = [_outcome(DAYS[n % 10], "halt", 8.0 if n % 20 < 10 else -8.0) for n in range(200)]
    rows += [_outcome(DAYS[n % 10], "halt", float(n % 10 - 5)) for n in range(100)]
    assert _row(_prices(rows), "halt")["state"] == "unclear"


def test_missed_and_void_orders_are_counted_and_no_result() -> None:
    rows = [_outcome(DAYS[n % 10], "halt", 4.0 + n % 5) for n in range(50)]
    rows += [_outcome(DAYS[0], "halt", None), _outcome(DAYS[0], "halt", None, state="void")]
    row = _row(_prices(rows), "halt")
    assert (row["only_fill_count"], row["only_missed_count"], row["only_void_count"]) == (50, 1, 1)
    assert row["price_bps"] == pytest.approx(6.0)


def test_refusals_and_controls_are_priced_beside_gates() -> None:
    rows = [_outcome(DAYS[0], "session_closed"), _outcome(DAYS[0], refused_by="below_minimum"), _outcome(DAYS[0])]
    rows += [_outcome(DAYS[0], reduced_by="spread_shock")]
    frame = _prices(rows)
    kinds = {name: kind for coin, kind, name in frame.select("coin", "kind", "name").rows() if coin == COIN}
    assert kinds == {"session_closed": "control", "below_minimum": "refusal", "spread_shock": "gate"}
    assert _row(frame, "spread_shock")["reduced_count"] == 1
    assert _row(frame, "below_minimum")["passed_count"] == 2, "a refused signal was not let through"


def test_all_markets_together_are_one_row_a_filter() -> None:
    rows = [_outcome(day, "halt", 5.0 + n, coin=coin) for n, day in enumerate(DAYS) for coin in ("a:A", "a:B")]
    frame = _prices(rows)
    assert [row["only_count"] for row in frame.iter_rows(named=True)] == [10, 10, 20]
    assert by_weight(frame)["coin"].to_list() == ["*", "a:A", "a:B"]


def test_no_signals_have_no_prices() -> None:
    assert _prices([]).height == 0


def test_every_column_says_what_it_is() -> None:
    assert set(OUTCOME_SCHEMA) == set(OUTCOME_ABOUT)
    assert set(PRICE_SCHEMA) == set(PRICE_ABOUT)


# --- the limits behind them

K, AGE = "gates.spread_shock_ratio_max", "gates.ctx_age_ms_max"


def _limit(frame: pl.DataFrame, name: str) -> tuple[str | None, ...]:
    row = _row(frame, name)
    return row["limit_name"], row["limit_value"], row["limit_values"]


def test_price_carries_the_limit_it_is_the_price_of() -> None:
    limits = {"c1": {"gates": {"spread_shock_ratio_max": "4", "ctx_age_ms_max": 900}}}
    rows = [_outcome(DAYS[0], "oracle_fresh"), _outcome(DAYS[0], reduced_by="spread_shock")]
    rows += [_outcome(DAYS[0], "oi_cap"), _outcome(DAYS[0], "session_closed"), _outcome(DAYS[0])]
    frame = _prices(rows, limits=limits)
    assert _limit(frame, "spread_shock") == (K, "4", "")
    assert _limit(frame, "oracle_fresh") == (AGE, "900", "")
    assert _limit(frame, "oi_cap") == (None, None, None), "a cap of the venue is no number of the file"
    assert _limit(frame, "session_closed") == (None, None, None)


def test_limit_that_changed_within_the_window_says_when() -> None:
    limits = {"c1": {"gates": {"spread_shock_ratio_max": "3"}}, "c2": {"gates": {"spread_shock_ratio_max": "3"}},
              "c3": {"gates": {"spread_shock_ratio_max": "2.5", "disabled_gates": {"halt": "why"}}}}  # fmt: skip
    rows = [_outcome(day, "spread_shock,halt", ts_ns=at, config_hash=config_hash)
            for at, (day, config_hash) in enumerate(zip(DAYS, ("c1", "c2", "c3"), strict=False))]  # fmt: skip
    frame = _prices(rows, limits=limits)
    assert _limit(frame, "spread_shock") == (K, "2.5", f"3 from {DAYS[0]}, 2.5 from {DAYS[2]}")
    assert _limit(frame, "halt")[1:] == ("disabled", f"not known from {DAYS[0]}, disabled from {DAYS[2]}")


@pytest.mark.parametrize(("config_hash", "limits"), [("gone", {"c1": {}}), ("c1", {"c1": {}}), (None, {})])
def test_limit_that_nothing_names_is_not_known_and_no_default(config_hash: str | None, limits: dict[str, Any]) -> None:
    frame = _prices([_outcome(DAYS[0], "spread_shock", config_hash=config_hash)], limits=limits)
    assert _limit(frame, "spread_shock") == (K, None, "")


def test_limits_are_names_of_the_configuration_and_every_gate_is_thought_of() -> None:
    assert set(FILTER_LIMITS.values()) <= set(WIDER_WHEN)
    assert {gate.value for gate in GateId} - set(FILTER_LIMITS) == {"oi_cap", "time_regression"}


@pytest.mark.parametrize(
    ("held", "limits", "touch_sz"),
    [((0, 5), {}, 5), ((500, 1), {}, 5), ((0, 0), {"order_ntl_min": Decimal(50)}, 1)],
)
def test_refusals_of_the_sizing_name_their_limits(held: tuple[int, int], limits: dict[str, Any], touch_sz: int) -> None:
    refused = size_entry(
        SizingLimits(**limits), a_spec(), Held(ntl=Decimal(held[0]), count=held[1]), limit_px=Decimal(100),
        touch_sz=Decimal(touch_sz), is_reduced=False,
    )  # fmt: skip
    assert FILTER_LIMITS[refused.reason] == f"sizing.{refused.reason.removeprefix('below_')}"


def test_limit_is_resolved_by_the_day_on_which_the_session_began(tmp_path: Path) -> None:
    began = _told(DAY_1, [Story("spread_shock"), Story()])
    text = msgspec.json.encode({"limits": {"gates": {"spread_shock_ratio_max": "4"}}}).decode()
    began.add("configs", seq=1, ts_ns=day_begin_ns(DAY_1), coin="", config_json=text)
    write_day(tmp_path, DAY_1, [began])
    compact(tmp_path, "configs", "sim", DAY_1, read_landing(tmp_path, "sim").of(DAY_1, "configs"))
    _bronze(tmp_path, DAY_2, [Story("spread_shock"), Story()])
    write_gate_outcomes(tmp_path, "sim", DAY_2, RULE)
    assert _limit(write_gate_prices(tmp_path, "sim", DAY_2, RULE).frame, "spread_shock") == (K, "4", "")


def test_day_that_an_older_version_judged_has_prices_and_no_limit(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [Story("spread_shock"), Story()])
    written = write_gate_outcomes(tmp_path, "sim", DAY_1, RULE)
    write_frame(written.path, written.frame.drop("config_hash"))
    frame = write_gate_prices(tmp_path, "sim", DAY_1, RULE).frame
    assert _limit(frame, "spread_shock") == (K, None, "")
    assert _row(frame, "spread_shock")["only_fill_count"] == 1


# --- files and assets


def test_files_are_byte_equal_on_a_second_run_and_the_window_reaches_back(tmp_path: Path) -> None:
    for day in (DAY_1, DAY_2):
        _bronze(tmp_path, day, [Story("spread_shock"), Story(), Story("halt", bid="99.5"), Story()])
        write_gate_outcomes(tmp_path, "sim", day, RULE)
    first = write_gate_prices(tmp_path, "sim", DAY_2, RULE)
    raw = first.path.read_bytes()
    assert write_gate_prices(tmp_path, "sim", DAY_2, RULE).path.read_bytes() == raw
    row = _row(first.frame, "spread_shock")
    assert (row["day"], row["day_count"], row["blocked_count"]) == (DAY_2, 2, 2)
    assert _row(write_gate_prices(tmp_path, "sim", DAY_1, RULE).frame, "spread_shock")["blocked_count"] == 1


def test_assets_show_table_and_plot(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [Story("spread_shock"), Story(), Story("halt", bid="99.5"), Story()])
    partitions = daily_partitions(DAY_1)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [build_gate_outcomes(partitions), build_gate_prices(partitions)],
            partition_key=DAY_1, instance=instance,
            resources={
                "warehouse": WarehouseResource(root=str(tmp_path), venue="sim"),
                "evidence": EvidencePolicy(latency_ms=400),
            },
        )  # fmt: skip
    assert result.success
    outcomes = result.asset_materializations_for_node("gold__gate_outcomes")[0].metadata
    prices = result.asset_materializations_for_node("gold__gate_prices")[0].metadata
    assert (outcomes["blocked_count"].value, outcomes["filled_count"].value, outcomes["void_count"].value) == (2, 3, 1)
    assert str(prices["plot"].value).startswith("![what each limit cost]")
    assert prices["insufficient_count"].value == 4
    table = prices["prices"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {record.data["name"] for record in table.records} == {"spread_shock", "halt"}


@pytest.mark.parametrize(("order_count", "missed"), [(ORDERS_MIN - 1, 0), (ORDERS_MIN, 1)])
def test_limits_are_priced_at_the_latency_that_real_orders_had(tmp_path: Path, order_count: int, missed: int) -> None:
    market = _told(DAY_1, [Story("spread_shock", ask="99.81"), Story()])  # the touch leaves after 300 ms
    for at in range(order_count):
        market.add(
            "orders", seq=9_000 + at, cloid=f"c{at}", ts_ns=day_begin_ns(DAY_1), decided_ts_ns=day_begin_ns(DAY_1),
            mode="live", status="filled", sent_us=400, answered_us=350_000,
        )  # fmt: skip
    write_day(tmp_path, DAY_1, [market])
    for table in (*GATE_SOURCES, "orders"):
        compact(tmp_path, table, "sim", DAY_1, read_landing(tmp_path, "sim").of(DAY_1, table))
    resources = {"warehouse": WarehouseResource(root=str(tmp_path), venue="sim"), "evidence": EvidencePolicy()}
    with dg.DagsterInstance.ephemeral() as instance:
        made = dg.materialize(
            [build_gate_outcomes(daily_partitions(DAY_1))], partition_key=DAY_1, instance=instance, resources=resources
        )
    (told,) = made.asset_materializations_for_node("gold__gate_outcomes")
    assert told.metadata["missed_count"].value == missed
