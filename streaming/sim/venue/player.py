"""Plays the tape to whoever listens: every change once, in the block in which it happens.

Rule 1: one step plays what happened since the last one; nothing is computed for topics without listeners.
Rule 2: after a pause (suspend, a stalled machine) the past is not replayed: everybody gets the present state.
"""

from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS
from streaming.sim.scenario.universe import VALIDATOR_DEX, Market
from streaming.sim.venue.books import FAST_LEVELS, SLOW_LEVELS
from streaming.sim.venue.clients import Hub
from streaming.sim.venue.info import Info
from streaming.sim.venue.subscriptions import Topic, Wanted
from streaming.sim.venue.tape import Tape
from streaming.sim.venue.wire import frame

SLOW_BOOK_MS = 5_400
FAST_BOOK_MS = 540
MIDS_MS = 5_000
TRADES_BACK_MS = 20_000
"""The first `trades` frame repeats about this much."""
_PAUSE_MS = 2_000


class Player:
    """Position on the tape and the frames that follow from moving it."""

    def __init__(self, tape: Tape, info: Info, hub: Hub, now_ms: int) -> None:
        """Start at `now_ms`; the hours around it must be loaded."""
        self._tape = tape
        self._info = info
        self._hub = hub
        self._at_ms = now_ms

    def step(self, now_ms: int) -> None:
        """Play everything up to `now_ms`; a clock that went back waits until it has caught up."""
        if now_ms <= self._at_ms:
            return
        after_ms, self._at_ms = self._at_ms, now_ms
        if now_ms - after_ms > _PAUSE_MS:
            for topic in self._hub.topics():
                self._publish_all(topic, self.snapshot(topic, now_ms))
            return
        for market in self._tape.markets:
            self._play_market(market, after_ms, now_ms)
        for period_ms, is_fast in ((SLOW_BOOK_MS, False), (FAST_BOOK_MS, True)):
            if now_ms // period_ms != after_ms // period_ms:
                self._play_books(now_ms, is_fast=is_fast)
        if now_ms // MIDS_MS != after_ms // MIDS_MS:
            for dex in self._tape.universe.dexes:
                topic = Topic("allMids", extra=dex.name)
                if self._hub.has(topic):
                    self._publish_all(topic, self.snapshot(topic, now_ms))

    def next_block_ms(self, now_ms: int) -> int:
        """Return when there may be something new."""
        return (now_ms // BLOCK_MS + 1) * BLOCK_MS

    def needs_hour(self, now_ms: int) -> int | None:
        """Return an hour that has to be loaded soon: the next one, from two minutes before it begins."""
        hour = (now_ms + 120_000) // HOUR_MS
        return None if self._tape.is_loaded(hour) else hour

    def snapshot(self, topic: Topic, now_ms: int) -> list[str]:
        """Return what a new listener gets first, after the ack."""
        if topic.coin:
            return [self._market_snapshot(topic, now_ms)]
        if topic.channel == "allMids" and topic.extra in self._tape.universe.by_dex:
            mids = {"mids": self._info.mids(now_ms, topic.extra)}
            return [frame("allMids", mids if topic.extra == VALIDATOR_DEX else {"dex": topic.extra} | mids)]
        if topic.channel == "userFills":
            return [frame("userFills", {"isSnapshot": True, "user": topic.user, "fills": []})]
        return []

    def _market_snapshot(self, topic: Topic, now_ms: int) -> str:
        coin, texts = topic.coin, self._info.texts[topic.coin]
        match topic.channel:
            case "bbo":
                return texts.bbo(*self._tape.latest("bbo", coin, now_ms))
            case "activeAssetCtx":
                return texts.active_asset_ctx(*self._tape.latest("ctx", coin, now_ms))
            case "l2Book":
                return self._book(coin, now_ms, is_fast=topic.is_fast)
            case _:
                places = self._tape.between("trades", coin, now_ms - TRADES_BACK_MS, now_ms)
                return frame("trades", [texts.trade(*place) for place in places])

    def first_frames(self, wanted: Wanted) -> list[str]:
        """Return the snapshot of a new subscription as of the position that has been played."""
        return self.snapshot(wanted.topic, self._at_ms)

    def _publish_all(self, topic: Topic, texts: list[str]) -> None:
        for text in texts:
            self._hub.publish(topic, text)

    def _play_market(self, market: Market, after_ms: int, now_ms: int) -> None:
        coin = market.coin
        texts = self._info.texts[coin]
        if self._hub.has(topic := Topic("bbo", coin)):
            for place in self._tape.between("bbo", coin, after_ms, now_ms):
                self._hub.publish(topic, texts.bbo(*place))
        if self._hub.has(topic := Topic("activeAssetCtx", coin)):
            for place in self._tape.between("ctx", coin, after_ms, now_ms):
                self._hub.publish(topic, texts.active_asset_ctx(*place))
        if self._hub.has(topic := Topic("trades", coin)):
            blocks: dict[int, list[object]] = {}
            for hour, row in self._tape.between("trades", coin, after_ms, now_ms):
                blocks.setdefault(int(hour.trade_ts_ms[row]), []).append(texts.trade(hour, row))
            for trades in blocks.values():
                self._hub.publish(topic, frame("trades", trades))

    def _play_books(self, now_ms: int, *, is_fast: bool) -> None:
        for market in self._tape.markets:
            topic = Topic("l2Book", market.coin, is_fast=is_fast)
            if self._hub.has(topic):
                self._hub.publish(topic, self._book(market.coin, now_ms, is_fast=is_fast))

    def _book(self, coin: str, now_ms: int, *, is_fast: bool) -> str:
        data = self._info.book(coin, now_ms, FAST_LEVELS if is_fast else SLOW_LEVELS)
        return frame("l2Book", data | {"fast": True} if is_fast else data)
