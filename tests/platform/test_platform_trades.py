"""What real orders did and what money moved: figures by market, and every cent that does not add up is named."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from platform_trades import OPENING_USD, TradingDay, a_trading_day
from platform_warehouse import DAY_1, MarketDay, write_day

from hip3_platform.analytics import execution, gold
from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.double_entry import Conservation, conserve_day
from hip3_platform.analytics.landing import read_landing
from hip3_platform.cli.audit import Audit, Books, VenueAccount, _fill_of, audit, usd_text
from hip3_platform.cli.findings import Findings
from hip3_platform.cli.report import report_json
from hip3_platform.cli.truth import Judged
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.rotation import RotationDoc
from streaming.core.units import NS_PER_S

RunDay = Callable[..., dg.ExecuteInProcessResult]
BEGIN_NS = day_begin_ns(DAY_1) + 3_600 * NS_PER_S
COIN = "xyz:GOOD"


def _write(root: Path, day: TradingDay) -> None:
    write_day(root, DAY_1, [day.market, day.account_rows])


def _bronze(root: Path, *tables: str) -> None:
    landing = read_landing(root, "sim")
    for table in tables:
        assert compact(root, table, "sim", DAY_1, landing.of(DAY_1, table)).findings.is_clean


@pytest.fixture
def traded(tmp_path: Path) -> Path:
    """A warehouse with bronze of a day on which two round trips were made."""
    _write(tmp_path, a_trading_day(BEGIN_NS))
    _bronze(tmp_path, *execution.SOURCE_TABLES, "reconciliations")
    return tmp_path


# --- execution


def test_execution_of_known_day_gives_its_figures(traded: Path) -> None:
    row = execution.execution_of(traded, "sim", DAY_1, COIN) or {}
    counts = {name: row[name] for name in ("order_count", "entry_count", "fill_count", "round_trip_count", "win_count")}
    assert counts == {"order_count": 4, "entry_count": 2, "fill_count": 4, "round_trip_count": 2, "win_count": 1}
    assert (row["entry_fill_ratio"], row["exit_fill_ratio"]) == (1.0, 1.0)
    assert (row["received_to_sent_us_p50"], row["sent_to_answer_us_p50"]) == (500.0, 200_000.0)
    assert (row["flat_time_ms_p99"], row["decided_to_fill_ms_p50"], row["slippage_bps_p50"]) == (205.0, 204.0, 0.5)
    assert (row["refused_count"], row["doubt_count"]) == (0, 0)


def test_execution_money_is_the_ledgers_to_the_last_digit(traded: Path) -> None:
    row = execution.execution_of(traded, "sim", DAY_1, COIN) or {}
    assert row["realised_usd"] == Decimal("0.25")
    assert row["fees_usd"] == Decimal("0.04")
    assert row["net_usd"] == Decimal("0.21")
    assert row["turnover_usd"] == Decimal("201.75")


def test_execution_leaves_paper_out_and_has_no_row_without_real_orders(tmp_path: Path) -> None:
    market = MarketDay(COIN, signal_count=0, bbo_count=0)
    paper = {"ts_ns": BEGIN_NS, "mode": "paper", "sz": Decimal(1)}
    market.add("orders", seq=1, ordinal=0, cloid="p", decided_ts_ns=BEGIN_NS, status="filled", **paper)
    market.add("fills", seq=1, tid=1, **paper)
    write_day(tmp_path, DAY_1, [market])
    _bronze(tmp_path, *execution.SOURCE_TABLES)
    assert execution.execution_of(tmp_path, "sim", DAY_1, COIN) is None
    assert gold.write_daily_execution(tmp_path, "sim", DAY_1).frame.height == 0


def test_execution_counts_an_order_once_and_by_its_last_state(traded: Path) -> None:
    tables = {
        name: pl.concat(
            [pl.read_parquet(p, columns=list(names)) for p in (traded / "bronze" / name).rglob("*.parquet")]
        )
        for name, names in execution.COLUMNS.items()
    }
    lost = tables["orders"].with_columns(
        status=pl.when(pl.col("status") == "sent").then(pl.lit("in_doubt")).otherwise(pl.lit("rejected"))
    )
    row = execution.execution_figures({**tables, "orders": lost})
    assert (row["order_count"], row["refused_count"], row["doubt_count"]) == (4, 4, 4)


def test_every_column_of_execution_says_what_it_is() -> None:
    assert set(execution.SCHEMA) == set(execution.ABOUT)


def test_daily_execution_is_byte_equal_on_a_second_run(traded: Path) -> None:
    first = gold.write_daily_execution(traded, "sim", DAY_1).path.read_bytes()
    assert gold.write_daily_execution(traded, "sim", DAY_1).path.read_bytes() == first


# --- conservation of money


def _conserved(root: Path, day: TradingDay) -> Conservation:
    _write(root, day)
    _bronze(root, "ledger", "reconciliations")
    return conserve_day(root, "sim", DAY_1)


def test_money_of_a_good_day_is_conserved(tmp_path: Path) -> None:
    found = _conserved(tmp_path, a_trading_day(BEGIN_NS))
    assert found.failures == ()
    assert (found.posting_count, found.read_count, found.interval_count) == (8, 4, 2)


def test_money_posting_that_does_not_balance_is_named(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day._post("odd-open", "fill", cash=Decimal(1), position=Decimal("-0.99999999"))
    failure, *_ = _conserved(tmp_path, day).failures
    assert failure == "posting odd-open of s1: legs sum to 1E-8 USDC"


def test_money_cash_that_moved_without_a_posting_is_named(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day.cash_usd += Decimal("0.000001")
    day.read()
    (failure,) = _conserved(tmp_path, day).failures
    assert "cash moved by 0.000001" in failure
    assert "postings say 0" in failure


def test_money_starting_point_taken_anew_is_no_movement(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day.read(is_first=True)
    day.cash_usd += 50
    day.read()
    assert _conserved(tmp_path, day).failures == ()


@pytest.mark.parametrize(
    ("read", "text"),
    [({"difference": "0.03"}, "cash differs by 0.03"), ({"mismatches": "xyz:A: ours 1, venue 0"}, "ours 1, venue 0")],
)
def test_money_last_read_that_differs_is_named(tmp_path: Path, read: dict[str, str], text: str) -> None:
    day = a_trading_day(BEGIN_NS)
    day.read(**read)
    (failure,) = _conserved(tmp_path, day).failures
    assert text in failure


def test_money_read_that_differed_once_in_between_proves_nothing(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day.read(difference="5")
    day.read()
    found = _conserved(tmp_path, day)
    assert found.failures == ()
    assert found.difference_max == 5


# --- the job


def test_daily_job_judges_real_trades(warehouse: WarehouseResource, run_day: RunDay) -> None:
    _write(warehouse.path, a_trading_day(BEGIN_NS))
    result = run_day(DAY_1)
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "double_entry"]
    assert check.passed
    assert check.metadata["postings"].value == 8
    (made,) = result.asset_materializations_for_node("gold__daily_execution")
    figures = {name: made.metadata[name].value for name in ("trades", "round_trips", "net_usd", "dagster/row_count")}
    assert figures == {"trades": 4, "round_trips": 2, "net_usd": 0.21, "dagster/row_count": 1}


def test_daily_job_money_that_vanished_is_red_and_stops_the_execution_figures(
    warehouse: WarehouseResource, run_day: RunDay
) -> None:
    day = a_trading_day(BEGIN_NS)
    day._post("odd-fee", "fee", cash=Decimal("-0.01"))
    _write(warehouse.path, day)
    result = run_day(DAY_1)
    assert not result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "double_entry"]
    assert not check.passed
    assert not result.asset_materializations_for_node("gold__daily_execution")


@pytest.mark.usefixtures("one_day")
def test_daily_execution_of_a_day_without_trades_has_no_row_and_no_plotted_extremes(run_day: RunDay) -> None:
    (made,) = run_day(DAY_1).asset_materializations_for_node("gold__daily_execution")
    assert made.metadata["trades"].value == 0
    assert "worst_flat_time_ms_p99" not in made.metadata


# --- the audit of `hip3 up`


def _audit(root: Path, day: TradingDay, **venue: object) -> Audit:
    _write(root, day)
    told = {"value_usd": day.cash_usd, "position_count": 0, "order_count": 0} | venue
    fills = {fill["tid"]: _fill_of(fill) for fill in day.venue_fills}
    return audit(Books.read(root, "s1"), VenueAccount(fills=fills, **told), OPENING_USD)  # type: ignore[arg-type]


def test_audit_of_equal_books_finds_nothing(tmp_path: Path) -> None:
    found = _audit(tmp_path, a_trading_day(BEGIN_NS))
    assert found.failures == ()
    assert (found.trades, found.venue_trades, found.fills_equal) == (4, 4, True)
    assert (found.ledger_usd, found.ledger_difference_usd) == (Decimal("0.21"), 0)
    assert found.figures["round_trip_count"] == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("value_usd", OPENING_USD + Decimal("0.22"), "0.01"),
        ("position_count", 1, "1 positions left"),
        ("order_count", 2, "2 orders rest"),
    ],
)
def test_audit_names_what_the_account_does_not_agree_with(tmp_path: Path, name: str, value: object, text: str) -> None:
    (failure,) = _audit(tmp_path, a_trading_day(BEGIN_NS), **{name: value}).failures
    assert text in failure


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda fills: fills.pop(), "only our table has"),
        (lambda fills: fills.append({**fills[0], "tid": 5}), "1 fills only the venue has, such as tid 5"),
        (lambda fills: fills[0].update(px="100.51"), "100.51"),
        (lambda fills: fills[0].update(fee="0.010001"), "0.010001"),
        (lambda fills: fills[0].update(side="A"), "sell"),
    ],
    ids=["missing there", "missing here", "price", "fee", "side"],
)
def test_audit_names_fills_that_are_not_equal(tmp_path: Path, change: Callable[..., object], text: str) -> None:
    day = a_trading_day(BEGIN_NS)
    change(day.venue_fills)
    found = _audit(tmp_path, day)
    assert not found.fills_equal
    assert text in found.failures[0]


def test_audit_names_an_order_without_an_end(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day.market.add(
        "orders", seq=2_000_000, ordinal=0, cloid="0xlost", ts_ns=BEGIN_NS, decided_ts_ns=BEGIN_NS, mode="live",
        status="in_doubt",
    )  # fmt: skip
    (failure,) = _audit(tmp_path, day).failures
    assert "0xlost in_doubt" in failure


def test_audit_without_a_judged_read_is_no_proof(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS)
    day.account_rows.rows.pop("reconciliations")
    assert _audit(tmp_path, day).failures == ("no read of the account was judged",)


@pytest.mark.parametrize(("amount", "text"), [("0E-8", "0"), ("3.10226000", "3.10226"), ("-1E+3", "-1000")])
def test_amounts_are_told_without_exponents(amount: str, text: str) -> None:
    assert usd_text(Decimal(amount)) == text


def test_report_of_a_start_tells_both_sides_of_the_books(tmp_path: Path) -> None:
    doc = RotationDoc(
        version=1, venue="sim", account="0xabc", as_of_day=DAY_1, created_ts_ns=1, expires_ts_ns=2, code_version="0",
        config_hash="", markets=(), excluded=(),
    )  # fmt: skip
    findings = Findings(doc, "sha", {DAY_1: 7}, pl.DataFrame({"rank": [1, None]}))
    judged = (
        Judged("xyz:A", "stale quote", "stale quote", True, "T3 any 5s", 4.1, 3.9, 5.0),
        Judged("xyz:B", "toxic", "stale quote", True, "T3 any 5s", 1.0, -0.2, 0.4),
        Judged("xyz:C", "stale quote", "insufficient", False, None, None, None, 2.0),
    )
    told = json.loads(report_json(findings, judged, _audit(tmp_path, a_trading_day(BEGIN_NS)), {"total": 1.0}))
    assert told["approved"] == {"xyz:A": 3.9, "xyz:B": -0.2}
    assert told["approved_wrongly"] == ["xyz:B"]
    assert told["truly_good"] == ["xyz:A", "xyz:B", "xyz:C"]
    assert (told["trades"], told["round_trips"], told["orders"], told["fill_ratio"]) == (4, 2, 4, 1.0)
    assert (told["ledger_usd"], told["venue_usd"], told["ledger_difference_usd"]) == ("0.21", "0.21", "0")
    assert (told["realised_usd"], told["fees_usd"], told["funding_usd"]) == ("0.25", "0.04", "0")
    assert told["signal_to_order_us_p50"] == 500.0
    assert "trades" not in json.loads(report_json(findings, (), None, {})), "nothing was traded"
