"""A disk that is really full (F-58): a tmpfs of 1 MiB in a namespace of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "-Urm", "sh", "-c"]
_FILL = """
import json, sys
sys.path.insert(0, "tests")
from pathlib import Path
from core_builders import stamps
from journal_builders import Recorder, bbo_frame
from streaming.core.errors import StoreError
from streaming.core.events import StopRequested
from streaming.shell.journal.reader import read_segment, steps
from streaming.shell.journal.recovery import last_state
recorder = Recorder(Path(sys.argv[1]))
at_ms, last_words = 0, None
try:
    while True:
        at_ms += 1
        recorder.frame(bbo_frame(at_ms), at_ms)
        if not recorder.journal.is_healthy and last_words is None:
            last_words = len(recorder.inputs)
            recorder.event(StopRequested(**stamps(at_ms), command_id=1, reason="disk full", operator="shell"))
except StoreError as error:
    recorded = len(list(steps(read_segment(next(recorder.journal.folder.glob("*.open")), may_be_torn=False))))
    latch = last_state(Path(sys.argv[1]), "sim", "").control.latch
    print(json.dumps([last_words, recorded, len(recorder.inputs), latch.reason, str(error)]))
"""


def test_f58_full_disk_the_reserve_holds_the_last_words(tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("user namespaces are not available here")
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    child = subprocess.run([*UNSHARE, script, _FILL], cwd=ROOT, check=True, capture_output=True, text=True)
    last_words, recorded, committed, latch, error = json.loads(child.stdout.splitlines()[-1])
    assert last_words is not None
    assert recorded == committed > last_words, "every turn that was committed is whole, the last words among them"
    assert latch == "disk full"
    assert "No space left" in error
