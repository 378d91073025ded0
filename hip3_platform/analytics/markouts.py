"""Executable markouts: what a signal would have earned if it had been taken and left at the opposite touch.

Definition (first version; the latency grid comes with the evidence path): entry at the touch the decision saw
(`signals.limit_px`), exit at the *opposite* touch 5 s later (table followups), minus 2 x taker fee:

    buy   (bid(+5 s) - entry) / entry x 1e4 - 2 x fee        sell   (entry - ask(+5 s)) / entry x 1e4 - 2 x fee

Rule 1: a markout without a known exit is void and counted; it is neither 0 nor dropped silently.
Rule 2: a signal that a gate (or readiness) blocked is not executable. One that only a control of ours blocked (latch,
rate limit, writer) is: the market offered it.
"""

from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.frames import read_market
from hip3_platform.analytics.metrics import GATES

EXIT_OFFSET_MS = 5_000
NOT_EXECUTABLE = (*GATES, "not_ready")
SOURCE_TABLES = ("signals", "followups")

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "signal_id": pl.String,
    "episode_id": pl.String,
    "ts_ns": pl.Int64,
    "side": pl.String,
    "origin": pl.String,
    "config_hash": pl.String,
    "raw_edge_bps": pl.Float64,
    "entry_px": pl.Float64,
    "exit_px": pl.Float64,
    "fee_bps": pl.Float64,
    "gross_bps": pl.Float64,
    "net_bps": pl.Float64,
    "state": pl.String,
    "void_reason": pl.String,
}
"""Columns of gold/markouts, one row a signal."""

ABOUT: dict[str, str] = {
    "venue": "venue the markout was earned on",
    "day": "UTC day of the signal",
    "coin": "market",
    "signal_id": "table signals",
    "episode_id": "table episodes",
    "ts_ns": "ns UTC, instant of the decision",
    "side": "buy or sell, the side we would take",
    "origin": "oracle_led or quote_led",
    "config_hash": "configuration that decided",
    "raw_edge_bps": "edge against the oracle at the decision, bps",
    "entry_px": "touch at the decision, quote per unit",
    "exit_px": "opposite touch 5 s later; null when not known",
    "fee_bps": "both taker fees, bps",
    "gross_bps": "exit against entry, signed, bps",
    "net_bps": "gross - fees, bps",
    "state": "executable, blocked (by a gate) or void (no exit known)",
    "void_reason": "why the exit is not known",
}
"""What each column is, for the UI."""

_SIGNALS = (
    "coin", "signal_id", "episode_id", "ts_ns", "side", "origin", "config_hash", "limit_px", "raw_edge_bps",
    "taker_fee_bps", "blocked_by",
)  # fmt: skip
_FOLLOWUPS = ("signal_id", "offset_ms", "is_missing", "missing_reason", "bid_px", "ask_px")


def markouts_of(root: Path, venue: str, day: str, coin: str) -> pl.DataFrame:
    """Return the markouts of one market and day (see `SCHEMA`), in the order of its signals."""
    signals = read_market(root, "signals", venue, day, coin, _SIGNALS)
    exits = read_market(root, "followups", venue, day, coin, _FOLLOWUPS).filter(pl.col("offset_ms") == EXIT_OFFSET_MS)
    touch = pl.when(pl.col("side") == "buy").then("bid_px").otherwise("ask_px").cast(pl.Float64)
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    blocked = pl.col("blocked_by").str.split(",").list.eval(pl.element().str.strip_chars())
    known = signals.join(exits, on="signal_id", how="left", maintain_order="left").with_columns(
        entry_px=pl.col("limit_px").cast(pl.Float64),
        exit_px=pl.when(pl.col("is_missing").not_()).then(touch),
        fee_bps=2 * pl.col("taker_fee_bps").cast(pl.Float64),
        raw_edge_bps=pl.col("raw_edge_bps").cast(pl.Float64),
        is_gated=blocked.list.set_intersection(list(NOT_EXECUTABLE)).list.len() > 0,
    )
    gross = sign * (pl.col("exit_px") - pl.col("entry_px")) / pl.col("entry_px") * 1e4
    void = (
        pl.when(pl.col("offset_ms").is_null())
        .then(pl.lit("no follow-up row"))
        .when(pl.col("is_missing"))
        .then("missing_reason")
        .otherwise(pl.lit("no opposite touch"))
    )
    is_void = pl.col("exit_px").is_null()
    judged = known.with_columns(
        gross_bps=gross,
        net_bps=gross - pl.col("fee_bps"),
        void_reason=pl.when(is_void).then(void).otherwise(pl.lit("")),
        state=pl.when("is_gated")
        .then(pl.lit("blocked"))
        .when(is_void)
        .then(pl.lit("void"))
        .otherwise(pl.lit("executable")),
        venue=pl.lit(venue),
        day=pl.lit(day),
    )
    return judged.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
