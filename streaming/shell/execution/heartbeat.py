"""The engine's sign of life: a small mapped file that the watchdog reads.

Why this module exists: a process may be alive and its loop stuck, so it is the step loop itself that beats. A beat is
one store into mapped memory: no system call, nothing that a full or slow disk could hold up.

Rule 1: stamps are CLOCK_BOOTTIME and hold for one boot only, so the boot's id stands beside them.
Rule 2: what is read while it is written is seen as such: the stamp stands twice, the second time inverted; names that
are not whole are no beat.
Rule 3: an orderly end with a flat account says so; a file that just stops beating belongs to a process that died, hangs
or left a position, and the watchdog takes over.
Rule 4: markets that are watched only to be left stand in the file: the watchdog's own configuration may name their dex
no more, and must not be what keeps it from closing them.
"""

import mmap
import os
import struct
from enum import IntEnum
from pathlib import Path
from uuid import UUID

import msgspec

from streaming.contracts.paths import checked_name, control_folder
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_MS

BEAT_NS_MIN = 100 * NS_PER_MS
"""Beats that follow closer are left out."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAGIC = b"hip3hb01"
_HEAD = struct.Struct("=8s16sQQ64s")
"""Magic, boot, state, pid, session."""
_BEAT = struct.Struct("@QQQ")
"""mono_ns, seq, inverted mono_ns: aligned and in machine order, so each is one store."""
_BEAT_OFFSET = 128
_COINS_OFFSET = 256
"""A file of an older build ends here; its sidecar lives, and must not be taken for dead."""
_SIZE = 4_096
_STATE_OFFSET = 24
_STATE = struct.Struct("=Q")
_U64_MAX = 2**64 - 1
_READ_COUNT_MAX = 8
_decode_coins = msgspec.json.Decoder(tuple[str, ...]).decode


class BeatState(IntEnum):
    """Whether somebody is supposed to beat."""

    RUNNING = 1
    ENDED = 2
    """In order, and flat."""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    boot_id: str
    state: BeatState
    pid: int
    session_id: str
    mono_ns: int
    """CLOCK_BOOTTIME of the last beat."""
    seq: int
    """Last input that the engine had stepped."""
    exit_only_coins: tuple[str, ...] = ()
    """Markets that are watched only to be left."""


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def heartbeat_path(root: Path, tag: str) -> Path:
    """Return where the heartbeat of a venue and account lies; `tag` is `InstanceLock.tag`."""
    return control_folder(root) / f"{checked_name(tag)}.heartbeat"


class Heartbeat:
    """The writing side: one running sidecar, which holds the instance lock."""

    def __init__(
        self, root: Path, tag: str, *, session_id: str, mono_ns: int, exit_only_coins: tuple[str, ...] = ()
    ) -> None:
        """Take the file over and beat once.

        Raises:
            StoreError: If it can not be made, or the names do not fit in.
        """
        path = heartbeat_path(root, tag)
        coins = msgspec.json.encode(exit_only_coins)
        if len(coins) > _SIZE - _COINS_OFFSET:
            raise StoreError(
                f"expected markets to leave whose names fit into {_SIZE - _COINS_OFFSET} bytes of {path}, found "
                f"{len(exit_only_coins)}; close some by hand"
            )
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _SIZE)  # a hole could not be filled on a full disk: SIGBUS
                self._map = mmap.mmap(fd, _SIZE)
            finally:
                os.close(fd)
            boot = UUID(boot_id()).bytes
        except OSError as error:
            raise StoreError(f"expected to keep {path}, found {error.strerror}; check the warehouse") from error
        self._map[_COINS_OFFSET:] = coins.ljust(_SIZE - _COINS_OFFSET, b"\0")
        self._beaten_mono_ns = mono_ns
        _BEAT.pack_into(self._map, _BEAT_OFFSET, mono_ns, 0, mono_ns ^ _U64_MAX)
        _HEAD.pack_into(self._map, 0, _MAGIC, boot, BeatState.RUNNING, os.getpid(), session_id.encode())

    def beat(self, mono_ns: int, seq: int) -> None:
        """Say that the engine has stepped input `seq`; call it at the end of every turn."""
        if mono_ns - self._beaten_mono_ns >= BEAT_NS_MIN:
            self._beaten_mono_ns = mono_ns
            _BEAT.pack_into(self._map, _BEAT_OFFSET, mono_ns, seq, mono_ns ^ _U64_MAX)

    def end(self) -> None:
        """Say that nobody beats any more and that nothing is left to protect: call it only when the account is flat."""
        _STATE.pack_into(self._map, _STATE_OFFSET, BeatState.ENDED)

    def close(self) -> None:
        """Let go of the file; without `end` the watchdog takes over."""
        self._map.close()


def read_heartbeat(root: Path, tag: str) -> Beat | None:
    """Return what the heartbeat says; None if there never was one.

    Raises:
        StoreError: If it can not be read, or is none.
    """
    path = heartbeat_path(root, tag)
    for _ in range(_READ_COUNT_MAX):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"expected to read {path}, found {error.strerror}; check its owner") from error
        if len(raw) < _COINS_OFFSET or raw[: len(_MAGIC)] != _MAGIC:
            break
        mono_ns, seq, inverted = _BEAT.unpack_from(raw, _BEAT_OFFSET)
        coins = _coins_of(raw)
        if mono_ns ^ _U64_MAX == inverted and coins is not None:
            _, boot, state, pid, session = _HEAD.unpack_from(raw)
            return Beat(
                boot_id=str(UUID(bytes=boot)),
                state=BeatState.ENDED if state == BeatState.ENDED else BeatState.RUNNING,
                pid=pid,
                session_id=session.rstrip(b"\0").decode(errors="replace"),
                mono_ns=mono_ns,
                seq=seq,
                exit_only_coins=coins,
            )
    raise StoreError(f"expected a heartbeat in {path}, found other content; restart the sidecar, which makes it anew")


def _coins_of(raw: bytes) -> tuple[str, ...] | None:
    """Return the markets that a file names; None while they are being written, or if it is something else."""
    written = raw[_COINS_OFFSET:].rstrip(b"\0")
    try:
        return _decode_coins(written) if written else ()
    except msgspec.DecodeError:
        return None
