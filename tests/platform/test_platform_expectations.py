"""Great Expectations over profiles: what contradicts itself is named by market and rule; volumes have a past."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from platform_defects import Feed
from platform_trades import a_trading_day
from platform_warehouse import DAY_1, VENUE, MarketDay, write_day

from hip3_platform.analytics import gold
from hip3_platform.analytics.baseline import Baseline, compare, history_text, read_baseline, window_before
from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.metrics import SCHEMA
from hip3_platform.analytics.profile import profile_followups, profile_signals
from hip3_platform.analytics.profile_metrics import profile_metrics
from hip3_platform.analytics.profile_trading import profile_fills, profile_orders
from hip3_platform.analytics.suites import SUITES, Rule
from hip3_platform.checks.expectations import judge_metrics, judge_tables
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.paths import day_begin_ns, gold_path
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_MS, NS_PER_S

BEGIN_NS = day_begin_ns(DAY_1) + 3_600 * NS_PER_S


def _bronze(root: Path) -> None:
    landing = read_landing(root, VENUE)
    for table in TABLES:
        assert compact(root, table, VENUE, DAY_1, landing.of(DAY_1, table)).findings.is_clean


def _markets(result: dg.AssetCheckResult) -> dict[str, set[str]]:
    table: Any = result.metadata["findings"]
    found: dict[str, set[str]] = {}
    for record in table.records:
        found.setdefault(str(record.data["rule"]), set()).add(str(record.data["where"]))
    return found


def _trades(*planted: tuple[str, dict[str, object]]) -> list[MarketDay]:
    """A day with two round trips, and rows of another market."""
    day = a_trading_day(BEGIN_NS)
    odd = MarketDay("xyz:BAD", signal_count=0, bbo_count=0)
    for table, values in planted:
        odd.add(table, **values)
    return [replace(day.market, signal_count=0, bbo_count=0), day.account_rows, odd]


_ORDER: dict[str, object] = {
    "seq": 5, "ordinal": 0, "cloid": "0xbad", "ts_ns": BEGIN_NS, "decided_ts_ns": BEGIN_NS, "mode": "live",
    "side": "buy", "tif": "Ioc", "limit_px": Decimal(100), "sz": Decimal(1), "filled_sz": Decimal(0),
    "applied_sz": Decimal(0), "status": "intent",
}  # fmt: skip
_FILL: dict[str, object] = {
    "seq": 6, "tid": 1, "cloid": "0xbad", "ts_ns": BEGIN_NS, "venue_ts_ms": BEGIN_NS // NS_PER_MS, "mode": "live",
    "decided_ts_ns": BEGIN_NS, "side": "buy", "px": Decimal(100), "sz": Decimal(1), "source": "stream",
    "fee": Decimal("0.01"), "reason": "entry", "fee_token": "USDC",
}  # fmt: skip


def test_traded_day_holds_every_expectation(warehouse: WarehouseResource) -> None:
    write_day(warehouse.path, DAY_1, _trades(("orders", _ORDER)))
    _bronze(warehouse.path)
    orders, fills, signals = judge_tables(warehouse, DAY_1, ["orders", "fills", "signals"])
    assert (orders.passed, fills.passed) == (True, True)
    assert (signals.passed, signals.description) == (True, "no signals that day")


def test_orders_and_fills_against_their_terms_are_wrong_and_named(warehouse: WarehouseResource) -> None:
    planted = [
        ("orders", _ORDER),
        ("orders", {**_ORDER, "ordinal": 1, "status": "filled", "limit_px": Decimal(99), "filled_sz": Decimal(2)}),
        ("orders", {**_ORDER, "seq": 7, "cloid": "0xlost", "status": "filled"}),
        ("fills", {**_FILL, "px": Decimal(101)}),
        ("fills", {**_FILL, "tid": 2, "side": "sell", "fee": Decimal(3)}),
        ("fills", {**_FILL, "tid": 3, "source": "rumour", "flight_ms": -4}),
    ]
    write_day(warehouse.path, DAY_1, _trades(*planted))
    _bronze(warehouse.path)
    orders, fills = judge_tables(warehouse, DAY_1, ["orders", "fills"])
    bad = {"xyz:BAD"}
    assert _markets(orders) == {
        "changed_terms_count": bad, "filled_over_sz_count": bad, "sequence_broken_count": bad,
    }  # fmt: skip
    assert _markets(fills) == {
        "outside_limit_count": bad, "side_differs_count": bad, "fee_bps_max": bad, "over_order_count": bad,
        "source_unknown_count": bad, "flight_negative_count": bad,
    }  # fmt: skip
    assert {orders.severity, fills.severity} == {dg.AssetCheckSeverity.ERROR}


def test_signals_and_followups_that_contradict_each_other_are_wrong_and_named(warehouse: WarehouseResource) -> None:
    wide = MarketDay("xyz:WIDE", signal_count=3, edges_bps=("3000",))
    lost = MarketDay("xyz:LOST", signal_count=0, bbo_count=1)
    lost.add(
        "followups", seq=9_000_001, signal_id="nobody", signal_ts_ns=BEGIN_NS, ts_ns=BEGIN_NS + NS_PER_S,
        offset_ms=1_000, side="buy", entry_px=Decimal(100), is_missing=False, missing_reason="",
    )  # fmt: skip
    write_day(warehouse.path, DAY_1, [MarketDay("xyz:OK", signal_count=3), wide, lost])
    _bronze(warehouse.path)
    signals, followups = judge_tables(warehouse, DAY_1, ["signals", "followups"])
    assert _markets(signals) == {"raw_edge_bps_max": {"xyz:WIDE"}}
    assert "xyz:WIDE: raw_edge_bps_max: expected 0 to 2000.0, found 3000" in (signals.description or "")
    assert _markets(followups) == {"orphan_count": {"xyz:LOST"}, "known_without_book_count": {"xyz:LOST"}}


def test_an_episode_is_one_of_its_session(tmp_path: Path) -> None:
    def profiled(folder: str, *sessions: str) -> int:
        for seq, session_id in enumerate(sessions, start=9):
            market = MarketDay("xyz:GOOD", signal_count=0, bbo_count=0)
            market.add("signals", seq=seq, signal_id=f"s{seq}", episode_id="xyz:GOOD-buy-8", ts_ns=BEGIN_NS, side="buy")
            write_day(tmp_path / folder, DAY_1, [market], session_id=session_id, first_seq=100 * seq, part_count=1)
        landing = read_landing(tmp_path / folder, VENUE)
        compact(tmp_path / folder, "signals", VENUE, DAY_1, landing.of(DAY_1, "signals"))
        (row,) = profile_signals(tmp_path / folder, VENUE, DAY_1)
        return int(row["episode_repeat_count"])

    assert profiled("two", "s1", "s2") == 0, "its name has the place in its session's journal and no more"
    assert profiled("one", "s1", "s1") == 1


def test_profiles_have_every_column_that_a_rule_names(tmp_path: Path) -> None:
    write_day(tmp_path, DAY_1, [MarketDay("xyz:A", signal_count=3), *_trades(("orders", _ORDER), ("fills", _FILL))])
    _bronze(tmp_path)
    gold.write_daily_metrics(tmp_path, VENUE, DAY_1)
    metrics = pl.read_parquet(gold_path(tmp_path, table=gold.DAILY_METRICS, venue=VENUE, day=DAY_1))
    baseline = read_baseline(tmp_path, VENUE, DAY_1, ())
    profiles = {
        "signals": profile_signals(tmp_path, VENUE, DAY_1),
        "followups": profile_followups(tmp_path, VENUE, DAY_1),
        "orders": profile_orders(tmp_path, VENUE, DAY_1),
        "fills": profile_fills(tmp_path, VENUE, DAY_1),
        "daily_metrics": profile_metrics(tmp_path, VENUE, DAY_1, metrics, baseline),
    }
    for name, rules in SUITES.items():
        for record in profiles[name]:
            assert {rule.column for rule in rules} <= set(record)
            assert all(rule.holds(record[rule.column]) for rule in rules), (name, record)


@pytest.mark.parametrize(("value", "holds"), [(None, False), (0, True), (1, True), (1.0001, False), (-0.0001, False)])
def test_rule_that_blocks_does_not_hold_for_nothing(value: float | None, holds: bool) -> None:
    assert Rule("x", 0, 1).holds(value) is holds
    assert Rule("x", 0, 1, is_blocking=False).holds(value) is (holds or value is None)


# --- volumes against the past


def _metrics(coin: str, bbo: int, signals: int, seconds: int = 36_000) -> dict[str, object]:
    row = dict.fromkeys((name for name, kind in SCHEMA.items() if kind == pl.Int64), 0)
    counts = {"bbo_count": bbo, "ctx_count": seconds, "signal_count": signals, "health_count": seconds}
    return {"venue": VENUE, "day": DAY_1, "coin": coin, **row, **counts}


def _write_metrics(root: Path, day: str, *rows: dict[str, object]) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), schema=SCHEMA)
    path = gold_path(root, table=gold.DAILY_METRICS, venue=VENUE, day=day)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return frame


def _weekdays(count: int) -> list[str]:
    """The last days before DAY_1 (a Friday) that are weekdays too."""
    return [day for day in reversed(window_before(DAY_1)) if day not in _WEEKEND][:count]


_WEEKEND = {"2026-11-14", "2026-11-15", "2026-11-07", "2026-11-08"}


def test_volume_is_compared_an_hour_with_the_median_of_like_days(tmp_path: Path) -> None:
    for day, bbo in zip(_weekdays(3), (10_000, 20_000, 90_000), strict=True):
        _write_metrics(tmp_path, day, _metrics("xyz:A", bbo, 100))
    _write_metrics(tmp_path, "2026-11-15", _metrics("xyz:A", 7, 0))
    today = _write_metrics(tmp_path, DAY_1, _metrics("xyz:A", 2_000, 200, seconds=18_000), _metrics("xyz:NEW", 9, 9))
    (old, new) = compare(today, read_baseline(tmp_path, VENUE, DAY_1, ()))
    # 20,000 in ten hours are 2,000 an hour; 2,000 in five hours are 400: a fifth.
    assert old == {"coin": "xyz:A", "history_days": 3, "bbo_ratio": 0.2, "ctx_ratio": 1.0, "signal_ratio": 4.0}
    assert new == {"coin": "xyz:NEW", "history_days": 0, "bbo_ratio": None, "ctx_ratio": None, "signal_ratio": None}


def test_few_expected_signals_have_no_ratio(tmp_path: Path) -> None:
    for day in _weekdays(3):
        _write_metrics(tmp_path, day, _metrics("xyz:A", 10_000, 19))
    today = _write_metrics(tmp_path, DAY_1, _metrics("xyz:A", 10_000, 0))
    (record,) = compare(today, read_baseline(tmp_path, VENUE, DAY_1, ()))
    assert record["signal_ratio"] is None
    assert record["bbo_ratio"] == 1.0


def test_short_history_says_so_and_a_missing_day_is_a_finding(tmp_path: Path) -> None:
    first, second = sorted(_weekdays(2))
    _write_metrics(tmp_path, second, _metrics("xyz:A", 10_000, 5))
    honest = read_baseline(tmp_path, VENUE, DAY_1, (second, DAY_1))
    assert (honest.days, honest.findings) == ((second,), [])
    records = compare(_write_metrics(tmp_path, DAY_1, _metrics("xyz:A", 1, 5)), honest)
    assert history_text(records).startswith("no baseline yet")
    holey = read_baseline(tmp_path, VENUE, DAY_1, (first, second, DAY_1))
    assert [finding.where for finding in holey.findings] == [first]


def _judged_feed(warehouse: WarehouseResource) -> pl.DataFrame:
    write_day(warehouse.path, DAY_1, [Feed(seconds=700).rows("xyz:A", DAY_1, 100)])
    _bronze(warehouse.path)
    return gold.write_daily_metrics(warehouse.path, VENUE, DAY_1).frame


def test_market_that_fell_silent_against_its_past_is_a_warning(warehouse: WarehouseResource) -> None:
    _judged_feed(warehouse)
    for day in _weekdays(3):
        _write_metrics(warehouse.path, day, _metrics("xyz:A", 36_000 * 20, 0))
    red = judge_metrics(warehouse, DAY_1)
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert _markets(red) == {"bbo_ratio": {"xyz:A"}}


def test_figures_that_differ_from_bronze_are_wrong(warehouse: WarehouseResource) -> None:
    frame = _judged_feed(warehouse)
    broken = frame.with_columns(bbo_count=pl.col("bbo_count") - 1, oracle_stale_rate=pl.lit(1.5))
    path = gold_path(warehouse.path, table=gold.DAILY_METRICS, venue=VENUE, day=DAY_1)
    broken.write_parquet(path)
    red = judge_metrics(warehouse, DAY_1)
    assert red.severity is dg.AssetCheckSeverity.ERROR
    assert _markets(red) == {"bbo_count_difference": {"xyz:A"}, "rate_outside_count": {"xyz:A"}}
    empty = profile_metrics(warehouse.path, VENUE, DAY_1, frame.clear(), Baseline((), (), _no_rates()))
    assert [(record["coin"], record["market_missing_count"]) for record in empty] == [("xyz:A", 1)]


def _no_rates() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "coin": pl.String, "days": pl.UInt32, "bbo_ratio": pl.Float64, "ctx_ratio": pl.Float64,
            "signal_ratio": pl.Float64,
        }
    )  # fmt: skip
