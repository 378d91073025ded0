"""Orders, fills and money of one account: from REST bodies of the info endpoint to the words of the core.

Why this module exists: the ledger and the end of an order in doubt rest on these bodies, whatever brought them.

Rule 1: as in `account`; a fill is read by the same code from REST and from the websocket (`WireFill`, `venue_fill`).
Rule 2: `unknownOid` is None, and no proof that an order never existed: the venue keeps about 2,000 orders an account.
Rule 3: a ledger update of a kind that is not known becomes a transfer of 0, so that it is on record.

Source: hyperliquid.gitbook.io, "Info endpoint", "Perpetuals"; recorded bodies of 2024-11 to 2026-09.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from streaming.core.market import Side
from streaming.core.trading.model import Funding, OrderUpdate, Transfer, VenueFill
from streaming.core.units import ZERO
from streaming.hyperliquid.account import amount
from streaming.hyperliquid.info import _parse as parse_body
from streaming.hyperliquid.number import WireNumberError, positive_decimal, unsigned_decimal
from streaming.hyperliquid.refusals import code_of_status
from streaming.hyperliquid.wire import Id, VenueTime

SPOT = "spot"
"""Where a `send` names the spot account instead of a dex."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Cloid = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{32}$")]
_Hash = Annotated[str, msgspec.Meta(max_length=80)]
_SIDES: dict[str, Side] = {"A": Side.SELL, "B": Side.BUY}


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    pass


# --- orders and fills


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


class _WireOrder(_Part, frozen=True, rename="camel"):
    coin: _Name
    side: Literal["A", "B"]
    limit_px: str
    sz: str
    oid: Id
    timestamp: VenueTime
    orig_sz: str | None = None
    cloid: _Cloid | None = None
    reduce_only: bool | None = None


class _WireOrderState(_Part, frozen=True, rename="camel"):
    order: _WireOrder
    status: _Name
    status_timestamp: VenueTime


class _WireOrderStatus(_Part, frozen=True, rename="camel"):
    status: Literal["order", "unknownOid"]
    order: _WireOrderState | None = None


class WireFill(_Part, frozen=True, rename="camel"):
    """One item of `userFills`, REST or websocket."""

    coin: _Name
    px: str
    sz: str
    side: Literal["A", "B"]
    time: VenueTime
    oid: Id
    tid: Id
    start_position: str
    fee: str
    dir: _Text = ""
    closed_pnl: str = "0"
    fee_token: _Text = "USDC"  # noqa: S105 - a currency
    builder_fee: str = "0"
    crossed: bool = True
    cloid: _Cloid | None = None
    liquidation: object = None


def parse_open_orders(body: bytes) -> tuple[OpenOrder, ...]:
    """Return `openOrders` of one dex."""
    return parse_body("openOrders", body, list[_WireOrder], lambda orders: tuple(map(_open_order, orders)))


def _open_order(wire: _WireOrder) -> OpenOrder:
    return OpenOrder(
        coin=wire.coin,
        cloid=(wire.cloid or "").lower(),
        oid=wire.oid,
        side=_SIDES[wire.side],
        limit_px=positive_decimal(wire.limit_px),
        left_sz=unsigned_decimal(wire.sz),
        original_sz=unsigned_decimal(wire.orig_sz or wire.sz),
        is_reduce_only=bool(wire.reduce_only),
        venue_ts_ms=wire.timestamp,
    )


def parse_order_status(body: bytes) -> OrderUpdate | None:
    """Return `orderStatus`; None is `unknownOid` (rule 3)."""
    return parse_body("orderStatus", body, _WireOrderStatus, _order_status)


def _order_status(wire: _WireOrderStatus) -> OrderUpdate | None:
    if wire.status == "unknownOid":
        return None
    if wire.order is None:
        raise WireNumberError("status order without an order")
    order = _open_order(wire.order.order)
    return OrderUpdate(
        coin=order.coin,
        cloid=order.cloid,
        oid=order.oid,
        side=order.side,
        limit_px=order.limit_px,
        left_sz=order.left_sz,
        original_sz=order.original_sz,
        status=wire.order.status,
        code=code_of_status(wire.order.status),
        venue_ts_ms=wire.order.status_timestamp,
    )


def parse_user_fills(body: bytes) -> tuple[VenueFill, ...]:
    """Return `userFills` or one page of `userFillsByTime`, in the order of the answer."""
    return parse_body("userFills", body, list[WireFill], lambda fills: tuple(map(venue_fill, fills)))


