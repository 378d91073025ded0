"""The scan by polars."""

from pathlib import Path

import polars as pl

from hip3_platform.bench.ways.files import scanned


def work(root: Path, _out: Path, day: str) -> None:
    """Read the columns and do nothing with them."""
    for path, columns in scanned(root, day):
        pl.read_parquet(path, columns=columns, use_statistics=False, hive_partitioning=False)
