"""What is quoted now: the columns' own texts while nobody has touched a market, the exchange's book otherwise.

Rule 1: info and feed ask here, so they can not differ.
Rule 2: a market is plain while no client rests in it, nothing of it is consumed, overridden, halted or delisted; then
texts come from columns alone.
"""

from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.exchange import Exchange
from streaming.sim.exchange.texts import number_text
from streaming.sim.exchange.view import Level, Liquidity
from streaming.sim.markets.generator import BLOCK_MS
from streaming.sim.scenario.universe import VALIDATOR_DEX
from streaming.sim.venue.market.books import DEEP_LEVELS, SLOW_LEVELS, RawLevel, Side, aggregate
from streaming.sim.venue.market.tape import Place
from streaming.sim.venue.market.trades import TradeLog
from streaming.sim.venue.market.wire import MarketTexts, compact
from streaming.sim.venue.market.world import World

_IMPACT_USD = Decimal(6_000)
_IMPACT_MAJOR_USD = Decimal(20_000)
_MAJORS = frozenset({"BTC", "ETH"})
_PREMIUM_QUANTUM = Decimal("1e-10")


class Quotes:
    """Books, contexts and mids of all markets as wire values."""

    def __init__(self, world: World, exchange: Exchange) -> None:
        """Read `world`, and `exchange` where clients are at work."""
        self.world = world
        self.texts = {market.coin: MarketTexts(market) for market in world.universe.markets}
        self.trades = TradeLog(world, self.texts)
        self._exchange = exchange
        self._deep: dict[str, tuple[Liquidity, list[Side]]] = {}

    def is_plain(self, coin: str, now_ms: int) -> bool:
        """Tell whether the generated texts are the whole truth."""
        return not self._exchange.is_touched(coin) and self.world.is_plain(coin, now_ms)

    def liquidity(self, coin: str, now_ms: int) -> Liquidity:
        """Return the book with everybody's orders."""
        if self._exchange.is_touched(coin):
            return self._exchange.book(coin, now_ms)
        return self.world.liquidity(coin, now_ms)

    def bbo(self, coin: str, now_ms: int) -> list[Json]:
        """Return `[bid, ask]`."""
        book = self.liquidity(coin, now_ms)
        return [_level(side[0]) if side else None for side in (book.bids, book.asks)]

    def levels(self, coin: str, now_ms: int, count: int) -> list[list[Json]]:
        """Return `[bids, asks]` of at most `count` levels."""
        if self.is_plain(coin, now_ms):
            texts = self.texts[coin]
            return [[texts.level(*level) for level in side[:count]] for side in self.world.ladder(coin, now_ms)]
        book = self.liquidity(coin, now_ms)
        return [[_level(level) for level in side[:count]] for side in (book.bids, book.asks)]

    def book(
        self, coin: str, now_ms: int, count: int = SLOW_LEVELS, figures: int | None = None, mantissa: int | None = None
    ) -> Json:
        """Return the data of `l2Book` as of the newest block, aggregated if `figures` is set."""
        head = {"coin": coin, "time": now_ms // BLOCK_MS * BLOCK_MS}
        if figures is None:
            return {**head, "levels": self.levels(coin, now_ms, count)}
        book, texts = self.liquidity(coin, now_ms), self.texts[coin]
        sides = [
            [texts.level(*level) for level in aggregate(side, sign, figures, mantissa or 1)[:count]]
            for side, sign in zip(self._deep_sides(coin, book, now_ms), (-1, 1), strict=True)
        ]
        spread = book.asks[0].px - book.bids[0].px if book.bids and book.asks else ZERO
        return {**head, "levels": sides, "spread": number_text(spread)}

    def _deep_sides(self, coin: str, book: Liquidity, now_ms: int) -> list[Side]:
        """Return bids and asks behind a book, the same for all aggregations of it."""
        held = self._deep.get(coin)
        if held is None or held[0] != book:
            bids, asks = self.world.deep_ladder(coin, now_ms, DEEP_LEVELS)
            sides = [self._raw(coin, book.bids, bids, -1), self._raw(coin, book.asks, asks, 1)]
            held = self._deep[coin] = (book, sides)
        return held[1]

    def _raw(self, coin: str, near: tuple[Level, ...], generated: Side, sign: int) -> Side:
        """Return the first 20 levels as they stand and generated ones behind them, in scaled integers."""
        market = self.world.universe.by_coin[coin]
        raw: list[RawLevel] = [
            (int(level.px.scaleb(market.px_decimals)), int(level.sz.scaleb(market.sz_decimals)), level.n)
            for level in near
        ]
        if not raw:
            return []
        worst = sign * raw[-1][0]
        return raw + [level for level in generated if sign * level[0] > worst]

    def ctx(self, coin: str, now_ms: int, place: Place | None = None) -> Json:
        """Return the asset context of a row (the one in force by default) with what has been changed since."""
        hour, row = self.world.tape.latest("ctx", coin, now_ms) if place is None else place
        ctx: Json = self.texts[coin].ctx(hour, row)
        if self.is_plain(coin, now_ms):
            return ctx
        oracle, mark = self.world.oracle_px(coin, now_ms), self.world.mark_px(coin, now_ms)
        ctx |= {"oraclePx": number_text(oracle), "markPx": number_text(mark)}
        book = self.liquidity(coin, now_ms)
        if not book.bids or not book.asks:
            return ctx | {"premium": None, "midPx": None, "impactPxs": None}
        mid = (book.bids[0].px + book.asks[0].px) / 2
        notional = _IMPACT_MAJOR_USD if coin in _MAJORS else _IMPACT_USD
        decimals = self.world.universe.by_coin[coin].px_decimals
        bid, ask = (_impact_px(side, notional, decimals) for side in (book.bids, book.asks))
        if self.world.universe.by_coin[coin].dex == VALIDATOR_DEX:
            premium = (max(bid - oracle, ZERO) - max(oracle - ask, ZERO)) / oracle
        else:
            premium = (bid + ask) / 2 / oracle - 1
        return ctx | {
            "premium": number_text(premium.quantize(_PREMIUM_QUANTUM)),
            "midPx": number_text(mid),
            "impactPxs": [number_text(bid), number_text(ask)],
        }

    def mid(self, coin: str, now_ms: int) -> str:
        """Return the mid; without one the last trade's price, without a trade the mark."""
        ctx = self.ctx(coin, now_ms)
        return str(ctx["midPx"] or self.trades.last_px(coin, now_ms) or ctx["markPx"])

    def mids(self, dex: str, now_ms: int) -> dict[str, str]:
        """Return the mids of a dex."""
        return {market.coin: self.mid(market.coin, now_ms) for market in self.world.universe.by_dex[dex]}

    def bbo_frame(self, coin: str, now_ms: int, sides: list[Json]) -> str:
        """Return a `bbo` frame of what `bbo` gave."""
        return compact({"channel": "bbo", "data": {"coin": coin, "time": now_ms, "bbo": sides}})


def _level(level: Level) -> Json:
    return {"px": number_text(level.px), "sz": number_text(level.sz), "n": level.n}


def _impact_px(side: tuple[Level, ...], notional: Decimal, decimals: int) -> Decimal:
    """Return the average price at which `notional` trades; of the whole side if there is less."""
    left, spent, bought = notional, ZERO, ZERO
    for level in side:
        part = min(left, level.px * level.sz)
        spent, bought, left = spent + part, bought + part / level.px, left - part
        if left <= 0:
            break
    return (spent / bought).quantize(Decimal(1).scaleb(-decimals))
