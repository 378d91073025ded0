"""Daily figures of one market: `metrics_of(date, market)` is a pure function of its bronze files.

Rule 1: ages are sampled at decisions (rows of `signals`) and on the sidecar's fixed clock (rows of `health`), never
right after an update, where they would always look fresh.
Rule 2: a figure without data is null, never 0; counts are 0.
Rule 3: figures are statistics: float64. What decides (prices, fees) stays Decimal in bronze.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics.frames import Floats, floats, quantiles, read_market
from streaming.core.effects import GateId
from streaming.core.units import NS_PER_MS

GATES = tuple(gate.value for gate in GateId)
DURATION_EDGES_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""Upper bounds of the buckets of `cross_duration_hist`; the last bucket is open."""
EDGE_EDGES_BPS = (0, 2, 5, 10, 15, 20, 30, 50, 100)
"""Upper bounds of the buckets of `edge_hist`."""
SOURCE_TABLES = ("bbo", "ctx", "episodes", "signals", "health")

_COUNTS = {
    "bbo_count": "bbo frames received",
    "bbo_null_count": "of these with a null side",
    "ctx_count": "ctx frames received",
    "session_count": "sessions of the sidecar with bbo rows",
    "reconnect_count": "connections beyond each session's first",
    "cross_episode_count": "crosses over the threshold, as episodes that ended",
    "cross_tick_count": "market events while an episode was open",
    "oracle_led_count": "episodes a moving oracle began",
    "signal_count": "triggers: decisions worth taking",
    "blocked_count": "of these blocked by a gate or a control",
    "health_count": "samples on the fixed clock",
}
_RATES = {
    "bbo_null_rate": "share of bbo frames with a null side",
    "oracle_stale_rate": "share of clock samples at which gate 1 would block",
    "spread_shock_rate": "share of clock samples at which gate 3 would reduce or block",
    "ready_rate": "share of clock samples at which the market was ready",
    "blocked_rate": "share of signals that were blocked",
    "rate_use_max": "highest use of any rate limit, 0-1",
}
_QUANTILES = {
    "bbo_recv_interval_ms": "ms between bbo frames on one connection",
    "ctx_recv_interval_ms": "ms between ctx frames on one connection",
    "ctx_age_ms_decision": "ms since the last ctx, at decisions",
    "bbo_age_ms_decision": "ms since the last bbo, at decisions",
    "ctx_age_ms_clock": "ms since the last ctx, on the fixed clock",
    "bbo_age_ms_clock": "ms since the last bbo, on the fixed clock",
    "cross_duration_ms": "ms an episode lasted",
    "edge_bps": "raw edge of signals, bps of oracle",
    "net_edge_bps": "edge of signals after fees and slippage, bps",
    "peak_edge_bps": "largest raw edge of episodes, bps of oracle",
    "spread_bps_clock": "spread on the fixed clock, bps of mid",
}

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    **dict.fromkeys(_COUNTS, pl.Int64),
    **dict.fromkeys(_RATES, pl.Float64),
    **{f"{name}_{q}": pl.Float64 for name in _QUANTILES for q in ("p50", "p95", "p99")},
    "edge_bps_mean": pl.Float64,
    "cross_duration_hist": pl.List(pl.Int64),
    "edge_hist": pl.List(pl.Int64),
    **{f"blocked_by_{gate}": pl.Int64 for gate in GATES},
    "blocked_by_control": pl.Int64,
}
"""Columns of gold/daily_metrics, one row a market; units are in the names."""

ABOUT: dict[str, str] = {
    "venue": "venue the figures were earned on",
    "day": "UTC day",
    "coin": "market",
    **_COUNTS,
    **_RATES,
    **{f"{name}_p{q}": f"P{q} of {text}" for name, text in _QUANTILES.items() for q in (50, 95, 99)},
    "edge_bps_mean": "mean raw edge of signals, bps of oracle",
    "cross_duration_hist": f"episodes by duration, buckets up to {DURATION_EDGES_MS} ms and above",
    "edge_hist": f"signals by raw edge, buckets up to {EDGE_EDGES_BPS} bps and above",
    **{f"blocked_by_{gate}": f"signals the gate {gate} blocked" for gate in GATES},
    "blocked_by_control": "signals that only controls of ours blocked (latch, rate limit, writer, not ready)",
}
"""What each column is, for the UI."""


def _histogram(values: Floats, edges: tuple[int, ...]) -> list[int]:
    slots = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="left")
    return [int(n) for n in np.bincount(slots, minlength=len(edges) + 1)]


def _share(flags: pl.Series) -> float | None:
    return float(flags.mean()) if len(flags) else None  # type: ignore[arg-type]  # the mean of flags is a number


