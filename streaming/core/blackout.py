"""Blackout windows: times of the UTC day in which an operator wants no entries, whatever the markets do.

Rule 1: the begin belongs to a window, the end does not; a window whose end is the earlier one wraps midnight.
Rule 2: a text that is not exactly `HH:MM-HH:MM` is refused, and so is an empty window: it could mean all day or never.
"""

import re

from streaming.core.units import NS_PER_S

Window = tuple[int, int]
"""Begin and end in minutes of the UTC day."""

_NS_PER_MIN = 60 * NS_PER_S
_MIN_PER_DAY = 24 * 60
_TEXT = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_EXPECTED = "expected HH:MM-HH:MM in UTC, 00:00 to 23:59, begin and end different"


def parse_windows(texts: tuple[str, ...]) -> tuple[Window, ...]:
    """Return the windows that an operator wrote.

    Args:
        texts: Windows as `HH:MM-HH:MM` in UTC.

    Raises:
        ValueError: A text is no window; the message names it and what was expected.
    """
    return tuple(_parse(text) for text in texts)


def _parse(text: str) -> Window:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"blackout window {text!r}: {_EXPECTED}")
    begin_hour, begin_min, end_hour, end_min = map(int, match.groups())
    begin, end = begin_hour * 60 + begin_min, end_hour * 60 + end_min
    if begin == end:
        raise ValueError(f"blackout window {text!r}: {_EXPECTED}")
    return begin, end


def is_blacked_out(windows: tuple[Window, ...], ts_ns: int) -> bool:
    """Tell whether an instant (ns UTC) lies in one of the windows."""
    minute = ts_ns // _NS_PER_MIN % _MIN_PER_DAY
    return any(begin <= minute < end if begin < end else minute >= begin or minute < end for begin, end in windows)
