"""Moves the metrics of orders, fills, positions and of the proofs about the account, paper and live.

Rule 1: a real order is told again with every piece of evidence; it counts once for each status it reaches.
Rule 2: label values that come as text from the engine pass through a closed set here; a new word becomes `other`.
Rule 3: money becomes float here and nowhere before: a metric is a statistic, the ledger is the truth.
"""

from collections.abc import Callable, Collection
from typing import Any

from streaming.core.effects import FillApplied, GateId, LedgerPosted, OrderChanged, PositionChanged
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.effects import (
    AccountChecked,
    ActionDecided,
    ActionEnded,
    FillGapChecked,
    LadderChanged,
    LiveFillApplied,
    LiveOrderChanged,
    LivePositionChanged,
    LossesChanged,
    MarketStopChanged,
    TradeClosed,
    TradingReadyChanged,
)
from streaming.core.trading.exit_rules import EXIT_REASONS
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import LiveOrder, LivePosition, OrderStatus
from streaming.core.units import NS_PER_MS
from streaming.shell.telemetry.metrics import Metrics
from streaming.shell.telemetry.proofs import is_account_wrong

OTHER = "other"
ANSWERED = ("answered", "refused")
"""Outcomes of an action that the venue itself told."""
EXIT_LABELS = frozenset(
    {*EXIT_REASONS, *(f"gate_{gate}" for gate in GateId), "flatten", "foreign", "liquidation", "settlement", "watchdog"}
)
"""An operator's own words for closing everything are `other`."""
_LIVE = "live"
_STOP_STATES = frozenset({"trading", "shrinking", "stopped"})
_GATES = frozenset(GateId)


def coin_label(coin: str, coins: Collection[str]) -> str:
    """Return the label of a market: its name if the validated registry has it, else `other` (F-108)."""
    return coin if coin in coins else OTHER


def leg_of(*, is_reduce_only: bool) -> str:
    """Name the half of a round trip that an order belongs to."""
    return "exit" if is_reduce_only else "entry"


