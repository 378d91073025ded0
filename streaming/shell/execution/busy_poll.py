"""Looks for the next frame without sleeping, for a while after each turn.

Why this module exists: a core that sleeps takes its time to wake, and on a virtual machine it wakes with cold caches;
frames come in bursts, so the one that an order answers mostly comes soon after another.

Rule 1: the loop looks at its sockets again and again, and runs whatever else is ready in between; nothing waits for it.
Rule 2: as for rehearsals, only while a real entry is possible; a session that observes or trades on paper sleeps.
Rule 3: only while the core is ours: who sleeps is woken ahead of those that compute, who polls waits for its turn like
them (3 ms instead of 0.2 on a machine whose cores were all taken). Kept off the core once, it sleeps for a while.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from streaming.core.state import EngineState
from streaming.core.trading.entries import is_entry_possible
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.clock import Clock

CROWDED_NS: Final = NS_PER_MS
"""So much time since a look or a turn means that somebody else had the core: a rehearsal takes a tenth of it."""
BACK_OFF_NS: Final = NS_PER_S


class BusyPoll:
    """Keeps the running loop from sleeping."""

    def __init__(self, state: EngineState, *, poll_ms: int, clock: Clock, on_crowded: Callable[[], None]) -> None:
        """Poll after the turns of `state`; needs the running loop.

        Args:
            state: The session's, only read.
            poll_ms: For so long after each turn, > 0.
            clock: Measures the while.
            on_crowded: Called when the core was taken from us.
        """
        self._state = state
        self._poll_ns = poll_ms * NS_PER_MS
        self._clock = clock
        self._on_crowded = on_crowded
        self._loop = asyncio.get_running_loop()
        self._end_mono_ns = 0
        self._awake_mono_ns = 0
        self._resume_mono_ns = 0
        self._look: asyncio.Handle | None = None

    @property
    def is_polling(self) -> bool:
        """Whether the loop is kept from sleeping now."""
        return self._look is not None

    def turn_ended(self) -> None:
        """Take note of a turn that ends now: the while begins anew."""
        now_mono_ns = self._clock.mono_ns()
        self._end_mono_ns = now_mono_ns + self._poll_ns
        self._awake_mono_ns = now_mono_ns  # a long turn of ours, a new segment in it, is nobody else's
        if self._look is None and now_mono_ns >= self._resume_mono_ns and is_entry_possible(self._state):
            self._look = self._loop.call_soon(self._again)

    def close(self) -> None:
        """Let the loop sleep."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _again(self) -> None:
        now_mono_ns = self._clock.mono_ns()
        if now_mono_ns - self._awake_mono_ns > CROWDED_NS:
            self._resume_mono_ns = now_mono_ns + BACK_OFF_NS
            self._on_crowded()
        self._awake_mono_ns = now_mono_ns
        if now_mono_ns >= self._end_mono_ns or now_mono_ns < self._resume_mono_ns:
            self._look = None
        else:  # a callback that is ready is all it takes: the loop then asks its sockets without waiting for them
            self._look = self._loop.call_soon(self._again)
