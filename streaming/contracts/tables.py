"""The one schema module: every table the sidecar writes and the platform reads, with unit and source of each column.

Rule 1: a table is a value. A change of columns is a new version; the golden text of every published version is a test.
Rule 2: px, sz and fees are decimal128(18, 8), money and bps decimal128(18, 6), times int64 ns UTC, statistics float64.
Rule 3: every row carries venue, coin, asset_id, spec_version, config_hash, session_id and seq. Rows that belong to no
market carry coin = "" and asset_id = -1.
Rule 4: the day of a row is the UTC day of its `day_column`, never the day it was flushed (I-29).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

PX = pa.decimal128(18, 8)
SZ = pa.decimal128(18, 8)
USD = pa.decimal128(18, 6)
BPS = pa.decimal128(18, 6)
INT = pa.int64()
FLOAT = pa.float64()
TEXT = pa.string()
FLAG = pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type, unit, and where its value comes from."""

    name: str
    type: pa.DataType
    unit: str
    source: str
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the warehouse as a value."""

    name: str
    version: int
    purpose: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    sort_key: tuple[str, ...]
    day_column: str

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with unit and source in field metadata, table name and version in schema metadata."""
        fields = [
            pa.field(c.name, c.type, nullable=c.is_nullable, metadata={"unit": c.unit, "source": c.source})
            for c in self.columns
        ]
        return pa.schema(fields, metadata={"hip3_table": self.name, "hip3_version": str(self.version)})

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(c.name for c in self.columns)

    def golden_text(self) -> str:
        """Canonical text of this version; the golden test compares it byte for byte."""
        lines = [f"table {self.name} v{self.version}", f"# {self.purpose}"]
        for c in self.columns:
            null = "null" if c.is_nullable else "not null"
            lines.append(f"{c.name}: {c.type} {null} | {c.unit} | {c.source}")
        lines.append(f"primary key: {', '.join(self.primary_key)}")
        lines.append(f"sort key: {', '.join(self.sort_key)}")
        lines.append(f"day: {self.day_column}")
        return "\n".join(lines) + "\n"


SESSION_COLUMNS = ("venue", "config_hash", "session_id")
"""Columns that are constant in a session; writers add them when they seal a part."""

_COMMON = (
    Column("venue", TEXT, "name", "configuration: sim, testnet, mainnet or replay"),
    Column("config_hash", TEXT, "sha256 hex", "canonical effective configuration"),
    Column("session_id", TEXT, "id", "one run of the sidecar or of a history writer"),
    Column("seq", INT, "ordinal", "journal sequence of the input that caused the row"),
    Column("coin", TEXT, "name", "venue's full market name, xyz:NVDA; empty for rows of no market"),
    Column("asset_id", INT, "id", "100000 + dex index x 10000 + index in meta(dex); -1 for rows of no market"),
    Column("spec_version", TEXT, "hash", "content hash of the market's spec; resolves in table specs"),
)

_TS = Column("ts_ns", INT, "ns UTC", "our wall clock at the decision")
_ORDINAL = Column("ordinal", INT, "ordinal", "place among the outputs of this seq; -1 is the input itself")


def _table(
    name: str, purpose: str, key: tuple[str, ...], *columns: Column, day: str = "ts_ns", version: int = 1
) -> Table:
    return Table(name, version, purpose, _COMMON + columns, ("venue", "session_id", *key), ("coin", day, "seq"), day)


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


