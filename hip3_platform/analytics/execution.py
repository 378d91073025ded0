"""How our real orders did, by market and day: filled, at what price, how fast, and what it earned.

Rule 1: only rows of mode `live` count; a paper order proves nothing about execution. A market without any has no row.
Rule 2: a figure without data is null, never 0; counts are 0, money without postings is 0.
Rule 3: money is that of the ledger and stays Decimal; all else is a statistic and float64.
Rule 4: latencies are the sidecar's own stamps; what it could not stamp is left out, not guessed.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics import execution_quality as quality
from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.frames import floats, quantiles, read_market

SOURCE_TABLES = ("orders", "fills", "round_trips", "actions", "ledger", *quality.SOURCE_TABLES)
COLUMNS: dict[str, tuple[str, ...]] = {
    "orders": ("session_id", "cloid", "seq", "ordinal", "mode", "is_reduce_only", "sz", "applied_sz", "status",
               "action_id", "sent_us", "answered_us"),
    "fills": ("mode", "px", "sz", "is_reduce_only", "slippage_bps", "flight_ms"),
    "round_trips": ("pnl", "held_ms", "flat_time_ms"),
    "actions": ("session_id", "action_id", "received_to_decided_us", "decided_to_sent_us"),
    "ledger": ("mode", "account", "amount"),
}  # fmt: skip
"""What is read of each source table."""

MONEY = pl.Decimal(38, 8)
_COUNTS = {
    "order_count": "orders decided, entries and exits",
    "entry_count": "of these entries",
    "refused_count": "orders the venue refused",
    "doubt_count": "orders whose outcome was unknown for a while",
    "fill_count": "fills, one a trade id of the venue",
    "round_trip_count": "positions closed",
    "win_count": "of these with a gain after fees and funding",
}
_RATES = {
    "entry_fill_ratio": "filled share of an entry, mean over entries",
    "exit_fill_ratio": "filled share of an exit, mean over exits",
    "entry_slippage_bps_mean": "fill against the touch the entry was decided on, > 0 is worse",
    "exit_slippage_bps_mean": "fill against the touch the exit was decided on, > 0 is worse",
}
_QUANTILES = {
    "slippage_bps": "slippage of a fill, bps",
    "received_to_sent_us": "us from the receipt of the input to the order's hand-over to a socket",
    "sent_to_answer_us": "us from the hand-over to the venue's answer",
    "decided_to_fill_ms": "ms from the decision to a fill",
    "flat_time_ms": "ms from the decision to leave to flat",
    "held_ms": "ms from the first fill to flat",
}
_MONEY = {
    "turnover_usd": "notional of all fills",
    "realised_usd": "result of what was closed, fees and funding apart",
    "fees_usd": "fees, the builders' included; > 0 is paid",
    "funding_usd": "> 0 was received",
    "net_usd": "realised - fees + funding",
}

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    **dict.fromkeys(_COUNTS, pl.Int64),
    **dict.fromkeys(_RATES, pl.Float64),
    **{f"{name}_{q}": pl.Float64 for name in _QUANTILES for q in ("p50", "p95", "p99")},
    **dict.fromkeys(_MONEY, MONEY),
    **quality.SCHEMA,
}
"""Columns of gold/daily_execution, one row a market; units are in the names."""

ABOUT: dict[str, str] = {
    "venue": "venue the orders were sent to",
    "day": "UTC day",
    "coin": "market",
    **_COUNTS,
    **_RATES,
    **{f"{name}_p{q}": f"P{q} of {text}" for name, text in _QUANTILES.items() for q in (50, 95, 99)},
    **_MONEY,
    **quality.ABOUT,
}
"""What each column is, for the UI."""


def execution_figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Return counts, rates, latencies and money of the live rows among `tables`; `execution_quality` has the rest.

    Args:
        tables: Table name → rows with at least `COLUMNS`, of any one or more markets, sessions and days.
    """
    live = pl.col("mode") == "live"
    changes = tables["orders"].filter(live).sort("session_id", "seq", "ordinal")
    fills, trips = tables["fills"].filter(live), tables["round_trips"]
    return {
        **_order_figures(changes, tables["actions"]),
        "fill_count": fills.height,
        "round_trip_count": trips.height,
        "win_count": int((trips["pnl"] > 0).sum()),
        **_fill_figures(fills),
        **quantiles(floats(trips, "flat_time_ms"), "flat_time_ms"),
        **quantiles(floats(trips, "held_ms"), "held_ms"),
        **_money_figures(tables["ledger"].filter(live)),
    }


