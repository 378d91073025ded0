"""Transfers between the balances of one user, and from one user to another.

Rule 1: a balance is a dex (`""` is the validator's) or `spot`, which holds USDC only; what positions and orders of a
    dex need stays there.
Rule 2: both sides have the transfer on record; a refusal is a text and changes nothing.

Source: hyperliquid-protocol.md, sections 3.3 and 3.4; ledger items captured 2025-08-30.
"""

from dataclasses import dataclass
from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import margin
from streaming.sim.exchange.accounts.accounts import Account, Accounts
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.texts import cut_usd, usd_text

SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money on its way; `resting` are the sender's live orders on the source dex."""

    user: str
    destination: str
    source: str
    target: str
    usd: Decimal
    nonce: int
    resting: tuple[margin.Claim, ...] = ()


def is_amount(usd: Decimal) -> bool:
    """Tell whether an amount can be moved: positive, in whole millionths."""
    return usd > ZERO and usd == cut_usd(usd)


def send(accounts: Accounts, transfer: Transfer, now_ms: int) -> str | None:
    """Carry out `sendAsset` and return why not, or None."""
    return _move(accounts, transfer, now_ms, _send_delta(transfer))


def send_usd(accounts: Accounts, transfer: Transfer, now_ms: int) -> str | None:
    """Carry out `usdSend` (validator dex to validator dex) and return why not, or None."""
    delta = {
        "type": "internalTransfer",
        "usdc": usd_text(transfer.usd),
        "user": transfer.user,
        "destination": transfer.destination,
        "fee": "0.0",
    }
    return _move(accounts, transfer, now_ms, delta)


def change_class(accounts: Accounts, transfer: Transfer, now_ms: int) -> str | None:
    """Carry out `usdClassTransfer` (validator dex to spot, or back) and return why not, or None."""
    delta = {"type": "accountClassTransfer", "usdc": usd_text(transfer.usd), "toPerp": transfer.source == SPOT}
    return _move(accounts, transfer, now_ms, delta)


def _send_delta(transfer: Transfer) -> Json:
    return {
        "type": "send",
        "user": transfer.user,
        "destination": transfer.destination,
        "sourceDex": transfer.source,
        "destinationDex": transfer.target,
        "token": "USDC",
        "amount": usd_text(transfer.usd),
        "usdcValue": usd_text(transfer.usd),
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": transfer.nonce,
        "feeToken": "",
    }


def _move(accounts: Accounts, transfer: Transfer, now_ms: int, delta: Json) -> str | None:
    collateral = {dex.name: dex.collateral_token for dex in accounts.universe.dexes} | {SPOT: 0}
    if transfer.source not in collateral or transfer.target not in collateral:
        return refusals.DEX_UNKNOWN
    if not is_amount(transfer.usd):
        return refusals.AMOUNT_INVALID
    if collateral[transfer.source] != collateral[transfer.target]:
        return refusals.COLLATERAL_ONLY
    if not accounts.has_room(transfer.destination):
        return refusals.must_deposit(transfer.destination)
    sender = accounts.of(transfer.user)
    if transfer.usd > _free_usd(accounts, sender, transfer, now_ms):
        return refusals.TRANSFER_BALANCE
    receiver = accounts.of(transfer.destination)
    _credit(sender, transfer.source, -transfer.usd)
    _credit(receiver, transfer.target, transfer.usd)
    if receiver is sender:
        accounts.write_ledger(delta, now_ms, sender)
    else:
        sender.deposited_usd -= transfer.usd
        receiver.deposited_usd += transfer.usd
        accounts.write_ledger(delta, now_ms, sender, receiver)
    return None


def _free_usd(accounts: Accounts, sender: Account, transfer: Transfer, now_ms: int) -> Decimal:
    if transfer.source == SPOT:
        return sender.spot_usd
    house = sender.houses[transfer.source]
    settings, marks = accounts.settings_of(sender, now_ms), accounts.marks(now_ms)
    return margin.withdrawable_usd(house, settings, transfer.resting, marks)


def _credit(account: Account, place: str, usd: Decimal) -> None:
    if place == SPOT:
        account.spot_usd += usd
    else:
        account.houses[place].raw_usd += usd
