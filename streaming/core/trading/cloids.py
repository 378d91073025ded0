"""Cloids that say who sent an order.

Why this module exists: the sidecar and its watchdog trade one account; whoever reads orders or fills later, the sidecar
itself after a restart included, has to tell theirs apart without asking anybody.

Rule: the watchdog's cloids begin with a fixed prefix that no hash of ours is given.
"""

from streaming.core.errors import check

WATCHDOG_CLOID_PREFIX = "0x77617463"
"""`watc` in ASCII."""

_INDEX_COUNT_MAX = 2**32


def watchdog_cloid(nonce: int, index: int) -> str:
    """Return the cloid of the watchdog's order `index` (from 0) of the action with `nonce`."""
    check(0 < nonce < 2**64 and 0 <= index < _INDEX_COUNT_MAX, "I-01", nonce=nonce, index=index)
    return f"{WATCHDOG_CLOID_PREFIX}{nonce:016x}{index:08x}"


def is_watchdog_cloid(cloid: str) -> bool:
    """Tell whether an order is the watchdog's."""
    return cloid.startswith(WATCHDOG_CLOID_PREFIX)
