"""Frames that are sent by the clock, spread over blocks when there are many of them.

Rule: a step makes a bounded number of bodies, whatever clients listen to; what does not fit comes with the next steps,
and what is still waiting when it is due again is sent once.
"""

from collections.abc import Iterable
from itertools import islice

from streaming.sim.venue.feed.subscriptions import Topic

TOPICS_PER_STEP = 64
"""More than a client of 24 markets has due at once; the dearest bodies take about 2 ms."""


class Due:
    """Topics that wait for their next frame, first come first served."""

    def __init__(self) -> None:
        """Start with nothing due."""
        self._topics: dict[Topic, None] = {}

    def add(self, topics: Iterable[Topic]) -> None:
        """Make topics due."""
        self._topics.update(dict.fromkeys(topics))

    def take(self) -> list[Topic]:
        """Return what is to be sent in this step."""
        taken = list(islice(self._topics, TOPICS_PER_STEP))
        for topic in taken:
            del self._topics[topic]
        return taken
