"""What decisions would have earned under the sidecar's exit rules, asked with the sidecar's own code.

Rule 1: an entry fills as in `markouts`; its fill fixes the baseline with the oracle and mark received last.
Rule 2: `streaming.core.trading.exit_rules` is asked at every bbo and ctx after the fill, in the order of receipt; the
time stop is a deadline and needs none.
Rule 3: an exit order arrives one latency later and fills at the opposite touch in force then, if that is within
`slippage_bps_max` of the touch it was sent at (of the mark, where there was none); else it is sent again after
`retry_ms`. A closing market settles at the mark; what a feed gap or the end of the data hides is void.
Rule 4: result and walk as in `markouts`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from hip3_platform.analytics.evidence.columns import E8, MISSING, MarketDay
from hip3_platform.analytics.evidence.episodes import BUY, Decisions, Merged, merged_with
from hip3_platform.analytics.evidence.family import Floats, Ints
from hip3_platform.analytics.evidence.markouts import ORDER_USD, Exits, State, orders_of
from streaming.core.limits import ExitLimits
from streaming.core.market import Side
from streaming.core.trading.exit_rules import ExitBaseline, ExitTrack, ExitView, exit_reason
from streaming.core.units import BPS, NS_PER_MS

_E8 = Decimal(E8)
_TIME_STOP = "time_stop"


@dataclass(frozen=True, slots=True)
class RuledMarkouts:
    """Of decisions in their order."""

    state: NDArray[np.int8]
    """A `markouts.State`."""
    reason: tuple[str, ...]
    """The exit rule that held, of `EXIT_REASONS`, or `market_closed`; empty where not filled."""
    held_ms: Ints
    """From the fill to the exit; 0 where not filled."""
    net_bps: Floats
    """0 where not filled."""


def ruled_markouts(
    day: MarketDay, decisions: Decisions, limits: ExitLimits, latency_ms: int, order_usd: float = ORDER_USD
) -> RuledMarkouts:
    """Mark out decisions under the exit rules, at one latency for entries and exits.

    Costs about 10 us for every event that a position lives through: meant for the decisions of a chosen policy.
    """
    count = decisions.ts_ns.size
    latency_ns = latency_ms * NS_PER_MS
    state, entries = orders_of(day, decisions, np.arange(count), decisions.ts_ns + latency_ns, order_usd)
    merged = merged_with(day, np.arange(day.ctx_ts_ns.size))
    walk = _Walk(day, merged, limits, latency_ns)
    found = [walk.exit(*each) for each in zip(entries.at_ns.tolist(), entries.side, entries.px.tolist(), strict=True)]
    due_ns = np.array([due for due, _ in found], dtype=np.int64)
    net, until_ns = Exits(day).results(entries, due_ns)
    is_closed = until_ns == day.next_close_ns(entries.at_ns)
    is_void = day.touches_gap(entries.decided_ns, until_ns)
    filled = np.flatnonzero(state == State.FILLED)
    state[filled[is_void]] = State.VOID
    kept = filled[~is_void]
    nets, held_ms = np.zeros(count), np.zeros(count, dtype=np.int64)
    nets[kept] = net[~is_void]
    held_ms[kept] = (until_ns - entries.at_ns)[~is_void] // NS_PER_MS
    reasons = [""] * count
    for place, at in enumerate(filled.tolist()):
        if state[at] == State.FILLED:
            reasons[at] = "market_closed" if is_closed[place] else found[place][1]
    return RuledMarkouts(state=state, reason=tuple(reasons), held_ms=held_ms, net_bps=nets)


class _Walk:
    """One position at a time through what was received after its fill."""

    def __init__(self, day: MarketDay, merged: Merged, limits: ExitLimits, latency_ns: int) -> None:
        self._day = day
        self._merged = merged
        self._limits = limits
        self._latency_ns = latency_ns

    def exit(self, at_ns: int, side: int, entry_px: int) -> tuple[int, str]:
        """Return when the exit order that fills arrives, and which rule asked for it."""
        sent_ns, reason = self._asked(at_ns, side, entry_px)
        stop_ns = min(self._day.data_end_ns, int(self._day.next_close_ns(np.array(at_ns))))
        while sent_ns + self._latency_ns < stop_ns and not self._fills(sent_ns, side):
            sent_ns += self._limits.retry_ms * NS_PER_MS
        return sent_ns + self._latency_ns, reason

    def _asked(self, at_ns: int, side: int, entry_px: int) -> tuple[int, str]:
        day, limits = self._day, self._limits
        fee_bps = Decimal(str(day.fee_at(np.array(at_ns))))
        first = _view(day, self._place(at_ns), at_ns, self._merged)
        baseline = ExitBaseline(
            side=Side.BUY if side == BUY else Side.SELL,
            entry_px=entry_px / _E8,
            entry_mono_ns=at_ns,
            entry_oracle_px=first.oracle_px,
            entry_mark_px=first.mark_px,
            entry_edge_bps=None,
        )
        track = ExitTrack()
        deadline_ns = at_ns + limits.time_stop_ms * NS_PER_MS
        for view in self._views(at_ns, deadline_ns):
            # Gains count once both fees are paid, as the sidecar asks.
            reason = exit_reason(baseline, track, view, limits, 2 * fee_bps)
            if reason:
                return view.now_mono_ns, reason
        return deadline_ns, _TIME_STOP

    def _views(self, after_ns: int, before_ns: int) -> Iterator[ExitView]:
        merged = self._merged
        last = int(np.searchsorted(merged.ts_ns, before_ns, side="left"))
        for place in range(self._place(after_ns) + 1, last):
            yield _view(self._day, place, int(merged.ts_ns[place]), merged)

    def _fills(self, sent_ns: int, side: int) -> bool:
        seen, met = (
            _view(self._day, self._place(ts_ns), ts_ns, self._merged) for ts_ns in (sent_ns, sent_ns + self._latency_ns)
        )
        seen_px, met_px = (view.bid_px if side == BUY else view.ask_px for view in (seen, met))
        sent_px = seen_px if seen_px is not None else seen.mark_px
        if met_px is None or sent_px is None:
            return False
        return side * (sent_px - met_px) * BPS <= self._limits.slippage_bps_max * sent_px

    def _place(self, ts_ns: int) -> int:
        """Last of what was received up to an instant."""
        return int(np.searchsorted(self._merged.ts_ns, ts_ns, side="right")) - 1


def _view(day: MarketDay, place: int, ts_ns: int, merged: Merged) -> ExitView:
    row, step = int(merged.row[place]), int(merged.step[place])
    return ExitView(
        bid_px=_px(day.bid_px, row),
        ask_px=_px(day.ask_px, row),
        oracle_px=_px(day.oracle_px, step),
        mark_px=_px(day.mark_px, step),
        now_mono_ns=ts_ns,
    )


def _px(column: Ints, row: int) -> Decimal | None:
    px = int(column[row])
    return None if px == MISSING else px / _E8
