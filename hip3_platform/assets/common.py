"""What every asset of the platform shares: keys, groups, the writers' pool, freshness, and how a table is described."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from hip3_platform.analytics.gold import Written, rows_for_people
from streaming.contracts.tables import Table

WRITER_POOL = "warehouse_writer"
"""Runs that write the warehouse are serial: days are judged in order, and readers never see two writers (F-98)."""

FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))
"""A closed day is judged minutes after 00:10 UTC; a day and a half without one means that nobody looks."""

SIDECAR_ROTATION = dg.AssetKey(["sidecar", "rotation"])
SIDECAR_HEALTH = dg.AssetKey(["sidecar", "health"])


@contextmanager
def partitioned_checks() -> Iterator[None]:
    """Silence Dagster's remark that checks with partitions are a preview: here they are pinned and tested."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")
        yield


def landing_key(table: str) -> dg.AssetKey:
    """Return the key of a landing table."""
    return dg.AssetKey(["landing", table])


def bronze_key(table: str) -> dg.AssetKey:
    """Return the key of a bronze table."""
    return dg.AssetKey(["bronze", table])


def gold_key(table: str) -> dg.AssetKey:
    """Return the key of a derived table."""
    return dg.AssetKey(["gold", table])


def looking_back(days: int) -> dg.TimeWindowPartitionMapping:
    """Return the mapping of a window of `days` that ends with the day.

    It reaches back over partitions that may not exist; readers take what is there and say so.
    """
    return dg.TimeWindowPartitionMapping(start_offset=1 - days)


def schema_of_table(table: Table) -> dg.TableSchema:
    """Return a contract table's columns, with unit and source, as Dagster shows them."""
    columns = [
        dg.TableColumn(
            name=column.name,
            type=str(column.type),
            description=f"{column.unit}; {column.source}",
            constraints=dg.TableColumnConstraints(nullable=column.is_nullable),
        )
        for column in table.columns
    ]
    return dg.TableSchema(columns=columns)


def schema_of_frame(schema: Mapping[str, Any], about: Mapping[str, str]) -> dg.TableSchema:
    """Return a derived table's columns as Dagster shows them."""
    frame = pl.DataFrame(schema=schema)
    return dg.TableSchema(columns=[dg.TableColumn(name, str(kind), about[name]) for name, kind in frame.schema.items()])


def table_value(frame: pl.DataFrame, columns: Iterable[str]) -> dg.TableMetadataValue:
    """Return some columns of a frame as a table for the UI."""
    records = [dg.TableRecord(row) for row in rows_for_people(frame, columns)]
    shown = [dg.TableColumn(name, _shown_type(frame.schema[name])) for name in columns]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=shown))


def _shown_type(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "int"
    return "float" if kind.is_numeric() else "string"


def maximum_point(frame: pl.DataFrame, column: str, name: str) -> dict[str, float]:
    """Return a plot's point; a day without the figure has no point rather than a 0."""
    value = frame[column].max()
    return {} if value is None else {name: float(value)}  # type: ignore[arg-type]  # a number by its column


def written_metadata(written: Written, venue: str, schema: dg.TableSchema) -> dict[str, Any]:
    """Return what is told of every derived table."""
    return {
        "dagster/row_count": written.frame.height,
        "dagster/column_schema": schema,
        **file_metadata(written.path, written.byte_count, venue),
    }


def file_metadata(path: Path, byte_count: int, venue: str) -> dict[str, Any]:
    """Return what is told of every written file."""
    return {"path": dg.MetadataValue.path(str(path.resolve())), "bytes": byte_count, "venue": venue}
