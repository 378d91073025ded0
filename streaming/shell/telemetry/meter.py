"""Moves the metrics: from inputs and outputs of the engine, and from what the shell measures of itself.

Rule 1: the hot path adds to plain integers; everything per market comes from `HealthSampled`, which the
engine emits on a fixed clock away from any update (an age measured at an update is always 0), and becomes series at
the scrape only.
Rule 2: a coin that is not in the validated registry gets the label `other` (F-108).
"""

from collections.abc import Callable, Iterable
from typing import Any

from streaming.core.effects import (
    AnyOutput,
    ArmChanged,
    ConnectionChanged,
    EntriesChanged,
    EntryRefused,
    EpisodeBegan,
    EpisodeEnded,
    FollowupTaken,
    GateChanged,
    GatesEvaluated,
    GateStatus,
    HealthSampled,
    LatchChanged,
    MarketReadyChanged,
    ParamChanged,
    PhaseChanged,
    RotationExpired,
    RotationJudged,
    SignalRaised,
    TradesAccepted,
)
from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    BookUpdated,
    CtxUpdated,
    FrameMalformed,
    Phase,
    SessionFrameReceived,
    SubscriptionAcked,
    TradesReceived,
    UserFrameReceived,
    VenueErrorReceived,
)
from streaming.core.state import ControlState
from streaming.core.trading.events import (
    ActionAnswered,
    FillsReceived,
    FundingsReceived,
    OrderUpdatesReceived,
    TransfersReceived,
)
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.telemetry.meter_trading import TradingMeter, coin_label
from streaming.shell.telemetry.metrics import LATENCY_CHANNELS, Metrics

WS_STATES = ("connecting", "connected", "waiting")
_REASONS = {
    "not_sent": "not_opened",
    "closed_": "closed",
    "connection_ended": "ended",
    "frame_too_large": "frame_too_large",
    "ping_timeout": "ping_timeout",
    "data_silence": "data_silence",
    "malformed_frames": "malformed",
    "time_regression": "time_regression",
}
_CHANNELS: dict[type, str] = {
    BboUpdated: "bbo",
    CtxUpdated: "activeAssetCtx",
    BookUpdated: "l2Book",
    TradesReceived: "trades",
    UserFrameReceived: "user",
    FillsReceived: "userFills",
    OrderUpdatesReceived: "orderUpdates",
    FundingsReceived: "userFundings",
    TransfersReceived: "userNonFundingLedgerUpdates",
    ActionAnswered: "post",
    SubscriptionAcked: "subscriptionResponse",
    SessionFrameReceived: "session",
    VenueErrorReceived: "error",
    FrameMalformed: "malformed",
}


def reconnect_label(reason: str) -> str:
    """Map a free reason to the closed set of the label."""
    return next((label for part, label in _REASONS.items() if part in reason), "other")


