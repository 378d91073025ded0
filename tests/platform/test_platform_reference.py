"""The readable reference: the same figures in SQL over the same files, on a random day."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from platform_warehouse import DAY_1, VENUE, MarketDay, write_day

from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.markouts import markouts_of
from hip3_platform.analytics.metrics import GATES, metrics_of
from streaming.contracts.paths import bronze_path, day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_MS

if TYPE_CHECKING:
    import duckdb

COIN = "xyz:ANY"

METRICS = """
with interval as (
    select (recv_mono_ns - lag(recv_mono_ns) over w) / 1e6 as ms from bbo window w as (
        partition by session_id, generation order by recv_ts_ns, seq)
)
select
    (select count(*) from bbo) as bbo_count,
    (select avg(cast(bid_px is null or ask_px is null as int)) from bbo) as bbo_null_rate,
    (select count(distinct session_id || '/' || generation) - count(distinct session_id) from bbo) as reconnect_count,
    (select quantile_cont(ms, 0.5) from interval) as bbo_recv_interval_ms_p50,
    (select quantile_cont(ms, 0.99) from interval) as bbo_recv_interval_ms_p99,
    (select quantile_cont(bbo_age_ms, 0.95) from health) as bbo_age_ms_clock_p95,
    (select quantile_cont(ctx_age_ms, 0.99) from health) as ctx_age_ms_clock_p99,
    (select avg(cast(is_oracle_stale as int)) from health) as oracle_stale_rate,
    (select avg(cast(is_spread_shock as int)) from health) as spread_shock_rate,
    (select max(rate_use_ratio) from health) as rate_use_max,
    (select quantile_cont(ctx_age_ms, 0.95) from signals) as ctx_age_ms_decision_p95,
    (select quantile_cont(cast(raw_edge_bps as double), 0.5) from signals) as edge_bps_p50,
    (select count(*) from signals where is_blocked) as blocked_count,
    (select count(*) from signals where list_contains(string_split(blocked_by, ','), 'halt')) as blocked_by_halt,
    (select quantile_cont(duration_ms, 0.95) from episodes) as cross_duration_ms_p95,
    (select sum(tick_count) from episodes) as cross_tick_count
"""

MARKOUTS = """
select s.signal_id,
    case when s.side = 'buy' then cast(f.bid_px as double) - cast(s.limit_px as double)
         else cast(s.limit_px as double) - cast(f.ask_px as double) end
    / cast(s.limit_px as double) * 1e4 - 2 * cast(s.taker_fee_bps as double) as net_bps
from signals s join followups f on f.signal_id = s.signal_id and f.offset_ms = 5000 and not f.is_missing
where not list_has_any(string_split(s.blocked_by, ','), $gates)
"""


def _px(rng: random.Random) -> Decimal:
    return Decimal(rng.randrange(990_000, 1_010_000)) / 10_000


def _random_market(rng: random.Random) -> MarketDay:
    market, ts, mono, seq = MarketDay(COIN, signal_count=0, bbo_count=0), day_begin_ns(DAY_1), 10**12, 0
    for i in range(400):
        ts, mono = ts + rng.randrange(1, 3_000) * NS_PER_MS, mono + rng.randrange(1, 3_000) * NS_PER_MS
        seq += rng.randrange(1, 4)
        bid, ask = (None if rng.random() < 0.1 else _px(rng) for _ in range(2))
        market.add(
            "bbo", seq=seq, recv_ts_ns=ts, recv_mono_ns=mono, generation=1 + i // 150, bid_px=bid, ask_px=ask
        )  # fmt: skip
        market.add(
            "health", seq=seq, ts_ns=ts, is_ready=rng.random() < 0.9, bbo_age_ms=rng.randrange(9_000),
            ctx_age_ms=rng.choice([None, rng.randrange(9_000)]), is_oracle_stale=rng.random() < 0.2,
            is_spread_shock=rng.random() < 0.1, rate_use_ratio=rng.random(),
        )  # fmt: skip
    for i in range(60):
        side, limit = rng.choice(["buy", "sell"]), _px(rng)
        reason = rng.choice(["", "", "halt", "halt,oi_cap", "stop_latch", "not_ready"])
        both = {"seq": 10_000 + i, "signal_id": f"s{i:02d}", "side": side}
        market.add(
            "signals", **both, ts_ns=ts, limit_px=limit, raw_edge_bps=_px(rng), taker_fee_bps=Decimal("0.9"),
            is_blocked=bool(reason), blocked_by=reason, ctx_age_ms=rng.randrange(8_000), bbo_age_ms=5,
        )  # fmt: skip
        market.add(
            "followups", **both, signal_ts_ns=ts, ts_ns=ts, offset_ms=5_000, entry_px=limit,
            is_missing=rng.random() < 0.1, bid_px=_px(rng), ask_px=_px(rng),
        )  # fmt: skip
        market.add(
            "episodes", seq=10_000 + i, episode_id=f"e{i}", begin_ts_ns=ts, end_ts_ns=ts,
            duration_ms=rng.randrange(60_000), tick_count=rng.randrange(20), peak_edge_bps=_px(rng),
        )  # fmt: skip
    return market


@pytest.fixture(params=range(3))
def day(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["tuple[Path, duckdb.DuckDBPyConnection]"]:
    write_day(tmp_path, DAY_1, [_random_market(random.Random(request.param))])
    landing = read_landing(tmp_path, VENUE)
    # Held by a test module, DuckDB would complain of leaks behind the last line of the suite.
    import duckdb

    with duckdb.connect() as connection:
        for table in ("bbo", "health", "signals", "followups", "episodes"):
            assert table in TABLES
            compact(tmp_path, table, VENUE, DAY_1, landing.of(DAY_1, table))
            path = bronze_path(tmp_path, table=table, venue=VENUE, day=DAY_1, coin=COIN)
            connection.execute(f"create view {table} as from read_parquet('{path}', hive_partitioning = false)")
        yield tmp_path, connection


def test_metrics_equal_the_sql_reference(day: "tuple[Path, duckdb.DuckDBPyConnection]") -> None:
    root, connection = day
    answer = connection.execute(METRICS)
    names = [column[0] for column in answer.description or ()]
    (expected,) = answer.fetchall()
    row = metrics_of(root, VENUE, DAY_1, COIN)
    assert {name: row[name] for name in names} == pytest.approx(dict(zip(names, expected, strict=True)), rel=1e-12)


def test_markouts_equal_the_sql_reference(day: "tuple[Path, duckdb.DuckDBPyConnection]") -> None:
    root, connection = day
    expected = dict(connection.execute(MARKOUTS, {"gates": [*GATES, "not_ready"]}).fetchall())
    frame = markouts_of(root, VENUE, DAY_1, COIN)
    taken = {row["signal_id"]: row["net_bps"] for row in frame.to_dicts() if row["state"] == "executable"}
    assert taken == pytest.approx(expected, rel=1e-9)
    assert len(taken) > 10
