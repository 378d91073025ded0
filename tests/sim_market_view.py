"""A small venue of two dexes and a MarketView whose markets stand where a test puts them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec

from streaming.sim.exchange.view import Level, Liquidity, Listed, PublicTrade
from streaming.sim.scenario.universe import Dex, Market, Universe

BTC = "BTC"
NVDA = "xyz:NVDA"
GOLD = "xyz:GOLD"
FOO = "abc:FOO"
START_MS = 1_790_000_000_000 // 68 * 68
"""Time of a block, not near the hour."""


def market(coin: str, px: float, sz_decimals: int, **changes: object) -> Market:
    facts: dict[str, object] = {
        "coin": coin,
        "px": px,
        "sz_decimals": sz_decimals,
        "leverage_max": 20,
        "spread_bps": 2.0,
        "touch_usd": 20_000.0,
        "depth_usd": 100_000.0,
        "vol_bps": 1.0,
        "oi_usd": 50e6,
        "volume_usd": 100e6,
    }
    return msgspec.convert(facts | changes, Market)


def small_universe() -> Universe:
    """BTC on the validator dex; NVDA (growth mode) and GOLD (noCross) on xyz, id 110000 and 110001; FOO on abc."""
    return Universe(
        dexes=(Dex(name=""), Dex(name="xyz", full_name="XYZ"), Dex(name="abc", full_name="ABC")),
        markets=(
            market(BTC, 84_000, 5, leverage_max=40),
            market(NVDA, 190, 3, is_growth_mode=True),
            market(GOLD, 4_000, 4, margin_mode="noCross"),
            market(FOO, 50, 2, leverage_max=10, margin_mode="strictIsolated"),
        ),
    )


def levels(*rows: tuple[str, str]) -> tuple[Level, ...]:
    """Levels from texts: `levels(("190.00", "5"), …)`, best first."""
    return tuple(Level(Decimal(px), Decimal(sz), 1) for px, sz in rows)


@dataclass
class Stand:
    """One market as it stands."""

    listed: Listed
    oracle_px: Decimal
    mark_px: Decimal
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    version: int = 1
    funding_ratio: Decimal = Decimal("0.00001")
    open_interest_sz: Decimal = Decimal(1_000)
    trades: list[PublicTrade] = field(default_factory=list)
    is_pulled: bool = False


class FakeView:
    """A MarketView that stands still until it is told otherwise; the time is ignored but for trades."""

    def __init__(self, universe: Universe) -> None:
        self.stands = {m.coin: Stand(Listed(m), Decimal(str(m.px)), Decimal(str(m.px))) for m in universe.markets}

    def set_book(self, coin: str, bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> None:
        """Give the market another generated book; its version changes."""
        stand = self.stands[coin]
        stand.bids, stand.asks = levels(*bids), levels(*asks)
        stand.version += 1

    def set_px(self, coin: str, px: str) -> None:
        """Move oracle and mark."""
        self.stands[coin].oracle_px = self.stands[coin].mark_px = Decimal(px)

    def set_listed(self, coin: str, **changes: object) -> None:
        """Change how the market is listed (`is_halted=True`)."""
        stand = self.stands[coin]
        stand.listed = replace(stand.listed, **changes)  # type: ignore[arg-type]

    def listed(self, coin: str, now_ms: int) -> Listed:
        del now_ms
        return self.stands[coin].listed

    def liquidity(self, coin: str, now_ms: int) -> Liquidity:
        del now_ms
        stand = self.stands[coin]
        return Liquidity(stand.bids, stand.asks, stand.version)

    def oracle_px(self, coin: str, now_ms: int) -> Decimal:
        del now_ms
        return self.stands[coin].oracle_px

    def mark_px(self, coin: str, now_ms: int) -> Decimal:
        del now_ms
        return self.stands[coin].mark_px

    def funding_ratio(self, coin: str, now_ms: int) -> Decimal:
        del now_ms
        return self.stands[coin].funding_ratio

    def open_interest_sz(self, coin: str, now_ms: int) -> Decimal:
        del now_ms
        return self.stands[coin].open_interest_sz

    def trades(self, coin: str, after_ms: int, until_ms: int) -> Iterable[PublicTrade]:
        return [trade for trade in self.stands[coin].trades if after_ms < trade.ts_ms <= until_ms]

    def is_pulled(self, coin: str, now_ms: int, oid: int) -> bool:
        del now_ms, oid
        return self.stands[coin].is_pulled
