"""What is known about a market: its specification, its status, its live state.

`MarketState` has one owner, the engine; everything else reads it. It is a plain msgspec struct, so that a snapshot of
the whole state is one encode.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec


class Side(StrEnum):
    """Our side: BUY hits the ask, SELL hits the bid."""

    BUY = "buy"
    SELL = "sell"


class BookClass(StrEnum):
    """What a best bid and offer is worth. Only VALID may be judged; none of them means "halted"."""

    NONE = "none"
    VALID = "valid"
    ONE_SIDED = "one_sided"
    EMPTY = "empty"
    LOCKED = "locked"
    CROSSED = "crossed"


class MarketSpec(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Immutable facts of a market; `spec_version` is a content hash of all the others."""

    coin: str
    dex: str
    asset_id: int
    """100000 + dex index x 10000 + index in `meta(dex).universe`."""
    sz_decimals: int
    leverage_max: int
    margin_mode: str
    """`cross`, `noCross` or `strictIsolated`."""
    is_growth_mode: bool
    deployer_fee_scale: Decimal
    taker_fee_bps: Decimal
    """Effective for our account: tier, HIP-3 scale, growth mode and discounts are in."""
    is_delisted: bool
    collateral_token: int
    spec_version: str


class MarketStatus(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the status polls say about a market; None is unknown and therefore blocks."""

    coin: str
    is_halted: bool | None
    is_at_oi_cap: bool | None
    oi_cap_ntl: Decimal | None
