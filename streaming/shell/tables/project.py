"""The projector: closed journal segments become sealed parts, then compressed segments.

It runs in a low-priority child of the sidecar (`tables.follow`) and by hand (`hip3 project`).

Rule 1: the part number of every part of a segment is the segment's number, and rows depend on the segment alone. So a
    run that was killed anywhere can be repeated: it makes the same parts and announces none twice (I-27, F-56).
Rule 2: order of steps for a segment: seal all parts → announce them in one write → compress. A compressed segment is a
    projected one.
Rule 3: one projector a session (flock on the session's folder); the second one passes that session over.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import zstandard

from streaming.contracts.paths import journal_folder
from streaming.contracts.projection import Projector, Rows
from streaming.core.errors import StoreError
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import (
    SegmentFile,
    finish_abandoned,
    header_of,
    list_segments,
    list_sessions,
    read_bytes,
    read_segment,
    steps,
)
from streaming.shell.tables.seal import PartWriter, sweep_tmp, sync_folder, write_sealed

_ZSTD_LEVEL = 6

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Projected:
    """What became of one segment."""

    session_id: str
    segment: int
    input_count: int
    row_count: int
    part_count: int
    """Parts announced now; those that stood in the manifest before are not counted."""
    repaired_count: int
    """Lost or damaged parts that were written again (rebuild only)."""


def never() -> bool:
    """Tell that nobody asked to stop."""
    return False


def project_session(
    root: Path, venue: str, session_id: str, *, rebuild: bool = False, should_stop: Callable[[], bool] = never
) -> list[Projected]:
    """Project the closed segments of a session that are not projected yet, and one whose writer is gone.

    Args:
        root: The warehouse.
        venue: Venue of the session.
        session_id: The session.
        rebuild: Project every segment again and prove that the sealed parts hold the same rows.
        should_stop: Asked before each segment.

    Raises:
        StoreError: A segment or a sealed part is damaged, the disk is full, or rebuilt rows differ from sealed ones.
    """
    folder = journal_folder(root, venue, session_id)
    done: list[Projected] = []
    with _only_projector(folder) as is_mine:
        if not is_mine:
            _log.warning("session_projected_elsewhere", session_id=session_id)
            return done
        sweep_tmp(root, venue=venue, session_id=session_id)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        _finish_open_segments(folder)
        writer: PartWriter | None = None
        previous: fmt.SegmentHeader | None = None
        for segment in list_segments(folder):
            is_wanted = segment.is_closed and (rebuild or segment.suffix != fmt.COMPRESSED_SUFFIX)
            if not is_wanted or should_stop():
                continue
            header = header_of(segment.path)
            if previous is None and segment.number > 1:
                previous = _header_before(folder, segment.number)
            is_new_config = previous is None or previous.session.config_hash != header.session.config_hash
            if writer is None or is_new_config:
                writer = PartWriter(root, venue=venue, session_id=session_id, config_hash=header.session.config_hash)
            done.append(_project_segment(writer, segment, header, with_config=is_new_config, rebuild=rebuild))
            previous = header
            compress(segment)
    return done


def project_venue(
    root: Path,
    venue: str,
    *,
    session_id: str | None = None,
    rebuild: bool = False,
    should_stop: Callable[[], bool] = never,
) -> list[Projected]:
    """Project one session of a venue, or whatever is left over of any of them, oldest first.

    Raises:
        StoreError: See `project_session`; a damaged session does not keep the others from being projected first.
    """
    done: list[Projected] = []
    failures: list[StoreError] = []
    for name in list_sessions(root, venue) if session_id is None else [session_id]:
        try:
            if not should_stop() and (rebuild or session_id or _has_work(journal_folder(root, venue, name))):
                done += project_session(root, venue, name, rebuild=rebuild, should_stop=should_stop)
        except StoreError as error:
            failures.append(error)
    if failures:
        raise StoreError("; ".join(map(str, failures))) from failures[0]
    return done


def project_rows(segment: SegmentFile, header: fmt.SegmentHeader, *, with_config: bool) -> tuple[Rows, int]:
    """Return the rows of one segment and the count of its inputs."""
    projector = Projector(header.specs)
    if with_config:
        projector.session_began(header.opened_ts_ns, header.session.code_version, header.config_json, header.seq_last)
    count = 0
    for step in steps(read_segment(segment.path)):
        projector.feed(step.seq, step.event, step.outputs)
        count += 1
    if projector.unknown_coin_count:
        _log.warning("coin_unknown", segment=str(segment.path), frame_count=projector.unknown_coin_count)
    return projector.take(), count


def compress(segment: SegmentFile) -> None:
    """Replace a closed segment by its compressed copy; does nothing if it is one."""
    if segment.suffix == fmt.COMPRESSED_SUFFIX:
        return
    packed = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(read_bytes(segment.path))
    target = fmt.segment_path(segment.path.parent, segment.number, fmt.COMPRESSED_SUFFIX)
    try:
        write_sealed(target, packed, mode=0o600)
        os.utime(target, ns=(segment.path.stat().st_atime_ns, segment.path.stat().st_mtime_ns))
        segment.path.unlink()
        sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"can not compress {segment.path}: {error}") from error


def _project_segment(
    writer: PartWriter, segment: SegmentFile, header: fmt.SegmentHeader, *, with_config: bool, rebuild: bool
) -> Projected:
    rows, input_count = project_rows(segment, header, with_config=with_config)
    lines = []
    repaired_count = 0
    for (table, day), body in rows.items():
        if not writer.has_part(table, day, segment.number):
            lines.append(writer.seal(table, day, body, part=segment.number))
        elif rebuild:
            repaired_count += writer.verify(table, day, body, part=segment.number)
    writer.announce(lines)
    done = Projected(
        session_id=header.session.session_id,
        segment=segment.number,
        input_count=input_count,
        row_count=sum(len(body) for body in rows.values()),
        part_count=len(lines),
        repaired_count=repaired_count,
    )
    _log.info(
        "segment_projected",
        session_id=done.session_id,
        segment=done.segment,
        input_count=done.input_count,
        row_count=done.row_count,
        part_count=done.part_count,
        repaired_count=done.repaired_count,
    )
    return done


def _finish_open_segments(folder: Path) -> None:
    for segment in list_segments(folder):
        if not segment.is_closed and finish_abandoned(segment):
            _log.warning("segment_abandoned", path=str(segment.path))


def _header_before(folder: Path, number: int) -> fmt.SegmentHeader | None:
    for segment in list_segments(folder):
        if segment.number == number - 1:
            return header_of(segment.path)
    return None


def _has_work(folder: Path) -> bool:
    return any(segment.suffix != fmt.COMPRESSED_SUFFIX for segment in list_segments(folder))


@contextmanager
def _only_projector(folder: Path) -> Iterator[bool]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"expected the journal of a session, found {error.strerror} at {folder}") from error
    try:
        yield _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
