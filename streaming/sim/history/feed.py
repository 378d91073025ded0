"""Events of the engine straight from columns: what decoding the played frames gives, without the frames.

Rule 1: every number is made from its wire text, once; equal integers share one Decimal. So an event here equals the
decoded event of `venue.market.wire`'s frame in every field but the stamps (a test compares them).
Rule 2: virtual time has no network: an event is received in the millisecond in which the venue made it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

import numpy as np

from streaming.core.events import AnyEvent, BboUpdated, CtxUpdated, Trade, TradesReceived
from streaming.core.units import NS_PER_MS
from streaming.hyperliquid.number import positive_decimal, sz_rounded_up
from streaming.sim.markets.generator import NONE, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.market.wire import text_of

GENERATION = 1
_CHANNEL_BITS = 16


class _Decimals(dict[int, Decimal | None]):
    """Scaled integer → the Decimal of its wire text; `NONE` → None."""

    def __init__(self, decimals: int, parse: Callable[[str], Decimal] = positive_decimal) -> None:
        super().__init__()
        self._decimals = decimals
        self._parse = parse
        self[NONE] = None

    def __missing__(self, units: int) -> Decimal | None:
        value = self._parse(text_of(units, self._decimals))
        self[units] = value
        return value

    def column(self, units: Ints) -> list[Decimal | None]:
        """Convert a column."""
        return list(map(self.__getitem__, units.tolist()))

    def whole(self, units: Ints) -> list[Decimal]:
        """Convert a column in which nothing is missing."""
        return cast("list[Decimal]", self.column(units))


_BBO = ("bbo_ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz")
_CTX = (
    "ctx_ts_ms", "oracle_px", "mark_px", "mid2_px", "impact_bid_px", "impact_ask_px", "open_interest_sz", "funding_e10",
    "premium_e10", "volume_e6",
)  # fmt: skip
_TRADES = ("trade_ts_ms", "trade_px", "trade_sz", "trade_is_buy", "trade_tid")


def within(hour: MarketHour, begin_ms: int, end_ms: int) -> MarketHour:
    """Return the rows of a market hour with begin <= time < end."""
    return _cut(hour, lambda ts_ms: slice(*np.searchsorted(ts_ms, [begin_ms, end_ms]).tolist()))


def in_force(hour: MarketHour, now_ms: int) -> MarketHour:
    """Return the last row of every channel before an instant."""

    def last(ts_ms: Ints) -> slice:
        count = int(np.searchsorted(ts_ms, now_ms))
        return slice(max(count - 1, 0), count)

    return _cut(hour, last)


def _cut(hour: MarketHour, rows_of: Callable[[Ints], slice]) -> MarketHour:
    columns: dict[str, Any] = {}
    for names in (_BBO, _CTX, _TRADES):
        rows = rows_of(getattr(hour, names[0]))
        columns |= {name: getattr(hour, name)[rows] for name in names}
    return replace(hour, **columns)


@dataclass(frozen=True, slots=True)
class Timed:
    """Events in time order with their instants."""

    ts_ms: Ints
    events: list[AnyEvent]


def ranks(parts: Sequence[Ints]) -> list[Ints]:
    """Return the place of every row in the common order of some channels.

    Args:
        parts: Times of the channels' rows, ms, rising; of equal instants the earlier channel's come first.
    """
    codes = np.repeat(np.arange(len(parts), dtype=np.uint16), [part.size for part in parts])
    # A plain sort of time and channel in one number is several times faster than a stable sort of the times.
    keys = np.sort((np.concatenate(parts) << _CHANNEL_BITS) | codes)
    order = np.argsort((keys & (2**_CHANNEL_BITS - 1)).astype(np.uint16), kind="stable")
    return np.split(order, np.cumsum([part.size for part in parts])[:-1])


def merged(parts: Sequence[Timed]) -> tuple[list[AnyEvent], list[Ints]]:
    """Return the events of some channels in common order, and the place of each channel's events in it."""
    places = ranks([part.ts_ms for part in parts])
    events = [event for part in parts for event in part.events]
    order = np.empty(len(events), dtype=np.int64)
    order[np.concatenate(places)] = np.arange(len(events))
    return [events[index] for index in order.tolist()], places