class TradingMeter:
    """Folds outputs about orders and the account into metrics."""

    def __init__(self, metrics: Metrics, coins: Collection[str]) -> None:
        """Know the label values `coins`, from the validated registry."""
        self._metrics = metrics
        self._coins = coins
        self._dexes = {coin.partition(":")[0] for coin in coins}
        self._orders: dict[str, OrderStatus] = {}
        """Cloid → status last told, of real orders that bind something."""
        self._actions: set[int] = set()
        self._positions: set[str] = set()
        self.handlers: dict[type, Callable[[Any], None]] = {
            OrderChanged: self._order,
            FillApplied: self._fill,
            PositionChanged: self._position,
            LedgerPosted: self._posted,
            LiveOrderChanged: lambda output: self._live_order(output.order),
            LiveFillApplied: self._live_fill,
            LivePositionChanged: self._live_position,
            TradeClosed: self._closed,
            LossesChanged: lambda output: self._losses(output.losses),
            ActionDecided: self._action_decided,
            ActionEnded: self._action_ended,
            FillGapChecked: self._gap_checked,
            AccountChecked: self._account_checked,
            TradingReadyChanged: lambda output: metrics.trading_ready.set(output.is_ready),
            MarketStopChanged: self._market_stop,
            LadderChanged: lambda output: metrics.ladder_step.set(output.step),
        }

    def account_carried(self, live: LiveAccount) -> None:
        """Show the account a session starts from, before the first change of it."""
        for order in live.orders.values():
            self._note_order(order)
        for position in live.positions.values():
            self._hold(position.coin, position)
        self._losses(live.losses)
        self._metrics.trading_ready.set(live.is_ready)
        self._metrics.ladder_step.set(live.ladder_step)

    # Paper.

    def _order(self, output: OrderChanged) -> None:
        self._metrics.orders.labels(output.mode, output.status).inc()

    def _fill(self, output: FillApplied) -> None:
        self._metrics.fills.labels(output.mode, self._coin(output.coin), output.side).inc()
        self._metrics.fees_usd.labels(output.mode).inc(max(0.0, float(output.fee)))

    def _position(self, output: PositionChanged) -> None:
        labels = (output.mode, self._coin(output.coin))
        self._metrics.position_sz.labels(*labels).set(float(output.sz))
        self._metrics.realised_pnl_usd.labels(*labels).inc(float(output.realised_pnl))

    def _posted(self, output: LedgerPosted) -> None:
        self._metrics.ledger_balance_usd.labels(output.mode, output.account).inc(float(output.amount))

    # Real orders and actions.

    def _live_order(self, order: LiveOrder) -> None:
        if self._orders.get(order.cloid) is order.status:
            self._note_order(order)
            return
        metrics = self._metrics
        metrics.orders.labels(_LIVE, order.status).inc()
        if order.status is OrderStatus.REJECTED:
            metrics.orders_refused.labels(order.code).inc()
        if order.is_over:
            leg = leg_of(is_reduce_only=order.is_reduce_only)
            metrics.order_fill_ratio.labels(leg).observe(float(order.filled_sz / order.sz))
        self._note_order(order)

    def _note_order(self, order: LiveOrder) -> None:
        if order.is_settled:
            self._orders.pop(order.cloid, None)
        else:
            self._orders[order.cloid] = order.status
        self._metrics.orders_open.set(len(self._orders))
        self._metrics.orders_in_doubt.set(sum(status is OrderStatus.IN_DOUBT for status in self._orders.values()))

    def _action_decided(self, output: ActionDecided) -> None:
        self._actions.add(output.action_id)
        self._metrics.actions_in_flight.set(len(self._actions))

    def _action_ended(self, output: ActionEnded) -> None:
        metrics, sent_ns = self._metrics, output.sent_mono_ns
        self._actions.discard(output.action_id)
        metrics.actions_in_flight.set(len(self._actions))
        metrics.actions.labels(output.kind, output.outcome).inc()
        if sent_ns is None:
            return
        metrics.signal_to_sent_ms.labels(output.kind).observe((sent_ns - output.received_mono_ns) / NS_PER_MS)
        if output.outcome in ANSWERED:
            metrics.sent_to_answer_ms.labels(output.kind).observe((output.ended_mono_ns - sent_ns) / NS_PER_MS)

    def _live_fill(self, output: LiveFillApplied) -> None:
        metrics, fill, leg = self._metrics, output.fill, leg_of(is_reduce_only=output.is_reduce_only)
        metrics.fills.labels(_LIVE, self._coin(fill.coin), fill.side).inc()
        metrics.fees_usd.labels(_LIVE).inc(max(0.0, float(fill.fee)))
        if output.slippage_bps is not None:
            metrics.slippage_bps.labels(leg).observe(float(output.slippage_bps))
        if output.flight_ms is not None and output.flight_ms >= 0:
            metrics.decision_to_fill_ms.labels(leg).observe(output.flight_ms)

    # Positions and results.

    def _live_position(self, output: LivePositionChanged) -> None:
        self._metrics.realised_pnl_usd.labels(_LIVE, self._coin(output.coin)).inc(float(output.realised_pnl))
        self._hold(output.coin, output.position)

    def _hold(self, coin: str, position: LivePosition | None) -> None:
        metrics, label = self._metrics, self._coin(coin)
        metrics.position_sz.labels(_LIVE, label).set(0.0 if position is None else float(position.sz))
        metrics.position_ntl_usd.labels(label).set(0.0 if position is None else float(position.cost_ntl))
        if position is None:
            self._positions.discard(coin)
        else:
            self._positions.add(coin)
        metrics.positions.set(len(self._positions))

    def _closed(self, output: TradeClosed) -> None:
        reason = output.exit_reason if output.exit_reason in EXIT_LABELS else OTHER
        self._metrics.round_trips.labels(self._coin(output.coin), reason).inc()
        if output.flat_time_ms is not None:
            self._metrics.flat_time_ms.observe(output.flat_time_ms)

    def _losses(self, losses: LossState) -> None:
        self._metrics.day_pnl_usd.set(float(losses.day_pnl_usd))
        self._metrics.drawdown_usd.set(float(losses.peak_pnl_usd - losses.total_pnl_usd))
        self._metrics.loss_streak_count.set(losses.loss_count)

    # Proofs and transitions.

    def _gap_checked(self, output: FillGapChecked) -> None:
        self._metrics.fill_gap_checks.labels("proved" if output.is_proved else "unproved").inc()
        self._metrics.fills_missed.inc(max(0, output.venue_count - output.known_count))
        self._metrics.fills_recovered.inc(output.applied_count)

    def _account_checked(self, output: AccountChecked) -> None:
        if not output.is_judged:
            self._metrics.account_checks.labels("not_judged").inc()
            return
        self._metrics.account_checks.labels("wrong" if is_account_wrong(output) else "agrees").inc()
        dex = output.dex if output.dex in self._dexes else OTHER
        self._metrics.account_difference_usd.labels(dex).set(float(output.difference))

    def _market_stop(self, output: MarketStopChanged) -> None:
        gate = output.gate if output.gate in _GATES else OTHER
        state = output.state if output.state in _STOP_STATES else OTHER
        self._metrics.market_stops.labels(gate, state).inc()

    def _coin(self, coin: str) -> str:
        return coin_label(coin, self._coins)
