"""What a taker pays on a HIP-3 market.

Source: hyperliquid.gitbook.io, "Fees", the HIP-3 formula with deployerFeeScale and growthMode per asset (read
2026-09-23): s = scale < 1 ? 1 + scale : 2 x scale; growth mode multiplies by 0.1; an active referral discount and an
aligned quote asset reduce the rest. The widely copied `userRate x 2 x scale` is wrong for a scale below 1.
"""

from decimal import Decimal

from streaming.core.units import BPS, ONE, ZERO, quantize_bps

GROWTH_MODE_RATIO = Decimal("0.1")
ALIGNED_RATIO = Decimal("0.8")
_HALF = Decimal("0.5")


def taker_fee_bps(
    *,
    user_cross_rate: Decimal,
    deployer_fee_scale: Decimal,
    is_growth_mode: bool,
    referral_discount: Decimal = ZERO,
    is_aligned: bool = False,
) -> Decimal:
    """Return the effective taker fee in bps per side, rounded to 1e-6 bps.

    Args:
        user_cross_rate: `userFees.userCrossRate`, a fraction; tier and staking discount are already in it.
        deployer_fee_scale: `deployerFeeScale` of the market, 0-10.
        is_growth_mode: `growthMode` is enabled.
        referral_discount: `userFees.activeReferralDiscount`, a fraction 0-1.
        is_aligned: The dex's collateral is an aligned quote asset.
    """
    if deployer_fee_scale < ONE:
        scale = ONE + deployer_fee_scale
        deployer_share = deployer_fee_scale / scale
    else:
        scale = 2 * deployer_fee_scale
        deployer_share = _HALF
    rate = user_cross_rate * scale * (ONE - referral_discount)
    if is_growth_mode:
        rate *= GROWTH_MODE_RATIO
    if is_aligned:
        rate *= ALIGNED_RATIO * (ONE - deployer_share) + deployer_share
    return quantize_bps(rate * BPS)