BBO = _table(
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
CTX = _table(
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
TRADES = _table(
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
EPISODES = _table(
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
SIGNALS = _table(
    "signals",
    "Decisions worth taking: one per episode, with the state they were taken on",
    ("signal_id",),
    Column("signal_id", TEXT, "id", "H(session, seq, coin, side)"),
    Column("episode_id", TEXT, "id", "table episodes"),
    _TS,
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
GATES = _table(
    "gates",
    "All 8 gates of every signal, one row a gate",
    ("signal_id", "gate"),
    Column("signal_id", TEXT, "id", "table signals"),
    _TS,
    Column("gate", TEXT, "name", "gate table"),
    Column("status", TEXT, "pass, reduce or block", "gate"),
    Column(
        "observed", pa.decimal128(38, 12), "unit of the gate", "what was compared; null is unknown", is_nullable=True
    ),
    Column("limit", pa.decimal128(38, 12), "unit of the gate", "what it was compared with", is_nullable=True),
)
FOLLOWUPS = _table(
    "followups",
    "The market at fixed offsets after every signal, taken or blocked, both book sides",
    ("signal_id", "offset_ms"),
    Column("signal_id", TEXT, "id", "table signals"),
    Column("signal_ts_ns", INT, "ns UTC", "instant of the signal; decides the day"),
    _TS,
    Column("offset_ms", INT, "ms", "configured offset"),
    Column("side", TEXT, "buy or sell", "side of the signal"),
    Column("entry_px", PX, "quote per unit", "limit_px of the signal"),
    Column("is_missing", FLAG, "flag", "the market could not be known"),
    Column("missing_reason", TEXT, "reason", "empty when known"),
    *_book_columns(),
    day="signal_ts_ns",
)
ORDERS = _table(
    "orders",
    "Our orders, one row a state",
    ("cloid", "status"),
    Column("cloid", TEXT, "128 bit hex", "H(session, signal, leg)"),
    Column("signal_id", TEXT, "id", "table signals; the entry's signal for exits"),
    _TS,
    Column("decided_ts_ns", INT, "ns UTC", "instant of the intent"),
    Column("mode", TEXT, "paper or live", "who filled it"),
    Column("side", TEXT, "buy or sell", "ours"),
    Column("is_reduce_only", FLAG, "flag", "exits"),
    Column("limit_px", PX, "quote per unit", "never worse than this"),
    Column("sz", SZ, "base units", "asked"),
    Column("filled_sz", SZ, "base units", "filled so far"),
    Column("status", TEXT, "state", "intent, filled, partly_filled, unfilled or aborted"),
    Column("reason", TEXT, "reason", "why this state"),
    day="decided_ts_ns",
)
FILLS = _table(
    "fills",
    "Fills of our orders",
    ("tid",),
    Column("tid", INT, "id", "venue's trade id; a counter in paper mode"),
    Column("cloid", TEXT, "128 bit hex", "table orders"),
    _TS,
    Column("decided_ts_ns", INT, "ns UTC", "instant of the intent"),
    Column("mode", TEXT, "paper or live", "who filled it"),
    Column("side", TEXT, "buy or sell", "ours"),
    Column("px", PX, "quote per unit", "fill price"),
    Column("sz", SZ, "base units", "filled"),
    Column("fee", PX, "quote units", "> 0 is paid"),
    Column("is_reduce_only", FLAG, "flag", "exits"),
)
POSITIONS = _table(
    "positions",
    "Positions after every change",
    ("seq", "ordinal"),
    _ORDINAL,
    _TS,
    Column("mode", TEXT, "paper or live", "whose position"),
    Column("sz", SZ, "base units, signed", "fold of fills"),
    Column("entry_px", PX, "quote per unit", "mean entry; null when flat", is_nullable=True),
    Column("entry_ts_ns", INT, "ns UTC", "first fill, set once", is_nullable=True),
    Column("entry_edge_bps", BPS, "bps", "raw edge of the entry's signal", is_nullable=True),
    Column("realised_pnl", USD, "quote units", "of this change, fees apart"),
    Column("reason", TEXT, "reason", "entry, exit reason"),
)
LEDGER = _table(
    "ledger",
    "Double entry of every fill and fee: the legs of a posting sum to zero",
    ("posting_id", "account"),
    Column("posting_id", TEXT, "id", "cause of the posting"),
    _TS,
    Column("mode", TEXT, "paper or live", "whose money"),
    Column("account", TEXT, "name", "cash, position, fees or realised_pnl"),
    Column("amount", PX, "currency units", "signed"),
    Column("currency", TEXT, "token", "collateral of the dex"),
    Column("reason", TEXT, "reason", "fill, fee"),
)
EVENTS = _table(
    "events",
    "Transitions: connections, readiness, gates, latch, phase, rotation, parameters, malformed frames",
    ("seq", "ordinal"),
    _ORDINAL,
    _TS,
    Column("kind", TEXT, "name", "output of the engine, or malformed_frame"),
    Column("subject", TEXT, "name", "gate, control, state or channel"),
    Column("state", TEXT, "name", "what it is now"),
    Column("detail", TEXT, "text", "reason, previous state, values; <= 200 characters"),
    Column("value", FLOAT, "see kind", "duration in ms, or a count", is_nullable=True),
)
SPECS = _table(
    "specs",
    "Every spec version seen: resolves spec_version",
    ("coin", "seq"),
    _TS,
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
CONFIGS = _table(
    "configs",
    "The effective configuration of every session: resolves config_hash",
    ("seq",),
    _TS,
    Column("code_version", TEXT, "version", "hip3"),
    Column("config_json", TEXT, "JSON", "canonical effective configuration without secrets"),
)
ROTATIONS = _table(
    "rotations",
    "Rotation documents received, applied or refused",
    ("seq",),
    _TS,
    Column("version", INT, "ordinal", "document"),
    Column("sha256", TEXT, "hex", "document"),
    Column("is_accepted", FLAG, "flag", "applied whole or not at all"),
    Column("reasons", TEXT, "text", "every reason of a refusal"),
    Column("expires_ts_ns", INT, "ns UTC", "document"),
    Column("market_count", INT, "count", "allowed markets"),
    Column("markets_json", TEXT, "JSON", "coin → notional"),
)
HEALTH = _table(
    "health",
    "Every market on a fixed clock: ages away from updates, counts since the last sample",
    ("coin", "seq", "ts_ns"),
    _TS,
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
        BBO, CTX, EPISODES, SIGNALS, GATES, FOLLOWUPS, ORDERS, FILLS, TRADES, POSITIONS, LEDGER, EVENTS, SPECS,
        CONFIGS, ROTATIONS, HEALTH,
    )
}  # fmt: skip
