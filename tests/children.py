"""Starts `hip3` commands as children for tests of whole processes, and ends every one of them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HIP3 = (sys.executable, "-m", "streaming.cli")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HIP3_")}


def hip3(*words: str, cwd: Path | None = None, timeout_s: float = 30) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*HIP3, *words], capture_output=True, text=True, check=False, timeout=timeout_s, cwd=cwd, env=ENVIRONMENT
    )


class Running:
    """A child that said where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", said: dict[str, Any]) -> None:
        self.process = process
        self.said = said

    @property
    def url(self) -> str:
        return str(self.said["control_url"])

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as response:
            return str(response.read().decode())

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def log(self) -> list[dict[str, Any]]:
        """Return the log lines of a child that has ended."""
        assert self.process.stderr is not None
        return [json.loads(line) for line in self.process.stderr.read().splitlines() if line.startswith("{")]


@contextmanager
def running(
    *words: str, cwd: Path | None = None, prefix: Sequence[str] = (), program: Sequence[str] = HIP3
) -> Iterator[Running]:
    """Start a command with `--json` and yield once it has said where it listens."""
    process = subprocess.Popen(
        [*prefix, *program, *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(10)
            assert process.stderr is not None
            raise AssertionError(f"exit {process.returncode}: {process.stderr.read()[-2_000:]}")
        yield Running(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
