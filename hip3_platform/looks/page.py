"""One self-contained HTML page: sections of tables and figures, readable without a network.

Rule 1: nothing is fetched: style and figures stand inside; there is no script.
Rule 2: what comes from data is escaped; only figures, which we drew ourselves, go in as they are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hip3_platform.looks.render import svg

SIMULATED = frozenset({"sim", "replay"})
MISSING = "not known"
LONG = 40
"""Characters above which a text gets room to wrap in."""
DIGITS = 2
"""Digits after the point where a table names no other."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as a person reads it."""

    text: str
    is_number: bool
    is_nothing: bool = False

    @property
    def kind(self) -> str:
        """How it is set: number, nothing, long, or none of these."""
        if self.is_number:
            return "number"
        return "nothing" if self.is_nothing else "long" if len(self.text) > LONG else ""

    @classmethod
    def of(cls, value: object, digits: int, nothing: str = MISSING) -> "Cell":
        """Return the cell of a value; floats and decimals are rounded, None is what `nothing` says."""
        if value is None:
            return cls(nothing, is_number=False, is_nothing=True)
        if isinstance(value, bool):
            return cls("yes" if value else "no", is_number=False)
        if isinstance(value, float | Decimal):
            text = f"{value:,.{digits}f}"
            return cls(text.removeprefix("-") if not text.strip("-0.,") else text, is_number=True)
        if isinstance(value, int):
            return cls(f"{value:,}", is_number=True)
        return cls(str(value), is_number=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns, and rows of cells in their order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        names: Mapping[str, str],
        caption: str = "",
        digits: Mapping[str, int] | None = None,
        nothing: Mapping[str, str] | None = None,
    ) -> "Table":
        """Return some columns of a frame under the names of `names` (column → heading).

        Args:
            frame: What is shown, in its order.
            names: Column → heading.
            caption: A line above it.
            digits: Column → digits after the point, 2 where it is not named.
            nothing: Column → what a null in it means, where it is more than not known.
        """
        how = [((digits or {}).get(name, DIGITS), (nothing or {}).get(name, MISSING)) for name in names]
        rows = frame.select(list(names)).iter_rows()
        cells = tuple(tuple(Cell.of(value, *each) for value, each in zip(row, how, strict=True)) for row in rows)
        return cls(tuple(names.values()), cells, caption)

    @property
    def heads(self) -> tuple[Cell, ...]:
        """The headings; that of a column of numbers stands over them."""
        numbers = [any(row[at].is_number for row in self.rows) for at in range(len(self.columns))]
        return tuple(Cell(name, is_number) for name, is_number in zip(self.columns, numbers, strict=True))

    @classmethod
    def of_facts(cls, facts: Mapping[str, object], caption: str = "") -> "Table":
        """Return names and values, one row each."""
        cells = {name: Cell.of(value, DIGITS) for name, value in facts.items()}
        rows = tuple((Cell(name, is_number=False), replace(cell, is_number=False)) for name, cell in cells.items())
        return cls(("what", "value"), rows, caption)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that says how to read what follows, and what follows."""

    title: str
    note: str
    tables: Sequence[Table] = ()
    figures: Sequence[Markup] = ()
    missing: Sequence[str] = ()
    """Sentences about files that should be here and are not, and how to make them."""
    remarks: Sequence[str] = ()
    """Sentences where there is nothing to show although everything was read."""

    @property
    def anchor(self) -> str:
        """Name of the section in addresses: the title in lower case, joined by hyphens."""
        return "-".join(re.findall(r"[a-z0-9]+", self.title.lower()))


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
