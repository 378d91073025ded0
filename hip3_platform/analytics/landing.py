"""What has landed: the sealed parts of one venue, by manifest lines only.

Rule 1: a Parquet file without a line does not exist; a line that stands twice counts once (F-82).
Rule 2: two lines for one path that say different things are a conflict of that day, shown, never resolved here.
Rule 3: a digest of a day changes iff a part was added or replaced, or the tables made of it changed their form
(`DERIVED_FORMAT`): days that an older build judged are judged again. Run keys and gold inputs are made of it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from streaming.contracts.manifest import ManifestLine, digest_of, read_manifest
from streaming.contracts.paths import manifest_folder, part_path
from streaming.core.errors import StoreError

DERIVED_FORMAT = 2
"""Raised when what is made of a day is not what it was, and later days would miss that in it; see CHANGELOG."""


@dataclass(frozen=True)
class Landing:
    """Sealed parts of one venue, in the order (day, table, session, part)."""

    lines: tuple[ManifestLine, ...]
    conflicts: dict[str, tuple[str, ...]]
    """Day → what its manifest lines contradict each other about."""

    @cached_property
    def by_day(self) -> dict[str, tuple[ManifestLine, ...]]:
        """Return the parts of every day with data, days ascending."""
        days: dict[str, list[ManifestLine]] = {}
        for line in self.lines:
            days.setdefault(line.day, []).append(line)
        return {day: tuple(days[day]) for day in sorted(days)}

    @property
    def days(self) -> tuple[str, ...]:
        """Days with at least one sealed part, ascending."""
        return tuple(self.by_day)

    def of(self, day: str, table: str) -> tuple[ManifestLine, ...]:
        """Return the parts of one table and day."""
        return tuple(line for line in self.by_day.get(day, ()) if line.table == table)

    def digest(self, day: str) -> str:
        """Return the digest of all parts of a day and of the form of its tables; "" for a day without data."""
        lines = self.by_day.get(day, ())
        return f"{digest_of(lines)}.{DERIVED_FORMAT}" if lines else ""


def _check_line(line: ManifestLine, manifest: Path) -> None:
    expected = part_path(table=line.table, venue=line.venue, day=line.day, session_id=line.session_id, part=line.part)
    if line.path != expected:
        raise StoreError(f"{manifest.name}: expected the path {expected}, found {line.path[:120]!r}")


def read_landing(root: Path, venue: str) -> Landing:
    """Read every manifest of a venue.

    Raises:
        StoreError: A complete line can not be read, or names a path or table outside the contract.
    """
    by_path: dict[str, ManifestLine] = {}
    conflicts: dict[str, list[str]] = {}
    folder = manifest_folder(root, venue)
    for manifest in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        try:
            for line in read_manifest(manifest):
                _check_line(line, manifest)
                known = by_path.setdefault(line.path, line)
                if known != line:
                    conflicts.setdefault(line.day, []).append(f"{line.path}: two manifest lines that differ")
        except (msgspec.DecodeError, ValueError) as error:
            raise StoreError(f"{manifest.name}: a line can not be read ({error}); written by a newer hip3?") from error
    ordered = sorted(by_path.values(), key=lambda line: (line.day, line.table, line.session_id, line.part))
    return Landing(tuple(ordered), {day: tuple(texts) for day, texts in conflicts.items()})
