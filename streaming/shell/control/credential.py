"""The control API's bearer token: a file only its owner may read.

Whoever can read the file may change things; there is no other authority on this machine (I-36).
"""

import os
import secrets
import stat
from pathlib import Path

from streaming.contracts.control import TOKEN_FILE
from streaming.contracts.paths import control_folder
from streaming.core.errors import ConfigError, StoreError

TOKEN_BYTES = 32


def token_path(root: Path) -> Path:
    """Return where the token of a warehouse lies."""
    return control_folder(root) / TOKEN_FILE


def load_or_create_token(root: Path) -> str:
    """Return the warehouse's token, made at the first start with mode 0600.

    Raises:
        ConfigError: If the file is unsafe (see `read_token`).
        StoreError: If it can not be written.
    """
    path = token_path(root)
    if path.exists():
        return read_token(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"expected to create {path}, found {error.strerror}; check the warehouse's owner") from error
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(TOKEN_BYTES))
    return read_token(root)


def read_token(root: Path) -> str:
    """Return the token.

    Raises:
        ConfigError: If the file is missing, no regular file, not ours, readable by others, or not a token.
    """
    path = token_path(root)
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
