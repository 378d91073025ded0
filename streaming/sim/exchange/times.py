"""Lengths of time on the venue, in ms."""

BLOCK_MS = 68
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def block_at(ts_ms: int) -> int:
    """Return the time of the first block that is not before `ts_ms`."""
    return -(-ts_ms // BLOCK_MS) * BLOCK_MS
