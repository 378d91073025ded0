"""What a run of decisions came to: signals, what blocked them, entries, and the result on paper.

Rule 1: money is that of the paper model and stays Decimal; net is realised result minus fees.
Rule 2: a round trip is counted when the position is flat, with the fees of both sides.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Self

import msgspec

from streaming.core.effects import (
    AnyOutput,
    EntryRefused,
    FillApplied,
    GatesEvaluated,
    GateStatus,
    OrderChanged,
    PositionChanged,
    SignalRaised,
)
from streaming.core.units import ZERO


class Outcome(msgspec.Struct, kw_only=True):
    """Totals of one run, of a market or of all."""

    signal_count: int = 0
    passed_count: int = 0
    """Signals that nothing blocked."""
    reduced_count: int = 0
    """Of these with a gate that shrinks the size."""
    blocked_by: dict[str, int] = {}
    """Gate or control → signals it blocked, alone or with others."""
    refused_by: dict[str, int] = {}
    """Reason → passed signals that no order came of."""
    entry_count: int = 0
    entry_filled_count: int = 0
    round_trip_count: int = 0
    win_count: int = 0
    realised_usd: Decimal = ZERO
    fees_usd: Decimal = ZERO
    net_usd: Decimal = ZERO

    def add(self, other: Self) -> None:
        """Add the totals of another market or session."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + theirs)


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal with what was decided on it; two runs compare these."""

    signal_id: str
    coin: str
    side: str
    statuses: tuple[str, ...]
    blocked_by: tuple[str, ...]


class OutcomeTally:
    """Counts the outputs of one run, market by market."""

    def __init__(self) -> None:
        self.markets: dict[str, Outcome] = {}
        self._trips: dict[str, Decimal] = {}
        """Coin → result of the open position so far, fees deducted."""

    def add(self, outputs: Iterable[AnyOutput]) -> list[Signal]:
        """Count one step's outputs and return its signals."""
        signals: list[Signal] = []
        sides: dict[str, str] = {}
        for output in outputs:
            match output:
                case SignalRaised():
                    sides[output.signal_id] = output.side.value
                case GatesEvaluated():
                    signals.append(self._judged(output, sides.get(output.signal_id, "")))
                case EntryRefused():
                    _count(self._of(output.coin).refused_by, output.reason)
                case OrderChanged(mode="paper", is_reduce_only=False):
                    self._entry(output)
                case FillApplied(mode="paper"):
                    self._fee(output)
                case PositionChanged(mode="paper"):
                    self._position(output)
                case _:
                    pass
        return signals

    def _of(self, coin: str) -> Outcome:
        return self.markets.setdefault(coin, Outcome())

    def _judged(self, output: GatesEvaluated, side: str) -> Signal:
        outcome = self._of(output.coin)
        outcome.signal_count += 1
        statuses = tuple([result.status.value for result in output.results])
        if not output.is_blocked:
            outcome.passed_count += 1
            outcome.reduced_count += GateStatus.REDUCE.value in statuses
        for name in output.blocked_by:
            _count(outcome.blocked_by, name)
        return Signal(
            signal_id=output.signal_id, coin=output.coin, side=side, statuses=statuses, blocked_by=output.blocked_by
        )

    def _entry(self, order: OrderChanged) -> None:
        outcome = self._of(order.coin)
        outcome.entry_count += order.status == "intent"
        outcome.entry_filled_count += order.filled_sz > ZERO

    def _fee(self, fill: FillApplied) -> None:
        outcome = self._of(fill.coin)
        outcome.fees_usd += fill.fee
        outcome.net_usd -= fill.fee
        self._trips[fill.coin] = self._trips.get(fill.coin, ZERO) - fill.fee

    def _position(self, change: PositionChanged) -> None:
        outcome = self._of(change.coin)
        outcome.realised_usd += change.realised_pnl
        outcome.net_usd += change.realised_pnl
        net = self._trips[change.coin] = self._trips.get(change.coin, ZERO) + change.realised_pnl
        if change.sz == ZERO:
            outcome.round_trip_count += 1
            outcome.win_count += net > ZERO
            del self._trips[change.coin]


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
