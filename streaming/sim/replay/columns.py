"""Columns of one recorded market: rows as they arrived, in the scaled integers of `MarketHour`.

Rule 1: rows stand at the instant at which the recorder received them (ms UTC), so spacing and order between streams are
those a client has seen; the venue's own times differ from them by the way.
Rule 2: what a frame does not say stands as before: a context without a mid or impact prices has none.
"""

from array import array
from decimal import Decimal

import numpy as np

from streaming.core.events import BboUpdated, BookUpdated, CtxUpdated, Trade
from streaming.sim.markets.generator import NONE
from streaming.sim.markets.noise import Ints

_E10, _E6 = 10**10, 10**6
_NEAR_RATIO = Decimal("0.001")
BBO = ("bid_px", "bid_sz", "ask_px", "ask_sz")
CTX = (
    "oracle_px", "mark_px", "mid2_px", "impact_bid_px", "impact_ask_px", "open_interest_sz", "funding_e10",
    "premium_e10", "volume_e6",
)  # fmt: skip
TRADE = ("trade_px", "trade_sz", "trade_is_buy", "trade_tid")


class Rows:
    """Rows of one stream."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.ts_ms = array("q")
        self._columns = tuple(array("q") for _ in names)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.ts_ms)

    def append(self, ts_ms: int, *values: int) -> None:
        """Add a row; a receive stamp that went back stands at the one before."""
        self.ts_ms.append(max(ts_ms, self.ts_ms[-1]) if self.ts_ms else ts_ms)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def times(self) -> Ints:
        """Return the receive times."""
        return np.asarray(self.ts_ms, dtype=np.int64)

    def columns(self) -> dict[str, Ints]:
        """Return the columns by name."""
        return {
            name: np.asarray(column, dtype=np.int64) for name, column in zip(self.names, self._columns, strict=True)
        }


class Columns:
    """Everything recorded of one market."""

    def __init__(self, sz_decimals: int) -> None:
        self._px_scale = Decimal(10) ** (6 - sz_decimals)
        self._sz_scale = Decimal(10) ** sz_decimals
        self.bbo = Rows(BBO)
        self.ctx = Rows(CTX)
        self.trades = Rows(TRADE)
        self._known: set[tuple[int, int]] = set()
        self.depth_usd: list[float] = []
        """Notional within 10 bps of the mid, one side, of every recorded book."""

    def add_bbo(self, ts_ms: int, event: BboUpdated) -> None:
        """Add a touch."""
        self.bbo.append(
            ts_ms, self._px(event.bid_px), self._sz(event.bid_sz), self._px(event.ask_px), self._sz(event.ask_sz)
        )

    def add_ctx(self, ts_ms: int, event: CtxUpdated) -> None:
        """Add a context."""
        self.ctx.append(
            ts_ms,
            self._px(event.oracle_px),
            self._px(event.mark_px),
            NONE if event.mid_px is None else int(event.mid_px * 2 * self._px_scale),
            self._px(event.impact_bid_px),
            self._px(event.impact_ask_px),
            self._sz(event.open_interest_sz),
            round(event.funding_ratio * _E10),
            NONE if event.premium_ratio is None else round(event.premium_ratio * _E10),
            round((event.day_ntl_vlm_usd or 0.0) * _E6),
        )

    def add_trade(self, ts_ms: int, trade: Trade) -> None:
        """Add a public trade, unless it has been told before."""
        if (trade.venue_ts_ms, trade.tid) in self._known:
            return
        self._known.add((trade.venue_ts_ms, trade.tid))
        self.trades.append(ts_ms, self._px(trade.px), self._sz(trade.sz), int(trade.side == "buy"), trade.tid)

    def add_book(self, event: BookUpdated) -> None:
        """Note how much stands near the touch; books themselves are made from touch and depth."""
        if not event.bids or not event.asks:
            return
        mid_px = (event.bids[0].px + event.asks[0].px) / 2
        for levels in (event.bids, event.asks):
            near = [level for level in levels if abs(level.px / mid_px - 1) <= _NEAR_RATIO]
            self.depth_usd.append(float(sum(level.px * level.sz for level in near)))

    def _px(self, px: Decimal | None) -> int:
        return NONE if px is None else max(1, int(px * self._px_scale))

    def _sz(self, sz: Decimal | None) -> int:
        return NONE if sz is None else int(sz * self._sz_scale)