class Telemetry:
    """Folds events and outputs into metrics."""

    def __init__(self, metrics: Metrics, coins: Iterable[str]) -> None:
        """Know the label values `coins`, from the validated registry."""
        self.metrics = metrics
        self.reconnect_count = 0
        self._coins = frozenset(coins)
        self.trading = TradingMeter(metrics, self._coins)
        self._frames = metrics.frame_counts
        self._greeted: dict[str, set[str]] = {name: set() for name in LATENCY_CHANNELS}
        self._handlers: dict[type, Callable[[Any], None]] = {
            ConnectionChanged: self._connection,
            MarketReadyChanged: self._ready,
            HealthSampled: self._health,
            TradesAccepted: self._trades,
            ParamChanged: self._param,
            EpisodeBegan: self._episode_began,
            EpisodeEnded: self._episode_ended,
            SignalRaised: self._signal,
            GatesEvaluated: self._gates,
            GateChanged: self._gate_changed,
            EntryRefused: self._refused,
            FollowupTaken: self._followup,
            LatchChanged: self._latch,
            ArmChanged: self._arm,
            PhaseChanged: self._phase_changed,
            EntriesChanged: self._entries,
            RotationJudged: self._rotation,
            RotationExpired: self._rotation_expired,
            **self.trading.handlers,
        }

    def frame_received(self, event: AnyEvent) -> None:
        """Count one frame of the websocket, and how old it was."""
        self._frames.frames[_CHANNELS[type(event)]] += 1
        if isinstance(event, BboUpdated):
            self._latency_of("bbo", event.coin, event.recv_ts_ns, event.venue_ts_ms)
        elif isinstance(event, BookUpdated):
            self._latency_of("l2Book", event.coin, event.recv_ts_ns, event.venue_ts_ms)
        elif isinstance(event, TradesReceived):
            if event.trades:
                trade = event.trades[-1]
                self._latency_of("trades", trade.coin, event.recv_ts_ns, trade.venue_ts_ms)
        elif isinstance(event, FrameMalformed):
            channel = event.channel if event.channel in LATENCY_CHANNELS else "other"
            self.metrics.malformed.labels(channel).inc()
        elif isinstance(event, VenueErrorReceived):
            self.metrics.venue_errors.inc()

    def outputs_taken(self, outputs: Iterable[AnyOutput]) -> None:
        """Fold what the engine decided."""
        for output in outputs:
            handler = self._handlers.get(type(output))
            if handler is not None:
                handler(output)

    def control_carried(self, control: ControlState) -> None:
        """Show the state of control a session starts from, before the first change of it."""
        self.metrics.stop_latch.set(control.latch is not None)
        self.metrics.armed.set(control.is_armed)
        self._phase_is(control.phase)
        if control.rotation is not None:
            self.metrics.rotation_version.set(control.rotation.version)
            self.metrics.rotation_expires_ts_s.set(control.rotation.expires_ts_ns / NS_PER_S)

    def ws_state_is(self, state: str) -> None:
        """Show in which of `WS_STATES` the websocket is."""
        for name in WS_STATES:
            self.metrics.ws_state.labels(name).set(name == state)

    def reconnect_needed(self, reason: str) -> None:
        """Count a connection that was lost, or could not be opened."""
        self.reconnect_count += 1
        self.metrics.ws_reconnect.labels(reconnect_label(reason)).inc()

    def _latency_of(self, channel: str, coin: str, recv_ts_ns: int, venue_ts_ms: int) -> None:
        """Observe one latency; the first frame of a subscription repeats old data and says nothing about the way."""
        greeted = self._greeted[channel]
        if coin in greeted:
            self._frames.observe_latency(channel, recv_ts_ns / NS_PER_MS - venue_ts_ms)
        else:
            greeted.add(coin)

    def _coin(self, coin: str) -> str:
        return coin_label(coin, self._coins)

    def _connection(self, output: ConnectionChanged) -> None:
        self.metrics.ws_connected.set(output.is_open)
        for greeted in self._greeted.values():
            greeted.clear()

    def _ready(self, output: MarketReadyChanged) -> None:
        self.metrics.market_ready.labels(self._coin(output.coin)).set(output.state == "ready")

    def _health(self, output: HealthSampled) -> None:
        self.metrics.market_samples.add(self._coin(output.coin), output)
        for reason, count in output.no_signal_counts.items():
            self.metrics.cross_skipped.labels(reason).inc(count)

    def _trades(self, output: TradesAccepted) -> None:
        for trade in output.trades:
            self.metrics.trades.labels(self._coin(trade.coin)).inc()

    def _param(self, output: ParamChanged) -> None:
        self.metrics.param_changes.labels(self._coin(output.coin)).inc()

    def _episode_began(self, output: EpisodeBegan) -> None:
        self.metrics.cross_count.labels(self._coin(output.coin), output.side).inc()

    def _episode_ended(self, output: EpisodeEnded) -> None:
        self.metrics.episodes.labels(output.ended_by).inc()
        self.metrics.cross_duration_ms.labels(output.side).observe(output.duration_ms)
        self.metrics.cross_duration_ticks.labels(output.side).observe(output.tick_count)

    def _signal(self, output: SignalRaised) -> None:
        coin = self._coin(output.coin)
        self.metrics.signals.labels(coin, output.side, output.origin).inc()
        self.metrics.edge_bps.labels(coin, output.side).observe(float(output.raw_edge_bps))

    def _gates(self, output: GatesEvaluated) -> None:
        for name in output.blocked_by:
            self.metrics.gate_blocked.labels(name, self._coin(output.coin)).inc()

    def _gate_changed(self, output: GateChanged) -> None:
        if output.previous is GateStatus.BLOCK:
            duration = self.metrics.gate_block_duration_ms.labels(output.gate, self._coin(output.coin))
            duration.observe(output.blocked_ms)

    def _refused(self, output: EntryRefused) -> None:
        self.metrics.entries_refused.labels(output.reason).inc()

    def _followup(self, output: FollowupTaken) -> None:
        self.metrics.followups.labels(str(output.offset_ms), str(output.is_missing).lower()).inc()

    def _latch(self, output: LatchChanged) -> None:
        self.metrics.stop_latch.set(output.is_set)

    def _arm(self, output: ArmChanged) -> None:
        self.metrics.armed.set(output.is_armed)

    def _phase_changed(self, output: PhaseChanged) -> None:
        self._phase_is(output.phase)

    def _phase_is(self, phase: Phase) -> None:
        for name in Phase:
            self.metrics.phase.labels(name).set(name is phase)

    def _entries(self, output: EntriesChanged) -> None:
        self.metrics.entries_closed.labels(output.control).set(not output.is_open)

    def _rotation(self, output: RotationJudged) -> None:
        self.metrics.rotations.labels("accepted" if output.is_accepted else "refused").inc()
        if output.is_accepted:
            self.metrics.rotation_version.set(output.version)
            self.metrics.rotation_expires_ts_s.set(output.expires_ts_ns / NS_PER_S)

    def _rotation_expired(self, _output: RotationExpired) -> None:
        self.metrics.rotations.labels("expired").inc()
