"""What a table is: columns with unit and source, keys, the column that decides the day, and the text that is published.

Rule 1: px, sz, fees and results are decimal128(18, 8), bps decimal128(18, 6), account values decimal128(38, 12), times
int64 ns UTC, statistics float64.
Rule 2: every row carries venue, coin, asset_id, spec_version, config_hash, session_id and seq. Rows that belong to no
market carry coin = "" and asset_id = -1.
"""

from dataclasses import dataclass

import pyarrow as pa

PX = pa.decimal128(18, 8)
SZ = pa.decimal128(18, 8)
USD = pa.decimal128(18, 6)
BPS = pa.decimal128(18, 6)
CASH = pa.decimal128(38, 12)
INT = pa.int64()
FLOAT = pa.float64()
TEXT = pa.string()
FLAG = pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type, unit, and where its value comes from."""

    name: str
    type: pa.DataType
    unit: str
    source: str
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the warehouse as a value."""

    name: str
    version: int
    purpose: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    sort_key: tuple[str, ...]
    day_column: str

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with unit and source in field metadata, table name and version in schema metadata."""
        fields = [
            pa.field(c.name, c.type, nullable=c.is_nullable, metadata={"unit": c.unit, "source": c.source})
            for c in self.columns
        ]
        return pa.schema(fields, metadata={"hip3_table": self.name, "hip3_version": str(self.version)})

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(c.name for c in self.columns)

    def golden_text(self) -> str:
        """Canonical text of this version; the golden test compares it byte for byte."""
        lines = [f"table {self.name} v{self.version}", f"# {self.purpose}"]
        for c in self.columns:
            null = "null" if c.is_nullable else "not null"
            lines.append(f"{c.name}: {c.type} {null} | {c.unit} | {c.source}")
        lines.append(f"primary key: {', '.join(self.primary_key)}")
        lines.append(f"sort key: {', '.join(self.sort_key)}")
        lines.append(f"day: {self.day_column}")
        return "\n".join(lines) + "\n"


SESSION_COLUMNS = ("venue", "config_hash", "session_id")
"""Columns that are constant in a session; writers add them when they seal a part."""

COMMON_COLUMNS = (
    Column("venue", TEXT, "name", "configuration: sim, testnet, mainnet or replay"),
    Column("config_hash", TEXT, "sha256 hex", "canonical effective configuration"),
    Column("session_id", TEXT, "id", "one run of the sidecar or of a history writer"),
    Column("seq", INT, "ordinal", "journal sequence of the input that caused the row"),
    Column("coin", TEXT, "name", "venue's full market name, xyz:NVDA; empty for rows of no market"),
    Column("asset_id", INT, "id", "100000 + dex index x 10000 + index in meta(dex); -1 for rows of no market"),
    Column("spec_version", TEXT, "hash", "content hash of the market's spec; resolves in table specs"),
)

TS_NS = Column("ts_ns", INT, "ns UTC", "our wall clock at the decision")
ORDINAL = Column("ordinal", INT, "ordinal", "place among the outputs of this seq; -1 is the input itself")


def table(
    name: str, purpose: str, key: tuple[str, ...], *columns: Column, day: str = "ts_ns", version: int = 1
) -> Table:
    """Return a table with the common columns in front, keyed within venue and session."""
    return Table(
        name, version, purpose, COMMON_COLUMNS + columns, ("venue", "session_id", *key), ("coin", day, "seq"), day
    )
