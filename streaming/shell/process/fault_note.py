"""Remembers a fault beside the journal: when the journal can not take the stop latch, the next start sets it (I-17).

The file is filled with blanks at the start and overwritten in place, which a full disk still allows (F-58).
"""

import os
from pathlib import Path

from streaming.contracts.paths import control_folder
from streaming.core.errors import StoreError

_SIZE = 512


class FaultNote:
    """The note of one venue and account."""

    def __init__(self, root: Path, tag: str) -> None:
        """Open or make the note.

        Raises:
            StoreError: If it can not be made.
        """
        path = control_folder(root) / f"{tag}.fault"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._fd).st_size < _SIZE:
                self._overwrite("")
        except OSError as error:
            raise StoreError(f"expected to keep {path}, found {error.strerror}; check the warehouse") from error

    def reason(self) -> str:
        """Return why the last session failed, empty if it did not or the latch is in the journal since."""
        return os.pread(self._fd, _SIZE, 0).decode(errors="replace").strip()

    def write(self, reason: str) -> bool:
        """Keep a reason; tells whether it is on disk."""
        try:
            self._overwrite(reason)
        except OSError:
            return False
        return True

    def clear(self) -> None:
        """Forget; the latch is in the journal now."""
        self.write("")

    def _overwrite(self, text: str) -> None:
        raw = text.encode(errors="replace")[:_SIZE].ljust(_SIZE)
        os.pwrite(self._fd, raw, 0)
        os.fdatasync(self._fd)
