"""What the exchange reads of the generated markets; the venue's world answers it, tests use a small fake.

Rule: prices and sizes are Decimals of wire texts; `now_ms` is venue time, ms UTC, and never goes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from streaming.sim.scenario.universe import Market


class Level(NamedTuple):
    """One price of a book."""

    px: Decimal
    sz: Decimal
    n: int


class Liquidity(NamedTuple):
    """Generated orders of one market, at most 20 levels a side, best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    version: int
    """Another number whenever the generated touch has changed: consumed size is back then."""


class PublicTrade(NamedTuple):
    """A generated trade between others; resting orders of clients at its price or better are hit first."""

    ts_ms: int
    is_buy: bool
    """The aggressor's side."""
    px: Decimal
    sz: Decimal


@dataclass(frozen=True, slots=True)
class Listed:
    """A market as it stands now: its facts in force, and what is special."""

    market: Market
    is_halted: bool = False
    is_delisted: bool = False
    is_at_oi_cap: bool = False

    @property
    def is_open(self) -> bool:
        """Whether anybody can trade."""
        return not (self.is_halted or self.is_delisted)


class MarketView(Protocol):
    """The generated side of the venue."""

    def listed(self, coin: str, now_ms: int) -> Listed:
        """Return the market as it stands; KeyError for a coin that does not exist."""
        ...

    def liquidity(self, coin: str, now_ms: int) -> Liquidity:
        """Return the generated book in force."""
        ...

    def oracle_px(self, coin: str, now_ms: int) -> Decimal:
        """Return the oracle price in force."""
        ...

    def mark_px(self, coin: str, now_ms: int) -> Decimal:
        """Return the mark price in force."""
        ...

    def funding_ratio(self, coin: str, now_ms: int) -> Decimal:
        """Return the hourly funding rate estimate in force."""
        ...

    def open_interest_sz(self, coin: str, now_ms: int) -> Decimal:
        """Return the generated open interest in base units."""
        ...

    def trades(self, coin: str, after_ms: int, until_ms: int) -> Iterable[PublicTrade]:
        """Yield generated trades with after < time <= until."""
        ...

    def is_pulled(self, coin: str, now_ms: int, oid: int) -> bool:
        """Tell whether makers withdraw the touch because this taker order arrives (hidden character)."""
        ...
