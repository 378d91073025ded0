"""Where real trading differs from what was expected of it: refusals, lost edge, fees, and the books against each other.

Rule 1: edge at the fill is the fill price against the oracle received last before the match; what is lost since the
signal is its erosion. The venue's time of a fill stands for the match; gate `venue_clock` bounds how far clocks differ.
Rule 2: modelled fees are notional x the fee of the fill's own `spec_version`; without its spec they are not known.
Rule 3: cash that fills moved is summed from prices and sizes, and must be the ledger's; so must fees. On a day that
begins and ends flat the round trips must come to the ledger's result. The ledger rounds each posting to 1e-6.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from hip3_platform.analytics.evidence.columns import scaled
from hip3_platform.analytics.frames import floats, quantiles, read_market
from streaming.contracts.paths import bronze_path, day_begin_ns
from streaming.core.units import BPS, NS_PER_MS

SOURCE_TABLES = ("signals", "ctx", "specs")
"""What is read beside the tables of `execution`."""
COLUMNS: dict[str, tuple[str, ...]] = {
    "orders": ("session_id", "cloid", "seq", "ordinal", "mode", "is_reduce_only", "status", "code"),
    "fills": ("mode", "signal_id", "spec_version", "side", "px", "sz", "fee", "is_reduce_only", "ts_ns", "venue_ts_ms"),
    "round_trips": ("pnl", "opened_ts_ns"),
    "ledger": ("mode", "account", "amount", "reason"),
    "signals": ("signal_id", "raw_edge_bps"),
}
POSTING_QUANTUM = Decimal("1e-6")

_MONEY = pl.Decimal(38, 8)
SCHEMA: dict[str, Any] = {
    "unfilled_count": pl.Int64,
    "refusals": pl.String,
    "signal_edge_bps_mean": pl.Float64,
    "fill_edge_bps_mean": pl.Float64,
    "erosion_bps_mean": pl.Float64,
    **{f"erosion_bps_{q}": pl.Float64 for q in ("p50", "p95", "p99")},
    "fees_modelled_usd": _MONEY,
    "fee_bps_paid": pl.Float64,
    "fee_bps_modelled": pl.Float64,
    "ledger_difference_usd": _MONEY,
    "round_trip_difference_usd": _MONEY,
    "books_tolerance_usd": _MONEY,
}
"""Columns that gold/daily_execution has from here."""
ABOUT: dict[str, str] = {
    "unfilled_count": "orders that found nothing inside their limit",
    "refusals": "refused orders by code, most frequent first: no_match 3, tick 1",
    "signal_edge_bps_mean": "edge of the signals whose entries filled, bps of the oracle, mean over fills",
    "fill_edge_bps_mean": "edge of the same fills against the oracle at the match",
    "erosion_bps_mean": "edge at the signal - edge at the fill, mean over entry fills; > 0 was lost on the way",
    **{f"erosion_bps_p{q}": f"P{q} of the edge lost between signal and fill" for q in (50, 95, 99)},
    "fees_modelled_usd": "notional of fills x taker fee of their spec; null when a spec is not known",
    "fee_bps_paid": "fees paid, bps of turnover",
    "fee_bps_modelled": "modelled fees, bps of turnover",
    "ledger_difference_usd": "largest difference of cash or fees between fills and ledger, unsigned",
    "round_trip_difference_usd": "results of round trips - the ledger's; null unless the day began and ended flat",
    "books_tolerance_usd": "what rounding of postings can explain of these",
}
"""What each column is, for the UI."""


def quality_figures(
    tables: Mapping[str, pl.DataFrame],
    *,
    oracle: tuple[np.ndarray, np.ndarray],
    fee_bps: Mapping[str, Decimal],
    begin_ns: int,
) -> dict[str, Any]:
    """Return the figures of `SCHEMA` of the live rows among `tables`.

    Args:
        tables: Table → rows of one market and day with at least `COLUMNS`.
        oracle: Receipt times (ns UTC, ascending) and oracle prices (1e-8) of the market's ctx.
        fee_bps: `spec_version` → taker fee of one side.
        begin_ns: Begin of the day.
    """
    live = pl.col("mode") == "live"
    orders = tables["orders"].filter(live).sort("session_id", "seq", "ordinal")
    last = orders.group_by("session_id", "cloid", maintain_order=True).last()
    fills, ledger = tables["fills"].filter(live), tables["ledger"].filter(live)
    return {
        "unfilled_count": int((last["status"] == "unfilled").sum()),
        "refusals": _refusals(last),
        **_erosion(fills, tables["signals"], oracle),
        **_fees(fills, fee_bps),
        **_books(fills, ledger, tables["round_trips"], begin_ns),
    }


def _refusals(orders: pl.DataFrame) -> str:
    refused = orders.filter(pl.col("status") == "rejected").with_columns(
        code=pl.when(pl.col("code") == "").then(pl.lit("unknown")).otherwise(pl.col("code").cast(pl.String))
    )
    counts = refused.group_by("code").len().sort("len", "code", descending=[True, False])
    return ", ".join(f"{code} {count}" for code, count in counts.iter_rows())


def _erosion(
    fills: pl.DataFrame, signals: pl.DataFrame, oracle: tuple[np.ndarray, np.ndarray]
) -> dict[str, float | None]:
    edges = signals.select("signal_id", signal_edge=pl.col("raw_edge_bps").cast(pl.Float64)).unique("signal_id")
    entries = fills.filter(~pl.col("is_reduce_only")).join(edges, on="signal_id", maintain_order="left")
    times, prices = oracle
    at = np.searchsorted(times, entries["venue_ts_ms"].to_numpy() * NS_PER_MS, side="right") - 1
    known = at >= 0
    entries, at = entries.filter(pl.Series(known, dtype=pl.Boolean)), at[known]
    oracle_px = prices[at] / 1e8 if at.size else np.empty(0)
    sign = np.where((entries["side"].cast(pl.String) == "buy").to_numpy(), 1.0, -1.0)
    fill_edge = sign * (oracle_px - floats(entries, "px")) / oracle_px * 1e4
    signal_edge = floats(entries, "signal_edge")
    erosion = signal_edge - fill_edge
    means = {"signal_edge_bps_mean": signal_edge, "fill_edge_bps_mean": fill_edge, "erosion_bps_mean": erosion}
    return {
        **{name: float(values.mean()) if values.size else None for name, values in means.items()},
        **quantiles(erosion, "erosion_bps"),
    }


def _fees(fills: pl.DataFrame, fee_bps: Mapping[str, Decimal]) -> dict[str, Any]:
    rows = fills.select(pl.col("spec_version").cast(pl.String), "px", "sz", "fee").rows()
    turnover = sum((px * sz for _, px, sz, _ in rows), Decimal(0))
    paid = sum((fee for *_, fee in rows), Decimal(0))
    is_known = all(version in fee_bps for version, *_ in rows)
    modelled = sum((px * sz * fee_bps[version] / BPS for version, px, sz, _ in rows), Decimal(0)) if is_known else None
    return {
        "fees_modelled_usd": modelled,
        "fee_bps_paid": float(paid / turnover * BPS) if turnover else None,
        "fee_bps_modelled": float(modelled / turnover * BPS) if turnover and modelled is not None else None,
    }


def _books(fills: pl.DataFrame, ledger: pl.DataFrame, trips: pl.DataFrame, begin_ns: int) -> dict[str, Decimal | None]:
    rows = fills.select(pl.col("side").cast(pl.String), "px", "sz", "fee").rows()
    moved = sum((px * sz if side == "sell" else -px * sz for side, px, sz, _ in rows), Decimal(0))
    paid = sum((fee for *_, fee in rows), Decimal(0))
    by_fill = ledger.filter(pl.col("reason").is_in(["fill", "settlement", "liquidation"]))
    cash = _sum(by_fill.filter(pl.col("account") == "cash")["amount"])
    fees = _sum(ledger.filter(pl.col("account").is_in(["fees", "builder_fees"]))["amount"])
    income = _sum(ledger.filter(pl.col("account").is_in(["realised_pnl", "funding"]))["amount"])
    is_flat = _sum(ledger.filter(pl.col("account") == "position")["amount"]) == 0
    is_own = not (trips["opened_ts_ns"] < begin_ns).any()
    # Income is a credit, < 0, in double entry.
    result = -income - fees
    return {
        "ledger_difference_usd": max(abs(moved - cash), abs(paid - fees)),
        "round_trip_difference_usd": _sum(trips["pnl"]) - result if is_flat and is_own else None,
        "books_tolerance_usd": POSTING_QUANTUM * (2 * len(rows) + trips.height),
    }


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def books_failures(daily_execution: pl.DataFrame) -> tuple[str, ...]:
    """Return every market of gold/daily_execution whose fills, round trips and ledger do not come to the same money.

    Empty when all agree; a figure that is not known is no agreement and no failure.
    """
    names = ("ledger_difference_usd", "round_trip_difference_usd")
    told = {"ledger_difference_usd": "fills and ledger", "round_trip_difference_usd": "round trips and ledger"}
    return tuple(
        f"{row['coin']}: {told[name]} differ by {row[name]:f} USD, rounding explains {row['books_tolerance_usd']:f}"
        for row in daily_execution.sort("coin").iter_rows(named=True)
        for name in names
        if row[name] is not None and abs(row[name]) > row["books_tolerance_usd"]
    )


def quality_of(root: Path, venue: str, day: str, coin: str) -> dict[str, Any]:
    """Return the figures of `SCHEMA` from the bronze files of one market and day."""
    tables = {name: read_market(root, name, venue, day, coin, columns) for name, columns in COLUMNS.items()}
    return quality_figures(
        tables,
        oracle=_oracle(root, venue, day, coin),
        fee_bps=_fee_bps(root, venue, coin),
        begin_ns=day_begin_ns(day),
    )


def _oracle(root: Path, venue: str, day: str, coin: str) -> tuple[np.ndarray, np.ndarray]:
    path = bronze_path(root, table="ctx", venue=venue, day=day, coin=coin)
    if not path.is_file():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    table = pq.ParquetFile(path).read(columns=["recv_ts_ns", "oracle_px"])
    return np.asarray(table.column("recv_ts_ns").to_numpy()), scaled(table.column("oracle_px"), 0)


def _fee_bps(root: Path, venue: str, coin: str) -> dict[str, Decimal]:
    # Of any day: a session writes a spec once, when it first sees it.
    folder = bronze_path(root, table="specs", venue=venue, day="1970-01-01", coin=coin).parent.parent
    paths = sorted(folder.glob(f"day=*/{coin}.parquet")) if folder.is_dir() else []
    frames = [pl.read_parquet(path, columns=["spec_version", "taker_fee_bps"]) for path in paths]
    return {str(version): fee for frame in frames for version, fee in frame.iter_rows()}
