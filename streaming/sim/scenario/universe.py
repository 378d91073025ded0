"""Dexes and markets of a simulated venue: the facts that its listings, its matching and its generator work from.

Rule 1: these structs are also what a scenario file holds; their bounds are the file's bounds.
Rule 2: price, spread, depth, volume and open interest are levels to move around, not a recording.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

import msgspec

VALIDATOR_DEX = ""
FEE_SCALE_MAX, FEE_SCALE_MAX_GROWTH = 3, 10
"""Highest `fee_scale` of a market, and of one in growth mode."""
COLLATERAL_NAMES = {0: "USDC", 235: "USDE", 268: "USDT0", 360: "USDH"}
"""Index of a token on the wire → its name."""

Ratio = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]


class Session(StrEnum):
    """Kind of the underlying: it decides when an outside price exists (`markets.sessions`)."""

    EQUITY = "equity"
    INDEX = "index"
    METAL = "metal"
    ENERGY = "energy"
    FX = "fx"
    CRYPTO = "crypto"
    PRE_IPO = "pre_ipo"


class Dex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One perp dex; its place in `Universe.dexes` is its index on the wire."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z]{0,6}$")]
    """Empty for the validator dex, which is always the first."""
    full_name: str = ""
    deployer: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{40}$")] = "0x1234567890545d1df9ee64b35fdd16966e08acec"
    collateral_token: int = 0
    total_oi_cap_usd: Positive = 10e9
    funding_multiplier: Annotated[float, msgspec.Meta(ge=0.0, le=10.0)] = 0.5


class Market(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market of a dex; its place among the markets of that dex is its index in `meta(dex).universe`."""

    coin: Annotated[str, msgspec.Meta(pattern="^([a-z]{2,6}:)?[A-Za-z0-9._-]{1,24}$")]
    """Full name, `xyz:NVDA`; without a prefix it belongs to the validator dex."""
    sz_decimals: Annotated[int, msgspec.Meta(ge=0, le=5)]
    leverage_max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    margin_mode: Literal["cross", "noCross", "strictIsolated"] = "cross"
    is_growth_mode: bool = False
    fee_scale: Decimal = Decimal(1)
    """The deployer's fee scale, 0 to 3 (to 10 in growth mode); builder dexes only."""
    session: Session = Session.EQUITY
    px: Positive
    """Price level in quote units around which the path moves."""
    spread_bps: Positive
    touch_usd: Positive
    """Median notional displayed at the best price of a side."""
    depth_usd: Positive
    """Median notional within 10 bps of the mid, one side."""
    vol_bps: NotNegative
    """Volatility of the US session in bps per square root of a second."""
    oi_usd: NotNegative
    volume_usd: NotNegative
    oi_cap_usd: Positive = 500e6

    @property
    def dex(self) -> str:
        """Name of its dex."""
        return self.coin.rpartition(":")[0]

    @property
    def px_decimals(self) -> int:
        """Decimals a price may have at most: 6 - szDecimals."""
        return 6 - self.sz_decimals


@dataclass(frozen=True)
class Universe:
    """All dexes and markets of a venue."""

    dexes: tuple[Dex, ...]
    markets: tuple[Market, ...]

    @cached_property
    def by_coin(self) -> dict[str, Market]:
        """Markets by full name."""
        return {market.coin: market for market in self.markets}

    @cached_property
    def by_dex(self) -> dict[str, tuple[Market, ...]]:
        """Markets of every dex in the order of its universe."""
        return {dex.name: tuple(m for m in self.markets if m.dex == dex.name) for dex in self.dexes}

    @cached_property
    def asset_ids(self) -> dict[str, int]:
        """Asset ids of orders: 100000 + dex index x 10000 + index; the bare index on the validator dex."""
        return {
            market.coin: index + (100_000 + 10_000 * place if place else 0)
            for place, dex in enumerate(self.dexes)
            for index, market in enumerate(self.by_dex[dex.name])
        }

    @cached_property
    def builder_markets(self) -> tuple[Market, ...]:
        """Markets of all dexes but the validator's."""
        return tuple(market for market in self.markets if market.dex)
