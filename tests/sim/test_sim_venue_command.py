import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streaming.cli import main

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "docs" / "scenario.example.toml"


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    command = [sys.executable, "-m", "streaming.cli", "venue", *options, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def asked(url: object, body: object | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(str(url), data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_venue_serves_a_file_with_its_markets_and_faults_and_ends_on_ctrl_c() -> None:
    with serving("--scenario", str(EXAMPLE)) as (process, facts):
        assert set(facts) >= {"info", "exchange", "ws", "admin", "port", "seed", "scenario"}
        dexes = asked(facts["info"], {"type": "perpDexs"})
        assert [dex and dex["name"] for dex in dexes] == [None, "xyz", "mine"]  # type: ignore[attr-defined]
        meta = asked(facts["info"], {"type": "meta", "dex": "mine"})
        assert [entry["name"] for entry in meta["universe"]] == ["mine:WIDGET"]  # type: ignore[index]
        faults = asked(facts["admin"])
        assert [fault["kind"] for fault in faults["faults"]] == ["halt", "duplicate"]  # type: ignore[index]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")


def test_verb_serve_keeps_options_before_and_behind_it() -> None:
    with serving("--seed", "3", "serve", "--scenario", "demo") as (process, facts):
        assert (facts["seed"], facts["scenario"]) == (3, "demo")
        process.terminate()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--scenario", "moon"], "--scenario: expected one of"),
        (["--scenario", "no/such.toml"], "expected a readable file"),
        (["--speed", "2"], "--speed: expected together with --replay"),
        (["--replay", "no/such"], "--replay: expected the journal folder of a session, found none at no/such"),
        (["--replay", ".", "--scenario", "demo"], "--replay: expected without --scenario"),
        (["--replay", ".", "--speed", "0"], "--speed: expected 0.01 to 1000, found 0"),
        (["--replay", ".", "--speed", "nan"], "--speed: expected 0.01 to 1000, found nan"),
    ],
)
def test_impossible_options_are_refused_by_name(
    options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["venue", "--port", "0", *options]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_impossible_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["venue", "--port", port])
    assert "expected 0-65535" in capsys.readouterr().err


def test_bad_file_is_refused_with_file_and_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(EXAMPLE.read_text().replace("touch_usd = 8e3", "touch_usd = -8"))
    assert main(["venue", "--port", "0", "--scenario", str(path)]) == 2
    assert f"{path}: markets[0].touch_usd: expected `float` > 0.0, found '-8'" in capsys.readouterr().err


def test_occupied_port_is_named() -> None:
    with serving() as (_, facts):
        assert main(["venue", "--port", str(facts["port"])]) == 6


@pytest.mark.parametrize("verb", ["truth", "calibrate", "serve"])
def test_verbs_explain_themselves(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["venue", verb, "--help"])
    assert "--scenario" in capsys.readouterr().out
