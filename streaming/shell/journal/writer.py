"""The journal's writer: the inputs and decisions of each loop turn reach the kernel in one write, before their effects.

Rule 1: `append_*` only buffers; `commit` is the one write. What it returned from survives SIGKILL.
Rule 2: the sync to disk follows in a thread; `sync_lag_ms` says how far behind it is, and nothing waits for it (F-61).
Rule 3: a failed write or sync is never retried as if it could succeed later (F-60). The one exception is a full disk:
    a preallocated reserve is given back so that this turn, which can then say why, is still written (F-58).
Rule 4: files are 0600 in a folder 0700: frames of user channels name our account (F-104).
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from streaming.contracts.paths import journal_folder
from streaming.core.effects import AnyOutput
from streaming.core.errors import InvariantViolation, StoreError
from streaming.core.events import AnyEvent, SpecsReceived
from streaming.core.market import MarketSpec
from streaming.core.state import SessionInfo
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.clock import Clock
from streaming.shell.journal import format as fmt
from streaming.shell.tables.seal import sync_folder

RESERVE_BYTES = 256 * 1024
RESERVE_NAME = "reserve"
_SYNC_PAUSE_S = 0.02
"""Least time between two syncs: a busy feed would otherwise keep the disk in one long flush."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = structlog.get_logger()


