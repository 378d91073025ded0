"""When an account read is worth a human's attention: one answer for metrics and log lines."""

from decimal import Decimal

from streaming.core.trading.effects import AccountChecked

DIFFERENCE_USD_MIN = Decimal("0.01")
"""The venue rounds what it books and we do too; from a cent on it is no rounding."""


def is_account_wrong(output: AccountChecked) -> bool:
    """Say whether a read that proves something contradicts our account, in cash or in a position."""
    return output.is_judged and (abs(output.difference) >= DIFFERENCE_USD_MIN or bool(output.position_mismatches))
