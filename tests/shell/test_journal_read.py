import struct
from pathlib import Path

import pytest
import zstandard
from core_builders import a_bbo, a_session, stamps
from hypothesis import given
from hypothesis import strategies as st
from journal_builders import Recorder, bbo_frame, record_day

from streaming.core.engine import encode_snapshot
from streaming.core.errors import StoreError
from streaming.core.events import ArmRequested, Phase, PhaseRequested, ResetRequested, StopRequested
from streaming.core.state import SessionInfo
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import (
    SegmentFile,
    finish_abandoned,
    list_segments,
    list_sessions,
    read_segment,
    read_session,
    steps,
)
from streaming.shell.journal.recovery import last_state


def _recorded(root: Path, *, roll_each: int = 0) -> Recorder:
    recorder = Recorder(root)
    record_day(recorder, roll_each=roll_each)
    recorder.close()
    return recorder


def _left_open(segment: SegmentFile) -> Path:
    """Give a closed segment the name it had while its writer lived."""
    return segment.path.rename(segment.path.with_suffix(fmt.OPEN_SUFFIX))


def test_read_f83_flipped_byte_names_file_and_offset(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    path = list_segments(recorder.journal.folder)[0].path
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=rf"{path.name} at byte \d+"):
        list(read_segment(path))


