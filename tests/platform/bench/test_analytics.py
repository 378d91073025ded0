"""`hip3 bench analytics`: the made-up day is a day, the comparison notices, the figures follow from what was taken.

No figure is compared with a bar here: the machine that runs the tests has others to serve.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.bench.compare import differences
from hip3_platform.bench.day import VENUE, Shape, write_day
from hip3_platform.bench.rounds import FIRST, Sizes, Took, bench_analytics, figures_of
from hip3_platform.bench.ways import ours
from streaming.contracts.paths import bronze_path, gold_path
from streaming.contracts.tables import TABLES
from streaming.core.errors import ConfigError

DAY = str(FIRST)
SHAPE = Shape(1, 100_000, 25_000)
COIN = SHAPE.coins[0]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from hip3_platform.bench.ways import duckdb

    root, out = tmp_path_factory.mktemp("day"), tmp_path_factory.mktemp("out")
    write_day(root, DAY, SHAPE)
    for way in (ours, duckdb):
        way.work(root, out, DAY)
    return root, out


def test_the_made_up_day_is_bronze_with_crosses_of_both_origins(worked: tuple[Path, Path]) -> None:
    root, _ = worked
    for name, count in (("bbo", 100_000), ("ctx", 25_000)):
        rows = pq.ParquetFile(bronze_path(root, table=name, venue=VENUE, day=DAY, coin=COIN)).read()
        assert rows.schema.equals(TABLES[name].schema)
        assert rows.num_rows == count
        assert np.all(np.diff(rows.column("seq").to_numpy()) > 0)
    day = read_market_day(root, VENUE, DAY, COIN)
    assert day.begin_ns <= day.bbo_ts_ns[0] < day.bbo_ts_ns[-1] < day.end_ns
    assert len(day.gap_ns) == 2  # one for each new connection
    assert sorted(day.fee_bps) == [0.45, 0.9]
    episodes = pl.read_parquet(gold_path(root, table="evidence_episodes", venue=VENUE, day=DAY))
    lowest = episodes.filter(pl.col("threshold_bps") == 3)
    assert 50 < lowest.height < 1_000
    assert set(lowest["origin"]) == {"oracle_led", "quote_led"}


def test_a_day_follows_from_its_name_and_shape(tmp_path: Path) -> None:
    shape = Shape(2, 2_000, 500)
    for root in ("a", "b"):
        write_day(tmp_path / root, DAY, shape)
    write_day(tmp_path / "b", "2026-06-16", shape)
    for coin in shape.coins:
        one, same = (bronze_path(tmp_path / root, table="bbo", venue=VENUE, day=DAY, coin=coin) for root in "ab")
        other = bronze_path(tmp_path / "b", table="bbo", venue=VENUE, day="2026-06-16", coin=coin)
        assert one.read_bytes() == same.read_bytes() != other.read_bytes()
        prices = pq.ParquetFile(other).read(columns=["bid_px"]).column(0)
        assert prices.type == pa.decimal128(18, 8)
        assert all(Decimal(10) < price < Decimal(1_000) for price in prices.to_pylist() if price is not None)


def test_platform_and_reference_agree_and_a_change_anywhere_is_noticed(worked: tuple[Path, Path]) -> None:
    root, out = worked
    assert differences(root, out, DAY) == []
    changes = {
        ("daily_metrics", "edge_hist"): pl.col("edge_hist").list.reverse(),
        ("daily_metrics", "ctx_recv_interval_ms_p99"): pl.col("ctx_recv_interval_ms_p99") * (1 + 1e-8),
        ("daily_metrics", "blocked_by_halt"): pl.col("blocked_by_halt") + 1,
        ("policy_hours", "fills"): pl.col("fills") + (pl.int_range(pl.len()) == 7),
        ("policy_hours", "net_bps2"): pl.col("net_bps2") + 1e-6,
        ("evidence_episodes", "ended_by"): pl.lit("oracle_moved"),
        ("evidence_episodes", "end_ns"): pl.col("end_ns") + 1,
    }
    for (table, column), changed in changes.items():
        path = gold_path(root, table=table, venue=VENUE, day=DAY)
        right = path.read_bytes()
        pl.read_parquet(path, hive_partitioning=False).with_columns(changed.alias(column)).write_parquet(path)
        [found] = differences(root, out, DAY)
        assert found.endswith(f"{column} differs")
        path.write_bytes(right)
    path = gold_path(root, table="policy_hours", venue=VENUE, day=DAY)
    right = path.read_bytes()
    pl.read_parquet(path, hive_partitioning=False)[1:].write_parquet(path)
    [found] = differences(root, out, DAY)
    assert "rows" in found
    path.write_bytes(right)


def taken(**seconds: float) -> dict[str, list[Took]]:
    known = {
        "scan_pyarrow": 1.5, "scan_polars": 1.0, "scan_duckdb": 2.0, "ours_a": 6.0, "ours_b": 6.0, "duckdb": 30.0,
        "pandas": 12.0, "one_day": 1.0, "many_days": 3.0,
    }  # fmt: skip
    return {name: [Took(value, 900.0)] for name, value in (known | seconds).items()}


def test_figures_are_ratios_to_the_fastest_scan_and_to_ours() -> None:
    found = taken(ours_a=5.0, ours_b=7.0)
    found["scan_polars"] = [Took(value, 1.0) for value in (9.0, 1.0, 1.2)]
    figures = figures_of(found, [], 3)
    assert figures["engine_of_scan"] == "polars"
    assert figures["scan_seconds"] == 1.2
    assert figures["ours_over_scan"] == 5.0
    assert figures["duckdb_over_ours"] == 5.0
    assert figures["pandas_over_ours"] == 2.0
    assert figures["aa_ratio"] == pytest.approx(5 / 7, abs=1e-3)
    assert figures["days_ratio"] == 1.0
    assert figures["problems"] == []


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        ({"ours_a": 8.1, "ours_b": 8.1, "duckdb": 90.0}, "ours_over_scan"),
        ({"duckdb": 23.0}, "duckdb_over_ours"),
        ({"many_days": 3.4}, "days_ratio"),
    ],
)
def test_a_bar_that_is_missed_is_named(seconds: dict[str, float], name: str) -> None:
    [problem] = figures_of(taken(**seconds), [], 3)["problems"]
    assert problem.startswith(f"{name}: expected at ")


def test_memory_counts_ours_only_and_a_difference_is_a_problem() -> None:
    found = taken()
    found["duckdb"] = [Took(30.0, 5_000.0)]
    assert figures_of(found, [], 3)["peak_rss_mb"] == 900.0
    found["many_days"] = [Took(3.0, 1_100.0)]
    figures = figures_of(found, ["episodes: seq differs"], 3)
    assert figures["results_equal"] is False
    assert [each.split(":")[0] for each in figures["problems"]] == ["episodes", "peak_rss_mb"]


def test_a_tiny_run_measures_every_way_and_days_of_another_size_are_refused(tmp_path: Path) -> None:
    told: list[str] = []
    result = bench_analytics(tmp_path, Sizes(rows=20_000, markets=1, rounds=1, days=2), told.append)
    assert result["results_equal"] is True
    ratios = ("ours_over_scan", "duckdb_over_ours", "pandas_over_ours", "aa_ratio", "days_ratio")
    assert all(result[name] > 0 for name in (*ratios, "scan_seconds", "peak_rss_mb"))
    assert result["rows"] == {"bbo": 20_000, "ctx": 5_000}
    assert any("duckdb" in line for line in told)
    with pytest.raises(ConfigError, match="another size"):
        bench_analytics(tmp_path, Sizes(rows=30_000, markets=1, rounds=1, days=2), told.append)
