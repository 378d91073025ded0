"""How the platform writes files: aside, synced, renamed; so a reader sees the old file or the new one (F-98, F-99)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl


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


def write_frame(path: Path, frame: pl.DataFrame) -> int:
    """Write `frame` as one zstd Parquet file; returns the size. Equal frames have equal bytes."""
    return write_aside(path, lambda aside: frame.write_parquet(aside, compression="zstd", statistics=True))
