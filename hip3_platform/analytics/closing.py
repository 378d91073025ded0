"""When a UTC day is over: only closed days feed a ranking and a rotation."""

from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_DAY, NS_PER_S

CLOSE_DELAY_NS = 10 * 60 * NS_PER_S
"""The last parts of a day are sealed after midnight."""


def is_closed(day: str, now_ts_ns: int) -> bool:
    """Tell whether a UTC day is over, with ten minutes for its last parts."""
    return now_ts_ns >= day_begin_ns(day) + NS_PER_DAY + CLOSE_DELAY_NS
