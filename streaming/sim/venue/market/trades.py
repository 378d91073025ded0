"""Public trades: generated ones and those of clients, in one order.

Rule: a client's trade is kept in memory only; after a restart the tape has the generated ones, as nothing else.
"""

from collections import deque
from itertools import islice

from streaming.sim.exchange.events import Json
from streaming.sim.venue.market.tape import Place
from streaming.sim.venue.market.wire import MarketTexts
from streaming.sim.venue.market.world import World

_REMEMBERED = 500
RECENT_COUNT = 10
RECENT_MS = 3_600_000


class TradeLog:
    """Trades of all markets as on the wire."""

    def __init__(self, world: World, texts: dict[str, MarketTexts]) -> None:
        """Read generated trades from `world`."""
        self._world = world
        self._texts = texts
        self._of_clients: dict[str, deque[Json]] = {}

    def add(self, coin: str, trade: Json) -> None:
        """Note a trade in which a client took part."""
        self._of_clients.setdefault(coin, deque(maxlen=_REMEMBERED)).append(trade)

    def generated(self, coin: str, after_ms: int, until_ms: int) -> list[Json]:
        """Return generated trades with after < time <= until, oldest first."""
        places = self._world.tape.between("trades", coin, after_ms, until_ms)
        return [self._texts[coin].trade(*place) for place in places if self._is_open(coin, place)]

    def between(self, coin: str, after_ms: int, until_ms: int) -> list[Json]:
        """Return all trades with after < time <= until, oldest first."""
        mine = [trade for trade in self._of_clients.get(coin, ()) if after_ms < trade["time"] <= until_ms]
        both = [*self.generated(coin, after_ms, until_ms), *mine]
        both.sort(key=lambda trade: int(trade["time"]))
        return both

    def recent(self, coin: str, now_ms: int) -> list[Json]:
        """Return the newest trades, newest first."""
        after_ms = now_ms - RECENT_MS
        places = reversed(self._world.tape.between("trades", coin, after_ms, now_ms))
        generated = islice((place for place in places if self._is_open(coin, place)), RECENT_COUNT)
        mine = [trade for trade in self._of_clients.get(coin, ()) if after_ms < trade["time"] <= now_ms]
        both = [*mine[::-1], *(self._texts[coin].trade(*place) for place in generated)]
        both.sort(key=lambda trade: -int(trade["time"]))
        return both[:RECENT_COUNT]

    def of_clients(self, coin: str, begin_ms: int, end_ms: int) -> list[Json]:
        """Return clients' trades with begin <= time <= end."""
        return [trade for trade in self._of_clients.get(coin, ()) if begin_ms <= trade["time"] <= end_ms]

    def last_px(self, coin: str, now_ms: int) -> str | None:
        """Return the price of the newest trade that is known."""
        recent = self.recent(coin, now_ms)
        return str(recent[0]["px"]) if recent else None

    def _is_open(self, coin: str, place: Place) -> bool:
        hour, row = place
        return self._world.listed(coin, int(hour.trade_ts_ms[row])).is_open
