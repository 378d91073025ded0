"""Where files of the warehouse lie. Every path of a landing or control file is built here and nowhere else (F-107).

    <root>/landing/<table>/venue=<v>/day=<YYYY-MM-DD>/<session>-<part>.parquet     sealed, never changed
    <root>/manifest/venue=<v>/<session>.jsonl                                      one line a sealed part; append only
    <root>/journal/venue=<v>/<session>/<segment>.{open,jnl,jnl.zst}
    <root>/control/{token,lock,...}
    <root>/bronze, <root>/gold, <root>/checks, <root>/hip3.duckdb                  written by Dagster

Readers trust manifest lines only: a Parquet file without a line does not exist.
"""

import re
from datetime import UTC, date, datetime
from pathlib import Path

from streaming.contracts.tables import TABLES
from streaming.core.units import utc_day_of

_NAME = re.compile(r"[A-Za-z0-9:._-]{1,64}")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
VENUES = ("sim", "testnet", "mainnet", "replay")


def checked_name(name: str) -> str:
    """Return `name` if it may be part of a path, a label or a file name.

    Raises:
        ValueError: For anything but 1 to 64 of `A-Za-z0-9:._-`, and for `..`.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"expected 1-64 characters of A-Za-z0-9:._- without '..', found {name[:80]!r}")
    return name


def checked_day(day: str) -> str:
    """Return `day` if it is a calendar day written YYYY-MM-DD; raises ValueError otherwise."""
    try:
        if date.fromisoformat(day).isoformat() == day:
            return day
    except ValueError:
        pass  # its text says which part, not what was expected
    raise ValueError(f"expected a day as YYYY-MM-DD, found {day[:20]!r}")


def day_of(ts_ns: int) -> str:
    """Return the UTC day of a wall-clock instant as YYYY-MM-DD."""
    return date.fromordinal(_EPOCH_ORDINAL + utc_day_of(ts_ns)).isoformat()


def day_begin_ns(day: str) -> int:
    """Return the first nanosecond (UTC) of a day."""
    return int(datetime.fromisoformat(checked_day(day)).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def part_path(*, table: str, venue: str, day: str, session_id: str, part: int) -> str:
    """Return the path of a sealed part, relative to the warehouse, as it stands in the manifest."""
    if table not in TABLES:
        raise ValueError(f"expected one of {sorted(TABLES)}, found {table[:40]!r}")
    folder = f"landing/{table}/venue={checked_name(venue)}/day={checked_day(day)}"
    return f"{folder}/{checked_name(session_id)}-{part:06d}.parquet"


def manifest_path(root: Path, venue: str, session_id: str) -> Path:
    """Return the manifest of one session."""
    return root / "manifest" / f"venue={checked_name(venue)}" / f"{checked_name(session_id)}.jsonl"


def manifest_folder(root: Path, venue: str) -> Path:
    """Return the folder of all manifests of a venue."""
    return root / "manifest" / f"venue={checked_name(venue)}"


def journal_folder(root: Path, venue: str, session_id: str | None = None) -> Path:
    """Return the journal folder of a venue, or of one of its sessions."""
    folder = root / "journal" / f"venue={checked_name(venue)}"
    return folder if session_id is None else folder / checked_name(session_id)


def control_folder(root: Path) -> Path:
    """Return the folder of token, lock and status files."""
    return root / "control"


def bronze_path(root: Path, *, table: str, venue: str, day: str, coin: str) -> Path:
    """Return the compacted file of one table, day and market; rows of no market have coin `_`."""
    if table not in TABLES:
        raise ValueError(f"expected one of {sorted(TABLES)}, found {table[:40]!r}")
    folder = root / "bronze" / table / f"venue={checked_name(venue)}" / f"day={checked_day(day)}"
    return folder / f"{checked_name(coin)}.parquet"


def gold_path(root: Path, *, table: str, venue: str, day: str, suffix: str = "parquet") -> Path:
    """Return the one file a day of a derived table or document."""
    folder = root / "gold" / checked_name(table) / f"venue={checked_name(venue)}"
    return folder / f"day={checked_day(day)}.{suffix}"


def checks_path(root: Path, *, venue: str, day: str) -> Path:
    """Return the record of what the checks of a day said."""
    return root / "checks" / f"venue={checked_name(venue)}" / f"day={checked_day(day)}.parquet"