class Feed:
    """Turns market hours into events; keeps the numbers it has made."""

    def __init__(self, markets: tuple[Market, ...]) -> None:
        """Prepare for `markets`."""
        self._px = {m.coin: _Decimals(m.px_decimals) for m in markets}
        self._mid = {m.coin: _Decimals(m.px_decimals + 1) for m in markets}
        self._sz = {m.coin: _Decimals(m.sz_decimals) for m in markets}
        self._oi = {m.coin: _Decimals(m.sz_decimals, sz_rounded_up) for m in markets}

    def parts(self, hour: MarketHour) -> tuple[Timed, ...]:
        """Return all events of a market hour, one part a channel."""
        return self.bbo(hour), self.ctx(hour), self.trades(hour)

    def bbo(self, hour: MarketHour) -> Timed:
        """Return the bbo events of a market hour."""
        coin = hour.market.coin
        px, sz = self._px[coin], self._sz[coin]
        columns = zip(
            (hour.bbo_ts_ms * NS_PER_MS).tolist(),
            hour.bbo_ts_ms.tolist(),
            px.column(hour.bid_px),
            sz.column(hour.bid_sz),
            px.column(hour.ask_px),
            sz.column(hour.ask_sz),
            strict=True,
        )
        events: list[AnyEvent] = [
            BboUpdated(
                recv_mono_ns=ts_ns,
                recv_ts_ns=ts_ns,
                coin=coin,
                generation=GENERATION,
                venue_ts_ms=ts_ms,
                bid_px=bid_px,
                bid_sz=bid_sz,
                ask_px=ask_px,
                ask_sz=ask_sz,
            )
            for ts_ns, ts_ms, bid_px, bid_sz, ask_px, ask_sz in columns
        ]
        return Timed(hour.bbo_ts_ms, events)

    def ctx(self, hour: MarketHour) -> Timed:
        """Return the ctx events of a market hour."""
        coin = hour.market.coin
        px = self._px[coin]
        mid2 = np.where(hour.mid2_px == NONE, NONE, hour.mid2_px * 5)
        premium = [None if e10 == NONE else e10 / 1e10 for e10 in hour.premium_e10.tolist()]
        columns = zip(
            (hour.ctx_ts_ms * NS_PER_MS).tolist(),
            px.whole(hour.oracle_px),
            px.whole(hour.mark_px),
            self._mid[coin].column(mid2),
            px.column(hour.impact_bid_px),
            px.column(hour.impact_ask_px),
            self._oi[coin].whole(hour.open_interest_sz),
            hour.funding_e10.tolist(),
            premium,
            hour.volume_e6.tolist(),
            strict=True,
        )
        events: list[AnyEvent] = [
            CtxUpdated(
                recv_mono_ns=ts_ns,
                recv_ts_ns=ts_ns,
                coin=coin,
                generation=GENERATION,
                oracle_px=oracle_px,
                mark_px=mark_px,
                mid_px=mid_px,
                impact_bid_px=impact_bid_px,
                impact_ask_px=impact_ask_px,
                open_interest_sz=oi_sz,
                funding_ratio=funding_e10 / 1e10,
                premium_ratio=premium_ratio,
                day_ntl_vlm_usd=volume_e6 / 1e6,
            )
            for (
                ts_ns, oracle_px, mark_px, mid_px, impact_bid_px, impact_ask_px, oi_sz, funding_e10, premium_ratio,
                volume_e6,
            ) in columns
        ]  # fmt: skip
        return Timed(hour.ctx_ts_ms, events)

    def trades(self, hour: MarketHour) -> Timed:
        """Return the trades of a market hour, one frame a block."""
        coin = hour.market.coin
        px, sz = self._px[coin].whole(hour.trade_px), self._sz[coin].whole(hour.trade_sz)
        frames: dict[int, list[Trade]] = {}
        for row, ts_ms in enumerate(hour.trade_ts_ms.tolist()):
            trade = Trade(
                coin=coin,
                side="buy" if hour.trade_is_buy[row] else "sell",
                px=px[row],
                sz=sz[row],
                venue_ts_ms=ts_ms,
                tid=int(hour.trade_tid[row]),
            )
            frames.setdefault(ts_ms, []).append(trade)
        events: list[AnyEvent] = [
            TradesReceived(
                recv_mono_ns=ts_ms * NS_PER_MS,
                recv_ts_ns=ts_ms * NS_PER_MS,
                generation=GENERATION,
                trades=tuple(trades),
            )
            for ts_ms, trades in frames.items()
        ]
        return Timed(np.array(list(frames), dtype=np.int64), events)
