"""Episodes and decisions: against a plain loop in fractions, against the scan behind the truth, and worked by hand."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from evidence_feed import BEGIN_NS, COIN, DAY, Reference, bbo, ctx, day_of_rows, every_second, feed, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MarketDay
from hip3_platform.analytics.evidence.episode_rows import ABOUT, GATES_SCHEMA, SCHEMA, episode_rows, with_gates
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.family import THRESHOLDS_BPS
from streaming.core.effects import GateId

DAY_MS = 86_400_000


def times(day: MarketDay, threshold: int = 8) -> list[int]:
    """Instants (ms of the day) that decide at one threshold."""
    return ((decisions_of(day, (threshold,)).ts_ns - BEGIN_NS) // 1_000_000).tolist()


@settings(max_examples=300)
@given(day=market_days())
def test_decisions_of_any_day_are_those_of_the_plain_loop(day: MarketDay) -> None:
    reference = Reference(day)
    expected = [
        (place, begin.event.ts, begin.side, begin.event.is_led, begin.px, begin.event.row, begin.event.step)
        for place, threshold in enumerate(THRESHOLDS_BPS)
        for begin in reference.begins(threshold)
        if begin.is_decided
    ]
    found = decisions_of(day)
    columns = (found.threshold, found.ts_ns, found.side, found.is_oracle_led, found.limit_px, found.row, found.step)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


@settings(max_examples=300)
@given(day=market_days())
def test_episode_rows_of_any_day_are_those_of_the_plain_loop(day: MarketDay) -> None:
    reference = Reference(day)
    expected = []
    for threshold in THRESHOLDS_BPS:
        for begin in reference.begins(threshold):
            end, why, ticks, peak = reference.end(begin, threshold)
            side, origin = "buy" if begin.side > 0 else "sell", "oracle_led" if begin.event.is_led else "quote_led"
            expected.append(
                (threshold, begin.event.ts, side, origin, end, why, ticks, begin.is_decided, float(peak),
                 float(reference.edge(begin.event, begin.side)))
            )  # fmt: skip
    rows = episode_rows(day)
    names = ("threshold_bps", "begin_ns", "side", "origin", "end_ns", "ended_by", "tick_count", "is_decided")
    assert rows.select(names).rows() == [row[:8] for row in expected]
    np.testing.assert_allclose(rows["peak_edge_bps"], [row[8] for row in expected], atol=1e-9)
    np.testing.assert_allclose(rows["entry_edge_bps"], [row[9] for row in expected], atol=1e-9)
    assert rows.schema == SCHEMA


def test_frozen_quote_is_one_episode_however_often_it_is_seen() -> None:
    # Ask 10 bps below an oracle that never comes back: 600 ctx later it is still the first decision.
    day = day_of_rows(
        [bbo(0, 99, 101), bbo(500, "99.8", "99.9"), *(bbo(1000 * s, "99.8", "99.9") for s in range(1, 600))],
        every_second(0, 600, 100),
    )
    assert times(day) == [500]
    row = episode_rows(day, (8,)).row(0, named=True)
    assert (row["ended_by"], row["tick_count"], row["duration_ms"]) == ("data_end", 600, 599_500)
    assert row["entry_edge_bps"] == pytest.approx(10.0)


def test_one_sided_book_is_no_event_and_does_not_arm() -> None:
    day = day_of_rows(
        [
            bbo(0, 99, 101),
            bbo(1_000, "99.8", "99.9"),  # begins
            bbo(2_000, None, 101),  # would be back, but nobody can tell
            bbo(20_000, "99.8", "99.9"),  # the same cross
            bbo(21_000, 99, 101),  # back at last
            bbo(22_000, None, "99.9"),  # a cross of a book that is none
            bbo(23_000, "99.8", "99.9"),
        ],
        every_second(0, 30, 100),
    )
    assert times(day) == [1_000, 23_000]
    assert episode_rows(day, (8,))["ended_by"].to_list() == ["book_void", "data_end"]


def test_side_that_vanishes_and_locked_book_end_an_episode_by_their_names() -> None:
    day = day_of_rows(
        [
            bbo(0, 99, 101), bbo(1_000, "99.8", "99.9"), bbo(1_500, 99, None),
            bbo(20_000, 99, 101), bbo(21_000, "99.8", "99.9"), bbo(21_250, "99.9", "99.9"),
        ],
        every_second(0, 30, 100),
    )  # fmt: skip
    rows = episode_rows(day, (8,))
    assert rows.select("ended_by", "duration_ms", "tick_count").rows() == [
        ("side_vanished", 500, 1),
        ("book_void", 250, 1),
    ]


def test_edge_of_exactly_the_threshold_is_not_over_it_and_of_exactly_half_is_back() -> None:
    contexts = every_second(0, 60, 100)
    barely = [bbo(0, 99, 101), bbo(1_000, 99, "99.92"), bbo(2_000, 99, "99.91999999")]
    assert times(day_of_rows(barely, contexts)) == [2_000]
    half = [bbo(15_000, 99, "99.96"), bbo(16_000, 99, "99.9")]
    assert times(day_of_rows(barely + half, contexts)) == [2_000, 16_000]
    less = [bbo(15_000, 99, "99.95999999"), bbo(16_000, 99, "99.9")]
    assert times(day_of_rows(barely + less, contexts)) == [2_000]


@pytest.mark.parametrize(("first", "expected"), [("bbo", []), ("ctx", [1_000])])
def test_rows_of_one_instant_are_taken_in_the_order_of_their_seq(first: str, expected: list[int]) -> None:
    # At 1 s the oracle rises to 100.2 and the ask from 100.05 to 101: only if the ctx came first was there a cross.
    seqs = (3, 4) if first == "bbo" else (4, 3)
    day = day_of_rows(
        [bbo(0, 99, "100.05", seq=1), bbo(1_000, 99, 101, seq=seqs[0])],
        [ctx(0, 100, seq=2), ctx(1_000, "100.2", seq=seqs[1]), ctx(2_000, "100.2", seq=5)],
    )
    assert times(day) == expected


def test_origin_is_oracle_led_only_where_a_changed_oracle_crossed() -> None:
    day = day_of_rows(
        [bbo(0, 99, "100.05"), bbo(20_000, 99, 101), bbo(21_000, 99, "100.05")],
        [ctx(0, 100), *(ctx(1000 * s, "100.2") for s in range(1, 40))],
    )
    found = episode_rows(day, (8,))
    assert found["origin"].to_list() == ["oracle_led", "quote_led"]
    assert found["oracle_age_ms"].to_list() == [0, 20_000]
    assert found["quote_age_ms"].to_list() == [1_000, 0]


def test_decisions_of_one_threshold_are_12_s_apart_and_the_episode_between_passes() -> None:
    crosses = [1_000, 12_999, 13_500, 25_000]
    books = [bbo(0, 99, 101)]
    for at in crosses:
        books += [bbo(at, 99, "99.9"), bbo(at + 100, 99, 101)]
    day = day_of_rows(books, every_second(0, 40, 100))
    assert times(day) == [1_000, 13_500]
    assert episode_rows(day, (8,))["is_decided"].to_list() == [True, False, True, False]


def test_side_is_unarmed_after_a_feed_gap() -> None:
    books = [bbo(0, 99, 101), bbo(1_000, 99, "99.9"), bbo(1_200, 99, 101), bbo(30_000, 99, "99.9", generation=2)]
    more = [bbo(31_000, 99, 101, generation=2), bbo(32_000, 99, "99.9", generation=2)]
    contexts = [*every_second(0, 2, 100), *(ctx(1000 * s, 100, generation=2) for s in range(29, 40))]
    assert times(day_of_rows(books + more, contexts)) == [1_000, 32_000]
    open_one = [bbo(0, 99, 101), bbo(1_000, 99, "99.9"), bbo(30_000, 99, "99.9", generation=2)]
    assert episode_rows(day_of_rows(open_one, contexts), (8,)).select("ended_by", "end_ns").rows() == [
        ("feed_gap", BEGIN_NS + 1_000_000_000)
    ]


def test_halt_ends_an_episode_and_decides_nothing() -> None:
    day = day_of_rows(
        [bbo(0, 99, 101), bbo(1_000, 99, "99.9"), bbo(5_000, 99, 101), bbo(6_000, 99, "99.9"), bbo(8_000, 99, "99.9")],
        [*every_second(0, 2, 100), *(ctx(1000 * s, 100, spec_version="halted") for s in range(3, 7)), ctx(7_000, 100)],
    )
    assert times(day) == [1_000]
    # The book was back while the market was closed: nobody could take it, so nothing armed.
    assert episode_rows(day, (8,)).select("ended_by", "duration_ms").rows() == [("market_stopped", 2_000)]


def test_episode_belongs_to_the_day_in_which_it_begins() -> None:
    eve = feed([bbo(-3_000, 99, 101), bbo(-2_000, 99, "99.9"), bbo(-500, 99, 101)], every_second(-5, -1, 100))
    after = feed([bbo(DAY_MS + 400, 99, "99.9"), bbo(DAY_MS + 500, 99, 101)], every_second(86_400, 86_450, 100))
    day = day_of_rows(
        [
            bbo(100, 99, "99.9"),
            bbo(200, 99, 101),
            bbo(20_000, 99, "99.9"),
            bbo(30_000, 99, 101),
            bbo(DAY_MS - 1, 99, "99.9"),
        ],
        every_second(0, 86_399, 100),
        before=eve,
        after=after,
    )
    # The decision of the evening before forbids the one 2.1 s later; the last of the day is still its own.
    assert times(day) == [20_000, DAY_MS - 1]
    rows = episode_rows(day, (8,))
    assert rows["begin_ns"].to_list() == [BEGIN_NS + ms * 1_000_000 for ms in (100, 20_000, DAY_MS - 1)]
    assert rows["is_decided"].to_list() == [False, True, True]
    assert rows["duration_ms"].to_list() == [100, 10_000, 501]


def test_day_begins_armed_by_what_the_evening_before_left() -> None:
    crossing = [bbo(100, 99, "99.9")]
    contexts = every_second(0, 20, 100)
    assert times(day_of_rows(crossing, contexts)) == []  # the first row known crosses: nobody knows since when
    eve = feed([bbo(-300_000, 99, 101)], every_second(-62, -1, 100))
    assert times(day_of_rows(crossing, contexts, before=eve)) == [100]


def test_row_carries_what_people_ask_for() -> None:
    day = day_of_rows(
        [bbo(0, 99, 101), bbo(1_000, "99.7", "99.9", 3, 7), bbo(1_400, "99.7", "99.8", 3, 7), bbo(2_600, 99, 101)],
        every_second(0, 20, 100),
    )
    (row,) = episode_rows(day, (5,)).to_dicts()
    assert row["begin_ns"] == BEGIN_NS + 1_000_000_000
    assert (row["duration_ms"], row["tick_count"], row["ended_by"]) == (1_600, 2, "quote_moved")
    assert (row["entry_edge_bps"], row["peak_edge_bps"]) == (pytest.approx(10.0), pytest.approx(20.0))
    assert row["spread_bps"] == pytest.approx(0.2 / 99.8 * 1e4)
    assert (row["bid_depth_usd"], row["ask_depth_usd"]) == (pytest.approx(299.1), pytest.approx(699.3))
    assert (row["venue"], row["day"], row["coin"], row["spec_version"]) == ("sim", DAY, COIN, "a")
    assert row["session"] == "open"  # Monday 00:00 UTC is Sunday evening in New York, after the week began
    assert set(ABOUT) == {*SCHEMA, *GATES_SCHEMA}


def test_gates_of_the_live_session_are_joined_by_the_event_and_null_where_it_had_no_signal() -> None:
    day = day_of_rows(
        [bbo(0, 99, 101), bbo(1_000, 99, "99.9"), bbo(1_100, 99, 101), bbo(20_000, 99, "99.9")],
        every_second(0, 30, 100),
    )
    rows = episode_rows(day, (5, 8))
    second = rows.filter(pl.col("begin_ns") == BEGIN_NS + 20_000_000_000)
    seq = second["seq"][0]
    signals = pl.DataFrame(
        {"signal_id": ["x", "y"], "side": ["buy", "sell"], "seq": [seq, seq], "ts_ns": [BEGIN_NS + 20_000_000_000] * 2,
         "blocked_by": ["halt", ""]}
    )  # fmt: skip
    gates = pl.DataFrame(
        {"signal_id": ["x"] * len(GateId), "gate": [gate.value for gate in GateId],
         "status": ["block" if gate is GateId.HALT else "pass" for gate in GateId]}
    )  # fmt: skip
    found = with_gates(rows, signals, gates)
    assert found.columns == [*SCHEMA, *GATES_SCHEMA]
    assert found["signal_id"].to_list() == [None, "x", None, "x"]
    assert found["gate_halt"].to_list() == [None, "block", None, "block"]
    assert found["gate_oi_cap"].to_list() == [None, "pass", None, "pass"]
    assert with_gates(rows, signals[:0], gates[:0])["signal_id"].null_count() == 4


@pytest.mark.parametrize("thresholds", [(0, 3), (3, 76)])
def test_threshold_out_of_range_is_refused(thresholds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected thresholds of 1 to 75 bps"):
        decisions_of(day_of_rows([bbo(0, 1, 2)], [ctx(0, 1)]), thresholds)


def test_oracle_too_large_for_whole_numbers_is_refused() -> None:
    day = day_of_rows([bbo(0, 1, 2)], [ctx(0, 200_000_000)])
    with pytest.raises(ValueError, match="expected oracle prices below 180143985"):
        decisions_of(day)


def test_empty_day_has_no_episodes() -> None:
    day = day_of_rows([], [])
    assert decisions_of(day).ts_ns.size == 0
    assert episode_rows(day).height == 0


@settings(max_examples=50)
@given(day=market_days())
def test_decisions_of_one_threshold_never_overlap(day: MarketDay) -> None:
    found = decisions_of(day)
    for place in range(len(THRESHOLDS_BPS)):
        own = found.ts_ns[found.threshold == place].tolist()
        assert all(later - earlier >= 12_000_000_000 for earlier, later in pairwise(own))
