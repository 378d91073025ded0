"""`warehouse/hip3.duckdb`: views for people who want SQL. It holds no data and can be deleted at any time.

    duckdb warehouse/hip3.duckdb "select coin, count(*) from bronze.signals group by all"

Rule 1: it is rebuilt aside and renamed, so that readers who have it open are not disturbed (F-85).
Rule 2: bronze of a day stays in the version of its tables it was made in until the day is judged again; a view joins
versions by column name, and what an older one does not have is null.
Rule 3: every derived table that is Parquet has a view; documents have none.
Rule 4: views name absolute folders; a moved warehouse gets new views with the next run.
"""

from pathlib import Path

import duckdb

from hip3_platform.analytics.store import write_aside
from streaming.contracts.tables import TABLES

FILE = "hip3.duckdb"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sources(root: Path) -> dict[str, Path]:
    """Return view name → folder for every table that has at least one file (a view over no file can not be made)."""
    folders = {f"bronze.{name}": root / "bronze" / name for name in TABLES}
    derived = root / "gold"
    folders |= {f"gold.{each.name}": each for each in sorted(derived.iterdir())} if derived.is_dir() else {}
    return {view: folder for view, folder in folders.items() if next(folder.rglob("*.parquet"), None) is not None}


def write_views(root: Path) -> tuple[Path, tuple[str, ...]]:
    """Write the views over bronze and gold.

    Returns:
        The file, and the names of the views in it.
    """
    path = root.resolve() / FILE
    sources = _sources(root.resolve())

    def build(aside: Path) -> None:
        with duckdb.connect(str(aside)) as connection:
            connection.execute("create schema bronze")
            connection.execute("create schema gold")
            for view, folder in sources.items():
                source = f"{_quoted(f'{folder}/**/*.parquet')}, hive_partitioning = false, union_by_name = true"
                # Names come from the contract and this module, the folder is quoted: nothing here is outside text.
                connection.execute(f"create view {view} as select * from read_parquet({source})")  # noqa: S608

    write_aside(path, build)
    return path, tuple(sources)
