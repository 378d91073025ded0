"""Hands the engine's decisions to readers of `/v1/events`, without ever waiting for one of them.

Rule 1: each reader has a bounded queue; who falls behind is cut off and counted, nobody else notices (I-33).
Rule 2: an output is encoded once, and only while somebody reads; a new reader gets the last 100 first.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec

from streaming.core.effects import AnyOutput, HealthSampled, LedgerPosted, TradesAccepted
from streaming.core.errors import RateLimited
from streaming.core.trading.effects import (
    AccountAsked,
    ActionDecided,
    FillsAsked,
    LossesChanged,
    OrderAsked,
    RecordBegan,
)
from streaming.shell.telemetry.metrics import Metrics

QUEUE_MAX = 512
CLIENTS_MAX = 16
RECENT_MAX = 100
_LEFT_OUT = (
    HealthSampled,
    LedgerPosted,
    TradesAccepted,
    AccountAsked,
    FillsAsked,
    OrderAsked,
    ActionDecided,
    LossesChanged,
    RecordBegan,
)
"""Ticks, and what is for the shell or for recovery; the rest is in tables and in /v1/status."""

Queue = asyncio.Queue[bytes | None]
"""Server-sent events; None ends the stream."""


class Broadcast:
    """Fan-out of outputs to bounded queues."""

    def __init__(self, metrics: Metrics) -> None:
        """Start without readers."""
        self._metrics = metrics
        self._queues: set[Queue] = set()
        self._recent: deque[AnyOutput] = deque(maxlen=RECENT_MAX)

    def join(self) -> Queue:
        """Return a queue for a new reader.

        Raises:
            RateLimited: If there are too many readers.
        """
        if len(self._queues) >= CLIENTS_MAX:
            raise RateLimited("event_clients", f"expected at most {CLIENTS_MAX} readers; close one")
        queue: Queue = asyncio.Queue(QUEUE_MAX + 1)
        for output in self._recent:
            queue.put_nowait(_message(output))
        self._queues.add(queue)
        self._metrics.event_clients.set(len(self._queues))
        return queue

    def leave(self, queue: Queue) -> None:
        """Forget a reader."""
        self._queues.discard(queue)
        self._metrics.event_clients.set(len(self._queues))

    def publish(self, outputs: Sequence[AnyOutput]) -> None:
        """Offer outputs to every reader."""
        for output in outputs:
            if isinstance(output, _LEFT_OUT):
                continue
            self._recent.append(output)
            if self._queues:
                message = _message(output)
                for queue in tuple(self._queues):
                    self._offer(queue, message)

    def close(self) -> None:
        """End every stream."""
        for queue in tuple(self._queues):
            self._end(queue)

    def _offer(self, queue: Queue, message: bytes) -> None:
        if queue.qsize() < QUEUE_MAX:
            queue.put_nowait(message)
        else:
            self._metrics.event_clients_dropped.inc()
            self._end(queue)

    def _end(self, queue: Queue) -> None:
        self.leave(queue)
        queue.put_nowait(None)


def _message(output: AnyOutput) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (type(output).__name__.encode(), msgspec.json.encode(output))
