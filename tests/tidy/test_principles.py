"""`principles.md` and `predecessor.md` say what is enforced where and which test proves it; here they are held to it.

A rule whose test, function or file is gone is no rule any more.

Rule: a row names a test, or says in so many words that there is none: `Not enforced:`, `Withdrawn:`. A test that is
expected to fail proves nothing; its row has to say `Open bug:`.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PRINCIPLES = tuple(str(number) for number in range(1, 39))
BUGS = (
    *("A1", "A1b", "A2", "A3", "A4", "A5", "A6", "A7"),
    *("M1", "M2", "M2b", "M3", "M4", "M5", "M6", "M7", "M8", "M9", "M10", "M11", "M12"),
    *("U1", "U2", "U3", "U4", "U5", "U6"),
    *("P2", "P3", "P4", "P4b", "P5", "P5b", "P5c", "P6", "P7", "P8", "P9", "P10", "P11"),
    *("MM1", "MM2", "MM3", "MM4", "MM5", "L1"),
)
"""Section 10: `U` are its rows without a name, `MM` the five of its row MM, `L1` the lesson about how they worked."""
TEN = tuple(f"T{number}" for number in range(1, 11))
"""Section 0."""
INERT = tuple(f"N{number}" for number in range(1, 19))
"""Sections 3.4 to 3.6 and 8.5: what was tested and not alive."""
EXECUTOR = tuple(f"E{number}" for number in range(1, 9))
"""Section 6."""
EXITS = tuple(f"X{number}" for number in range(1, 12))
"""Section 7."""
PAGES = {
    "docs/principles.md": PRINCIPLES,
    "docs/predecessor.md": (*BUGS, *TEN, *INERT, *EXECUTOR, *EXITS),
}

_ROW = re.compile(r"\| ([A-Z]{0,2}\d+[a-z]?) \|")
_REFERENCE = re.compile(r"`([\w./-]+\.(?:py|md|toml|sh))(?:::([\w.]+))?`")
_MARKS = ("Not enforced:", "Withdrawn:")
_OPEN = "Open bug:"


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _node_of(path: Path, dotted: str) -> ast.stmt | None:
    """Return where a file defines a name: a function, a class, something in a class, or a value of the module."""
    body, found = _tree(path).body, None
    for name in dotted.split("."):
        found = next((node for node in body if name in _names_of(node)), None)
        if found is None:
            return None
        body = getattr(found, "body", [])
    return found


def _names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _is_expected_to_fail(node: ast.stmt) -> bool:
    return any("xfail" in ast.dump(mark) or "skip" in ast.dump(mark) for mark in getattr(node, "decorator_list", []))


def _row_complaints(number: str, row: str, root: Path) -> list[str]:
    found: list[str] = []
    test_count = 0
    references = _REFERENCE.findall(row)
    for file, name in references:
        path = root / file
        if not path.is_file():
            found.append(f"{number}: no file {file}")
            continue
        node = _node_of(path, name) if name and path.suffix == ".py" else None
        if name and node is None:
            found.append(f"{number}: no {name} in {file}")
        elif node is not None and name.startswith("test_") and path.name.startswith("test_"):
            test_count += 1
            if _is_expected_to_fail(node) and _OPEN not in row:
                found.append(f"{number}: {name} is expected to fail, and the row does not say {_OPEN!r}")
    is_marked = any(mark in row for mark in _MARKS)
    if not test_count and not is_marked:
        found.append(f"{number}: no test, and none of {_MARKS}")
    if len(references) == test_count and not is_marked:
        found.append(f"{number}: no module, function or rule that enforces it")
    return found


def complaints(text: str, required: tuple[str, ...], root: Path = ROOT) -> list[str]:
    """Return everything that is wrong with a page: rows that are missing or twice, references that lead nowhere."""
    rows = [(match[1], line) for line in text.splitlines() if (match := _ROW.match(line))]
    numbers = [number for number, _ in rows]
    found = [f"{number}: no row" for number in required if number not in numbers]
    found += [
        f"{number}: {numbers.count(number)} rows" for number in dict.fromkeys(numbers) if numbers.count(number) > 1
    ]
    found += [f"{number}: not expected here" for number in dict.fromkeys(numbers) if number not in required]
    for number, row in rows:
        found += _row_complaints(number, row, root)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_what_enforces_it_and_a_test_that_exists(page: str) -> None:
    assert complaints((ROOT / page).read_text(), PAGES[page]) == []


HERE = "`tests/tidy/test_principles.py::test_every_row_names_what_enforces_it_and_a_test_that_exists`"
CODE = "`streaming/core/errors.py::check`"
ORPHAN = "`tests/predecessor/test_predecessor_inert.py::test_of_nothing`"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (f"| 1 | a | {CODE} | {HERE} |\n| 2 | b | Withdrawn: because | |", []),
        (f"| 1 | a | {CODE} | {HERE} |", ["2: no row"]),
        (f"| 1 | a | {CODE} | {HERE} |\n" * 2 + "| 2 | b | Not enforced: yet | |", ["1: 2 rows"]),
        (f"| 1 | a | {CODE} | {HERE} |\n| 2 | b | {CODE} | soon |", [f"2: no test, and none of {_MARKS}"]),
        (
            f"| 1 | a | {CODE} | {HERE} |\n| 2 | b | {CODE} | {ORPHAN} |",
            [
                "2: no test_of_nothing in tests/predecessor/test_predecessor_inert.py",
                f"2: no test, and none of {_MARKS}",
            ],
        ),
        (
            f"| 1 | a | `streaming/core/gone.py` | {HERE} |\n| 2 | b | {CODE} | {HERE} |",
            ["1: no file streaming/core/gone.py"],
        ),
        (
            f"| 1 | a | `streaming/core/errors.py::uncheck` | {HERE} |\n| 2 | b | {CODE} | {HERE} |",
            ["1: no uncheck in streaming/core/errors.py"],
        ),
        (
            f"| 1 | a | good will | {HERE} |\n| 2 | b | {CODE} | {HERE} |",
            ["1: no module, function or rule that enforces it"],
        ),
        (f"| 1 | a | {CODE} | {HERE} |\n| 2 | b | {CODE} | {HERE} |\n| 3 | c | {CODE} | {HERE} |",
         ["3: not expected here"]),
    ],
)  # fmt: skip
def test_checker_finds_what_a_broken_page_hides(page: str, expected: list[str]) -> None:
    assert complaints(page, ("1", "2")) == expected


@pytest.mark.parametrize(("words", "is_found"), [("", True), ("Open bug: see there", False)])
def test_checker_does_not_take_a_failing_test_for_a_proof(tmp_path: Path, words: str, *, is_found: bool) -> None:
    (tmp_path / "test_sample.py").write_text("@pytest.mark.xfail\ndef test_a(): ...\n")
    (tmp_path / "sample.py").write_text("LIMIT = 1\n")
    page = f"| 1 | a | `sample.py::LIMIT` | {words} `test_sample.py::test_a` |"
    assert bool(complaints(page, ("1",), tmp_path)) is is_found
