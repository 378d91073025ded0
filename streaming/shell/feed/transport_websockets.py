"""The second transport: the `websockets` library behind the same seam, read by a task of its own."""

import asyncio

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from streaming.shell.feed.transport import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, FRAME_BYTES_MAX, Callbacks, not_sent


class _Connect(connect):
    """`connect` that treats a redirect as a failure."""

    @override
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class WebsocketsTransport:
    """One connection over `websockets`."""

    def __init__(self) -> None:
        """Hold nothing until `connect`."""
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(self, url: str, callbacks: Callbacks) -> None:
        """Open the connection; raises `NotSent` if it can not be opened."""
        try:
            self._connection = await _Connect(
                url,
                compression=None,
                proxy=None,
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                max_size=FRAME_BYTES_MAX,
            )
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            raise not_sent(url, error) from error
        callbacks.on_open()
        self._reader = asyncio.create_task(self._read(self._connection, callbacks), name="websocket-reader")

    async def _read(self, connection: ClientConnection, callbacks: Callbacks) -> None:
        reason = "connection_ended"
        try:
            async for message in connection:
                callbacks.on_frame(message if isinstance(message, bytes) else message.encode())
        except ConnectionClosed:
            pass  # the codes below say how
        if connection.protocol.close_sent is not None and connection.protocol.close_sent.code == 1009:
            reason = "frame_too_large"
        elif connection.protocol.close_rcvd is not None:
            reason = f"closed_{connection.protocol.close_rcvd.code}"
        callbacks.on_close(reason)

    def send(self, frame: bytes) -> None:
        """Queue one text frame; a frame after the end of the connection is dropped."""
        connection = self._connection
        if connection is None or connection.protocol.close_expected() or connection.transport.is_closing():
            return
        connection.protocol.send_text(frame)
        connection.send_data()

    def abort(self) -> None:
        """End the connection without waiting; `on_close` follows."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def closed(self) -> None:
        """Wait until the reading task has ended."""
        if self._reader is not None:
            await asyncio.wait({self._reader})
