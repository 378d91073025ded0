"""The derived files of a day that rest on bronze alone, and what is known about all derived files.

The evidence is in `gold_evidence`, what follows from it in `gold_rotation`.

Rule 1: every file says which landing it came from: `inputs` of a day is the digest of the parts that bronze compacted.
Rule 2: a table that looks back names the digest of every day that it read, so anyone can tell whether it is up to date.
Rule 3: files depend on their inputs only (no clock, no run id): a re-run writes the same bytes (F-97).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from hip3_platform.analytics import execution, markouts, metrics
from hip3_platform.analytics.frames import markets_of
from hip3_platform.analytics.markets import over_markets
from hip3_platform.analytics.store import read_made_of, write_frame, write_json
from streaming.contracts.paths import gold_path
from streaming.contracts.rotation import RotationDoc, decode_rotation

INPUTS = "inputs"
DAILY_METRICS = "daily_metrics"
DAILY_EXECUTION = "daily_execution"
MARKOUTS = "markouts"
MARKET_RANKING = "market_ranking"
ROTATION = "rotation"
INCIDENTS = "incidents"


class DayInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Which landing the bronze files of a day were made of."""

    venue: str
    day: str
    digest: str
    row_counts: dict[str, int]


class RankingInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Head of a ranking's JSON file: what it was computed from."""

    venue: str
    day: str
    inputs: dict[str, str]
    """Day of the window → digest of its landing."""


@dataclass(frozen=True, slots=True)
class Written:
    """A derived table as written."""

    frame: pl.DataFrame
    path: Path
    byte_count: int


def record_inputs(root: Path, inputs: DayInputs) -> None:
    """Note that bronze of a day is complete, and of which landing."""
    write_json(gold_path(root, table=INPUTS, venue=inputs.venue, day=inputs.day, suffix="json"), inputs)


def inputs_digest(root: Path, venue: str, day: str) -> str:
    """Return the digest of the landing that bronze of `day` was made of; "" if there is no complete bronze."""
    path = gold_path(root, table=INPUTS, venue=venue, day=day, suffix="json")
    return msgspec.json.decode(path.read_bytes(), type=DayInputs).digest if path.is_file() else ""


def made_of(root: Path, venue: str, day: str) -> dict[str, str]:
    """Return what a table of a day is made of, as it stands in the file: the day → digest of its landing."""
    return {day: inputs_digest(root, venue, day)}


def days_made_of(root: Path, table: str, venue: str, days: Iterable[str]) -> dict[str, str]:
    """Return day → the landing that a table of that day was made of, of those of `days` that have it."""
    paths = {day: gold_path(root, table=table, venue=venue, day=day) for day in days}
    return {day: read_made_of(path).get(day, "") for day, path in paths.items() if path.is_file()}


def write_daily_metrics(root: Path, venue: str, day: str) -> Written:
    """Compute and write gold/daily_metrics of one day: one Parquet file, and the same as one JSON file."""
    coins = markets_of(root, venue, day, metrics.SOURCE_TABLES)
    rows = over_markets(partial(metrics.metrics_of, root, venue, day), coins)
    frame = metrics.metrics_frame(rows)
    path = gold_path(root, table=DAILY_METRICS, venue=venue, day=day)
    document = {
        "venue": venue,
        "day": day,
        "digest": inputs_digest(root, venue, day),
        "duration_edges_ms": metrics.DURATION_EDGES_MS,
        "edge_edges_bps": metrics.EDGE_EDGES_BPS,
        "markets": frame.to_dicts(),
    }
    write_json(path.with_suffix(".json"), document)
    return Written(frame, path, write_frame(path, frame, made_of(root, venue, day)))


def write_daily_execution(root: Path, venue: str, day: str) -> Written:
    """Compute and write gold/daily_execution of one day: one row a market that was traded for real."""
    coins = markets_of(root, venue, day, ("orders", "fills", "ledger"))
    found = (execution.execution_of(root, venue, day, coin) for coin in coins)
    frame = execution.execution_frame([row for row in found if row is not None])
    path = gold_path(root, table=DAILY_EXECUTION, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame))


def write_markouts(root: Path, venue: str, day: str) -> Written:
    """Compute and write gold/markouts of one day: one row a signal."""
    coins = markets_of(root, venue, day, markouts.SOURCE_TABLES)
    empty = pl.DataFrame(schema=markouts.SCHEMA)
    frame = pl.concat([empty, *(markouts.markouts_of(root, venue, day, coin) for coin in coins)])
    path = gold_path(root, table=MARKOUTS, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame))


def window_days(day: str, count: int) -> tuple[str, ...]:
    """Return the `count` days that end with `day`, ascending."""
    last = date.fromisoformat(day)
    return tuple((last - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1))


def judged_days(root: Path, venue: str, days: Iterable[str]) -> dict[str, str]:
    """Return day → landing digest for those of `days` whose figures and markouts exist."""
    return {
        day: inputs_digest(root, venue, day)
        for day in days
        if gold_path(root, table=MARKOUTS, venue=venue, day=day).is_file()
        and gold_path(root, table=DAILY_METRICS, venue=venue, day=day).is_file()
    }


def ranking_inputs(root: Path, venue: str, day: str) -> dict[str, str] | None:
    """Return the window (day → digest) the ranking of `day` was computed from; None without a ranking."""
    path = gold_path(root, table=MARKET_RANKING, venue=venue, day=day, suffix="json")
    return msgspec.json.decode(path.read_bytes(), type=RankingInputs).inputs if path.is_file() else None


def newest_rotation(root: Path, venue: str) -> tuple[RotationDoc, bytes] | None:
    """Return the stored document with the highest version, and its bytes; None if there is none."""
    folder = gold_path(root, table=ROTATION, venue=venue, day="1970-01-01").parent
    newest: tuple[RotationDoc, bytes] | None = None
    for path in sorted(folder.glob("day=*.json")) if folder.is_dir() else []:
        raw = path.read_bytes()
        doc = decode_rotation(raw)
        if newest is None or doc.version > newest[0].version:
            newest = doc, raw
    return newest


def rows_for_people(frame: pl.DataFrame, columns: Iterable[str], digits: int = 2) -> list[dict[str, Any]]:
    """Return `columns` of a frame as records with floats rounded: what a metadata table shows.

    Money is a float there and nowhere else.
    """
    shown = frame.select(columns).with_columns(pl.selectors.decimal().cast(pl.Float64))
    return shown.with_columns(pl.selectors.float().round(digits)).to_dicts()
