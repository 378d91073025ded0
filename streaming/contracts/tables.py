"""The one schema module: every table the sidecar writes and the platform reads, with unit and source of each column.

Rule 1: a table is a value. A change of columns is a new version; the golden text of every published version is a test.
Rule 2: the day of a row is the UTC day of its `day_column`, never the day it was flushed (I-29).
Rule 3: tables of orders and of the account stand in `tables_trading`, what a table is in `table`; readers import here.
"""

from collections.abc import Iterator

import pyarrow as pa

from streaming.contracts.table import (
    BPS,
    FLAG,
    FLOAT,
    INT,
    ORDINAL,
    PX,
    SESSION_COLUMNS,
    SZ,
    TEXT,
    TS_NS,
    Column,
    Table,
    table,
)
from streaming.contracts.tables_trading import (
    ACTIONS,
    FILL_GAPS,
    FILLS,
    LEDGER,
    ORDERS,
    POSITIONS,
    RECONCILIATIONS,
    ROUND_TRIPS,
)

__all__ = ["PX", "SESSION_COLUMNS", "TABLES", "Column", "Table"]


def _book_columns() -> Iterator[Column]:
    yield Column("bid_px", PX, "quote per unit", "bbo", is_nullable=True)
    yield Column("bid_sz", SZ, "base units", "bbo", is_nullable=True)
    yield Column("ask_px", PX, "quote per unit", "bbo", is_nullable=True)
    yield Column("ask_sz", SZ, "base units", "bbo", is_nullable=True)
    yield Column("oracle_px", PX, "quote per unit", "activeAssetCtx.oraclePx", is_nullable=True)
    yield Column("mark_px", PX, "quote per unit", "activeAssetCtx.markPx", is_nullable=True)
    yield Column("spread_bps", BPS, "bps of mid", "derived", is_nullable=True)
    yield Column("bbo_age_ms", INT, "ms", "since the last bbo frame", is_nullable=True)
    yield Column("confirmation_age_ms", INT, "ms", "since the last confirmation of a valid book", is_nullable=True)
    yield Column("ctx_age_ms", INT, "ms", "since the last receipt of a ctx", is_nullable=True)
    yield Column("oracle_age_ms", INT, "ms", "since the oracle price changed", is_nullable=True)


