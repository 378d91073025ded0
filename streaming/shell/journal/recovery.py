"""The state that a new session starts from, and the one before any segment: from the journal alone.

Rule: recovery folds what was decided and never re-decides it (I-24).
"""

from pathlib import Path

import msgspec
import structlog

from streaming.contracts.paths import journal_folder
from streaming.core.engine import decode_snapshot
from streaming.core.errors import StoreError
from streaming.core.recovery import Carried, carry_over, fold
from streaming.core.state import EngineState
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import list_segments, list_sessions, read_session

_log = structlog.get_logger()


def last_state(root: Path, venue: str, account: str) -> Carried | None:
    """Return what the newest session of a venue and account left behind, None if there never was one.

    Raises:
        StoreError: Its journal is damaged, or was written in a version this code can not read: then the old version
            has to flatten first.
    """
    for session_id in reversed(list_sessions(root, venue)):
        state = _folded(journal_folder(root, venue, session_id))
        if state is not None and state.session.account == account:
            return carry_over(state)
    return None


def state_before(folder: Path, header: fmt.SegmentHeader) -> EngineState:
    """Return the state before the first input of a segment, from its snapshot.

    Raises:
        StoreError: This code can not read it, or it belongs to another place of the journal (F-86).
    """
    try:
        state = decode_snapshot(header.snapshot)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{folder}: {header.session.code_version} wrote a snapshot that this version can not read ({error}); "
            "flatten with the old version first"
        ) from error
    if state.seq != header.seq_last:
        raise StoreError(
            f"{folder}: snapshot of seq {state.seq} in a segment that follows seq {header.seq_last} (F-86)"
        )
    return state


def _folded(folder: Path) -> EngineState | None:
    segments = list_segments(folder)
    # A segment whose writer was killed before its header was whole says nothing; the one before it does.
    for index in reversed(range(len(segments))):
        tail = segments[index:]
        records = list(read_session(folder, tail))
        if not records or isinstance(records[0], fmt.TornTail):
            continue
        return _fold_records(folder, records)
    return None


def _fold_records(folder: Path, records: list[fmt.Record]) -> EngineState:
    header = records[0]
    if not isinstance(header, fmt.SegmentHeader):
        raise StoreError(f"{folder}: the last segment has no header")
    state = state_before(folder, header)
    for record in records:
        if isinstance(record, fmt.OutputsRecord):
            fold(state, record.outputs)
        elif isinstance(record, fmt.TornTail):
            _log.warning("journal_tail_torn", folder=str(folder), offset=record.offset, torn_bytes=record.byte_count)
    return state
