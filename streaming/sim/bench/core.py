"""A core for the venue: in reality it is another machine, so no client waits for it or wakes up beside it.

Rule 1: clients are started on every core but one; the venue measures on that one.
Rule 2: with a single core that is not done, and the result says so.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class Cores:
    """The cores of this thread, shared out between the venue, which runs in it, and the clients it starts."""

    def __init__(self) -> None:
        """Leave everything as it is."""
        self._all = os.sched_getaffinity(0)
        self._venue = {min(self._all)}
        self.is_venue_alone = len(self._all) > 1

    @contextmanager
    def leave_room(self) -> Iterator[None]:
        """Keep off the venue's core: whoever is started inside does so for good."""
        try:
            os.sched_setaffinity(0, self._all - self._venue or self._all)
            yield
        finally:
            os.sched_setaffinity(0, self._all)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Be the venue, on its core."""
        try:
            if self.is_venue_alone:
                os.sched_setaffinity(0, self._venue)
            yield
        finally:
            os.sched_setaffinity(0, self._all)
