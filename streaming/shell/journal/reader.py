"""The journal's readers: segments, sessions, and the steps they hold.

Rule 1: every checksum of a segment is verified before its first record is used.
Rule 2: the only damage that is accepted is a torn tail of a session's last segment, and it is reported (I-25, F-83).
    Everything else is a `StoreError` that names file and offset: an operator decides.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import zstandard

from streaming.contracts.paths import journal_folder
from streaming.core.effects import AnyOutput
from streaming.core.errors import StoreError
from streaming.core.events import AnyEvent
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.journal import format as fmt
from streaming.shell.tables.seal import sync_folder

_RENAMES_MAX = 3
"""A segment is renamed twice in its life, so a look that missed it that often looks for one that is gone."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment as it lies in its session's folder."""

    path: Path
    number: int
    suffix: str

    @property
    def is_closed(self) -> bool:
        """Tell whether its writer finished it."""
        return self.suffix != fmt.OPEN_SUFFIX


@dataclass(frozen=True, slots=True)
class Step:
    """One input with everything the engine decided on it."""

    seq: int
    event: AnyEvent
    outputs: list[AnyOutput]


def list_segments(folder: Path) -> list[SegmentFile]:
    """Return the segments of a session in order.

    Raises:
        StoreError: One is missing between the first and the last (F-83).
    """
    segments = _present_segments(folder)
    numbers = [segment.number for segment in segments]
    if numbers and numbers[-1] - numbers[0] + 1 != len(numbers):
        missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
        raise StoreError(f"{folder}: segments {missing[:5]} are missing; restore them or move the session away")
    return segments


def _present_segments(folder: Path) -> list[SegmentFile]:
    found: dict[int, SegmentFile] = {}
    # A closed segment lies beside its compressed copy for an instant; the later entry of this tuple wins.
    for suffix in (fmt.COMPRESSED_SUFFIX, fmt.OPEN_SUFFIX, fmt.CLOSED_SUFFIX):
        for path in folder.glob(f"[0-9]*{suffix}"):
            stem = path.name.removesuffix(suffix)
            if stem.isdigit():
                found[int(stem)] = SegmentFile(path, int(stem), suffix)
    return [found[number] for number in sorted(found)]


def is_live(folder: Path) -> bool:
    """Tell whether a session still has an open segment; a rolled one opens the next before it closes the last."""
    return any(not segment.is_closed for segment in _present_segments(folder))


def list_sessions(root: Path, venue: str) -> list[str]:
    """Return the sessions of a venue in which anything was recorded, in the order of their last segments."""
    folder = journal_folder(root, venue)
    if not folder.is_dir():
        return []
    opened = ((_latest_ts_ns(path), path.name) for path in folder.iterdir() if path.is_dir())
    return [name for ts_ns, name in sorted((ts_ns, name) for ts_ns, name in opened if ts_ns is not None)]


def read_segment(path: Path, *, may_be_torn: bool | None = None) -> Iterator[fmt.Record]:
    """Yield the records of one segment; the header comes first.

    Args:
        path: A segment in any of its three forms.
        may_be_torn: Accept and report an unfinished end as `TornTail`, the last record; None accepts it of an open one.

    Raises:
        StoreError: Damage, a seq that is not dense, or another journal version.
    """
    is_open = path.suffix == fmt.OPEN_SUFFIX
    raw = read_bytes(path)
    payloads, torn = _scan(path, raw, may_be_torn=is_open if may_be_torn is None else may_be_torn)
    seq = 0
    for index, (offset, payload) in enumerate(payloads):
        try:
            record = fmt.decode_payload(payload)
        except StoreError as error:
            raise StoreError(f"{path} at byte {offset}: {error}") from error
        match record:
            case fmt.SegmentHeader(seq_last=seq_last) if index == 0:
                seq = seq_last
            case fmt.FrameRecord() | fmt.EventRecord() if index:
                if record.seq != seq + 1:
                    raise StoreError(f"{path} at byte {offset}: expected seq {seq + 1}, found {record.seq} (I-25)")
                seq = record.seq
            case fmt.OutputsRecord() if index and record.seq == seq:
                pass
            case _:
                raise StoreError(f"{path} at byte {offset}: {type(record).__name__} does not belong behind seq {seq}")
        yield record
    if torn is not None:
        yield torn


