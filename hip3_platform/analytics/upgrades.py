"""Parts of older table versions, read as what today's projection makes of the same outputs.

Why this module exists: `orders`, `fills` and `ledger` got a second version with real trading. Their first version held
paper rows only, so what is new is either null, a word that paper rows always carry, or a column under another name.
Refusing such parts would hold back the whole day they belong to.

Rule 1: a part is upgraded only if its columns are exactly those of the published older version; else it stays as it is
and the contract check names it.
Rule 2: no value that was written is changed, and none is guessed: an upgraded row is the one that the projection would
have written. One thing is not known any more: `ordinal` counts the rows of one input within the part.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.contracts.tables import Table
from streaming.core.units import NS_PER_MS

Make = Callable[[pa.Table, pa.DataType], pa.Array | pa.ChunkedArray]


def _always(value: object) -> Make:
    return lambda rows, kind: pa.array([value] * rows.num_rows, kind)


def _copy(name: str) -> Make:
    return lambda rows, _: rows.column(name)


def _ordinal(rows: pa.Table, kind: pa.DataType) -> pa.Array:
    seq = rows.column("seq").to_numpy()
    order = np.argsort(seq, kind="stable")
    begins = np.flatnonzero(np.diff(seq[order], prepend=seq[order][0] - 1)) if seq.size else np.empty(0, np.int64)
    counted = np.arange(seq.size) - np.repeat(begins, np.diff(np.append(begins, seq.size)))
    ordinals = np.empty(seq.size, np.int64)
    ordinals[order] = counted
    return pa.array(ordinals, kind)


def _venue_ts_ms(rows: pa.Table, _: pa.DataType) -> pa.ChunkedArray:
    return pc.divide(rows.column("ts_ns"), NS_PER_MS)


ADDED: Mapping[tuple[str, str], Mapping[str, Make]] = {
    ("orders", "1"): {
        "ordinal": _ordinal,
        "tif": _always("Ioc"),
        "expected_px": _always(None),
        "applied_sz": _copy("filled_sz"),
        "avg_px": _always(None),
        "code": _always(""),
        "text": _always(""),
        "oid": _always(None),
        "action_id": _always(None),
        "nonce": _always(None),
        "expires_ts_ms": _always(None),
        "sent_us": _always(None),
        "answered_us": _always(None),
    },
    ("fills", "1"): {
        "oid": _always(None),
        "signal_id": _always(""),
        "venue_ts_ms": _venue_ts_ms,
        "source": _always("paper"),
        "builder_fee": _always(0),
        "fee_token": _always(None),
        "slippage_bps": _always(None),
        "flight_ms": _always(None),
        "reason": _always(""),
        "direction": _always(""),
        "is_liquidation": _always(False),
    },
    ("ledger", "1"): {},
}
"""(Table, its older version) → columns that the version after it added, and how an older row gets them."""


def upgraded(rows: pa.Table, table: Table) -> pa.Table:
    """Return `rows` in the present version of `table`, or as they are where there is nothing to upgrade (Rule 1)."""
    metadata = rows.schema.metadata or {}
    version = metadata.get(b"hip3_version", b"").decode(errors="replace")
    added = ADDED.get((table.name, version))
    older = tuple(name for name in table.names if added is not None and name not in added)
    if added is None or metadata.get(b"hip3_table") != table.name.encode() or tuple(rows.schema.names) != older:
        return rows
    arrays, fields = [], []
    for column in table.columns:
        if column.name in added:
            arrays.append(added[column.name](rows, column.type))
            fields.append(table.schema.field(column.name))
        else:
            arrays.append(rows.column(column.name))
            fields.append(rows.schema.field(column.name))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=table.schema.metadata))
