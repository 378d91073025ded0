"""What an hour of a market leaves behind: its trades and its funding, for candles and `fundingHistory`.

Rule 1: the venue's markets are a week old: older hours are not generated, and answers begin there.
Rule 2: `load` computes, so the server calls it in a thread; everything else only looks up.
Rule 3: candles begin with the first trade; an interval without one repeats the close, with volume and count zero.

Source: hyperliquid-protocol.md, sections 1.6 (candle), 2 (candleSnapshot, fundingHistory) and 9 (funding).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from streaming.sim.exchange.events import Json
from streaming.sim.markets.generator import HOUR_MS, NONE, MarketHour
from streaming.sim.markets.noise import Ints, key_of
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.market.tape import Tape
from streaming.sim.venue.market.wire import Texts, text_of

_MINUTE_MS = 60_000
_DAY_MS = 24 * HOUR_MS
INTERVALS_MS = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": _DAY_MS,
    "3d": 3 * _DAY_MS,
    "1w": 7 * _DAY_MS,
    "1M": 31 * _DAY_MS,
}
"""Length of a candle; `1M` is a calendar month and this its longest."""
HISTORY_HOURS = 168
CANDLE_COUNT_MAX = 5_000
FUNDING_COUNT_MAX = 500
_MONDAY_MS = 4 * _DAY_MS
"""1970-01-05, where weeks begin."""
_E10 = 10


@dataclass(frozen=True, slots=True)
class _Summary:
    """What is kept of one market-hour."""

    trade_ts_ms: Ints
    trade_px: Ints
    trade_sz: Ints
    funding_e10: int
    """Estimate at the hour's end: what is paid then."""
    premium_e10: int


