"""The page of a day: what a reader sees, and that data can not put markup into it."""

import re

import polars as pl
import pytest

from hip3_platform.looks.figures import cumulative
from hip3_platform.looks.page import Page, Section, Table, drawn, html


def _page(venue: str = "sim", coin: str = "xyz:NVDA", edge_bps: float | None = 1.2345) -> str:
    frame = pl.DataFrame({"coin": [coin], "edge": [edge_bps]}, schema={"coin": pl.String, "edge": pl.Float64})
    table = Table.of(frame, {"coin": "market", "edge": "edge, bps"})
    section = Section("Approvals", "note", [table], drawn([cumulative([0.0, 60.0], [0.0, 1.0], "PnL")]))
    return html(Page(venue, "2026-11-28", "0.1.0", [section], ["gold/approvals"]))


def test_data_is_text_and_never_markup() -> None:
    page = _page(coin="<script>alert(1)</script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_fetches_nothing() -> None:
    page = _page()
    assert not re.search(r'\b(?:src|href)="(?!#)', page)
    assert "@import" not in page
    assert "<svg" in page


@pytest.mark.parametrize(
    ("venue", "is_said"), [("sim", True), ("replay", True), ("testnet", False), ("mainnet", False)]
)
def test_simulated_rows_are_said_to_be_simulated(venue: str, is_said: bool) -> None:
    assert ("Simulated:" in _page(venue)) is is_said


def test_a_figure_without_data_is_not_known_and_never_zero() -> None:
    assert '<td class="nothing">not known</td>' in _page(edge_bps=None)
    assert '<td class="number">1.23</td>' in _page()
