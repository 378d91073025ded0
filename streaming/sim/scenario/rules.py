"""Rules of the simulated venue beside its markets: network, delays, accounts, limits.

Source of the defaults: shared/reference/hyperliquid-protocol.md (facts of 2026), sections 3, 6, 7 and 10.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]


class LimitRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the venue refuses beyond; per IP unless said otherwise."""

    is_enforced: bool = True
    weight_per_minute: Count = 1_200
    connection_count_max: Count = 10
    connections_per_minute: Count = 30
    subscription_count_max: Count = 1_000
    user_count_max: Count = 10
    messages_per_minute: Count = 2_000
    inflight_post_count_max: Count = 100
    address_request_count: Count = 10_000
    """Actions an address has before it has traded anything; one more for each USDC traded."""
    address_limited_period_ms: Count = 10_000
    """Beyond the budget: one action in this time."""
    open_order_count_max: Count = 1_000


class VenueRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the venue treats everybody."""

    network: Literal["testnet", "mainnet"] = "testnet"
    """Which signatures it accepts: source `b` and `Testnet`, or source `a` and `Mainnet`."""
    initial_balance_usd: Annotated[Decimal, msgspec.Meta(ge=0)] = Decimal(10_000)
    """What an address seen for the first time has on every dex."""
    taker_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 200
    """From arrival to the block an action with an IOC or GTC order may enter."""
    maker_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 60
    """The same for cancels, ALO orders and everything else."""
    commit_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 136
    """From the block to the answer: two blocks."""
    schedule_cancel_volume_usd: Annotated[Decimal, msgspec.Meta(ge=0)] = Decimal(1_000_000)
    price_band_ratio: Annotated[Decimal, msgspec.Meta(gt=0, le=1)] = Decimal("0.8")
    """An order further than this from the reference price is refused."""
    limits: LimitRules = LimitRules()
