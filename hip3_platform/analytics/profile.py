"""One row a market about a day's table, pushed down to DuckDB: what the expectation suites judge (`suites`).

DuckDB reads the files; only this small table becomes a data frame (a suite over full frames costs gigabytes). The
queries of orders and fills stand in `profile_trading`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from hip3_platform.analytics.bronze import NO_MARKET
from streaming.contracts.paths import bronze_path
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_S

GATE_COUNT = 8
FOLLOWUP_DUE_NS = 6 * NS_PER_S
"""A signal's last follow-up, and a second: later signals of a record that goes on have none yet."""
JUDGED_SIGNALS_MIN = 50
"""Below it a share of sides or of equal edges is chance, and null."""

SIGNALS_QUERY = """
with gate as (
    select signal_id, count(*) as gate_count, count(distinct gate) as gate_kinds,
           count(*) filter (status = 'block') as block_count,
           count(*) filter (status = 'pass' and gate in ('oracle_fresh', 'no_bbo_update')
                            and (observed is null or observed > "limit")) as over_limit_count
    from gates group by signal_id
),
followup as (
    select signal_id, count(distinct offset_ms) as offset_count from followups group by signal_id
),
record as (
    -- health has a row a second and market as long as a session is recorded
    select session_id, max(ts_ns) as end_ts_ns from health group by session_id
),
edge as (
    select coin, max(n) as same_count from (select coin, count(*) as n from signals group by coin, raw_edge_bps)
    group by coin
)
select
    s.coin,
    count(*) as signal_count,
    count(*) - count(distinct s.signal_id) as signal_id_repeat_count,
    count(*) - count(distinct (s.session_id, s.episode_id)) as episode_repeat_count,
    count(*) filter (s.side not in ('buy', 'sell')) as side_unknown_count,
    count(*) filter (s.origin not in ('oracle_led', 'quote_led')) as origin_unknown_count,
    count(*) filter (s.limit_px <= 0) as px_not_positive_count,
    count(*) filter (s.touch_sz <= 0) as sz_not_positive_count,
    count(*) filter (s.raw_edge_bps < s.threshold_bps) as edge_below_threshold_count,
    count(*) filter (s.net_edge_bps >= s.raw_edge_bps) as net_not_below_raw_count,
    count(*) filter (s.taker_fee_bps <= 0) as fee_not_positive_count,
    count(*) filter (not s.is_blocked and (s.bid_px is null or s.ask_px is null or s.oracle_px is null))
        as unblocked_without_book_count,
    count(*) filter (coalesce(g.gate_count, 0) <> $gate_count or coalesce(g.gate_kinds, 0) <> $gate_count)
        as gate_vector_incomplete_count,
    count(*) filter (not s.is_blocked and coalesce(g.block_count, 0) > 0) as unblocked_despite_gate_count,
    count(*) filter (coalesce(g.over_limit_count, 0) > 0) / count(*) as gate_passes_over_limit_ratio,
    count(*) filter (least(s.bbo_age_ms, s.confirmation_age_ms, s.ctx_age_ms, s.oracle_age_ms) < 0)
        as age_negative_count,
    count(*) filter (s.bbo_seq > s.seq or s.ctx_seq > s.seq) as input_after_decision_count,
    count(*) filter (
        f.offset_count is null and (r.end_ts_ns is null or s.ts_ns + $followup_due_ns <= r.end_ts_ns)
    ) / count(*) as followup_absent_ratio,
    cast(max(s.raw_edge_bps) as double) as raw_edge_bps_max,
    cast(avg(s.raw_edge_bps) as double) as raw_edge_bps_mean,
    avg(cast(s.is_blocked as integer)) as blocked_ratio,
    case when count(*) >= $judged_min then any_value(e.same_count) / count(*) end as identical_edge_ratio,
    case when count(*) >= $judged_min then count(*) filter (s.side = 'buy') / count(*) end as buy_ratio,
    count(*) filter (s.bid_px is null or s.ask_px is null or s.oracle_px is null) / count(*) as book_null_ratio,
    quantile_cont(s.ctx_age_ms, 0.95) as ctx_age_ms_p95,
    quantile_cont(s.oracle_age_ms, 0.95) as oracle_age_ms_p95
from signals s left join gate g using (signal_id) left join followup f using (signal_id)
    left join record r using (session_id) left join edge e on e.coin = s.coin
group by s.coin order by s.coin
"""

