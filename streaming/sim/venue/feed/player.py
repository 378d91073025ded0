"""Plays the markets to whoever listens: every change once, in the block in which it happens.

Rule 1: one step plays what happened since the last one; nothing is computed for topics without listeners.
Rule 2: after a pause (suspend, a stalled machine) the past is not replayed: everybody gets the present state.
Rule 3: a market in which clients are at work, or faults, is compared block by block with what was last sent.

Source: hyperliquid-protocol.md, section 1.5 (cadences).
"""

import base64
import zlib

from streaming.sim.exchange.events import ExchangeEvent, Json, Traded
from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS
from streaming.sim.scenario.universe import VALIDATOR_DEX
from streaming.sim.venue.feed.clients import Hub
from streaming.sim.venue.feed.due import Due
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.market.books import FAST_LEVELS, SLOW_LEVELS
from streaming.sim.venue.market.candles import History, begin_of
from streaming.sim.venue.market.quotes import Quotes
from streaming.sim.venue.market.wire import compact, frame

SLOW_BOOK_MS = 5_360
FAST_BOOK_MS = 537
MIDS_MS = 5_050
TRADES_BACK_MS = 20_000
"""The first `trades` frame repeats about this much."""
PAUSE_MS = 2_000
_SECOND_MS = 1_000
_ALL_CTXS_MS = 13_600
_LOAD_AHEAD_MS = 120_000


