"""What `hip3 up` tells at the end: read from the same files that anybody else would read."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import polars as pl

from hip3_platform.analytics.closing import CLOSE_DELAY_NS
from streaming.contracts.manifest import ManifestLine, read_manifest
from streaming.contracts.paths import day_of, gold_path, manifest_folder
from streaming.contracts.rotation import RotationDoc, decode_rotation, rotation_sha256
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_DAY

EVENT_TABLES = ("bbo", "ctx")
ENGINE, COLUMNS, LIVE = "hist-", "cols-", "live"
"""What the names of sessions begin with that `hip3 history` wrote; all others observed live."""


@dataclass(frozen=True)
class Findings:
    """Days judged, what they held, how their markets ranked, and the rotation that followed."""

    doc: RotationDoc
    sha256: str
    days: dict[str, int]
    """Closed day → bbo and ctx events."""
    ranking: pl.DataFrame

    @staticmethod
    def of(warehouse: Path, doc: RotationDoc, sha256: str) -> "Findings":
        """Collect the findings up to the day of `doc`."""
        days: dict[str, int] = {}
        for line in _lines(warehouse, doc.venue):
            if line.table in EVENT_TABLES and line.day <= doc.as_of_day:
                days[line.day] = days.get(line.day, 0) + line.row_count
        ranking = pl.read_parquet(gold_path(warehouse, table="market_ranking", venue=doc.venue, day=doc.as_of_day))
        return Findings(doc, sha256, dict(sorted(days.items())), ranking)

    @property
    def event_count(self) -> int:
        """All bbo and ctx events of the days."""
        return sum(self.days.values())

    @property
    def ranked_count(self) -> int:
        """Markets with enough episodes to be ranked."""
        return self.ranking.filter(pl.col("rank").is_not_null()).height


@dataclass(frozen=True)
class Window:
    """The days that `hip3 up` judges."""

    first: str
    last: str
    histories: tuple[tuple[str, str, tuple[str, ...]], ...]
    """First day, last day and flags of each history to write, ascending; what is there already is not written again."""


def history_window(warehouse: Path, venue: str, day_count: int, *, now_ts_ns: int) -> Window:
    """Return the newest `day_count` closed days; those in which a sidecar observed are left as they are.

    Such a day is its own evidence: written history beside it would count the same hours twice, as would the two kinds
    of history of one day. Older days instead of it would make a rotation that has expired once a few days have gone by.
    The evidence reads market data only; the newest day goes through the engine, for signals, gates and follow-ups.

    Raises:
        StoreError: A day holds both kinds of written history.
    """
    found: dict[str, set[str]] = {}
    for line in _lines(warehouse, venue):
        found.setdefault(line.day, set()).add(_kind_of(line.session_id))
    _refuse_doubled(warehouse, venue, found)
    last = now_ts_ns - CLOSE_DELAY_NS - NS_PER_DAY
    days = [day_of(last - back * NS_PER_DAY) for back in reversed(range(day_count))]
    free = [day for day in days if LIVE not in found.get(day, ())]

    def kind_of(day: str) -> str:
        if day not in free:
            return LIVE
        return min(found.get(day, {ENGINE if day == free[-1] else COLUMNS}))

    runs = [(kind, list(run)) for kind, run in groupby(days, kind_of) if kind != LIVE]
    histories = tuple((run[0], run[-1], ("--columns",) if kind == COLUMNS else ()) for kind, run in runs)
    return Window(days[0], days[-1], histories)


def _refuse_doubled(warehouse: Path, venue: str, found: dict[str, set[str]]) -> None:
    if doubled := sorted(day for day, kinds in found.items() if {ENGINE, COLUMNS} <= kinds):
        raise StoreError(
            f"expected one kind of written history a day in {warehouse}, found both on {', '.join(doubled)}: every "
            "hour of such a day counts twice, and no figure that rests on it is right. Delete what the warehouse holds "
            f"of the venue (every folder venue={venue} below it) and start again, or name another with --warehouse"
        )


def _kind_of(session_id: str) -> str:
    return next((kind for kind in (ENGINE, COLUMNS) if session_id.startswith(kind)), LIVE)


def newest_rotation(warehouse: Path, venue: str) -> tuple[RotationDoc, str] | None:
    """Return the document of the highest version and its sha256, or None before the first."""
    folder = gold_path(warehouse, table="rotation", venue=venue, day="1970-01-01", suffix="json").parent
    raws = [path.read_bytes() for path in folder.glob("day=*.json")] if folder.is_dir() else []
    documents = [(decode_rotation(raw), rotation_sha256(raw)) for raw in raws]
    return max(documents, key=lambda found: found[0].version, default=None)


def ranking_lines(findings: Findings) -> Iterator[str]:
    """Yield the ranking and the accepted rotation as lines for a person."""
    doc = findings.doc
    head = (
        f"ranking as of {doc.as_of_day}, venue {doc.venue}: {len(findings.days)} days, {findings.event_count:,} events"
    )
    yield head + (" (simulated: nothing here says anything about a real market)" if doc.venue == "sim" else "")
    for row in findings.ranking.sort("rank", "coin", nulls_last=True).iter_rows(named=True):
        yield f"  {row['coin']:<14} {row['reason']}"
    yield f"rotation {doc.version}: every market, and why"
    for told in doc.explanations:
        yield f"  {told.coin:<14} {told.decision}: {told.reason}"
    allowed = ", ".join(f"{m.coin} ({m.ntl_max} USD)" for m in doc.markets)
    yield f"rotation {doc.version} accepted by the sidecar: {allowed}"


def _lines(warehouse: Path, venue: str) -> Iterator[ManifestLine]:
    for path in sorted(manifest_folder(warehouse, venue).glob("*.jsonl")):
        yield from read_manifest(path)
