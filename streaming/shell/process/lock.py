"""One live instance per venue and account (I-30), enforced by the kernel: a lock dies with its process.

The file keeps the holder's pid, so that the message to the second instance can name it. A sidecar and its watchdog run
side by side, so each kind of process has a lease of its own.
"""

import fcntl
import hashlib
import os
from enum import StrEnum
from pathlib import Path
from typing import Self

from streaming.contracts.paths import checked_name, control_folder
from streaming.core.errors import Hip3Error, StoreError


class LeaseKind(StrEnum):
    """What kind of process a lease is for; at most one of each runs for a venue and account."""

    SIDECAR = "sidecar"
    WATCHDOG = "watchdog"


class AlreadyRunning(Hip3Error):
    """Another process holds the lock; nothing was sent by this one (exit 5)."""

    def __init__(self, venue: str, account: str, pid: str, kind: LeaseKind = LeaseKind.SIDECAR) -> None:
        """Keep the `pid` of the holder as text, `unknown` if it could not be read."""
        whom = account or "observe"
        super().__init__(
            f"expected to be the only {kind} for venue {venue} and account {whom}, found pid {pid} holding the lock; "
            f"stop it first (kill -TERM {pid}) or use another warehouse"
        )
        self.pid = pid


def tag_of(venue: str, account: str) -> str:
    """Return venue and account as part of a file name."""
    owner = hashlib.sha256(account.lower().encode()).hexdigest()[:12] if account else "observe"
    return f"{checked_name(venue)}-{owner}"


def _path_of(root: Path, venue: str, account: str, kind: LeaseKind) -> Path:
    middle = "" if kind is LeaseKind.SIDECAR else f".{kind}"
    return control_folder(root) / f"{tag_of(venue, account)}{middle}.lock"


def holder_of(root: Path, venue: str, account: str, kind: LeaseKind = LeaseKind.SIDECAR) -> str | None:
    """Return the pid that holds the lock, None if nobody does; only reads, so no start can stumble over it."""
    path = _path_of(root, venue, account, kind)
    try:
        pid, inode = path.read_text(encoding="ascii").strip(), path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):
        return None
    held = [line.split() for line in locks if "FLOCK" in line and "->" not in line]
    return pid if any(fields[4] == pid and fields[5].endswith(f":{inode}") for fields in held) else None


class InstanceLock:
    """A held flock on `control/<venue>-<account>.lock` (`.watchdog.lock`); use as a context manager."""

    def __init__(self, root: Path, venue: str, account: str, kind: LeaseKind = LeaseKind.SIDECAR) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: If another process holds it.
            StoreError: If the warehouse can not be written.
        """
        self.tag = tag_of(venue, account)
        """Venue and account as part of a file name."""
        self.path = _path_of(root, venue, account, kind)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"expected a warehouse that can be written, found {error.strerror} at {self.path}; "
                "check the folder's owner and free space, or pass --warehouse"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(venue, account, holder or "unknown", kind) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        """Return the held lock."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock; the file stays, so that no two processes lock different inodes."""
        os.close(self._fd)
