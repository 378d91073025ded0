"""The markets of the simulated venue: a small table of our own with the facts of the real ones.

Rule 1: names, order, size decimals, leverage, margin and growth modes are those of the real dex `xyz` (2026-07), so an
asset id here is the asset id there. Size decimals of indices 6 to 13 and leverage of 8 to 13 are inferred.
Rule 2: price, spread, depth, volume and open interest are rounded medians of public daily figures (2026-04 to 08), so
that a simulated book looks like the real one. They are levels to move around, not a recording.
"""

from dataclasses import dataclass
from decimal import Decimal

DEX = "xyz"
DEX_INDEX = 1
DEX_FULL_NAME = "XYZ"
DEPLOYER = "0x1234567890545d1df9ee64b35fdd16966e08acec"
COLLATERAL_TOKEN = 0
TOTAL_OI_CAP_USD = Decimal("10000000000.0")
FUNDING_MULTIPLIER = Decimal("0.5")
GROWTH_MODE_SINCE = "2025-11-23T17:37:10.033211662"


@dataclass(frozen=True, slots=True)
class Market:
    """Facts of one market; `index` is its place in `meta(dex).universe`."""

    index: int
    coin: str
    sz_decimals: int
    leverage_max: int
    margin_mode: str
    """`cross` (the key is absent on the wire), `noCross` or `strictIsolated`."""
    is_growth_mode: bool
    px: float
    """Price level in quote units around which the path moves."""
    spread_bps: float
    touch_usd: float
    """Median notional displayed at the best price of a side."""
    depth_usd: float
    """Median notional within 10 bps of the mid, one side."""
    vol_bps: float
    """Volatility of the US session in bps per square root of a second."""
    oi_usd: float
    volume_usd: float
    oi_cap_usd: int

    @property
    def px_decimals(self) -> int:
        """Decimals a price may have at most: 6 - szDecimals."""
        return 6 - self.sz_decimals

    @property
    def asset_id(self) -> int:
        """Asset id of orders: 100000 + dex index x 10000 + index."""
        return 100_000 + DEX_INDEX * 10_000 + self.index


# fmt: off
MARKETS: tuple[Market, ...] = (
    #      index  coin      sz lev mode    growth    px   spread  touch    depth    vol     oi    volume     cap
    Market(0, "xyz:XYZ100", 4, 30, "cross",   True, 29706.0, 0.35, 180e3, 10900e3, 0.35, 240e6, 278e6, 750_000_000),
    Market(1, "xyz:TSLA",   3, 20, "cross",   True, 325.75,  0.80, 18e3,   317e3,  0.80,  34e6,  22e6, 150_000_000),
    Market(2, "xyz:NVDA",   3, 20, "cross",   True, 216.25,  0.52, 35e3,   800e3,  0.65, 154e6,  41e6, 400_000_000),
    Market(3, "xyz:GOLD",   4, 25, "cross",   False, 4073.0, 0.25, 120e3, 2390e3,  0.30, 168e6,  37e6, 500_000_000),
    Market(4, "xyz:HOOD",   3, 10, "noCross", True, 93.389,  2.40, 7e3,    146e3,  0.90,  16e6,   8e6,  75_000_000),
    Market(5, "xyz:INTC",   2, 10, "noCross", True, 98.222,  1.80, 15e3,   208e3,  0.85,  41e6,  41e6, 150_000_000),
    Market(6, "xyz:PLTR",   3, 10, "noCross", True, 159.72,  2.30, 9e3,    179e3,  0.80,   5e6,   5e6,  50_000_000),
    Market(7, "xyz:COIN",   3, 10, "noCross", True, 150.61,  2.45, 6e3,    101e3,  0.95,  10e6,   6e6,  50_000_000),
    Market(8, "xyz:META",   3, 20, "cross",   True, 589.29,  1.60, 16e3,   233e3,  0.55,  39e6,   7e6, 150_000_000),
    Market(9, "xyz:AAPL",   3, 20, "cross",   True, 310.23,  1.20, 17e3,   262e3,  0.45,  48e6,   6e6, 150_000_000),
    Market(10, "xyz:MSFT",  3, 20, "cross",   True, 490.19,  1.65, 18e3,   334e3,  0.45,  61e6,   8e6, 200_000_000),
    Market(11, "xyz:ORCL",  3, 10, "noCross", True, 145.09,  2.50, 9e3,    218e3,  0.75,  31e6,   8e6, 100_000_000),
    Market(12, "xyz:GOOGL", 3, 20, "cross",   True, 379.26,  0.95, 18e3,   309e3,  0.50, 102e6,  12e6, 300_000_000),
    Market(13, "xyz:AMZN",  3, 20, "cross",   True, 278.02,  1.70, 13e3,   269e3,  0.55,  19e6,   6e6, 100_000_000),
)
# fmt: on
BY_COIN: dict[str, Market] = {market.coin: market for market in MARKETS}
