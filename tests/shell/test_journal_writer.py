import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from core_builders import a_bbo, a_session, a_spec, stamps
from journal_builders import ManualClock, Recorder, bbo_frame, record_day

from streaming.core.errors import InvariantViolation, StoreError
from streaming.core.events import SpecsReceived, StopRequested
from streaming.shell.journal import format as fmt
from streaming.shell.journal import writer as journal_module
from streaming.shell.journal.reader import header_of, list_segments, read_segment, read_session, steps
from streaming.shell.journal.writer import JournalWriter


def test_journal_reads_back_every_input_and_decision(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder, roll_each=7)
    recorder.close()
    found = list(steps(read_session(recorder.journal.folder)))
    assert [step.seq for step in found] == list(range(1, recorder.state.seq + 1))
    assert [step.event for step in found] == recorder.inputs
    assert [step.outputs for step in found] == recorder.outputs


def test_journal_keeps_a_frame_byte_for_byte_even_if_unreadable(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.frame(b"\xff{broken", 1)
    recorder.close()
    frames = [r for r in read_session(recorder.journal.folder) if isinstance(r, fmt.FrameRecord)]
    assert [frame.raw for frame in frames] == [b"\xff{broken"]


def test_journal_commit_is_one_write_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    sizes: list[int] = []
    write = os.write

    def counted(fd: int, raw: bytes) -> int:
        sizes.append(len(raw))
        return write(fd, raw)

    monkeypatch.setattr(journal_module.os, "write", counted)
    for seq in (1, 2, 3):
        recorder.journal.append_frame(seq, 1, 5, 5, bbo_frame(seq))
    recorder.journal.commit()
    recorder.journal.commit()
    assert len(sizes) == 1


def test_journal_written_turn_is_visible_to_others_before_any_sync(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.event(a_bbo(1))
    records = list(read_segment(next(recorder.journal.folder.glob("*.open"))))
    assert [type(record) for record in records] == [fmt.SegmentHeader, fmt.EventRecord, fmt.OutputsRecord]
    recorder.close()


def test_journal_i25_refuses_a_seq_that_is_not_dense(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.journal.append_event(1, a_bbo(1))
    with pytest.raises(InvariantViolation, match="I-25"):
        recorder.journal.append_event(3, a_bbo(2))
    with pytest.raises(InvariantViolation, match="I-25"):
        recorder.journal.append_outputs(7, [])


def test_journal_f104_files_are_private(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.close()
    folder = recorder.journal.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_journal_header_names_session_config_and_specs_in_force(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes_max=1)
    changed = a_spec(spec_version="v2")
    recorder.event(SpecsReceived(**stamps(1), specs=(changed,)))
    assert recorder.roll()
    recorder.event(a_bbo(2))
    recorder.close()
    first, second = (header_of(segment.path) for segment in list_segments(recorder.journal.folder))
    assert (first.number, first.seq_last, first.session) == (1, 0, a_session())
    assert first.specs == (a_spec(),)
    assert (second.number, second.seq_last, second.specs) == (2, 1, (changed,))
    assert len(first.boot_id) == 36


def test_journal_reload_begins_a_segment_with_the_new_config(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.event(a_bbo(1))
    recorder.journal.set_config("c1", '{"venue":"sim","x":1}')
    assert recorder.roll()
    assert not recorder.roll()
    recorder.close()
    headers = [header_of(segment.path) for segment in list_segments(recorder.journal.folder)]
    assert [(h.session.config_hash, h.config_json) for h in headers] == [
        ("c0", '{"venue":"sim"}'),
        ("c1", '{"venue":"sim","x":1}'),
    ]


@pytest.mark.parametrize(("size", "age_ms", "is_due"), [(1, 0.0, True), (1 << 30, 0.0, False), (1 << 30, 60_000, True)])
def test_journal_rolls_by_size_or_age(tmp_path: Path, size: int, age_ms: float, is_due: bool) -> None:
    recorder = Recorder(tmp_path, segment_bytes_max=size, segment_age_s_max=60)
    assert not recorder.roll(), "an empty segment is never rolled"
    recorder.event(a_bbo(1))
    recorder.clock.at_ms = age_ms
    assert recorder.roll() is is_due
    recorder.close()
    assert all(segment.is_closed for segment in list_segments(recorder.journal.folder))
    assert not (recorder.journal.folder / "reserve").exists()


def test_journal_session_id_used_twice_is_refused(tmp_path: Path) -> None:
    Recorder(tmp_path).close()
    with pytest.raises(StoreError, match="has a journal already"):
        Recorder(tmp_path)


def test_journal_f60_unwritable_warehouse_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="expected a warehouse that can be written"):
        Recorder(tmp_path)


def test_journal_f60_failed_sync_is_never_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    failed = threading.Event()

    def broken(_fd: int) -> None:
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal_module.os, "fdatasync", broken)
    recorder.event(a_bbo(1))
    assert failed.wait(5)
    recorder.journal._syncer._thread.join(5)
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(StoreError, match="could not be synced"):
            recorder.event(a_bbo(2))


def test_journal_f61_slow_sync_shows_as_lag_and_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    entered, release = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(fd: int) -> None:
        entered.set()
        release.wait(10)
        fdatasync(fd)

    monkeypatch.setattr(journal_module.os, "fdatasync", slow)
    recorder.event(a_bbo(1))
    assert entered.wait(5)
    recorder.clock.at_ms = 2_000
    recorder.event(a_bbo(2))
    assert recorder.journal.sync_lag_ms == 2_000
    release.set()
    recorder.close()
    assert recorder.journal.sync_lag_ms == 0


def test_journal_f58_full_disk_spends_the_reserve_then_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    reserve = recorder.journal.folder / "reserve"
    write = os.write
    is_full = True

    def full(fd: int, raw: bytes) -> int:
        # Room comes back once the reserve is given back, as on a real disk; half a turn may have been written.
        if is_full and reserve.exists():
            return write(fd, raw[: len(raw) // 2])
        if is_full and len(raw) > 2_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, raw)

    monkeypatch.setattr(journal_module.os, "write", full)
    assert recorder.journal.is_healthy
    recorder.event(StopRequested(**stamps(1), command_id=1, reason="disk full", operator="shell"))
    assert not recorder.journal.is_healthy
    recorder.journal.append_frame(recorder.state.seq + 1, 1, 5, 5, b"x" * 4_000)
    with pytest.raises(StoreError, match="No space left"):
        recorder.journal.commit()
    found = list(steps(read_segment(next(recorder.journal.folder.glob("*.open")))))
    assert [type(step.event).__name__ for step in found] == ["StopRequested"], "the last words are there, whole"


def test_journal_dev_full_is_a_store_error(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    fd = os.open("/dev/full", os.O_WRONLY)
    os.dup2(fd, recorder.journal._fd)
    os.close(fd)
    with pytest.raises(StoreError):
        recorder.event(a_bbo(1))


_WRITE_UNTIL_FULL = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from journal_builders import Recorder, bbo_frame
from streaming.core.errors import StoreError
recorder = Recorder(Path(sys.argv[1]))
try:
    for at_ms in range(100_000):
        recorder.frame(bbo_frame(at_ms), at_ms)
except StoreError:
    print(len(recorder.inputs))
"""


def test_journal_file_size_limit_leaves_whole_turns(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    child = subprocess.run(
        [sys.executable, "-c", _WRITE_UNTIL_FULL, str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
    )
    folder = tmp_path / "journal" / "venue=sim" / "s1"
    found = list(steps(read_segment(next(folder.glob("*.open")), may_be_torn=False)))
    assert len(found) == int(child.stdout.splitlines()[-1]) > 100


def test_journal_writer_needs_only_a_clock(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, a_session(), segment_bytes_max=1, segment_age_s_max=1, clock=ManualClock())
    writer.open(b"snapshot", "{}", (), seq_last=41)
    writer.append_event(42, a_bbo(1))
    writer.close()
    assert [step.seq for step in steps(read_session(writer.folder))] == [42]
