"""Words of `hip3 bench` that other packages bring."""

import argparse
import json
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from streaming.sim.commands import bench


def brought() -> ModuleType:
    """A word of another package: doubles what it is given."""
    module = ModuleType("a_word")
    module.HELP = "doubles"  # type: ignore[attr-defined]
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int)  # type: ignore[attr-defined]
    module.measured = lambda args, _tell: {"double": 2 * args.number, "problems": ["odd"] * (args.number % 2)}  # type: ignore[attr-defined]
    return module


@pytest.fixture
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a_word", brought())
    points = [EntryPoint("twice", "a_word", bench.GROUP), EntryPoint("absent", "not_installed_here", bench.GROUP)]
    monkeypatch.setattr(bench, "entry_points", lambda group: points if group == bench.GROUP else [])
    monkeypatch.setattr("signal.signal", lambda *_: None)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(words))


@pytest.mark.usefixtures("_words")
def test_a_word_of_another_package_has_its_options_and_the_exit_code_of_its_problems(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("twice", "--number", "4", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"double": 8, "problems": []}
    assert run("twice", "--number", "3") == 1
    assert "hip3 bench: odd" in capsys.readouterr().err


@pytest.mark.usefixtures("_words")
def test_a_word_whose_package_is_not_installed_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("absent")
    assert "invalid choice: 'absent'" in capsys.readouterr().err
