"""Reading info requests: fields checked as the venue checks them.

Rule: what is wrong with a request is an exception with a documented answer; `venue.info.answers` turns it into that.
"""

from typing import Any, TypeGuard

from streaming.sim.scenario.universe import VALIDATOR_DEX, Dex, Universe

U64_MAX = 2**64 - 1
Json = Any
"""Whatever JSON holds."""
Request = dict[str, Any]


class BadShapeError(Exception):
    """A field is missing or of the wrong type: HTTP 422."""


class NullError(Exception):
    """An unknown dex, or an unknown coin where the venue looks it up unguarded: HTTP 500 with body `null`."""


def is_address(text: str) -> bool:
    """Tell whether `text` is 0x and 40 hexadecimal digits."""
    return len(text) == 42 and text.startswith("0x") and all(c in "0123456789abcdefABCDEF" for c in text[2:])


def is_u64(value: object) -> TypeGuard[int]:
    """Tell whether a JSON value is a number that an unsigned 64-bit field can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= U64_MAX


def text_field(request: Request, name: str) -> str:
    """Return a text; raises BadShapeError."""
    value = request.get(name)
    if not isinstance(value, str):
        raise BadShapeError
    return value


def user_field(request: Request, name: str = "user") -> str:
    """Return an address in lower case; raises BadShapeError."""
    value = text_field(request, name)
    if not is_address(value):
        raise BadShapeError
    return value.lower()


def int_field(request: Request, name: str) -> int:
    """Return a number that an unsigned 64-bit field can hold; raises BadShapeError."""
    value = request.get(name)
    if not is_u64(value):
        raise BadShapeError
    return value


def optional_int_field(request: Request, name: str) -> int | None:
    """Return an unsigned 64-bit number, or None where it is absent or null; raises BadShapeError."""
    return None if request.get(name) is None else int_field(request, name)


def flag_field(request: Request, name: str) -> bool:
    """Return a flag, False where it is absent or null; raises BadShapeError."""
    value = request.get(name)
    if not isinstance(value, bool | None):
        raise BadShapeError
    return bool(value)


def dex_field(request: Request, universe: Universe) -> Dex:
    """Return the dex a request is about, the validator's without one; raises BadShapeError, NullError."""
    name = VALIDATOR_DEX if request.get("dex") is None else text_field(request, "dex")
    for dex in universe.dexes:
        if dex.name == name:
            return dex
    raise NullError
