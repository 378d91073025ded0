"""The hot path's transport: picows calls us from the socket's read, without a task or a queue between."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from typing_extensions import override

from streaming.shell.feed.transport import CONNECT_TIMEOUT_S, FRAME_BYTES_MAX, Callbacks, not_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from picows.picows import WSCloseHandshake

_TEXT = WSMsgType.TEXT  # an enum's members are found by a slow way


class PicowsTransport(WSListener):
    """One connection over picows; joins fragments, control frames stay inside."""

    def __init__(self) -> None:
        """Hold nothing until `connect`."""
        self._transport: WSTransport | None = None
        self._callbacks: Callbacks | None = None
        self._on_frame: Callable[[bytes], None] = _ignored
        self._fragments = bytearray()
        self._reason = "connection_ended"

    async def connect(self, url: str, callbacks: Callbacks) -> None:
        """Open the connection; raises `NotSent` if it can not be opened."""
        self._callbacks = callbacks
        self._on_frame = callbacks.on_frame
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await ws_connect(
                    lambda: self,
                    url,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    max_frame_size=FRAME_BYTES_MAX,
                    max_redirects=0,
                )
        except (OSError, WSError, TimeoutError) as error:
            raise not_sent(url, error) from error

    def send(self, frame: bytes) -> None:
        """Queue one text frame; a frame after the end of the connection is dropped."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(_TEXT, frame)

    def abort(self) -> None:
        """End the connection without waiting; `on_close` follows."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    async def closed(self) -> None:
        """Wait until the connection has ended."""
        if self._transport is not None:
            with contextlib.suppress(WSError):  # `on_close` told the reason
                await self._transport.wait_disconnected()

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows when the handshake is done, before `ws_connect` returns."""
        self._transport = transport
        if self._callbacks is not None:
            self._callbacks.on_open()

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for each frame."""
        kind = frame.msg_type
        if transport.is_close_frame_sent or self._reason == "frame_too_large":
            return  # picows goes on parsing after a frame it refused; nothing behind that one can be trusted
        if kind is _TEXT and frame.fin:
            self._on_frame(frame.get_payload_as_bytes())
        elif kind in {_TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION}:
            self._join(transport, frame)
        elif kind is WSMsgType.CLOSE:
            self._reason = f"closed_{frame.get_close_code().value}"
            transport.disconnect()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows once, when the connection is gone."""
        handshake: WSCloseHandshake | None = transport.close_handshake  # None without any close frame
        sent = None if handshake is None else handshake.sent
        if self._reason == "connection_ended" and sent is not None and sent.code is WSCloseCode.MESSAGE_TOO_BIG:
            self._reason = "frame_too_large"
        if self._callbacks is not None:
            self._callbacks.on_close(self._reason)

    def _join(self, transport: WSTransport, frame: WSFrame) -> None:
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > FRAME_BYTES_MAX:
            self._reason = "frame_too_large"
            self._fragments.clear()
            transport.disconnect(graceful=False)
        elif frame.fin:
            whole = bytes(self._fragments)
            self._fragments.clear()
            self._on_frame(whole)


def _ignored(_: bytes) -> None:
    """Stand in until `connect`."""
