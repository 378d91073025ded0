"""Is a sealed part what its manifest line says, and of a published contract? Reads and judges; never repairs.

Rule 1: nothing is cast, and nothing is skipped: whatever does not fit is a finding with the file's name (F-75 to F-78).
A published older version is read as the present one where that changes no value (`upgrades`); any other is a finding.
Rule 2: findings about the *file* are `contract`, findings about its *rows* are `completeness`.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hip3_platform.analytics.upgrades import upgraded
from streaming.contracts.manifest import ManifestLine
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import TABLES, Table
from streaming.core.units import NS_PER_DAY

REPEATED_TEXT = ("venue", "config_hash", "session_id", "coin", "spec_version")
"""Columns with few distinct values: read as dictionaries, which keeps a part small in memory."""


@dataclass(slots=True)
class Findings:
    """What is wrong with the parts of one table and day; empty means good."""

    contract: list[str] = field(default_factory=list)
    completeness: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.contract and not self.completeness


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """Return what a column holds, whether as a dictionary or not."""
    return data_type.value_type if pa.types.is_dictionary(data_type) else data_type


def schema_difference(found: pa.Schema, table: Table) -> str | None:
    """Return the first difference between a file's schema and the contract, or None if they are equal."""
    metadata = {key.decode(): value.decode() for key, value in (found.metadata or {}).items()}
    version = metadata.get("hip3_version", "none")
    if metadata.get("hip3_table") != table.name:
        return f"expected table {table.name}, the file says {metadata.get('hip3_table')!r}"
    if version != str(table.version):
        newer = " (newer: update hip3 before reading it)" if version.isdigit() and int(version) > table.version else ""
        return f"expected {table.name} v{table.version}, the file is v{version}{newer}"
    if tuple(found.names) != table.names:
        return f"expected columns {list(table.names)}, found {found.names}"
    for column in table.columns:
        at = found.field(column.name)
        if plain_type(at.type) != column.type:
            return f"column {column.name}: expected {column.type}, found {plain_type(at.type)}"
        if at.nullable != column.is_nullable:
            return f"column {column.name}: expected nullable={column.is_nullable}, found {at.nullable}"
    return None


def _trouble_before_reading(root: Path, line: ManifestLine) -> str | None:
    """Return why a file may not even be opened: foreign version, missing, or other bytes than announced."""
    path = root / line.path
    known = TABLES[line.table].version
    if line.table_version > known:
        return f"{line.table} v{line.table_version} is newer than v{known}: update hip3 before reading it"
    if not path.is_file():
        return "announced in the manifest, but the file is missing"
    found = _file_sha256(path)
    return None if found == line.sha256 else f"expected sha256 {line.sha256[:12]}…, found {found[:12]}…"


def _trouble_in(rows: pa.Table, table: Table) -> str | None:
    difference = schema_difference(rows.schema, table)
    if difference is not None:
        return difference
    nulls = [c.name for c in table.columns if not c.is_nullable and rows.column(c.name).null_count]
    return f"null in {', '.join(nulls)}" if nulls else None


def _read_file(path: Path) -> pa.Table | str:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=list(REPEATED_TEXT)) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        return f"can not be read: {str(error)[:200]}"


def read_part(root: Path, line: ManifestLine, findings: Findings) -> pa.Table | None:
    """Read one sealed part with every check a file can be given; None (and a finding) if it can not be trusted."""
    trouble = _trouble_before_reading(root, line)
    rows = _read_file(root / line.path) if trouble is None else trouble
    if not isinstance(rows, str):
        rows = upgraded(rows, TABLES[line.table])
        trouble = _trouble_in(rows, TABLES[line.table])
        if trouble is None:
            _check_rows(rows, line, findings)
            return rows
    else:
        trouble = rows
    findings.contract.append(f"{line.path}: {trouble}")
    return None


def _check_rows(rows: pa.Table, line: ManifestLine, findings: Findings) -> None:
    table = TABLES[line.table]
    if rows.num_rows != line.row_count:
        findings.completeness.append(f"{line.path}: expected {line.row_count} rows, found {rows.num_rows}")
    if rows.num_rows == 0:
        return
    begin = day_begin_ns(line.day)
    times = pc.min_max(rows.column(table.day_column)).as_py()
    if not begin <= times["min"] <= times["max"] < begin + NS_PER_DAY:
        findings.completeness.append(f"{line.path}: rows outside {line.day} by {table.day_column} ({times})")
    if (times["min"], times["max"]) != (line.ts_ns_min, line.ts_ns_max):
        findings.completeness.append(f"{line.path}: {table.day_column} is not in the bounds of its manifest line")
    seqs = pc.min_max(rows.column("seq")).as_py()
    if (seqs["min"], seqs["max"]) != (line.seq_min, line.seq_max):
        findings.completeness.append(f"{line.path}: expected seq {line.seq_min}-{line.seq_max}, found {seqs}")
    for name, expected in (("venue", line.venue), ("session_id", line.session_id)):
        values = pc.unique(rows.column(name)).to_pylist()
        if values != [expected]:
            findings.completeness.append(f"{line.path}: expected {name} {expected!r}, found {values[:3]}")
    coins = sorted(pc.unique(rows.column("coin")).to_pylist())
    if coins != sorted(line.coins):
        findings.completeness.append(f"{line.path}: markets differ from its manifest line")
