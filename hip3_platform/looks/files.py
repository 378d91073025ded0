"""The derived files that a page reads: what was read is counted, and what is missing gets a sentence that says so.

Rule 1: a file that is not there is None, never an empty table: nobody may take "was not computed" for "nothing found".
Rule 2: the sentence names the file, the day and the step that makes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from hip3_platform.analytics.day_checks import read_looks
from hip3_platform.analytics.evidence.tables import WINDOW_DAYS
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.gold import MARKET_RANKING, ROTATION, window_days
from streaming.contracts.paths import gold_path
from streaming.contracts.rotation import RotationDoc, decode_rotation

JUDGE = "judge the day (hip3 up --once, or materialize it in Dagster)"


def judged_days(root: Path, venue: str) -> tuple[str, ...]:
    """Return the days of a venue that have a ranking, ascending."""
    folder = gold_path(root, table=MARKET_RANKING, venue=venue, day="1970-01-01").parent
    return tuple(sorted(path.stem.removeprefix("day=") for path in folder.glob("day=*.parquet")))


@dataclass(frozen=True, slots=True)
class Files:
    """Derived files of one venue as of one day."""

    root: Path
    venue: str
    day: str
    _read: dict[str, set[str]] = field(default_factory=dict)

    @property
    def window(self) -> tuple[str, ...]:
        """Calendar days of the evidence's window that ends with the day."""
        return window_days(self.day, WINDOW_DAYS)

    @property
    def sources(self) -> tuple[str, ...]:
        """What was read, as texts such as `gold/basis (14 days)`."""
        return tuple(f"{name} ({len(days)} day{'s'[: len(days) != 1]})" for name, days in sorted(self._read.items()))

    def table(self, name: str) -> pl.DataFrame | None:
        """Return a derived table of the day; None without its file."""
        path = gold_path(self.root, table=name, venue=self.venue, day=self.day)
        if not path.is_file():
            return None
        self._note(f"gold/{name}", self.day)
        return pl.read_parquet(path)

    def scan(self, name: str, days: Iterable[str]) -> pl.LazyFrame | None:
        """Return the rows of a derived table of those of `days` that have it; None if none of them has."""
        paths = {day: gold_path(self.root, table=name, venue=self.venue, day=day) for day in days}
        found = {day: path for day, path in paths.items() if path.is_file()}
        for day in found:
            self._note(f"gold/{name}", day)
        return pl.concat([pl.scan_parquet(path) for path in found.values()]) if found else None

    def window_of(self, name: str, coins: Iterable[str]) -> pl.DataFrame | None:
        """Return the window's rows of some markets of a derived table; None if no day of it has the table."""
        rows = self.scan(name, self.window)
        return None if rows is None else rows.filter(pl.col("coin").is_in(list(coins))).collect()

    def days_with(self, name: str) -> tuple[str, ...]:
        """Return those days of the window that have a derived table."""
        return tuple(
            day for day in self.window if gold_path(self.root, table=name, venue=self.venue, day=day).is_file()
        )

    def rotation(self, day: str | None = None) -> RotationDoc | None:
        """Return the rotation of the day, or of another; None if there is none."""
        day = day or self.day
        path = gold_path(self.root, table=ROTATION, venue=self.venue, day=day, suffix="json")
        if not path.is_file():
            return None
        self._note(f"gold/{ROTATION}", day)
        return decode_rotation(path.read_bytes())

    def checks(self) -> pl.DataFrame | None:
        """Return the record of the day's checks (`day_checks.SCHEMA`); None if none ever ran."""
        looks = read_looks(self.root, self.venue, self.day)
        if looks is not None:
            self._note("checks", self.day)
        return looks

    def markets(self, *tables: str) -> tuple[str, ...]:
        """Return the markets with rows in any of some bronze tables on the day, sorted; they are about to be read."""
        coins = markets_of(self.root, self.venue, self.day, tables)
        for table in tables if coins else ():
            self._note(f"bronze/{table}", self.day)
        return coins

    def bronze(self, table: str, columns: tuple[str, ...]) -> pl.DataFrame:
        """Return the day's rows of a bronze table, all markets, by market; without files no rows."""
        coins = self.markets(table)
        empty = read_market(self.root, table, self.venue, self.day, "_none", columns)
        parts = [read_market(self.root, table, self.venue, self.day, coin, columns) for coin in coins]
        return pl.concat([empty, *parts], how="vertical_relaxed") if parts else empty

    def missing(self, name: str) -> str:
        """Return the sentence about a derived table that the day does not have."""
        return f"gold/{name} of {self.day} is missing, so what it holds is not known: {JUDGE}."

    def missing_window(self, name: str) -> str:
        """Return the sentence about a derived table that no day of the window has."""
        return f"gold/{name} is missing on every day from {self.window[0]} to {self.day}: {JUDGE}."

    def _note(self, name: str, day: str) -> None:
        self._read.setdefault(name, set()).add(day)
