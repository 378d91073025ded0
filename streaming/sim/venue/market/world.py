"""The generated side of the venue as the exchange sees it: columns of the tape as Decimals, overrides applied.

Rule 1: what the exchange matches against is what the feed shows: the same rows, the same ladder, the same overrides.
Rule 2: answers are remembered as long as their row is in force, so asking every block costs a look-up.
Rule 3: a market that is halted or delisted has no generated orders and no generated trades.
"""

from collections.abc import Iterator
from decimal import Decimal

from streaming.sim.exchange.view import Level, Liquidity, Listed, PublicTrade
from streaming.sim.markets.generator import HOUR_MS
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.hooks import Overrides, Prices, Touch
from streaming.sim.venue.market.books import Side, ladder, touch_of
from streaming.sim.venue.market.tape import HourSource, Tape

_EMPTY: tuple[Side, Side] = ([], [])
_FUNDING_EXPONENT = -10


class World:
    """Implements `exchange.view.MarketView` over a tape."""

    def __init__(self, source: HourSource, overrides: Overrides | None = None) -> None:
        """Show the markets of `source`; nothing is loaded yet."""
        self.source = source
        self.tape = Tape(source)
        self.universe = source.scenario.universe
        self.overrides = Overrides() if overrides is None else overrides
        self._facts: dict[str, tuple[int, int, Listed]] = {}
        self._books: dict[str, tuple[tuple[int, Touch, float], tuple[Side, Side], Liquidity]] = {}

    def listed(self, coin: str, now_ms: int) -> Listed:
        """Return the market as it stands; KeyError for a coin that does not exist."""
        fact = self._facts.get(coin)
        if fact is None or not fact[0] <= now_ms < fact[1]:
            end_ms = (now_ms // HOUR_MS + 1) * HOUR_MS
            listed = self.source.listed(coin, now_ms)
            for change in self.source.changes(coin, now_ms + 1, end_ms):
                end_ms = change.ts_ms
                break
            fact = self._facts[coin] = (now_ms, end_ms, listed)
        return self.overrides.listed(fact[2], now_ms)

    def market(self, coin: str, now_ms: int) -> Market:
        """Return the facts in force."""
        return self.listed(coin, now_ms).market

    def is_plain(self, coin: str, now_ms: int) -> bool:
        """Tell whether the columns alone say how this market is quoted now."""
        return not self.overrides.is_active(coin) and self.listed(coin, now_ms).is_open

    def ladder(self, coin: str, now_ms: int) -> tuple[Side, Side]:
        """Return the generated book in scaled integers."""
        return self._book(coin, now_ms)[0]

    def liquidity(self, coin: str, now_ms: int) -> Liquidity:
        """Return the generated book in force."""
        return self._book(coin, now_ms)[1]

    def deep_ladder(self, coin: str, now_ms: int, count: int) -> tuple[Side, Side]:
        """Return as many generated levels as wanted, for aggregated books."""
        if not self.listed(coin, now_ms).is_open:
            return _EMPTY
        ts_ms, touch, ratio = self._key(coin, now_ms)
        bids, asks = ladder(self.universe.by_coin[coin], touch, ts_ms, count)
        return _scaled(bids, ratio), _scaled(asks, ratio)

    def _book(self, coin: str, now_ms: int) -> tuple[tuple[Side, Side], Liquidity]:
        is_open = self.listed(coin, now_ms).is_open
        key = self._key(coin, now_ms) if is_open else (-1, Touch(0, 0, 0, 0), 0.0)
        held = self._books.get(coin)
        if held is not None and held[0] == key:
            return held[1], held[2]
        market = self.universe.by_coin[coin]
        ts_ms, touch, ratio = key
        sides = ladder(market, touch, ts_ms) if is_open else _EMPTY
        bids, asks = (_scaled(side, ratio) for side in sides)
        # A row has its own time; an override that changes the same row makes another version of it.
        version = ts_ms * 1024 + (hash((touch, ratio)) % 1023 + 1 if self.overrides.is_active(coin) else 0)
        liquidity = Liquidity(_levels(market, bids), _levels(market, asks), version)
        self._books[coin] = (key, (bids, asks), liquidity)
        return (bids, asks), liquidity

    def _key(self, coin: str, now_ms: int) -> tuple[int, Touch, float]:
        hour, row = self.tape.latest("bbo", coin, now_ms)
        touch, ratio = touch_of(hour, row), 1.0
        if self.overrides.is_active(coin):
            touch, ratio = self.overrides.touch(coin, touch, now_ms), self.overrides.depth_ratio(coin, now_ms)
        return int(hour.bbo_ts_ms[row]), touch, ratio

    def prices(self, coin: str, now_ms: int) -> Prices:
        """Return oracle and mark in scaled integers."""
        hour, row = self.tape.latest("ctx", coin, now_ms)
        prices = Prices(int(hour.oracle_px[row]), int(hour.mark_px[row]))
        return self.overrides.prices(coin, prices, now_ms) if self.overrides.is_active(coin) else prices

    def oracle_px(self, coin: str, now_ms: int) -> Decimal:
        """Return the oracle price in force."""
        return self._px(coin, self.prices(coin, now_ms).oracle_px)

    def mark_px(self, coin: str, now_ms: int) -> Decimal:
        """Return the mark price in force."""
        return self._px(coin, self.prices(coin, now_ms).mark_px)

    def funding_ratio(self, coin: str, now_ms: int) -> Decimal:
        """Return the hourly funding rate estimate in force."""
        hour, row = self.tape.latest("ctx", coin, now_ms)
        return Decimal(int(hour.funding_e10[row])).scaleb(_FUNDING_EXPONENT)

    def open_interest_sz(self, coin: str, now_ms: int) -> Decimal:
        """Return the generated open interest in base units."""
        hour, row = self.tape.latest("ctx", coin, now_ms)
        return Decimal(int(hour.open_interest_sz[row])).scaleb(-self.universe.by_coin[coin].sz_decimals)

    def trades(self, coin: str, after_ms: int, until_ms: int) -> Iterator[PublicTrade]:
        """Yield generated trades with after < time <= until."""
        market = self.universe.by_coin[coin]
        for hour, row in self.tape.between("trades", coin, after_ms, until_ms):
            ts_ms = int(hour.trade_ts_ms[row])
            if self.listed(coin, ts_ms).is_open:
                yield PublicTrade(
                    ts_ms=ts_ms,
                    is_buy=bool(hour.trade_is_buy[row]),
                    px=self._px(coin, int(hour.trade_px[row])),
                    sz=Decimal(int(hour.trade_sz[row])).scaleb(-market.sz_decimals),
                )

    def is_pulled(self, coin: str, now_ms: int, oid: int) -> bool:
        """Tell whether makers withdraw the touch because this taker order arrives."""
        return self.source.is_pulled(coin, now_ms, oid)

    def _px(self, coin: str, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.universe.by_coin[coin].px_decimals)


def _scaled(side: Side, ratio: float) -> Side:
    return side if ratio == 1.0 else [(px, max(1, round(sz * ratio)), n) for px, sz, n in side]


def _levels(market: Market, side: Side) -> tuple[Level, ...]:
    return tuple(
        Level(Decimal(px).scaleb(-market.px_decimals), Decimal(sz).scaleb(-market.sz_decimals), n) for px, sz, n in side
    )
