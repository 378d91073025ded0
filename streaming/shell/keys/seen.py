"""Which agent addresses this operator has made, and which are over: an append-only list beside the keys.

Why this module exists: the venue forgets the nonces of an agent that is replaced or expires, so whatever that agent
ever signed could be replayed if its address became an agent again (F-44, I-04).

Rule 1: an address whose approval was seen to be over is retired for ever; it is neither used nor approved again.
Rule 2: one line an event, appended and synced; nothing is ever taken out.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from streaming.core.errors import ConfigError, StoreError
from streaming.shell.keys.files import append_private, read_private

FILE: Final = "agents.jsonl"
_WHAT: Final = "the list of seen agents"


class Happened(StrEnum):
    """What an event says about an address."""

    MADE = "made"
    RETIRED = "retired"


class SeenEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the list."""

    address: str
    happened: Happened
    ts_ms: int
    replaces: str = ""
    """Address that this one was made to replace."""


class SeenAgents:
    """The list of one folder of keys."""

    def __init__(self, key_file: Path) -> None:
        """Use the list beside `key_file`.

        Raises:
            ConfigError: If the list is open to others.
            StoreError: If a line of it can not be read.
        """
        self.path = key_file.absolute().parent / FILE
        self._events: list[SeenEvent] = []
        if self.path.exists():
            lines = read_private(self.path, _WHAT).splitlines()
            try:
                self._events = [msgspec.json.decode(line, type=SeenEvent) for line in lines]
            except msgspec.MsgspecError as error:
                raise StoreError(
                    f"expected one event a line in {self.path}, found {str(error)[:100]}; repair that line by hand"
                ) from error

    def made_ts_ms(self, address: str) -> int | None:
        """Return when a key was made here, None where that is not known."""
        return next((e.ts_ms for e in self._events if e.address == address and e.happened is Happened.MADE), None)

    def replacement_of(self, address: str) -> str | None:
        """Return the address that was made last to replace `address`."""
        return next((event.address for event in reversed(self._events) if event.replaces == address), None)

    def is_retired(self, address: str) -> bool:
        """Tell whether an address must never be an agent again."""
        return any(event.address == address and event.happened is Happened.RETIRED for event in self._events)

    def refuse_retired(self, address: str) -> None:
        """Raise `ConfigError` for a retired address."""
        if self.is_retired(address):
            raise ConfigError(
                f"expected an agent that was never deregistered, found {address}, retired in {self.path}: the venue "
                "has forgotten its nonces, so what it signed before could be replayed; make one with `hip3 keys new`"
            )

    def add_made(self, address: str, ts_ms: int, *, replaces: str = "") -> None:
        """Note that a key was made; raises `StoreError` if that can not be kept."""
        self._add(SeenEvent(address=address, happened=Happened.MADE, ts_ms=ts_ms, replaces=replaces))

    def retire(self, address: str, ts_ms: int) -> None:
        """Note that an address is no agent any more; once is enough."""
        if not self.is_retired(address):
            self._add(SeenEvent(address=address, happened=Happened.RETIRED, ts_ms=ts_ms))

    def _add(self, event: SeenEvent) -> None:
        append_private(self.path, msgspec.json.encode(event), _WHAT)
        self._events.append(event)
