"""Hands the engine's decisions to readers of `/v1/events`, without ever waiting for one of them.

Rule 1: each reader has a bounded queue; who falls behind is cut off and counted, nobody else notices (I-33).
Rule 2: an output is encoded once, and only while somebody reads.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from streaming.core.effects import AnyOutput, HealthSampled, LedgerPosted, TradesAccepted
from streaming.core.errors import RateLimited
from streaming.shell.metrics import Metrics

QUEUE_MAX = 512
CLIENTS_MAX = 16
_LEFT_OUT = (HealthSampled, LedgerPosted, TradesAccepted)
"""Ticks; they are in tables and in /v1/status."""

Queue = asyncio.Queue[bytes | None]
"""Server-sent events; None ends the stream."""


class Broadcast:
    """Fan-out of outputs to bounded queues."""

    def __init__(self, metrics: Metrics) -> None:
        """Start without readers."""
        self._metrics = metrics
        self._queues: set[Queue] = set()

    def join(self) -> Queue:
        """Return a queue for a new reader.

        Raises:
            RateLimited: If there are too many readers.
        """
        if len(self._queues) >= CLIENTS_MAX:
            raise RateLimited("event_clients", f"expected at most {CLIENTS_MAX} readers; close one")
        queue: Queue = asyncio.Queue(QUEUE_MAX + 1)
        self._queues.add(queue)
        self._metrics.event_clients.set(len(self._queues))
        return queue

    def leave(self, queue: Queue) -> None:
        """Forget a reader."""
        self._queues.discard(queue)
        self._metrics.event_clients.set(len(self._queues))

    def publish(self, outputs: Sequence[AnyOutput]) -> None:
        """Offer outputs to every reader."""
        if not self._queues:
            return
        for output in outputs:
            if not isinstance(output, _LEFT_OUT):
                message = b"event: %s\ndata: %s\n\n" % (type(output).__name__.encode(), msgspec.json.encode(output))
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