class History:
    """Summaries of the hours that somebody asked about."""

    def __init__(self, tape: Tape) -> None:
        """Take hours from the tape where it has them, else make them with its source."""
        self._tape = tape
        self._markets = tape.universe.by_coin
        self._summaries: dict[tuple[str, int], _Summary | None] = {}
        self._px_texts = {market.coin: Texts(market.px_decimals) for market in tape.markets}

    def missing(self, coin: str, begin_ms: int, end_ms: int, now_ms: int) -> list[int]:
        """Return the hours that have to be loaded before an answer about begin <= time <= end is complete."""
        first = max(begin_ms // HOUR_MS, now_ms // HOUR_MS - HISTORY_HOURS)
        last = min(end_ms, now_ms) // HOUR_MS
        return [hour for hour in range(first, last + 1) if not self._is_known(coin, hour)]

    def load(self, coin: str, hours: Iterable[int]) -> None:
        """Generate hours of a market; those a recording does not have are noted as such."""
        for hour in hours:
            try:
                columns = self._tape.source.hour(coin, hour)
            except LookupError:
                self._summaries[coin, hour] = None
            else:
                self._summaries[coin, hour] = _summary(columns)
        # The server's loop adds to the same table meanwhile, so this looks at a copy of the keys.
        known = tuple(self._summaries)
        newest = max((hour for _, hour in known), default=0)
        for key in known:
            if key[1] < newest - 2 * HISTORY_HOURS:
                del self._summaries[key]

    def fundings(self, coin: str, begin_ms: int, end_ms: int, now_ms: int) -> list[Json]:
        """Return what `fundingHistory` says, oldest first; every payment is stamped a little after its hour."""
        paid = []
        for hour in range(now_ms // HOUR_MS - HISTORY_HOURS, min(end_ms, now_ms) // HOUR_MS + 1):
            ts_ms = hour * HOUR_MS + 1 + key_of(coin, "funding", hour) % 118
            summary = self._summaries.get((coin, hour - 1)) if self._is_known(coin, hour - 1) else None
            if summary is None or not begin_ms <= ts_ms <= min(end_ms, now_ms):
                continue
            rate, premium = text_of(summary.funding_e10, _E10), text_of(summary.premium_e10, _E10)
            paid.append({"coin": coin, "fundingRate": rate, "premium": premium, "time": ts_ms})
        return paid[:FUNDING_COUNT_MAX]

    def candles(self, coin: str, interval: str, begin_ms: int, end_ms: int, own: list[Json]) -> list[Json]:
        """Return the candles that begin in begin <= t <= end, of generated trades and of clients' (`own`)."""
        market = self._markets[coin]
        begin_ms = max(begin_ms, begin_of(interval, end_ms) - CANDLE_COUNT_MAX * INTERVALS_MS[interval])
        ts_ms, px, sz = self._trades(market, begin_ms, end_ms, own)
        if not ts_ms.size:
            return []
        begins = _begins(interval, ts_ms)
        firsts = np.flatnonzero(np.diff(begins, prepend=begins[0] - 1))
        columns = zip(
            begins[firsts].tolist(),
            px[firsts].tolist(),
            px[np.append(firsts[1:], ts_ms.size) - 1].tolist(),
            np.maximum.reduceat(px, firsts).tolist(),
            np.minimum.reduceat(px, firsts).tolist(),
            np.add.reduceat(sz, firsts).tolist(),
            np.diff(np.append(firsts, ts_ms.size)).tolist(),
            strict=True,
        )
        made: list[Json] = []
        close = 0
        for begin, *values in columns:
            if made:
                made += [
                    self._candle(market, interval, at, (close, close, close, close, 0, 0))
                    for at in _steps(interval, made[-1]["t"], begin)
                ]
            made.append(self._candle(market, interval, begin, tuple(values)))
            close = values[1]
        made += [
            self._candle(market, interval, at, (close, close, close, close, 0, 0))
            for at in _steps(interval, made[-1]["t"], end_ms + 1)
        ]
        return [candle for candle in made if begin_ms <= candle["t"] <= end_ms][-CANDLE_COUNT_MAX:]

    def _candle(self, market: Market, interval: str, begin_ms: int, values: tuple[int, ...]) -> Json:
        opened, closed, high, low, volume, count = values
        texts = self._px_texts[market.coin]
        return {
            "t": begin_ms,
            "T": end_of(interval, begin_ms),
            "s": market.coin,
            "i": interval,
            "o": texts[opened],
            "c": texts[closed],
            "h": texts[high],
            "l": texts[low],
            "v": text_of(volume, market.sz_decimals),
            "n": count,
        }

    def _is_known(self, coin: str, hour: int) -> bool:
        """Tell whether an hour is summed up; what the tape has is summed up now."""
        if (coin, hour) in self._summaries:
            return True
        columns = self._tape.columns(coin, hour)
        if columns is None:
            return False
        self._summaries[coin, hour] = _summary(columns)
        return True

    def _trades(self, market: Market, begin_ms: int, end_ms: int, own: list[Json]) -> tuple[Ints, Ints, Ints]:
        last = end_ms // HOUR_MS
        hours = range(max(begin_ms // HOUR_MS, last - HISTORY_HOURS), last + 1)
        known = [
            summary
            for hour in hours
            if self._is_known(market.coin, hour) and (summary := self._summaries.get((market.coin, hour))) is not None
        ]
        mine = np.array([_own(market, trade) for trade in own], dtype=np.int64).reshape(-1, 3)
        ts_ms = np.concatenate([mine[:, 0], *(summary.trade_ts_ms for summary in known)])
        px = np.concatenate([mine[:, 1], *(summary.trade_px for summary in known)])
        sz = np.concatenate([mine[:, 2], *(summary.trade_sz for summary in known)])
        order = np.argsort(ts_ms, kind="stable")
        order = order[(ts_ms[order] >= begin_ms) & (ts_ms[order] <= end_ms)]
        return ts_ms[order], px[order], sz[order]


def begin_of(interval: str, ts_ms: int) -> int:
    """Return the begin of the candle an instant belongs to."""
    return int(_begins(interval, np.array([ts_ms], dtype=np.int64))[0])


def end_of(interval: str, begin_ms: int) -> int:
    """Return the last millisecond of the candle that begins there."""
    if interval == "1M":
        return begin_of(interval, begin_ms + INTERVALS_MS[interval] + _DAY_MS) - 1
    return begin_ms + INTERVALS_MS[interval] - 1


def _summary(columns: MarketHour) -> _Summary:
    premium = columns.premium_e10[columns.premium_e10 != NONE]
    return _Summary(
        trade_ts_ms=columns.trade_ts_ms.copy(),
        trade_px=columns.trade_px.copy(),
        trade_sz=columns.trade_sz.copy(),
        funding_e10=int(columns.funding_e10[-1]) if columns.funding_e10.size else 0,
        premium_e10=int(premium[-1]) if premium.size else 0,
    )


def _begins(interval: str, ts_ms: Ints) -> Ints:
    if interval == "1M":
        months = (ts_ms // 1000).astype("datetime64[s]").astype("datetime64[M]")
        return np.asarray(months.astype("datetime64[ms]").astype(np.int64))
    length_ms, shift_ms = INTERVALS_MS[interval], _MONDAY_MS if interval == "1w" else 0
    return np.asarray((ts_ms - shift_ms) // length_ms * length_ms + shift_ms)


def _steps(interval: str, after_ms: int, before_ms: int) -> Iterator[int]:
    at = end_of(interval, after_ms) + 1
    while at < before_ms:
        yield at
        at = end_of(interval, at) + 1


def _own(market: Market, trade: Json) -> tuple[int, int, int]:
    px = round(float(trade["px"]) * 10**market.px_decimals)
    return int(trade["time"]), px, round(float(trade["sz"]) * 10**market.sz_decimals)
