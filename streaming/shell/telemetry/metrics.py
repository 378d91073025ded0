"""Every metric the sidecar serves, declared once, on a registry of its own.

Rule 1: names are `hip3_<noun>_<unit>[_total]`; labels come from closed sets, `coin` only from the validated registry.
Rule 2: whatever is declared here is moved by `telemetry` (or the control API), and a test asserts that all of it moves:
the predecessor shipped fourteen metrics that never did.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from streaming.shell.telemetry.market_samples import COUNTERS, GAUGES, HISTOGRAMS, MarketSamples

_LATENCY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_EDGE_BPS = (2, 5, 8, 10, 12, 15, 20, 30, 50, 100, 200)
_DURATION_MS = (1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
CHANNELS = (
    "bbo",
    "activeAssetCtx",
    "l2Book",
    "trades",
    "user",
    "userFills",
    "orderUpdates",
    "userFundings",
    "userNonFundingLedgerUpdates",
    "post",
    "subscriptionResponse",
    "session",
    "error",
    "malformed",
)
LATENCY_CHANNELS = ("bbo", "l2Book", "trades")
"""Channels that carry the venue's time."""
_TICKS = (1, 2, 3, 5, 10, 20, 50, 100)
_SLIPPAGE_BPS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)
_FILL_RATIO = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)
_SEND_MS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20, 50, 100, 500)
_ANSWER_MS = (1, 5, 10, 20, 50, 100, 200, 300, 400, 500, 700, 1_000, 2_000, 5_000)
_FLAT_TIME_MS = (10, 50, 100, 200, 300, 400, 500, 700, 1_000, 2_000, 5_000, 10_000, 30_000)

