"""Rows of the table `events`: which outputs are transitions, and how each is told in five columns.

Rule 1: a transition names what changed (`subject`), what it is now (`state`) and why, in at most 200 characters.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streaming.core import effects as fx
from streaming.core.trading import effects as tx

DETAIL_LENGTH_MAX = 200

Transition = tuple[str, str, str, str, float | None]
"""(coin, subject, state, detail, value)."""


def cut(text: str) -> str:
    """Return a text of at most 200 characters."""
    return text if len(text) <= DETAIL_LENGTH_MAX else text[: DETAIL_LENGTH_MAX - 1] + "…"


def _shown(value: Decimal | None) -> str:
    return "unknown" if value is None else f"{value:f}"


def _gate_changed(o: fx.GateChanged) -> Transition:
    detail = f"was {o.previous}; observed {_shown(o.observed)}, limit {_shown(o.limit)}"
    return o.coin, o.gate.value, o.current.value, detail, float(o.blocked_ms)


def _market_ready_changed(o: fx.MarketReadyChanged) -> Transition:
    return o.coin, "ready", o.state, o.reason, None


def _connection_changed(o: fx.ConnectionChanged) -> Transition:
    return "", "websocket", "open" if o.is_open else "lost", o.reason, float(o.generation)


def _param_changed(o: fx.ParamChanged) -> Transition:
    state = "needs_operator" if o.needs_operator else "cooling_down"
    detail = f"{o.previous_spec_version} → {o.current_spec_version}: {', '.join(o.fields)}"
    return o.coin, "spec", state, detail, float(len(o.fields))


def _latch_changed(o: fx.LatchChanged) -> Transition:
    return "", "stop_latch", "set" if o.is_set else "reset", _by(o.reason, o.operator), None


def _arm_changed(o: fx.ArmChanged) -> Transition:
    return "", "arming", "armed" if o.is_armed else "disarmed", _by("", o.operator), None


def _phase_changed(o: fx.PhaseChanged) -> Transition:
    verdict = f"; verdict {o.verdict_sha256}" if o.verdict_sha256 else ""
    # The reason stands last: it alone may be long enough to be cut.
    return "", "phase", o.phase.value, f"was {o.previous}; by {o.operator}{verdict}; {o.reason}", None


def _rotation_judged(o: fx.RotationJudged) -> Transition:
    state = "applied" if o.is_accepted else "refused"
    return "", o.sha256, state, "; ".join(o.reasons) or f"{len(o.markets)} markets", float(o.version)


def _rotation_expired(o: fx.RotationExpired) -> Transition:
    return "", o.sha256, "expired", "real entries end, exits go on", float(o.version)


def _entries_changed(o: fx.EntriesChanged) -> Transition:
    return "", o.control, "open" if o.is_open else "closed", o.detail, None


def _limits_changed(o: fx.LimitsChanged) -> Transition:
    return "", "limits", "tightened", o.config_hash, None


def _entry_refused(o: fx.EntryRefused) -> Transition:
    return o.coin, o.signal_id, "refused", o.reason, None


def _trading_ready_changed(o: tx.TradingReadyChanged) -> Transition:
    return "", "trading", "ready" if o.is_ready else "not_ready", o.reason, None


def _market_stop_changed(o: tx.MarketStopChanged) -> Transition:
    return o.coin, o.gate, o.state, o.reason, None


def _position_ignored(o: tx.PositionIgnored) -> Transition:
    # No row of the market: this session does not watch it, so no spec names it.
    return "", "position", "ignored", f"{o.coin} {o.sz}: not ours, says an operator's reset", None


def _ladder_changed(o: tx.LadderChanged) -> Transition:
    return "", "ladder", f"step_{o.step}", o.reason, float(o.step)


def _by(reason: str, operator: str) -> str:
    return f"{reason} (by {operator})" if operator else reason


TRANSITIONS: dict[type, tuple[str, Callable[[Any], Transition]]] = {
    fx.GateChanged: ("gate_changed", _gate_changed),
    fx.MarketReadyChanged: ("market_ready_changed", _market_ready_changed),
    fx.ConnectionChanged: ("connection_changed", _connection_changed),
    fx.ParamChanged: ("param_changed", _param_changed),
    fx.LatchChanged: ("latch_changed", _latch_changed),
    fx.ArmChanged: ("arm_changed", _arm_changed),
    fx.PhaseChanged: ("phase_changed", _phase_changed),
    fx.RotationJudged: ("rotation_judged", _rotation_judged),
    fx.RotationExpired: ("rotation_expired", _rotation_expired),
    fx.EntriesChanged: ("entries_changed", _entries_changed),
    fx.LimitsChanged: ("limits_changed", _limits_changed),
    fx.EntryRefused: ("entry_refused", _entry_refused),
    tx.TradingReadyChanged: ("trading_ready_changed", _trading_ready_changed),
    tx.MarketStopChanged: ("market_stop_changed", _market_stop_changed),
    tx.PositionIgnored: ("position_ignored", _position_ignored),
    tx.LadderChanged: ("ladder_changed", _ladder_changed),
}
