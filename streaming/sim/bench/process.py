"""What a process used of a core, from `/proc`: its own time, and that of its children apart."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _USER_TIME, _SYSTEM_TIME = 1, 11, 12
"""Positions behind the command's name, which may hold anything and ends with the last bracket."""


def cpu_s(pid: int) -> float:
    """Return the seconds of a core that a process has used, all its threads together; 0 when it is gone."""
    fields = _fields(pid)
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICKS_PER_S if fields else 0.0


def children_of(pid: int) -> list[int]:
    """Return the ids of the living children of a process."""
    ids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [each for each in ids if (fields := _fields(each)) and int(fields[_PARENT]) == pid]


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
