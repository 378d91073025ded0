"""Builders of what the engine says about real trading; every default is a small entry that went well."""

from decimal import Decimal
from typing import Any

import msgspec
from core_builders import COIN, NS_PER_MS, START_MONO_NS, START_TS_NS

from streaming.core.market import Side
from streaming.core.trading import effects as tx
from streaming.core.trading.exit_rules import ExitBaseline
from streaming.core.trading.model import LiveOrder, LivePosition, OrderStatus, OrderTicket, Tif, VenueFill

D = Decimal
NOW = {"ts_ns": START_TS_NS, "mono_ns": START_MONO_NS}
CLOID = "0x" + "a1" * 16
SLIPPAGE_BPS = D("1.5")


def an_order(status: OrderStatus = OrderStatus.INTENT, **changes: Any) -> LiveOrder:  # noqa: ANN401 - any field
    order = LiveOrder(
        coin=COIN, cloid=CLOID, signal_id="s1", action_id=4, nonce=1_790_000_000_000, side=Side.BUY,
        is_reduce_only=False, tif=Tif.IOC, limit_px=D("100.02"), sz=D("0.3"), expected_px=D("100.02"), edge_bps=D(18),
        reason="entry", spec_version="v1", decided_ts_ns=START_TS_NS, decided_mono_ns=START_MONO_NS,
        received_mono_ns=START_MONO_NS - 80_000, expires_ts_ms=1_790_000_003_000, status=status,
    )  # fmt: skip
    return msgspec.structs.replace(order, **changes)


def order_changed(status: OrderStatus = OrderStatus.INTENT, **changes: Any) -> tx.LiveOrderChanged:  # noqa: ANN401
    return tx.LiveOrderChanged(**NOW, order=an_order(status, **changes))


def a_fill(**changes: Any) -> VenueFill:  # noqa: ANN401 - any field
    fill = VenueFill(
        coin=COIN, side=Side.BUY, px=D("100.03"), sz=D("0.3"), venue_ts_ms=1_790_000_000_412, oid=77, tid=1_045_359,
        cloid=CLOID, fee=D("0.009"), start_position_sz=D(0), direction="Open Long",
    )  # fmt: skip
    return msgspec.structs.replace(fill, **changes)


def fill_applied(
    *,
    source: str = "stream",
    reason: str = "entry",
    slippage_bps: Decimal | None = SLIPPAGE_BPS,
    flight_ms: int | None = 412,
    **changes: Any,  # noqa: ANN401 - any field of the fill
) -> tx.LiveFillApplied:
    return tx.LiveFillApplied(
        **NOW, fill=a_fill(**changes), source=source, signal_id="s1", reason=reason, is_reduce_only=reason != "entry",
        decided_ts_ns=START_TS_NS, slippage_bps=slippage_bps, flight_ms=flight_ms,
    )  # fmt: skip


def a_position(**changes: Any) -> LivePosition:  # noqa: ANN401 - any field
    baseline = ExitBaseline(
        side=Side.BUY, entry_px=D("100.03"), entry_mono_ns=START_MONO_NS, entry_oracle_px=D("100.20"),
        entry_mark_px=D("100.1"), entry_edge_bps=D(18),
    )  # fmt: skip
    position = LivePosition(
        coin=COIN, sz=D("0.3"), signal_id="s1", baseline=baseline, entry_ts_ns=START_TS_NS, expected_px=D("100.02"),
        entry_px=D("100.03"), cost_ntl=D("30.009"), opened_sz=D("0.3"),
    )  # fmt: skip
    return msgspec.structs.replace(position, **changes)


def position_changed(
    position: LivePosition | None, realised_pnl: str = "0", reason: str = "entry", coin: str = COIN
) -> tx.LivePositionChanged:
    return tx.LivePositionChanged(**NOW, coin=coin, position=position, realised_pnl=D(realised_pnl), reason=reason)


def trade_closed(**changes: Any) -> tx.TradeClosed:  # noqa: ANN401 - any field
    closed = tx.TradeClosed(
        **NOW, coin=COIN, signal_id="s1", side=Side.BUY, opened_ts_ns=START_TS_NS - 2_500 * NS_PER_MS, held_ms=2_500,
        sz=D("0.3"), expected_px=D(100), entry_px=D("100.01"), exit_px=D("100.11"), entry_edge_bps=D(18),
        realised=D("0.03"), fees=D("0.018"), funding=D("-0.001"), exit_reason="quick_profit", fill_count=2,
        flat_time_ms=412,
    )  # fmt: skip
    return msgspec.structs.replace(closed, **changes)


def action_decided(action_id: int = 4, kind: str = "order") -> tx.ActionDecided:
    ticket = OrderTicket(
        coin=COIN, asset_id=110_002, cloid=CLOID, side=Side.BUY, limit_px=D("100.02"), sz=D("0.3"),
        is_reduce_only=False, tif=Tif.IOC,
    )  # fmt: skip
    return tx.ActionDecided(
        **NOW, action_id=action_id, kind=kind, orders=(ticket,), cancels=(), schedule_ts_ms=None,
        nonce=1_790_000_000_000, expires_ts_ms=1_790_000_003_000, may_add_risk=True,
    )  # fmt: skip


def action_ended(outcome: str = "answered", *, is_sent: bool = True, **changes: Any) -> tx.ActionEnded:  # noqa: ANN401
    ended = tx.ActionEnded(
        **NOW, action_id=4, kind="order", nonce=1_790_000_000_000, order_count=1, outcome=outcome, detail="",
        received_mono_ns=START_MONO_NS - 80_000, decided_mono_ns=START_MONO_NS,
        sent_mono_ns=START_MONO_NS + 150_000 if is_sent else None, ended_mono_ns=START_MONO_NS + 400 * NS_PER_MS,
        decided_ts_ns=START_TS_NS,
    )  # fmt: skip
    return msgspec.structs.replace(ended, **changes)


def account_checked(difference: str = "0", *mismatches: str, is_judged: bool = True) -> tx.AccountChecked:
    return tx.AccountChecked(
        **NOW, dex="xyz", venue_cash=D(100) + D(difference), expected_cash=D(100), difference=D(difference),
        position_mismatches=mismatches, is_judged=is_judged,
    )  # fmt: skip


def fill_gap_checked(
    *, is_proved: bool, venue_count: int = 3, known_count: int = 1, applied_count: int = 2
) -> tx.FillGapChecked:
    return tx.FillGapChecked(
        **NOW, since_ts_ms=1_790_000_000_000, venue_count=venue_count, known_count=known_count,
        applied_count=applied_count, is_proved=is_proved,
    )  # fmt: skip
