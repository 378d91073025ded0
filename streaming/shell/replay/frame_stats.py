"""What a recording held: per channel what could be read, per market and day the figures an observer asks for first.

Rule 1: every frame is counted once: read, unreadable (with its reason) or unknown.
Rule 2: quantiles are exact, over all intervals of the day; a market without two updates has none.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from streaming.contracts.paths import day_of
from streaming.core import events as ev
from streaming.core.effects import AnyOutput, EpisodeEnded, GatesEvaluated, SignalRaised
from streaming.core.market import Side
from streaming.core.trading import events as live
from streaming.core.units import NS_PER_MS

_UNKNOWN = "unknown:"
_CHANNELS: dict[type, str] = {
    ev.BboUpdated: "bbo",
    ev.CtxUpdated: "activeAssetCtx",
    ev.BookUpdated: "l2Book",
    ev.TradesReceived: "trades",
    ev.SubscriptionAcked: "subscriptionResponse",
    ev.VenueErrorReceived: "error",
    live.FillsReceived: "userFills",
    live.OrderUpdatesReceived: "orderUpdates",
    live.FundingsReceived: "userFundings",
    live.TransfersReceived: "userNonFundingLedgerUpdates",
    live.ActionAnswered: "post",
}


class ChannelStats(msgspec.Struct, kw_only=True):
    """Frames of one channel."""

    frame_count: int = 0
    read_count: int = 0
    unreadable_count: int = 0
    unknown_count: int = 0
    reasons: dict[str, int] = {}


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals between updates, in ms."""

    p50: float
    p95: float
    p99: float


class MarketDay(msgspec.Struct, kw_only=True):
    """One market on one UTC day."""

    day: str
    coin: str
    bbo_count: int = 0
    bbo_null_count: int = 0
    """Updates with at least one side missing."""
    bbo_null_ratio: float | None = None
    ctx_count: int = 0
    trade_count: int = 0
    cross_buy_count: int = 0
    """Times the ask went below the oracle."""
    cross_sell_count: int = 0
    """Times the bid went above the oracle."""
    episode_count: int = 0
    """Crosses beyond the threshold, by the day they began."""
    signal_count: int = 0
    blocked_count: int = 0
    blocked_by: dict[str, int] = {}
    bbo_interval_ms: Quantiles | None = None
    ctx_interval_ms: Quantiles | None = None


class _Live(msgspec.Struct, kw_only=True):
    """What is last known of a market while frames pass."""

    bid_px: Decimal | None = None
    ask_px: Decimal | None = None
    oracle_px: Decimal | None = None
    bbo_ts_ns: int | None = None
    ctx_ts_ns: int | None = None
    crossed: set[Side] = set()


class FrameStats:
    """Collects while a recording is replayed."""

    def __init__(self) -> None:
        self.channels: defaultdict[str, ChannelStats] = defaultdict(ChannelStats)
        self._days: dict[tuple[str, str], MarketDay] = {}
        self._live: defaultdict[str, _Live] = defaultdict(_Live)
        self._intervals: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)

    def frame_read(self, event: ev.AnyEvent) -> None:
        """Count one frame and take over what it says about its market."""
        if isinstance(event, ev.FrameMalformed):
            stats = self.channels[event.channel]
            stats.unreadable_count += 1
            stats.reasons[event.reason] = stats.reasons.get(event.reason, 0) + 1
        else:
            channel = _CHANNELS.get(type(event)) or str(getattr(event, "channel", "unknown"))
            stats = self.channels[channel.removeprefix(_UNKNOWN)]
            if channel.startswith(_UNKNOWN):
                stats.unknown_count += 1
            else:
                stats.read_count += 1
        stats.frame_count += 1
        if isinstance(event, ev.BboUpdated):
            self._bbo(event)
        elif isinstance(event, ev.CtxUpdated):
            self._ctx(event)
        elif isinstance(event, ev.TradesReceived):
            for trade in event.trades:
                self._day(trade.coin, event.recv_ts_ns).trade_count += 1

    def decided(self, outputs: Sequence[AnyOutput]) -> None:
        """Count what the engine made of the frames."""
        for output in outputs:
            if isinstance(output, EpisodeEnded):
                self._day(output.coin, output.begin_ts_ns).episode_count += 1
            elif isinstance(output, SignalRaised):
                self._day(output.coin, output.ts_ns).signal_count += 1
            elif isinstance(output, GatesEvaluated) and output.is_blocked:
                day = self._day(output.coin, output.ts_ns)
                day.blocked_count += 1
                day.blocked_by = dict(Counter(day.blocked_by) + Counter(output.blocked_by))

    def connection_lost(self) -> None:
        """Forget prices and clocks: an interval does not reach over a hole."""
        self._live.clear()

    def market_days(self) -> list[MarketDay]:
        """Return the figures of every market and day, in that order."""
        for (day, coin), figures in self._days.items():
            if figures.bbo_count:
                figures.bbo_null_ratio = figures.bbo_null_count / figures.bbo_count
            figures.bbo_interval_ms = _quantiles(self._intervals[day, coin, "bbo"])
            figures.ctx_interval_ms = _quantiles(self._intervals[day, coin, "ctx"])
        return [self._days[key] for key in sorted(self._days)]

    def channel_table(self) -> dict[str, Any]:
        """Return the channels as plain values, by name."""
        return {name: msgspec.to_builtins(self.channels[name]) for name in sorted(self.channels)}

    def _day(self, coin: str, ts_ns: int) -> MarketDay:
        day = day_of(ts_ns)
        figures = self._days.get((day, coin))
        if figures is None:
            figures = self._days[day, coin] = MarketDay(day=day, coin=coin)
        return figures

    def _bbo(self, event: ev.BboUpdated) -> None:
        figures, live = self._day(event.coin, event.recv_ts_ns), self._live[event.coin]
        figures.bbo_count += 1
        figures.bbo_null_count += event.bid_px is None or event.ask_px is None
        if live.bbo_ts_ns is not None:
            self._intervals[figures.day, event.coin, "bbo"].append(event.recv_ts_ns - live.bbo_ts_ns)
        live.bbo_ts_ns = event.recv_ts_ns
        live.bid_px, live.ask_px = event.bid_px, event.ask_px
        _count_crosses(figures, live)

    def _ctx(self, event: ev.CtxUpdated) -> None:
        figures, live = self._day(event.coin, event.recv_ts_ns), self._live[event.coin]
        figures.ctx_count += 1
        if live.ctx_ts_ns is not None:
            self._intervals[figures.day, event.coin, "ctx"].append(event.recv_ts_ns - live.ctx_ts_ns)
        live.ctx_ts_ns = event.recv_ts_ns
        live.oracle_px = event.oracle_px
        _count_crosses(figures, live)


def _count_crosses(figures: MarketDay, live: _Live) -> None:
    now = set()
    if live.oracle_px is not None:
        if live.ask_px is not None and live.ask_px < live.oracle_px:
            now.add(Side.BUY)
        if live.bid_px is not None and live.bid_px > live.oracle_px:
            now.add(Side.SELL)
    figures.cross_buy_count += Side.BUY in now - live.crossed
    figures.cross_sell_count += Side.SELL in now - live.crossed
    live.crossed = now


def _quantiles(intervals_ns: list[int]) -> Quantiles | None:
    if not intervals_ns:
        return None
    p50, p95, p99 = np.quantile(np.asarray(intervals_ns) / NS_PER_MS, (0.5, 0.95, 0.99)).tolist()
    return Quantiles(p50=p50, p95=p95, p99=p99)