def venue_fill(wire: WireFill) -> VenueFill:
    """Return a fill in our words.

    Raises:
        WireNumberError: A number is not of the documented form.
    """
    return VenueFill(
        coin=wire.coin,
        side=_SIDES[wire.side],
        px=positive_decimal(wire.px),
        sz=positive_decimal(wire.sz),
        venue_ts_ms=wire.time,
        oid=wire.oid,
        tid=wire.tid,
        cloid=(wire.cloid or "").lower(),
        fee=amount(wire.fee),
        builder_fee=amount(wire.builder_fee),
        fee_token=wire.fee_token,
        start_position_sz=amount(wire.start_position),
        closed_pnl=amount(wire.closed_pnl),
        direction=wire.dir,
        is_crossed=wire.crossed,
        is_liquidation=wire.liquidation is not None,
    )


# --- money that moves without a trade


class LedgerUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the account's ledger that is neither trade nor funding."""

    kind: str
    venue_ts_ms: int
    reference: str
    """The venue's hash."""
    transfers: tuple[Transfer, ...]
    """What it moved: two for a move between own dexes, none for what stays inside spot."""


class _WireFunding(_Part, frozen=True, rename="camel"):
    coin: _Name
    usdc: str
    szi: str


class _WireFundingItem(_Part, frozen=True, rename="camel"):
    time: VenueTime
    delta: _WireFunding


class _WireDelta(_Part, frozen=True, rename="camel"):
    type: _Name
    usdc: str = "0"
    amount: str = "0"
    fee: str = "0"
    net_withdrawn_usd: str = "0"
    to_perp: bool = False
    user: _Text = ""
    destination: _Text = ""
    source_dex: _Text = SPOT
    destination_dex: _Text = SPOT


class _WireLedgerItem(_Part, frozen=True, rename="camel"):
    time: VenueTime
    hash: _Hash
    delta: _WireDelta


def parse_user_funding(body: bytes) -> tuple[Funding, ...]:
    """Return one page of `userFunding`."""
    return parse_body("userFunding", body, list[_WireFundingItem], lambda items: tuple(map(_funding, items)))


def _funding(item: _WireFundingItem) -> Funding:
    return Funding(
        coin=item.delta.coin,
        amount=amount(item.delta.usdc),
        position_sz=amount(item.delta.szi),
        venue_ts_ms=item.time,
    )


def parse_ledger_updates(body: bytes, account: str) -> tuple[LedgerUpdate, ...]:
    """Return one page of `userNonFundingLedgerUpdates` as seen by `account`."""
    return parse_body(
        "userNonFundingLedgerUpdates",
        body,
        list[_WireLedgerItem],
        lambda items: tuple(_ledger_update(item, account.lower()) for item in items),
    )


def _ledger_update(item: _WireLedgerItem, account: str) -> LedgerUpdate:
    kind = item.delta.type
    transfers = tuple(
        Transfer(dex=dex, amount=change, kind=kind, venue_ts_ms=item.time, reference=item.hash)
        for dex, change in _changes(item.delta, account)
    )
    return LedgerUpdate(kind=kind, venue_ts_ms=item.time, reference=item.hash, transfers=transfers)


def _changes(delta: _WireDelta, account: str) -> Iterator[tuple[str, Decimal]]:
    """Yield dex and signed amount; only `send` names dexes, everything else is about the validator dex."""
    usd, fee = amount(delta.usdc), amount(delta.fee)
    match delta.type:
        case "deposit" | "vaultDistribution":
            yield "", usd
        case "withdraw" | "vaultDeposit" | "vaultCreate":
            yield "", -(usd + fee)
        case "vaultWithdraw":
            yield "", amount(delta.net_withdrawn_usd)
        case "accountClassTransfer":
            yield "", usd if delta.to_perp else -usd
        case "internalTransfer" | "subAccountTransfer":
            yield "", usd if delta.destination.lower() == account else -(usd + fee)
        case "send":
            sent = amount(delta.amount)
            if delta.user.lower() == account and delta.source_dex != SPOT:
                yield delta.source_dex, -sent
            if delta.destination.lower() == account and delta.destination_dex != SPOT:
                yield delta.destination_dex, sent
        case "spotTransfer" | "spotGenesis" | "rewardsClaim" | "cStakingTransfer" | "liquidation":
            return  # spot and staking only; a liquidation's fills carry its money
        case _:
            yield "", ZERO
