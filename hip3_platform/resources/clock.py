"""The platform's one wall clock: sensors ask it which days are closed. Tests put a fixed one in its place."""

import time

import dagster as dg


class Clock(dg.ConfigurableResource[None]):
    """Wall clock in UTC nanoseconds."""

    def now_ts_ns(self) -> int:
        """Return now."""
        return time.time_ns()
