-- The readable reference of daily metrics and of the sums by hour. `duckdb.py` runs it behind `reference.sql`.
--
-- Reads   bbo, ctx, episodes, signals, health     the contract's tables, of any number of markets
--         markout                                 of reference.sql
-- Values  begin_ns, duration_edges, edge_edges, gates
-- Makes   daily_metric, policy_hour               quantiles are lists of P50, P95 and P99

create temp table interval_ms as
with frame as (
    select coin, 'bbo' as feed, session_id, generation, recv_ts_ns, seq, recv_mono_ns from bbo
    union all
    select coin, 'ctx', session_id, generation, recv_ts_ns, seq, recv_mono_ns from ctx
)
select coin, feed, (recv_mono_ns - lag(recv_mono_ns) over (
    partition by coin, feed, session_id, generation order by recv_ts_ns, seq)) / 1e6 as ms
from frame;

create temp table daily_metric as
with book as (
    select coin, count(*) as bbo_count, count(*) filter (bid_px is null or ask_px is null) as bbo_null_count,
        avg((bid_px is null or ask_px is null)::int) as bbo_null_rate, count(distinct session_id) as session_count,
        count(distinct session_id || '/' || generation) - count(distinct session_id) as reconnect_count
    from bbo group by coin
),
context as (select coin, count(*) as ctx_count from ctx group by coin),
pace as (
    select coin,
        quantile_cont(ms, [0.5, 0.95, 0.99]) filter (feed = 'bbo') as bbo_recv_interval_ms,
        quantile_cont(ms, [0.5, 0.95, 0.99]) filter (feed = 'ctx') as ctx_recv_interval_ms
    from interval_ms group by coin
),
-- A value belongs to the first bucket whose upper bound it does not exceed: to as many as lie below it.
cross_over as (
    select coin, count(*) as cross_episode_count, sum(tick_count) as cross_tick_count,
        count(*) filter (origin = 'oracle_led') as oracle_led_count,
        quantile_cont(duration_ms::double, [0.5, 0.95, 0.99]) as cross_duration_ms,
        quantile_cont(peak_edge_bps::double, [0.5, 0.95, 0.99]) as peak_edge_bps,
        list(len(list_filter(getvariable('duration_edges'), lambda e: e < duration_ms))) as buckets
    from episodes group by coin
),
reasoned as (select *, string_split(blocked_by, ',') as reasons from signals),
signal as (
    select coin, count(*) as signal_count, count(*) filter (is_blocked) as blocked_count,
        avg(is_blocked::int) as blocked_rate,
        quantile_cont(ctx_age_ms::double, [0.5, 0.95, 0.99]) as ctx_age_ms_decision,
        quantile_cont(bbo_age_ms::double, [0.5, 0.95, 0.99]) as bbo_age_ms_decision,
        quantile_cont(raw_edge_bps::double, [0.5, 0.95, 0.99]) as edge_bps,
        quantile_cont(net_edge_bps::double, [0.5, 0.95, 0.99]) as net_edge_bps,
        avg(raw_edge_bps::double) as edge_bps_mean,
        list(len(list_filter(getvariable('edge_edges'), lambda e: e < raw_edge_bps::double))) as buckets,
        coalesce(flatten(list(reasons) filter (is_blocked)), []) as blocked,
        count(*) filter (is_blocked and not list_has_any(reasons, getvariable('gates'))) as blocked_by_control
    from reasoned group by coin
),
clock as (
    select coin, count(*) as health_count, avg(is_oracle_stale::int) as oracle_stale_rate,
        avg(is_spread_shock::int) as spread_shock_rate, avg(is_ready::int) as ready_rate,
        max(rate_use_ratio) as rate_use_max,
        quantile_cont(ctx_age_ms::double, [0.5, 0.95, 0.99]) as ctx_age_ms_clock,
        quantile_cont(bbo_age_ms::double, [0.5, 0.95, 0.99]) as bbo_age_ms_clock,
        quantile_cont(spread_bps::double, [0.5, 0.95, 0.99]) as spread_bps_clock
    from health group by coin
)
select * exclude (c.buckets, s.buckets, blocked),
    list_transform(range(len(getvariable('duration_edges')) + 1), lambda i: len(list_filter(c.buckets, lambda b: b = i)))
        as cross_duration_hist,
    list_transform(range(len(getvariable('edge_edges')) + 1), lambda i: len(list_filter(s.buckets, lambda b: b = i)))
        as edge_hist,
    list_transform(getvariable('gates'), lambda g: len(list_filter(blocked, lambda r: r = g))) as blocked_by
from book join context using (coin) join pace using (coin) join cross_over c using (coin) join signal s using (coin)
join clock using (coin);

create temp table policy_hour as
with told as (
    select *, 'any' as family from markout
    union all
    select *, 'oracle_led' from markout where origin = 'oracle_led'
)
select coin, (begin_ns - getvariable('begin_ns')) // 3600000000000 as hour, threshold_bps, family as origin, latency_ms,
    horizon_s, count(*) as decisions, count(*) filter (state = 'filled') as fills,
    count(*) filter (state = 'void') as voids, coalesce(sum(net_bps), 0) as net_bps,
    coalesce(sum(net_bps * net_bps), 0) as net_bps2
from told group by all;
