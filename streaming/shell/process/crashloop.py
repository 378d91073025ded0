"""Notices a crash loop under a supervisor: three starts in 10 minutes without a stable minute begin disarmed (F-72).

One small file a venue and account holds when the last sessions began; a stable minute, or an orderly end, empties it.
"""

import asyncio
from pathlib import Path

from streaming.contracts.paths import checked_name, control_folder
from streaming.core.errors import StoreError
from streaming.core.units import NS_PER_S

START_COUNT_MAX = 3
WINDOW_S = 600
STABLE_S = 60


class CrashLoop:
    """Memory of unstable starts."""

    def __init__(self, root: Path, tag: str) -> None:
        """Keep the memory of `tag` (venue and account) in the warehouse `root`."""
        self._path = control_folder(root) / f"{checked_name(tag)}.starts"

    def started(self, now_ts_ns: int) -> bool:
        """Note a start; tells whether it is one too many.

        Raises:
            StoreError: If it can not be noted.
        """
        try:
            words = self._path.read_text(encoding="ascii").split() if self._path.exists() else []
            starts = [int(word) for word in words if word.isdigit()][-START_COUNT_MAX:]
            starts = [start for start in starts if 0 <= now_ts_ns - start < WINDOW_S * NS_PER_S] + [now_ts_ns]
            self._path.write_text(" ".join(map(str, starts)), encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise StoreError(f"expected to note the start in {self._path}, found {error}") from error
        return len(starts) >= START_COUNT_MAX

    def forget(self) -> None:
        """Everything is well: the starts so far count no more."""
        self._path.unlink(missing_ok=True)

    async def watch(self) -> None:
        """Forget after a stable minute, then wait for ever."""
        await asyncio.sleep(STABLE_S)
        self.forget()
        await asyncio.Event().wait()
