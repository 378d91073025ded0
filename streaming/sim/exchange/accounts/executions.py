"""One side of a trade, and the fill body it becomes.

Rule: optional keys (`cloid`, `liquidation`, `builderFee`) are present only when they apply; `twapId` always is.

Source: hyperliquid-protocol.md, section 1.6; fills captured 2026-07-19 and 2026-09-03.
"""

from dataclasses import dataclass
from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.positions import Fold
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.texts import ZERO_HASH, number_text, usd_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationMark:
    """The `liquidation` object of a fill; both sides of the trade carry it."""

    user: str
    mark_px: Decimal
    method: str
    """`market` or `backstop`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One side of one trade."""

    coin: str
    is_buy: bool
    px: Decimal
    sz: Decimal
    time_ms: int
    oid: int
    tid: int
    is_taker: bool
    tx_hash: str = ZERO_HASH
    cloid: str | None = None
    builder: str | None = None
    builder_fee_bps: Decimal = ZERO
    liquidation: LiquidationMark | None = None
    direction: str | None = None
    """`dir` instead of the one that follows from the position: settlement, deleveraging, backstop."""
    is_free: bool = False
    """No fee: what the venue itself closes."""


def fill_body(
    execution: Execution, folded: Fold, *, fee: Decimal, builder_fee: Decimal, fee_token: str
) -> dict[str, Json]:
    """Return an item of `userFills`; `fee` includes the builder's."""
    body: dict[str, Json] = {
        "coin": execution.coin,
        "px": number_text(execution.px),
        "sz": number_text(execution.sz),
        "side": "B" if execution.is_buy else "A",
        "time": execution.time_ms,
        "startPosition": number_text(folded.start_szi),
        "dir": execution.direction or folded.direction,
        "closedPnl": usd_text(folded.closed_pnl),
        "hash": execution.tx_hash,
        "oid": execution.oid,
        "crossed": execution.is_taker,
        "fee": usd_text(fee),
        "tid": execution.tid,
    }
    if execution.cloid is not None:
        body["cloid"] = execution.cloid
    if execution.liquidation is not None:
        body["liquidation"] = {
            "liquidatedUser": execution.liquidation.user,
            "markPx": number_text(execution.liquidation.mark_px),
            "method": execution.liquidation.method,
        }
    if builder_fee:
        body["builderFee"] = usd_text(builder_fee)
    body["feeToken"] = fee_token
    body["twapId"] = None
    return body
