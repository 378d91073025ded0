"""How much of a limit "per window" is used: sliding-window accounting with bounded memory.

Rule 1: what is spent counts for at least the whole window, up to one bucket longer: the true use is never higher than
the account says, over any window (I-37).
Rule 2: time comes in with every call; a call with an earlier time is judged as of the latest time seen.
"""

from collections import deque
from decimal import Decimal

from streaming.core.errors import check
from streaming.core.units import ONE

SHED_RATIO = Decimal("0.8")
"""Share of a limit above which requests that are not essential are shed."""

_BUCKET_COUNT = 60


class WeightWindow:
    """Account of one limit, e.g. 1,200 of weight in 60 s."""

    __slots__ = ("_buckets", "_latest_ns", "_used_weight", "_width_ns", "limit_weight", "window_ns")

    def __init__(self, limit_weight: int, window_ns: int) -> None:
        """Begin empty; `window_ns` is cut into 60 buckets."""
        check(limit_weight > 0 and window_ns >= _BUCKET_COUNT, "I-37", limit_weight=limit_weight, window_ns=window_ns)
        self.limit_weight = limit_weight
        self.window_ns = window_ns
        self._width_ns = -(-window_ns // _BUCKET_COUNT)
        self._buckets: deque[list[int]] = deque()  # [bucket number, weight], oldest first
        self._used_weight = 0
        self._latest_ns = 0

    def spend(self, now_ns: int, weight: int) -> None:
        """Count `weight`, whether or not the limit allows it: what was sent was sent."""
        self._forget(now_ns)
        bucket = self._latest_ns // self._width_ns
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1][1] += weight
        else:
            self._buckets.append([bucket, weight])
        self._used_weight += weight

    def used_weight(self, now_ns: int) -> int:
        """Return the weight spent within the window that ends now."""
        self._forget(now_ns)
        return self._used_weight

    def use_ratio(self, now_ns: int) -> Decimal:
        """Return the used share of the limit; above 1 if more was spent than it allows."""
        return Decimal(self.used_weight(now_ns)) / self.limit_weight

    def may_spend(self, now_ns: int, weight: int, share: Decimal = ONE) -> bool:
        """Tell whether `weight` more would stay within `share` of the limit."""
        return self.used_weight(now_ns) + weight <= self.limit_weight * share

    def next_free_ns(self, now_ns: int, weight: int, share: Decimal = ONE) -> int:
        """Return the earliest instant at which `weight` fits into `share`, if nothing else is spent until then.

        A weight that never fits may be spent once the window is empty, so that nothing waits for ever.
        """
        self._forget(now_ns)
        surplus = self._used_weight + weight - int(self.limit_weight * share)
        if surplus <= 0:
            return now_ns
        for bucket, spent in self._buckets:
            surplus -= spent
            if surplus <= 0:
                return self._expiry_ns(bucket)
        return self._expiry_ns(self._buckets[-1][0]) if self._buckets else now_ns

    def _expiry_ns(self, bucket: int) -> int:
        return (bucket + 1) * self._width_ns + self.window_ns

    def _forget(self, now_ns: int) -> None:
        self._latest_ns = max(self._latest_ns, now_ns)
        while self._buckets and self._expiry_ns(self._buckets[0][0]) <= self._latest_ns:
            self._used_weight -= self._buckets.popleft()[1]
