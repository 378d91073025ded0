-- The readable reference of episodes and executable markouts: docs/truth.md as SQL. `reference.py` runs it.
--
-- Reads   bbo, ctx, specs       the contract's tables, of any number of markets, margins of the neighbouring days included
--         closed                coin, begin_ns, end_ns: when nobody can trade
--         thresholds, latencies, horizons   threshold_bps, latency_ms, horizon_s
-- Values  begin_ns, end_ns      decisions of [begin, end)
--         spacing_ns, silence_ns, order_usd
-- Makes   episode               one row a cross of a threshold
--         markout               one row a decision, latency and horizon

-- Rows in the order of receipt. Of rows with one receipt time the lower seq came first.
create temp table touch as
select coin, recv_ts_ns as ts_ns, seq, row_number() over receipt as n,
    bid_px, bid_sz, ask_px, ask_sz,
    bid_px is not null and ask_px is not null and bid_px < ask_px as is_book
from bbo
window receipt as (partition by coin order by recv_ts_ns, seq);

-- The touch in force from an instant on: the last of those received in it.
create temp table in_force as
select * from touch qualify row_number() over (partition by coin, ts_ns order by n desc) = 1;

-- Feed gaps: between two connections, and while no ctx came for too long.
create temp table gap as
with frame as (
    select 'bbo' as feed, coin, recv_ts_ns, seq, generation, session_id from bbo
    union all
    select 'ctx', coin, recv_ts_ns, seq, generation, session_id from ctx
),
pair as (
    select *, lag(recv_ts_ns) over receipt as before_ns,
        lag(generation) over receipt <> generation or lag(session_id) over receipt <> session_id as is_reconnect
    from frame
    window receipt as (partition by feed, coin order by recv_ts_ns, seq)
),
hidden as (
    select coin, before_ns as begin_ns, recv_ts_ns as end_ns from pair
    where is_reconnect or (feed = 'ctx' and recv_ts_ns - before_ns > getvariable('silence_ns'))
),
island as ( -- times that touch are one
    select *, begin_ns <= max(end_ns) over (
        partition by coin order by begin_ns, end_ns rows between unbounded preceding and 1 preceding) as is_joined
    from hidden
),
counted as (
    select *, count(*) filter (is_joined is distinct from true) over (
        partition by coin order by begin_ns, end_ns rows unbounded preceding) as nth
    from island
)
select coin, min(begin_ns) as begin_ns, max(end_ns) as end_ns from counted group by coin, nth;

create temp table data_end as
select coin, max(recv_ts_ns) as ts_ns
from (select coin, recv_ts_ns from bbo union all select coin, recv_ts_ns from ctx)
group by coin;

-- Taker fee of one side, in force from an instant on.
create temp table fee as
with frame as (
    select coin, recv_ts_ns, seq, spec_version from bbo union all select coin, recv_ts_ns, seq, spec_version from ctx
),
change as (
    select *, lag(spec_version) over (partition by coin order by recv_ts_ns, seq) as before from frame
),
resolved as (
    select coin, spec_version, any_value(cast(taker_fee_bps as double)) as fee_bps from specs group by coin, spec_version
)
select c.coin, c.recv_ts_ns as ts_ns, r.fee_bps
from change c join resolved r using (coin, spec_version)
where c.before is distinct from c.spec_version
-- Of changes in one instant the last holds.
qualify row_number() over (partition by c.coin, c.recv_ts_ns order by c.seq desc) = 1;

-- Every bbo, and every ctx whose oracle differs from the one before, with what was in force then.
create temp table step as
with changed as (
    select coin, recv_ts_ns, seq, oracle_px,
        lag(oracle_px) over (partition by coin order by recv_ts_ns, seq) as before_px
    from ctx
    qualify before_px is distinct from oracle_px
)
select coin, recv_ts_ns as ts_ns, seq, oracle_px, before_px is not null as is_led,
    row_number() over (partition by coin order by recv_ts_ns, seq) as n
from changed;

