"""Limits changed for a replay: `--set detector.edge_bps_min=3`, judged by the same types as the configuration file."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from streaming.core.errors import ConfigError
from streaming.core.limits import Limits


def changed_limits(limits: Limits, settings: Sequence[str]) -> Limits:
    """Return `limits` with settings of the form `section.name=value` applied; a replay may also widen.

    Raises:
        ConfigError: A setting is not of that form, names nothing, or its value is out of bounds.
    """
    if not settings:
        return limits
    tree: dict[str, Any] = msgspec.to_builtins(limits, builtin_types=(Decimal,))
    for setting in settings:
        key, separator, text = setting.partition("=")
        branch: Any = tree
        *parents, leaf = key.strip().removeprefix("limits.").split(".")
        for parent in parents:
            branch = branch.get(parent) if isinstance(branch, dict) else None
        if not separator or not isinstance(branch, dict) or leaf not in branch:
            raise ConfigError(f"--set: expected a limit as detector.edge_bps_min=3, found {setting[:80]!r}")
        is_list = isinstance(branch[leaf], list | tuple)
        branch[leaf] = [item for item in text.split(",") if item] if is_list else text.strip()
    try:
        return msgspec.convert(tree, Limits, strict=False, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise ConfigError(f"--set: {error}") from error
