"""Websocket clients of the venue and what each of them listens to.

Rule 1: a client has a bounded queue and its own writer, so a slow reader delays nobody and is cut off in the end.
Rule 2: a connection to which nothing was sent for 60 s is closed without a close frame, as documented.
"""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from streaming.sim.venue.subscriptions import Topic, Wanted

QUEUE_FRAMES_MAX = 20_000
IDLE_S = 60.0


class Client:
    """One websocket."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        """Write to `socket`; `transport` is what gets aborted."""
        self.wanted: dict[Topic, Wanted] = {}
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._sent_s = asyncio.get_running_loop().time()

    def send(self, text: str) -> None:
        """Queue a frame; a client that has fallen too far behind is cut off."""
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.abort()

    def abort(self) -> None:
        """Close the connection without a close frame (the client sees code 1006)."""
        self._transport.abort()

    def abort_if_idle(self) -> None:
        """Apply the 60 s rule."""
        if asyncio.get_running_loop().time() - self._sent_s > IDLE_S:
            self.abort()

    async def write(self) -> None:
        """Send queued frames until cancelled or the connection is gone."""
        while True:
            text = await self._queue.get()
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                return
            self._sent_s = asyncio.get_running_loop().time()


class Hub:
    """All clients by topic."""

    def __init__(self) -> None:
        """Start empty."""
        self.clients: set[Client] = set()
        self._by_topic: dict[Topic, dict[Client, None]] = {}

    def topics(self) -> Iterable[Topic]:
        """Return every topic somebody listens to."""
        return tuple(self._by_topic)

    def has(self, topic: Topic) -> bool:
        """Tell whether anybody listens."""
        return topic in self._by_topic

    def subscribe(self, client: Client, wanted: Wanted) -> None:
        """Let a client listen."""
        client.wanted[wanted.topic] = wanted
        self._by_topic.setdefault(wanted.topic, {})[client] = None

    def unsubscribe(self, client: Client, topic: Topic) -> None:
        """Let a client listen no more."""
        client.wanted.pop(topic, None)
        listeners = self._by_topic.get(topic, {})
        listeners.pop(client, None)
        if not listeners:
            self._by_topic.pop(topic, None)

    def forget(self, client: Client) -> None:
        """Remove a client that is gone."""
        for topic in tuple(client.wanted):
            self.unsubscribe(client, topic)
        self.clients.discard(client)

    def publish(self, topic: Topic, text: str) -> None:
        """Send a frame to everybody who listens."""
        for client in tuple(self._by_topic.get(topic, ())):
            client.send(text)
