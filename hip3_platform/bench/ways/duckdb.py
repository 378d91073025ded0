"""The readable reference: the same figures, episodes and sums by hour in SQL.

It works market by market, which needs a third of the memory and no more time than all at once.
"""

from pathlib import Path

import duckdb
import polars as pl

from hip3_platform.analytics.evidence.columns import DAY_NS
from hip3_platform.analytics.evidence.reference import run_reference
from hip3_platform.analytics.metrics import DURATION_EDGES_MS, EDGE_EDGES_BPS, GATES
from hip3_platform.bench.ways.files import MADE, THREADS, coins_of, file_of
from streaming.contracts.paths import day_begin_ns

_READ = ("bbo", "ctx", "specs", "episodes", "signals", "health")
_SETTINGS = {"duration_edges": list(DURATION_EDGES_MS), "edge_edges": list(EDGE_EDGES_BPS), "gates": list(GATES)}
_SQL = Path(__file__).with_name("daily_metrics.sql")


def work(root: Path, out: Path, day: str) -> None:
    """Write what the SQL finds to `out`, one file a table of `MADE`."""
    parts = [_market(root, day, coin) for coin in coins_of(root, day)]
    for name in MADE:
        pl.concat([part[name] for part in parts]).write_parquet(out / f"{name}.parquet")


def _market(root: Path, day: str, coin: str) -> dict[str, pl.DataFrame]:
    begin_ns = day_begin_ns(day)
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}")
        for table in _READ:
            rows = connection.read_parquet(str(file_of(root, table, day, coin)), hive_partitioning=False)
            rows.create_view(table)
        connection.execute("create table closed (coin text, begin_ns bigint, end_ns bigint)")
        run_reference(connection, (begin_ns, begin_ns + DAY_NS))
        for name, value in _SETTINGS.items():
            connection.execute(f"set variable {name} = {value}")
        connection.execute(_SQL.read_text(encoding="utf-8"))
        return {name: connection.table(name).pl() for name in MADE}
