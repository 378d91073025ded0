"""Files that hold a secret, read and made so that nobody else can (F-104, I-34).

Rule 1: a file is opened without following a link and judged by its open descriptor, so nothing can be swapped between
    the check and the read.
Rule 2: read is only a regular file of ours with no permission for anybody else.
Rule 3: a new file has mode 0600 from its first moment, and never takes the place of another.
Rule 4: a refusal names the path and what is wrong with it, never what the file holds.
"""

import os
import stat
from pathlib import Path
from typing import Final

from streaming.core.errors import ConfigError, StoreError

_BYTES_MAX: Final = 64 * 1024
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block us
_APPEND_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_private(path: Path, what: str) -> bytes:
    """Return the content of a file that only we can read.

    Args:
        path: Where it lies.
        what: What it should be, for the message: "the agent key".

    Raises:
        ConfigError: If it is absent, a link, no regular file, another's, open to others, or larger than 64 KiB.
    """
    _refuse_link(path, what)
    try:
        fd = os.open(path, _READ_FLAGS)
    except OSError as error:
        raise ConfigError(
            f"expected {what} at {path}, found {error.strerror}; check the path and the owner of its folder"
        ) from error
    try:
        _refuse_unsafe(fd, path, what)
        content = _read_to_limit(fd)
    finally:
        os.close(fd)
    if len(content) > _BYTES_MAX:
        raise ConfigError(f"expected at most {_BYTES_MAX} bytes of {what} at {path}, found more; name another file")
    return content


def create_private(path: Path, content: bytes, what: str) -> None:
    """Make a file that only we can read, durable when this returns.

    Raises:
        ConfigError: If the path is taken, by a dangling link too, or its folder is absent.
        StoreError: If it can not be written; nothing is left behind.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise ConfigError(
            f"expected no file at {path} for {what}, found one; a key is never overwritten: choose another name"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"expected to create {path} for {what}, found {error.strerror}; make its folder first (mkdir -m 700)"
        ) from error
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)  # a strict umask may have taken our own bits
            file.write(content)
            file.flush()
            os.fsync(fd)
        _sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"expected to write {path}, found {error.strerror}; check the free space") from error


def append_private(path: Path, line: bytes, what: str) -> None:
    """Add one line, durably, to a file that only we can read; it is made when absent.

    Raises:
        ConfigError: As `read_private`.
        StoreError: If it can not be written.
    """
    _refuse_link(path, what)
    try:
        fd = os.open(path, _APPEND_FLAGS, 0o600)
        with os.fdopen(fd, "ab", buffering=0) as file:
            _refuse_unsafe(fd, path, what)
            file.write(line + b"\n")
            os.fsync(fd)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"expected to write {path}, found {error.strerror}; check its owner and free space") from error


def folder_problem(path: Path) -> str | None:
    """Return why others could replace the file at `path` through its folder, or None."""
    folder = path.absolute().parent
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0):
        return f"expected the folder {folder} to be ours or root's, found uid {found.st_uid}; move the key"
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        return (
            f"expected the folder {folder} to be writable for its owner only, found {stat.filemode(found.st_mode)}; "
            "run `chmod go-w` on it"
        )
    return None


def _refuse_link(path: Path, what: str) -> None:
    # O_NOFOLLOW is what protects; this says it in words, because ELOOP reads like something else.
    if path.is_symlink():
        raise ConfigError(f"expected {what} at {path} as a regular file, found a symbolic link; name the file itself")


def _refuse_unsafe(fd: int, path: Path, what: str) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"expected {what} at {path} as a regular file of uid {os.geteuid()} with mode 0600, found uid "
            f"{found.st_uid} and mode {stat.filemode(found.st_mode)}; run `chmod 600` and `chown` on it, and take a "
            "new key if others could read this one"
        )


def _read_to_limit(fd: int) -> bytes:
    content = b""
    while len(content) <= _BYTES_MAX and (part := os.read(fd, _BYTES_MAX)):
        content += part
    return content


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
