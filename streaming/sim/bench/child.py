"""Children of a bench: started with a clean environment, spoken to in lines, ended by their id.

Rule 1: no child outlives the block that started it: SIGTERM, then SIGKILL after a time. If the bench itself is killed,
the kernel kills its children: one that stands still would never hear of anything milder.
Rule 2: what a child says on stderr is kept in a file and shown only when it failed.
Rule 3: settings of the caller's environment (`HIP3_*`, proxies) reach no child: a figure depends on its options alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from streaming.core.errors import ConfigError, Hip3Error

END_S = 15.0
_EXIT_S = 2.0
_TAIL_BYTES = 2_000
_DROPPED = ("hip3_", "http_proxy", "https_proxy", "all_proxy")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

CLIENTS = Path(__file__).parent / "clients"


class ChildFailed(Hip3Error):
    """A child of the bench ended or said something else than expected; the text has the end of its stderr."""


class Child:
    """One running child."""

    def __init__(self, process: "subprocess.Popen[bytes]", stderr: IO[bytes], name: str) -> None:
        """Speak with `process`."""
        self._process = process
        self._stderr = stderr
        self._name = name

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def say(self, line: str) -> None:
        """Write one line to its stdin."""
        if self._process.stdin is None or not self.is_running:
            raise self.failure("expected a child that listens")
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> bytes:
        """Return its next line of stdout.

        Raises:
            ChildFailed: It ended instead.
        """
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_S)  # it closed its stdout a moment before it ends
            raise self.failure("expected a line on stdout")
        return line

    def failure(self, expected: str) -> ChildFailed:
        """Return the error that says what was expected, with the end of the child's stderr."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _TAIL_BYTES))
        tail = self._stderr.read().decode(errors="replace").strip()
        return ChildFailed(f"{self._name}: {expected}, found exit code {self._process.poll()}: {tail or 'no words'}")

    def rest(self) -> None:
        """Let it stand still until it wakes."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it, in good order if it can."""
        if self.is_running:
            self._process.terminate()
            self.wake()  # else it would never hear of its end
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def started(name: str, words: Sequence[str], *, cwd: Path | None = None) -> Iterator[Child]:
    """Start `words` as a child that is ended with the block; `name` is what errors call it."""
    environment = {key: value for key, value in os.environ.items() if not key.lower().startswith(_DROPPED)}
    environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1"
    with TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=cwd, env=environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls one C function
        )  # fmt: skip
        child = Child(process, stderr, name)
        try:
            yield child
        finally:
            child.end()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def own_client(script: str) -> list[str]:
    """Return the words that run a client in our own environment."""
    return [sys.executable, str(CLIENTS / script)]


def peer_client(peers: Path, environment: str, script: str) -> list[str]:
    """Return the words that run a client in the environment of a peer.

    Args:
        peers: Folder of the peers' environments.
        environment: Its name there.
        script: File name below `clients`.

    Raises:
        ConfigError: The environment is not there.
    """
    python = peers / environment / "bin" / "python"
    if not python.exists():
        raise ConfigError(f"expected the peer's environment {python}, found none; `make peers` builds it, see --peers")
    return [str(python.absolute()), "-E", str(CLIENTS / script)]  # -E: no settings of our Python