create temp table received as
with arrived as (
    select coin, ts_ns, seq, 0 as kind, n as touch_n, null as step_n from touch
    union all
    select coin, ts_ns, seq, 1, null, n from step
    union all
    select distinct coin, end_ns, -1, 2, null, null from gap -- stands before what comes at its end
),
known as (
    select coin, ts_ns, seq, kind, max(touch_n) over receipt as n, max(step_n) over receipt as step_n,
        sum((kind = 2)::int) over receipt as epoch, row_number() over receipt as place
    from arrived
    window receipt as (partition by coin order by ts_ns, seq, kind desc rows unbounded preceding)
)
select k.*, s.oracle_px, k.kind = 1 and s.is_led as is_led, t.bid_px, t.ask_px, t.is_book
from known k
left join touch t on t.coin = k.coin and t.n = k.n
left join step s on s.coin = k.coin and s.n = k.step_n
where k.kind < 2;

create temp table event as
select *,
    lag(bid_px) over receipt as was_bid_px, lag(ask_px) over receipt as was_ask_px,
    lag(oracle_px) over receipt as was_oracle_px, row_number() over (partition by coin order by place) as nth
from received r
where is_book and oracle_px is not null
    and not exists (select 1 from closed c where c.coin = r.coin and c.begin_ns <= r.ts_ns and r.ts_ns < c.end_ns)
window receipt as (partition by coin, epoch order by place);

-- Where a side passes a bound: e > T is over, e <= T/2 is back. Decimals, so nothing is rounded.
create temp table passing as
with sided as (
    select coin, place, nth, ts_ns, seq, kind, is_led, epoch, n, oracle_px, 'buy' as side,
        oracle_px - ask_px as beyond, was_oracle_px - was_ask_px as was_beyond, was_oracle_px
    from event
    union all
    select coin, place, nth, ts_ns, seq, kind, is_led, epoch, n, oracle_px, 'sell',
        bid_px - oracle_px, was_bid_px - was_oracle_px, was_oracle_px
    from event
),
judged as (
    select s.*, threshold_bps,
        beyond * 10000 > threshold_bps * oracle_px as is_over,
        beyond * 20000 <= threshold_bps * oracle_px as is_back,
        was_beyond * 10000 > threshold_bps * was_oracle_px as was_over,
        was_beyond * 20000 <= threshold_bps * was_oracle_px as was_back
    from sided s cross join thresholds
)
select * from judged
where (is_over or is_back) and (is_over is distinct from was_over or is_back is distinct from was_back);

-- An episode begins where a side is over its threshold after having been back.
create temp table side_event as
select *, is_over and lag(is_back, 1, false) over (
    partition by coin, side, threshold_bps, epoch order by place) as is_begin
from passing;

-- Of the begins of one threshold, those 12 s apart decide.
create temp table begun as
with recursive numbered as (
    select coin, threshold_bps, side, place, ts_ns,
        row_number() over (partition by coin, threshold_bps order by place) as nth
    from side_event where is_begin
),
instant as (
    select coin, threshold_bps, ts_ns, min(nth) as nth from numbered group by coin, threshold_bps, ts_ns
),
chain as (
    select b.*, i.nth as next_nth
    from numbered b asof left join instant i
        on i.coin = b.coin and i.threshold_bps = b.threshold_bps and i.ts_ns >= b.ts_ns + getvariable('spacing_ns')
),
taken as (
    select coin, threshold_bps, nth, next_nth from chain where nth = 1
    union all
    select c.coin, c.threshold_bps, c.nth, c.next_nth
    from taken t join chain c on c.coin = t.coin and c.threshold_bps = t.threshold_bps and c.nth = t.next_nth
)
select n.coin, n.threshold_bps, n.side, n.place, t.nth is not null as is_decided
from numbered n left join taken t using (coin, threshold_bps, nth);

