"""The scan by DuckDB. It reads only what a query asks for, so it asks for the last value of every column.

Counts and maxima would not do: it takes those from the statistics of the files and reads nothing.
"""

from itertools import groupby
from pathlib import Path

import duckdb

from hip3_platform.bench.ways.files import THREADS, scanned


def work(root: Path, _out: Path, day: str) -> None:
    """Read the columns and do nothing with them."""
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}")
        for columns, files in groupby(scanned(root, day), key=lambda each: each[1]):
            rows = connection.read_parquet([str(path) for path, _ in files], hive_partitioning=False)
            rows.aggregate(", ".join(f"last({column})" for column in columns)).fetchall()
