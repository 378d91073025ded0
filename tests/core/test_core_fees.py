from decimal import Decimal

import pytest

from streaming.core.fees import taker_fee_bps

TIER_0 = Decimal("0.00045")


@pytest.mark.parametrize(
    ("scale", "is_growth_mode", "expected_bps"),
    [("1", True, "0.9"), ("1", False, "9"), ("0.5", False, "6.75"), ("0", True, "0.45"), ("3", False, "27")],
)
def test_taker_fee_published_examples_of_tier_0_agree(scale: str, is_growth_mode: bool, expected_bps: str) -> None:
    fee = taker_fee_bps(user_cross_rate=TIER_0, deployer_fee_scale=Decimal(scale), is_growth_mode=is_growth_mode)
    assert fee == Decimal(expected_bps)


def test_taker_fee_staking_discount_is_in_the_user_rate() -> None:
    diamond = TIER_0 * Decimal("0.6")
    assert taker_fee_bps(user_cross_rate=diamond, deployer_fee_scale=Decimal(1), is_growth_mode=True) == Decimal("0.54")


def test_taker_fee_referral_reduces_the_whole() -> None:
    fee = taker_fee_bps(
        user_cross_rate=TIER_0,
        deployer_fee_scale=Decimal(1),
        is_growth_mode=True,
        referral_discount=Decimal("0.04"),
    )
    assert fee == Decimal("0.864")


@pytest.mark.parametrize(("scale", "expected_bps"), [("1", "8.1"), ("0.5", "5.85"), ("0", "3.6")])
def test_taker_fee_aligned_collateral_discounts_all_but_the_deployers_share(scale: str, expected_bps: str) -> None:
    fee = taker_fee_bps(
        user_cross_rate=TIER_0, deployer_fee_scale=Decimal(scale), is_growth_mode=False, is_aligned=True
    )
    assert fee == Decimal(expected_bps)
