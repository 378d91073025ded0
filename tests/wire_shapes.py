"""Shapes of wire bodies: which keys there are and what kind of value each holds, without the values.

Rule 1: a list has one shape, that of all its elements together; an empty one says nothing.
Rule 2: null and "not there" say nothing about the kind of a value, so only keys are compared there.
Rule 3: a map (keys are names of coins, not of fields) is compared by its values: `MAPS` names them.
"""

import re
from collections.abc import Iterator
from typing import Any

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
_HEX = re.compile(r"0x[0-9a-f.…]*", re.IGNORECASE)
Json = Any
"""Whatever JSON holds."""
MAPS = ("allMids", "mids")


def kind_of(value: Json) -> str:
    """Return the kind of a scalar."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if _NUMBER.fullmatch(value):
        return "decimal text"
    return "hex text" if _HEX.fullmatch(value) else "text"


def differences(recorded: Json, ours: Json, path: str = "") -> Iterator[str]:
    """Yield every difference of shape as `path: what`."""
    yield from _compare([recorded], [ours], path)


def _compare(recorded: list[Json], ours: list[Json], path: str) -> Iterator[str]:
    recorded, ours = ([value for value in values if value is not None] for values in (recorded, ours))
    if not recorded or not ours:
        return
    outer, inner = {_container(value) for value in recorded}, {_container(value) for value in ours}
    if outer != inner:
        yield f"{path}: recorded {_names(outer)}, ours {_names(inner)}"
    elif outer == {"object"} and path.rpartition(".")[2] in MAPS:
        values = ([value for each in side for value in each.values()] for side in (recorded, ours))
        yield from _compare(*values, f"{path}.*")
    elif outer == {"object"}:
        yield from _compare_objects(recorded, ours, path)
    elif outer == {"list"}:
        yield from _compare([v for vs in recorded for v in vs], [v for vs in ours for v in vs], f"{path}[]")
    elif outer == {"scalar"}:
        kinds, our_kinds = {kind_of(value) for value in recorded}, {kind_of(value) for value in ours}
        if not our_kinds <= kinds:
            yield f"{path}: recorded {_names(kinds)}, ours {_names(our_kinds)}"
    else:
        # A mixed list, such as a pair of a name and an object: compare each kind of member by itself.
        for kind in sorted(outer):
            yield from _compare(
                [v for v in recorded if _container(v) == kind], [v for v in ours if _container(v) == kind], path
            )


def _compare_objects(recorded: list[dict[str, Json]], ours: list[dict[str, Json]], path: str) -> Iterator[str]:
    keys, our_keys = ({key for value in values for key in value} for values in (recorded, ours))
    for key in sorted(keys - our_keys):
        yield f"{path}.{key}: only recorded"
    for key in sorted(our_keys - keys):
        yield f"{path}.{key}: only ours"
    for key in sorted(keys & our_keys):
        yield from _compare([v.get(key) for v in recorded], [v.get(key) for v in ours], f"{path}.{key}")


def _container(value: Json) -> str:
    return "object" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"


def _names(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))
