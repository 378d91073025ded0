"""A deadline of the core, waited for by the loop."""

import asyncio
from collections.abc import Callable

from streaming.core.units import NS_PER_S
from streaming.shell.clock import Clock

_LATE_S_MIN = 0.001
"""The loop's own resolution: an alarm that rings a little early is set again, not spun."""


class Alarm:
    """Calls back when `CLOCK_BOOTTIME` reaches a deadline.

    The loop's timer runs on another clock (no suspend), so it may ring early; then the alarm sets itself again. A
    deadline that moves back keeps the earlier timer: cheaper than a new one for each frame.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        """Call `ring()` at each deadline; it sets the next one."""
        self._clock = clock
        self._ring = ring
        self._deadline_mono_ns: int | None = None
        self._timer_mono_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, deadline_mono_ns: int | None) -> None:
        """Wait for another deadline, or for none."""
        self._deadline_mono_ns = deadline_mono_ns
        if deadline_mono_ns is None or (self._timer is not None and self._timer_mono_ns <= deadline_mono_ns):
            return
        self.cancel_timer()
        delay_s = max(_LATE_S_MIN, (deadline_mono_ns - self._clock.mono_ns()) / NS_PER_S)
        self._timer_mono_ns = deadline_mono_ns
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._elapsed)

    def cancel_timer(self) -> None:
        """Stop waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _elapsed(self) -> None:
        self._timer = None
        deadline_mono_ns = self._deadline_mono_ns
        if deadline_mono_ns is None:
            return
        if deadline_mono_ns <= self._clock.mono_ns():
            self._deadline_mono_ns = None
            self._ring()
        else:
            self.set(deadline_mono_ns)
