"""From what the engine decided to the action that is signed."""

from streaming.core.errors import InvariantViolation
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.model import CancelTicket, OrderTicket
from streaming.hyperliquid.actions import (
    Action,
    ActionError,
    CloidItem,
    OrderItem,
    ScheduleCancelAction,
    cancel_by_cloid_action,
    cloid_item,
    order_action,
    order_item,
    signed_body,
)
from streaming.hyperliquid.signing import Signer


def wire_action(decided: ActionDecided) -> Action:
    """Return the action as the venue wants it.

    Raises:
        InvariantViolation: A ticket is not on the venue's grid (I-08): the engine checks that before it decides.
    """
    try:
        match decided.kind:
            case "order":
                return order_action(tuple(map(_order, decided.orders)))
            case "cancel":
                return cancel_by_cloid_action(tuple(map(_cancel, decided.cancels)))
            case "schedule_cancel":
                return ScheduleCancelAction(decided.schedule_ts_ms)
            case _:
                raise InvariantViolation("I-02", kind=decided.kind)
    except ActionError as error:
        raise InvariantViolation("I-08", action_id=decided.action_id, error=str(error)) from error


def signed_action(signer: Signer, decided: ActionDecided) -> bytes:
    """Return the signed body of what was decided; raises as `wire_action`."""
    return signed_body(signer, wire_action(decided), nonce=decided.nonce, expires_after_ts_ms=decided.expires_ts_ms)


def _order(ticket: OrderTicket) -> OrderItem:
    return order_item(
        asset_id=ticket.asset_id,
        side=ticket.side,
        px=ticket.limit_px,
        sz=ticket.sz,
        is_reduce_only=ticket.is_reduce_only,
        tif=ticket.tif,
        cloid=ticket.cloid,
    )


def _cancel(ticket: CancelTicket) -> CloidItem:
    return cloid_item(ticket.asset_id, ticket.cloid)
