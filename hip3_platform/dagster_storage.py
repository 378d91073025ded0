"""Where Dagster keeps its runs and events: its own SQLite files, through connections that stay open.

Why this module exists: a run of the daily job records some 350 events, and Dagster's SQLite storage makes an engine and
a connection for every statement: SQLAlchemy then compiles each statement anew, and with the last connection of a file
SQLite copies its log back. That was half of what a day with little data took. `dagster.yaml` names `KeptStorage`.

Rule 1: files, tables and commits are Dagster's; either class reads what the other one wrote. No commit is put off.
Rule 2: the `OPEN_MAX` files used last stay open: a web page that walks through all runs must not hold them all.
"""

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, SqliteStorageConfig
from dagster._serdes import ConfigurableClassData
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

OPEN_MAX: Final = 8
"""Files that are open at once, those used last; the index of all runs, which most calls use, is one of them."""


class KeptEventLog(SqliteEventLogStorage):
    """Dagster's event log; engine and connection of a file stay until `OPEN_MAX` others were used since."""

    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        super().__init__(base_dir)

    @override
    @contextmanager
    def _connect(self, shard: str) -> "Iterator[Connection]":
        with self._db_lock:  # one user at a time, as Dagster has it: nothing that is in use is closed
            engine = self._engine_of(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine_of(self, shard: str) -> "Engine":
        engine = self._engines.pop(shard, None) or create_engine(
            self.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        )
        self._engines[shard] = engine
        if len(self._engines) > OPEN_MAX:
            self._engines.popitem(last=False)[1].dispose()
        return engine

    def _close_all(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    @override
    def has_table(self, table_name: str) -> bool:
        """Say whether the index has a table; Dagster asks that 160 times a day's run, of tables that never go."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @override
    def wipe(self) -> None:
        """Delete all events; the files go, so nothing may hold them open."""
        self._close_all()
        super().wipe()

    @override
    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self._close_all()


class KeptStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite files with `KeptEventLog` in the place of its event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        folder = self._event_log_storage._base_dir  # noqa: SLF001 - Dagster tells it nowhere else
        self._event_log_storage = KeptEventLog(folder)

    @override
    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's own storages narrow it in the same way
        cls, inst_data: ConfigurableClassData | None, config_value: SqliteStorageConfig
    ) -> Self:
        """Make it as `dagster.yaml` says."""
        return cls.from_local(inst_data=inst_data, **config_value)