class JournalWriter:
    """Append-only stream of one session.

    Args:
        root: The warehouse.
        session: Names the folder; its `config_hash` stands in every segment.
        segment_bytes_max: A segment of this size is closed at the next `roll_if_due`.
        segment_age_s_max: So is one of this age; it bounds how late rows are sealed (L-4).
        clock: The shell's clock.
    """

    def __init__(
        self, root: Path, session: SessionInfo, *, segment_bytes_max: int, segment_age_s_max: float, clock: Clock
    ) -> None:
        self.folder = journal_folder(root, session.venue, session.session_id)
        self.number = 0
        """Of the open segment; the first is 1."""
        self._session = session
        self._bytes_max = segment_bytes_max
        self._age_ns_max = int(segment_age_s_max * NS_PER_S)
        self._clock = clock
        self._config_json = ""
        self._specs: dict[str, MarketSpec] = {}
        self._seq = 0
        self._seq_opened = 0
        self._fd = -1
        self._size = 0
        self._opened_mono_ns = 0
        self._must_roll = False
        self._pending = bytearray()
        self._is_reserve_spent = False
        self._is_unsynced = False
        self._syncer = _Syncer(clock)

    def open(self, snapshot: bytes, config_json: str, specs: Iterable[MarketSpec], *, seq_last: int = 0) -> None:
        """Create the folder and the first segment, durable when this returns.

        Args:
            snapshot: The engine's state before the first input.
            config_json: Canonical effective configuration without secrets.
            specs: Specs in force.
            seq_last: Sequence number of the last input before the first one here.

        Raises:
            StoreError: The warehouse can not be written, or the session id was used before.
        """
        self._config_json = config_json
        self._specs = {spec.coin: spec for spec in specs}
        self._seq = seq_last
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700)
            self._reserve_space()
            self._open_segment(snapshot)
            os.fsync(self._fd)
            for folder in (self.folder, *self.folder.parents[:3]):
                sync_folder(folder)
        except FileExistsError as error:
            raise StoreError(f"session {self._session.session_id} has a journal already: {self.folder}") from error
        except OSError as error:
            raise StoreError(f"expected a warehouse that can be written, found {error} at {self.folder}") from error
        self._syncer.start()

    def append_frame(self, seq: int, generation: int, recv_mono_ns: int, recv_ts_ns: int, raw: bytes) -> None:
        """Buffer a websocket frame as received."""
        self._next(seq)
        fmt.append_frame(self._pending, seq, generation, recv_mono_ns, recv_ts_ns, raw)

    def append_event(self, seq: int, event: AnyEvent) -> None:
        """Buffer any other input."""
        self._next(seq)
        fmt.append_event(self._pending, seq, event)
        if isinstance(event, SpecsReceived):
            self._specs.update({spec.coin: spec for spec in event.specs})

    def append_outputs(self, seq: int, outputs: Sequence[AnyOutput]) -> None:
        """Buffer what was decided on the input just appended; nothing is recorded of an empty list."""
        if seq != self._seq:
            raise InvariantViolation("I-25", seq=seq, seq_of_input=self._seq)
        if outputs:
            fmt.append_outputs(self._pending, seq, list(outputs))

    def commit(self, *, is_urgent: bool = False) -> None:
        """Hand the turn to the kernel in one write.

        Args:
            is_urgent: Something waits for this write only. The sync is begun by the turn's own commit, which follows:
                waking its thread here would have it fight for the interpreter with an order that is being signed.

        Raises:
            StoreError: It could not be written whole, or an earlier sync failed. Nothing may act on this turn.
        """
        self._syncer.raise_error()
        if not self._pending:
            if self._is_unsynced:
                self._sync_soon()
            return
        try:
            self._write(self._pending)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not self._spend_reserve():
                raise StoreError(f"journal {self.folder.name}: {error.strerror} in segment {self.number}") from error
            self._write_again()
        self._pending.clear()
        if is_urgent:
            self._is_unsynced = True
        else:
            self._sync_soon()

    @property
    def sync_lag_ms(self) -> int:
        """Age of the oldest write that is not known to be on disk; 0 when all are."""
        return self._syncer.lag_ms()

    @property
    def is_healthy(self) -> bool:
        """False once the disk was full: only the given-back reserve was left, so entries must stop."""
        return not self._is_reserve_spent

    def set_config(self, config_hash: str, config_json: str) -> None:
        """Let the next segment, which is due at once, carry a changed configuration (reload)."""
        self._session = msgspec.structs.replace(self._session, config_hash=config_hash)
        self._config_json = config_json
        self._must_roll = True

    def roll_if_due(self, now_mono_ns: int, make_snapshot: Callable[[], bytes]) -> bool:
        """Close the segment and begin the next one if it is old or large enough; tell whether it was done.

        Call it between turns, after `commit`: the snapshot must be the state after the last input written.

        Raises:
            StoreError: The next segment can not be created.
        """
        is_old = now_mono_ns - self._opened_mono_ns >= self._age_ns_max
        if self._seq == self._seq_opened or not (self._must_roll or is_old or self._size >= self._bytes_max):
            return False
        self.commit()
        previous = self._fd, fmt.segment_path(self.folder, self.number, fmt.OPEN_SUFFIX)
        try:
            self._open_segment(make_snapshot())
        except OSError as error:
            raise StoreError(f"can not open segment {self.number} of {self.folder}: {error}") from error
        self._must_roll = False
        self._syncer.close_later(*previous)
        self._syncer.wrote(self._fd)
        return True

    def close(self) -> None:
        """Commit, sync and close the last segment; the session's journal is complete afterwards.

        Raises:
            StoreError: Something could not be written or synced.
        """
        self.commit()
        self._syncer.close_later(self._fd, fmt.segment_path(self.folder, self.number, fmt.OPEN_SUFFIX))
        self._syncer.stop()
        self._syncer.raise_error()
        (self.folder / RESERVE_NAME).unlink(missing_ok=True)

    def _sync_soon(self) -> None:
        self._is_unsynced = False
        self._syncer.wrote(self._fd)

    def _next(self, seq: int) -> None:
        if seq != self._seq + 1:
            raise InvariantViolation("I-25", seq=seq, seq_last=self._seq)
        self._seq = seq

    def _write(self, raw: bytearray) -> None:
        count = os.write(self._fd, raw)
        if count != len(raw):
            # Part of a turn must not stay: the next write would stand behind half a record.
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, f"No space left on device, {count} of {len(raw)} bytes written")
        self._size += count

    def _write_again(self) -> None:
        try:
            self._write(self._pending)
        except OSError as error:
            raise StoreError(f"journal {self.folder.name}: {error.strerror}, and the reserve did not help") from error

    def _reserve_space(self) -> None:
        fd = os.open(self.folder / RESERVE_NAME, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        finally:
            os.close(fd)

    def _spend_reserve(self) -> bool:
        if self._is_reserve_spent:
            return False
        self._is_reserve_spent = True
        (self.folder / RESERVE_NAME).unlink(missing_ok=True)
        _log.critical("journal_reserve_spent", segment=self.number, reserve_bytes=RESERVE_BYTES)
        return True

    def _open_segment(self, snapshot: bytes) -> None:
        self.number += 1
        ts_ns, mono_ns = self._clock.ts_ns(), self._clock.mono_ns()
        header = fmt.SegmentHeader(
            number=self.number,
            session=self._session,
            config_json=self._config_json,
            boot_id=_BOOT_ID.read_text().strip(),
            opened_ts_ns=ts_ns,
            opened_mono_ns=mono_ns,
            seq_last=self._seq,
            specs=tuple(self._specs.values()),
            snapshot=snapshot,
        )
        # Made under another name: whoever sees the open segment finds it locked and with its header. The lock is held
        # until the segment is closed, so whoever gets it knows that the writer is gone.
        aside = fmt.segment_path(self.folder, self.number, fmt.NEW_SUFFIX)
        self._fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._size = 0
        raw = bytearray()
        fmt.append_header(raw, header)
        self._write(raw)
        aside.rename(fmt.segment_path(self.folder, self.number, fmt.OPEN_SUFFIX))
        self._opened_mono_ns = mono_ns
        self._seq_opened = self._seq


def _close_segment(fd: int, path: Path) -> None:
    """Sync a finished segment, give it the name of a closed one, and release its lock."""
    os.fdatasync(fd)
    path.rename(path.with_suffix(fmt.CLOSED_SUFFIX))
    sync_folder(path.parent)
    os.close(fd)


class _Syncer:
    """The thread that syncs: it never touches the buffer, and the loop never waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wake = threading.Condition()
        self._finished: list[tuple[int, Path]] = []
        self._fd = -1
        self._dirty_ns: int | None = None
        self._syncing_ns: int | None = None
        self._error: OSError | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)

    def start(self) -> None:
        """Begin to sync."""
        self._thread.start()

    def wrote(self, fd: int) -> None:
        """Note that `fd` holds unsynced bytes."""
        if self._dirty_ns is not None and self._fd == fd:
            return  # noted already, and the thread drops the note before it syncs: its sync will cover this write too
        with self._wake:
            self._fd = fd
            if self._dirty_ns is None:
                self._dirty_ns = self._clock.mono_ns()
                self._wake.notify()

    def close_later(self, fd: int, path: Path) -> None:
        """Sync and close a segment that gets no more writes."""
        with self._wake:
            self._finished.append((fd, path))
            if self._fd == fd:
                self._fd = -1
            self._wake.notify()

    def lag_ms(self) -> int:
        """Age of the oldest unsynced write in ms."""
        with self._wake:
            since = self._dirty_ns if self._syncing_ns is None else self._syncing_ns
        return 0 if since is None else max(0, self._clock.mono_ns() - since) // NS_PER_MS

    def raise_error(self) -> None:
        """Raise what the thread ran into: from then on nothing is known to be durable."""
        if self._error is not None:
            raise StoreError(f"journal could not be synced: {self._error}") from self._error

    def stop(self) -> None:
        """Finish all jobs and end the thread."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except OSError as error:
            self._error = error

    def _turn(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._finished or self._dirty_ns is not None or self._is_stopping)
            finished, self._finished = self._finished, []
            fd, is_last = self._fd, self._is_stopping
            self._syncing_ns, self._dirty_ns = self._dirty_ns, None
        for closing in finished:
            _close_segment(*closing)
        if fd >= 0 and self._syncing_ns is not None:
            os.fdatasync(fd)
        with self._wake:
            self._syncing_ns = None
            # A pause that a segment to close, or the end, cuts short.
            self._wake.wait_for(lambda: bool(self._finished) or self._is_stopping, timeout=_SYNC_PAUSE_S)
            return not is_last or bool(self._finished)
