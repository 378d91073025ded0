"""Double entry, and the rounding of money.

Rule 1: the legs of a posting sum to zero (I-14), after rounding: the last leg is what the others leave.
Rule 2: `cash`, `position` and `fees` are debits (> 0 is ours, or was paid); income in `realised_pnl` is a credit (< 0).
Rule 3: money is rounded to 1e-6; a fee is rounded up, so that paper never flatters itself.
"""

from decimal import ROUND_UP, Decimal

from streaming.core.effects import AnyOutput, LedgerPosted
from streaming.core.errors import check
from streaming.core.state import EngineState
from streaming.core.units import BPS, ZERO

_MONEY_QUANTUM = Decimal("1e-6")


def money(amount: Decimal) -> Decimal:
    """Round an amount to 1e-6 quote units, half to even."""
    return amount.quantize(_MONEY_QUANTUM)


def fee_of(ntl: Decimal, taker_fee_bps: Decimal) -> Decimal:
    """Return the taker fee of a notional in quote units, rounded up to 1e-6."""
    return (ntl * taker_fee_bps / BPS).quantize(_MONEY_QUANTUM, rounding=ROUND_UP)


def currency_of(collateral_token: int) -> str:
    """Name the collateral of a dex: token 0 is USDC, another one goes by its index."""
    return "USDC" if collateral_token == 0 else f"token{collateral_token}"


def post(
    state: EngineState,
    out: list[AnyOutput],
    *,
    coin: str,
    posting_id: str,
    currency: str,
    reason: str,
    legs: tuple[tuple[str, Decimal], ...],
    mode: str = "paper",
) -> None:
    """Write one balanced posting; `legs` are (account, signed amount), those of zero are left out."""
    check(sum((amount for _, amount in legs), ZERO) == ZERO, "I-14", posting_id=posting_id, legs=legs)
    for account, amount in legs:
        if amount != ZERO:
            out.append(
                LedgerPosted(
                    ts_ns=state.ts_ns,
                    mono_ns=state.mono_ns,
                    coin=coin,
                    posting_id=posting_id,
                    mode=mode,
                    account=account,
                    amount=amount,
                    currency=currency,
                    reason=reason,
                )
            )
