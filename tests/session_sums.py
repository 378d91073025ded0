"""A market that earns one thing on weekdays and another at weekends."""

import numpy as np

from hip3_platform.analytics.evidence.family import HourSums, Policy

DAYS = tuple(f"2026-06-{day}" for day in range(15, 29))
"""Monday to Sunday, twice."""
POLICY = Policy(8, "oracle_led", 5)


def weekly_sums(weekday_bps: float, weekend_bps: float) -> HourSums:
    """A market with 8 fills an hour from 10 to 16 UTC, of which each earns so much, give or take its hour."""
    sums = HourSums.empty(DAYS)
    rng = np.random.default_rng(3)
    t, o, h = POLICY.place
    for day in range(len(DAYS)):
        for hour in range(10, 16):
            mean = (weekend_bps if day % 7 >= 5 else weekday_bps) + rng.normal(0, 0.5)
            sums.decisions[day, hour, t, o] = 8
            sums.fills[day, hour, t, o, :] = 8
            sums.net_bps[day, hour, t, o, :, h] = 8 * mean
            sums.net_bps2[day, hour, t, o, :, h] = 8 * mean**2
    return sums