FOLLOWUPS_QUERY = """
with signal as (select distinct on (signal_id) signal_id, side, limit_px, ts_ns from signals),
of_signal as (select coin, signal_id, count(*) as offset_count from followups group by coin, signal_id),
usual as (select coin, max(offset_count) as offset_count from of_signal group by coin),
uneven as (
    select o.coin, count(*) filter (o.offset_count <> u.offset_count) / count(*) as ratio
    from of_signal o join usual u using (coin) group by o.coin
)
select
    f.coin,
    count(*) as followup_count,
    count(distinct f.offset_ms) as offset_kinds,
    count(*) filter (s.signal_id is null) as orphan_count,
    count(*) filter (f.side <> s.side) as side_differs_count,
    count(*) filter (f.entry_px <> s.limit_px or f.signal_ts_ns <> s.ts_ns) as entry_differs_count,
    count(*) filter (f.offset_ms <= 0) as offset_not_positive_count,
    count(*) filter (f.is_missing and f.missing_reason = '') as missing_without_reason_count,
    count(*) filter (not f.is_missing and (f.bid_px is null or f.ask_px is null)) as known_without_book_count,
    count(*) filter (f.entry_px <= 0 or (not f.is_missing and least(f.bid_px, f.ask_px) <= 0))
        as px_not_positive_count,
    count(*) filter (f.is_missing) / count(*) as missing_ratio,
    count(*) filter (not f.is_missing and f.ts_ns < f.signal_ts_ns + f.offset_ms * 1000000 - $tolerance_ns)
        / count(*) as early_ratio,
    count(*) filter (not f.is_missing and f.ts_ns > f.signal_ts_ns + f.offset_ms * 1000000 + $tolerance_ns)
        / count(*) as late_ratio,
    count(*) filter (not f.is_missing and f.bid_px >= f.ask_px) / count(*) as crossed_book_ratio,
    any_value(u.ratio) as offset_uneven_ratio
from followups f left join signal s using (signal_id) left join uneven u on u.coin = f.coin
group by f.coin order by f.coin
"""


def profile_signals(root: Path, venue: str, day: str) -> list[dict[str, Any]]:
    """Return one record a market with signals on that day; [] for a day without any."""
    values = {"gate_count": GATE_COUNT, "followup_due_ns": FOLLOWUP_DUE_NS, "judged_min": JUDGED_SIGNALS_MIN}
    return query_day(root, venue, day, ("signals", "gates", "followups", "health"), SIGNALS_QUERY, values)


def profile_followups(root: Path, venue: str, day: str) -> list[dict[str, Any]]:
    """Return one record a market with follow-ups on that day; [] for a day without any."""
    return query_day(root, venue, day, ("followups", "signals"), FOLLOWUPS_QUERY, {"tolerance_ns": NS_PER_S})


def query_day(
    root: Path, venue: str, day: str, tables: tuple[str, ...], query: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Answer a query over bronze tables of one day, each a view of its name.

    Args:
        root: Warehouse.
        venue: Venue.
        day: UTC day.
        tables: The judged table first; without files of it the answer is []. Others may have none: they are empty.
        query: SQL with named parameters.
        values: The parameters.
    """
    if not _files(root, tables[0], venue, day):
        return []
    with duckdb.connect() as connection:
        for table in tables:
            files = _files(root, table, venue, day)
            rows = (
                connection.read_parquet(files, hive_partitioning=False)
                if files
                else connection.from_arrow(TABLES[table].schema.empty_table())
            )
            rows.create_view(table)
        answer = connection.execute(query, dict(values))
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _files(root: Path, table: str, venue: str, day: str) -> list[str]:
    folder = bronze_path(root, table=table, venue=venue, day=day, coin=NO_MARKET).parent
    return sorted(str(path) for path in folder.glob("*.parquet")) if folder.is_dir() else []
