"""One row a market about a day's orders and fills, paper and live: what their expectation suites judge.

An order is a history of rows by `cloid`; its day is that of the decision, so a fill after midnight may have its order
in the table of the day before.
"""

from pathlib import Path
from typing import Any

from hip3_platform.analytics.profile import query_day
from streaming.contracts.paths import day_begin_ns

LATE_FILL_MS = 5_000

ORDERS_QUERY = """
with history as (
    select *, lag(filled_sz) over own as filled_before, row_number() over own as place,
           row_number() over (partition by cloid order by ts_ns desc, seq desc, ordinal desc) as place_from_end
    from orders window own as (partition by cloid order by ts_ns, seq, ordinal)
),
terms as (
    select coin, count(*) - count(distinct cloid) as changed_count
    from (select distinct coin, cloid, side, sz, limit_px, is_reduce_only, mode from orders) group by coin
)
select
    h.coin,
    count(distinct h.cloid) as order_count,
    count(*) filter (h.status not in (
        'intent', 'sent', 'resting', 'in_doubt', 'filled', 'partly_filled', 'unfilled', 'rejected', 'canceled',
        'aborted', 'expired', 'not_sent', 'never_arrived')) as status_unknown_count,
    count(*) filter (h.side not in ('buy', 'sell')) as side_unknown_count,
    count(*) filter (h.mode not in ('paper', 'live')) as mode_unknown_count,
    count(*) filter (h.limit_px <= 0) as px_not_positive_count,
    count(*) filter (h.sz <= 0) as sz_not_positive_count,
    count(*) filter (h.filled_sz > h.sz or h.applied_sz > h.sz) as filled_over_sz_count,
    any_value(t.changed_count) as changed_terms_count,
    count(*) filter (h.place = 1 and h.status <> 'intent') as sequence_broken_count,
    count(*) filter (h.filled_sz < h.filled_before) as filled_shrinks_count,
    count(*) filter (h.place_from_end = 1 and h.status in ('sent', 'in_doubt')) / count(distinct h.cloid)
        as unanswered_ratio,
    count(*) filter (h.place_from_end = 1 and h.status = 'rejected') / count(distinct h.cloid) as rejected_ratio,
    quantile_cont(h.answered_us, 0.95) as answered_us_p95
from history h join terms t using (coin)
group by h.coin order by h.coin
"""

FILLS_QUERY = """
with placed as (
    select cloid, any_value(side) as side, any_value(sz) as sz, any_value(limit_px) as limit_px
    from orders where cloid <> '' group by cloid
),
taken as (select cloid, sum(sz) as sz from fills where cloid <> '' group by cloid),
over_order as (
    select f.coin, count(distinct f.cloid) as n
    from fills f join taken t using (cloid) join placed p using (cloid) where t.sz > p.sz group by f.coin
)
select
    f.coin,
    count(*) as fill_count,
    count(*) filter (f.side not in ('buy', 'sell')) as side_unknown_count,
    count(*) filter (f.mode not in ('paper', 'live')) as mode_unknown_count,
    count(*) filter (f.source not in ('paper', 'stream', 'gap')) as source_unknown_count,
    count(*) filter (f.px <= 0) as px_not_positive_count,
    count(*) filter (f.sz <= 0) as sz_not_positive_count,
    count(*) filter (f.side <> p.side) as side_differs_count,
    count(*) filter ((p.side = 'buy' and f.px > p.limit_px) or (p.side = 'sell' and f.px < p.limit_px))
        as outside_limit_count,
    coalesce(any_value(o.n), 0) as over_order_count,
    count(*) filter (f.flight_ms < 0) as flight_negative_count,
    coalesce(max(10000 * f.fee::double / (f.px::double * f.sz::double)) filter (f.px > 0 and f.sz > 0), 0)
        as fee_bps_max,
    count(*) filter (f.cloid <> '' and p.cloid is null and f.decided_ts_ns >= $day_begin_ns) as order_absent_count,
    count(*) filter (f.reason = 'foreign') as foreign_count,
    count(*) filter (f.is_liquidation) as liquidation_count,
    cast(max(abs(f.slippage_bps)) as double) as slippage_bps_abs_max,
    count(*) filter (f.source = 'stream' and f.ts_ns // 1000000 - f.venue_ts_ms > $late_ms) / count(*) as late_ratio
from fills f left join placed p using (cloid) left join over_order o on o.coin = f.coin
group by f.coin order by f.coin
"""


def profile_orders(root: Path, venue: str, day: str) -> list[dict[str, Any]]:
    """Return one record a market with orders decided on that day; [] for a day without any."""
    return query_day(root, venue, day, ("orders",), ORDERS_QUERY, {})


def profile_fills(root: Path, venue: str, day: str) -> list[dict[str, Any]]:
    """Return one record a market with fills on that day; [] for a day without any."""
    values = {"day_begin_ns": day_begin_ns(day), "late_ms": LATE_FILL_MS}
    return query_day(root, venue, day, ("fills", "orders"), FILLS_QUERY, values)
