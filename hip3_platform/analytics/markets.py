"""Work on every market of a day, two at a time: threads, since numpy, Arrow and polars let go of the interpreter.

Rule 1: results come in the order of the markets and follow from each alone: the number of threads can not show.
Rule 2: as many markets are in memory as there are threads.
Rule 3: what ends the work (an error, Ctrl-C) ends it after the markets in hand; none of the others begins.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 2

T = TypeVar("T")


def over_markets(work: Callable[[str], T], coins: Sequence[str], threads: int = THREADS) -> list[T]:
    """Return `work(coin)` of every market, in order; the first error in that order is raised."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="market")
    try:
        return list(pool.map(work, coins))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
