"""One row a market about a day's signals, pushed down to DuckDB: what the expectation suite judges.

DuckDB reads the files; only this small table becomes a data frame (a suite over full frames costs gigabytes).
"""

from pathlib import Path
from typing import Any

import duckdb

from hip3_platform.analytics.bronze import NO_MARKET
from streaming.contracts.paths import bronze_path
from streaming.core.units import NS_PER_S

GATE_COUNT = 8
FOLLOWUP_DUE_NS = 6 * NS_PER_S
"""A signal's last follow-up, and a second: later signals of a record that goes on have none yet."""

_PROFILE = """
with signals as (select * from read_parquet($signals)),
gate as (
    select signal_id, count(*) as gate_count, count(distinct gate) as gate_kinds,
           count(*) filter (status = 'block') as block_count
    from {gates} group by signal_id
),
followup as (
    select signal_id, count(distinct offset_ms) as offset_count from {followups} group by signal_id
),
record as (
    -- health has a row a second and market as long as a session is recorded
    select session_id, max(ts_ns) as end_ts_ns from {health} group by session_id
)
select
    s.coin,
    count(*) as signal_count,
    count(*) - count(distinct s.signal_id) as signal_id_repeat_count,
    count(*) - count(distinct s.episode_id) as episode_repeat_count,
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
    count(*) filter (
        f.offset_count is null and (r.end_ts_ns is null or s.ts_ns + $followup_due_ns <= r.end_ts_ns)
    ) / count(*) as followup_absent_ratio,
    cast(max(s.raw_edge_bps) as double) as raw_edge_bps_max,
    cast(avg(s.raw_edge_bps) as double) as raw_edge_bps_mean,
    avg(cast(s.is_blocked as integer)) as blocked_ratio,
from signals s left join gate g using (signal_id) left join followup f using (signal_id)
    left join record r using (session_id)
group by s.coin order by s.coin
"""

_EMPTY_GATES = "(select '' as signal_id, '' as gate, '' as status where false)"
_EMPTY_FOLLOWUPS = "(select '' as signal_id, 0 as offset_ms where false)"
_EMPTY_HEALTH = "(select '' as session_id, 0 as ts_ns where false)"


def _files(root: Path, table: str, venue: str, day: str) -> list[str]:
    folder = bronze_path(root, table=table, venue=venue, day=day, coin=NO_MARKET).parent
    return sorted(str(path) for path in folder.glob("*.parquet")) if folder.is_dir() else []


def profile_signals(root: Path, venue: str, day: str) -> list[dict[str, Any]]:
    """Return one record a market with signals on that day; [] for a day without any."""
    signals = _files(root, "signals", venue, day)
    if not signals:
        return []
    gates = _files(root, "gates", venue, day)
    followups = _files(root, "followups", venue, day)
    health = _files(root, "health", venue, day)
    query = _PROFILE.format(
        gates="read_parquet($gates)" if gates else _EMPTY_GATES,
        followups="read_parquet($followups)" if followups else _EMPTY_FOLLOWUPS,
        health="read_parquet($health)" if health else _EMPTY_HEALTH,
    )
    values: dict[str, Any] = {"signals": signals, "gate_count": GATE_COUNT, "followup_due_ns": FOLLOWUP_DUE_NS}
    values |= {"gates": gates} if gates else {}
    values |= {"followups": followups} if followups else {}
    values |= {"health": health} if health else {}
    with duckdb.connect() as connection:
        answer = connection.execute(query, values)
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