BBO = table(
    "bbo",
    "Best bid and offer, one row per received bbo frame",
    ("seq",),
    Column("recv_ts_ns", INT, "ns UTC", "our wall clock at receipt"),
    Column("recv_mono_ns", INT, "ns CLOCK_BOOTTIME", "at receipt; not comparable across boots"),
    Column("venue_ts_ms", INT, "ms UTC", "bbo.time"),
    Column("generation", INT, "ordinal", "websocket connection of the session"),
    Column("bid_px", PX, "quote per unit", "bbo[0].px; null side stays null", is_nullable=True),
    Column("bid_sz", SZ, "base units", "bbo[0].sz", is_nullable=True),
    Column("ask_px", PX, "quote per unit", "bbo[1].px", is_nullable=True),
    Column("ask_sz", SZ, "base units", "bbo[1].sz", is_nullable=True),
    day="recv_ts_ns",
)
CTX = table(
    "ctx",
    "Oracle, mark and statistics, one row per received activeAssetCtx frame",
    ("seq",),
    Column("recv_ts_ns", INT, "ns UTC", "our wall clock at receipt"),
    Column("recv_mono_ns", INT, "ns CLOCK_BOOTTIME", "at receipt; not comparable across boots"),
    Column("generation", INT, "ordinal", "websocket connection of the session"),
    Column("oracle_px", PX, "quote per unit", "oraclePx"),
    Column("mark_px", PX, "quote per unit", "markPx"),
    Column("mid_px", PX, "quote per unit", "midPx", is_nullable=True),
    Column("impact_bid_px", PX, "quote per unit", "impactPxs[0]", is_nullable=True),
    Column("impact_ask_px", PX, "quote per unit", "impactPxs[1]", is_nullable=True),
    Column("open_interest_sz", FLOAT, "base units", "openInterest"),
    Column("funding_ratio", FLOAT, "fraction per hour", "funding"),
    Column("premium_ratio", FLOAT, "fraction", "premium", is_nullable=True),
    Column("day_ntl_vlm_usd", FLOAT, "quote units", "dayNtlVlm", is_nullable=True),
    day="recv_ts_ns",
)
TRADES = table(
    "trades",
    "Public trades, deduplicated by time, coin and tid",
    ("coin", "venue_ts_ms", "tid"),
    Column("recv_ts_ns", INT, "ns UTC", "our wall clock at receipt"),
    Column("venue_ts_ms", INT, "ms UTC", "trades.time"),
    Column("tid", INT, "id", "trades.tid"),
    Column("side", TEXT, "buy or sell", "aggressor (wire B or A)"),
    Column("px", PX, "quote per unit", "trades.px"),
    Column("sz", SZ, "base units", "trades.sz"),
    day="recv_ts_ns",
)
EPISODES = table(
    "episodes",
    "Crosses of the oracle as units of opportunity: from the first tick over the threshold until re-armed",
    ("episode_id",),
    Column("episode_id", TEXT, "id", "coin, side and seq of the first tick"),
    Column("begin_ts_ns", INT, "ns UTC", "first tick over the threshold"),
    Column("end_ts_ns", INT, "ns UTC", "re-armed, or ended otherwise"),
    Column("side", TEXT, "buy or sell", "side we would take"),
    Column("origin", TEXT, "oracle_led or quote_led", "what crossed"),
    Column("duration_ms", INT, "ms", "begin to end"),
    Column("tick_count", INT, "count", "market events while open"),
    Column("entry_edge_bps", BPS, "bps of oracle", "raw edge at begin"),
    Column("peak_edge_bps", BPS, "bps of oracle", "largest raw edge"),
    Column("threshold_bps", BPS, "bps", "2 x taker fee + slippage + least edge"),
    Column("ended_by", TEXT, "reason", "what ended it"),
    day="begin_ts_ns",
)
SIGNALS = table(
    "signals",
    "Decisions worth taking: one per episode, with the state they were taken on",
    ("signal_id",),
    Column("signal_id", TEXT, "id", "H(session, seq, coin, side)"),
    Column("episode_id", TEXT, "id", "table episodes"),
    TS_NS,
    Column("side", TEXT, "buy or sell", "side we would take"),
    Column("origin", TEXT, "oracle_led or quote_led", "what crossed"),
    Column("limit_px", PX, "quote per unit", "touch, rounded without becoming more aggressive"),
    Column("touch_sz", SZ, "base units", "displayed size at the touch"),
    Column("raw_edge_bps", BPS, "bps of oracle", "oracle against limit_px"),
    Column("net_edge_bps", BPS, "bps of oracle", "raw edge - 2 x taker fee - slippage"),
    Column("threshold_bps", BPS, "bps", "2 x taker fee + slippage + least edge"),
    Column("taker_fee_bps", BPS, "bps per side", "official HIP-3 formula, our account"),
    *_book_columns(),
    Column("bbo_seq", INT, "ordinal", "bbo the decision used"),
    Column("ctx_seq", INT, "ordinal", "ctx the decision used"),
    Column("is_blocked", FLAG, "flag", "any gate or control blocked"),
    Column("blocked_by", TEXT, "names, comma separated", "gates, then controls"),
)
GATES = table(
    "gates",
    "All 8 gates of every signal, one row a gate",
    ("signal_id", "gate"),
    Column("signal_id", TEXT, "id", "table signals"),
    TS_NS,
    Column("gate", TEXT, "name", "gate table"),
    Column("status", TEXT, "pass, reduce or block", "gate"),
    Column(
        "observed", pa.decimal128(38, 12), "unit of the gate", "what was compared; null is unknown", is_nullable=True
    ),
    Column("limit", pa.decimal128(38, 12), "unit of the gate", "what it was compared with", is_nullable=True),
)
FOLLOWUPS = table(
    "followups",
    "The market at fixed offsets after every signal, taken or blocked, both book sides",
    ("signal_id", "offset_ms"),
    Column("signal_id", TEXT, "id", "table signals"),
    Column("signal_ts_ns", INT, "ns UTC", "instant of the signal; decides the day"),
    TS_NS,
    Column("offset_ms", INT, "ms", "configured offset"),
    Column("side", TEXT, "buy or sell", "side of the signal"),
    Column("entry_px", PX, "quote per unit", "limit_px of the signal"),
    Column("is_missing", FLAG, "flag", "the market could not be known"),
    Column("missing_reason", TEXT, "reason", "empty when known"),
    *_book_columns(),
    day="signal_ts_ns",
)
EVENTS = table(
    "events",
    "Transitions: connections, readiness, gates, latch, phase, rotation, parameters, malformed frames",
    ("seq", "ordinal"),
    ORDINAL,
    TS_NS,
    Column("kind", TEXT, "name", "output of the engine, or malformed_frame"),
    Column("subject", TEXT, "name", "gate, control, state or channel"),
    Column("state", TEXT, "name", "what it is now"),
    Column("detail", TEXT, "text", "reason, previous state, values; <= 200 characters"),
    Column("value", FLOAT, "see kind", "duration in ms, or a count", is_nullable=True),
)
SPECS = table(
    "specs",
    "Every spec version seen: resolves spec_version",
    ("coin", "seq"),
    TS_NS,
    Column("dex", TEXT, "name", "perpDexs, exact"),
    Column("sz_decimals", INT, "count", "meta(dex).universe.szDecimals"),
    Column("leverage_max", INT, "ratio", "maxLeverage"),
    Column("margin_mode", TEXT, "cross, noCross or strictIsolated", "marginMode"),
    Column("is_growth_mode", FLAG, "flag", "growthMode"),
    Column("deployer_fee_scale", pa.decimal128(18, 6), "ratio", "deployerFeeScale, universe first"),
    Column("taker_fee_bps", BPS, "bps per side", "official HIP-3 formula"),
    Column("is_delisted", FLAG, "flag", "isDelisted"),
    Column("collateral_token", INT, "token index", "meta(dex).collateralToken"),
)
CONFIGS = table(
    "configs",
    "The effective configuration of every session: resolves config_hash",
    ("seq",),
    TS_NS,
    Column("code_version", TEXT, "version", "hip3"),
    Column("config_json", TEXT, "JSON", "canonical effective configuration without secrets"),
)
ROTATIONS = table(
    "rotations",
    "Rotation documents received, applied or refused",
    ("seq",),
    TS_NS,
    Column("version", INT, "ordinal", "document"),
    Column("sha256", TEXT, "hex", "document"),
    Column("is_accepted", FLAG, "flag", "applied whole or not at all"),
    Column("reasons", TEXT, "text", "every reason of a refusal"),
    Column("expires_ts_ns", INT, "ns UTC", "document"),
    Column("market_count", INT, "count", "allowed markets"),
    Column("markets_json", TEXT, "JSON", "coin → notional"),
)
HEALTH = table(
    "health",
    "Every market on a fixed clock: ages away from updates, counts since the last sample",
    ("coin", "seq", "ts_ns"),
    TS_NS,
    Column("is_ready", FLAG, "flag", "READY-MD"),
    Column("book_class", TEXT, "class", "valid, one_sided, empty, locked, crossed or none"),
    *_book_columns(),
    Column("bbo_count", INT, "count", "bbo frames since the last sample"),
    Column("bbo_null_count", INT, "count", "of these with a null side"),
    Column("ctx_count", INT, "count", "ctx frames since the last sample"),
    Column("is_oracle_stale", FLAG, "flag", "gate 1 would block"),
    Column("is_spread_shock", FLAG, "flag", "gate 3 would reduce or block"),
    Column("rate_use_ratio", FLOAT, "0-1", "highest use of any rate limit"),
)

TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        BBO, CTX, EPISODES, SIGNALS, GATES, FOLLOWUPS, ORDERS, FILLS, TRADES, POSITIONS, LEDGER, ROUND_TRIPS, ACTIONS,
        RECONCILIATIONS, FILL_GAPS, EVENTS, SPECS, CONFIGS, ROTATIONS, HEALTH,
    )
}  # fmt: skip
