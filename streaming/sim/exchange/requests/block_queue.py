"""Requests on their way into a block, and answers on their way back.

Rule 1: blocks stand on a grid of 68 ms; a request enters the first block that is not before arrival plus its delay.
Rule 2: inside a block: (1) actions without GTC or IOC orders, (2) cancels, (3) actions with at least one GTC or IOC;
    within a class in the order of arrival. A modify counts by its new order.
Rule 3: the answer leaves when the block is committed.

Source: hyperliquid-protocol.md, section 10 (in-block order, delays, commit).
"""

import heapq
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.requests.actions import SignedRequest
from streaming.sim.exchange.requests.auth import Authorized
from streaming.sim.exchange.times import block_at


class Kind(IntEnum):
    """Place of an action inside its block."""

    PASSIVE = 1
    CANCEL = 2
    TAKING = 3


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that was accepted and waits for its block."""

    ticket: int
    request: SignedRequest
    authorized: Authorized
    arrival_ms: int
    kind: Kind

    @property
    def user(self) -> str:
        """Account it acts for."""
        return self.authorized.user


class _Due(NamedTuple):
    due_ms: int
    ticket: int
    body: Json


class RequestQueue:
    """Accepted requests by the block they enter."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Pending]] = {}

    def put(self, pending: Pending, delay_ms: int) -> None:
        """Let a request wait for the first block at or after its arrival and delay."""
        self._blocks.setdefault(block_at(pending.arrival_ms + delay_ms), []).append(pending)

    def take(self, block_ms: int) -> list[Pending]:
        """Return the requests of every block up to `block_ms`, in the order in which they are executed."""
        taken: list[Pending] = []
        for due_ms in sorted(due for due in self._blocks if due <= block_ms):
            taken += sorted(self._blocks.pop(due_ms), key=lambda pending: (pending.kind, pending.ticket))
        return taken

    def next_due_ms(self) -> int | None:
        """Return the time of the next block that has requests."""
        return min(self._blocks, default=None)


class AnswerQueue:
    """Answers that wait for the commit of their block."""

    def __init__(self) -> None:
        self._heap: list[_Due] = []

    def put(self, ticket: int, body: Json, due_ms: int) -> None:
        """Let an answer wait; every ticket has one at most."""
        heapq.heappush(self._heap, _Due(due_ms, ticket, body))

    def take(self, now_ms: int) -> list[tuple[int, Json]]:
        """Return tickets and bodies due, earliest first."""
        taken: list[tuple[int, Json]] = []
        while self._heap and self._heap[0].due_ms <= now_ms:
            due = heapq.heappop(self._heap)
            taken.append((due.ticket, due.body))
        return taken

    def next_due_ms(self) -> int | None:
        """Return when the next answer is due."""
        return self._heap[0].due_ms if self._heap else None
