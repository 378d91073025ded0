"""Prices at which a touch is an opportunity, computed when oracle, spec or limits change and never on a bbo."""

from decimal import Decimal

from streaming.core.limits import DetectorLimits
from streaming.core.state import MarketState
from streaming.core.units import BPS, ONE


def threshold_bps_of(taker_fee_bps: Decimal, limits: DetectorLimits) -> Decimal:
    """Return the raw edge an entry needs: 2 x taker fee + slippage + least edge."""
    return 2 * taker_fee_bps + limits.slippage_bps + limits.edge_bps_min


def set_threshold(market: MarketState, limits: DetectorLimits) -> None:
    """Recompute threshold and trigger prices after a change of spec, limits or rotation."""
    threshold = max(threshold_bps_of(market.spec.taker_fee_bps, limits), market.threshold_bps_min)
    rearm = threshold * limits.rearm_ratio
    market.threshold_bps = threshold
    market.buy_factor = ONE - threshold / BPS
    market.sell_factor = ONE + threshold / BPS
    market.buy_rearm_factor = ONE - rearm / BPS
    market.sell_rearm_factor = ONE + rearm / BPS
    if market.ctx is not None:
        set_triggers(market, market.ctx.oracle_px)


def set_triggers(market: MarketState, oracle_px: Decimal) -> None:
    """Recompute the prices at which a touch is an opportunity."""
    market.buy_trigger_px = oracle_px * market.buy_factor
    market.sell_trigger_px = oracle_px * market.sell_factor