def read_session(folder: Path, segments: Iterable[SegmentFile] | None = None) -> Iterator[fmt.Record]:
    """Yield the records of several segments in order, each with its header, and check that they join.

    Raises:
        StoreError: See `read_segment`; also if a snapshot does not follow the inputs before it (F-86).
    """
    chosen = list_segments(folder) if segments is None else list(segments)
    seq: int | None = None
    for segment in chosen:
        # A crash may leave two open segments: the older was complete before the newer began.
        for record in read_segment(segment.path, may_be_torn=segment is chosen[-1] and not segment.is_closed):
            if isinstance(record, fmt.SegmentHeader):
                if seq is not None and record.seq_last != seq:
                    raise StoreError(f"{segment.path}: expected to follow seq {seq}, found {record.seq_last} (I-25)")
                seq = record.seq_last
            elif isinstance(record, fmt.FrameRecord | fmt.EventRecord):
                seq = record.seq
            yield record


def steps(records: Iterable[fmt.Record]) -> Iterator[Step]:
    """Pair inputs with their outputs, decoding recorded frames; headers and a torn tail are passed over."""
    seq, event, outputs = 0, None, list[AnyOutput]()
    for record in records:
        if isinstance(record, fmt.OutputsRecord):
            outputs = [*outputs, *record.outputs]  # what was sent at once stands before its explanation
            continue
        if isinstance(record, fmt.FrameRecord | fmt.EventRecord):
            if event is not None:
                yield Step(seq, event, outputs)
            seq, event, outputs = record.seq, _event_of(record), []
    if event is not None:
        yield Step(seq, event, outputs)


def header_of(path: Path) -> fmt.SegmentHeader:
    """Return the header of a segment without reading on; raises StoreError if it has none."""
    raw = read_bytes(path)
    _check_prefix(path, raw)
    begin = fmt.FILE_PREFIX.size
    end = _record_end(path, raw, begin)
    record = None if end is None else fmt.decode_payload(memoryview(raw)[begin + fmt.RECORD_PREFIX.size : end])
    if isinstance(record, fmt.SegmentHeader):
        return record
    raise StoreError(f"{path}: expected a header record, found none")


def opened_ts_ns(segment: SegmentFile) -> int | None:
    """Return when a segment was opened, in any journal version; None if its first bytes were not written."""
    raw = _head(segment.path)
    if len(raw) < fmt.FILE_PREFIX.size:
        return None
    magic, _, ts_ns = fmt.FILE_PREFIX.unpack(raw)
    if magic != fmt.MAGIC:
        raise StoreError(f"{segment.path}: expected a journal segment, found {magic!r}")
    return int(ts_ns)


