"""The page of a day from a warehouse by hand: who stands where, what is missing, and that nothing leaves the file."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from looks_warehouse import BAD, COINS, DAY, GOOD, ODD, VENUE, frame_of, put, write_warehouse

from hip3_platform.analytics import markouts as signals
from hip3_platform.analytics.counterfactual import PRICE_SCHEMA
from hip3_platform.analytics.day_checks import DAY_CHECKS
from hip3_platform.looks.day import SECTIONS, page_of
from hip3_platform.looks.files import Files, judged_days
from hip3_platform.looks.page import Section
from hip3_platform.looks.page import html as html_of
from hip3_platform.looks.sections import checks, evidence, markouts, overview, rotation, trading
from streaming.contracts.paths import gold_path

TITLES = [
    "Overview", "Checks", "Rotation", "Ranking", "Approvals", "Verdicts and decay", "Bounds by threshold",
    "Markouts by latency and horizon", "Hours of the week", "Edges, promised and had", "Limits and their prices",
    "Execution and money", "Incidents", "Phase",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return html_of(page_of(Files(root, VENUE, DAY)))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return write_warehouse(tmp_path)


def sections_of(page: str) -> dict[str, str]:
    """Title → what stands in that section."""
    parts = re.findall(
        r'<section id="([^"]+)">\s*<h2><a href="#([^"]+)">([^<]+)</a></h2>(.*?)</section>', page, re.DOTALL
    )
    assert all(one == other for one, other, *_ in parts)
    return {title: text for *_, title, text in parts}


def tables_of(section: str) -> list[list[list[str]]]:
    """Tables of a section as rows of texts, without the headings."""
    bodies = re.findall(r"<tbody>(.*?)</tbody>", section, re.DOTALL)
    rows = [re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL) for body in bodies]
    return [
        [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in each] for each in rows
    ]


def test_every_section_stands_once_in_order_and_can_be_linked_to(page: str) -> None:
    assert list(sections_of(page)) == TITLES
    anchors = re.findall(r'<section id="([^"]+)"', page)
    assert re.findall(r"<nav>.*?</nav>", page, re.DOTALL)[0].count("<a ") == len(set(anchors)) == len(TITLES)
    assert all(f'<nav><a href="#{anchors[0]}"' in page and f'href="#{each}"' in page for each in anchors)


@pytest.mark.parametrize(
    ("title", "table", "column"),
    [("Overview", 1, 0), ("Rotation", 0, 0), ("Ranking", 0, 1), ("Approvals", 0, 0), ("Approvals", 1, 0),
     ("Verdicts and decay", 0, 0)],
)  # fmt: skip
def test_every_market_stands_exactly_once_where_all_are_told_of(page: str, title: str, table: int, column: int) -> None:
    assert sorted(row[column] for row in tables_of(sections_of(page)[title])[table]) == sorted(COINS)


def test_only_markets_with_a_policy_get_figures_of_their_own(page: str) -> None:
    for title in ("Bounds by threshold", "Markouts by latency and horizon"):
        section = html.unescape(sections_of(page)[title])
        assert GOOD in section
        assert BAD in section
        assert ODD not in section


def test_the_rotation_says_what_was_decided_and_against_whom(page: str) -> None:
    rows = {row[0]: row for row in tables_of(sections_of(page)["Rotation"])[0]}
    assert rows[GOOD] == [GOOD, "kept", "60.00", "2.50", ODD, "-1.50", "first in line"]
    assert rows[BAD][1] == "blacklisted"


def test_an_out_of_sample_figure_stands_beside_its_in_sample_twin(page: str) -> None:
    section = sections_of(page)["Approvals"]
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", section)
    row = next(row for row in tables_of(section)[0] if row[0] == GOOD)
    told = dict(zip(heads, row, strict=False))
    assert (told["out of sample, bps"], told["in sample, bps"], told["p adjusted"]) == ("4.00", "6.00", "0.012300")
    assert told["bound, bps"] == "out before the test"


def test_thresholds_say_that_they_are_in_sample_and_bring_the_walk_forward_figure(page: str) -> None:
    rows = [row for row in tables_of(sections_of(page)["Bounds by threshold"])[0] if row[0] == GOOD]
    assert [row[-1] for row in rows] == ["in sample"] * 7 + ["walk-forward"]
    # Two days of 4 fills and 10 bps each: 2.5 bps a fill; the day clusters do not differ, so the interval is a point.
    assert rows[2][1:] == ["> 8 bps, chosen", "oracle_led", "3 s", "8", "2.50", "2.50", "2.50", "in sample"]
    assert rows[-1][4:8] == ["61", "1.75", "4.00", "6.25"]


def test_money_is_the_sum_of_the_closed_positions(page: str) -> None:
    section = sections_of(page)["Execution and money"]
    assert "2 closed positions after fees and funding: +1.2500 USD (sim)" in section
    assert tables_of(section)[0][0][0] == GOOD


def test_money_begins_at_nothing_and_ends_at_the_sum(root: Path) -> None:
    [figure] = trading.execution(Files(root, VENUE, DAY)).figures
    assert "USD" in figure
    drawn = trading.money(Files(root, VENUE, DAY))
    [line, _] = drawn.axes[0].lines if drawn else [None, None]
    assert line is not None
    assert list(zip(*line.get_data(), strict=True)) == [(0.0, 0.0), (1.0, 2.0), (2.0, 1.25)]


def test_without_the_days_execution_nothing_is_said_of_its_positions(tmp_path: Path) -> None:
    found = trading.execution(Files(tmp_path, VENUE, DAY))
    assert len(found.missing) == 1
    assert not found.remarks


def test_a_market_without_a_score_says_why_and_one_with_a_score_shows_it(page: str) -> None:
    rows = {row[1]: row for row in tables_of(sections_of(page)["Ranking"])[0]}
    assert (rows[ODD][0], rows[ODD][-1]) == ("none", f"ranked {ODD}")
    assert (rows[GOOD][:3], rows[GOOD][-1]) == (["1", GOOD, "2.50"], "")


def test_a_limit_shows_its_number_or_that_it_is_not_known_or_that_there_is_none(fresh: Path) -> None:
    names = {"halt": "gates.halt_cooldown_ms", "spread_shock": "gates.spread_shock_ratio_max", "oi_cap": None}
    rows = [{"coin": "*", "name": name, "limit_name": limit, "limit_value": None} for name, limit in names.items()]
    put(fresh, "gate_prices", frame_of(PRICE_SCHEMA, rows[0] | {"limit_value": "60000"}, *rows[1:]))
    (table,) = trading.gates(Files(fresh, VENUE, DAY)).tables
    assert {row[2].text: [cell.text for cell in row[3:5]] for row in table.rows} == {
        "halt": [names["halt"], "60000"],
        "spread_shock": [names["spread_shock"], "not known"],
        "oi_cap": ["no number", "no number"],
    }


def test_a_check_says_what_it_found_and_when_and_one_that_did_not_run_is_not_passed(page: str) -> None:
    text = sections_of(page)["Checks"]
    (rows,) = tables_of(text)
    when = "2026-11-25 01:00:00"
    assert sorted(row for row in rows if row[2] != "not run") == [
        ["bronze/bbo", "sequence", "passed", "", "yes", "holds for 3 markets", when],
        ["bronze/ctx", "gaps", "failed", "warning", "no", f"{ODD}: holes", when],
        ["bronze/ledger", "double_entry", "failed", "error", "yes", "1 USD is missing", when],
    ]
    assert [row[2] for row in rows[:3]] == ["failed", "failed", "not run"]
    assert ["bronze/signals", "parity", "not run", "", "no", "", "never"] in rows
    assert len(rows) == len(DAY_CHECKS)
    assert f"1 passed, 2 failed, {len(DAY_CHECKS) - 3} not run." in text


def test_without_a_record_of_checks_all_are_told_as_not_run(tmp_path: Path) -> None:
    found = checks.checks(Files(tmp_path, VENUE, DAY))
    assert re.search(r"record of checks .*is missing.*judge the day", found.missing[0])
    assert {row[2].text for row in found.tables[0].rows} == {"not run"}


def test_what_is_blacklisted_says_until_when(page: str) -> None:
    listed, happened = tables_of(sections_of(page)["Incidents"])
    assert listed == [[BAD, "2026-11-27", "halt on 2026-11-24"]]
    assert happened == [[DAY, BAD, "halt", "halted 2 times"]]


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    assert not re.search(r'\b(?:src|href)="(?!#|data:image/)', page)
    assert not re.search(r"<(?:script|link|iframe|object|embed|base)\b|\bon\w+=|@import|url\((?!#)", page)


def test_data_is_text_and_never_markup(page: str) -> None:
    assert "<b>" not in page
    assert "&lt;b&gt;ODD&lt;/b&gt;" in page


def test_the_same_files_are_the_same_bytes(page: str, tmp_path: Path) -> None:
    elsewhere = write_warehouse(tmp_path)
    assert html_of(page_of(Files(elsewhere, VENUE, DAY))) == page


def test_the_page_names_what_it_was_computed_from(page: str) -> None:
    footer = re.findall(r"<footer>(.*?)</footer>", page, re.DOTALL)[0]
    assert "gold/approvals (1 day)" in footer
    assert "gold/policy_hours (2 days)" in footer
    assert "bronze/round_trips (1 day)" in footer
    assert "checks (1 day)" in footer


def test_days_of_the_window_without_evidence_are_named(root: Path) -> None:
    text = " ".join(overview.overview(Files(root, VENUE, DAY)).missing)
    assert "12 of 14 days" in text
    assert "2026-11-11" in text
    assert "2026-11-23" not in text


READS = [
    ("daily_metrics", overview.overview), ("rotation", rotation.rotation), ("rotation", rotation.incidents),
    ("market_ranking", rotation.ranking), ("incidents", rotation.incidents), ("approvals", evidence.approvals),
    ("standings", evidence.approvals), ("verdicts", evidence.verdicts), ("basis", evidence.verdicts),
    ("approvals", evidence.thresholds), ("policy_hours", evidence.thresholds), ("approvals", markouts.heat),
    ("policy_hours", markouts.heat), ("policy_hours", markouts.hour_of_week), ("markouts", markouts.edges),
    ("policy_fills", markouts.edges), ("gate_prices", trading.gates), ("daily_execution", trading.execution),
    ("phase_verdict", trading.phase),
]  # fmt: skip


@pytest.mark.parametrize(("table", "section"), READS)
def test_a_file_that_is_not_there_is_named_with_what_makes_it(fresh: Path, table: str, section) -> None:
    before = " ".join(section(Files(fresh, VENUE, DAY)).missing)
    for path in (fresh / "gold" / table / f"venue={VENUE}").iterdir():
        path.unlink()
    after = " ".join(section(Files(fresh, VENUE, DAY)).missing)
    assert f"gold/{table}" not in before
    assert re.search(rf"gold/{table} .*is missing.*judge the day", after)


def test_a_day_with_nothing_but_a_ranking_has_a_page_without_an_empty_table(tmp_path: Path) -> None:
    write_warehouse(tmp_path / "full")
    ranking = pl.read_parquet(gold_path(tmp_path / "full", table="market_ranking", venue=VENUE, day=DAY))
    put(tmp_path / "bare", "market_ranking", ranking)
    found = page_of(Files(tmp_path / "bare", VENUE, DAY))
    assert all(each.missing for each in found.sections if each.title != "Ranking")
    assert_nothing_is_empty(found.sections)


@pytest.mark.parametrize(
    ("table", "schema", "section", "told"),
    [("markouts", signals.SCHEMA, markouts.edges, "No signal was recorded"),
     ("gate_prices", PRICE_SCHEMA, trading.gates, "No signal of the window was blocked")],
)  # fmt: skip
def test_a_table_without_rows_is_said_to_be_so_and_not_to_be_missing(
    fresh: Path, table: str, schema, section, told: str
) -> None:
    put(fresh, table, pl.DataFrame(schema=schema))
    found = section(Files(fresh, VENUE, DAY))
    assert any(told in text for text in found.remarks)
    assert not any(f"gold/{table} " in text for text in found.missing)
    assert_nothing_is_empty([found])


def assert_nothing_is_empty(sections: Sequence[Section]) -> None:
    for each in sections:
        assert each.tables or each.figures or each.missing or each.remarks, each.title
        assert all(table.rows for table in each.tables), each.title


def test_days_that_can_be_shown_are_those_with_a_ranking(root: Path) -> None:
    assert judged_days(root, VENUE) == (DAY,)
    assert judged_days(root, "mainnet") == ()


def test_every_builder_is_told_of_before_it_runs(root: Path) -> None:
    told: list[str] = []
    page_of(Files(root, VENUE, DAY), told.append)
    assert len(told) == len(SECTIONS)
    assert told[0] == f"section 1 of {len(SECTIONS)}: overview"