-- An episode ends when its edge is back, or when nobody could have taken it any more.
create temp table stop as
with instant as (
    select coin, begin_ns as ts_ns, 'market_stopped' as ended_by, 1 as priority from closed
    union all
    select coin, begin_ns, 'feed_gap', 3 from gap
),
placed as (
    select i.coin, i.ts_ns, i.ended_by, i.priority, min(r.place) as place
    from instant i join received r
        on r.coin = i.coin and (r.ts_ns > i.ts_ns or (r.ts_ns = i.ts_ns and i.ended_by = 'market_stopped'))
    group by i.coin, i.ts_ns, i.ended_by, i.priority
    union all
    select coin, ts_ns, 'book_void', 2, place from received where kind = 0 and not is_book
    union all
    select coin, ts_ns, 'data_end', 4, 9e18::bigint from data_end
)
select * from placed qualify row_number() over (partition by coin, place order by ts_ns, priority) = 1;

create temp table episode as
with back as (
    select coin, side, threshold_bps, place, ts_ns, if(kind = 1, 'oracle_moved', 'quote_moved') as ended_by
    from passing where is_back
),
ended as (
    select o.*, u.is_decided, least(coalesce(b.place, s.place), s.place) as stop_place,
        if((b.place, b.ts_ns) <= (s.place, s.ts_ns), b.ts_ns, s.ts_ns) as stop_ns,
        if((b.place, b.ts_ns) <= (s.place, s.ts_ns), b.ended_by,
            if(s.ended_by = 'book_void' and if(o.side = 'buy', r.ask_px, r.bid_px) is null, 'side_vanished', s.ended_by)
        ) as ended_by
    from side_event o
    join begun u using (coin, threshold_bps, side, place)
    asof join stop s on s.coin = o.coin and s.place > o.place
    asof left join back b
        on b.coin = o.coin and b.side = o.side and b.threshold_bps = o.threshold_bps and b.place > o.place
    left join received r on r.coin = o.coin and r.place = s.place
    where o.ts_ns >= getvariable('begin_ns') and o.ts_ns < getvariable('end_ns')
),
numbered as (
    select e.*, l.nth as last_nth -- the last event before the end
    from ended e asof join event l on l.coin = e.coin and l.place < e.stop_place
),
tick as (
    select coin, threshold_bps, side, place, unnest(range(nth, last_nth + 1)) as tick_nth from numbered
)
select e.coin, e.threshold_bps, e.side, if(any_value(e.is_led), 'oracle_led', 'quote_led') as origin,
    any_value(e.ts_ns) as begin_ns, any_value(e.stop_ns) as end_ns, any_value(e.ended_by) as ended_by,
    any_value(e.is_decided) as is_decided, any_value(e.seq) as seq, any_value(e.n) as n,
    any_value(e.beyond::double / e.oracle_px::double * 1e4) as entry_edge_bps,
    any_value(e.last_nth - e.nth + 1) as tick_count,
    max(if(e.side = 'buy', v.oracle_px - v.ask_px, v.bid_px - v.oracle_px)::double / v.oracle_px::double * 1e4)
        as peak_edge_bps
from numbered e
join tick t using (coin, threshold_bps, side, place)
join event v on v.coin = e.coin and v.nth = t.tick_nth
group by e.coin, e.threshold_bps, e.side, e.place;

-- An order arrives after its latency and fills if the touch in force then is not worse than the one decided on.
create temp table placed_order as
with decided as (
    select e.*, if(e.side = 'buy', 1, -1) as sign, if(e.side = 'buy', t.ask_px, t.bid_px) as limit_px,
        (t.ask_px - t.bid_px)::double / (t.ask_px + t.bid_px)::double * 1e4 as half_spread_bps
    from episode e join touch t on t.coin = e.coin and t.n = e.n
    where e.is_decided
),
arrived as (
    select d.*, l.latency_ms, d.begin_ns + l.latency_ms * 1000000 as at_ns
    from decided d cross join latencies l
),
hit as (
    select a.*, if(a.side = 'buy', t.ask_px, t.bid_px) as entry_px, if(a.side = 'buy', t.ask_sz, t.bid_sz) as shown
    from arrived a asof join in_force t on t.coin = a.coin and t.ts_ns <= a.at_ns
)
select h.*,
    case
        when h.at_ns > d.ts_ns or exists (
            select 1 from gap g where g.coin = h.coin and g.begin_ns < h.at_ns and g.end_ns > h.begin_ns) then 'void'
        when h.entry_px is null or h.sign * (h.entry_px - h.limit_px) > 0 or exists (
            select 1 from closed c where c.coin = h.coin and c.begin_ns <= h.at_ns and h.at_ns < c.end_ns) then 'missed'
        else 'filled'
    end as state,
    least(getvariable('order_usd') / h.limit_px::double, h.shown::double) as sz,
    coalesce(
        (select min(c.begin_ns) from closed c where c.coin = h.coin and c.begin_ns > h.at_ns), 9e18::bigint) as close_ns
