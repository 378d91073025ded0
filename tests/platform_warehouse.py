"""Small warehouses for the platform's tests: sealed parts through the sidecar's own writer, rows by hand."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from hip3_platform.analytics.rotating.allocation import Allotment
from hip3_platform.analytics.rotating.document import Identity, build_document
from hip3_platform.analytics.rotating.settings import HotSettings
from hip3_platform.analytics.rotating.standing import Candidate, Standing
from hip3_platform.resources.clock import Clock
from streaming.contracts.manifest import ManifestLine
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.rotation import RotationDoc
from streaming.contracts.tables import SESSION_COLUMNS, TABLES
from streaming.core.effects import GateId
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.tables.seal import PartWriter

DAY_1, DAY_2, DAY_3 = "2026-11-20", "2026-11-21", "2026-11-22"
VENUE = "sim"
CONFIG_HASH = "c0ffee"


class FixedClock(Clock):
    """A clock that stands."""

    def __init__(self, ts_ns: int) -> None:
        self.ts_ns = ts_ns

    def now_ts_ns(self) -> int:
        return self.ts_ns


def a_row(table: str, **values: object) -> tuple[object, ...]:
    """Return one row for `PartWriter.seal`; columns that are not named get a legal value of their type."""
    spec = TABLES[table]
    unknown = set(values) - set(spec.names)
    assert not unknown, f"{table} has no {unknown}"
    row: list[object] = []
    for column in spec.columns:
        if column.name in SESSION_COLUMNS:
            continue
        if column.name in values:
            row.append(values[column.name])
        elif column.is_nullable:
            row.append(None)
        else:
            defaults = {"string": "", "int64": 0, "double": 0.0, "bool": False}
            row.append(defaults.get(str(column.type), Decimal(1)))
    return tuple(row)


def asset_id_of(coin: str) -> int:
    """Return an asset id of a coin's own, the same in every test; -1 without a coin."""
    return 110_000 + zlib.crc32(coin.encode()) % 10_000 if coin else -1


@dataclass
class MarketDay:
    """One market of a day. `exit_bps` (cycled over signals) is the bid at +5 s against the entry, before fees."""

    coin: str
    signal_count: int = 40
    exit_bps: tuple[float, ...] = (6.0, 8.0, 10.0)
    blocked_by: tuple[str, ...] = ("",)
    missing_every: int = 0
    sides: tuple[str, ...] = ("buy",)
    edges_bps: tuple[str, ...] = ("20",)
    """Cycled over signals, as `sides` is."""
    ctx_age_ms: int = 400
    """At every decision."""
    bbo_count: int = 300
    null_every: int = 50
    rows: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)

    def add(self, table: str, **values: object) -> None:
        """Add one row of this market."""
        common = {"coin": self.coin, "asset_id": asset_id_of(self.coin), "spec_version": "s1"}
        self.rows.setdefault(table, []).append(a_row(table, **{**common, **values}))


def _book(mid: Decimal) -> dict[str, Any]:
    return {
        "bid_px": mid - Decimal("0.02"), "bid_sz": Decimal(5), "ask_px": mid + Decimal("0.02"), "ask_sz": Decimal(5),
        "oracle_px": mid, "mark_px": mid, "spread_bps": Decimal(4), "bbo_age_ms": 700, "confirmation_age_ms": 300,
        "ctx_age_ms": 400, "oracle_age_ms": 2_000,
    }  # fmt: skip


def _add_feed(market: MarketDay, begin_ns: int, seqs: Iterator[int]) -> None:
    market.add("specs", seq=next(seqs), ts_ns=begin_ns, taker_fee_bps=Decimal("0.9"), is_delisted=False)
    for i in range(market.bbo_count):
        ts, seq = begin_ns + i * NS_PER_S, next(seqs)
        is_null = market.null_every and i % market.null_every == 0
        market.add(
            "bbo", seq=seq, recv_ts_ns=ts, recv_mono_ns=1_000 + i * NS_PER_S, venue_ts_ms=ts // NS_PER_MS, generation=1,
            bid_px=None if is_null else Decimal("99.98"), bid_sz=None if is_null else Decimal(5),
            ask_px=Decimal("100.02"), ask_sz=Decimal(5),
        )  # fmt: skip
        market.add(
            "ctx", seq=next(seqs), recv_ts_ns=ts + 1, recv_mono_ns=1_001 + i * NS_PER_S, generation=1,
            oracle_px=Decimal(100), mark_px=Decimal(100), mid_px=Decimal(100),
        )  # fmt: skip
        market.add(
            "health", seq=next(seqs), ts_ns=ts + 500 * NS_PER_MS, is_ready=True, book_class="valid",
            bbo_count=1, ctx_count=1, rate_use_ratio=0.1, **_book(Decimal(100)),
        )  # fmt: skip


