"""Nonces of one signer: never used twice, whatever the clock and restarts do.

The venue keeps the 100 highest nonces of a signer and takes one that is unused, above the least of them and within
(T - 2 d, T + 1 d) of its block time. A nonce is therefore the time in ms, pushed up where that would not increase.

Rule 1: a nonce is never below our time, so it starts high and never falls out of the window's lower end (I-04).
Rule 2: the highest nonce is kept over restarts; a clock that steps back changes nothing but the distance to it.
Rule 3: a clock a day behind the highest nonce is trouble, not a bug: no nonce, and the caller refuses the action.
"""

import msgspec

from streaming.core.errors import check
from streaming.core.units import NS_PER_MS

_MS_PER_DAY = 86_400_000

AHEAD_MS_MAX = _MS_PER_DAY - 60_000
"""How far a nonce may be ahead of our time: the venue's day, less a minute for the distance of the two clocks."""


class NonceState(msgspec.Struct, kw_only=True):
    """The high-water mark of one signer."""

    last: int = 0
    """Highest nonce that was handed out or that the venue is known to keep; 0 when there is none."""


def next_nonce(state: NonceState, now_ts_ns: int) -> int | None:
    """Hand out the next nonce.

    Args:
        state: High-water mark; raised by what is handed out.
        now_ts_ns: Wall clock.

    Returns:
        The nonce, or None while the clock is so far behind the last one that the venue would refuse any.
    """
    now_ms = now_ts_ns // NS_PER_MS
    check(now_ms > 0, "I-04", now_ts_ns=now_ts_ns)
    nonce = max(state.last + 1, now_ms)
    if nonce - now_ms > AHEAD_MS_MAX:
        return None
    state.last = nonce
    return nonce


def raise_floor(state: NonceState, floor: int) -> None:
    """Hand out only nonces above `floor` from now on: the mark that a restart finds in the journal."""
    state.last = max(state.last, floor)


def raise_floor_by_venue(state: NonceState, floor: int, now_ts_ns: int) -> bool:
    """Take over the least nonce that the venue says it keeps (`nonce too low N < M`).

    Returns:
        False when no honest answer has it: the venue keeps nothing that far ahead, and taking it over would leave us
        without any nonce. It is ignored then.
    """
    if floor - now_ts_ns // NS_PER_MS > _MS_PER_DAY:
        return False
    raise_floor(state, floor)
    return True
