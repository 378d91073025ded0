"""Puts the configuration together: defaults < file < `HIP3_*` environment < flags.

Rule 1: an unknown key is refused by its name wherever it stands (F-93); all problems of one source are told at once.
Rule 2: environment and flags may tighten a limit of the file, never widen it (I-32).
Rule 3: numbers are read from their text, never through float.

Environment names: `HIP3_CONTROL_PORT=8790`, `HIP3_LIMITS__GATES__CTX_AGE_MS_MAX=5000`; lists are comma-separated.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from streaming.core.errors import ConfigError
from streaming.core.limits import widened
from streaming.shell.config.schema import Config, problems

DEFAULT_FILE = "hip3.toml"
ENV_PREFIX = "HIP3_"
ENV_NOT_SETTINGS = frozenset({"HIP3_CONFIG", "HIP3_BLACKLIST", "HIP3_CRASHPOINT"})
"""Names with our prefix that are read elsewhere (the second by the platform, the third by `process.crashpoint`)."""
_LISTS = frozenset({"dexes", "coins", "channels", "followup_offsets_ms"})

Overrides = Mapping[str, str]
"""Dotted key → text."""


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """A valid configuration and where each value that is not a default came from."""

    config: Config
    file: Path | None
    sources: dict[str, str]


def load_config(
    path: Path | None, *, flags: Overrides | None = None, environ: Mapping[str, str] | None = None
) -> Effective:
    """Read, merge and check the configuration.

    Args:
        path: The TOML file; None takes `$HIP3_CONFIG`, else `hip3.toml` of the working directory if there is one.
        flags: Values of the command line by dotted key.
        environ: The environment; None is this process's.

    Raises:
        ConfigError: Naming every offending key.
    """
    environ = os.environ if environ is None else environ
    found = _file_of(path, environ)
    tree = _read_toml(found) if found else {}
    base = _convert(tree, where=str(found) if found else "defaults")
    sources = dict.fromkeys(_dotted(tree), f"file {found}")
    _refuse(problems(base), where=str(found) if found else "defaults")
    config = base
    for where, overrides in (("environment", environment_overrides(environ)), ("flag", dict(flags or {}))):
        if not overrides:
            continue
        config = _overlaid(config, overrides, where=where)
        sources.update(dict.fromkeys(overrides, where))
    _refuse(problems(config), where="the effective configuration")
    config = msgspec.structs.replace(config, account=config.account.lower())  # one spelling in journals and locks
    if wider := widened(base.limits, config.limits):
        raise ConfigError(
            "expected environment and flags to tighten limits only (I-32), found wider than the file: "
            + ", ".join(wider)
            + "; change the file instead"
        )
    return Effective(config=config, file=found, sources=sources)


def environment_overrides(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the environment by dotted key."""
    return {
        name.removeprefix(ENV_PREFIX).lower().replace("__", "."): text
        for name, text in sorted(environ.items())
        if name.startswith(ENV_PREFIX) and name not in ENV_NOT_SETTINGS
    }


def effective(loaded: Effective) -> list[tuple[str, str, str]]:
    """Return every key with its value and source (`default`, `file …`, `environment`, `flag`), for printing."""
    tree = msgspec.to_builtins(loaded.config, builtin_types=(Decimal,))
    return [(key, _text(value), _source(loaded.sources, key)) for key, value in _leaves(tree)]


def _source(sources: Mapping[str, str], key: str) -> str:
    while key:
        if key in sources:
            return sources[key]
        key = key.rpartition(".")[0]
    return "default"


def _file_of(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is None and (named := environ.get("HIP3_CONFIG")):
        path = Path(named)
    if path is not None:
        return path
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"expected a readable file, found {error.strerror} at {path}; check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected TOML in {path}, found {str(error)[:150]}; correct that line") from error


def _convert(tree: dict[str, Any], *, where: str, is_text: bool = False) -> Config:
    _refuse(_unknown_keys(tree, Config), where=where)
    try:
        return msgspec.convert(tree, Config, strict=not is_text)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_readable(str(error), tree)}; `hip3 preflight` shows the defaults") from error


def _readable(message: str, tree: Mapping[str, Any]) -> str:
    """Turn msgspec's ``Expected `int` - at `$.control_port` `` into key, expected and found."""
    what, separator, place = message.partition(" - at ")
    if not separator:
        return message
    key = place.strip("`").removeprefix("$.").partition("[")[0]
    found: Any = tree
    expected: Any = Config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
        expected = _field_type(expected, part)
    if choices := _choices(expected):
        what = f"expected one of {', '.join(choices)}"
    return f"{key}: {what[:1].lower()}{what[1:]}, found {str(found)[:60]!r}"


def _field_type(struct: Any, name: str) -> Any:  # noqa: ANN401 - a type form
    is_struct = isinstance(struct, type) and issubclass(struct, msgspec.Struct)
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)} if is_struct else {}
    return fields.get(name)


def _choices(expected: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type form
    """Return the words of a Literal, or of a tuple of them."""
    if get_origin(expected) is Literal:
        return get_args(expected)
    return _choices(get_args(expected)[0]) if get_origin(expected) is tuple else ()


def _unknown_keys(tree: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str = "") -> tuple[str, ...]:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    found: list[str] = []
    for key, value in tree.items():
        if key not in fields:
            found.append(f"{prefix}{str(key)[:60]}: unknown key, expected one of {', '.join(sorted(fields))}")
        elif isinstance(value, dict) and isinstance(fields[key], type) and issubclass(fields[key], msgspec.Struct):
            found.extend(_unknown_keys(value, fields[key], f"{prefix}{key}."))
    return tuple(found)


def _refuse(reasons: Sequence[str], *, where: str) -> None:
    if reasons:
        raise ConfigError(f"{where}: " + "; ".join(reasons))


def _overlaid(config: Config, overrides: Overrides, *, where: str) -> Config:
    tree: dict[str, Any] = msgspec.to_builtins(config, builtin_types=(Decimal,))
    for dotted, text in overrides.items():
        branch = tree
        *parents, leaf = dotted.split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"{where}: {dotted}: unknown key, {parent} holds a value and no table")
        branch[leaf] = _parsed(leaf, text)
    return _convert(tree, where=where, is_text=True)


def _parsed(leaf: str, text: str) -> object:
    if leaf in _LISTS:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "(none)"
    if value in ("", {}):
        return "(none)"
    return str(value)
