"""What the user channels say about our account, in our words.

Why this module exists: positions, the ledger and the end of every order rest on it, so what is taken as certain is.

Rule 1: px and sz are exact or the frame is malformed. What the venue itself computes in floats (start positions of
    `-3695042.8999999999`, deposits of `2703997.4500000002`, mean prices) is rounded half even to the 8 decimals that
    tables hold: a fill is never lost for a ninth decimal.
Rule 2: text that goes on is cut and printable ASCII (I-35).

Source: hyperliquid-protocol.md, sections 1.6 and 2; recorded frames and bodies of 2025-08 to 2026-09.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from streaming.core.events import AnyEvent, UserFrameReceived
from streaming.core.market import Side
from streaming.core.trading.events import (
    FillsReceived,
    FundingsReceived,
    OrderUpdatesReceived,
    TransfersReceived,
)
from streaming.core.trading.model import Funding, OrderUpdate, Transfer, VenueFill
from streaming.core.units import CONTEXT, ZERO
from streaming.hyperliquid import wire_user as wire
from streaming.hyperliquid.number import WireNumberError, plain_decimal, positive_decimal, unsigned_decimal
from streaming.hyperliquid.refusals import code_of_status, printable

SPOT: Final = "spot"
"""Where a `send` names the spot account instead of a dex."""

SIDES: Final = {"A": Side.SELL, "B": Side.BUY}
"""Side by its letter on the wire."""
_WORD_LENGTH_MAX: Final = 64
_HASH_LENGTH_MAX: Final = 80
_MOVING_KINDS: Final = frozenset(
    {
        "deposit", "withdraw", "accountClassTransfer", "usdClassTransfer", "internalTransfer", "subAccountTransfer",
        "send", "vaultDeposit", "vaultCreate", "vaultDistribution", "vaultWithdraw",
    }
)  # fmt: skip
"""Kinds of ledger items that move money of a dex."""
_QUANTUM: Final = Decimal("1e-8")
_BOUND: Final = Decimal(10**10)
"""What decimal128(18, 8) holds is less."""

_decode_kind = msgspec.json.Decoder(wire.LedgerKind).decode
_decode_delta = msgspec.json.Decoder(wire.LedgerDelta).decode


# --- numbers


def rounded(text: str) -> Decimal:
    """Return an amount of either sign that fits the tables, rounded half even to 8 decimals (rule 1).

    Raises:
        WireNumberError: The text is no plain number, or 1e10 and more.
    """
    # A loss that rounds to nothing is spelled -0.0.
    value = ZERO if text in {"-0.0", "-0"} else plain_decimal(text)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8:
        value = CONTEXT.add(value.quantize(_QUANTUM, context=CONTEXT), ZERO)
    if abs(value) >= _BOUND:
        raise WireNumberError("number out of range")
    return value


def left_size(text: str) -> Decimal:
    """Return what is left of an order: 0 or more, in any spelling.

    Raises:
        WireNumberError: The text is no size.
    """
    return positive_decimal(text) if unsigned_decimal(text) else ZERO


# --- fills, orders, money: the same from a frame and from a body


def venue_fill(fill: wire.UserFill) -> VenueFill:
    """Return a fill in our words.

    Raises:
        WireNumberError: A number is not of the documented form.
    """
    return VenueFill(
        coin=fill.coin,
        side=SIDES[fill.side],
        px=positive_decimal(fill.px),
        sz=positive_decimal(fill.sz),
        venue_ts_ms=fill.time,
        oid=fill.oid,
        tid=fill.tid,
        cloid=(fill.cloid or "").lower(),
        fee=rounded(fill.fee),
        builder_fee=ZERO if fill.builder_fee is None else rounded(fill.builder_fee),
        fee_token=printable(fill.fee_token, _WORD_LENGTH_MAX),
        start_position_sz=rounded(fill.start_position),
        closed_pnl=rounded(fill.closed_pnl),
        direction=printable(fill.dir, _WORD_LENGTH_MAX),
        is_crossed=fill.crossed,
        is_liquidation=fill.liquidation is not None,
    )


def order_update(update: wire.UserOrderUpdate) -> OrderUpdate:
    """Return an order's status in our words; an unknown status stays the venue's.

    Raises:
        WireNumberError: A number is not of the documented form.
    """
    order = update.order
    left_sz = left_size(order.sz)
    return OrderUpdate(
        coin=order.coin,
        cloid=(order.cloid or "").lower(),
        oid=order.oid,
        side=SIDES[order.side],
        limit_px=positive_decimal(order.limit_px),
        left_sz=left_sz,
        original_sz=left_sz if order.orig_sz is None else left_size(order.orig_sz),
        status=printable(update.status, _WORD_LENGTH_MAX),
        code=code_of_status(update.status),
        venue_ts_ms=update.status_timestamp,
    )


def funding_payment(funding: wire.UserFunding) -> Funding:
    """Return a funding payment in our words.

    Raises:
        WireNumberError: A number is not of the documented form.
    """
    return Funding(
        coin=funding.coin,
        amount=rounded(funding.usdc),
        position_sz=rounded(funding.szi),
        venue_ts_ms=funding.time,
    )


def transfers_of(item: wire.LedgerItem, account: str) -> tuple[Transfer, ...]:
    """Return what a ledger item brought to the dexes of `account` or took from them.

    A move between two of its own dexes is two transfers with one reference. A kind that is not known, or that touches
    no dex, is one of 0: it is on record, and conservation shows what it moved.

    Raises:
        WireNumberError: A number is not of the documented form.
        msgspec.MsgspecError: A known kind has another shape than documented.
    """
    kind = _decode_kind(item.delta).type
    changes = tuple(_changes(kind, item.delta, account)) or (("", ZERO),)
    return tuple(
        Transfer(
            dex=dex,
            amount=amount,
            kind=printable(kind, _WORD_LENGTH_MAX),
            venue_ts_ms=item.time,
            reference=printable(item.hash, _HASH_LENGTH_MAX),
        )
        for dex, amount in changes
    )


def _changes(kind: str, raw: msgspec.Raw, account: str) -> Iterator[tuple[str, Decimal]]:
    """Yield dex and signed amount; only `send` names dexes, the others are about the validator dex."""
    if kind not in _MOVING_KINDS:
        return
    delta = _decode_delta(raw)
    if kind == "send":
        yield from _sent(delta, account)
        return
    usd = rounded(delta.usdc)
    with_fee = usd + rounded(delta.fee)
    match kind:
        case "deposit" | "vaultDistribution":
            yield "", usd
        case "withdraw" | "vaultDeposit" | "vaultCreate":
            yield "", -with_fee
        case "vaultWithdraw":
            yield "", rounded(delta.net_withdrawn_usd)
        case "accountClassTransfer" | "usdClassTransfer":
            yield "", usd if delta.to_perp else -usd
        case _:  # from user to user
            if delta.user.lower() == account:
                yield "", -with_fee
            if delta.destination.lower() == account:
                yield "", usd


def _sent(delta: wire.LedgerDelta, account: str) -> Iterator[tuple[str, Decimal]]:
    amount = rounded(delta.amount)
    if delta.user.lower() == account and delta.source_dex != SPOT:
        yield delta.source_dex, -amount
    if delta.destination.lower() == account and delta.destination_dex != SPOT:
        yield delta.destination_dex, amount


# --- frames


def _fills(frame: wire.UserFillsFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> FillsReceived:
    return FillsReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        fills=tuple(map(venue_fill, frame.data.fills)),
        is_snapshot=frame.data.is_snapshot,
    )


def _order_updates(
    frame: wire.OrderUpdatesFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> OrderUpdatesReceived:
    return OrderUpdatesReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        updates=tuple(map(order_update, frame.data)),
    )


def _fundings(frame: wire.UserFundingsFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> FundingsReceived:
    return FundingsReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        fundings=tuple(map(funding_payment, frame.data.fundings)),
        is_snapshot=frame.data.is_snapshot,
    )


def _transfers(
    frame: wire.LedgerUpdatesFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> TransfersReceived:
    account = frame.data.user.lower()
    return TransfersReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        transfers=tuple(transfer for item in frame.data.items for transfer in transfers_of(item, account)),
        is_snapshot=frame.data.is_snapshot,
    )


def _item_count(frame: wire.AccountFrame) -> int:
    match frame:
        case wire.UserFrame() | wire.UserEventsFrame():
            for fill in frame.data.fills:
                venue_fill(fill)  # told once more by `userFills`; here only that it can be read
            return frame.data.item_count
        case wire.ClearinghouseFrame():
            return len(frame.data.clearinghouse_state.asset_positions)
        case wire.OpenOrdersFrame():
            return len(frame.data.orders)
        case wire.WebDataFrame():
            return len(frame.data.perp_dex_states)
        case _:
            return 1


def _counted(frame: wire.AccountFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> UserFrameReceived:
    return UserFrameReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        channel=str(frame.__struct_config__.tag),
        generation=generation,
        item_count=_item_count(frame),
        is_snapshot=False,
    )


CONVERTERS: Final[dict[type, Callable[..., AnyEvent]]] = {
    wire.UserFillsFrame: _fills,
    wire.OrderUpdatesFrame: _order_updates,
    wire.UserFundingsFrame: _fundings,
    wire.LedgerUpdatesFrame: _transfers,
    wire.UserFrame: _counted,
    wire.UserEventsFrame: _counted,
    wire.ClearinghouseFrame: _counted,
    wire.OpenOrdersFrame: _counted,
    wire.WebDataFrame: _counted,
    wire.NotificationFrame: _counted,
}
