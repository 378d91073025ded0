"""Recorded websocket frames as JSON lines, in the shapes that public recorders write.

A line is a bare frame, or an object that holds the frame (as object or as text) under one of `FRAME_KEYS`, or
`[stamp, frame]`. A receive stamp may stand beside it under one of `STAMP_KEYS`: a number whose magnitude tells seconds,
milli-, micro- or nanoseconds, or ISO 8601 text.

Rule 1: the frame's own bytes are handed on as they stand in the line; nothing is parsed twice or rewritten.
Rule 2: a line that holds no frame is handed on whole: the decoder says what is wrong with it, and it is counted.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

FRAME_KEYS = ("raw", "frame", "message", "msg", "payload", "data", "body", "line")
STAMP_KEYS = (
    "recv_ts_ns", "recv_ns", "ts_ns", "timestamp_ns", "time_ns", "recv_ts_us", "ts_us", "recv_ts_ms", "recv_ms",
    "received_at_ms", "ts_ms", "timestamp_ms", "local_ts", "local_timestamp", "local_time", "received_at", "recv_ts",
    "recv_time", "recv", "received", "receipt_timestamp", "ts", "t", "timestamp", "time",
)  # fmt: skip
_DEPTH_MAX = 4
_MAGNITUDES = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000), (10**8, 1_000_000_000))
"""Smallest value → nanoseconds a unit; anything below 1e8 is no wall-clock stamp."""
_TS_NS_MAX = 2**63 - 1

_Raw = msgspec.Raw
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class FrameLine(NamedTuple):
    """One recorded frame."""

    raw: bytes
    recv_ts_ns: int | None
    """Wall clock of the recorder; None if the line has none."""


def read_frame_lines(lines: Iterable[bytes]) -> Iterator[FrameLine]:
    """Yield the frame of every line that is not blank."""
    for line in lines:
        if stripped := line.strip():
            yield parse_line(stripped)


def parse_line(line: bytes) -> FrameLine:
    """Return the frame in a line; a line without one is returned whole."""
    return _unwrapped(line, 0) or FrameLine(line, None)


def stamp_ns(value: bytes) -> int | None:
    """Return a JSON number or ISO 8601 text as nanoseconds since 1970 UTC, None if it is no wall-clock stamp."""
    try:
        text = _decode_text(value) if value[:1] == b'"' else value.decode()
    except (msgspec.MsgspecError, UnicodeError):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _iso_ns(text)
    if not number.is_finite():
        return None
    unit_ns = next((unit for smallest, unit in _MAGNITUDES if number >= smallest), None)
    if unit_ns is None or number * unit_ns > _TS_NS_MAX:
        return None
    return int(number * unit_ns)


def _iso_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    # Whole seconds and microseconds apart: a float of the whole would lose digits.
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def _unwrapped(raw: bytes, depth: int) -> FrameLine | None:
    if depth > _DEPTH_MAX:
        return None
    try:
        if raw[:1] == b"{":
            return _of_object(raw, _decode_object(raw), depth)
        if raw[:1] == b"[":
            return _of_array(_decode_array(raw), depth)
        if raw[:1] == b'"':
            # A frame as text: JSON in JSON, or the greeting, which is no JSON.
            text = _decode_text(raw).encode()
            return _unwrapped(text, depth + 1) or FrameLine(text, None)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return None


def _of_object(raw: bytes, fields: dict[str, _Raw], depth: int) -> FrameLine | None:
    stamps = (stamp_ns(bytes(fields[key])) for key in STAMP_KEYS if key in fields)
    recv_ts_ns = next((stamp for stamp in stamps if stamp is not None), None)
    if "channel" in fields:
        return FrameLine(raw, recv_ts_ns)
    for key in FRAME_KEYS:
        if key in fields:
            inner = _unwrapped(bytes(fields[key]), depth + 1)
            if inner is not None:
                return FrameLine(inner.raw, inner.recv_ts_ns if recv_ts_ns is None else recv_ts_ns)
    return None


def _of_array(items: list[_Raw], depth: int) -> FrameLine | None:
    recv_ts_ns: int | None = None
    frame: FrameLine | None = None
    for item in map(bytes, items):
        stamp = stamp_ns(item)
        if stamp is not None:
            recv_ts_ns = stamp if recv_ts_ns is None else recv_ts_ns
        elif frame is None and item[:1] in {b"{", b'"'}:
            frame = _unwrapped(item, depth + 1)
    return None if frame is None else FrameLine(frame.raw, frame.recv_ts_ns if recv_ts_ns is None else recv_ts_ns)
