"""Manifest lines: the announcement of a sealed part, and the only thing a reader believes."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sealed Parquet part."""

    table: str
    table_version: int
    venue: str
    day: str
    session_id: str
    part: int
    path: str
    """Relative to the warehouse; equals `paths.part_path` of the other fields."""
    row_count: int
    byte_count: int
    sha256: str
    seq_min: int
    seq_max: int
    ts_ns_min: int
    """Smallest value of the table's day column."""
    ts_ns_max: int
    coins: tuple[str, ...]


def encode_line(line: ManifestLine) -> bytes:
    """Return the line as JSON with a newline."""
    return msgspec.json.encode(line) + b"\n"


def read_manifest(path: Path) -> Iterator[ManifestLine]:
    """Yield the complete lines of one manifest; a torn last line (F-56) is not there yet.

    Raises:
        msgspec.ValidationError: A complete line is not a manifest line.
    """
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                yield msgspec.json.decode(raw, type=ManifestLine)


def digest_of(lines: Iterable[ManifestLine]) -> str:
    """Return a short digest of a set of parts, independent of order: changes iff a part was added or replaced."""
    text = "\n".join(sorted(f"{line.path} {line.sha256}" for line in lines))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
