"""Bytes to and from the venue's websocket: one small seam, two libraries behind it.

Rule 1: a transport knows nothing of Hyperliquid. Its keepalive is off: the session pings by the venue's own message.
Rule 2: no redirects, no proxy from the environment, no compression, bounded frames (F-106, F-18).
Rule 3: one object is one connection. `on_close` comes at most once, and only after `on_open`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streaming.core.errors import NotSent

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""A whole message; the largest seen on the wire (a snapshot of fills) is far below 1 MiB."""
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 0.2
"""Longer waits keep a dead socket looking alive (F-03, M5)."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a connection calls; all of them run to completion inside the loop."""

    on_open: Callable[[], None]
    on_frame: Callable[[bytes], None]
    on_close: Callable[[str], None]


class Transport(Protocol):
    """One websocket connection."""

    async def connect(self, url: str, callbacks: Callbacks) -> None:
        """Open the connection; raises `NotSent` if it can not be opened."""

    def send(self, frame: bytes) -> None:
        """Queue one text frame; a frame after the end of the connection is dropped."""

    def abort(self) -> None:
        """End the connection without waiting; `on_close` follows."""

    async def closed(self) -> None:
        """Wait until the connection has ended and everything it held is released."""


TransportFactory = Callable[[], Transport]


def transport_factory(name: str) -> TransportFactory:
    """Return the factory of `picows` (hot path) or `websockets` (second implementation)."""
    if name == "picows":
        from streaming.shell.feed.transport_picows import PicowsTransport  # noqa: PLC0415 - only the chosen client is loaded

        return PicowsTransport
    from streaming.shell.feed.transport_websockets import WebsocketsTransport  # noqa: PLC0415 - as above

    return WebsocketsTransport


def not_sent(url: str, error: BaseException) -> NotSent:
    """Return the error for a connection that never opened."""
    what = "timeout" if isinstance(error, asyncio.TimeoutError) else f"{type(error).__name__}: {error}"
    return NotSent(f"expected a websocket at {url}, found {what[:150]}")
