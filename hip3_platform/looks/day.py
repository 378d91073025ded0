"""The page of a day: which sections stand on it, in the order in which a reader asks."""

from collections.abc import Callable
from importlib.metadata import version

from hip3_platform.looks.files import Files
from hip3_platform.looks.page import Page, Section
from hip3_platform.looks.sections import checks, evidence, markouts, overview, rotation, trading

SECTIONS: tuple[Callable[[Files], Section], ...] = (
    overview.overview, checks.checks, rotation.rotation, rotation.ranking, evidence.approvals, evidence.verdicts,
    evidence.thresholds, markouts.heat, markouts.hour_of_week, markouts.edges, trading.gates, trading.execution,
    rotation.incidents, trading.phase,
)  # fmt: skip


def page_of(files: Files, tell: Callable[[str], None] = lambda _: None) -> Page:
    """Read the derived files of a day and draw its page.

    Args:
        files: Of one venue and day; what is read is counted there.
        tell: Called with a text before each section.
    """
    sections = []
    for number, build in enumerate(SECTIONS, start=1):
        tell(f"section {number} of {len(SECTIONS)}: {build.__name__}")
        sections.append(build(files))
    return Page(files.venue, files.day, version("hip3"), sections, files.sources)