def finish_abandoned(segment: SegmentFile) -> bool:
    """Close an open segment whose writer is gone: cut the torn tail, sync, rename.

    Returns:
        False if its writer is alive, or somebody else closed it.

    Raises:
        StoreError: The segment is damaged otherwise.
    """
    try:
        fd = os.open(segment.path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raw = read_bytes(segment.path)
        payloads, torn = _scan(segment.path, raw, may_be_torn=True)
        if torn is not None:
            _log.warning("journal_tail_cut", path=str(segment.path), offset=torn.offset, cut_bytes=torn.byte_count)
            os.ftruncate(fd, torn.offset)
        if payloads:
            os.fsync(fd)
            segment.path.rename(segment.path.with_suffix(fmt.CLOSED_SUFFIX))
        else:
            # Killed before its header was whole: nothing was recorded here.
            segment.path.unlink()
        sync_folder(segment.path.parent)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a segment, decompressed; raises StoreError if they can not be read.

    A segment changes its name while it is closed and compressed; it is found under any of them.
    """
    try:
        present, raw = _read_present(path)
        if present.name.endswith(fmt.COMPRESSED_SUFFIX):
            return zstandard.ZstdDecompressor().decompress(raw)
    except (OSError, zstandard.ZstdError) as error:
        raise StoreError(f"{path}: {error}") from error
    return raw


def _read_present(path: Path) -> tuple[Path, bytes]:
    for _ in range(_RENAMES_MAX):
        present = _present(path)
        try:
            return present, present.read_bytes()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"no such segment: {path}")


def _present(path: Path) -> Path:
    number = path.name.split(".", 1)[0]
    for suffix in ("", fmt.OPEN_SUFFIX, fmt.CLOSED_SUFFIX, fmt.COMPRESSED_SUFFIX):
        candidate = path.with_name(number + suffix) if suffix else path
        if candidate.exists():
            return candidate
    return path


def _event_of(record: fmt.FrameRecord | fmt.EventRecord) -> AnyEvent:
    if isinstance(record, fmt.EventRecord):
        return record.event
    return decode_frame(
        record.raw,
        generation=record.generation,
        recv_mono_ns=record.recv_mono_ns,
        recv_ts_ns=record.recv_ts_ns,
    )


def _latest_ts_ns(folder: Path) -> int | None:
    """Return when a session's last segment was opened; None if nothing whole was written."""
    opened = (opened_ts_ns(segment) for segment in reversed(_present_segments(folder)))
    return next((ts_ns for ts_ns in opened if ts_ns is not None), None)


def _head(path: Path) -> bytes:
    present = _present(path)
    try:
        with present.open("rb") as file:
            if not present.name.endswith(fmt.COMPRESSED_SUFFIX):
                return file.read(fmt.FILE_PREFIX.size)
            with zstandard.ZstdDecompressor().stream_reader(file) as reader:
                return reader.read(fmt.FILE_PREFIX.size)
    except (OSError, zstandard.ZstdError) as error:
        raise StoreError(f"{path}: {error}") from error


def _scan(path: Path, raw: bytes, *, may_be_torn: bool) -> tuple[list[tuple[int, memoryview]], fmt.TornTail | None]:
    """Verify every record; return (offset, payload) of each and the torn tail, if there is one."""
    if len(raw) < fmt.FILE_PREFIX.size:
        return [], _torn(path, raw, 0, may_be_torn=may_be_torn)
    _check_prefix(path, raw)
    view = memoryview(raw)
    payloads: list[tuple[int, memoryview]] = []
    offset, size = fmt.FILE_PREFIX.size, len(raw)
    while offset < size:
        end = _record_end(path, raw, offset)
        if end is None:
            # An input whose outputs may have stood in the torn part never took effect either: it goes with it.
            if len(payloads) > 1 and payloads[-1][1][0] in {fmt.KIND_FRAME, fmt.KIND_EVENT}:
                offset = payloads.pop()[0]
            return payloads, _torn(path, raw, offset, may_be_torn=may_be_torn)
        payloads.append((offset, view[offset + fmt.RECORD_PREFIX.size : end]))
        offset = end
    if not payloads:
        return [], _torn(path, raw, offset, may_be_torn=may_be_torn)
    return payloads, None


def _check_prefix(path: Path, raw: bytes) -> None:
    magic, version, _ = fmt.FILE_PREFIX.unpack_from(raw) if len(raw) >= fmt.FILE_PREFIX.size else (raw, 0, 0)
    if magic != fmt.MAGIC:
        raise StoreError(f"{path}: expected a journal segment, found {magic[:8]!r}")
    if version != fmt.JOURNAL_VERSION:
        raise StoreError(
            f"{path}: written in journal version {version}, this code reads version {fmt.JOURNAL_VERSION}; "
            "flatten with the old version first"
        )


def _record_end(path: Path, raw: bytes, offset: int) -> int | None:
    """Return where the record at `offset` ends, None if the file ends before; its checksum holds."""
    try:
        length, complement, crc = fmt.RECORD_PREFIX.unpack_from(raw, offset)
    except struct.error:
        return None
    if length ^ complement != fmt.LENGTH_MASK or not 0 < length <= fmt.RECORD_BYTES_MAX:
        # After a machine crash the file system may show a tail of zeros: never written, so torn.
        if not any(raw[offset:]):
            return None
        raise StoreError(f"{path} at byte {offset}: the record's length is damaged (I-25)")
    begin = offset + fmt.RECORD_PREFIX.size
    end: int = begin + length
    if end > len(raw):
        return None
    found = zlib.crc32(memoryview(raw)[begin:end])
    if found != crc:
        raise StoreError(f"{path} at byte {offset}: expected crc {crc:08x}, found {found:08x} (I-25)")
    return end


def _torn(path: Path, raw: bytes, offset: int, *, may_be_torn: bool) -> fmt.TornTail:
    if not may_be_torn:
        raise StoreError(f"{path} at byte {offset}: the segment ends inside a record, and it is not the last (I-25)")
    return fmt.TornTail(offset, len(raw) - offset)
