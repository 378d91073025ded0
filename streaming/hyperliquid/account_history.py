"""Orders and fills of one account: from REST bodies of the info endpoint to the words of the core.

Why this module exists: the ledger and the end of an order in doubt rest on these bodies, whatever brought them.

Rule 1: as in `account`; fills and orders are read by the code that reads them from the websocket (`user_frames`).
Rule 2: `unknownOid` is None, and no proof that an order never existed: the venue keeps about 2,000 orders an account.

Source: hyperliquid.gitbook.io, "Info endpoint", "Perpetuals"; recorded bodies of 2024-11 to 2026-09.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from streaming.core.market import Side
from streaming.core.trading.model import OrderUpdate, VenueFill
from streaming.hyperliquid import wire_user as wire
from streaming.hyperliquid.info import parse_body
from streaming.hyperliquid.number import WireNumberError, positive_decimal
from streaming.hyperliquid.user_frames import SIDES, left_size, order_update, venue_fill
from streaming.hyperliquid.wire import Part, VenueTime


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One live order of the account; `cloid` is empty where it has none."""

    coin: str
    cloid: str
    oid: int
    side: Side
    limit_px: Decimal
    left_sz: Decimal
    original_sz: Decimal
    is_reduce_only: bool
    venue_ts_ms: int


class _OpenOrder(wire.UserOrder, frozen=True, gc=False, rename="camel", kw_only=True):
    timestamp: VenueTime
    reduce_only: bool | None = None


class _OrderStatus(Part, frozen=True, gc=False, rename="camel"):
    status: Literal["order", "unknownOid"]
    order: wire.UserOrderUpdate | None = None


def parse_open_orders(body: bytes) -> tuple[OpenOrder, ...]:
    """Return `openOrders` of one dex."""
    return parse_body("openOrders", body, list[_OpenOrder], lambda orders: tuple(map(_open_order, orders)))


def _open_order(order: _OpenOrder) -> OpenOrder:
    left_sz = left_size(order.sz)
    return OpenOrder(
        coin=order.coin,
        cloid=(order.cloid or "").lower(),
        oid=order.oid,
        side=SIDES[order.side],
        limit_px=positive_decimal(order.limit_px),
        left_sz=left_sz,
        original_sz=left_sz if order.orig_sz is None else left_size(order.orig_sz),
        is_reduce_only=bool(order.reduce_only),
        venue_ts_ms=order.timestamp,
    )


def parse_order_status(body: bytes) -> OrderUpdate | None:
    """Return `orderStatus`; None is `unknownOid` (rule 2)."""
    return parse_body("orderStatus", body, _OrderStatus, _order_status)


def _order_status(answer: _OrderStatus) -> OrderUpdate | None:
    if answer.status == "unknownOid":
        return None
    if answer.order is None:
        raise WireNumberError("status order without an order")
    return order_update(answer.order)


def parse_user_fills(body: bytes) -> tuple[VenueFill, ...]:
    """Return `userFills` or one page of `userFillsByTime`, in the order of the answer."""
    return parse_body("userFills", body, list[wire.UserFill], lambda fills: tuple(map(venue_fill, fills)))
