"""From a matplotlib figure to text that a page, or a metadata field of Dagster, can hold.

Rule 1: no pyplot: figures are objects without global state, so a daemon can draw in any thread.
Rule 2: the same figure is the same text: no date in it, and ids that do not depend on the process.
Rule 3: text stays text (no glyph outlines), so that a page can be searched and read aloud, and stays small.
"""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GRID, GOOD, BAD, CALM = "#1b1f24", "#d0d7de", "#1a7f37", "#cf222e", "#0969da"
SEQUENCE = ("#0969da", "#bf8700", "#1a7f37", "#8250df", "#cf222e", "#57606a", "#1b7c83", "#bc4c00")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "hip3", "font.size": 9.0, "font.family": "sans-serif",
    "axes.edgecolor": GRID, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.5, "axes.axisbelow": True, "axes.titlelocation": "left",
    "axes.titlesize": 10.0, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "figure.constrained_layout.use": True,
}  # fmt: skip


_NAMES = re.compile(r' id="[A-Za-z0-9.]+_[0-9]+"')
"""Names of groups, which nothing refers to: figures of one page would all have the same ones."""


@contextmanager
def drawing(title: str, *, width: float = 7.2, height: float = 3.4) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure of one plot with the project's style; size in inches."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_subplot()
        axes.set_title(title)
        yield figure, axes


def svg(figure: Figure) -> str:
    """Return a figure as an `<svg>` element that can stand inside a page."""
    with mpl.rc_context(_STYLE):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    drawn = text.getvalue()
    return _NAMES.sub("", drawn[drawn.index("<svg") :])


def markdown_image(figure: Figure, alt: str) -> str:
    """Return a figure as a Markdown image with its content inside, for metadata of an asset."""
    encoded = base64.b64encode(svg(figure).encode()).decode()
    return f"![{alt}](data:image/svg+xml;base64,{encoded})"


def empty(title: str, why: str) -> Figure:
    """Return a figure that says why there is nothing to draw: a gap in a page must not look like a forgotten plot."""
    with drawing(title, height=1.2) as (figure, axes):
        axes.axis("off")
        axes.text(0.0, 0.5, why, transform=axes.transAxes, va="center")
    return figure
