"""How much journal is kept: bounded by age and size, oldest first, and never a segment that is not projected (I-33)."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from streaming.contracts.paths import journal_folder
from streaming.core.units import NS_PER_DAY
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import SegmentFile, list_segments, list_sessions

KEEP_BYTES_DEFAULT = 20 * 1024**3
KEEP_DAYS_DEFAULT = 30


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds of one venue's journal."""

    keep_bytes: int = KEEP_BYTES_DEFAULT
    keep_days: int = KEEP_DAYS_DEFAULT


def sweep_journal(root: Path, venue: str, retention: Retention, *, now_ts_ns: int) -> list[Path]:
    """Remove the oldest projected segments beyond the bounds and return them.

    A compressed segment is a projected one. The last segment of the newest session stays: recovery starts there. An
    unprojected segment is kept, and so is everything after it in its session, so that sessions never get gaps.
    """
    sessions = list_sessions(root, venue)
    kept: list[tuple[SegmentFile, int]] = []
    for session_id in sessions:
        segments = list_segments(journal_folder(root, venue, session_id))
        removable = segments[:-1] if session_id == sessions[-1] else segments
        for segment in removable:
            if segment.suffix != fmt.COMPRESSED_SUFFIX:
                break
            kept.append((segment, segment.path.stat().st_size))
    total = sum(path.stat().st_size for path in journal_folder(root, venue).glob("*/*") if path.is_file())
    removed = []
    for segment, byte_count in kept:
        is_old = now_ts_ns - segment.path.stat().st_mtime_ns > retention.keep_days * NS_PER_DAY
        if total <= retention.keep_bytes and not is_old:
            break
        segment.path.unlink()
        total -= byte_count
        removed.append(segment.path)
    for folder in {path.parent for path in removed}:
        if not list_segments(folder):
            shutil.rmtree(folder)
    return removed
