"""The password of a keystore: from a file only we can read, or typed at a terminal.

Rule: never from the environment (inherited, and visible in /proc) and never from the command line (visible in `ps`).
"""

import getpass
import os
from pathlib import Path

from streaming.core.errors import ConfigError
from streaming.shell.keys.files import read_private

_LENGTH_MIN = 8


def read_password(password_file: Path | None, *, is_new: bool = False) -> str:
    """Return the password; one that is typed for a new keystore is asked for twice.

    Raises:
        ConfigError: If the file can not be used, there is no terminal to ask at, or the password is too short.
    """
    password = _from_file(password_file) if password_file is not None else _typed(is_new=is_new)
    if is_new and len(password) < _LENGTH_MIN:
        raise ConfigError(f"expected a password of at least {_LENGTH_MIN} characters, found fewer; choose a longer one")
    return password


def _from_file(path: Path) -> str:
    try:
        text = read_private(path, "the keystore's password").decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigError(f"expected text in UTF-8 in {path}, found other bytes; write the password again") from None
    if not text:
        raise ConfigError(f"expected a password in {path}, found nothing; write one line into it")
    return text


def _typed(*, is_new: bool) -> str:
    # getpass would fall back to reading standard input with echo; a password is not typed there.
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise ConfigError(
            "expected a terminal to type the keystore's password at, found none; pass --password-file with a file of "
            "mode 0600"
        ) from None
    password = getpass.getpass("password of the keystore: ")
    if is_new and getpass.getpass("once more: ") != password:
        raise ConfigError("expected the same password twice, found two; try again")
    return password
