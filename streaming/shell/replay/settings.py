"""Limits changed for a replay: `--set detector.edge_bps_min=3`, judged by the same types as the configuration file.

Rule 1: every limit may be changed, by the name it has in the configuration file; `limits.` in front may be left out.
Rule 2: the words of a name may stand in another order (`detector.min_edge_bps`) while only one limit has those words.
Rule 3: an entry of a map is named behind it: `gates.disabled_gates.halt=reason`; without a value it is removed.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import msgspec

from streaming.core.errors import ConfigError
from streaming.core.limits import Limits

NEAR_COUNT_MAX = 4
_NEAR_RATIO = 0.55
_SHOWN = 80


def changed_limits(limits: Limits, settings: Sequence[str]) -> Limits:
    """Return `limits` with settings of the form `section.name=value` applied; a replay may also widen.

    Raises:
        ConfigError: A setting is not of that form, names nothing, or its value is out of bounds.
    """
    if not settings:
        return limits
    tree: dict[str, Any] = msgspec.to_builtins(limits, builtin_types=(Decimal,))
    for name, text in map(_split, settings):
        _put(tree, setting_name(name), text)
    try:
        return msgspec.convert(tree, Limits, strict=False, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise ConfigError(f"--set: {error}") from error


def named_settings(settings: Sequence[str]) -> list[str]:
    """Return the settings with the names of the configuration file: what a report says was changed.

    Raises:
        ConfigError: A setting is not of the form `section.name=value`, or names nothing.
    """
    return [f"{setting_name(name)}={text}" for name, text in map(_split, settings)]


def setting_name(name: str) -> str:
    """Return the full name of the limit that `name` means.

    Raises:
        ConfigError: It means none; the names that come near are listed.
    """
    found = name.strip().removeprefix("limits.")
    if found in _NAMES or _is_in_map(found):
        return found
    alike = [known for known in _NAMES if _words(known) == _words(found)]
    if len(alike) == 1:
        return alike[0]
    near = _near(found)
    hint = f"did you mean {' or '.join(near)}?" if near else f"sections are {', '.join(_SECTIONS)}"
    raise ConfigError(f"--set: expected a limit, found {found[:_SHOWN]!r}; {hint}")


def _split(setting: str) -> tuple[str, str]:
    name, separator, text = setting.partition("=")
    if not separator:
        raise ConfigError(f"--set: expected a limit as detector.edge_bps_min=3, found {setting[:_SHOWN]!r}")
    return name, text.strip()


def _put(tree: dict[str, Any], name: str, text: str) -> None:
    section, _, leaf = name.rpartition(".")
    is_entry = name not in _NAMES
    branch = tree
    for part in section.split(".") if section else ():
        branch = branch[part]
    if is_entry and not text:
        branch.pop(leaf, None)
    elif section == "losses.correlation_groups" or isinstance(branch.get(leaf), list | tuple):
        branch[leaf] = [item for item in text.split(",") if item]
    else:
        branch[leaf] = text


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        # An empty map is a limit whose entries an operator names; a filled one is a section.
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


_DEFAULTS = dict(_flat(msgspec.to_builtins(Limits(), builtin_types=(Decimal,))))
_MAPS = tuple(name for name, value in _DEFAULTS.items() if isinstance(value, dict))
_NAMES = tuple(name for name in _DEFAULTS if name not in _MAPS)
_SECTIONS = tuple(dict.fromkeys(name.partition(".")[0] for name in _NAMES if "." in name))


def _is_in_map(name: str) -> bool:
    return any(name.startswith(f"{each}.") and len(name) > len(each) + 1 for each in _MAPS)


def _words(name: str) -> list[str]:
    section, _, leaf = name.rpartition(".")
    return [section, *sorted(leaf.split("_"))]


def _near(name: str) -> list[str]:
    known = (*_NAMES, *(f"{each}.NAME" for each in _MAPS))
    whole = get_close_matches(name, known, n=NEAR_COUNT_MAX, cutoff=_NEAR_RATIO)
    leaf = name.rpartition(".")[2]
    by_leaf = [each for each in known if each.rpartition(".")[2] == leaf]
    return list(dict.fromkeys([*by_leaf, *whole]))[:NEAR_COUNT_MAX]
