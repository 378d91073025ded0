"""One self-contained HTML page: sections of tables and figures, readable without a network.

Rule 1: nothing is fetched: style and figures stand inside; there is no script.
Rule 2: what comes from data is escaped; only figures, which we drew ourselves, go in as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hip3_platform.looks.render import svg

SIMULATED = frozenset({"sim", "replay"})
MISSING = "not known"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as a person reads it."""

    text: str
    is_number: bool

    @classmethod
    def of(cls, value: object, digits: int) -> "Cell":
        """Return the cell of a value; floats and decimals are rounded, None is said to be missing."""
        if value is None:
            return cls(MISSING, is_number=False)
        if isinstance(value, bool):
            return cls("yes" if value else "no", is_number=False)
        if isinstance(value, float | Decimal):
            return cls(f"{value:,.{digits}f}", is_number=True)
        if isinstance(value, int):
            return cls(f"{value:,}", is_number=True)
        return cls(str(value), is_number=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns, and rows of cells in their order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, frame: pl.DataFrame, names: Mapping[str, str], digits: int = 2) -> "Table":
        """Return some columns of a frame under the names of `names` (column → heading)."""
        rows = frame.select(list(names)).iter_rows()
        return cls(tuple(names.values()), tuple(tuple(Cell.of(value, digits) for value in row) for row in rows))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that says how to read what follows, and what follows."""

    title: str
    note: str
    tables: Sequence[Table] = ()
    figures: Sequence[Markup] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A day of one venue."""

    venue: str
    day: str
    code_version: str
    sections: Sequence[Section]
    sources: Sequence[str] = field(default=())
    """Files that were read, relative to the warehouse."""

    @property
    def is_simulated(self) -> bool:
        """Whether no row of this page comes from a real market."""
        return self.venue in SIMULATED


def drawn(figures: Iterable[Figure]) -> tuple[Markup, ...]:
    """Return figures as they stand in a page."""
    return tuple(Markup(svg(figure)) for figure in figures)  # noqa: S704 - drawn here, texts in it are escaped


def html(page: Page) -> str:
    """Return the page as one document."""
    # Everything is escaped but `Markup`, which only figures are.
    environment = Environment(
        loader=PackageLoader("hip3_platform.looks", package_path="."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(page=page)
