"""Every check of a day, and what each said when it was last asked: a file of the warehouse that needs no Dagster.

    <root>/checks/venue=<v>/day=<D>.parquet      one row a table and check, the last look

Rule 1: a check without a row did not run; it is told as not run, never as passed.
Rule 2: a row names the landing it was judged on. When another check of the day was asked later, of another landing, a
late part came in between: an older row says nothing about the day as it is now, and counts as not run.
Rule 3: this is a record of when somebody looked, so it has a clock and lies beside gold, which has none.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import checks_path
from streaming.contracts.tables import TABLES

Key = tuple[str, str]
"""Table as Dagster names its asset (`bronze/bbo`), and name of the check."""
FINDING_LENGTH = 600
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True, slots=True)
class DayCheck:
    """A check as the day knows it."""

    about: str
    is_blocking: bool = True
    """Whether an error stops what is made of the table; a warning never does."""


_OF_BRONZE = {
    "contract": DayCheck(
        "Every part: file as announced (sha256, page checksums), schema equal to the published version"
    ),
    "completeness": DayCheck(
        "Every row once, inside its day and the bounds of its manifest line; no two rows for one key"
    ),
}
_PROFILES = {
    "bronze/signals": "keys, prices, edges, gate vectors, follow-ups, ages, side balance, identical edges",
    "bronze/followups": "offsets, books and missing rows, against the signals they follow",
    "bronze/orders": "states, terms and sizes of every order, in sequence",
    "bronze/fills": "prices inside the limit, sizes inside the order, fees, slippage, flight",
    "gold/daily_metrics": "figures against bronze and themselves, null rates, ages, volumes against a rolling baseline",
}
DAY_CHECKS: dict[Key, DayCheck] = {
    ("bronze/health", "conservation"): DayCheck(
        "Frames the engine counted between its samples are rows of bbo and ctx"
    ),
    ("bronze/ledger", "double_entry"): DayCheck(
        "Legs sum to zero; cash between two reads of the account moved by what was posted, to the cent"
    ),
    ("bronze/bbo", "sequence"): DayCheck("seq, receipt and place in the file agree, row by row"),
    ("bronze/bbo", "duplicates"): DayCheck("no market recorded by two sessions at once, no frames that repeat"),
    ("bronze/bbo", "late_rows"): DayCheck(
        "frames reach us soon after the venue stamped them, and never before", is_blocking=False
    ),
    ("bronze/bbo", "frozen_quotes"): DayCheck("no touch stands still while the oracle moves away", is_blocking=False),
    ("bronze/ctx", "sequence"): DayCheck("seq, receipt and place in the file agree, row by row"),
    ("bronze/ctx", "gaps"): DayCheck("a connection is never long without a ctx", is_blocking=False),
    ("bronze/health", "gaps"): DayCheck("a session has a sample of every market every second", is_blocking=False),
    ("bronze/health", "day_boundary"): DayCheck(
        "every row lies inside its day, and no session is silent around midnight"
    ),
    ("bronze/health", "asset_ids"): DayCheck(
        "a coin keeps its asset id, and an id its coin, in all tables and over days"
    ),
    ("bronze/fills", "duplicates"): DayCheck("no live fill stands in two sessions"),
    ("bronze/ledger", "duplicates"): DayCheck("no live posting stands in two sessions"),
    **{
        (table, "expectations"): DayCheck(f"Great Expectations over a per-market profile: {text}")
        for table, text in _PROFILES.items()
    },
    ("gold/market_ranking", "freshness"): DayCheck(
        "Every table that a ranking and its rotation rest on is there, and made of all that has landed of its day"
    ),
    ("bronze/signals", "parity"): DayCheck(
        "Re-deciding the recorded inputs gives the recorded decisions (hip3 replay)", is_blocking=False
    ),
    **{(f"bronze/{table}", name): check for table in TABLES for name, check in _OF_BRONZE.items()},
}
"""(Table, check) → what it asks of a day, and whether it blocks; those that judge the parts themselves stand last."""

SCHEMA: dict[str, Any] = {
    "table": pl.String,
    "check": pl.String,
    "is_passed": pl.Boolean,
    "is_error": pl.Boolean,
    "finding": pl.String,
    "at_ts_ns": pl.Int64,
    "digest": pl.String,
}
"""Columns of the record, one row a table and check."""

STATES: dict[str, Any] = {
    "table": pl.String,
    "check": pl.String,
    "state": pl.String,
    "severity": pl.String,
    "is_blocking": pl.Boolean,
    "finding": pl.String,
    "at_ts_ns": pl.Int64,
}
"""Columns of `states_of`, one row a check of the day."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a check said."""

    is_passed: bool
    is_error: bool
    """Whether a failure is an error, which stops the day where the check blocks, and no warning."""
    finding: str


