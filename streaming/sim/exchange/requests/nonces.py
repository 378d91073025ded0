"""Nonces of signers: what protects against a second execution.

Rule 1: they belong to the signer (an agent's are not its master's); the 100 highest are kept.
Rule 2: a nonce is new, inside (now - 2 days, now + 1 day), and above the smallest kept once 100 are kept.
Rule 3: a nonce is used when its action is executed, so of two with one nonce the first to reach a block wins.

Source: hyperliquid-protocol.md, section 6. That the lower bound needs a full set is our reading: else the second of two
first actions that overtook each other would be refused.
"""

from bisect import bisect_left, insort

from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.exchange.times import DAY_MS

KEPT_COUNT = 100
PAST_MS = 2 * DAY_MS
AHEAD_MS = DAY_MS


class Nonces:
    """Used nonces by signer."""

    def __init__(self) -> None:
        self._used: dict[str, list[int]] = {}

    def refusal(self, signer: str, nonce: int, now_ms: int) -> Refusal | None:
        """Return why a nonce can not be used at `now_ms`, or None."""
        if not now_ms - PAST_MS < nonce < now_ms + AHEAD_MS:
            return Refusal(refusals.nonce_out_of_window(nonce, now_ms))
        used = self._used.get(signer, [])
        place = bisect_left(used, nonce)
        if place < len(used) and used[place] == nonce:
            return Refusal(refusals.duplicate_nonce(nonce))
        if place == 0 and len(used) >= KEPT_COUNT:
            return Refusal(refusals.low_nonce(nonce, used[0]))
        return None

    def use(self, signer: str, nonce: int) -> None:
        """Keep a nonce for which there is no refusal."""
        used = self._used.setdefault(signer, [])
        insort(used, nonce)
        if len(used) > KEPT_COUNT:
            del used[0]

    def forget(self, signer: str) -> None:
        """Drop what was kept of a signer that is no agent any more: its actions could be replayed now."""
        self._used.pop(signer, None)
