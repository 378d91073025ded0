"""Websocket clients of the venue and what each of them listens to.

Rule 1: a client has a bounded queue and its own writer, so a slow reader delays nobody and is cut off in the end.
Rule 2: a connection to which nothing was sent for 60 s is closed without a close frame, as documented.
Rule 3: every frame but those that faults push themselves goes through `Hub.tell` or `Hub.publish`, past the hooks.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from aiohttp import web

from streaming.sim.venue.feed.subscriptions import Topic, Wanted
from streaming.sim.venue.hooks import Peer, VenueHooks

QUEUE_FRAMES_MAX = 20_000
QUEUE_BYTES_MAX = 16 * 1_048_576
"""Several times what the longest snapshots of all streams an IP may have take."""
IDLE_S = 60.0

_Closing = tuple[int, str]


class Client:
    """One websocket."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        number: int = 1,
        ip: str = "",
        now_s: Callable[[], float] | None = None,
    ) -> None:
        """Write to `socket`; `transport` is what gets aborted, `now_s` a monotonic clock (the loop's by default)."""
        self.number = number
        self.ip = ip
        self.wanted: dict[Topic, Wanted] = {}
        self.users: set[str] = set()
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[str | _Closing] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._queued_bytes = 0
        self._now_s = asyncio.get_running_loop().time if now_s is None else now_s
        self._sent_s = self._now_s()

    def topics(self) -> Iterable[Topic]:
        """Return what it listens to."""
        return tuple(self.wanted)

    def push(self, text: str) -> None:
        """Queue a frame; a client that has fallen too far behind is cut off."""
        self._put(text)

    def close(self, code: int, reason: str = "") -> None:
        """Close with a close frame, after what is queued."""
        self._put((code, reason))

    def abort(self) -> None:
        """Close the connection without a close frame (the client sees code 1006)."""
        self._transport.abort()

    def abort_if_idle(self) -> None:
        """Apply the 60 s rule."""
        if self._now_s() - self._sent_s > IDLE_S:
            self.abort()

    async def write(self) -> None:
        """Send queued frames until cancelled or the connection is gone."""
        while True:
            item = await self._queue.get()
            try:
                if isinstance(item, str):
                    self._queued_bytes -= len(item)
                    await self._socket.send_str(item)
                else:
                    await self._socket.close(code=item[0], message=item[1].encode())
            except ConnectionError:
                return
            self._sent_s = self._now_s()

    def _put(self, item: str | _Closing) -> None:
        size = len(item) if isinstance(item, str) else 0
        if self._queue.full() or self._queued_bytes + size > QUEUE_BYTES_MAX:
            self.abort()
            return
        self._queued_bytes += size
        self._queue.put_nowait(item)


class Hub:
    """All clients by topic."""

    def __init__(self, hooks: VenueHooks | None = None, now_ms: Callable[[], int] = lambda: 0) -> None:
        """Start empty; `now_ms` is what hooks are told."""
        self.clients: set[Client] = set()
        self.followers: Counter[str] = Counter()
        """Subscriptions by user: account bodies are only made for these."""
        self._by_topic: dict[Topic, dict[Client, None]] = {}
        self._hooks = VenueHooks() if hooks is None else hooks
        self._now_ms = now_ms

    def peers(self) -> Sequence[Peer]:
        """Return all clients in the order they came."""
        return sorted(self.clients, key=lambda client: client.number)

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
        if wanted.topic.user:
            self.followers[wanted.topic.user] += 1
            client.users.add(wanted.topic.user)

    def unsubscribe(self, client: Client, topic: Topic) -> None:
        """Let a client that listens listen no more."""
        del client.wanted[topic]
        listeners = self._by_topic[topic]
        del listeners[client]
        if not listeners:
            del self._by_topic[topic]
        if topic.user:
            self.followers[topic.user] -= 1
            if not self.followers[topic.user]:
                del self.followers[topic.user]
            client.users = {known.user for known in client.wanted if known.user}

    def forget(self, client: Client) -> None:
        """Remove a client that is gone."""
        for topic in tuple(client.wanted):
            self.unsubscribe(client, topic)
        self.clients.discard(client)

    def publish(self, topic: Topic, text: str) -> None:
        """Send a frame to everybody who listens."""
        listeners = tuple(self._by_topic.get(topic, ()))
        if self._hooks.is_feed_faulty:
            for client in listeners:
                self.tell(client, topic.wire_channel, topic, text)
        else:
            for client in listeners:
                client.push(text)

    def tell(self, client: Client, channel: str, topic: Topic | None, text: str) -> None:
        """Send a frame to one client; `topic` is what an ack or a snapshot is about."""
        if not self._hooks.is_feed_faulty:
            client.push(text)
            return
        for outgoing in self._hooks.frames_out(client, channel, topic, text, self._now_ms()):
            if outgoing.delay_ms > 0:
                asyncio.get_running_loop().call_later(outgoing.delay_ms / 1000, self._later, client, outgoing.text)
            else:
                client.push(outgoing.text)

    def _later(self, client: Client, text: str) -> None:
        if client in self.clients:
            client.push(text)
