"""What a command says on stderr while it works for more than a few seconds."""

import sys
import time
from collections.abc import Callable

TOLD_EVERY_NS = 3_000_000_000


def teller(command: str) -> Callable[[str], None]:
    """Return what tells people how far `command` is, at most every 3 s and not in its first 3."""
    told_ns = time.monotonic_ns()

    def tell(text: str) -> None:
        nonlocal told_ns
        if time.monotonic_ns() - told_ns >= TOLD_EVERY_NS:
            told_ns = time.monotonic_ns()
            sys.stderr.write(f"{command}: {text}\n")
            sys.stderr.flush()

    return tell