def _order_figures(changes: pl.DataFrame, actions: pl.DataFrame) -> dict[str, Any]:
    key = ["session_id", "cloid"]
    orders = changes.group_by(key, maintain_order=True).last()
    ratio = pl.col("applied_sz").cast(pl.Float64) / pl.col("sz").cast(pl.Float64)
    sent = actions.unique(["session_id", "action_id"], keep="first", maintain_order=True)
    orders = orders.with_columns(ratio=ratio, answer_us=pl.col("answered_us") - pl.col("sent_us")).join(
        sent, on=["session_id", "action_id"], how="left", maintain_order="left"
    )
    orders = orders.with_columns(send_us=pl.col("received_to_decided_us") + pl.col("decided_to_sent_us"))
    entries, exits = orders.filter(~pl.col("is_reduce_only")), orders.filter("is_reduce_only")
    return {
        "order_count": orders.height,
        "entry_count": entries.height,
        "refused_count": int((orders["status"] == "rejected").sum()),
        "doubt_count": changes.filter(pl.col("status") == "in_doubt").select(key).n_unique(),
        "entry_fill_ratio": _mean(entries, "ratio"),
        "exit_fill_ratio": _mean(exits, "ratio"),
        **quantiles(floats(orders, "send_us"), "received_to_sent_us"),
        **quantiles(floats(orders, "answer_us"), "sent_to_answer_us"),
    }


def _fill_figures(fills: pl.DataFrame) -> dict[str, Any]:
    return {
        "entry_slippage_bps_mean": _mean(fills.filter(~pl.col("is_reduce_only")), "slippage_bps"),
        "exit_slippage_bps_mean": _mean(fills.filter("is_reduce_only"), "slippage_bps"),
        **quantiles(floats(fills, "slippage_bps"), "slippage_bps"),
        **quantiles(floats(fills, "flight_ms"), "decided_to_fill_ms"),
        "turnover_usd": sum((px * sz for px, sz in fills.select("px", "sz").iter_rows()), Decimal(0)),
    }


def _money_figures(ledger: pl.DataFrame) -> dict[str, Decimal]:
    balances: dict[str, Decimal] = {}
    for account, amount in ledger.select("account", "amount").iter_rows():
        balances[account] = balances.get(account, Decimal(0)) + amount
    fees = balances.get("fees", Decimal(0)) + balances.get("builder_fees", Decimal(0))
    # Income is a credit, < 0, in double entry.
    realised, funding = -balances.get("realised_pnl", Decimal(0)), -balances.get("funding", Decimal(0))
    return {
        "realised_usd": realised,
        "fees_usd": fees,
        "funding_usd": funding,
        "net_usd": realised - fees + funding,
    }


def _mean(frame: pl.DataFrame, column: str) -> float | None:
    values = floats(frame, column)
    return float(values.mean()) if values.size else None


def execution_of(root: Path, venue: str, day: str, coin: str) -> dict[str, Any] | None:
    """Return one row of gold/daily_execution from the bronze files of one market and day; None without live rows."""
    tables = {
        name: read_market(root, name, venue, day, NO_MARKET if name == "actions" else coin, columns)
        for name, columns in COLUMNS.items()
    }
    if not any((tables[name]["mode"] == "live").any() for name in ("orders", "fills", "ledger")):
        return None
    head = {"venue": venue, "day": day, "coin": coin}
    return {**head, **execution_figures(tables), **quality.quality_of(root, venue, day, coin)}


def execution_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the rows as one frame with exactly the columns of `SCHEMA`."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
