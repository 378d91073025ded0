"""Log lines of real trading: what an operator wants to be woken for, and how each round trip ended.

Rule 1: an order is a row of `orders`, not a line, unless it is in doubt or refused.
Rule 2: what is told again with more evidence, or read again with the same result, is one line.
Rule 3: warning heals itself; error is for a human: our account is not the venue's, a fill may be missing, the venue or
somebody else traded for us.
"""

from collections.abc import Callable, Collection
from typing import Any

from streaming.core.trading.effects import (
    AccountChecked,
    ActionEnded,
    FillGapChecked,
    LadderChanged,
    LiveFillApplied,
    LiveOrderChanged,
    MarketStopChanged,
    TradeClosed,
    TradingReadyChanged,
)
from streaming.core.trading.model import LiveOrder, OrderStatus
from streaming.core.trading.refusal import BENIGN
from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.proofs import is_account_wrong

_log = get_logger(component="trading")
_LADDER_STOPPED = 4
_UNORDERED = frozenset({"settlement", "liquidation", "foreign"})
"""Reasons of fills that no order of ours caused."""


class TradingNarrator:
    """Logs transitions of real trading; knows which doubts, stops and mismatches were told."""

    def __init__(self, waiting: Collection[str]) -> None:
        """Keep quiet about the stops of markets that wait for data: `waiting` says which."""
        self._waiting = waiting
        self._in_doubt: set[str] = set()
        self._stopped: set[str] = set()
        self._mismatches: dict[str, AccountChecked] = {}
        self.lines: dict[type, Callable[[Any], None]] = {
            LiveOrderChanged: self._order,
            MarketStopChanged: self._market_stop,
            AccountChecked: self._account,
            LiveFillApplied: _fill,
            TradeClosed: _closed,
            ActionEnded: _action,
            FillGapChecked: _gap,
            TradingReadyChanged: _ready,
            LadderChanged: _ladder,
        }

    def _order(self, output: LiveOrderChanged) -> None:
        order = output.order
        if order.status is OrderStatus.IN_DOUBT:
            if order.cloid not in self._in_doubt:
                self._in_doubt.add(order.cloid)
                _log.warning("order_in_doubt", **_named(order), detail=order.text)
            return
        if order.cloid in self._in_doubt:
            self._in_doubt.discard(order.cloid)
            _log.info("order_doubt_resolved", **_named(order), status=order.status, filled_sz=order.filled_sz)
        if order.status is OrderStatus.REJECTED:
            log = _log.info if order.code in BENIGN else _log.warning
            log("order_rejected", **_named(order), code=order.code, text=order.text)

    def _market_stop(self, output: MarketStopChanged) -> None:
        coin = output.coin
        if output.state == "trading":
            is_news = coin in self._stopped
            self._stopped.discard(coin)
            name, log = "market_resumed", _log.info
        else:
            is_held = output.state == "shrinking"
            is_news = is_held or coin in self._stopped or coin not in self._waiting
            if is_news:
                self._stopped.add(coin)
            name, log = ("market_shrinking", _log.warning) if is_held else ("market_stopped", _log.info)
        if not is_news:
            log = _log.debug
        log(name, coin=coin, gate=output.gate, reason=output.reason)

    def _account(self, output: AccountChecked) -> None:
        if not output.is_judged:
            return
        told = self._mismatches.get(output.dex)
        if not is_account_wrong(output):
            if self._mismatches.pop(output.dex, None) is not None:
                _log.info("account_agreed", dex=output.dex, venue_cash=output.venue_cash)
            return
        if told is not None and _finding(told) == _finding(output):
            return
        self._mismatches[output.dex] = output
        _log.error(
            "account_mismatch",
            dex=output.dex,
            venue_cash=output.venue_cash,
            expected_cash=output.expected_cash,
            difference=output.difference,
            positions=output.position_mismatches,
        )


def _named(order: LiveOrder) -> dict[str, object]:
    return {
        "coin": order.coin,
        "cloid": order.cloid,
        "side": order.side,
        "sz": order.sz,
        "limit_px": order.limit_px,
        "is_reduce_only": order.is_reduce_only,
        "reason": order.reason,
        "action_id": order.action_id,
        "nonce": order.nonce,
    }


def _finding(output: AccountChecked) -> tuple[object, ...]:
    return output.difference, output.position_mismatches


def _fill(output: LiveFillApplied) -> None:
    if output.reason not in _UNORDERED:
        return
    fill = output.fill
    log = _log.warning if output.reason == "settlement" else _log.error
    log(
        "foreign_fill_applied",
        reason=output.reason,
        coin=fill.coin,
        side=fill.side,
        px=fill.px,
        sz=fill.sz,
        tid=fill.tid,
        oid=fill.oid,
        direction=fill.direction,
    )


def _closed(output: TradeClosed) -> None:
    _log.info(
        "trade_closed",
        coin=output.coin,
        signal_id=output.signal_id,
        side=output.side,
        sz=output.sz,
        pnl=output.realised - output.fees + output.funding,
        exit_reason=output.exit_reason,
        held_ms=output.held_ms,
        flat_time_ms=output.flat_time_ms,
    )


def _action(output: ActionEnded) -> None:
    # An unknown outcome is told by its orders, an answer by theirs.
    if output.outcome in {"refused", "not_sent"}:
        _log.warning(
            "action_refused" if output.outcome == "refused" else "action_not_sent",
            action_id=output.action_id,
            kind=output.kind,
            order_count=output.order_count,
            detail=output.detail,
        )


def _gap(output: FillGapChecked) -> None:
    counts = {
        "since_ts_ms": output.since_ts_ms,
        "venue_count": output.venue_count,
        "known_count": output.known_count,
        "applied_count": output.applied_count,
    }
    if not output.is_proved:
        _log.error("fill_gap_unproved", **counts)
    elif output.applied_count:
        _log.warning("fill_gap_filled", **counts)


def _ready(output: TradingReadyChanged) -> None:
    log = _log.info if output.is_ready else _log.warning
    log("trading_ready_changed", is_ready=output.is_ready, reason=output.reason)


def _ladder(output: LadderChanged) -> None:
    log = _log.error if output.step >= _LADDER_STOPPED else _log.warning if output.step else _log.info
    log("ladder_changed", step=output.step, reason=output.reason)
