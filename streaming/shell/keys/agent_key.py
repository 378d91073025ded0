"""Reads and makes the key of an agent: an eth-account keystore, or a raw file of 64 hex digits.

Rule 1: the key leaves this module inside a `Signer` only; nothing prints, logs or returns it (I-34, F-103).
Rule 2: the kind is told by the content: JSON is a keystore, anything else has to be hex.
Rule 3: eth_account is imported only where a keystore is opened or made: it takes a second and nothing else needs it.
"""

import json
import os
import secrets
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import override

from streaming.core.errors import ConfigError
from streaming.core.units import NS_PER_MS
from streaming.hyperliquid.signing import Signer, SigningError
from streaming.shell.keys.files import create_private, read_private
from streaming.shell.keys.password import read_password
from streaming.shell.keys.presignatures import Presignatures
from streaming.shell.keys.seen import SeenAgents

_WHAT: Final = "the agent key"
_KEY_DIGITS: Final = 64


class KeyKind(StrEnum):
    """How a key lies in its file."""

    RAW = "raw"
    KEYSTORE = "keystore"


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about a key file without opening the key."""

    key_file: str
    kind: KeyKind
    address: str
    made_ts_ms: int
    """When it was made here; for a foreign file when it was last written."""
    is_retired: bool
    replacement: str | None
    """Address of the key that was made to replace it."""


class AgentKey:
    """A key in memory; it shows its address only."""

    __slots__ = ("_key", "address", "kind")

    def __init__(self, key: bytes, kind: KeyKind) -> None:
        """Take 32 bytes; raises `SigningError` if they are no key."""
        self._key = key
        self.kind: Final = kind
        self.address: Final = Signer(key, is_mainnet=False).address
        """Lower case."""

    @override
    def __repr__(self) -> str:
        return f"AgentKey({self.address})"

    def signer(self, *, is_mainnet: bool, store: Presignatures | None = None) -> Signer:
        """Return what signs with this key on one network; `store` comes from `presignatures`."""
        return Signer(self._key, is_mainnet=is_mainnet, store=store)

    def presignatures(self, count_max: int) -> Presignatures:
        """Return an empty store for at most so many presignatures of this key."""
        return Presignatures(self._key, count_max)


def load_agent_key(path: Path, password_file: Path | None) -> AgentKey:
    """Return the key that a process trades with.

    Args:
        path: Keystore or raw key.
        password_file: Password of a keystore; None asks at the terminal, and is fine for a raw key.

    Raises:
        ConfigError: If a file is unsafe or holds no key, the password does not open it, or the address is retired.
    """
    key = read_key(path, password_file)
    SeenAgents(path).refuse_retired(key.address)
    return key


def read_key(path: Path, password_file: Path | None) -> AgentKey:
    """Return the key of a file, whatever became of its address; raises `ConfigError` as `load_agent_key`."""
    content = read_private(path, _WHAT)
    if not _is_keystore(content):
        return _raw_key(content, path)
    return _opened(_keystore(content, path), path, read_password(password_file))


def key_facts(path: Path) -> KeyFacts:
    """Return what may be told about a key file; a keystore stays closed.

    Raises:
        ConfigError: If the file is unsafe or holds no key.
    """
    content = read_private(path, _WHAT)
    if _is_keystore(content):
        kind, address = KeyKind.KEYSTORE, _named_address(_keystore(content, path), path)
    else:
        kind, address = KeyKind.RAW, _raw_key(content, path).address
    seen = SeenAgents(path)
    made_ts_ms = seen.made_ts_ms(address)
    return KeyFacts(
        key_file=str(path),
        kind=kind,
        address=address,
        made_ts_ms=path.stat().st_mtime_ns // NS_PER_MS if made_ts_ms is None else made_ts_ms,
        is_retired=seen.is_retired(address),
        replacement=seen.replacement_of(address),
    )


def make_key(path: Path, kind: KeyKind, password_file: Path | None, *, now_ts_ms: int, replaces: str = "") -> AgentKey:
    """Make a new random key in a new file, and note its address in the list of seen agents.

    Args:
        path: Must not exist.
        kind: Raw or keystore.
        password_file: Password of the keystore; None asks at the terminal.
        now_ts_ms: When it is made.
        replaces: Address that it is to replace.

    Raises:
        ConfigError: If the path is taken or the password can not be had.
        StoreError: If it can not be written.
    """
    key = secrets.token_bytes(32)
    agent = AgentKey(key, kind)
    seen = SeenAgents(path)
    if kind is KeyKind.KEYSTORE:
        content = _closed(key, read_password(password_file, is_new=True))
    else:
        content = key.hex().encode() + b"\n"
    create_private(path, content, _WHAT)
    seen.add_made(agent.address, now_ts_ms, replaces=replaces)
    return agent


def next_key_file(path: Path) -> Path:
    """Return the first free name for the key after `path`: `agent-2.json` after `agent.json`, and so on."""
    stem, separator, number = path.stem.rpartition("-")
    if not separator or not number.isdecimal():
        stem, number = path.stem, "1"
    names = (path.with_name(f"{stem}-{n}{path.suffix}") for n in count(int(number) + 1))
    return next(name for name in names if not os.path.lexists(name))


def _is_keystore(content: bytes) -> bool:
    return content.lstrip().startswith(b"{")


def _raw_key(content: bytes, path: Path) -> AgentKey:
    text = content.strip().removeprefix(b"0x")
    try:
        key = bytes.fromhex(text.decode("ascii")) if len(text) == _KEY_DIGITS else b""
        return AgentKey(key, KeyKind.RAW)
    except (ValueError, SigningError):
        raise ConfigError(
            f"expected a private key of {_KEY_DIGITS} hex digits or a keystore in {path}, found other content; make "
            "one with `hip3 keys new`"
        ) from None


def _keystore(content: bytes, path: Path) -> dict[str, object]:
    try:
        keystore = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError(f"expected a keystore in {path}, found no JSON; restore it from your copy") from None
    return dict(keystore)  # what starts with a brace and is JSON is an object


def _named_address(keystore: dict[str, object], path: Path) -> str:
    text = str(keystore.get("address", "")).lower().removeprefix("0x")
    if len(text) != 40 or not set(text) <= set("0123456789abcdef"):
        raise ConfigError(f"expected the address in the keystore {path}, found none; add it, or make a new key")
    return f"0x{text}"


def _opened(keystore: dict[str, object], path: Path, password: str) -> AgentKey:
    from eth_account import Account  # noqa: PLC0415 - rule 3

    try:
        agent = AgentKey(bytes(Account.decrypt(keystore, password)), KeyKind.KEYSTORE)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise ConfigError(
            f"expected the password to open the keystore {path}, found {type(error).__name__}: "
            f"{str(error)[:60]}; check the password, and that the file is an eth-account keystore"
        ) from None
    if agent.address != _named_address(keystore, path):
        raise ConfigError(
            f"expected the keystore {path} to hold the key of the address it names, found another; restore your copy"
        )
    return agent


def _closed(key: bytes, password: str) -> bytes:
    from eth_account import Account  # noqa: PLC0415 - rule 3

    return json.dumps(Account.encrypt(key, password, kdf="scrypt")).encode() + b"\n"
