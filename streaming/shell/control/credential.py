"""The control API's bearer tokens: files only their owner may read.

Whoever can read a file may change things; there is no other authority on this machine (I-36). The operator's token may
use every verb; the platform's may only push rotations, lower the phase and stop, so that no mistake of a sensor can
raise, arm or reset anything.
"""

import os
import secrets
import stat
from pathlib import Path

from streaming.contracts.control import PLATFORM_TOKEN_FILE, TOKEN_FILE
from streaming.contracts.paths import control_folder
from streaming.core.errors import ConfigError, StoreError

TOKEN_BYTES = 32


def token_path(root: Path, name: str = TOKEN_FILE) -> Path:
    """Return where a token of a warehouse lies."""
    return control_folder(root) / name


def load_or_create_platform_token(root: Path) -> str:
    """Return the platform's token; raises what `load_or_create_token` does."""
    return load_or_create_token(root, PLATFORM_TOKEN_FILE)


def load_or_create_token(root: Path, name: str = TOKEN_FILE) -> str:
    """Return a token of the warehouse, the operator's unless named, made at the first start with mode 0600.

    Raises:
        ConfigError: If the file is unsafe (see `read_token`).
        StoreError: If it can not be written.
    """
    path = token_path(root, name)
    if path.exists():
        return read_token(root, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"expected to create {path}, found {error.strerror}; check the warehouse's owner") from error
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(TOKEN_BYTES))
    return read_token(root, name)


def read_token(root: Path, name: str = TOKEN_FILE) -> str:
    """Return a token, the operator's unless named.

    Raises:
        ConfigError: If the file is missing, no regular file, not ours, readable by others, or not a token.
    """
    path = token_path(root, name)
    try:
        found = path.lstat()
    except OSError as error:
        raise ConfigError(
            f"expected the control token at {path}, found {error.strerror}; start `hip3 run` with this warehouse "
            "first, or pass --warehouse"
        ) from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"expected {path} to be a regular file of uid {os.geteuid()} with mode 0600, found uid {found.st_uid} and "
            f"mode {stat.filemode(found.st_mode)}; run `chmod 600` on it, or remove it to get a new one"
        )
    token = path.read_text(encoding="ascii", errors="replace").strip()
    if len(token) != 2 * TOKEN_BYTES or not token.isalnum():
        raise ConfigError(
            f"expected {2 * TOKEN_BYTES} hex digits in {path}, found other content; remove it to get a new one"
        )
    return token