class Player:
    """Position on the tape and the market frames that follow from moving it."""

    def __init__(self, quotes: Quotes, history: History, hub: Hub, now_ms: int) -> None:
        """Start at `now_ms`; the hours around it must be loaded."""
        self.at_ms = now_ms
        self._quotes = quotes
        self._world = quotes.world
        self._history = history
        self._hub = hub
        self._compared: dict[str, list[Json]] = {}
        """The touch last sent of markets that are not plain."""
        self._due = Due()
        self._fast_ctxs: dict[str, dict[str, Json]] = {}
        """What listeners know."""
        self._topics = {
            coin: tuple(Topic(channel, coin) for channel in ("bbo", "activeAssetCtx", "trades"))
            for coin in self._world.universe.by_coin
        }

    def step(self, now_ms: int) -> None:
        """Play everything up to `now_ms`; a clock that went back waits until it has caught up."""
        if now_ms <= self.at_ms:
            return
        after_ms, self.at_ms = self.at_ms, now_ms
        if now_ms - after_ms > PAUSE_MS:
            self._compared = {}
            self._due.add(topic for topic in self._hub.topics() if not topic.user)
        else:
            for coin in self._topics:
                self._play_coin(coin, after_ms, now_ms)
            due = {key for key, period_ms in _PERIODS_MS.items() if now_ms // period_ms != after_ms // period_ms}
            if due:
                self._due.add(topic for topic in self._hub.topics() if (topic.channel, topic.is_fast) in due)
        for topic in self._due.take():
            if self._hub.has(topic):
                for text in self._frames(topic):
                    self._hub.publish(topic, text)

    def show(self, events: list[ExchangeEvent]) -> None:
        """Note and publish the public trades among the events of the exchange."""
        frames: dict[tuple[str, int], list[Json]] = {}
        for event in events:
            if isinstance(event, Traded):
                self._quotes.trades.add(event.coin, event.trade)
                frames.setdefault((event.coin, event.trade["time"]), []).append(event.trade)
        for (coin, _), trades in frames.items():
            topic = self._topics[coin][2]
            if self._hub.has(topic):
                self._hub.publish(topic, frame("trades", trades))

    def next_block_ms(self, now_ms: int) -> int:
        """Return when there may be something new."""
        return (now_ms // BLOCK_MS + 1) * BLOCK_MS

    def needs_hour(self, now_ms: int) -> int | None:
        """Return an hour that has to be loaded soon: the next one, from two minutes before it begins."""
        hour = (now_ms + _LOAD_AHEAD_MS) // HOUR_MS
        return None if self._world.tape.is_loaded(hour) else hour

    def needs_history(self) -> tuple[str, list[int]] | None:
        """Return a market and hours without which somebody's candles can not be made."""
        for topic in self._hub.topics():
            if topic.channel == "candle":
                begin_ms = begin_of(topic.interval, self.at_ms)
                missing = self._history.missing(topic.coin, begin_ms, self.at_ms, self.at_ms)
                if missing:
                    return topic.coin, missing
        return None

    def snapshot(self, topic: Topic) -> list[str]:
        """Return what a new listener gets first, after the ack."""
        if topic.channel == "candle":
            return []
        if topic.channel == "fastAssetCtxs":
            if not self._hub.has(topic):
                self._fast_ctxs = self._all_fast()
            # What the others know too, so that the next changes are changes to everybody.
            return [_deflated(self._fast_ctxs)]
        return self._frames(topic)

    def _frames(self, topic: Topic) -> list[str]:
        """Return the present state of a topic of markets."""
        coin, now_ms = topic.coin, self.at_ms
        match topic.channel:
            case "bbo":
                return self._bbo(coin)
            case "activeAssetCtx":
                return [frame("activeAssetCtx", {"coin": coin, "ctx": self._quotes.ctx(coin, now_ms)})]
            case "trades":
                return [frame("trades", self._quotes.trades.between(coin, now_ms - TRADES_BACK_MS, now_ms))]
            case "l2Book":
                return [self._book(topic)]
            case "candle":
                return self._candle(topic)
            case _:
                return self._frames_of_dexes(topic)

    def _bbo(self, coin: str) -> list[str]:
        if self._world.listed(coin, self.at_ms).is_delisted:
            return []
        return [self._quotes.bbo_frame(coin, *self._touch_at(coin))]

    def _frames_of_dexes(self, topic: Topic) -> list[str]:
        by_dex = self._world.universe.by_dex
        if topic.channel == "fastAssetCtxs":
            return self._fast_changes()
        if topic.channel == "allDexsAssetCtxs":
            return [frame("allDexsAssetCtxs", {"ctxs": [[dex, self._ctxs(dex)] for dex in sorted(by_dex)]})]
        if topic.dex not in by_dex:
            return []
        if topic.channel == "allMids":
            mids = {"mids": self._quotes.mids(topic.dex, self.at_ms)}
            return [frame("allMids", mids if topic.dex == VALIDATOR_DEX else {"dex": topic.dex} | mids)]
        return [frame("assetCtxs", {"dex": topic.dex, "ctxs": self._ctxs(topic.dex)})]

    def _ctxs(self, dex: str) -> list[Json]:
        return [self._quotes.ctx(market.coin, self.at_ms) for market in self._world.universe.by_dex[dex]]

    def _play_coin(self, coin: str, after_ms: int, now_ms: int) -> None:
        bbo, ctx, trades = self._topics[coin]
        is_plain = self._quotes.is_plain(coin, now_ms)
        if not is_plain or coin in self._compared:
            self._compare(coin, after_ms, is_plain=is_plain)
        elif self._hub.has(bbo):
            for place in self._world.tape.between("bbo", coin, after_ms, now_ms):
                self._hub.publish(bbo, self._quotes.texts[coin].bbo(*place))
        if self._hub.has(ctx):
            for place in self._world.tape.between("ctx", coin, after_ms, now_ms):
                data = {"coin": coin, "ctx": self._quotes.ctx(coin, now_ms, place)}
                self._hub.publish(ctx, frame("activeAssetCtx", data))
        if self._hub.has(trades):
            blocks: dict[int, list[Json]] = {}
            for trade in self._quotes.trades.generated(coin, after_ms, now_ms):
                blocks.setdefault(trade["time"], []).append(trade)
            for block in blocks.values():
                self._hub.publish(trades, frame("trades", block))

    def _compare(self, coin: str, after_ms: int, *, is_plain: bool) -> None:
        """Publish the touch if it is not what was last sent; back to the tape once it is plain again."""
        known = self._compared.get(coin)
        if known is None:
            place = self._world.tape.latest("bbo", coin, after_ms)
            known = self._quotes.texts[coin].touch(*place)
        touch = self._quotes.bbo(coin, self.at_ms)
        if touch != known:
            block_ms = self.at_ms // BLOCK_MS * BLOCK_MS
            self._hub.publish(self._topics[coin][0], self._quotes.bbo_frame(coin, block_ms, touch))
        if is_plain:
            self._compared.pop(coin, None)
        else:
            self._compared[coin] = touch

    def _touch_at(self, coin: str) -> tuple[int, list[Json]]:
        """Return time and touch as last sent (or as they would have been)."""
        if self._quotes.is_plain(coin, self.at_ms):
            hour, row = self._world.tape.latest("bbo", coin, self.at_ms)
            return int(hour.bbo_ts_ms[row]), self._quotes.texts[coin].touch(hour, row)
        return self.at_ms // BLOCK_MS * BLOCK_MS, self._quotes.bbo(coin, self.at_ms)

    def _book(self, topic: Topic) -> str:
        count = FAST_LEVELS if topic.is_fast else SLOW_LEVELS
        data = self._quotes.book(topic.coin, self.at_ms, count, topic.sig_figs, topic.mantissa)
        return frame("l2Book", data | {"fast": True} if topic.is_fast else data)

    def _candle(self, topic: Topic) -> list[str]:
        """Return the candle under way if the last second changed it."""
        begin_ms, now_ms = begin_of(topic.interval, self.at_ms), self.at_ms
        if self._history.missing(topic.coin, begin_ms, now_ms, now_ms):
            return []
        last_ms = now_ms - _SECOND_MS
        if begin_ms <= last_ms and not self._quotes.trades.between(topic.coin, last_ms, now_ms):
            return []
        own = self._quotes.trades.of_clients(topic.coin, begin_ms, now_ms)
        return [
            frame("candle", candle)
            for candle in self._history.candles(topic.coin, topic.interval, begin_ms, now_ms, own)
        ]

    def _all_fast(self) -> dict[str, dict[str, Json]]:
        ctxs = ((coin, self._quotes.ctx(coin, self.at_ms)) for coin in self._topics)
        return {coin: {"markPx": ctx["markPx"], "midPx": ctx["midPx"]} for coin, ctx in ctxs}

    def _fast_changes(self) -> list[str]:
        known, self._fast_ctxs = self._fast_ctxs, self._all_fast()
        changes: dict[str, dict[str, Json]] = {}
        for coin, ctx in self._fast_ctxs.items():
            before = known.get(coin, {})
            changed = {key: value for key, value in ctx.items() if key not in before or before[key] != value}
            if changed:
                changes[coin] = changed
        return [_deflated(changes)] if changes else []


_PERIODS_MS = {
    ("l2Book", False): SLOW_BOOK_MS,
    ("l2Book", True): FAST_BOOK_MS,
    ("allMids", False): MIDS_MS,
    ("assetCtxs", False): MIDS_MS,
    ("allDexsAssetCtxs", False): _ALL_CTXS_MS,
    ("fastAssetCtxs", False): _SECOND_MS,
    ("candle", False): _SECOND_MS,
}
"""What is sent by the clock; `(channel, is_fast)`. The cadence of `assetCtxs` is not known."""


def _deflated(ctxs: dict[str, dict[str, Json]]) -> str:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(compact(ctxs).encode()) + packer.flush()
    return frame("fastAssetCtxs", base64.b64encode(packed).decode())
