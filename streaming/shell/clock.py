"""The only place that reads a clock: time enters the engine as two stamps of an event.

Rule 1: ages and deadlines use CLOCK_BOOTTIME, which counts the time a machine was suspended; CLOCK_MONOTONIC does not
(F-63), so data would look fresh after a resume.
Rule 2: records use the wall clock in UTC; the two are never compared.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What the shell needs to know of time; tests hand in their own."""

    def mono_ns(self) -> int:
        """Return nanoseconds since boot, suspend included."""

    def ts_ns(self) -> int:
        """Return the wall clock, nanoseconds since 1970-01-01 UTC."""


class SystemClock:
    """The machine's clocks."""

    def mono_ns(self) -> int:
        """Return CLOCK_BOOTTIME in nanoseconds."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def ts_ns(self) -> int:
        """Return the wall clock in nanoseconds (UTC)."""
        return time.time_ns()
