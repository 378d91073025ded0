"""Columns of a market-day, from tables in memory and from bronze: hand-worked rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evidence_feed import BEGIN_NS, COIN, DAY, SPECS, bbo, ctx, day_of_rows, every_second, feed, feeds, table
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import (
    DAY_NS,
    MARGIN_NS,
    MISSING,
    Feed,
    MarketDay,
    MissingSpecError,
    Spec,
    feeds_of,
    head_of,
    market_day,
    specs_of,
    tail_of,
)
from hip3_platform.analytics.evidence.reading import read_market_day
from streaming.contracts.paths import bronze_path
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_S

DAY_MS = 86_400_000


def ms(*instants: float) -> list[int]:
    return [BEGIN_NS + int(each * 1_000_000) for each in instants]


def assert_same(found: MarketDay, expected: MarketDay) -> None:
    for name in MarketDay.__slots__:
        one, other = getattr(found, name), getattr(expected, name)
        assert np.array_equal(one, other), name


def test_columns_prices_keep_every_digit_and_a_missing_side_is_marked() -> None:
    day = day_of_rows(
        [bbo(5, "0.00000001", "9999999999.99999999", "123.45678901", 2), bbo(9, None, "7.5")],
        [ctx(1, "1234567.00000003")],
    )
    assert day.bid_px.tolist() == [1, MISSING]
    assert day.bid_sz.tolist() == [12_345_678_901, 0]
    assert day.ask_px.tolist() == [999_999_999_999_999_999, 750_000_000]
    assert day.oracle_px.tolist() == [123_456_700_000_003]
    assert day.bbo_ts_ns.tolist() == ms(5, 9)


def test_columns_price_of_another_type_is_refused() -> None:
    rows = feed([bbo(5, 1, 2)], [ctx(1, 1)])
    floats = rows.bbo.set_column(rows.bbo.column_names.index("bid_px"), "bid_px", pa.array([1.0]))
    with pytest.raises(ValueError, match=r"expected decimal128\(18, 8\), found double"):
        market_day(venue="sim", day=DAY, coin=COIN, feed=Feed(floats, rows.ctx), specs=SPECS)


def test_columns_rows_out_of_order_are_refused() -> None:
    rows = Feed(table("bbo", [bbo(9, 1, 2), bbo(5, 1, 2)]), table("ctx", [ctx(1, 1)]))
    with pytest.raises(ValueError, match="recv_ts_ns decreasing"):
        market_day(venue="sim", day=DAY, coin=COIN, feed=rows, specs=SPECS)


def test_columns_spec_without_a_row_is_an_error_that_names_it() -> None:
    with pytest.raises(MissingSpecError, match="found none for z"):
        day_of_rows([bbo(5, 1, 2, spec_version="z")], [ctx(1, 1)])


def test_columns_fee_is_a_step_function_of_the_spec_versions_seen() -> None:
    day = day_of_rows(
        [bbo(10, 1, 2), bbo(2_500, 1, 2, spec_version="b")],
        [ctx(1_000, 1), ctx(2_000, 1, spec_version="b"), ctx(3_000, 1, spec_version="a")],
    )
    assert day.spec_versions == ("a", "b", "a")
    assert day.fee_at(np.array(ms(0, 10, 1_999, 2_000, 2_999, 3_000))).tolist() == [1, 1, 1, 9, 9, 1]


def test_columns_warm_up_is_the_last_minute_and_the_state_before_it_and_the_next_day_gives_a_minute() -> None:
    before = feed(
        [bbo(-90_000, 1, 2), bbo(-80_000, 3, 4), bbo(-60_000, 5, 6), bbo(-1, 7, 8)], [ctx(-70_000, 1), ctx(-61_000, 2)]
    )
    after = feed(
        [bbo(DAY_MS, 21, 22), bbo(DAY_MS + 59_999, 23, 24), bbo(DAY_MS + 60_000, 25, 26)], [ctx(DAY_MS + 70_000, 9)]
    )
    day = day_of_rows([bbo(10, 11, 12)], [ctx(20, 3)], before=before, after=after)
    assert (day.bid_px // 10**8).tolist() == [3, 5, 7, 11, 21, 23]
    assert (day.oracle_px // 10**8).tolist() == [2, 3]
    assert (day.begin_ns, day.end_ns) == (BEGIN_NS, BEGIN_NS + DAY_NS)
    assert day.data_end_ns == BEGIN_NS + DAY_NS + MARGIN_NS - 1_000_000


def test_columns_day_without_rows_is_known_from_its_neighbours_and_alone_is_empty() -> None:
    rows = feed([bbo(-5, 1, 2)], [ctx(-4, 1)])
    nothing = Feed(rows.bbo[:0], rows.ctx[:0])
    day = market_day(venue="sim", day=DAY, coin=COIN, feed=nothing, specs=SPECS, before=rows)
    assert day.bbo_ts_ns.tolist() == ms(-5)
    alone = market_day(venue="sim", day=DAY, coin=COIN, feed=nothing, specs=SPECS)
    assert (alone.bbo_ts_ns.size, alone.ctx_ts_ns.size, alone.data_end_ns) == (0, 0, BEGIN_NS)


def test_columns_gap_lies_between_connections_and_where_no_ctx_comes_for_8_s() -> None:
    day = day_of_rows(
        [bbo(100, 1, 2), bbo(2_000, 1, 2), bbo(5_000, 1, 2, generation=2)],
        [
            ctx(0, 1),
            ctx(1_500, 1),
            ctx(3_000, 1, generation=2),
            ctx(11_000, 1, generation=2),
            ctx(19_001, 1, generation=2),
        ],
    )
    assert day.gap_ns.tolist() == [ms(1_500, 5_000), ms(11_000, 19_001)]


def test_columns_gap_lies_between_sessions() -> None:
    day = day_of_rows([bbo(100, 1, 2), bbo(900, 1, 2, session_id="t", seq=1)], [ctx(0, 1)])
    assert day.gap_ns.tolist() == [ms(100, 900)]


def test_columns_gap_is_touched_by_what_reaches_into_it_and_by_what_outlives_the_data() -> None:
    day = day_of_rows([bbo(0, 1, 2), bbo(20_000, 1, 2)], [ctx(0, 1), ctx(1_000, 1), ctx(11_000, 1), ctx(13_000, 1)])
    spans = [
        (0, 1_000),
        (0, 1_001),
        (5_000, 6_000),
        (10_999, 12_000),
        (11_000, 12_000),
        (19_000, 20_000),
        (19_000, 20_001),
    ]
    begins, ends = (np.array(ms(*side)) for side in zip(*spans, strict=True))
    assert day.touches_gap(begins, ends).tolist() == [False, True, True, True, False, False, True]


def test_columns_halt_begins_where_the_book_lost_both_sides_and_ends_where_one_is_back() -> None:
    day = day_of_rows(
        [bbo(100, 1, 2), bbo(4_000, 1, None), bbo(5_000, None, None), bbo(9_000, None, 2), bbo(9_500, 1, 2)],
        [*every_second(0, 6, 1), *(ctx(1000 * s, 1, spec_version="halted") for s in range(7, 12)), ctx(12_000, 1)],
    )
    assert day.closed_ns.tolist() == [ms(5_000, 9_000)]
    assert day.is_closed(np.array(ms(4_999, 5_000, 8_999, 9_000))).tolist() == [False, True, True, False]
    assert day.next_close_ns(np.array(ms(4_999))).tolist() == ms(5_000)


def test_columns_halt_of_a_book_that_stays_is_as_long_as_the_spec_says() -> None:
    day = day_of_rows([bbo(100, 1, 2)], [ctx(0, 1), ctx(3_000, 1, spec_version="halted"), ctx(6_000, 1)])
    assert day.closed_ns.tolist() == [ms(3_000, 6_000)]


def test_columns_session_of_the_underlying_is_open_closed_or_unknown() -> None:
    noon, saturday = BEGIN_NS + 16 * 3600 * NS_PER_S, BEGIN_NS + 5 * DAY_NS + 16 * 3600 * NS_PER_S
    day = day_of_rows([bbo(0, 1, 2)], [ctx(0, 1)])
    assert day.session_kind == "equity"
    assert day.sessions_at(np.array([noon, saturday])) == ["open", "closed"]
    strange = market_day(venue="sim", day=DAY, coin="xyz:WHAT", feed=feed([bbo(0, 1, 2)], [ctx(0, 1)]), specs=SPECS)
    assert (strange.session_kind, strange.sessions_at(np.array([noon]))) == ("", [""])


def test_columns_feeds_of_many_markets_are_split_by_name() -> None:
    books = table("bbo", [bbo(1, 1, 2, coin="xyz:A"), bbo(2, 3, 4, coin="xyz:A"), bbo(1, 5, 6, coin="xyz:B")])
    contexts = table("ctx", [ctx(1, 1, coin="xyz:B"), ctx(1, 1, coin="xyz:C")])
    found = feeds_of(books, contexts)
    assert {coin: (rows.bbo.num_rows, rows.ctx.num_rows) for coin, rows in found.items()} == {
        "xyz:A": (2, 0), "xyz:B": (1, 1), "xyz:C": (0, 1),
    }  # fmt: skip
    assert found["xyz:B"].bbo["bid_px"].to_pylist() == [5]


@settings(max_examples=50)
@given(rows=feeds())
def test_columns_kept_head_and_tail_say_as_much_as_the_whole_neighbours(rows: Feed) -> None:
    shift = {-1: "2026-06-14", 1: "2026-06-16"}
    near = {}
    for days, name in shift.items():
        moved = [_moved(each, days * DAY_NS) for each in rows]
        near[name] = Feed(*moved)
    whole = market_day(
        venue="sim", day=DAY, coin=COIN, feed=rows, specs=SPECS, before=near["2026-06-14"], after=near["2026-06-16"]
    )
    kept = market_day(
        venue="sim",
        day=DAY,
        coin=COIN,
        feed=rows,
        specs=SPECS,
        before=tail_of(near["2026-06-14"], "2026-06-14"),
        after=head_of(near["2026-06-16"], "2026-06-16"),
    )
    assert_same(kept, whole)


def _moved(rows: pa.Table, by_ns: int) -> pa.Table:
    at = rows.column_names.index("recv_ts_ns")
    return rows.set_column(at, "recv_ts_ns", pa.array(rows["recv_ts_ns"].to_numpy() + by_ns))


def test_columns_from_bronze_are_those_from_tables_in_memory(tmp_path: Path) -> None:
    days = {"2026-06-14": -DAY_MS, DAY: 0, "2026-06-16": DAY_MS}
    parts = {}
    for day, shift in days.items():
        late = shift + DAY_MS - 2_000
        parts[day] = feed(
            [bbo(shift + 10, "1.5", 2), bbo(shift + 500, None, 3), bbo(late, 1, 2, spec_version="b")],
            [ctx(shift + 20, "1.7"), ctx(late + 1_000, 2, spec_version="b")],
        )
        for name, rows in zip(("bbo", "ctx"), parts[day], strict=True):
            _write(tmp_path, name, day, rows)
    specs = [
        {"spec_version": "a", "taker_fee_bps": 1, "is_delisted": False, "seq": 1},
        {"spec_version": "b", "taker_fee_bps": 9, "is_delisted": False, "seq": 2},
    ]
    _write(tmp_path, "specs", "2026-06-01", table("specs", specs))  # seen once, long before
    found = read_market_day(tmp_path, "sim", DAY, COIN)
    before, today, _ = parts.values()
    assert_same(found, market_day(venue="sim", day=DAY, coin=COIN, feed=today, specs=SPECS, before=before))
    assert found.bbo_ts_ns.size == 2 + 3  # the last minute and the state before it, the day; nothing of the next day


def _write(root: Path, name: str, day: str, rows: pa.Table) -> None:
    path = bronze_path(root, table=name, venue="sim", day=day, coin=COIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, store_decimal_as_integer=True)


def test_columns_bronze_without_files_is_a_day_without_rows(tmp_path: Path) -> None:
    assert read_market_day(tmp_path, "sim", DAY, COIN).bbo_ts_ns.size == 0


def test_columns_specs_are_read_by_version() -> None:
    rows = [{"spec_version": "x", "taker_fee_bps": "4.5", "is_delisted": True}]
    assert specs_of([table("specs", rows)]) == {"x": Spec(4.5, True)}
    assert TABLES["specs"].schema.field("taker_fee_bps").type == table("specs", rows)["taker_fee_bps"].type
