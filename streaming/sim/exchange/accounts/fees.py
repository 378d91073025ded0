"""Fees of the venue: tiers by volume, the official HIP-3 formula, shares of deployer and builder, the `userFees` body.

Rule 1: the tier of a UTC day follows from the weighted volume of the 14 whole days before it; growth mode counts 10 %.
Rule 2: maker and taker of a market pay the user's rate by the official formula; the venue has no aligned quote asset.
Rule 3: an amount is cut to a millionth: 66.653 x 0.00015 = 0.00999795 is `0.009997` on the wire.

Source: hyperliquid-protocol.md, section 8; `userFees` shape and schedule captured 2025-05 and 2026-07-19.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from streaming.core.fees import GROWTH_MODE_RATIO, taker_fee_bps
from streaming.core.units import BPS, ONE, ZERO
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.texts import cut_usd, number_text, usd_text
from streaming.sim.exchange.times import DAY_MS
from streaming.sim.scenario.universe import Market

WINDOW_DAYS = 14
GROWTH_VOLUME_RATIO = GROWTH_MODE_RATIO
"""Share of growth-mode volume that counts for tiers and the address budget."""
_HALF = Decimal("0.5")


class Tier(NamedTuple):
    """Rates from a weighted 14-day volume on; fractions."""

    cutoff_usd: Decimal
    cross: Decimal
    add: Decimal
    spot_cross: Decimal
    spot_add: Decimal


TIERS = tuple(
    Tier(*(Decimal(text) for text in row))
    for row in (
        ("0", "0.00045", "0.00015", "0.0007", "0.0004"),
        ("5e6", "0.0004", "0.00012", "0.0006", "0.0003"),
        ("25e6", "0.00035", "0.00008", "0.0005", "0.0002"),
        ("100e6", "0.0003", "0.00004", "0.0004", "0.0001"),
        ("500e6", "0.00028", "0", "0.00035", "0"),
        ("2e9", "0.00026", "0", "0.0003", "0"),
        ("7e9", "0.00024", "0", "0.00025", "0"),
    )
)
_MAKER_TIERS = (("0.005", "-0.00001"), ("0.015", "-0.00002"), ("0.03", "-0.00003"))
_STAKING_TIERS = (
    ("0.0", "0.0"),
    ("0.0001", "0.05"),
    ("0.001", "0.1"),
    ("0.01", "0.15"),
    ("0.1", "0.2"),
    ("1.0", "0.3"),
    ("5.0", "0.4"),
)


@dataclass(slots=True)
class DayVolume:
    """What a user traded on one UTC day, quote units, unweighted."""

    cross_usd: Decimal = ZERO
    add_usd: Decimal = ZERO
    weighted_usd: Decimal = ZERO


@dataclass(slots=True)
class Volumes:
    """Traded volume of one user."""

    total_usd: Decimal = ZERO
    weighted_usd: Decimal = ZERO
    """Since the beginning, growth mode at a tenth: what the address budget counts."""
    days: dict[int, DayVolume] = field(default_factory=dict)
    """By UTC day number."""

    def add(self, ntl: Decimal, *, now_ms: int, is_taker: bool, is_growth_mode: bool) -> None:
        """Count one fill."""
        weighted = ntl * GROWTH_VOLUME_RATIO if is_growth_mode else ntl
        day = self.days.setdefault(now_ms // DAY_MS, DayVolume())
        if is_taker:
            day.cross_usd += ntl
        else:
            day.add_usd += ntl
        day.weighted_usd += weighted
        self.total_usd += ntl
        self.weighted_usd += weighted

    def window_usd(self, now_ms: int) -> Decimal:
        """Return the weighted volume of the 14 whole UTC days before today."""
        today = now_ms // DAY_MS
        return sum(
            (self.days[day].weighted_usd for day in range(today - WINDOW_DAYS, today) if day in self.days), start=ZERO
        )


def tier_of(window_usd: Decimal) -> Tier:
    """Return the tier of a weighted 14-day volume; a tier begins above its cut-off."""
    return next(tier for tier in reversed(TIERS) if window_usd > tier.cutoff_usd or not tier.cutoff_usd)


def market_rate(user_rate: Decimal, market: Market, *, referral_discount: Decimal = ZERO) -> Decimal:
    """Return the fraction of notional a maker or taker pays in a market.

    Args:
        user_rate: `userCrossRate` or `userAddRate`; a negative one is a rebate, which no scale raises.
        market: Its growth mode and, on a builder dex, its fee scale apply.
        referral_discount: `activeReferralDiscount`, a fraction.
    """
    if user_rate <= ZERO:
        return user_rate * GROWTH_MODE_RATIO if market.is_growth_mode else user_rate
    # The validator dex has no deployer: s = 1, which the formula gives for scale 0.
    bps = taker_fee_bps(
        user_cross_rate=user_rate,
        deployer_fee_scale=market.fee_scale if market.dex else ZERO,
        is_growth_mode=market.is_growth_mode,
        referral_discount=referral_discount,
    )
    return bps / BPS


def deployer_share(market: Market) -> Decimal:
    """Return the deployer's share of a fee that is not a rebate."""
    if not market.dex:
        return ZERO
    return market.fee_scale / (ONE + market.fee_scale) if market.fee_scale < ONE else _HALF


