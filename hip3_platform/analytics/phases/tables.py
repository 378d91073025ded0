"""What the phase rows read: bronze and gold of one venue up to one day, and of whose account each session was.

Rule 1: what the market showed counts for the venue; what our orders did counts for the account of the session that
sent them, which its configuration (table `configs`) names. A session without a configuration row is nobody's.
Rule 2: only days that are complete in bronze (gold/inputs) are read.
Rule 3: the one look at another venue is the row that asks for it: testnet trades before mainnet.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics import markouts, metrics
from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.evidence.tables import APPROVALS, WINDOW_DAYS
from hip3_platform.analytics.gold import DAILY_METRICS, MARKOUTS, inputs_digest
from streaming.contracts.paths import bronze_path, gold_path
from streaming.contracts.tables import TABLES

PAPER_ACCOUNT = "paper"
TESTNET = "testnet"

EVENT_COLUMNS = ("session_id", "seq", "ordinal", "ts_ns", "coin", "kind", "subject", "state", "detail", "value")
EVENT_KINDS = ("connection_changed", "gate_changed", "param_changed", "latch_changed", "arm_changed", "phase_changed",
               "limits_changed", "ladder_changed", "market_stop_changed", "malformed_frame")  # fmt: skip
WANTED: dict[str, pl.Expr] = {"events": pl.col("kind").is_in(EVENT_KINDS), "orders": pl.col("mode") == "live"}
"""Rows that are looked at, where a table holds many others: they are left in their files."""
ORDER_COLUMNS = ("session_id", "seq", "ordinal", "coin", "cloid", "signal_id", "ts_ns", "decided_ts_ns", "mode",
                 "is_reduce_only", "status", "sent_us")  # fmt: skip
TRIP_COLUMNS = ("session_id", "seq", "ordinal", "coin", "signal_id", "ts_ns", "sz", "entry_px", "pnl",
                "flat_time_ms")  # fmt: skip
CLOCK_COLUMNS = ("session_id", "ts_ns")
SIGNAL_COLUMNS = ("session_id", "seq", "signal_id", "is_blocked", "blocked_by")
SPEC_COLUMNS = ("session_id", "coin", "asset_id", "ts_ns")
READ_COLUMNS = ("session_id", "seq", "ordinal", "ts_ns", "dex", "venue_cash", "is_judged")
CONFIG_COLUMNS = ("session_id", "ts_ns", "config_json")
METRIC_COLUMNS = tuple(metrics.SCHEMA)
MARKOUT_COLUMNS = ("day", "coin", "state", "net_bps")
APPROVAL_SCHEMA: dict[str, Any] = {
    "day": pl.String, "coin": pl.String, "state": pl.String, "bound_bps": pl.Float64, "in_sample_days": pl.Int64,
}  # fmt: skip
"""Of gold/approvals; named here because importing its module costs statsmodels and pandas, which nothing here needs."""


@dataclass(frozen=True)
class Tables:
    """Frames of one venue up to `day`; every bronze frame has the column `day` besides (`read_tables` says how far)."""

    venue: str
    account: str
    """Lower case, or `paper`."""
    day: str
    days: tuple[str, ...]
    """Complete days up to `day`, ascending."""
    metrics: pl.DataFrame
    markouts: pl.DataFrame
    approvals: pl.DataFrame
    events: pl.DataFrame
    clock: pl.DataFrame
    """Samples of the fixed clock of one market a day: that the process was there."""
    orders: pl.DataFrame
    """Real ones."""
    signals: pl.DataFrame
    """Of days with real orders."""
    trips: pl.DataFrame
    specs: pl.DataFrame
    configs: pl.DataFrame
    reads: pl.DataFrame
    testnet_trips: pl.DataFrame

    @property
    def window(self) -> tuple[str, ...]:
        """Complete days of the evidence's window of 14 calendar days."""
        return self.last_days(WINDOW_DAYS)

    def last_days(self, count: int) -> tuple[str, ...]:
        """Return the complete days among the last `count` calendar days."""
        return _last_days(self.days, self.day, count)

    @property
    def our_sessions(self) -> tuple[str, ...]:
        """Sessions that traded for the account, in the order of their configurations."""
        return tuple(
            session for session, config in self.config_of_session.items() if _account_of(config) == self.account
        )

    @property
    def config_of_session(self) -> dict[str, dict[str, Any]]:
        """Session → its first effective configuration."""
        found: dict[str, dict[str, Any]] = {}
        for session, text in self.configs.sort("ts_ns").select("session_id", "config_json").iter_rows():
            found.setdefault(session, json.loads(text))
        return found

    def ours(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of sessions of the account."""
        return frame.filter(pl.col("session_id").is_in(list(self.our_sessions)))


def _account_of(config: dict[str, Any]) -> str:
    return str(config.get("account") or PAPER_ACCOUNT).lower()


def empty_tables(venue: str, account: str, day: str) -> Tables:
    """Return the tables of a warehouse in which nothing has landed."""
    return Tables(
        venue=venue,
        account=account.lower(),
        day=day,
        days=(),
        metrics=pl.DataFrame(schema=metrics.SCHEMA).select(METRIC_COLUMNS),
        markouts=pl.DataFrame(schema=markouts.SCHEMA).select(MARKOUT_COLUMNS),
        approvals=pl.DataFrame(schema=APPROVAL_SCHEMA),
        events=_no_rows("events", EVENT_COLUMNS),
        clock=_no_rows("health", CLOCK_COLUMNS),
        orders=_no_rows("orders", ORDER_COLUMNS),
        signals=_no_rows("signals", SIGNAL_COLUMNS),
        trips=_no_rows("round_trips", TRIP_COLUMNS),
        specs=_no_rows("specs", SPEC_COLUMNS),
        configs=_no_rows("configs", CONFIG_COLUMNS),
        reads=_no_rows("reconciliations", READ_COLUMNS),
        testnet_trips=_no_rows("round_trips", TRIP_COLUMNS),
    )


def _no_rows(table: str, columns: Sequence[str]) -> pl.DataFrame:
    rows = pl.DataFrame(pl.from_arrow(TABLES[table].schema.empty_table())).select(columns)
    return rows.with_columns(day=pl.lit("")).clear()


Files = Callable[[list[Path]], list[Path]]
"""Chooses among the files of one table and day, one a market."""


def every(paths: list[Path]) -> list[Path]:
    """Choose all."""
    return paths


def of_no_market(paths: list[Path]) -> list[Path]:
    """Choose the file of rows that belong to no market."""
    return [path for path in paths if path.stem == NO_MARKET]


def of_markets(paths: list[Path]) -> list[Path]:
    """Choose the files of markets."""
    return [path for path in paths if path.stem != NO_MARKET]


def largest(paths: list[Path]) -> list[Path]:
    """Choose the file of the market with most to tell."""
    return [max(paths, key=lambda path: (path.stat().st_size, path.name))] if paths else []


def read_tables(root: Path, venue: str, account: str, day: str, review_days: int = 84) -> Tables:
    """Read what the rows need from the warehouse `root`.

    Args:
        root: Folder of the warehouse.
        venue: Whose tables.
        account: Master address, or `paper`.
        day: Last day that counts.
        review_days: How far back approvals are read. What the market showed is read over the evidence's window of 14
            days, and on days with real orders; our own trades, phases and stops from the first day.
    """
    days = _complete_days(root, venue, day)
    recent, window = _last_days(days, day, review_days), _last_days(days, day, WINDOW_DAYS)

    def bronze(table: str, columns: Sequence[str], of: Iterable[str] = days, which: Files = every) -> pl.DataFrame:
        return _read_bronze(root, table, venue, of, columns, which)

    orders = bronze("orders", ORDER_COLUMNS)
    traded = sorted(set(orders["day"]))
    told = sorted({*traded, *window})
    # Phases, latch and arming belong to no market: they are read from the first day on, one file a day.
    events = [bronze("events", EVENT_COLUMNS, days, of_no_market), bronze("events", EVENT_COLUMNS, told, of_markets)]
    testnet_days = _complete_days(root, TESTNET, day) if venue == "mainnet" else ()
    return replace(
        empty_tables(venue, account, day),
        days=days,
        metrics=_read_gold(root, DAILY_METRICS, venue, window, metrics.SCHEMA, METRIC_COLUMNS),
        markouts=_read_gold(root, MARKOUTS, venue, window, markouts.SCHEMA, MARKOUT_COLUMNS),
        approvals=_read_gold(root, APPROVALS, venue, recent, APPROVAL_SCHEMA, tuple(APPROVAL_SCHEMA)),
        events=pl.concat(events),
        clock=bronze("health", CLOCK_COLUMNS, window, largest),
        orders=orders,
        signals=bronze("signals", SIGNAL_COLUMNS, traded),
        trips=bronze("round_trips", TRIP_COLUMNS),
        specs=bronze("specs", SPEC_COLUMNS, window),
        configs=bronze("configs", CONFIG_COLUMNS),
        reads=bronze("reconciliations", READ_COLUMNS),
        testnet_trips=_read_bronze(root, "round_trips", TESTNET, testnet_days, TRIP_COLUMNS, every),
    )


def _last_days(days: tuple[str, ...], day: str, count: int) -> tuple[str, ...]:
    first = (date.fromisoformat(day) - timedelta(days=count - 1)).isoformat()
    return tuple(each for each in days if each >= first)


def _complete_days(root: Path, venue: str, day: str) -> tuple[str, ...]:
    folder = gold_path(root, table="inputs", venue=venue, day="1970-01-01").parent
    found = sorted(path.stem.removeprefix("day=") for path in folder.glob("day=*.json")) if folder.is_dir() else []
    return tuple(each for each in found if each <= day and inputs_digest(root, venue, each))


def _read_bronze(
    root: Path, table: str, venue: str, days: Iterable[str], columns: Sequence[str], which: Files
) -> pl.DataFrame:
    paths: list[Path] = []
    for day in days:
        folder = bronze_path(root, table=table, venue=venue, day=day, coin=NO_MARKET).parent
        paths += which(sorted(folder.glob("*.parquet")) if folder.is_dir() else [])
    nothing = _no_rows(table, columns)
    if not paths:
        return nothing
    # One scan of all files: a warehouse of months has thousands of small ones.
    rows = pl.scan_parquet(paths, include_file_paths="path")
    if table in WANTED:
        rows = rows.filter(WANTED[table])
    day_of_path = pl.col("path").str.extract(r"day=(\d{4}-\d{2}-\d{2})").alias("day")
    kinds = nothing.schema
    return rows.select(*(pl.col(name).cast(kinds[name]) for name in columns), day_of_path).collect()


def _read_gold(
    root: Path, table: str, venue: str, days: Iterable[str], schema: dict[str, Any], columns: Sequence[str]
) -> pl.DataFrame:
    paths = [gold_path(root, table=table, venue=venue, day=day) for day in days]
    found = [pl.read_parquet(path, columns=list(columns)) for path in paths if path.is_file()]
    return pl.concat([pl.DataFrame(schema=schema).select(columns), *found])
