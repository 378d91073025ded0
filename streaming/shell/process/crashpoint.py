"""Named points at which a test lets this process die, as if the machine had.

Why this module exists: what a crash leaves behind depends on the instant. A SIGKILL from outside hits a random one; the
two that matter most are microseconds apart: after an intent was written, and after its bytes were handed over.

Rule 1: only with the simulated venue; with any other a set variable refuses the start (reliability.md, 2.3).
Rule 2: the process ends as by SIGKILL: nothing is flushed, closed or said.
"""

import os
import signal
from typing import Final

from streaming.core.errors import PreflightRefused

VARIABLE: Final = "HIP3_CRASHPOINT"
AFTER_INTENT_WRITTEN: Final = "after_intent_written"
AFTER_SEND: Final = "after_send"
POINTS: Final = (AFTER_INTENT_WRITTEN, AFTER_SEND)


class _Armed:
    point = ""


def arm_crash_point(venue: str) -> None:
    """Take the point from the environment, if one is named there.

    Raises:
        PreflightRefused: It is set with another venue than `sim`, or names no point.
    """
    point = os.environ.get(VARIABLE, "")
    if point and venue != "sim":
        raise PreflightRefused((f'{VARIABLE}: expected it unset with venue = "{venue}", found {point[:60]!r}',))
    if point and point not in POINTS:
        raise PreflightRefused((f"{VARIABLE}: expected one of {list(POINTS)}, found {point[:60]!r}",))
    _Armed.point = point


def pass_crash_point(point: str) -> None:
    """Die here if this is the point that was armed."""
    if _Armed.point == point:
        os.kill(os.getpid(), signal.SIGKILL)
