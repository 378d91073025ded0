"""Child processes of `hip3 up`: each leads its own group, ends with us, and is verified gone."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hip3_platform.cli.plan import StageFailed

PR_SET_PDEATHSIG = 1
POLL_S = 0.05
MARK = "_HIP3_UP_MARK"
"""Environment variable that every descendant inherits, so that none can hide in a group or session of its own."""


def _end_with_parent() -> None:
    # If `hip3 up` is killed, the kernel sends its children SIGTERM; SIGINT and SIGTERM get their defaults back,
    # because a shell's `&` would otherwise hand down "ignored" and nothing could end them.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass
class Child:
    """A started process with the log its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    is_task: bool
    """A task ends by itself, a service must not."""

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the child's log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:]) if self.log.exists() else ""


@dataclass
class Children:
    """Everything `hip3 up` started, ended in reverse order."""

    logs: Path
    mark: str
    """Value of `MARK` in the environment of everything started here."""
    started: list[Child] = field(default_factory=list)

    def start(
        self, name: str, words: Sequence[str], *, env: Mapping[str, str], cwd: Path, is_task: bool = False
    ) -> Child:
        """Start a child; its output goes to `<logs>/<name>.log`, a task's progress to our stderr."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                words,
                env={**env, MARK: self.mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=None if is_task else sink,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no threads run yet when children start
            )
        child = Child(name, process, log, is_task)
        self.started.append(child)
        return child

    def call(self, name: str, words: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> bytes:
        """Run a short command to its end and return what it printed; raises StageFailed unless it succeeded."""
        child = self.start(name, words, env=env, cwd=cwd, is_task=True)
        if code := child.process.wait():
            raise StageFailed(f"{name} ended with exit code {code}\n{child.last_lines()}")
        return child.log.read_bytes()

    def end(self, child: Child, patience_s: float) -> int | None:
        """Ask one child to stop, as a supervisor would, and return its exit code; None if it did not end in time."""
        child.is_task = True  # from now on it may end
        _signal_process(child.process.pid, signal.SIGTERM)
        try:
            return child.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def dead(self) -> Child | None:
        """Return a service that has ended although nobody asked it to, if any."""
        return next((c for c in self.started if not c.is_task and c.process.poll() is not None), None)

    def end_all(self, patience_s: float = 12.0) -> list[int]:
        """Ask every child to stop, then insist; return the ids of processes that still live (none, by design)."""
        for child in reversed(self.started):
            _signal_group(child.process.pid, signal.SIGTERM)
        if self._wait_until_gone(patience_s):
            for pid in self.descendants():
                _signal_process(pid, signal.SIGKILL)
            self._wait_until_gone(2.0)
        return self.descendants()

    def _wait_until_gone(self, patience_s: float) -> list[int]:
        deadline = time.monotonic() + patience_s
        while (living := self.descendants()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return living

    def descendants(self) -> list[int]:
        """Return the ids of all living processes that carry our mark."""
        for child in self.started:
            child.process.poll()  # reap, so that a zombie does not count as alive
        wanted = f"{MARK}={self.mark}".encode()
        return [
            int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, wanted)
        ]


def _carries(entry: Path, wanted: bytes) -> bool:
    try:
        return int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False  # gone meanwhile, or not ours


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def _signal_process(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
