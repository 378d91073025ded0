"""A child writes or projects a journal and is killed with SIGKILL; nothing that was committed may be missing."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from core_builders import a_session
from journal_builders import Recorder, bbo_frame, record_day

from streaming.contracts.manifest import read_manifest
from streaming.contracts.paths import journal_folder, manifest_path
from streaming.core.events import BboUpdated
from streaming.shell.journal.reader import list_segments, list_sessions, read_session, steps
from streaming.shell.journal.recovery import last_state
from streaming.shell.replay.parity import check_parity
from streaming.shell.tables.project import project_session, project_venue
from streaming.shell.tables.seal import file_sha256

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
KILL_COUNT = 5

_WRITE = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from core_builders import a_session, events_until_ready, stamps
from streaming.core.events import StopRequested
from journal_builders import Recorder, bbo_frame
recorder = Recorder(Path(sys.argv[1]), session=a_session(session_id=sys.argv[2]), segment_bytes_max=300_000)
recorder.events(*events_until_ready(0), StopRequested(**stamps(1), command_id=1, reason="drill", operator="t"))
for at_ms in range(2, 10_000_000, 7):
    # Every tenth book crosses the oracle, so that turns of very different sizes are cut.
    recorder.frame(bbo_frame(at_ms, *(("99.3", "99.4") if at_ms % 10 == 0 else ("99.98", "100.02"))), at_ms)
    recorder.clock.at_ms = at_ms
    recorder.roll()
    print(recorder.state.seq, flush=True)
"""

_PROJECT = [sys.executable, "-m", "streaming.shell.tables.follow", "--venue", "sim"]


def _killed_writer(root: Path, session_id: str, delay_s: float) -> int:
    """Let a child write for `delay_s` after its first turn, kill it, and return the last seq it said was committed."""
    command = [sys.executable, "-c", _WRITE, str(root), session_id]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines: list[str] = [child.stdout.readline()]
        threading.Timer(delay_s, child.send_signal, [signal.SIGKILL]).start()
        lines += child.stdout.readlines()
    return int([line for line in lines if line.endswith("\n")][-1])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A warehouse with the journals of several killed writers, and what each had committed."""
    root = tmp_path_factory.mktemp("killed")
    source = random.Random(11)
    return root, {f"k{i}": _killed_writer(root, f"k{i}", source.uniform(0.0, 0.6)) for i in range(KILL_COUNT)}


def test_f54_every_committed_turn_survives_sigkill(killed: tuple[Path, dict[str, int]]) -> None:
    root, committed = killed
    for session_id, seq_committed in committed.items():
        found = list(steps(read_session(journal_folder(root, "sim", session_id))))
        assert [step.seq for step in found] == list(range(1, len(found) + 1))
        assert len(found) >= seq_committed


def test_i24_killed_sessions_decide_the_same_again(killed: tuple[Path, dict[str, int]]) -> None:
    root, committed = killed
    for session_id in committed:
        report = check_parity(root, "sim", code_version="test", session_id=session_id)
        assert report.is_equal, report.first_difference


def test_i17_f57_recovery_after_kills_finds_the_latch_every_time(killed: tuple[Path, dict[str, int]]) -> None:
    root, _ = killed
    carried = [last_state(root, "sim", "") for _ in range(3)]
    assert all(state is not None and state.control.latch is not None for state in carried)
    assert carried[0] == carried[1] == carried[2]


def test_i27_projection_after_kills_has_each_received_row_once(killed: tuple[Path, dict[str, int]]) -> None:
    root, committed = killed
    expected = {
        name: [s.seq for s in steps(read_session(journal_folder(root, "sim", name))) if isinstance(s.event, BboUpdated)]
        for name in committed
    }
    project_venue(root, "sim")
    assert set(list_sessions(root, "sim")) == set(committed)
    for session_id, seqs in expected.items():
        assert _sealed_seqs(root, session_id) == seqs


def _sealed_seqs(root: Path, session_id: str) -> list[int]:
    seqs: list[int] = []
    for line in read_manifest(manifest_path(root, "sim", session_id)):
        assert file_sha256(root / line.path) == line.sha256
        if line.table == "bbo":
            seqs += pq.ParquetFile(root / line.path, page_checksum_verification=True).read()["seq"].to_pylist()
    return sorted(seqs)


def test_f56_projector_killed_at_random_instants_converges(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, session=a_session())
    record_day(recorder)
    for i in range(400):
        at_ms = 9_200 + 3 * i
        recorder.frame(bbo_frame(at_ms, f"99.{10 + i % 80}", "100.02"), at_ms)
        if i % 5 == 0:
            recorder.journal._must_roll = True
            recorder.roll()
    recorder.close()
    source = random.Random(5)
    folder = recorder.journal.folder
    for _ in range(KILL_COUNT):
        child = subprocess.Popen(
            [*_PROJECT, "--root", str(tmp_path), "--session", "s1"], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        before = len(list(folder.glob("*.zst")))
        deadline = time.monotonic() + 30
        # Killed while at work, wherever that happens to be: some milliseconds after it finished a segment.
        while child.poll() is None and len(list(folder.glob("*.zst"))) == before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(source.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert any(not segment.path.name.endswith(".zst") for segment in list_segments(folder)), "killed in the middle"
    project_session(tmp_path, "sim", "s1")
    paths = [line.path for line in read_manifest(manifest_path(tmp_path, "sim", "s1"))]
    assert len(set(paths)) == len(paths)
    received = [seq for seq, event in enumerate(recorder.inputs, 1) if isinstance(event, BboUpdated)]
    assert _sealed_seqs(tmp_path, "s1") == received
    assert not list((tmp_path / "landing").rglob("*.tmp"))
    assert not list(folder.glob("*.tmp"))
    assert check_parity(tmp_path, "sim", code_version="test", session_id="s1").is_equal


_SIDECAR = """
import subprocess, sys
sys.path.insert(0, "tests")
from pathlib import Path
from core_builders import a_session
from journal_builders import Recorder, record_day
recorder = Recorder(Path(sys.argv[1]), session=a_session())
record_day(recorder, roll_each=10)
child = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
print(child.pid, recorder.state.seq, flush=True)
child.wait()
"""


def test_l4_projector_of_a_killed_sidecar_seals_its_last_segment_and_ends(tmp_path: Path) -> None:
    command = [*_PROJECT, "--root", str(tmp_path), "--session", "s1", "--follow"]
    with subprocess.Popen(
        [sys.executable, "-c", _SIDECAR, str(tmp_path), *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pid, seq_last = map(int, parent.stdout.readline().split())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and _state_of(pid) != "Z":
        assert time.monotonic() < deadline, "the projector outlives its parent"
        time.sleep(0.05)
    segments = list_segments(journal_folder(tmp_path, "sim", "s1"))
    assert {segment.suffix for segment in segments} == {".jnl.zst"}
    assert list(steps(read_session(segments[0].path.parent)))[-1].seq == seq_last


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"
