"""How the platform writes files: aside, synced, renamed; so a reader sees the old file or the new one (F-98, F-99)."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

_MADE_OF = "hip3_made_of"


def replace_synced(aside: Path, path: Path) -> int:
    """Sync the finished file `aside` and rename it over `path`; returns its size in bytes."""
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
    return path.stat().st_size


def write_aside(path: Path, write: Callable[[Path], object]) -> int:
    """Let `write` fill a temporary file beside `path`, sync it and rename it over `path`.

    Returns:
        Size of the file in bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        return replace_synced(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, raw: bytes) -> int:
    """Write `raw` as the content of `path`, all or nothing; returns its size."""
    return write_aside(path, lambda aside: aside.write_bytes(raw))


def write_json(path: Path, value: Any) -> int:  # noqa: ANN401 - whatever msgspec can encode
    """Write `value` as indented JSON with sorted keys (equal values have equal bytes); returns the size."""
    raw = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2)
    return write_bytes(path, raw + b"\n")


def write_frame(path: Path, frame: pl.DataFrame, made_of: Mapping[str, str] | None = None) -> int:
    """Write `frame` as one zstd Parquet file; returns the size. Equal frames have equal bytes.

    Args:
        path: Of the file.
        frame: Its rows.
        made_of: Day → landing digest of what it was made of, kept in the file's metadata.
    """
    note = {} if made_of is None else {_MADE_OF: msgspec.json.encode(made_of, order="sorted").decode()}
    return write_aside(
        path, lambda aside: frame.write_parquet(aside, compression="zstd", statistics=True, metadata=note)
    )


def read_made_of(path: Path) -> dict[str, str]:
    """Return what a Parquet file says it was made of, day → landing digest; empty where it says nothing."""
    note = pl.read_parquet_metadata(path).get(_MADE_OF)
    return msgspec.json.decode(note, type=dict[str, str]) if note else {}
