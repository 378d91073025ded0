"""Daily figures, markouts, ranking and rotation: known answers on small days."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from platform_warehouse import DAY_1, DAY_2, VENUE, MarketDay, a_rotation, write_day

from hip3_platform.analytics import gold, markouts, metrics
from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.conservation import balance_day
from hip3_platform.analytics.evidence import approval, basis, fill_rows, sums, verdict
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.metrics import SCHEMA, metrics_of
from hip3_platform.analytics.profile import profile_signals
from hip3_platform.analytics.rotating import score
from hip3_platform.analytics.store import write_bytes
from hip3_platform.analytics.views import write_views
from streaming.contracts.paths import day_begin_ns, gold_path
from streaming.contracts.rotation import encode_rotation
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_S

COIN = "xyz:GOOD"


def _bronze(root: Path, day: str, markets: list[MarketDay], **options: object) -> None:
    write_day(root, day, markets, **options)
    landing = read_landing(root, VENUE)
    for table in TABLES:
        assert compact(root, table, VENUE, day, landing.of(day, table)).findings.is_clean
    digest = landing.digest(day)
    gold.record_inputs(root, gold.DayInputs(venue=VENUE, day=day, digest=digest, row_counts={}))


def _judge(root: Path, day: str) -> None:
    gold.write_daily_metrics(root, VENUE, day)
    gold.write_markouts(root, VENUE, day)


# --- daily metrics


def test_metrics_of_known_day_gives_its_figures(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [MarketDay(COIN, blocked_by=("", "", "halt,spread_shock", "stop_latch"))])
    row = metrics_of(tmp_path, VENUE, DAY_1, COIN)
    assert set(row) == set(SCHEMA)
    assert (row["bbo_count"], row["bbo_null_count"], row["ctx_count"]) == (300, 6, 300)
    assert row["bbo_null_rate"] == pytest.approx(0.02)
    assert row["bbo_recv_interval_ms_p50"] == 1_000
    assert (row["bbo_age_ms_clock_p50"], row["ctx_age_ms_clock_p99"]) == (700, 400)
    assert (row["bbo_age_ms_decision_p50"], row["ctx_age_ms_decision_p50"]) == (700, 400)
    assert (row["cross_episode_count"], row["cross_tick_count"], row["signal_count"]) == (40, 120, 40)
    assert row["cross_duration_hist"] == [0, 0, 0, 40, 0, 0, 0, 0, 0, 0]
    assert (row["blocked_count"], row["blocked_by_halt"], row["blocked_by_spread_shock"]) == (20, 10, 10)
    assert row["blocked_by_control"] == 10
    assert row["edge_bps_p50"] == 20
    assert (row["session_count"], row["reconnect_count"], row["ready_rate"]) == (1, 0, 1.0)


def test_metrics_of_market_without_rows_has_nulls_not_zero_rates(tmp_path: Path) -> None:
    row = metrics_of(tmp_path, VENUE, DAY_1, "xyz:NONE")
    assert row["bbo_count"] == 0
    assert row["bbo_null_rate"] is None
    assert row["bbo_age_ms_clock_p95"] is None
    assert row["oracle_stale_rate"] is None
    assert row["reconnect_count"] == 0


def test_metrics_interval_does_not_span_a_reconnect(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=0, bbo_count=0)
    ts = day_begin_ns(DAY_1)
    for seq, (generation, mono) in enumerate([(1, 0), (1, 10**9), (2, 500 * 10**9), (2, 501 * 10**9)], start=1):
        market.add("bbo", seq=seq, recv_ts_ns=ts + mono, recv_mono_ns=mono, generation=generation)
    _bronze(tmp_path, DAY_1, [market])
    row = metrics_of(tmp_path, VENUE, DAY_1, COIN)
    assert row["bbo_recv_interval_ms_p99"] == 1_000
    assert row["reconnect_count"] == 1


def test_daily_metrics_files_are_byte_equal_on_a_second_run(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [MarketDay(COIN), MarketDay("xyz:B")])
    written = gold.write_daily_metrics(tmp_path, VENUE, DAY_1)
    json_path = written.path.with_suffix(".json")
    first = written.path.read_bytes(), json_path.read_bytes()
    gold.write_daily_metrics(tmp_path, VENUE, DAY_1)
    assert (written.path.read_bytes(), json_path.read_bytes()) == first
    document = msgspec.json.decode(first[1])
    assert document["digest"] == gold.inputs_digest(tmp_path, VENUE, DAY_1)
    assert [row["coin"] for row in document["markets"]] == ["xyz:B", COIN]


@pytest.mark.parametrize("table", [metrics, markouts, approval, verdict, basis, sums, fill_rows, score])
def test_every_derived_column_says_what_it_is(table) -> None:
    assert list(table.ABOUT) == list(table.SCHEMA)


# --- markouts


def test_markouts_buy_exits_at_the_bid_after_five_seconds_and_pays_two_fees(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [MarketDay(COIN, signal_count=3, exit_bps=(6.0, -4.0, 10.0))])
    frame = gold.write_markouts(tmp_path, VENUE, DAY_1).frame
    assert frame["net_bps"].to_list() == pytest.approx([6 - 1.8, -4 - 1.8, 10 - 1.8], abs=1e-6)
    assert frame["state"].to_list() == ["executable"] * 3


def test_markouts_sell_exits_at_the_ask(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=0)
    ts = day_begin_ns(DAY_1)
    both = {"seq": 5, "signal_id": "x", "side": "sell"}
    market.add("signals", **both, ts_ns=ts, limit_px=Decimal(100), taker_fee_bps=Decimal(9), blocked_by="")
    book = {"bid_px": Decimal(50), "ask_px": Decimal("99.5")}
    market.add("followups", **both, signal_ts_ns=ts, ts_ns=ts, offset_ms=5_000, is_missing=False, **book)
    _bronze(tmp_path, DAY_1, [market])
    frame = gold.write_markouts(tmp_path, VENUE, DAY_1).frame
    assert frame["net_bps"].to_list() == pytest.approx([50 - 18])


def test_markouts_missing_exit_is_void_and_counted(tmp_path: Path) -> None:
    _bronze(tmp_path, DAY_1, [MarketDay(COIN, signal_count=4, missing_every=2)])
    frame = gold.write_markouts(tmp_path, VENUE, DAY_1).frame
    assert frame["state"].to_list() == ["void", "executable", "void", "executable"]
    assert frame["void_reason"].to_list() == ["connection_lost", "", "connection_lost", ""]
    assert frame["net_bps"].null_count() == 2


def test_markouts_signal_without_any_followup_is_void(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=1)
    write_day(tmp_path, DAY_1, [market])
    landing = read_landing(tmp_path, VENUE)
    compact(tmp_path, "signals", VENUE, DAY_1, landing.of(DAY_1, "signals"))
    frame = gold.write_markouts(tmp_path, VENUE, DAY_1).frame
    assert frame["void_reason"].to_list() == ["no follow-up row"]


def test_markouts_gate_blocked_is_not_executable_but_control_blocked_is(tmp_path: Path) -> None:
    blocked = ("", "halt", "stop_latch", "not_ready", "oi_cap,writer")
    _bronze(tmp_path, DAY_1, [MarketDay(COIN, signal_count=5, blocked_by=blocked)])
    frame = gold.write_markouts(tmp_path, VENUE, DAY_1).frame
    assert frame["state"].to_list() == ["executable", "blocked", "executable", "blocked", "blocked"]


# --- rotation


def test_newest_rotation_is_the_highest_version_not_the_latest_file(tmp_path: Path) -> None:
    for day in (DAY_2, DAY_1):
        _store_rotation(tmp_path, day)
    newest = gold.newest_rotation(tmp_path, VENUE)
    assert newest is not None
    assert newest[0].as_of_day == DAY_2
    assert gold.newest_rotation(tmp_path, "testnet") is None


def _store_rotation(root: Path, day: str) -> None:
    doc = a_rotation(day)
    write_bytes(gold_path(root, table=gold.ROTATION, venue=VENUE, day=day, suffix="json"), encode_rotation(doc))


# --- profile, conservation, views


def test_profile_counts_what_must_never_happen(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=2)
    ts = day_begin_ns(DAY_1)
    market.add(
        "signals", seq=9_000, signal_id="odd", episode_id="e", ts_ns=ts, side="up", limit_px=Decimal(0), blocked_by=""
    )
    _bronze(tmp_path, DAY_1, [market])
    (row,) = profile_signals(tmp_path, VENUE, DAY_1)
    assert row["signal_count"] == 3
    assert (row["side_unknown_count"], row["px_not_positive_count"], row["origin_unknown_count"]) == (1, 1, 1)
    assert (row["gate_vector_incomplete_count"], row["unblocked_without_book_count"]) == (1, 1)
    assert row["followup_absent_ratio"] == pytest.approx(1 / 3)


def test_profile_misses_no_followup_that_was_not_due_when_the_record_ends(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=2)
    last_ns = day_begin_ns(DAY_1) + 7_200 * NS_PER_S
    market.add("health", seq=9_001, ts_ns=last_ns, is_ready=True, book_class="valid", rate_use_ratio=0.0)
    for seq, before_s in ((9_002, 2), (9_003, 60)):
        ts = last_ns - before_s * NS_PER_S
        market.add("signals", seq=seq, signal_id=f"late-{seq}", episode_id=f"e-{seq}", ts_ns=ts, blocked_by="")
    _bronze(tmp_path, DAY_1, [market])
    (row,) = profile_signals(tmp_path, VENUE, DAY_1)
    assert row["followup_absent_ratio"] == pytest.approx(1 / 4)


def test_profile_of_a_day_without_signals_is_empty(tmp_path: Path) -> None:
    assert profile_signals(tmp_path, VENUE, DAY_1) == []


def test_conservation_names_the_feed_that_lost_rows(tmp_path: Path) -> None:
    market = MarketDay(COIN)
    _bronze(tmp_path, DAY_1, [market])
    assert not any(balance.is_lost for balance in balance_day(tmp_path, VENUE, DAY_1))
    other = MarketDay("xyz:LOST")
    write_day(tmp_path, DAY_2, [other])
    del other.rows["bbo"][100]
    _bronze(tmp_path / "b", DAY_2, [MarketDay("xyz:OK")])
    lost = MarketDay("xyz:LOST", bbo_count=0, signal_count=0, rows={t: other.rows[t] for t in ("bbo", "ctx", "health")})
    _bronze(tmp_path / "c", DAY_2, [lost])
    balances = balance_day(tmp_path / "c", VENUE, DAY_2)
    assert [(b.table, b.counted - b.rows) for b in balances if b.is_lost] == [("bbo", 1)]


def test_views_answer_sql_and_are_rebuilt_while_a_reader_has_the_old_file_open(tmp_path: Path) -> None:
    import duckdb

    _bronze(tmp_path, DAY_1, [MarketDay(COIN)])
    path, names = write_views(tmp_path)
    assert "bronze.signals" in names
    assert not any(name.startswith("gold.") for name in names)
    with duckdb.connect(str(path), read_only=True) as reader:
        assert reader.execute("select count(*) from bronze.signals").fetchall() == [(40,)]
        _judge(tmp_path, DAY_1)
        assert "gold.markouts" in write_views(tmp_path)[1]
        assert reader.execute("select count(*) from bronze.bbo").fetchall() == [(300,)]
