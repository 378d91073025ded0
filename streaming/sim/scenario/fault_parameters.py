"""Parameters of faults: their defaults and bounds, and the check of a fault that somebody wrote down.

Rule: an error names the key and says what was expected and what was found, in a file as over the admin endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind; the default says its type."""

    name: str
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()

    def problem(self, value: object) -> str | None:
        """Say what is wrong with a value, or return None."""
        if self.choices:
            is_choice = any(type(value) is type(choice) and value == choice for choice in self.choices)
            return None if is_choice else f"expected one of {', '.join(map(str, self.choices))}, found {value!r}"
        if not self._is_typed(value):
            return f"expected {self.type_name}, found {value!r}"
        if isinstance(value, bool | str) or not isinstance(value, int | float):
            return None
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            return f"expected {self.bounds}, found {value!r}"
        return None

    @property
    def type_name(self) -> str:
        """Name of its type as people say it."""
        return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[type(self.default)]

    @property
    def bounds(self) -> str:
        """What a value may be, as text."""
        if self.choices:
            return ", ".join(
                str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in self.choices
            )
        if self.low is None and self.high is None:
            return self.type_name
        if self.low is None or self.high is None:
            return f"at least {self.low}" if self.high is None else f"at most {self.high}"
        return f"{self.low} to {self.high}"

    def _is_typed(self, value: object) -> bool:
        if isinstance(self.default, float) and not isinstance(self.default, bool):
            return isinstance(value, int | float) and not isinstance(value, bool)
        return type(value) is type(self.default)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Something that can be made to go wrong."""

    name: str
    fault_ids: tuple[str, ...]
    """Rows of the fault matrix it injects."""
    where: str
    """`feed`, `market`, `exchange`, `account` or `info`."""
    help: str
    selects: tuple[str, ...] = ()
    """Which of coins, channels and users narrow it."""
    parameters: tuple[Parameter, ...] = ()
    mode: Literal["strikes", "state", "event"] = "strikes"
    """`strikes` at every occasion it concerns; a `state` lasts; an `event` happens once (or `count` times, a block
    apart)."""

    def values(self, given: Mapping[str, Value]) -> dict[str, Any]:
        """Return all parameters with their defaults filled in."""
        return {parameter.name: given.get(parameter.name, parameter.default) for parameter in self.parameters}
