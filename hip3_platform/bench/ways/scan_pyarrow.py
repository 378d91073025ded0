"""The scan by pyarrow, which spreads the columns of a file over its threads."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hip3_platform.bench.ways.files import THREADS, scanned


def work(root: Path, _out: Path, day: str) -> None:
    """Read the columns and do nothing with them."""
    pa.set_cpu_count(THREADS)
    for path, columns in scanned(root, day):
        pq.ParquetFile(path, read_dictionary=["spec_version", "session_id"]).read(columns=columns)
