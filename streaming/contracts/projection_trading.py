"""Rows of orders, fills, positions, money and of the proofs about our account: paper and live, side by side.

Rule 1: a maker of rows is a pure function of one output; nothing is looked up, so a row is the same whatever came
before it.
Rule 2: what a paper order can not have is null. An id that the venue has not told yet (0) is null too.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streaming.contracts.projection_events import cut
from streaming.core import effects as fx
from streaming.core.market import Side
from streaming.core.trading import effects as tx
from streaming.core.trading.model import Tif
from streaming.core.units import BPS, NS_PER_MS, ZERO, quantize_bps

_PAPER, _LIVE = "paper", "live"
_PX_QUANTUM = Decimal("1e-8")
_NS_PER_US = 1_000

TradingRow = tuple[str, int, tuple[Any, ...]]
"""(coin, instant that decides the day, columns after the common ones)."""


def _order_changed(ordinal: int, o: fx.OrderChanged) -> TradingRow:
    row = (
        ordinal, o.cloid, o.signal_id, o.ts_ns, o.decided_ts_ns, o.mode, o.side.value, Tif.IOC.value,
        o.is_reduce_only, o.limit_px, None, o.sz, o.filled_sz, o.filled_sz, None, o.status, o.reason, "", "",
        None, None, None, None, None, None,
    )  # fmt: skip
    return o.coin, o.decided_ts_ns, row


def _live_order_changed(ordinal: int, output: tx.LiveOrderChanged) -> TradingRow:
    o = output.order
    avg_px = _mean_px(o.applied_ntl / o.applied_sz) if o.applied_sz else None
    sent_us, answered_us = (_us_between(o.decided_mono_ns, at or None) for at in (o.sent_mono_ns, o.answered_mono_ns))
    row = (
        ordinal, o.cloid, o.signal_id, output.ts_ns, o.decided_ts_ns, _LIVE, o.side.value, o.tif.value,
        o.is_reduce_only, o.limit_px, o.expected_px, o.sz, o.filled_sz, o.applied_sz, avg_px, o.status.value, o.reason,
        o.code.value, cut(o.text), o.oid or None, o.action_id, o.nonce, o.expires_ts_ms,
        sent_us, answered_us,
    )  # fmt: skip
    return o.coin, o.decided_ts_ns, row


def _fill_applied(_ordinal: int, o: fx.FillApplied) -> TradingRow:
    row = (
        o.tid, None, o.cloid, "", o.ts_ns, o.ts_ns // NS_PER_MS, o.decided_ts_ns, o.mode, _PAPER, o.side.value, o.px,
        o.sz, o.fee, ZERO, None, None, None, o.is_reduce_only, "", "", False,
    )  # fmt: skip
    return o.coin, o.ts_ns, row


def _live_fill_applied(_ordinal: int, o: tx.LiveFillApplied) -> TradingRow:
    f = o.fill
    row = (
        f.tid, f.oid, f.cloid, o.signal_id, o.ts_ns, f.venue_ts_ms, o.decided_ts_ns, _LIVE, o.source, f.side.value,
        f.px, f.sz, f.fee, f.builder_fee, f.fee_token, o.slippage_bps, o.flight_ms, o.is_reduce_only, o.reason,
        cut(f.direction), f.is_liquidation,
    )  # fmt: skip
    return f.coin, o.ts_ns, row


def _position_changed(ordinal: int, o: fx.PositionChanged) -> TradingRow:
    row = (
        ordinal, o.ts_ns, o.mode, o.sz, o.entry_px, o.entry_ts_ns, o.entry_edge_bps, o.realised_pnl, o.reason,
    )  # fmt: skip
    return o.coin, o.ts_ns, row


def _live_position_changed(ordinal: int, o: tx.LivePositionChanged) -> TradingRow:
    held = o.position
    entry: tuple[Any, ...] = (ZERO, None, None, None)
    if held is not None:
        entry = (held.sz, _mean_px(held.entry_px), held.entry_ts_ns, held.baseline.entry_edge_bps)
    return o.coin, o.ts_ns, (ordinal, o.ts_ns, _LIVE, *entry, o.realised_pnl, o.reason)


def _ledger_posted(_ordinal: int, o: fx.LedgerPosted) -> TradingRow:
    return o.coin, o.ts_ns, (o.posting_id, o.ts_ns, o.mode, o.account, o.amount, o.currency, o.reason)


def _trade_closed(ordinal: int, o: tx.TradeClosed) -> TradingRow:
    row = (
        ordinal, o.signal_id, o.ts_ns, o.opened_ts_ns, o.side.value, o.sz, o.expected_px, _mean_px(o.entry_px),
        _mean_px(o.exit_px), o.entry_edge_bps, _slippage_bps(o.side, o.expected_px, o.entry_px),
        o.realised - o.fees + o.funding, o.realised, o.fees, o.funding, o.fill_count, o.held_ms, o.flat_time_ms,
        o.exit_reason,
    )  # fmt: skip
    return o.coin, o.ts_ns, row


def _action_ended(ordinal: int, o: tx.ActionEnded) -> TradingRow:
    sent_ns = o.sent_mono_ns
    row = (
        ordinal, o.ts_ns, o.decided_ts_ns, o.action_id, o.kind, o.nonce, o.order_count, o.outcome, cut(o.detail),
        _us_between(o.received_mono_ns, o.decided_mono_ns), _us_between(o.decided_mono_ns, sent_ns),
        None if sent_ns is None else _us_between(sent_ns, o.ended_mono_ns),
    )  # fmt: skip
    return "", o.decided_ts_ns, row


def _account_checked(ordinal: int, o: tx.AccountChecked) -> TradingRow:
    row = (
        ordinal, o.ts_ns, o.dex, o.venue_cash, o.expected_cash, o.difference, "; ".join(o.position_mismatches),
        o.is_judged,
    )  # fmt: skip
    return "", o.ts_ns, row


def _fill_gap_checked(ordinal: int, o: tx.FillGapChecked) -> TradingRow:
    row = (ordinal, o.ts_ns, o.since_ts_ms, o.venue_count, o.known_count, o.applied_count, o.is_proved)
    return "", o.ts_ns, row


def _us_between(from_mono_ns: int, to_mono_ns: int | None) -> int | None:
    # An order that a restart carried over may hold stamps of the boot before: such a difference says nothing.
    if to_mono_ns is None or to_mono_ns < from_mono_ns:
        return None
    return (to_mono_ns - from_mono_ns) // _NS_PER_US


def _mean_px(px: Decimal) -> Decimal:
    return px.quantize(_PX_QUANTUM)


def _slippage_bps(side: Side, expected_px: Decimal, px: Decimal) -> Decimal | None:
    # Nothing was expected of a position that no order of ours opened.
    if not expected_px:
        return None
    worse_px = px - expected_px if side is Side.BUY else expected_px - px
    return quantize_bps(worse_px * BPS / expected_px)


TRADING_ROWS: dict[type, tuple[str, Callable[[int, Any], TradingRow]]] = {
    fx.OrderChanged: ("orders", _order_changed),
    tx.LiveOrderChanged: ("orders", _live_order_changed),
    fx.FillApplied: ("fills", _fill_applied),
    tx.LiveFillApplied: ("fills", _live_fill_applied),
    fx.PositionChanged: ("positions", _position_changed),
    tx.LivePositionChanged: ("positions", _live_position_changed),
    fx.LedgerPosted: ("ledger", _ledger_posted),
    tx.TradeClosed: ("round_trips", _trade_closed),
    tx.ActionEnded: ("actions", _action_ended),
    tx.AccountChecked: ("reconciliations", _account_checked),
    tx.FillGapChecked: ("fill_gaps", _fill_gap_checked),
}
"""Output → table and maker of its one row."""
