"""The metrics per market: the newest sample of each is kept, and turned into series when somebody scrapes.

Why this module exists: the engine samples all markets in one step each second. Setting ten labelled metrics of 200
markets there took the event loop several milliseconds, in which no tick was looked at; a scrape needs them once in a
while.

Rule 1: `add` keeps references and adds to integers; floats, labels and shares are made by `collect`.
Rule 2: a gauge whose value is not known at the last sample has no series: an old value would pass for a new one.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from streaming.core.effects import HealthSampled
from streaming.core.units import BPS

COUNTERS = (
    ("bbo_update", "Best bid and offer frames"),
    ("bbo_null", "Best bid and offer frames with an empty side"),
    ("ctx_update", "Context frames"),
)
GAUGES = (
    ("bbo_null_ratio", "Share of bbo frames with an empty side, last 60 s"),
    ("oracle_stale_ratio", "Share of the last 60 s with a stale oracle"),
    ("mark_mid_gap_bps", "|mark - mid| / mid"),
    ("spread_bps", "Spread of the book"),
    ("oracle_age_ms", "Since the oracle price last changed"),
    ("bbo_age_ms", "Since the last bbo frame"),
    ("ctx_age_ms", "Since the last context frame"),
)
HISTOGRAMS = (
    ("bbo_age_hist_ms", "Age of the bbo, sampled once a second per market"),
    ("ctx_age_hist_ms", "Age of the context, sampled once a second per market"),
)
_WINDOW_SAMPLES = 60
_BBO_AGE_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
_CTX_AGE_MS = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 8_000, 10_000)


class MarketSamples(Collector):
    """Serves `COUNTERS`, `GAUGES` and `HISTOGRAMS`."""

    def __init__(self) -> None:
        """Start without a market."""
        self._markets: dict[str, _Market] = {}
        self._ages = (_Ages(_BBO_AGE_MS), _Ages(_CTX_AGE_MS))

    def add(self, label: str, sample: HealthSampled) -> None:
        """Take the newest sample of a market, or of one of those that share a label."""
        market = self._markets.get(label)
        if market is None:
            market = self._markets[label] = _Market(sample)
        market.take(sample)
        bbo_ages, ctx_ages = self._ages
        if sample.book.bbo_age_ms is not None:
            bbo_ages.observe(sample.book.bbo_age_ms)
        if sample.book.ctx_age_ms is not None:
            ctx_ages.observe(sample.book.ctx_age_ms)

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield all families, for the exposition."""
        for name, text in COUNTERS:
            counter = CounterMetricFamily(f"hip3_{name}", text, labels=["coin"])
            for label, market in self._markets.items():
                counter.add_metric([label], market.counts[name])
            yield counter
        gauges = {label: market.gauges() for label, market in self._markets.items()}
        for name, text in GAUGES:
            gauge = GaugeMetricFamily(f"hip3_{name}", text, labels=["coin"])
            for label, values in gauges.items():
                value = values[name]
                if value is not None:
                    gauge.add_metric([label], float(value))
            yield gauge
        for (name, text), ages in zip(HISTOGRAMS, self._ages, strict=True):
            yield HistogramMetricFamily(f"hip3_{name}", text, buckets=ages.buckets(), sum_value=ages.sum_ms)


class _Market:
    """What is kept of one market."""

    __slots__ = ("_sample", "_window", "counts")

    def __init__(self, sample: HealthSampled) -> None:
        self.counts = {name: 0 for name, _ in COUNTERS}
        self._sample = sample
        self._window: deque[tuple[bool, int, int]] = deque(maxlen=_WINDOW_SAMPLES)

    def take(self, sample: HealthSampled) -> None:
        self._sample = sample
        counts = self.counts
        counts["bbo_update"] += sample.bbo_count
        counts["bbo_null"] += sample.bbo_null_count
        counts["ctx_update"] += sample.ctx_count
        self._window.append((sample.is_oracle_stale, sample.bbo_null_count, sample.bbo_count))

    def gauges(self) -> dict[str, Decimal | float | None]:
        book, window = self._sample.book, self._window
        bbo_count = sum(bbos for _, _, bbos in window)
        return {
            "bbo_null_ratio": sum(nulls for _, nulls, _ in window) / bbo_count if bbo_count else 0.0,
            "oracle_stale_ratio": sum(is_stale for is_stale, _, _ in window) / len(window),
            "mark_mid_gap_bps": mark_mid_gap_bps(book.bid_px, book.ask_px, book.mark_px),
            "spread_bps": book.spread_bps,
            "oracle_age_ms": book.oracle_age_ms,
            "bbo_age_ms": book.bbo_age_ms,
            "ctx_age_ms": book.ctx_age_ms,
        }


class _Ages:
    """A histogram of milliseconds."""

    __slots__ = ("_bounds_ms", "_counts", "sum_ms")

    def __init__(self, bounds_ms: tuple[int, ...]) -> None:
        self.sum_ms = 0
        self._bounds_ms = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)

    def observe(self, age_ms: int) -> None:
        self._counts[bisect_left(self._bounds_ms, age_ms)] += 1
        self.sum_ms += age_ms

    def buckets(self) -> list[tuple[str, float]]:
        bounds = [*(f"{float(bound)}" for bound in self._bounds_ms), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))


def mark_mid_gap_bps(bid_px: Decimal | None, ask_px: Decimal | None, mark_px: Decimal | None) -> Decimal | None:
    """Return |mark - mid| / mid in bps; None when one of them is not known."""
    if bid_px is None or ask_px is None or mark_px is None or bid_px + ask_px == 0:
        return None
    mid_px = (bid_px + ask_px) / 2
    return abs(mark_px - mid_px) / mid_px * BPS