@given(data=st.data())
def test_read_any_single_flip_before_the_last_record_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("flip"))
    for at_ms in range(4):
        recorder.event(a_bbo(at_ms))
    recorder.close()
    path = _left_open(list_segments(recorder.journal.folder)[0])
    raw = bytearray(path.read_bytes())
    first_record = fmt.FILE_PREFIX.size
    position = data.draw(st.integers(first_record, len(raw) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    # Also as the last segment, where a torn tail would be accepted: a flipped length must not pass for one.
    with pytest.raises(StoreError):
        list(read_segment(path))


@given(data=st.data())
def test_read_torn_tail_gives_a_prefix_of_whole_steps(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("torn"))
    record_day(recorder)
    recorder.close()
    path = _left_open(list_segments(recorder.journal.folder)[0])
    raw = path.read_bytes()
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    found = list(steps(read_segment(path)))
    # A cut exactly between an input and its outputs can not be told from an input without any.
    assert [step.event for step in found] == recorder.inputs[: len(found)]
    assert [step.outputs for step in found[:-1]] == recorder.outputs[: max(0, len(found) - 1)]


def test_read_torn_tail_is_reported_and_refused_elsewhere(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    closed = list_segments(recorder.journal.folder)[0].path
    closed.write_bytes(closed.read_bytes()[:-3])
    with pytest.raises(StoreError, match="ends inside a record"):
        list(read_segment(closed))
    torn = list(read_segment(_left_open(list_segments(recorder.journal.folder)[0])))[-1]
    assert isinstance(torn, fmt.TornTail)
    assert torn.byte_count > 0


def test_read_tail_of_zeros_after_a_machine_crash_is_torn(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    path = _left_open(list_segments(recorder.journal.folder)[0])
    path.write_bytes(path.read_bytes() + bytes(4096))
    records = list(read_segment(path))
    assert isinstance(records[-1], fmt.TornTail)
    assert records[-1].byte_count >= 4096


def test_read_f83_missing_segment_is_refused(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path, roll_each=10)
    list_segments(recorder.journal.folder)[1].path.unlink()
    with pytest.raises(StoreError, match=r"segments \[2\] are missing"):
        list_segments(recorder.journal.folder)
    with pytest.raises(StoreError, match="missing"):
        last_state(tmp_path, "sim", "")


def test_read_segments_that_do_not_join_are_refused(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path, roll_each=10)
    segments = list_segments(recorder.journal.folder)
    with pytest.raises(StoreError, match="I-25"):
        list(read_session(recorder.journal.folder, [segments[0], segments[2]]))


@pytest.mark.parametrize("version", [0, fmt.JOURNAL_VERSION + 1])
def test_last_state_other_journal_version_says_flatten_first(tmp_path: Path, version: int) -> None:
    recorder = _recorded(tmp_path)
    path = list_segments(recorder.journal.folder)[0].path
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 8, version)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="flatten with the old version first"):
        last_state(tmp_path, "sim", "")


def test_last_state_snapshot_of_foreign_code_says_flatten_first(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.event(a_bbo(1))
    recorder.journal._must_roll = True
    recorder.journal.roll_if_due(0, lambda: b"\x80")
    recorder.journal.close()
    with pytest.raises(StoreError, match="flatten with the old version first"):
        last_state(tmp_path, "sim", "")


def test_last_state_f86_snapshot_of_another_seq_is_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    early = encode_snapshot(recorder.state)
    recorder.event(a_bbo(1))
    recorder.journal._must_roll = True
    recorder.journal.roll_if_due(0, lambda: early)
    recorder.journal.close()
    with pytest.raises(StoreError, match="F-86"):
        last_state(tmp_path, "sim", "")


def test_last_state_without_a_journal_is_none(tmp_path: Path) -> None:
    assert last_state(tmp_path, "sim", "") is None


def _control_events() -> tuple[PhaseRequested, ArmRequested, StopRequested]:
    return (
        PhaseRequested(**stamps(1), command_id=1, phase=Phase.PAPER, reason="ok", operator="amy"),
        ArmRequested(**stamps(2), command_id=2, is_armed=True, operator="amy"),
        StopRequested(**stamps(3), command_id=3, reason="drill", operator="bob"),
    )


@pytest.mark.parametrize("roll_each", [0, 1, 2])
def test_last_state_i17_latch_survives_wherever_the_segments_end(tmp_path: Path, roll_each: int) -> None:
    recorder = Recorder(tmp_path)
    for count, event in enumerate(_control_events(), 1):
        recorder.event(event)
        if roll_each and count % roll_each == 0:
            recorder.journal._must_roll = True
            recorder.roll()
    recorder.close()
    carried = last_state(tmp_path, "sim", "")
    assert carried is not None
    assert carried.control.latch is not None
    assert carried.control.latch.reason == "drill"
    assert carried.control.phase is Phase.PAPER


def test_last_state_newest_session_wins_and_a_reset_is_kept(tmp_path: Path) -> None:
    first = Recorder(tmp_path, session=a_session(session_id="z-first"))
    first.events(*_control_events())
    first.close()
    second = Recorder(tmp_path, session=a_session(session_id="a-second"), carried=last_state(tmp_path, "sim", ""))
    assert second.state.control.latch is not None
    second.event(ResetRequested(**stamps(60_000), command_id=1, reason="understood", operator="amy"))
    second.clock.at_ms = 60_000
    second.journal._must_roll = True
    second.roll()
    second.close(60_001)
    carried = last_state(tmp_path, "sim", "")
    assert carried is not None
    assert carried.control.latch is None


def test_last_state_of_another_account_is_not_ours(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, session=a_session(account="0x" + "1" * 40))
    recorder.events(*_control_events())
    recorder.close()
    assert last_state(tmp_path, "sim", "") is None
    carried = last_state(tmp_path, "sim", "0x" + "1" * 40)
    assert carried is not None
    assert carried.control.latch is not None


def test_last_state_killed_before_the_first_header_falls_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.events(*_control_events())
    recorder.close()
    folder = recorder.journal.folder.parent / "newer"
    folder.mkdir()
    (folder / "000001.open").write_bytes(fmt.FILE_PREFIX.pack(fmt.MAGIC, fmt.JOURNAL_VERSION, 2**62)[:11])
    carried = last_state(tmp_path, "sim", "")
    assert carried is not None
    assert carried.control.latch is not None


def test_finish_abandoned_cuts_the_tail_once_the_writer_is_gone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.frame(bbo_frame(1), 1)
    alive = list_segments(recorder.journal.folder)[0]
    assert not finish_abandoned(alive), "the writer holds the lock"
    recorder.close()
    path = _left_open(list_segments(recorder.journal.folder)[0])
    whole = path.read_bytes()
    half = bytearray()
    fmt.append_frame(half, recorder.state.seq + 1, 1, 5, 5, bbo_frame(9))
    path.write_bytes(whole + half[:40])
    assert finish_abandoned(list_segments(recorder.journal.folder)[0])
    (segment,) = list_segments(recorder.journal.folder)
    assert segment.is_closed
    assert segment.path.read_bytes() == whole


def test_read_compressed_segment_is_the_same(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    path = list_segments(recorder.journal.folder)[0].path
    before = list(read_segment(path))
    packed = path.with_name("000001.jnl.zst")
    packed.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(path.read_bytes()))
    assert list_segments(recorder.journal.folder)[0].path == path, "the plain one wins while both lie there"
    path.unlink()
    assert list(read_segment(packed)) == before
    assert list(read_segment(path)) == before, "found under its newer name"
    raw = bytearray(packed.read_bytes())
    raw[len(raw) // 2] ^= 1
    packed.write_bytes(raw)
    with pytest.raises(StoreError, match=packed.name):
        list(read_segment(packed))


def test_read_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "000001.jnl"
    path.write_bytes(b"PAR1" * 20)
    with pytest.raises(StoreError, match="expected a journal segment"):
        list(read_segment(path))


def test_sessions_are_ordered_by_time_not_by_name(tmp_path: Path) -> None:
    for name, at_ms in (("b", 0.0), ("a", 5_000.0)):
        info = SessionInfo(session_id=name, venue="sim", account="", code_version="t", config_hash="c")
        recorder = Recorder(tmp_path, session=info)
        recorder.journal.close()
        path = list_segments(recorder.journal.folder)[0].path
        raw = bytearray(path.read_bytes())
        struct.pack_into("<q", raw, 12, int(at_ms * 1_000_000))
        path.write_bytes(raw)
    assert list_sessions(tmp_path, "sim") == ["b", "a"]
