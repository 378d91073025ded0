"""The bench venue's port: HTTP and websocket on one, as the sidecar expects, with the least work before a stamp.

Why not a library: a server of websockets takes no HTTP bodies, one that takes both puts tasks between socket and stamp.

Rule 1: what arrives is stamped before anything of it is looked at; the stamp of a message is that of its last bytes.
Rule 2: clients are ours or ran before: frames are masked, unfragmented and honest; whatever else ends the connection.
"""

import asyncio
import base64
import hashlib
from time import perf_counter_ns
from typing import Protocol, cast

from typing_extensions import override

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_HEAD_END = b"\r\n\r\n"


class Desk(Protocol):
    """What stands behind a port."""

    def answer(self, path: str, body: bytes, stamp_ns: int) -> bytes:
        """Return the JSON that answers a POST."""

    def opened(self, socket: "Front") -> None:
        """A websocket is open."""

    def closed(self, socket: "Front") -> None:
        """A websocket is gone."""

    def received(self, socket: "Front", payload: bytes, stamp_ns: int) -> None:
        """A text frame came."""


class Front(asyncio.Protocol):
    """One connection."""

    def __init__(self, desk: Desk) -> None:
        """Hand everything to `desk`."""
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_socket = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        if self._is_socket:
            self._desk.closed(self)

    @override
    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        stamp_ns = perf_counter_ns()
        self._buffer += data
        while self._buffer and (self._read_frame(stamp_ns) if self._is_socket else self._read_request(stamp_ns)):
            pass

    def send(self, frames: bytes) -> None:
        """Write what `frame_of` made, one or many; nothing once the connection is gone."""
        if self._transport is not None:
            self._transport.write(frames)

    def abort(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _read_frame(self, stamp_ns: int) -> bool:
        """Take one frame off the buffer; False when it is not whole yet."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, begin = buffer[1] & 0x7F, 2
        if length >= 126:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(buffer[2:begin], "big")
        end = begin + 4 + length
        if len(buffer) < end:
            return False
        self._buffer = buffer[end:]
        kind = buffer[0] & 0x0F
        if kind == _TEXT:
            self._desk.received(self, _unmasked(buffer[begin : begin + 4], buffer[begin + 4 : end]), stamp_ns)
        elif kind == _PING:
            self.send(frame_of(_unmasked(buffer[begin : begin + 4], buffer[begin + 4 : end]), _PONG))
        elif kind == _CLOSE:
            self.abort()
        return True

    def _read_request(self, stamp_ns: int) -> bool:
        """Take one HTTP request off the buffer; False when it is not whole yet."""
        head, separator, rest = self._buffer.partition(_HEAD_END)
        if not separator:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "sec-websocket-key" in headers:
            self._buffer = rest
            self._upgrade(headers["sec-websocket-key"])
            return True
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return False
        self._buffer = rest[length:]
        body = self._desk.answer(first.split(" ")[1], rest[:length], stamp_ns)
        head_out = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send(head_out.encode() + body)
        return True

    def _upgrade(self, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - RFC 6455
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        self.send(head.encode() + accept + _HEAD_END)
        self._is_socket = True
        self._desk.opened(self)


def frame_of(payload: bytes, kind: int = _TEXT) -> bytes:
    """Return `payload` as one unmasked frame."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | kind, length)) + payload
    if length < 65_536:
        return bytes((0x80 | kind, 126)) + length.to_bytes(2, "big") + payload
    return bytes((0x80 | kind, 127)) + length.to_bytes(8, "big") + payload


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
