"""High-water mark of an agent's nonces on disk: no restart and no stepped clock uses a nonce twice (I-04).

Why this module exists: nonces are wall-clock milliseconds, so a clock that was set back before a restart would hand out
old ones. The mark is reserved ahead in blocks, which makes the hot path one comparison and no write.

Rule 1: a nonce above the mark on disk is not used; the mark is raised ahead of need, in a thread, by `keep`.
Rule 2: one process an agent: the file is locked while it is open, and belongs to one program for ever, so that a
watchdog can not run on the sidecar's key.
Rule 3: a mark that can not be read, or is another agent's, refuses the start: guessing a floor is what it is there to
prevent.
Rule 4: a new file is written aside, synced and renamed; afterwards its one record is overwritten in place and synced,
which a full disk still allows: exits must go on then (F-58). The record lies inside one sector, so it is never torn.
"""

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

import msgspec

from streaming.contracts.paths import checked_name, control_folder
from streaming.core.errors import ConfigError, StoreError
from streaming.core.units import NS_PER_MS
from streaming.shell.clock import Clock
from streaming.shell.telemetry.logs import get_logger

BLOCK_MS = 60_000
"""How far ahead of what is used the mark is raised; a restart may have to skip as much."""
RENEW_MS = 30_000
"""The mark is raised once less than this is left."""
CHECK_S = 1.0

_RECORD_BYTES = 256


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{40}$")]
    program: str
    mark: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class NonceMark:
    """The mark of one agent; use as a context manager, or `close` it."""

    def __init__(self, root: Path, agent: str, *, program: str, clock: Clock) -> None:
        """Open the mark, made if this agent is new here, and reserve the first block.

        Args:
            root: The warehouse.
            agent: Address of the signer, lower case.
            program: `sidecar` or `watchdog`: who this agent signs for.
            clock: Dates the block.

        Raises:
            ConfigError: Another process has this agent, or it belongs to the other program.
            StoreError: The mark can not be read or written.
        """
        self._agent = agent
        self._program = program
        self._clock = clock
        self._path = control_folder(root) / f"nonce-{checked_name(agent)}.mark"
        self._writing = threading.Lock()
        self._fd = self._opened()
        self._log = get_logger(component="nonce_mark")
        try:
            self.floor = self._read().mark
            """Highest nonce that may have been used before this start."""
            self.limit = self.floor
            """Highest nonce that may be used now."""
            self.renew(self.floor)
        except (ConfigError, StoreError):
            self.close()
            raise

    def renew(self, used: int) -> None:
        """Raise the mark ahead of `used` and of the clock, durably; does nothing while enough is left.

        Raises:
            StoreError: It could not be written; `limit` stays.
        """
        needed = max(used, self._clock.ts_ns() // NS_PER_MS)
        if self.limit - needed < RENEW_MS:
            self._write(needed + BLOCK_MS)
            self.limit = needed + BLOCK_MS

    async def keep(self, used: Callable[[], int]) -> None:
        """Raise the mark ahead of need until cancelled; a disk that refuses is tried again, and said once.

        Args:
            used: Returns the highest nonce handed out so far.
        """
        is_failing = False
        while True:
            try:
                await asyncio.to_thread(self.renew, used())
                is_failing = False
            except StoreError as error:
                if not is_failing:
                    self._log.critical("nonce_mark_not_kept", error=str(error), action="free or repair the disk")
                is_failing = True
            await asyncio.sleep(CHECK_S)

    def close(self) -> None:
        """Let another process have the agent."""
        with self._writing:  # a write that `keep` left in its thread must not meet another file's descriptor
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Return the open mark."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _opened(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._path.exists():
                self._create()
            fd = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"expected to open {self._path}, found {error.strerror}; check the warehouse") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError(
                f"expected to be the only process that signs with {self._agent}, found another; every process needs "
                "an agent key of its own: make one with `hip3 keys new`"
            ) from error
        return fd

    def _create(self) -> None:
        """Make the file whole or not at all; of two that try at once, one wins and the lock decides between them."""
        aside = self._path.with_suffix(f".{os.getpid()}.tmp")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, self._encoded(0), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(aside, self._path)
        except FileExistsError:
            pass  # another process was first
        finally:
            aside.unlink()
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> _Record:
        raw = os.pread(self._fd, _RECORD_BYTES + 1, 0)
        try:
            record = msgspec.json.decode(raw, type=_Record)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"expected the nonces used so far in {self._path}, found {str(error)[:100]}; do not delete it: take a "
                "new agent key (`hip3 keys rotate`)"
            ) from error
        if record.agent != self._agent:
            raise StoreError(f"expected the mark of {self._agent} in {self._path}, found that of {record.agent}")
        if record.program != self._program:
            raise ConfigError(
                f"expected an agent of the {self._program}'s own, found {self._agent}, which is the "
                f"{record.program}'s; make another with `hip3 keys new`"
            )
        return record

    def _write(self, mark: int) -> None:
        try:
            with self._writing:
                os.pwrite(self._fd, self._encoded(mark), 0)
                os.fdatasync(self._fd)
        except OSError as error:
            raise StoreError(f"expected to write {self._path}, found {error.strerror}; check the disk") from error

    def _encoded(self, mark: int) -> bytes:
        return msgspec.json.encode(_Record(self._agent, self._program, mark)).ljust(_RECORD_BYTES)
