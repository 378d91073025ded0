"""Turns decisions into log lines: transitions only, one constant event name each (the core itself never logs).

Rule 1: signals, orders and fills are rows of tables and metrics, not lines: the predecessor wrote 250,000 lines in
5 minutes.
Rule 2: a market that is not ready says so in one line; what its gates do meanwhile is told at debug.
Rule 3: that a gate opens is told only if its closing was: at the start every gate counts as blocking, untold.
Rule 4: lines of real trading are in `narrate_trading`.
"""

from collections.abc import Callable, Iterable

from streaming.core.effects import (
    AnyOutput,
    ArmChanged,
    EntriesChanged,
    GateChanged,
    GateId,
    GateStatus,
    LatchChanged,
    LimitsChanged,
    MarketReadyChanged,
    ParamChanged,
    PhaseChanged,
    Reconnect,
    RotationExpired,
    RotationJudged,
)
from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.narrate_trading import TradingNarrator

_log = get_logger(component="engine")


class Narrator:
    """Logs what changed; knows which markets wait and which closed gates were told."""

    def __init__(self) -> None:
        """Begin a session: nothing was told."""
        self._waiting: set[str] = set()
        self._told: set[tuple[str, GateId]] = set()
        self._lines: dict[type, Callable[..., None]] = {
            **_LINES,
            **TradingNarrator(self._waiting).lines,
            GateChanged: self._gate,
            MarketReadyChanged: self._ready,
        }

    def tell(self, outputs: Iterable[AnyOutput]) -> None:
        """Log what changed with these outputs."""
        for output in outputs:
            tell = self._lines.get(type(output))
            if tell is not None:
                tell(output)

    def _gate(self, output: GateChanged) -> None:
        name = (output.coin, output.gate)
        if output.current is GateStatus.PASS:
            is_news = name in self._told
            self._told.discard(name)
        else:
            is_news = output.coin not in self._waiting
            if is_news:
                self._told.add(name)
        log = _log.info if is_news else _log.debug
        log(
            "gate_blocked" if output.current is GateStatus.BLOCK else "gate_changed",
            coin=output.coin,
            gate=output.gate,
            previous=output.previous,
            current=output.current,
            observed=output.observed,
            limit=output.limit,
            blocked_ms=output.blocked_ms,
        )

    def _ready(self, output: MarketReadyChanged) -> None:
        if output.state == "ready":
            self._waiting.discard(output.coin)
        else:
            self._waiting.add(output.coin)
        log = _log.warning if output.state == "excluded" else _log.info
        log("market_ready_changed", coin=output.coin, state=output.state, reason=output.reason)


def _latch(output: LatchChanged) -> None:
    if output.is_set:
        _log.critical("stop_latch_set", reason=output.reason, operator=output.operator)
    else:
        _log.warning("stop_latch_reset", reason=output.reason, operator=output.operator)


def _param(output: ParamChanged) -> None:
    log = _log.error if output.needs_operator else _log.warning
    log("spec_changed", coin=output.coin, fields=output.fields, needs_operator=output.needs_operator)


def _entries(output: EntriesChanged) -> None:
    log = _log.info if output.is_open else _log.warning
    log("entries_changed", control=output.control, is_open=output.is_open, detail=output.detail)


def _rotation(output: RotationJudged) -> None:
    log = _log.info if output.is_accepted else _log.warning
    log(
        "rotation_judged",
        version=output.version,
        sha256=output.sha256,
        is_accepted=output.is_accepted,
        reasons=output.reasons,
        market_count=len(output.markets),
    )


def _rotation_expired(output: RotationExpired) -> None:
    _log.warning("rotation_expired", version=output.version, sha256=output.sha256)


def _arm(output: ArmChanged) -> None:
    _log.warning("arm_changed", is_armed=output.is_armed, operator=output.operator)


def _phase(output: PhaseChanged) -> None:
    _log.warning(
        "phase_changed",
        phase=output.phase,
        previous=output.previous,
        reason=output.reason,
        operator=output.operator,
    )


def _limits(output: LimitsChanged) -> None:
    _log.warning("limits_changed", new_config_hash=output.config_hash)


def _reconnect(output: Reconnect) -> None:
    _log.warning("reconnect_requested", reason=output.reason)


_LINES: dict[type, Callable[..., None]] = {
    LatchChanged: _latch,
    ParamChanged: _param,
    EntriesChanged: _entries,
    RotationJudged: _rotation,
    RotationExpired: _rotation_expired,
    ArmChanged: _arm,
    PhaseChanged: _phase,
    LimitsChanged: _limits,
    Reconnect: _reconnect,
}
