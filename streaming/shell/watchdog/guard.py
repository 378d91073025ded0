"""The watchdog's decisions: when it acts, when it stands down, what it leaves behind.

Rule 1: it acts on a stale heartbeat only, looks again right before it sends, and stands down when the sidecar is back.
Rule 2: flat is two reads in a row that find nothing; then it is done until the heartbeat was fresh again, so that it
never closes what a person opens afterwards.
Rule 3: before it first sends, it leaves a note: the next sidecar starts with its stop latch set (I-17).
Rule 4: a venue that fails is asked again for ever, with a pause that grows to a bound: the position is still open.
"""

from collections.abc import Callable

import msgspec

from streaming.core.errors import StoreError, VenueError
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.shell.clock import Clock
from streaming.shell.execution.heartbeat import Beat
from streaming.shell.process.fault_note import FaultNote
from streaming.shell.watchdog.flatten import Exposure, Flattener
from streaming.shell.watchdog.watch import Verdict, Watch

NOTE = "watchdog_flattened"
PAUSES_S = (1, 1, 2, 3, 5)
"""Between rounds; the last one repeats."""
FLAT_READ_COUNT = 2
_DETAIL_LENGTH_MAX = 1_000


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, for the log and for programs."""

    event: str
    """`heartbeat_changed`, `venue_failed`, `note_not_kept`, `reduced`, `flat`, `looked` or `ended`."""
    ts_ns: int
    heartbeat: Verdict
    age_ms: int | None = None
    """Of the last beat of this boot."""
    positions: tuple[str, ...] = ()
    open_order_count: int = 0
    detail: str = ""


class _Rounds(msgspec.Struct, kw_only=True):
    """Progress within one spell of silence."""

    count: int = 0
    reduce_count: int = 0
    flat_count: int = 0
    """Reads in a row that found nothing."""
    next_mono_ns: int = 0
    is_done: bool = False


class Guard:
    """Watches one account."""

    def __init__(
        self,
        *,
        watch: Watch,
        read_beat: Callable[[], Beat | None],
        flattener: Flattener,
        note: FaultNote,
        clock: Clock,
        say: Callable[[Line], None],
    ) -> None:
        """Do nothing before `step`.

        Args:
            watch: Judges beats.
            read_beat: Reads the heartbeat; `StoreError` counts as one that does not change.
            flattener: Acts.
            note: What the next sidecar reads.
            clock: Stamps and pauses.
            say: Takes what happened.
        """
        self._watch = watch
        self._read_beat = read_beat
        self._flattener = flattener
        self._note = note
        self._clock = clock
        self._say = say
        self._beat: Beat | None = None
        self._unreadable = ""
        self.verdict: Verdict | None = None
        """Of the last look; None before the first."""
        self._rounds = _Rounds()

    async def step(self) -> None:
        """Look once, and act if it is time."""
        rounds = self._rounds
        if self._look() is not Verdict.STALE:
            self._rounds = _Rounds()
            return
        if rounds.is_done or self._clock.mono_ns() < rounds.next_mono_ns:
            return
        pause_s = PAUSES_S[min(rounds.count, len(PAUSES_S) - 1)]
        rounds.count += 1
        try:
            await self._act(rounds)
        except VenueError as error:
            self._tell("venue_failed", detail=str(error))
        rounds.next_mono_ns = self._clock.mono_ns() + pause_s * NS_PER_S

    def _look(self) -> Verdict:
        try:
            self._beat, self._unreadable = self._read_beat(), ""
        except StoreError as error:
            self._unreadable = str(error)
        verdict = self._watch.look(self._beat, self._clock.mono_ns())
        if verdict is not self.verdict:
            self.verdict = verdict
            self._tell("heartbeat_changed", detail=self._unreadable)
        return verdict

    async def _act(self, rounds: _Rounds) -> None:
        exposure = await self._flattener.read(() if self._beat is None else self._beat.exit_only_coins)
        if exposure.failures:
            self._tell("venue_failed", detail="; ".join(exposure.failures))
        if exposure.is_flat:
            rounds.flat_count += 1
            if rounds.flat_count >= FLAT_READ_COUNT:
                rounds.is_done = True
                self._tell("flat")
            return
        rounds.flat_count = 0
        if not exposure.coins or self._look() is not Verdict.STALE:
            return  # nothing is known to be open where somebody answered, or it came back while we asked
        if not self._note.reason() and not self._note.write(NOTE):
            self._tell("note_not_kept", detail="the next sidecar may start without its stop latch: reset nothing")
        said = await self._flattener.reduce(exposure, rounds.reduce_count)
        rounds.reduce_count += 1
        self._tell("reduced", exposure, detail="; ".join(said))

    def _tell(self, event: str, exposure: Exposure | None = None, *, detail: str = "") -> None:
        now_mono_ns = self._clock.mono_ns()
        age_ns = None if self._beat is None else self._watch.age_ns(self._beat, now_mono_ns)
        self._say(
            Line(
                event=event,
                ts_ns=self._clock.ts_ns(),
                heartbeat=self.verdict or Verdict.ABSENT,
                age_ms=None if age_ns is None else age_ns // NS_PER_MS,
                positions=() if exposure is None else exposure.texts,
                open_order_count=0 if exposure is None else len(exposure.orders),
                detail=detail[:_DETAIL_LENGTH_MAX],
            )
        )