from hit h join data_end d using (coin);

-- It leaves at the opposite touch in force, or at the first that comes; a closing market settles it at the mark.
create temp table left_at as
with fee_in_force as (
    select coin, -9e18::bigint as ts_ns, arg_min(fee_bps, ts_ns) as fee_bps from fee group by coin
    union all
    select * from fee
),
due as (
    select o.*, h.horizon_s, o.at_ns + h.horizon_s * 1000000000 as due_ns
    from placed_order o cross join horizons h
    where o.state = 'filled'
),
standing as (
    select u.*, t.n as due_n from due u asof join in_force t on t.coin = u.coin and t.ts_ns <= u.due_ns
),
side_touch as (
    select 'buy' as side, * from touch where bid_px is not null
    union all
    select 'sell', * from touch where ask_px is not null
),
opposite as (
    select s.*, if(s.side = 'buy', t.bid_px, t.ask_px) as px, if(s.side = 'buy', t.bid_sz, t.ask_sz) as exit_shown,
        if(t.is_book, (t.ask_px - t.bid_px)::double / (t.ask_px + t.bid_px)::double * 1e4, s.half_spread_bps) as half,
        greatest(s.due_ns, coalesce(t.ts_ns, d.ts_ns)) as there_ns
    from standing s
    asof left join side_touch t on t.coin = s.coin and t.side = s.side and t.n >= s.due_n
    join data_end d on d.coin = s.coin
),
settled as (
    select *, px is null or there_ns >= close_ns as is_settled, least(there_ns, close_ns) as leave_ns from opposite
),
mark as (
    select coin, recv_ts_ns as ts_ns, mark_px from ctx
    qualify row_number() over (partition by coin, recv_ts_ns order by seq desc) = 1
)
select s.*, if(s.is_settled, m.mark_px, s.px) as exit_px, f.fee_bps as entry_fee_bps,
    if(s.is_settled, 0, x.fee_bps) as exit_fee_bps,
    if(s.is_settled, 0, least(60, 3 * s.half * greatest(0, s.sz / s.exit_shown::double - 1))) as walk_bps,
    s.leave_ns > d.ts_ns or exists (
        select 1 from gap g where g.coin = s.coin and g.begin_ns < s.leave_ns and g.end_ns > s.begin_ns) as is_void
from settled s
asof join mark m on m.coin = s.coin and m.ts_ns <= s.leave_ns
asof join fee_in_force f on f.coin = s.coin and f.ts_ns <= s.at_ns
asof join fee_in_force x on x.coin = s.coin and x.ts_ns <= s.leave_ns
join data_end d on d.coin = s.coin;

-- An order of which any exit is not known is void at all horizons.
create temp table markout as
select o.coin, o.threshold_bps, o.begin_ns, o.side, o.origin, o.latency_ms, h.horizon_s,
    case when o.state = 'filled' and bool_or(l.is_void) over of_order then 'void' else o.state end as state,
    case when o.state = 'filled' and not bool_or(l.is_void) over of_order then
        l.sign * (l.exit_px - l.entry_px)::double / l.entry_px::double * 1e4
        - l.entry_fee_bps - l.exit_fee_bps - l.walk_bps
    end as net_bps
from placed_order o
cross join horizons h
left join left_at l
    on l.coin = o.coin and l.threshold_bps = o.threshold_bps and l.begin_ns = o.begin_ns and l.side = o.side
        and l.latency_ms = o.latency_ms and l.horizon_s = h.horizon_s
window of_order as (partition by o.coin, o.threshold_bps, o.begin_ns, o.side, o.latency_ms);
