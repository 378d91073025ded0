"""The processes of a Dagster that a test has started: to see that none is left, or to see to it."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def processes_of(home: Path) -> list[int]:
    """Return the processes that serve a Dagster home, by their environment."""
    wanted, found = f"DAGSTER_HOME={home}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
    return found


def killed(processes: list[int]) -> list[int]:
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return processes