def _intervals_ms(frame: pl.DataFrame) -> Floats:
    """Milliseconds between receipts on one connection; a reconnect is no interval."""
    mono = frame["recv_mono_ns"].to_numpy()
    run = frame["session_id"].rle_id().to_numpy().astype(np.int64) * 1_000_000 + frame["generation"].to_numpy()
    gaps: Floats = np.diff(mono)[np.diff(run) == 0] / NS_PER_MS
    return gaps


def _feed_figures(bbo: pl.DataFrame, ctx: pl.DataFrame) -> dict[str, Any]:
    nulls = int((bbo["bid_px"].is_null() | bbo["ask_px"].is_null()).sum())
    connections = bbo.select("session_id", "generation").unique()
    sessions = connections["session_id"].n_unique()
    return {
        "bbo_count": bbo.height,
        "bbo_null_count": nulls,
        "bbo_null_rate": nulls / bbo.height if bbo.height else None,
        "ctx_count": ctx.height,
        "session_count": sessions,
        "reconnect_count": connections.height - sessions,
        **quantiles(_intervals_ms(bbo), "bbo_recv_interval_ms"),
        **quantiles(_intervals_ms(ctx), "ctx_recv_interval_ms"),
    }


def _cross_figures(episodes: pl.DataFrame) -> dict[str, Any]:
    durations = floats(episodes, "duration_ms")
    return {
        "cross_episode_count": episodes.height,
        "cross_tick_count": int(episodes["tick_count"].sum()),
        "oracle_led_count": int((episodes["origin"] == "oracle_led").sum()),
        **quantiles(durations, "cross_duration_ms"),
        **quantiles(floats(episodes, "peak_edge_bps"), "peak_edge_bps"),
        "cross_duration_hist": _histogram(durations, DURATION_EDGES_MS),
    }


def _signal_figures(signals: pl.DataFrame) -> dict[str, Any]:
    edges = floats(signals, "raw_edge_bps")
    reasons = signals.filter("is_blocked")["blocked_by"].str.split(",").explode().str.strip_chars()
    by_reason: dict[str, int] = dict(reasons.value_counts().iter_rows()) if len(reasons) else {}
    is_control = ~signals["blocked_by"].str.split(",").list.set_intersection(list(GATES)).list.len().gt(0)
    return {
        "signal_count": signals.height,
        "blocked_count": int(signals["is_blocked"].sum()),
        "blocked_rate": _share(signals["is_blocked"]),
        **quantiles(floats(signals, "ctx_age_ms"), "ctx_age_ms_decision"),
        **quantiles(floats(signals, "bbo_age_ms"), "bbo_age_ms_decision"),
        **quantiles(edges, "edge_bps"),
        **quantiles(floats(signals, "net_edge_bps"), "net_edge_bps"),
        "edge_bps_mean": float(edges.mean()) if edges.size else None,
        "edge_hist": _histogram(edges, EDGE_EDGES_BPS),
        **{f"blocked_by_{gate}": by_reason.get(gate, 0) for gate in GATES},
        "blocked_by_control": int((signals["is_blocked"] & is_control).sum()),
    }


def _clock_figures(health: pl.DataFrame) -> dict[str, Any]:
    use = floats(health, "rate_use_ratio")
    return {
        "health_count": health.height,
        "oracle_stale_rate": _share(health["is_oracle_stale"]),
        "spread_shock_rate": _share(health["is_spread_shock"]),
        "ready_rate": _share(health["is_ready"]),
        "rate_use_max": float(use.max()) if use.size else None,
        **quantiles(floats(health, "ctx_age_ms"), "ctx_age_ms_clock"),
        **quantiles(floats(health, "bbo_age_ms"), "bbo_age_ms_clock"),
        **quantiles(floats(health, "spread_bps"), "spread_bps_clock"),
    }


def metrics_of(root: Path, venue: str, day: str, coin: str) -> dict[str, Any]:
    """Return one row of gold/daily_metrics (see `SCHEMA`) from the bronze files of one market and day."""

    def read(table: str, *columns: str) -> pl.DataFrame:
        return read_market(root, table, venue, day, coin, columns)

    receipt = ("recv_mono_ns", "session_id", "generation")
    clock = ("ctx_age_ms", "bbo_age_ms", "spread_bps", "is_oracle_stale", "is_spread_shock", "is_ready")
    return {
        "venue": venue,
        "day": day,
        "coin": coin,
        **_feed_figures(read("bbo", *receipt, "bid_px", "ask_px"), read("ctx", *receipt)),
        **_cross_figures(read("episodes", "duration_ms", "tick_count", "origin", "peak_edge_bps")),
        **_signal_figures(
            read("signals", "raw_edge_bps", "net_edge_bps", "ctx_age_ms", "bbo_age_ms", "is_blocked", "blocked_by")
        ),
        **_clock_figures(read("health", *clock, "rate_use_ratio")),
    }


def metrics_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the rows as one frame with exactly the columns of `SCHEMA`."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
