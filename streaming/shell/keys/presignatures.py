"""Presignatures of the agent's key, made while nothing else is to be done.

Rule 1: what is taken is gone before it is used; nothing of it is written anywhere, and it ends with the process.
Rule 2: a child that was forked has a copy of all of them and would sign with the same k: it finds none.
"""

import os
from collections.abc import Callable
from typing import Final

from streaming.hyperliquid.presigning import ENTROPY_LENGTH, Presignature, secret_k


class Presignatures:
    """What is ready of one key."""

    __slots__ = ("_count_max", "_entropy", "_key", "_pid", "_ready", "used_count")

    def __init__(self, key: bytes, count_max: int, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        """Begin with none; keep at most `count_max`. `entropy` returns so many random bytes."""
        self._key = key
        self._count_max: Final = count_max
        self._entropy = entropy
        self._pid = os.getpid()
        self._ready: list[Presignature] = []
        self.used_count = 0
        """How many were handed out."""

    def __len__(self) -> int:
        """Return how many are ready."""
        return len(self._ready)

    def prepare(self) -> None:
        """Make one, unless there are enough: a tenth of a millisecond."""
        if len(self._ready) < self._count_max:
            self._ready.append(Presignature(self._key, secret_k(self._key, self._entropy(ENTROPY_LENGTH))))

    def take(self) -> Presignature | None:
        """Hand one out, for good; None if none is ready, and always in a forked child."""
        if not self._ready or os.getpid() != self._pid:
            return None
        self.used_count += 1
        return self._ready.pop()
