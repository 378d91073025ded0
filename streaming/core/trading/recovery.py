"""The real account over a restart: recorded facts are folded into it, nothing is decided a second time (I-24).

Rule 1: each fact holds the whole value it is about, so a fold only puts it in its place.
Rule 2: what was under way comes back as it was recorded; `doubts.resume_doubts` then puts it in doubt.
"""

from collections.abc import Callable
from typing import Any

from streaming.core.effects import LedgerPosted
from streaming.core.ledger import currency_of
from streaming.core.state import EngineState
from streaming.core.trading.account import LiveAccount, know_money, know_tid, remember_order
from streaming.core.trading.books import MODE, dex_of
from streaming.core.trading.effects import (
    AccountChecked,
    ActionDecided,
    LiveFillApplied,
    LiveOrderChanged,
    LivePositionChanged,
    LossesChanged,
    PositionIgnored,
    RecordBegan,
)
from streaming.core.trading.losses import copy_of
from streaming.core.trading.model import LiveOrder, OrderTicket
from streaming.core.trading.nonce import NonceState, raise_floor
from streaming.core.units import ZERO


def carried_account(live: LiveAccount) -> LiveAccount:
    """Return what the next session starts from; it shares nothing mutable with `live`.

    Entries that waited for their batch are not in it: nothing of them was recorded, and nothing has left.
    """
    return LiveAccount(
        orders={cloid: order for cloid, order in live.orders.items() if order.action_id},
        recent_orders=dict(live.recent_orders),
        positions=dict(live.positions),
        nonce=NonceState(last=live.nonce.last),
        losses=copy_of(live.losses),
        cash=dict(live.cash),
        turnover=dict(live.turnover),
        cash_from_ts_ms=dict(live.cash_from_ts_ms),
        money_keys=dict(live.money_keys),
        tids=dict(live.tids),
        fills_from_ts_ms=live.fills_from_ts_ms,
        last_fill_ts_ms=live.last_fill_ts_ms,
        ignored_coins=list(live.ignored_coins),
    )


def fold_live_ledger(state: EngineState, output: LedgerPosted) -> None:
    """Move our account of the venue's cash as the posting did."""
    if output.mode == MODE and output.account in {"funding", "transfers"}:
        know_money(state.live, output.posting_id, output.ts_ns)
    if output.mode != MODE or output.account not in {"cash", "position"}:
        return
    dex = dex_of(output.coin)
    market = state.markets.get(output.coin)
    collateral = "USDC" if market is None else currency_of(market.spec.collateral_token)
    if dex in state.live.cash and output.currency == collateral:
        state.live.cash[dex] += output.amount


def _fold_order(state: EngineState, output: LiveOrderChanged) -> None:
    order = output.order
    raise_floor(state.live.nonce, order.nonce)
    if order.is_settled:
        state.live.orders.pop(order.cloid, None)
        remember_order(state.live, order)
    else:
        state.live.orders[order.cloid] = order


def _fold_action(state: EngineState, output: ActionDecided) -> None:
    raise_floor(state.live.nonce, output.nonce)
    for ticket in output.orders:
        if ticket.cloid not in state.live.orders:  # its explanation follows, unless the process died in between
            state.live.orders[ticket.cloid] = _order_of(state, output, ticket)


def _order_of(state: EngineState, action: ActionDecided, ticket: OrderTicket) -> LiveOrder:
    market = state.markets.get(ticket.coin)
    return LiveOrder(
        coin=ticket.coin,
        cloid=ticket.cloid,
        signal_id="",
        action_id=action.action_id,
        nonce=action.nonce,
        side=ticket.side,
        is_reduce_only=ticket.is_reduce_only,
        tif=ticket.tif,
        limit_px=ticket.limit_px,
        sz=ticket.sz,
        expected_px=ticket.limit_px,
        edge_bps=None,
        reason="exit" if ticket.is_reduce_only else "entry",
        spec_version="" if market is None else market.spec.spec_version,
        decided_ts_ns=action.ts_ns,
        decided_mono_ns=action.mono_ns,
        received_mono_ns=action.mono_ns,
        expires_ts_ms=action.expires_ts_ms,
    )


def _fold_fill(state: EngineState, output: LiveFillApplied) -> None:
    fill = output.fill
    know_tid(state.live, fill.tid, fill.venue_ts_ms)
    dex = dex_of(fill.coin)
    if dex in state.live.turnover:
        state.live.turnover[dex] += fill.px * fill.sz


def _fold_position(state: EngineState, output: LivePositionChanged) -> None:
    if output.position is None:
        state.live.positions.pop(output.coin, None)
    else:
        state.live.positions[output.coin] = output.position


def _fold_losses(state: EngineState, output: LossesChanged) -> None:
    state.live.losses = copy_of(output.losses)


def _fold_record(state: EngineState, output: RecordBegan) -> None:
    state.live.fills_from_ts_ms = output.fills_from_ts_ms


def _fold_ignored(state: EngineState, output: PositionIgnored) -> None:
    state.live.ignored_coins.append(output.coin)


def _fold_check(state: EngineState, output: AccountChecked) -> None:
    live = state.live
    if output.expected_cash is None:
        live.cash.pop(output.dex, None)
        live.cash_from_ts_ms.pop(output.dex, None)
        return
    if live.cash_from_ts_ms.get(output.dex) != output.cash_from_ts_ms:  # a new starting point
        live.cash_from_ts_ms[output.dex] = output.cash_from_ts_ms
        live.turnover[output.dex] = ZERO
    live.cash[output.dex] = output.expected_cash


LIVE_FOLDS: dict[type, Callable[[EngineState, Any], None]] = {
    LiveOrderChanged: _fold_order,
    ActionDecided: _fold_action,
    LiveFillApplied: _fold_fill,
    LivePositionChanged: _fold_position,
    LossesChanged: _fold_losses,
    RecordBegan: _fold_record,
    AccountChecked: _fold_check,
    PositionIgnored: _fold_ignored,
}
"""Fact → what it does to the carried account."""
