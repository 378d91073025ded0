"""Refusals, lost edge, fees and books of real trading, by hand-worked rows."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from platform_trades import TradingDay, a_trading_day
from platform_warehouse import DAY_1, write_day

from hip3_platform.analytics import execution, gold
from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.execution_quality import ABOUT, COLUMNS, SCHEMA, books_failures, quality_figures
from hip3_platform.analytics.landing import read_landing
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_MS, NS_PER_S

BEGIN_NS = day_begin_ns(DAY_1)
T_MS = BEGIN_NS // NS_PER_MS + 1_000
D = Decimal


def _frame(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    empty = pl.DataFrame(pl.from_arrow(TABLES[table].schema.empty_table())).select(COLUMNS[table])
    schema = {name: pl.String if kind == pl.Categorical else kind for name, kind in empty.schema.items()}
    return pl.DataFrame(rows, schema=schema, orient="row") if rows else empty


def _fill(side: str, px: str, sz: str, fee: str, **values: object) -> dict[str, Any]:
    row = {
        "mode": "live", "signal_id": "a", "spec_version": "s1", "side": side, "px": D(px), "sz": D(sz), "fee": D(fee),
        "is_reduce_only": False, "ts_ns": T_MS * NS_PER_MS, "venue_ts_ms": T_MS,
    }  # fmt: skip
    return {**row, **values}


def _leg(account: str, amount: str, reason: str = "fill", mode: str = "live") -> dict[str, Any]:
    return {"mode": mode, "account": account, "amount": D(amount), "reason": reason}


def _order(cloid: str, status: str, code: str = "", seq: int = 1, mode: str = "live") -> dict[str, Any]:
    return {
        "session_id": "s", "cloid": cloid, "seq": seq, "ordinal": 0, "mode": mode, "is_reduce_only": False,
        "status": status, "code": code,
    }  # fmt: skip


def _figures(
    *, oracle: tuple[tuple[int, str], ...] = (), fees: dict[str, Decimal] | None = None, **rows: list[dict[str, Any]]
) -> dict[str, Any]:
    tables = {name: _frame(name, rows.get(name, [])) for name in COLUMNS}
    times = np.array([T_MS * NS_PER_MS + ms * NS_PER_MS for ms, _ in oracle], dtype=np.int64)
    prices = np.array([int(D(px) * 10**8) for _, px in oracle], dtype=np.int64)
    return quality_figures(tables, oracle=(times, prices), fee_bps=fees or {}, begin_ns=BEGIN_NS)


def test_refusals_are_counted_by_code_and_by_their_last_state() -> None:
    orders = [
        _order("a", "sent"), _order("a", "rejected", "no_match", seq=2), _order("b", "rejected", "no_match"),
        _order("c", "rejected", "tick"), _order("d", "rejected"), _order("e", "unfilled"),
        _order("f", "in_doubt"), _order("f", "filled", seq=9), _order("g", "rejected", "margin", mode="paper"),
    ]  # fmt: skip
    figures = _figures(orders=orders)
    assert figures["refusals"] == "no_match 2, tick 1, unknown 1"
    assert figures["unfilled_count"] == 1


def test_erosion_is_edge_at_the_signal_less_edge_at_the_match() -> None:
    signals = [{"signal_id": "a", "raw_edge_bps": D(30)}, {"signal_id": "b", "raw_edge_bps": D(12)}]
    fills = [
        _fill("buy", "99.8", "1", "0"),  # 20 bps below the oracle of then: 10 lost
        _fill("sell", "100.5", "1", "0", signal_id="b", venue_ts_ms=T_MS + 500),  # 25 above 100.25: 12.94 gained
        _fill("sell", "90", "1", "0", is_reduce_only=True),
        _fill("buy", "90", "1", "0", signal_id="unknown"),
        _fill("buy", "90", "1", "0", venue_ts_ms=T_MS - 1_000),  # before the first oracle: not known
    ]
    figures = _figures(fills=fills, signals=signals, oracle=((0, "100"), (400, "100.25"), (501, "1")))
    second = (100.5 - 100.25) / 100.25 * 1e4
    assert figures["signal_edge_bps_mean"] == pytest.approx(21.0)
    assert figures["fill_edge_bps_mean"] == pytest.approx((20.0 + second) / 2)
    assert figures["erosion_bps_mean"] == pytest.approx((10.0 + 12.0 - second) / 2)
    assert figures["erosion_bps_p50"] == pytest.approx(figures["erosion_bps_mean"])


def test_fees_are_paid_against_the_spec_of_each_fill() -> None:
    fills = [_fill("buy", "100", "2", "0.02"), _fill("sell", "101", "2", "0.05", spec_version="s2")]
    figures = _figures(fills=fills, fees={"s1": D("0.9"), "s2": D(2)})
    assert figures["fees_modelled_usd"] == D("0.018") + D("0.0404")
    assert figures["fee_bps_paid"] == pytest.approx(0.07 / 402 * 1e4)
    assert figures["fee_bps_modelled"] == pytest.approx(0.0584 / 402 * 1e4)
    assert _figures(fills=fills, fees={"s1": D("0.9")})["fees_modelled_usd"] is None, "no spec is no zero"


def _good_books() -> dict[str, list[dict[str, Any]]]:
    return {
        "fills": [_fill("buy", "100", "2", "0.02"), _fill("sell", "101", "2", "0.03")],
        "ledger": [
            _leg("cash", "-200"), _leg("position", "200"), _leg("cash", "202"), _leg("position", "-200"),
            _leg("realised_pnl", "-2"), _leg("cash", "-0.05", "fee"), _leg("fees", "0.05", "fee"),
            _leg("cash", "0.01", "funding"), _leg("funding", "-0.01", "funding"), _leg("cash", "-7", mode="paper"),
        ],
        "round_trips": [{"pnl": D("1.96"), "opened_ts_ns": BEGIN_NS + NS_PER_S}],
    }  # fmt: skip


def test_books_that_agree_differ_by_nothing() -> None:
    figures = _figures(**_good_books())
    assert figures["ledger_difference_usd"] == 0
    assert figures["round_trip_difference_usd"] == 0
    assert figures["books_tolerance_usd"] == D("0.000005")


def test_books_a_fill_without_posting_is_found_to_the_last_digit() -> None:
    books = _good_books()
    books["fills"][1]["px"] = D("101.00001")
    assert _figures(**books)["ledger_difference_usd"] == D("0.00002")
    books = _good_books()
    books["fills"][0]["fee"] = D("0.5")
    assert _figures(**books)["ledger_difference_usd"] == D("0.48")


def test_books_round_trips_are_compared_on_flat_days_only() -> None:
    books = _good_books()
    books["round_trips"][0]["pnl"] = D(3)
    assert _figures(**books)["round_trip_difference_usd"] == D("1.04")
    books["round_trips"][0]["opened_ts_ns"] = BEGIN_NS - 1
    assert _figures(**books)["round_trip_difference_usd"] is None
    books = _good_books()
    books["ledger"][3]["amount"] = D(-100)
    assert _figures(**books)["round_trip_difference_usd"] is None


def test_books_failures_name_market_and_amount() -> None:
    rows = [
        {"coin": "xyz:B", "ledger_difference_usd": D("0.5"), "round_trip_difference_usd": D("-0.25"),
         "books_tolerance_usd": D("0.000005")},
        {"coin": "xyz:A", "ledger_difference_usd": D("0.000005"), "round_trip_difference_usd": None,
         "books_tolerance_usd": D("0.000005")},
    ]  # fmt: skip
    failures = books_failures(
        pl.DataFrame(rows, schema_overrides=dict.fromkeys(rows[0], pl.Decimal(38, 8)) | {"coin": pl.String})
    )
    assert len(failures) == 2
    assert failures[0].startswith("xyz:B: fills and ledger differ by 0.5")
    assert "round trips and ledger differ by -0.25" in failures[1]


def test_nothing_traded_is_null_and_not_zero() -> None:
    figures = _figures()
    unknown = {name for name, value in figures.items() if value is None}
    assert {"erosion_bps_mean", "signal_edge_bps_mean", "fee_bps_paid", "fee_bps_modelled"} <= unknown
    assert figures["refusals"] == ""


def test_every_column_says_what_it_is() -> None:
    assert set(SCHEMA) == set(ABOUT)
    assert set(_figures()) == set(SCHEMA)
    assert set(SCHEMA) < set(execution.SCHEMA)


def _written(root: Path, day: TradingDay) -> pl.DataFrame:
    write_day(root, DAY_1, [day.market, day.account_rows])
    landing = read_landing(root, "sim")
    for table in execution.SOURCE_TABLES:
        assert compact(root, table, "sim", DAY_1, landing.of(DAY_1, table)).findings.is_clean
    return gold.write_daily_execution(root, "sim", DAY_1).frame


def test_daily_execution_of_a_good_day_has_agreeing_books(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS + 3_600 * NS_PER_S)
    frame = _written(tmp_path, day)
    row = frame.row(0, named=True)
    assert (row["ledger_difference_usd"], row["refusals"]) == (0, "")
    assert row["fee_bps_paid"] == pytest.approx(0.04 / 201.75 * 1e4)
    assert books_failures(frame) == ()


def test_daily_execution_shows_money_that_is_missing(tmp_path: Path) -> None:
    day = a_trading_day(BEGIN_NS + 3_600 * NS_PER_S)
    day._post("stray", "fill", cash=D(1), position=D(-1))
    (first, *_) = books_failures(_written(tmp_path, day))
    assert first.startswith("xyz:GOOD: fills and ledger differ by 1")
