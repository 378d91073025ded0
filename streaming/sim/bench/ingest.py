"""`hip3 bench ingest`: the share of a core that the sidecar needs for a flood of frames over a real socket.

Rule 1: the sender is this process, the sidecar another; what it used is read from `/proc`, not from itself.
Rule 2: the sidecar's projecting child is reported apart: it has a low priority and another core.
Rule 3: a sender that did not reach the rate measured something else, so what was reached is part of the result.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

from streaming.core.units import NS_PER_S
from streaming.sim.bench.front import frame_of
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.order import trader
from streaming.sim.bench.sidecar import Sidecar, running_sidecar
from streaming.sim.bench.venue import BenchVenue
from streaming.sim.bench.walk import Walk, Walked

WARM_UP_S = 3.0
TURN_S = 0.001
_FRAME_COUNT = 50_000
_LAG = "hip3_loop_lag_hist_ms_bucket"
_P99 = 0.99


class Pace:
    """Sends frames at a rate, in turns of a millisecond, and drops nothing that is late."""

    def __init__(self, venue: BenchVenue, frames: Sequence[Walked]) -> None:
        """Send `frames` round and round to the venue's client."""
        self._venue = venue
        self._following = cycle(frames)
        self.sent_count = 0

    async def run(self, rate_per_s: int, seconds: float) -> None:
        """Send for some time."""
        begin_ns, base = perf_counter_ns(), self.sent_count
        while (elapsed_ns := perf_counter_ns() - begin_ns) < seconds * NS_PER_S:
            due = rate_per_s * elapsed_ns // NS_PER_S - (self.sent_count - base)
            now_ms = self._venue.now_ms()
            self._venue.publish(b"".join([frame_of(next(self._following).at(now_ms)) for _ in range(due)]))
            self.sent_count += due
            await asyncio.sleep(TURN_S)


async def bench_ingest(
    *, rate_per_s: int, market_count: int, seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Flood a sidecar that watches `market_count` markets with `rate_per_s` frames for some seconds.

    Raises:
        ChildFailed: The sidecar did not start, or did not become ready.
    """
    markets = [BenchMarket(index) for index in range(market_count)]
    venue = BenchVenue(markets, trader("ingest"), lambda *_: None)
    pace = Pace(venue, Walk(markets, seed=1).frames(_FRAME_COUNT))
    with TemporaryDirectory(prefix="hip3-bench-") as folder:
        async with venue.serving() as port, running_sidecar(Path(folder), "ours", port, {}) as sidecar:
            await sidecar.ready(market_count)
            tell(f"ingest: {market_count} markets are ready; warming up, then {seconds:g} s at {rate_per_s:,} frames/s")
            await pace.run(rate_per_s, WARM_UP_S)
            return await _measure(pace, sidecar, rate_per_s, seconds)


async def _measure(pace: Pace, sidecar: Sidecar, rate_per_s: int, seconds: float) -> dict[str, Any]:
    before, sent = await sidecar.metrics(), pace.sent_count
    (own_s, child_s), begin_ns = sidecar.cpu_s(), perf_counter_ns()
    await pace.run(rate_per_s, seconds)
    (own_end_s, child_end_s), end_ns = sidecar.cpu_s(), perf_counter_ns()
    after = await sidecar.metrics()
    took_s = (end_ns - begin_ns) / NS_PER_S
    taken = sum(after[name] - before.get(name, 0.0) for name in after if name.startswith("hip3_frames_total"))
    return {
        "core_share": round((own_end_s - own_s) / took_s, 3),
        "projection_core_share": round((child_end_s - child_s) / took_s, 3),
        "frames_per_s_asked": rate_per_s,
        "frames_per_s_sent": round((pace.sent_count - sent) / took_s),
        "frames_per_s_reached": round(taken / took_s),
        "us_per_frame": round((own_end_s - own_s) * 1e6 / max(1.0, taken), 2),
        "loop_lag_p99_ms": _lag_p99_ms(before, after),
        "seconds": round(took_s, 1),
    }


def _lag_p99_ms(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Return the upper bound of the bucket in which p99 of the loop's lag lies; None without samples or bound."""
    counts = {
        float(name.partition('le="')[2].rstrip('"}')): after[name] - before.get(name, 0.0)
        for name in after
        if name.startswith(_LAG)
    }
    total = max(counts.values(), default=0.0)
    bounds = [bound for bound, count in sorted(counts.items()) if total and count >= _P99 * total]
    return bounds[0] if bounds and bounds[0] != float("inf") else None
