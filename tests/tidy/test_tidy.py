"""The code keeps its own promises: sizes, start-up, entry points, nothing committed that must not be."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted([*(ROOT / "streaming").rglob("*.py"), *(ROOT / "hip3_platform").rglob("*.py")])
MODULE_LINES_MAX = 420
FUNCTION_LINES_MAX = 65
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["hip3.commands"]


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_and_functions_stay_small() -> None:
    too_long = [
        f"{p.relative_to(ROOT)}: {n} lines"
        for p in SOURCES
        if (n := len(p.read_text().splitlines())) > MODULE_LINES_MAX
    ]
    too_long += [
        f"{p.relative_to(ROOT)}:{name}: {n} lines"
        for p in SOURCES
        for name, n in _functions(p)
        if n > FUNCTION_LINES_MAX
    ]
    assert not too_long, "is each still one thing?"


def test_committed_files_name_no_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    hosts = [b"files.python" + b"hosted", b"pypi" + b".org", b"registry.npm" + b"js", b"deb.deb" + b"ian"]
    named = [
        name
        for name in listed.split("\0")
        if name and (ROOT / name).is_file() and any(host in (ROOT / name).read_bytes() for host in hosts)
    ]
    assert not named


def _imported_by(code: str) -> set[str]:
    probe = f"{code}\nimport sys\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import streaming.cli", {"dagster", "pandas", "polars", "pyarrow", "aiohttp", "great_expectations"}),
        (
            "import streaming.shell.runtime",
            {"dagster", "pandas", "polars", "duckdb", "great_expectations", "eth_account"},
        ),
        ("import streaming.contracts.tables", {"dagster", "aiohttp", "websockets", "picows"}),
        ("import hip3_platform.definitions", {"great_expectations", "pandas", "picows", "coincurve", "eth_account"}),
    ],
)
def test_startup_imports_only_what_it_needs(code: str, absent: set[str]) -> None:
    assert not _imported_by(code) & absent


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_is_light_and_says_what_it_does(name: str) -> None:
    call = f"main([{name!r}, '--help'])"
    probe = f"from streaming.cli import main\ntry:\n    {call}\nexcept SystemExit as e:\n    assert not e.code"
    imported = _imported_by(probe)
    assert not imported & {"dagster", "great_expectations", "pandas", "polars"}


def test_command_unknown_names_the_known_ones() -> None:
    done = subprocess.run([sys.executable, "-m", "streaming.cli", "trade"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(name in done.stderr for name in COMMANDS)