def record_looks(root: Path, venue: str, day: str, looks: Mapping[Key, Look], *, digest: str, ts_ns: int) -> None:
    """Write down what checks of a day said; what the same checks said before is replaced.

    Args:
        root: Warehouse.
        venue: Venue.
        day: UTC day that was judged.
        looks: (Table, check) → what it said.
        digest: Landing that was judged, as in gold/inputs.
        ts_ns: When.

    Raises:
        KeyError: A check that is not in `DAY_CHECKS`.
    """
    path = checks_path(root, venue=venue, day=day)
    with _lock(path.parent):
        known = read_looks(root, venue, day)
        found = {} if known is None else {(row["table"], row["check"]): row for row in known.iter_rows(named=True)}
        for key, look in looks.items():
            DAY_CHECKS[key]
            found[key] = {
                "table": key[0], "check": key[1], "is_passed": look.is_passed, "is_error": look.is_error,
                "finding": " ".join(look.finding.split())[:FINDING_LENGTH], "at_ts_ns": ts_ns, "digest": digest,
            }  # fmt: skip
        write_frame(path, pl.DataFrame([found[key] for key in sorted(found)], schema=SCHEMA, orient="row"))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the lock of everybody who records: a check by hand may run beside the day's own run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_looks(root: Path, venue: str, day: str) -> pl.DataFrame | None:
    """Return the record of a day, see `SCHEMA`; None where no check ever ran."""
    path = checks_path(root, venue=venue, day=day)
    return pl.read_parquet(path) if path.is_file() else None


def states_of(looks: pl.DataFrame | None) -> pl.DataFrame:
    """Return every check of a day with its state, failed ones first, then those that did not run, see `STATES`.

    Args:
        looks: Record of the day; None is one in which no check ran.
    """
    known = [] if looks is None else looks.sort("at_ts_ns").to_dicts()
    digest = known[-1]["digest"] if known else ""
    by_key = {(row["table"], row["check"]): row for row in known}
    rows = [
        {"table": key[0], "check": key[1], "is_blocking": check.is_blocking, **_state(by_key.get(key), digest)}
        for key, check in DAY_CHECKS.items()
    ]
    rows.sort(key=lambda row: (FAILED, NOT_RUN, PASSED).index(row["state"]))
    return pl.DataFrame(rows, schema=STATES, orient="row")


def _state(row: dict[str, Any] | None, digest: str) -> dict[str, Any]:
    if row is None:
        return {"state": NOT_RUN, "severity": "", "finding": "", "at_ts_ns": None}
    said = PASSED if row["is_passed"] else FAILED
    if row["digest"] != digest:
        finding = f"more of the day has landed since it {said}: {row['finding']}"
        return {"state": NOT_RUN, "severity": "", "finding": finding, "at_ts_ns": row["at_ts_ns"]}
    severity = "" if row["is_passed"] else "error" if row["is_error"] else "warning"
    return {"state": said, "severity": severity, "finding": row["finding"], "at_ts_ns": row["at_ts_ns"]}
