"""Judges the sidecar's heartbeat, look by look.

Why this module exists: acting on a living sidecar is as wrong as not acting on a dead one, so silence must have been
seen, not computed. After a suspend of the machine every beat is old at once, and the sidecar is well.

Rule 1: stale is a beat that is too old, or of another boot, and that did not change while we looked ourselves.
Rule 2: a heartbeat that never existed, or that was ended in order, is nobody's business.
"""

from enum import StrEnum

from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.execution.heartbeat import Beat, BeatState

LOOK_MS = 500
"""Distance of two looks."""
SEEN_SILENT_NS_MIN = 3 * NS_PER_S
"""Silence that we must have seen ourselves; one look counts for at most twice its distance."""
STALE_S_MIN = 5


class Verdict(StrEnum):
    """What the heartbeat says about the sidecar."""

    ABSENT = "absent"
    """There never was one here."""
    ENDED = "ended"
    FRESH = "fresh"
    SILENT = "silent"
    """Too old, and not yet seen long enough to be sure."""
    STALE = "stale"


class Watch:
    """Remembers the looks so far."""

    def __init__(self, *, stale_s: int, boot_id: str) -> None:
        """Judge beats of the boot `boot_id`; older than `stale_s` is too old."""
        self._stale_ns = stale_s * NS_PER_S
        self._boot_id = boot_id
        self._last: Beat | None = None
        self._looked_mono_ns = 0
        self._silent_ns = 0

    def look(self, beat: Beat | None, now_mono_ns: int) -> Verdict:
        """Judge what the file says now."""
        since_ns = min(now_mono_ns - self._looked_mono_ns, 2 * LOOK_MS * NS_PER_MS)
        self._silent_ns = self._silent_ns + since_ns if beat == self._last else 0
        self._last, self._looked_mono_ns = beat, now_mono_ns
        if beat is None:
            return Verdict.ABSENT
        if beat.state is BeatState.ENDED:
            return Verdict.ENDED
        age_ns = self.age_ns(beat, now_mono_ns)
        if age_ns is not None and age_ns <= self._stale_ns:
            return Verdict.FRESH
        return Verdict.STALE if self._silent_ns >= SEEN_SILENT_NS_MIN else Verdict.SILENT

    def age_ns(self, beat: Beat, now_mono_ns: int) -> int | None:
        """Return the age of a beat, None if it is of another boot."""
        return now_mono_ns - beat.mono_ns if beat.boot_id == self._boot_id else None
