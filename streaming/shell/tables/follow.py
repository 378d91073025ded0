"""The projector as a process: follows one session while the sidecar runs, and picks up what crashed ones left.

Rule 1: it ends when its session has ended (no segment is open any more), whoever closed it: the last segment of a
    killed sidecar is projected too. SIGTERM, SIGINT or the parent's death mean "no more waiting"; a second signal ends
    after the segment in hand.
Rule 2: a full disk or a damaged segment is logged and tried again, ever less often; the journal goes on (F-59).
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from streaming.contracts.paths import VENUES, journal_folder
from streaming.core.errors import StoreError
from streaming.core.units import use_exact_decimals
from streaming.shell.clock import Clock, SystemClock
from streaming.shell.journal.reader import is_live
from streaming.shell.journal.retention import KEEP_BYTES_DEFAULT, KEEP_DAYS_DEFAULT, Retention, sweep_journal
from streaming.shell.tables.project import project_session, project_venue
from streaming.shell.telemetry.logs import configure_logs, get_logger

NICENESS = 10
POLL_S = 1.0
_HOUSEKEEPING_POLLS = 60
_BACKOFF_S_MAX = 60.0
_EXIT_STORE = 4

_log = get_logger()


class Stopper:
    """Knows whether somebody wants this process to end."""

    def __init__(self, parent_pid: int | None = None) -> None:
        # A parent that died while this process was still loading its modules has been replaced already.
        self._parent_pid = parent_pid or os.getppid()
        self._signals = 0
        self._woken = threading.Event()

    def install(self) -> None:
        """Take over SIGTERM and SIGINT."""
        signal.signal(signal.SIGTERM, self._signalled)
        signal.signal(signal.SIGINT, self._signalled)

    def is_asked(self) -> bool:
        """Tell whether to finish."""
        return self._signals > 0 or os.getppid() != self._parent_pid

    def is_urged(self) -> bool:
        """Tell whether to finish without the segments that are left."""
        return self._signals > 1

    def wait(self, timeout_s: float) -> None:
        """Sleep until the time is up or a signal came."""
        self._woken.wait(timeout_s)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._woken.set()


def follow(root: Path, venue: str, session_id: str, *, retention: Retention, stopper: Stopper, clock: Clock) -> None:
    """Project a session's segments as they are closed, until asked to stop; then once more.

    Raises:
        StoreError: The last pass failed; earlier failures are logged and tried again.
    """
    house = _House(root, venue, retention, clock)
    polls = 0
    backoff_s = POLL_S
    while not stopper.is_asked():
        try:
            project_session(root, venue, session_id, should_stop=stopper.is_urged)
            if not is_live(journal_folder(root, venue, session_id)):
                break
            if polls % _HOUSEKEEPING_POLLS == 0:
                house.keep(stopper.is_asked)
            polls += 1
            backoff_s = POLL_S
        except StoreError as error:
            backoff_s = min(2 * backoff_s, _BACKOFF_S_MAX)
            _log.error("projection_failed", session_id=session_id, reason=str(error), retry_s=backoff_s)
        stopper.wait(backoff_s)
    project_session(root, venue, session_id, should_stop=stopper.is_urged)


def main(argv: Sequence[str]) -> int:
    """Run the projector process; the exit code is 0, or 4 for a store error."""
    parser = argparse.ArgumentParser(prog="python -m streaming.shell.tables.follow", description="Project a session.")
    parser.add_argument("--root", type=Path, required=True, help="the warehouse")
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument("--session", required=True)
    parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or the parent's death")
    parser.add_argument("--keep-bytes", type=int, default=KEEP_BYTES_DEFAULT, help="journal size bound of the venue")
    parser.add_argument("--keep-days", type=int, default=KEEP_DAYS_DEFAULT, help="journal age bound")
    parser.add_argument("--parent", type=int, help="pid of the parent; default whoever it is at the start")
    args = parser.parse_args(argv)
    stopper = Stopper(args.parent)
    stopper.install()
    os.nice(NICENESS)
    configure_logs()
    use_exact_decimals()
    try:
        if args.follow:
            retention = Retention(args.keep_bytes, args.keep_days)
            follow(args.root, args.venue, args.session, retention=retention, stopper=stopper, clock=SystemClock())
        else:
            project_session(args.root, args.venue, args.session, should_stop=stopper.is_asked)
    except StoreError as error:
        _log.error("projection_failed", session_id=args.session, reason=str(error))
        return _EXIT_STORE
    return 0


class _House:
    """What else wants doing now and then: leftovers of other sessions, and bounds of the journal."""

    def __init__(self, root: Path, venue: str, retention: Retention, clock: Clock) -> None:
        self._root = root
        self._venue = venue
        self._retention = retention
        self._clock = clock
        self._failure = ""

    def keep(self, should_stop: Callable[[], bool]) -> None:
        """Do it; what fails here is logged when it changes and never holds up the session that is followed."""
        failure = ""
        try:
            project_venue(self._root, self._venue, should_stop=should_stop)
        except StoreError as error:
            failure = str(error)
        if failure not in {"", self._failure}:
            _log.error("leftover_not_projected", reason=failure)
        self._failure = failure
        removed = sweep_journal(self._root, self._venue, self._retention, now_ts_ns=self._clock.ts_ns())
        if removed:
            _log.info("segments_removed", count=len(removed), oldest=str(removed[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