def _add_signal(market: MarketDay, i: int, begin_ns: int, seq: int) -> None:
    ts = begin_ns + i * 12 * NS_PER_S + 250 * NS_PER_MS
    signal_id, episode_id = f"{market.coin}-{seq}", f"{market.coin}:buy:{seq}"
    reason = market.blocked_by[i % len(market.blocked_by)]
    limit_px = Decimal("99.8")
    side, edge_bps = market.sides[i % len(market.sides)], Decimal(market.edges_bps[i % len(market.edges_bps)])
    both = {"seq": seq, "signal_id": signal_id}
    market.add(
        "episodes", seq=seq, episode_id=episode_id, begin_ts_ns=ts, end_ts_ns=ts + 900 * NS_PER_MS, side=side,
        origin="oracle_led", duration_ms=900, tick_count=3, entry_edge_bps=edge_bps, peak_edge_bps=edge_bps + 2,
        threshold_bps=Decimal("4.8"), ended_by="quote_moved",
    )  # fmt: skip
    market.add(
        "signals", **both, episode_id=episode_id, ts_ns=ts, side=side, origin="oracle_led", limit_px=limit_px,
        touch_sz=Decimal(5), raw_edge_bps=edge_bps, net_edge_bps=edge_bps - Decimal("2.8"),
        threshold_bps=Decimal("4.8"), taker_fee_bps=Decimal("0.9"), is_blocked=bool(reason), blocked_by=reason,
        **{**_book(Decimal(100)), "ctx_age_ms": market.ctx_age_ms},
    )  # fmt: skip
    for gate in GateId:
        status = "block" if gate.value in reason.split(",") else "pass"
        market.add("gates", **both, ts_ns=ts, gate=gate.value, status=status, observed=Decimal(1), limit=Decimal(2))
    for offset_ms in (1_000, 3_000, 5_000):
        move = Decimal(str(market.exit_bps[i % len(market.exit_bps)]))
        bid_px = (limit_px * (1 + move / 10_000)).quantize(Decimal("1e-8"))
        is_missing = bool(market.missing_every) and i % market.missing_every == 0
        seen = {} if is_missing else {**_book(Decimal(100)), "bid_px": bid_px}
        market.add(
            "followups", **both, signal_ts_ns=ts, ts_ns=ts + offset_ms * NS_PER_MS, offset_ms=offset_ms, side=side,
            entry_px=limit_px, is_missing=is_missing, missing_reason="connection_lost" if is_missing else "", **seen,
        )  # fmt: skip


def write_day(
    root: Path, day: str, markets: list[MarketDay], *, session_id: str = "s1", first_seq: int = 1, part_count: int = 2
) -> list[ManifestLine]:
    """Seal one session's rows of a day in `part_count` parts a table and announce them."""
    seqs = iter(range(first_seq, first_seq + 10_000_000))
    begin_ns = day_begin_ns(day) + 3_600 * NS_PER_S
    for market in markets:
        _add_feed(market, begin_ns, seqs)
        for i in range(market.signal_count):
            _add_signal(market, i, begin_ns, next(seqs))
    writer = PartWriter(root, venue=VENUE, session_id=session_id, config_hash=CONFIG_HASH)
    lines = []
    for table in TABLES:
        rows = [row for market in markets for row in market.rows.get(table, ())]
        for part in range(part_count):
            chosen = rows[part::part_count]
            if chosen:
                lines.append(writer.seal(table, day, chosen))
    writer.announce(lines)
    return lines


def a_rotation(day: str, coin: str = "xyz:A", account: str = "paper") -> RotationDoc:
    """Return the document of a day that lets one market trade."""
    standing = Standing(coin, "added", "a place was free", confirmed_days=3, member_since=day)
    return build_document(
        Identity(VENUE, account, day, "0", CONFIG_HASH, 72),
        standings=[standing],
        candidates=[Candidate(coin, 3.0, 1.0, 2.0, True, "approved")],
        allotments={coin: Allotment(coin, Decimal(100), "cap")},
        settings={coin: HotSettings(None, False, None, "")},
        score_bps={coin: 2.0},
        blacklist={},
        previous=None,
    )
