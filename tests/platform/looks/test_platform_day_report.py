"""`hip3 report`: where the page goes, what it says about it, and what it refuses in which words."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from looks_warehouse import DAY, VENUE, put, write_warehouse

from hip3_platform.cli import day_report
from streaming.core.errors import ConfigError, StoreError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(tmp_path_factory.mktemp("report"))


def _run(root: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    day_report.add_arguments(parser)
    return day_report.run(parser.parse_args(["--warehouse", str(root), *words]))


def test_the_newest_ranked_day_becomes_a_page_beside_the_warehouses_tables(root: Path, capsys) -> None:
    assert _run(root, "--venue", VENUE) == 0
    path = root / "reports" / f"{VENUE}-{DAY}.html"
    assert path.read_text().startswith("<!doctype html>")
    assert str(path) in capsys.readouterr().out


def test_json_says_where_how_large_and_what_is_missing(root: Path, capsys, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    assert _run(root, "--day", DAY, "--out", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["venue"], told["day"], told["path"], told["bytes"]) == (VENUE, DAY, str(out), out.stat().st_size)
    missing = {each["title"]: each["missing"] for each in told["sections"]}
    assert "12 of 14 days" in missing["Overview"][0]
    assert missing["Approvals"] == []


def test_json_carries_every_check_with_its_state(root: Path, capsys, tmp_path: Path) -> None:
    assert _run(root, "--day", DAY, "--out", str(tmp_path / "page.html"), "--json") == 0
    told = {(each["table"], each["check"]): each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert told["bronze/ledger", "double_entry"]["state"] == "failed"
    assert told["bronze/signals", "parity"] == {
        "table": "bronze/signals", "check": "parity", "state": "not run", "severity": "", "is_blocking": False,
        "finding": "", "at_ts_ns": None,
    }  # fmt: skip


def test_a_page_is_written_where_there_is_no_dagster(root: Path, tmp_path: Path) -> None:
    code = (
        "import argparse, sys\nsys.modules['dagster'] = None\nfrom hip3_platform.cli import day_report\n"
        "parser = argparse.ArgumentParser()\nday_report.add_arguments(parser)\n"
        "raise SystemExit(day_report.run(parser.parse_args()))"
    )
    words = ["--warehouse", str(root), "--out", str(tmp_path / "page.html")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, timeout=120)
    assert ">Checks</a></h2>" in (tmp_path / "page.html").read_text()


def test_a_second_run_writes_the_same_bytes(root: Path, tmp_path: Path, capsys) -> None:
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        _run(root, "--out", str(page))
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert capsys.readouterr().err == ""


def test_a_day_without_a_ranking_is_refused_with_those_that_have_one(root: Path) -> None:
    with pytest.raises(StoreError, match=f"expected a ranking of 2026-11-01 .* found those of {DAY}"):
        _run(root, "--day", "2026-11-01")


def test_a_warehouse_without_a_judged_day_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"found no gold/market_ranking: .*--warehouse.*hip3 up --once"):
        _run(tmp_path)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--day", "yesterday"), "expected a day as YYYY-MM-DD"), (("--venue", "a/b"), "expected 1-64 characters")],
)
def test_what_is_no_day_and_no_venue_is_refused(root: Path, words: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _run(root, *words)


def test_a_folder_is_no_file_to_write(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file, found the folder"):
        _run(root, "--out", str(tmp_path))


def test_a_place_that_can_not_be_written_is_an_error_of_the_store(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"expected to write .* choose another file with --out"):
        _run(root, "--out", str(tmp_path / "file" / "page.html"))


@pytest.mark.parametrize("table", ["market_ranking", "approvals", "gate_prices"])
def test_a_table_of_another_version_is_refused_in_one_line(tmp_path: Path, table: str) -> None:
    write_warehouse(tmp_path)
    put(tmp_path, table, pl.DataFrame({"coin": ["xyz:A"], "rank": [1], "score_bps": [1.0]}))
    with pytest.raises(
        StoreError, match=r"as this version writes them, found one that is not .* judge the days"
    ) as error:
        _run(tmp_path)
    assert "\n" not in str(error.value)


def test_a_rotation_of_another_format_is_refused(tmp_path: Path) -> None:
    write_warehouse(tmp_path)
    (tmp_path / "gold" / "rotation" / f"venue={VENUE}" / f"day={DAY}.json").write_text('{"format": 9}')
    with pytest.raises(StoreError, match="found one that is not"):
        _run(tmp_path)
