"""The platform's one wall clock: sensors ask it which days are closed. Tests put a fixed one in its place."""

import time


class Clock:
    """Wall clock in UTC nanoseconds (a plain object: it has nothing to configure)."""

    def now_ts_ns(self) -> int:
        """Return now."""
        return time.time_ns()
