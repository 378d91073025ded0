"""The sidecar's watch over itself: loop lag, journal sync lag and rate use, told to the engine as inputs.

Rule 1: lag is measured on the clock that counts suspend, so a machine that slept shows as one long lag (F-63, F-66).
Rule 2: after a lag, or a step of the wall clock, no age is trusted for one age window: what was received before may
have waited in a buffer.
Rule 3: an offset of 2 s to the venue's clock warns; the engine closes entries at its own limit (F-62).
Rule 4: the journal holds transitions and one report every 10 s, not every sample.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal

from streaming.core.events import RateUseReported, StopRequested, TimerFired, WriterHealthReported
from streaming.core.units import NS_PER_MS, NS_PER_S, ZERO
from streaming.shell.clock import Clock
from streaming.shell.journal.writer import JournalWriter
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.metrics import Metrics

SAMPLE_MS = 100
LOOP_LAG_MS_MAX = 250
SYNC_LAG_MS_MAX = 1_000
CLOCK_STEP_MS_MAX = 250
VENUE_OFFSET_MS_WARN = 2_000
REPORT_NS = 10 * NS_PER_S
STEP_NS = NS_PER_S
"""Without any other input the engine is stepped this often: its heartbeat must not depend on the feed."""
_RATE_STEP = Decimal("0.05")
_RATE_QUANTUM = Decimal("0.001")

RateUses = Callable[[int], Mapping[str, Decimal]]
"""now_mono_ns → use ratio by the name of the limit."""


class Health:
    """Samples, reports and shows the process's own condition."""

    def __init__(
        self, *, runtime: Runtime, journal: JournalWriter, clock: Clock, metrics: Metrics, rate_uses: RateUses
    ) -> None:
        """Watch `journal` and the running loop; `rate_uses` accounts for the venue's limits."""
        self._runtime = runtime
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._rate_uses = rate_uses
        self._log = get_logger(component="health")
        self._distrust_until_ns = 0
        self._is_healthy: bool | None = None
        self._reported_ns = 0
        self._offset_ns: int | None = None
        self._reported_rate: Decimal | None = None
        self._rate_reported_ns = 0
        self._is_stop_requested = False
        self._is_venue_offset = False

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            before_ns = self._clock.mono_ns()
            await asyncio.sleep(SAMPLE_MS / 1000)
            self.sample(max(0, (self._clock.mono_ns() - before_ns) // NS_PER_MS - SAMPLE_MS))

    def sample(self, loop_lag_ms: int) -> None:
        """Take one sample; `loop_lag_ms` is how late the loop woke us."""
        now_ns = self._clock.mono_ns()
        sync_lag_ms = self._journal.sync_lag_ms
        self._metrics.loop_lag_ms.set(loop_lag_ms)
        self._metrics.loop_lag_hist_ms.observe(loop_lag_ms)
        self._metrics.journal_sync_lag_ms.set(sync_lag_ms)
        self._metrics.seq.set(self._runtime.state.seq)
        if loop_lag_ms > LOOP_LAG_MS_MAX or self._is_clock_stepped(now_ns):
            window_ms = self._runtime.state.limits.gates.bbo_confirmation_age_ms_max
            self._distrust_until_ns = now_ns + window_ms * NS_PER_MS
        is_healthy = sync_lag_ms <= SYNC_LAG_MS_MAX and now_ns >= self._distrust_until_ns and self._journal.is_healthy
        self._report_writer(now_ns, is_healthy, sync_lag_ms, loop_lag_ms)
        self._report_rate(now_ns)
        self._watch_venue_offset()
        if now_ns - self._runtime.state.event_mono_ns >= STEP_NS:
            self._runtime.apply(TimerFired(recv_mono_ns=now_ns, recv_ts_ns=self._clock.ts_ns()))
        if not self._journal.is_healthy and not self._is_stop_requested:
            self._request_stop(now_ns)

    def _is_clock_stepped(self, now_ns: int) -> bool:
        """Tell whether the wall clock moved against the clock of ages since the last sample (F-62, F-63)."""
        offset_ns = self._clock.ts_ns() - now_ns
        previous_ns, self._offset_ns = self._offset_ns, offset_ns
        if previous_ns is None or abs(offset_ns - previous_ns) <= CLOCK_STEP_MS_MAX * NS_PER_MS:
            return False
        self._log.warning("clock_stepped", step_ms=(offset_ns - previous_ns) // NS_PER_MS)
        return True

    def _watch_venue_offset(self) -> None:
        offset_ms = self._runtime.state.venue_clock.offset_ns // NS_PER_MS
        self._metrics.venue_offset_ms.set(offset_ms)
        is_offset = abs(offset_ms) >= VENUE_OFFSET_MS_WARN
        if is_offset is not self._is_venue_offset:
            self._is_venue_offset = is_offset
            log = self._log.warning if is_offset else self._log.info
            log("venue_offset_changed", offset_ms=offset_ms, action="set this machine's clock" if is_offset else "")

    def _report_writer(self, now_ns: int, is_healthy: bool, sync_lag_ms: int, loop_lag_ms: int) -> None:
        is_changed = is_healthy is not self._is_healthy
        if not is_changed and now_ns - self._reported_ns < REPORT_NS:
            return
        if is_changed and self._is_healthy is not None:
            log = self._log.info if is_healthy else self._log.warning
            log("writer_health_changed", is_healthy=is_healthy, sync_lag_ms=sync_lag_ms, loop_lag_ms=loop_lag_ms)
        self._is_healthy, self._reported_ns = is_healthy, now_ns
        self._runtime.apply(
            WriterHealthReported(
                recv_mono_ns=now_ns,
                recv_ts_ns=self._clock.ts_ns(),
                is_healthy=is_healthy,
                sync_lag_ms=sync_lag_ms,
                loop_lag_ms=loop_lag_ms,
                queue_count=0,
            )
        )

    def _report_rate(self, now_ns: int) -> None:
        uses = self._rate_uses(now_ns)
        for limit_name, use in uses.items():
            self._metrics.rate_use_ratio.labels(limit_name).set(float(use))
        name, ratio = max(uses.items(), key=lambda use: use[1], default=("none", ZERO))
        previous = self._reported_rate
        is_moved = previous is None or abs(ratio - previous) >= _RATE_STEP
        if not is_moved and now_ns - self._rate_reported_ns < REPORT_NS:
            return
        self._reported_rate, self._rate_reported_ns = ratio, now_ns
        self._runtime.apply(
            RateUseReported(
                recv_mono_ns=now_ns,
                recv_ts_ns=self._clock.ts_ns(),
                use_ratio=ratio.quantize(_RATE_QUANTUM),
                limit_name=name,
            )
        )

    def _request_stop(self, now_ns: int) -> None:
        """A full disk: only the journal's reserve is left, so stop while the reason can still be written (F-58)."""
        self._is_stop_requested = True
        self._log.critical("journal_disk_full", action="stop latch set; free space, then restart and reset")
        self._runtime.apply(
            StopRequested(
                recv_mono_ns=now_ns,
                recv_ts_ns=self._clock.ts_ns(),
                command_id=0,
                reason="journal_disk_full",
                operator="sidecar",
            )
        )
