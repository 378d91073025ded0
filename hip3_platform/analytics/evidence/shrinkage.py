"""The predecessor's method, kept to be seen beside ours: it asks whether an edge shrank, not whether money was made.

Source: section 2 of the evidence method ("Predecessor"), read off its reports. Every bbo and ctx of a market with a raw
edge of at least 11 bps is a signal, so one frozen quote is hundreds. Reduction = edge - |edge 5 s later|, both on the
side that would be entered: the oracle falling back to the quote counts as a gain, and nobody ever leaves. Metric = mean
reduction - 10 bps. Of the net thresholds 0, 5, ..., 50 (net = raw - 11) with at least 50 signals the one with the best
metric is chosen on the same data that then approve it; a market is tradeable if that metric is above zero.

Never used for a decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hip3_platform.analytics.evidence.columns import MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import BUY, SELL, edges_bps, merged_with
from hip3_platform.analytics.evidence.family import Floats, Ints
from streaming.core.units import NS_PER_S

RAW_EDGE_BPS = 11
COST_BPS = 10.0
NET_THRESHOLDS_BPS = tuple(range(0, 51, 5))
SIGNAL_COUNT_MIN = 50
FOLLOWUP_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class ShrinkageSums:
    """Sums over the signals of a market-day whose net edge is at least each of `NET_THRESHOLDS_BPS`."""

    day: str
    signals: Ints
    reduction_bps: Floats


@dataclass(frozen=True, slots=True)
class ShrinkageVerdict:
    """What the predecessor would have said of a market over a window."""

    is_tradeable: bool
    net_threshold_bps: int | None
    """None where no threshold has enough signals."""
    claimed_bps: float | None
    """Its metric at that threshold: what it believed to earn a trade."""
    signals: int
    """Signals at that threshold, or all where there is none."""

    @property
    def raw_threshold_bps(self) -> int | None:
        """The same threshold on the raw edge."""
        return None if self.net_threshold_bps is None else self.net_threshold_bps + RAW_EDGE_BPS


def shrinkage_sums(day: MarketDay) -> ShrinkageSums:
    """Return the sums of one market-day; a signal without a quote 5 s later has no reduction and is not counted."""
    merged = merged_with(day, np.arange(day.ctx_ts_ns.size))
    # Both are known from some place on; what lies in the day is one run of places.
    known = int(np.count_nonzero((merged.row < 0) | (merged.step < 0)))
    begin, end = np.searchsorted(merged.ts_ns, [day.begin_ns, day.end_ns]).tolist()
    run = slice(max(begin, known), end)
    parts = [_reductions(day, merged.ts_ns[run], merged.row[run], merged.step[run], side) for side in (BUY, SELL)]
    net = np.concatenate([edge for edge, _ in parts]) - RAW_EDGE_BPS
    reduction = np.concatenate([reduced for _, reduced in parts])
    reached = [net >= bps for bps in NET_THRESHOLDS_BPS]
    return ShrinkageSums(
        day=day.day,
        signals=np.array([flags.sum() for flags in reached], dtype=np.int64),
        reduction_bps=np.array([reduction[flags].sum() for flags in reached]),
    )


def _reductions(day: MarketDay, ts_ns: Ints, row: Ints, step: Ints, side: int) -> tuple[Floats, Floats]:
    px = day.ask_px if side == BUY else day.bid_px
    touch, oracle = px[row], day.oracle_px[step]
    is_signal = (touch != MISSING) & (side * (oracle - touch) * 10_000 >= RAW_EDGE_BPS * oracle)
    ts_ns, touch, oracle = ts_ns[is_signal], touch[is_signal], oracle[is_signal]
    later_ns = ts_ns + FOLLOWUP_NS
    later_row = np.searchsorted(day.bbo_ts_ns, later_ns, side="right") - 1
    later_step = np.searchsorted(day.ctx_ts_ns, later_ns, side="right") - 1
    is_known = (px[later_row] != MISSING) & (later_ns <= day.data_end_ns)
    sides = np.array(side)
    edge = edges_bps(sides, touch, oracle)[is_known]
    later = edges_bps(sides, px[later_row], day.oracle_px[later_step])[is_known]
    return edge, edge - np.abs(later)


def shrinkage_verdict(window: Sequence[ShrinkageSums]) -> ShrinkageVerdict:
    """Return what the predecessor concludes from the days of a window, all of them in sample."""
    if not window:
        return ShrinkageVerdict(False, None, None, 0)
    signals = np.stack([each.signals for each in window]).sum(axis=0)
    reduction = np.stack([each.reduction_bps for each in window]).sum(axis=0)
    enough = np.flatnonzero(signals >= SIGNAL_COUNT_MIN)
    if not enough.size:
        return ShrinkageVerdict(False, None, None, int(signals[0]))
    metric = reduction[enough] / signals[enough] - COST_BPS
    best = int(metric.argmax())
    at = int(enough[best])
    claimed = float(metric[best])
    return ShrinkageVerdict(claimed > 0, NET_THRESHOLDS_BPS[at], claimed, int(signals[at]))
