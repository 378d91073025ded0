"""The board of faults: what is switched on, for whom, how often still.

Rule 1: time is handed in, ms of the venue's clock; a fault begins and ends by that clock.
Rule 2: a fault counts a strike when it did something, so `count` is exact. A spent fault stays listed until cleared.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streaming.core.errors import ConfigError
from streaming.sim.scenario.fault_kinds import KINDS
from streaming.sim.scenario.faults import FaultSpec

FAULT_COUNT_MAX = 1_000


@dataclass(eq=False)
class Fault:
    """One fault that somebody switched on."""

    number: int
    spec: FaultSpec
    begin_ms: int
    end_ms: int | None
    values: dict[str, Any]
    """All parameters of its kind."""
    strike_count: int = 0
    _marks: dict[Any, Any] = field(default_factory=dict)

    @property
    def count_max(self) -> int | None:
        """How often it may strike; an event strikes once unless told otherwise."""
        return self.spec.count or (1 if KINDS[self.spec.kind].mode == "event" else None)

    def state(self, now_ms: int) -> str:
        """Return `waiting`, `active`, `spent` or `over`."""
        if self.count_max is not None and self.strike_count >= self.count_max:
            return "spent"
        if now_ms < self.begin_ms:
            return "waiting"
        return "over" if self.end_ms is not None and now_ms >= self.end_ms else "active"

    def concerns(self, *, coin: str = "", channels: Iterable[str] = (), users: Iterable[str] = ()) -> bool:
        """Tell whether an occasion is one of those it was narrowed to."""
        spec = self.spec
        return (
            (not spec.coins or coin in spec.coins)
            and (not spec.channels or any(channel in spec.channels for channel in channels))
            and (not spec.users or any(user in spec.users for user in users))
        )

    def strike(self) -> None:
        """Count that it did something."""
        self.strike_count += 1

    def once(self, mark: object, value: Any) -> Any:  # noqa: ANN401 - whatever is remembered
        """Remember the first value under a mark for as long as the fault is listed."""
        return self._marks.setdefault(mark, value)

    def recalled(self, mark: object) -> Any:  # noqa: ANN401 - whatever is remembered
        """Return what was remembered under a mark, or None."""
        return self._marks.get(mark)

    def told(self, now_ms: int) -> dict[str, Any]:
        """Return it as the admin endpoint tells it."""
        spec = self.spec
        return {
            "number": self.number,
            "kind": spec.kind,
            "state": self.state(now_ms),
            "begin_ms": self.begin_ms,
            "end_ms": self.end_ms,
            "strike_count": self.strike_count,
            "count": self.count_max,
            "coins": spec.coins,
            "channels": spec.channels,
            "users": spec.users,
            "parameters": self.values,
        }


class FaultBoard:
    """All faults of a venue."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._by_kind: dict[str, list[Fault]] = {}
        self._count = 0

    def add(self, spec: FaultSpec, now_ms: int) -> Fault:
        """Switch a checked fault on; `at_s` counts from now.

        Raises:
            ConfigError: There are too many.
        """
        if len(self._faults) >= FAULT_COUNT_MAX:
            raise ConfigError(f"expected at most {FAULT_COUNT_MAX} faults; clear some")
        self._count += 1
        begin_ms = now_ms + round(spec.at_s * 1000)
        end_ms = None if spec.for_s is None else begin_ms + max(1, round(spec.for_s * 1000))
        values = KINDS[spec.kind].values(spec.parameters)
        fault = Fault(number=self._count, spec=spec, begin_ms=begin_ms, end_ms=end_ms, values=values)
        self._faults[fault.number] = fault
        self._by_kind.setdefault(spec.kind, []).append(fault)
        return fault

    def clear(self, number: int | None = None) -> int:
        """Remove one fault, or all; returns how many there were."""
        numbers = [*self._faults] if number is None else [number] if number in self._faults else []
        for known in numbers:
            fault = self._faults.pop(known)
            kind = self._by_kind[fault.spec.kind]
            kind.remove(fault)
            if not kind:
                del self._by_kind[fault.spec.kind]
        return len(numbers)

    def faults(self) -> Sequence[Fault]:
        """Return all faults in the order in which they were added."""
        return tuple(self._faults.values())

    def has(self, kinds: Iterable[str]) -> bool:
        """Tell whether a fault of one of these kinds is listed, whatever its state."""
        return bool(self._by_kind) and any(kind in self._by_kind for kind in kinds)

    def is_active(self, fault: Fault, now_ms: int) -> bool:
        """Tell whether a fault is still listed and strikes now."""
        return fault.number in self._faults and fault.state(now_ms) == "active"

    def active(
        self, kind: str, now_ms: int, *, coin: str = "", channels: Iterable[str] = (), users: Iterable[str] = ()
    ) -> Fault | None:
        """Return the first fault of a kind that concerns an occasion now."""
        for fault in self._by_kind.get(kind, ()):
            if fault.state(now_ms) == "active" and fault.concerns(coin=coin, channels=channels, users=users):
                return fault
        return None

    def strike(
        self, kind: str, now_ms: int, *, coin: str = "", channels: Iterable[str] = (), users: Iterable[str] = ()
    ) -> Fault | None:
        """Return what `active` does, and count the strike."""
        fault = self.active(kind, now_ms, coin=coin, channels=channels, users=users)
        if fault is not None:
            fault.strike()
        return fault

    def due(self, now_ms: int) -> Iterator[Fault]:
        """Yield the events that happen now, each counted."""
        for fault in tuple(self._faults.values()):
            if KINDS[fault.spec.kind].mode == "event" and fault.state(now_ms) == "active":
                fault.strike()
                yield fault