def builder_fee_usd(ntl: Decimal, fee_bps: Decimal) -> Decimal:
    """Return a builder's fee (`f` of the order is in tenths of a basis point)."""
    return cut_usd(ntl * fee_bps / BPS)


def user_fees_body(volumes: Volumes, now_ms: int, exchange_usd_by_day: Mapping[int, Decimal]) -> Json:
    """Return the body of `userFees`: 15 days of volume up to today, schedule, rates in force."""
    tier = tier_of(volumes.window_usd(now_ms))
    return {
        "dailyUserVlm": list(_daily(volumes, now_ms, exchange_usd_by_day)),
        "feeSchedule": _schedule(),
        "userCrossRate": number_text(tier.cross),
        "userAddRate": number_text(tier.add),
        "userSpotCrossRate": number_text(tier.spot_cross),
        "userSpotAddRate": number_text(tier.spot_add),
        "activeReferralDiscount": "0.0",
        "trial": None,
        "feeTrialEscrow": "0.0",
        "nextTrialAvailableTimestamp": None,
        "stakingLink": None,
        "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
    }


def _daily(volumes: Volumes, now_ms: int, exchange_usd_by_day: Mapping[int, Decimal]) -> Iterator[Json]:
    today = now_ms // DAY_MS
    for day in range(today - WINDOW_DAYS, today + 1):
        volume = volumes.days.get(day, DayVolume())
        yield {
            "date": datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat(),
            "userCross": usd_text(volume.cross_usd),
            "userAdd": usd_text(volume.add_usd),
            "exchange": usd_text(exchange_usd_by_day.get(day, ZERO)),
        }


def _schedule() -> Json:
    base, *vip = TIERS
    return {
        "cross": number_text(base.cross),
        "add": number_text(base.add),
        "spotCross": number_text(base.spot_cross),
        "spotAdd": number_text(base.spot_add),
        "tiers": {
            "vip": [
                {
                    "ntlCutoff": number_text(tier.cutoff_usd),
                    "cross": number_text(tier.cross),
                    "add": number_text(tier.add),
                    "spotCross": number_text(tier.spot_cross),
                    "spotAdd": number_text(tier.spot_add),
                }
                for tier in vip
            ],
            "mm": [{"makerFractionCutoff": cutoff, "add": add} for cutoff, add in _MAKER_TIERS],
        },
        "referralDiscount": "0.04",
        "stakingDiscountTiers": [{"bpsOfMaxSupply": bps, "discount": discount} for bps, discount in _STAKING_TIERS],
    }
