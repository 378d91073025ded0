"""The journal's bytes: what a segment file holds, shared by the writer and the readers.

    file    = magic (8) + version (u32) + opened_ts_ns (i64), then records       all little endian
    record  = length (u32) + ~length (u32) + crc32 of the payload (u32) + payload
    payload = kind (u8) + body

The complement of the length tells a flipped bit in a length from a torn tail: without it a damaged record in the middle
of the newest segment could pass for its end. The first 20 bytes keep their meaning in every version, so that any
version can say which session is the newest and who wrote it.

Rule 1: a segment begins with its header record: session, configuration, specs and a snapshot of the engine.
Rule 2: then inputs in dense `seq` (I-25), each followed by the outputs decided on it, if there were any.
Rule 3: a websocket frame is kept as received, byte for byte; everything else as msgpack of the event.
"""

import struct
import zlib
from pathlib import Path

import msgspec

from streaming.core.effects import AnyOutput
from streaming.core.errors import StoreError
from streaming.core.events import AnyEvent
from streaming.core.market import MarketSpec
from streaming.core.state import SessionInfo

MAGIC = b"hip3jnl\n"
JOURNAL_VERSION = 1
FILE_PREFIX = struct.Struct("<8sIq")
RECORD_PREFIX = struct.Struct("<III")
FRAME_PREFIX = struct.Struct("<BQIqq")
SEQ_PREFIX = struct.Struct("<BQ")
LENGTH_MASK = 0xFFFFFFFF
RECORD_BYTES_MAX = 256 * 1024 * 1024

KIND_HEADER = 1
KIND_FRAME = 2
KIND_EVENT = 3
KIND_OUTPUTS = 4

NEW_SUFFIX = ".new"
OPEN_SUFFIX = ".open"
CLOSED_SUFFIX = ".jnl"
COMPRESSED_SUFFIX = ".jnl.zst"


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First record of a segment: all that is needed to read the rest without the segments before it."""

    number: int
    session: SessionInfo
    config_json: str
    boot_id: str
    opened_ts_ns: int
    opened_mono_ns: int
    seq_last: int
    """Sequence number of the last input before this segment; the first one here is the next."""
    specs: tuple[MarketSpec, ...]
    snapshot: bytes


class FrameRecord(msgspec.Struct, frozen=True, gc=False):
    """A websocket frame as received."""

    seq: int
    generation: int
    recv_mono_ns: int
    recv_ts_ns: int
    raw: bytes


class EventRecord(msgspec.Struct, frozen=True):
    """An input that was no frame."""

    seq: int
    event: AnyEvent


class OutputsRecord(msgspec.Struct, frozen=True):
    """Everything the engine decided on the input `seq`."""

    seq: int
    outputs: list[AnyOutput]


class TornTail(msgspec.Struct, frozen=True):
    """The end of a segment that a killed writer left unfinished; nothing of it was ever acted on."""

    offset: int
    byte_count: int


Record = SegmentHeader | FrameRecord | EventRecord | OutputsRecord | TornTail

_crc32 = zlib.crc32
_pack_record = RECORD_PREFIX.pack
_pack_frame = FRAME_PREFIX.pack
_pack_seq = SEQ_PREFIX.pack
_ENCODER = msgspec.msgpack.Encoder()
_HEADER_DECODER = msgspec.msgpack.Decoder(SegmentHeader)
_EVENT_DECODER: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_OUTPUTS_DECODER: msgspec.msgpack.Decoder[list[AnyOutput]] = msgspec.msgpack.Decoder(list[AnyOutput])


def encode_outputs(outputs: list[AnyOutput]) -> bytes:
    """Return the bytes in which outputs are recorded; equal decisions have equal bytes."""
    return _ENCODER.encode(outputs)


def file_prefix(opened_ts_ns: int) -> bytes:
    """Return the first bytes of a segment file of this version."""
    return FILE_PREFIX.pack(MAGIC, JOURNAL_VERSION, opened_ts_ns)


def append_record(buffer: bytearray, payload: bytes) -> None:
    """Append the record of a payload; for the small ones of the hot path, copying twice is cheaper than three calls."""
    length = len(payload)
    buffer += _pack_record(length, length ^ LENGTH_MASK, _crc32(payload)) + payload


def append_header(buffer: bytearray, header: SegmentHeader) -> None:
    """Append what a segment file begins with: the file's prefix and the header record."""
    buffer += FILE_PREFIX.pack(MAGIC, JOURNAL_VERSION, header.opened_ts_ns)
    append_record(buffer, bytes((KIND_HEADER,)) + _ENCODER.encode(header))


def append_frame(buffer: bytearray, seq: int, generation: int, recv_mono_ns: int, recv_ts_ns: int, raw: bytes) -> None:
    """Append the record of one websocket frame."""
    append_record(buffer, _pack_frame(KIND_FRAME, seq, generation, recv_mono_ns, recv_ts_ns) + raw)


def append_event(buffer: bytearray, seq: int, event: AnyEvent) -> None:
    """Append the record of an input that was no frame."""
    append_record(buffer, _pack_seq(KIND_EVENT, seq) + _ENCODER.encode(event))


def append_outputs(buffer: bytearray, seq: int, outputs: list[AnyOutput]) -> None:
    """Append the record of what was decided on the input `seq`."""
    append_record(buffer, _pack_seq(KIND_OUTPUTS, seq) + _ENCODER.encode(outputs))


def decode_payload(payload: memoryview) -> Record:
    """Decode a payload whose checksum held.

    Raises:
        StoreError: The code that runs can not read what the code that wrote it meant.
    """
    kind = payload[0]
    try:
        if kind == KIND_FRAME:
            _, seq, generation, recv_mono_ns, recv_ts_ns = FRAME_PREFIX.unpack_from(payload)
            return FrameRecord(seq, generation, recv_mono_ns, recv_ts_ns, bytes(payload[FRAME_PREFIX.size :]))
        if kind == KIND_HEADER:
            return _HEADER_DECODER.decode(payload[1:])
        _, seq = SEQ_PREFIX.unpack_from(payload)
        body = payload[SEQ_PREFIX.size :]
        if kind == KIND_EVENT:
            return EventRecord(seq, _EVENT_DECODER.decode(body))
        if kind == KIND_OUTPUTS:
            return OutputsRecord(seq, _OUTPUTS_DECODER.decode(body))
    except (msgspec.DecodeError, struct.error) as error:
        raise StoreError(
            f"this version can not read the record ({error}); flatten with the old version first"
        ) from error
    raise StoreError(f"expected a record kind of 1 to 4, found {kind}; flatten with the old version first")


def segment_path(folder: Path, number: int, suffix: str) -> Path:
    """Return the path of a segment in its session's folder."""
    return folder / f"{number:06d}{suffix}"
