"""Starting again: what recorded decisions say is taken over, nothing is decided a second time (I-24).

Rule 1: `fold` applies the outputs that follow a snapshot to it; the newest session's end is the next one's start.
Rule 2: carried are the operators' decisions, the rotation, open paper positions, and of the real account everything
that is known of it: orders, positions, cash, losses, trade ids, the last nonce. Market data, follow-ups, paper orders
in flight and all proofs are not: a new connection has to earn them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streaming.core.effects import (
    AnyOutput,
    ArmChanged,
    LatchChanged,
    LedgerPosted,
    OrderChanged,
    PhaseChanged,
    PositionChanged,
    RotationExpired,
    RotationJudged,
)
from streaming.core.ledger import money
from streaming.core.paper_book import PaperPosition
from streaming.core.state import ControlState, EngineState, Latch, Rotation
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.recovery import LIVE_FOLDS, carried_account, fold_live_ledger
from streaming.core.units import ZERO


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a session leaves to the next one."""

    control: ControlState
    positions: dict[str, PaperPosition]
    live: LiveAccount

    @property
    def open_coins(self) -> tuple[str, ...]:
        """Markets in which a real position is open, or an order that may still become one, sorted."""
        orders = [order.coin for order in self.live.orders.values() if not order.is_settled]
        return tuple(sorted({*self.live.positions, *orders}))


def fold(state: EngineState, outputs: Sequence[AnyOutput]) -> None:
    """Apply recorded outputs, in their order, to the state of the snapshot before them."""
    for output in outputs:
        apply = _FOLDS.get(type(output))
        if apply is not None:
            apply(state, output)


def carry_over(state: EngineState) -> Carried:
    """Return what the next session starts from; it shares nothing with `state`."""
    return Carried(
        control=msgspec.structs.replace(state.control),
        positions={
            coin: msgspec.structs.replace(position, exit_reason="", exit_timer=0)
            for coin, position in state.positions.items()
        },
        live=carried_account(state.live),
    )


def _fold_latch(state: EngineState, output: LatchChanged) -> None:
    latch = Latch(reason=output.reason, operator=output.operator, ts_ns=output.ts_ns)
    state.control.latch = latch if output.is_set else None


def _fold_arm(state: EngineState, output: ArmChanged) -> None:
    state.control.is_armed = output.is_armed


def _fold_phase(state: EngineState, output: PhaseChanged) -> None:
    state.control.phase = output.phase


def _fold_rotation(state: EngineState, output: RotationJudged) -> None:
    if output.is_accepted:
        state.control.rotation = Rotation(
            version=output.version,
            sha256=output.sha256,
            expires_ts_ns=output.expires_ts_ns,
            markets=output.markets,
            blacklist=output.blacklist,
        )


def _fold_expiry(state: EngineState, output: RotationExpired) -> None:
    rotation = state.control.rotation
    if rotation is not None and rotation.sha256 == output.sha256:
        state.control.rotation = msgspec.structs.replace(rotation, is_expired=True)


def _fold_order(state: EngineState, output: OrderChanged) -> None:
    # A fill is recorded before its position: the order says which signal and which exit the position belongs to.
    position = state.positions.get(output.coin)
    if output.is_reduce_only and output.status == "intent" and position is not None:
        position.exit_count += 1
    if not output.is_reduce_only and output.filled_sz > ZERO:
        market = state.markets.get(output.coin)
        if market is not None:
            market.entry_signal_id = output.signal_id


def _fold_position(state: EngineState, output: PositionChanged) -> None:
    if output.sz == ZERO or output.entry_px is None or output.entry_ts_ns is None:
        state.positions.pop(output.coin, None)
        return
    known = state.positions.get(output.coin)
    market = state.markets.get(output.coin)
    signal_id = known.signal_id if known is not None else "" if market is None else market.entry_signal_id
    state.positions[output.coin] = PaperPosition(
        sz=output.sz,
        entry_px=output.entry_px,
        entry_ts_ns=output.entry_ts_ns,
        entry_edge_bps=output.entry_edge_bps,
        signal_id=signal_id,
        cost_ntl=money(output.entry_px * abs(output.sz)),
        exit_count=0 if known is None else known.exit_count,
    )


_FOLDS: dict[type, Callable[[EngineState, Any], None]] = {
    LatchChanged: _fold_latch,
    ArmChanged: _fold_arm,
    PhaseChanged: _fold_phase,
    RotationJudged: _fold_rotation,
    RotationExpired: _fold_expiry,
    OrderChanged: _fold_order,
    PositionChanged: _fold_position,
    LedgerPosted: fold_live_ledger,
    **LIVE_FOLDS,
}
