"""Rules of the simulated venue beside its markets: network, delays, accounts, limits.

Source of the defaults: shared/reference/hyperliquid-protocol.md (facts of 2026), sections 3, 6, 7 and 10.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

_USD_MAX = 10**12
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
    is_open: bool = True
    """Whether an unknown signer is a new account; false answers that it does not exist."""
    initial_balance_usd: Decimal = Decimal(10_000)
    """What an address seen for the first time has on every dex."""
    taker_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 200
    """From arrival to the block an action with an IOC or GTC order may enter."""
    maker_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 60
    """The same for cancels, ALO orders and everything else."""
    commit_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 136
    """From the block to the answer: two blocks."""
    schedule_cancel_volume_usd: Decimal = Decimal(1_000_000)
    price_band_ratio: Decimal = Decimal("0.8")
    """An order further than this from the reference price is refused."""
    limits: LimitRules = LimitRules()

    def __post_init__(self) -> None:
        """Refuse impossible amounts; msgspec has no bounds for decimals.

        Raises:
            ValueError: Naming the key.
        """
        for name in ("initial_balance_usd", "schedule_cancel_volume_usd"):
            amount: Decimal = getattr(self, name)
            if not (amount.is_finite() and 0 <= amount <= _USD_MAX):
                raise ValueError(f"{name}: expected 0 to {_USD_MAX:,}, found {amount}")
        if not (self.price_band_ratio.is_finite() and 0 < self.price_band_ratio <= 1):
            raise ValueError(f"price_band_ratio: expected above 0 and at most 1, found {self.price_band_ratio}")