FRAMES_TEXT = "Frames received"
LATENCY_TEXT = "Our wall clock at receipt minus the venue's time"


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as it is declared."""

    kind: str
    name: str
    text: str
    labels: tuple[str, ...]


class FrameCounts(Collector):
    """The two metrics of the hot path, as plain integers: observing by the library costs more than decoding."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.frames = dict.fromkeys(CHANNELS, 0)
        self.latency_counts = {channel: [0] * (len(_LATENCY_MS) + 1) for channel in LATENCY_CHANNELS}
        self.latency_sum_ms = dict.fromkeys(LATENCY_CHANNELS, 0.0)

    def observe_latency(self, channel: str, latency_ms: float) -> None:
        """Add one observation."""
        self.latency_counts[channel][bisect_left(_LATENCY_MS, latency_ms)] += 1
        self.latency_sum_ms[channel] += latency_ms

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield both families, for the exposition."""
        frames = CounterMetricFamily("hip3_frames", FRAMES_TEXT, labels=["channel"])
        for channel, count in self.frames.items():
            frames.add_metric([channel], count)
        yield frames
        latency = HistogramMetricFamily("hip3_feed_latency_ms", LATENCY_TEXT, labels=["channel"])
        bounds = [*(f"{float(bound)}" for bound in _LATENCY_MS), "+Inf"]
        for channel, counts in self.latency_counts.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            latency.add_metric([channel], buckets, self.latency_sum_ms[channel])
        yield latency


class Metrics:
    """The metric objects; units stand in the names."""

    def __init__(self) -> None:
        """Register everything on a fresh registry."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter says nothing here
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []
        """In the order of declaration, for the page of docs."""
        self._feed()
        self._markets()
        self._decisions()
        self._trading()
        self._account()
        self._process()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self._declare("gauge", name, text, labels)
        return Gauge(f"hip3_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self._declare("counter", f"{name}_total", text, labels)
        return Counter(f"hip3_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        self._declare("histogram", name, text, labels)
        return Histogram(f"hip3_{name}", text, labels, registry=self.registry, buckets=buckets)

    def _declare(self, kind: str, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.declared.append(Declared(kind=kind, name=f"hip3_{name}", text=text, labels=labels))

    def _feed(self) -> None:
        self.ws_connected = self._gauge("ws_connected", "1 while the websocket is open")
        self.ws_state = self._gauge("ws_state", "1 for the state the websocket is in", "state")
        self.ws_reconnect = self._counter("ws_reconnect", "Connections lost or not opened", "reason")
        self.ws_msgs_sent = self._counter("ws_msgs_sent", "Messages sent to the venue", "kind")
        self.ws_msgs_blocked = self._counter(
            "ws_msgs_blocked", "Messages kept back by our account of the limit", "kind"
        )
        self.malformed = self._counter("malformed", "Frames that could not be read", "channel")
        self.venue_errors = self._counter("venue_errors", "Messages of the venue's error channel")
        self.spot_dropped = self._counter("spot_dropped", "Frames of spot markets, which are never watched")
        self._declare("counter", "frames_total", FRAMES_TEXT, ("channel",))
        self._declare("histogram", "feed_latency_ms", LATENCY_TEXT, ("channel",))
        self.frame_counts = FrameCounts()
        self.registry.register(self.frame_counts)
        self.venue_offset_ms = self._gauge(
            "venue_offset_ms", "Our wall clock minus the venue's, least of the last minute"
        )
        self.rate_use_ratio = self._gauge("rate_use_ratio", "Highest use of a rate limit in its window", "limit")

    def _markets(self) -> None:
        self.market_ready = self._gauge("market_ready", "1 while the market is ready", "coin")
        for name, text in COUNTERS:
            self._declare("counter", f"{name}_total", text, ("coin",))
        for name, text in GAUGES:
            self._declare("gauge", name, text, ("coin",))
        for name, text in HISTOGRAMS:
            self._declare("histogram", name, text, ())
        self.market_samples = MarketSamples()
        self.registry.register(self.market_samples)
        self.trades = self._counter("trades", "Public trades not seen before", "coin")
        self.param_changes = self._counter("param_changes", "Changed market specifications", "coin")

    def _decisions(self) -> None:
        self.cross_count = self._counter("cross_count", "Crosses that began", "coin", "side")
        self.cross_skipped = self._counter("cross_skipped", "Crosses that raised no signal", "reason")
        self.cross_duration_ms = self._histogram("cross_duration_ms", "Length of crosses", "side", buckets=_DURATION_MS)
        self.cross_duration_ticks = self._histogram(
            "cross_duration_ticks", "Length of crosses in updates", "side", buckets=_TICKS
        )
        self.episodes = self._counter("episodes", "Episodes that ended", "ended_by")
        self.signals = self._counter("signals", "Signals", "coin", "side", "origin")
        self.edge_bps = self._histogram("edge_bps", "Raw edge of signals", "coin", "side", buckets=_EDGE_BPS)
        self.gate_blocked = self._counter("gate_blocked", "Signals a gate or control stood against", "gate", "coin")
        self.gate_block_duration_ms = self._histogram(
            "gate_block_duration_ms", "How long a gate blocked", "gate", "coin", buckets=_DURATION_MS
        )
        self.entries_refused = self._counter("entries_refused", "Signals without an order", "reason")
        self.followups = self._counter("followups", "Follow-ups of signals", "offset_ms", "is_missing")
        self.stop_latch = self._gauge("stop_latch", "1 while the stop latch is set")
        self.armed = self._gauge("armed", "1 while entries are armed")
        self.phase = self._gauge("phase", "1 for the approved phase", "phase")
        self.entries_closed = self._gauge("entries_closed", "1 while this control closes entries", "control")
        self.rotation_version = self._gauge("rotation_version", "Version of the rotation in force, 0 for none")
        self.rotation_expires_ts_s = self._gauge("rotation_expires_ts_s", "When the rotation in force expires")
        self.rotations = self._counter("rotations", "Judged rotations", "verdict")

    def _trading(self) -> None:
        self.orders = self._counter("orders", "Order states", "mode", "status")
        self.orders_refused = self._counter("orders_refused", "Real orders the venue refused", "code")
        self.orders_open = self._gauge("orders_open", "Real orders that still bind something")
        self.orders_in_doubt = self._gauge("orders_in_doubt", "Real orders whose outcome is not known")
        self.order_fill_ratio = self._histogram(
            "order_fill_ratio", "Filled share of a real order that is over", "leg", buckets=_FILL_RATIO
        )
        self.fills = self._counter("fills", "Fills", "mode", "coin", "side")
        self.slippage_bps = self._histogram(
            "slippage_bps", "Fill price against the touch decided on; > 0 is worse", "leg", buckets=_SLIPPAGE_BPS
        )
        self.decision_to_fill_ms = self._histogram(
            "decision_to_fill_ms", "Decision of a real order to its fill", "leg", buckets=_ANSWER_MS
        )
        self.actions = self._counter("actions", "Signed actions that ended", "kind", "outcome")
        self.actions_in_flight = self._gauge("actions_in_flight", "Actions without an outcome yet")
        self.rehearsals = self._counter("rehearsals", "Dry runs of the order path while nothing came")
        self.presignatures = self._gauge("presignatures", "Signatures begun ahead: ready now, used so far", "state")
        self.busy_poll_crowded = self._counter("busy_poll_crowded", "Times the core was taken from a polling loop")
        self.signal_to_sent_ms = self._histogram(
            "signal_to_sent_ms", "Receipt of the input to the action's hand-over to a socket", "kind", buckets=_SEND_MS
        )
        self.sent_to_answer_ms = self._histogram(
            "sent_to_answer_ms", "Hand-over to a socket to the venue's answer", "kind", buckets=_ANSWER_MS
        )
        self.round_trips = self._counter("round_trips", "Real positions closed", "coin", "exit_reason")
        self.flat_time_ms = self._histogram("flat_time_ms", "Exit decided to flat", buckets=_FLAT_TIME_MS)

    def _account(self) -> None:
        self.fees_usd = self._counter("fees_usd", "Fees paid", "mode")
        self.position_sz = self._gauge("position_sz", "Signed position", "mode", "coin")
        self.positions = self._gauge("positions", "Open real positions")
        self.position_ntl_usd = self._gauge("position_ntl_usd", "Cost of the real position, unsigned", "coin")
        self.realised_pnl_usd = self._gauge(
            "realised_pnl_usd", "Realised since the start, fees and funding apart", "mode", "coin"
        )
        self.ledger_balance_usd = self._gauge(
            "ledger_balance_usd", "Postings since the start: cash, fees, funding, ...", "mode", "account"
        )
        self.day_pnl_usd = self._gauge(
            "day_pnl_usd", "Real result of the UTC day of the newest result, after fees and funding"
        )
        self.drawdown_usd = self._gauge("drawdown_usd", "Real result below its highest")
        self.loss_streak_count = self._gauge("loss_streak_count", "Losing real trades in a row")
        self.trading_ready = self._gauge("trading_ready", "1 while real orders may be decided")
        self.ladder_step = self._gauge("ladder_step", "Step of the degradation ladder, 0 is normal")
        self.market_stops = self._counter(
            "market_stops", "Markets that a gate shrank, stopped or let go", "gate", "state"
        )
        self.fill_gap_checks = self._counter("fill_gap_checks", "Checks of fills after a reconnect", "verdict")
        self.fills_missed = self._counter("fills_missed", "Fills that the stream had not brought, found by a check")
        self.fills_recovered = self._counter("fills_recovered", "Missed fills that were applied")
        self.account_checks = self._counter("account_checks", "Account reads against our account of it", "verdict")
        self.account_difference_usd = self._gauge(
            "account_difference_usd", "Venue's cash minus ours at the last judged read", "dex"
        )

    def _process(self) -> None:
        self.info = self._gauge("info", "1, with what is running in the labels", "version", "venue", "session_id")
        self.seq = self._gauge("seq", "Sequence number of the newest input")
        self.journal_sync_lag_ms = self._gauge("journal_sync_lag_ms", "Age of the oldest write not yet on disk")
        self.loop_lag_ms = self._gauge("loop_lag_ms", "How late the event loop ran last")
        self.loop_lag_hist_ms = self._histogram("loop_lag_hist_ms", "How late the event loop ran", buckets=_LATENCY_MS)
        self.projection_backlog = self._gauge("projection_backlog", "Closed journal segments not yet projected")
        self.projection_lag_s = self._gauge("projection_lag_s", "Age of the oldest closed segment not yet projected")
        self.projection_restarts = self._counter("projection_restarts", "Times the projecting child died")
        self.log_dropped = self._gauge("log_dropped", "Log lines lost because stderr was closed or full")
        self.event_clients = self._gauge("event_clients", "Readers of /v1/events")
        self.event_clients_dropped = self._counter("event_clients_dropped", "Readers of /v1/events that were too slow")
        self.control_requests = self._counter("control_requests", "Requests to the control API", "route", "status")

    def render(self) -> bytes:
        """Return the exposition text for `/metrics`."""
        return generate_latest(self.registry)
