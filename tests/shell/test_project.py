import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_builders import a_bbo, a_session, a_spec, stamps
from journal_builders import Recorder, bbo_frame, record_day

from streaming.cli import main as hip3
from streaming.contracts.manifest import ManifestLine, read_manifest
from streaming.contracts.paths import manifest_path
from streaming.contracts.projection import Projector
from streaming.contracts.tables import SESSION_COLUMNS, TABLES, Table
from streaming.core.effects import AnyOutput
from streaming.core.errors import StoreError
from streaming.core.events import AnyEvent, SpecsReceived
from streaming.shell.journal.reader import list_segments
from streaming.shell.journal.retention import Retention, sweep_journal
from streaming.shell.tables import project as project_module
from streaming.shell.tables.project import project_session, project_venue
from streaming.shell.tables.seal import PartWriter, file_sha256

ROOT = Path(__file__).resolve().parents[2]
DAY_NS = 86_400_000_000_000


def _recorded(root: Path, *, roll_each: int = 9, session_id: str = "s1") -> Recorder:
    recorder = Recorder(root, session=a_session(session_id=session_id))
    record_day(recorder, roll_each=roll_each)
    recorder.close()
    return recorder


def _lines(root: Path, session_id: str = "s1") -> list[ManifestLine]:
    path = manifest_path(root, "sim", session_id)
    return list(read_manifest(path)) if path.exists() else []


def _sealed(root: Path, session_id: str = "s1") -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for line in _lines(root, session_id):
        table = pq.ParquetFile(root / line.path, page_checksum_verification=True).read()
        assert table.schema.equals(TABLES[line.table].schema, check_metadata=True)
        assert file_sha256(root / line.path) == line.sha256
        names = [name for name in TABLES[line.table].names if name not in SESSION_COLUMNS]
        rows.setdefault(line.table, []).extend(zip(*(table[name].to_pylist() for name in names), strict=True))
    return {table: sorted(body, key=repr) for table, body in rows.items()}


def _expected(recorder: Recorder) -> dict[str, list[tuple[Any, ...]]]:
    projector = Projector(recorder.specs)
    for seq, (event, outputs) in enumerate(zip(recorder.inputs, recorder.outputs, strict=True), 1):
        projector.feed(seq, event, outputs)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for (table, _), body in projector.take().items():
        rows.setdefault(table, []).extend(body)
    return {table: sorted(body, key=repr) for table, body in rows.items()}


def test_project_i27_sealed_rows_are_the_projection_of_the_journal(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    done = project_session(tmp_path, "sim", "s1")
    sealed = _sealed(tmp_path)
    (config,) = sealed.pop("configs")
    assert config[-1] == '{"venue":"sim"}'
    assert sealed == _expected(recorder)
    assert sum(item.input_count for item in done) == len(recorder.inputs)
    assert {segment.suffix for segment in list_segments(recorder.journal.folder)} == {".jnl.zst"}


def test_project_again_changes_nothing(tmp_path: Path) -> None:
    _recorded(tmp_path)
    project_session(tmp_path, "sim", "s1")
    before = _lines(tmp_path)
    assert project_session(tmp_path, "sim", "s1") == []
    assert project_venue(tmp_path, "sim") == []
    assert _lines(tmp_path) == before


def test_project_passes_over_the_open_segment_of_a_live_session(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder, roll_each=9)
    project_session(tmp_path, "sim", "s1")
    assert [s.suffix for s in list_segments(recorder.journal.folder)][-1] == ".open"
    recorder.close()
    project_session(tmp_path, "sim", "s1")
    sealed = _sealed(tmp_path)
    sealed.pop("configs")
    assert sealed == _expected(recorder)


@pytest.mark.parametrize("step", ["seal", "announce", "compress"])
def test_project_f56_stopped_after_any_step_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    recorder = _recorded(tmp_path)

    class Killed(BaseException):
        """Stands for SIGKILL: nothing may catch it."""

    done = {"seal": PartWriter.seal, "announce": PartWriter.announce, "compress": project_module.compress}[step]
    calls = 0

    def stop_after_third(*args: object, **kwargs: object) -> object:
        nonlocal calls
        result = done(*args, **kwargs)
        calls += 1
        if calls == 3:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(project_module if step == "compress" else PartWriter, step, stop_after_third)
        with pytest.raises(Killed):
            project_session(tmp_path, "sim", "s1")
    project_session(tmp_path, "sim", "s1")
    paths = [line.path for line in _lines(tmp_path)]
    assert len(set(paths)) == len(paths), "no part is announced twice"
    sealed = _sealed(tmp_path)
    sealed.pop("configs")
    assert sealed == _expected(recorder)


def test_project_f83_damaged_segment_is_not_projected_past(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    path = list_segments(recorder.journal.folder)[1].path
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=rf"{path.name} at byte"):
        project_session(tmp_path, "sim", "s1")
    assert {line.part for line in _lines(tmp_path)} == {1}


def test_project_rows_carry_the_spec_version_in_force_at_their_segment(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes_max=1)
    recorder.event(a_bbo(1))
    recorder.event(SpecsReceived(**stamps(2), specs=(a_spec(spec_version="v2"),)))
    recorder.roll()
    recorder.event(a_bbo(3))
    recorder.close()
    project_session(tmp_path, "sim", "s1")
    assert [row[3] for row in sorted(_sealed(tmp_path)["bbo"])] == [a_spec().spec_version, "v2"]


def test_project_reload_writes_rows_under_both_configurations(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.event(a_bbo(1))
    recorder.journal.set_config("c1", '{"venue":"sim","x":1}')
    recorder.roll()
    recorder.event(a_bbo(2))
    recorder.close()
    project_session(tmp_path, "sim", "s1")
    hashes = {
        line.part: set(pq.read_table(tmp_path / line.path)["config_hash"].to_pylist())
        for line in _lines(tmp_path)
        if line.table == "bbo"
    }
    assert hashes == {1: {"c0"}, 2: {"c1"}}
    assert [row[-1] for row in sorted(_sealed(tmp_path)["configs"])] == ['{"venue":"sim"}', '{"venue":"sim","x":1}']


def test_project_one_projector_a_session(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    with project_module._only_projector(recorder.journal.folder) as is_mine:
        assert is_mine
        assert project_session(tmp_path, "sim", "s1") == []
    assert project_session(tmp_path, "sim", "s1")


def test_rebuild_proves_equal_rows_and_repairs_damage(tmp_path: Path) -> None:
    _recorded(tmp_path)
    project_session(tmp_path, "sim", "s1")
    before = _lines(tmp_path)
    damaged, lost = (tmp_path / line.path for line in before[:2])
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)
    lost.unlink()
    done = project_session(tmp_path, "sim", "s1", rebuild=True)
    assert sum(item.repaired_count for item in done) == 2
    assert _lines(tmp_path) == before
    _sealed(tmp_path)


def test_rebuild_refuses_when_a_sealed_part_would_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _recorded(tmp_path)
    project_session(tmp_path, "sim", "s1")
    before = {line.path: file_sha256(tmp_path / line.path) for line in _lines(tmp_path)}
    feed = Projector.feed

    def shifted(self: Projector, seq: int, event: AnyEvent, outputs: Sequence[AnyOutput]) -> None:
        feed(self, seq + 1_000, event, outputs)

    monkeypatch.setattr(Projector, "feed", shifted)
    with pytest.raises(StoreError, match="nothing was changed"):
        project_session(tmp_path, "sim", "s1", rebuild=True)
    assert {path: file_sha256(tmp_path / path) for path in before} == before


def test_rebuild_with_another_encoder_is_equal_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _recorded(tmp_path)
    project_session(tmp_path, "sim", "s1")
    encode = PartWriter._encode

    def reencoded(self: PartWriter, spec: Table, body: pa.Table) -> pa.Buffer:
        sink = pa.BufferOutputStream()
        pq.write_table(pq.read_table(pa.BufferReader(encode(self, spec, body))), sink, compression="snappy")
        return sink.getvalue()

    monkeypatch.setattr(PartWriter, "_encode", reencoded)
    assert sum(item.repaired_count for item in project_session(tmp_path, "sim", "s1", rebuild=True)) == 0


def test_command_project_prints_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _recorded(tmp_path)
    place = ["--warehouse", str(tmp_path), "--venue", "sim"]
    assert hip3(["project", *place]) == 0
    assert "segment 1: 9 inputs" in capsys.readouterr().out
    assert hip3(["project", *place, "--session", "s1", "--rebuild", "--json"]) == 0
    assert '"repaired_count": 0' in capsys.readouterr().out
    assert hip3(["project", *place, "--session", "none"]) == 4
    assert "expected the journal of a session" in capsys.readouterr().err
    assert hip3(["project", "--warehouse", str(tmp_path), "--venue", "nowhere"]) == 2


def test_retention_removes_oldest_projected_only(tmp_path: Path) -> None:
    old = _recorded(tmp_path, session_id="a-old")
    project_session(tmp_path, "sim", "a-old")
    shutil.copytree(old.journal.folder, old.journal.folder.with_name("b-new"))
    size = sum(s.path.stat().st_size for s in list_segments(old.journal.folder))
    now_ns = old.journal.folder.stat().st_mtime_ns
    assert sweep_journal(tmp_path, "sim", Retention(10 * size, 1), now_ts_ns=now_ns) == []
    removed = sweep_journal(tmp_path, "sim", Retention(2 * size - 1, 1), now_ts_ns=now_ns)
    assert [path.name for path in removed] == ["000001.jnl.zst"]
    assert removed[0].parent == old.journal.folder
    sweep_journal(tmp_path, "sim", Retention(0, 1), now_ts_ns=now_ns)
    assert not old.journal.folder.exists()
    kept = list_segments(old.journal.folder.with_name("b-new"))
    assert len(kept) == 1, "recovery starts from the newest session's last segment"


def test_retention_by_age_and_never_an_unprojected_segment(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path, session_id="a")
    _recorded(tmp_path, session_id="z")
    later_ns = recorder.journal.folder.stat().st_mtime_ns + 40 * DAY_NS
    assert sweep_journal(tmp_path, "sim", Retention(0, 1), now_ts_ns=later_ns) == []
    project_session(tmp_path, "sim", "a")
    assert len(sweep_journal(tmp_path, "sim", Retention(1 << 40, 30), now_ts_ns=later_ns)) > 1


def _wait_for_parts(root: Path, part: int) -> None:
    deadline = time.monotonic() + 60
    while part not in {line.part for line in _lines(root)}:
        assert time.monotonic() < deadline, (root / "log").read_text()
        time.sleep(0.05)


def test_follow_projects_while_the_session_lives_and_the_rest_on_sigterm(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder, roll_each=20)
    command = [sys.executable, "-m", "streaming.shell.tables.follow", "--root", str(tmp_path), "--venue", "sim"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--session", "s1", "--follow"], cwd=ROOT, stderr=log)
    try:
        _wait_for_parts(tmp_path, 2)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10
        recorder.frame(bbo_frame(9_500), 9_500)
        recorder.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    sealed = _sealed(tmp_path)
    sealed.pop("configs")
    assert sealed == _expected(recorder)
    assert b'"event": "segment_projected"' in (tmp_path / "log").read_bytes()


def test_project_venue_damage_in_one_session_does_not_hold_up_the_others(tmp_path: Path) -> None:
    bad = _recorded(tmp_path, session_id="bad", roll_each=0)
    good = _recorded(tmp_path, session_id="good")
    path = list_segments(bad.journal.folder)[0].path
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="bad"):
        project_venue(tmp_path, "sim")
    assert {segment.suffix for segment in list_segments(good.journal.folder)} == {".jnl.zst"}


def test_project_damaged_manifest_is_a_store_error(tmp_path: Path) -> None:
    _recorded(tmp_path)
    path = manifest_path(tmp_path, "sim", "s1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"table":1}\n')
    with pytest.raises(StoreError, match="expected manifest lines"):
        project_session(tmp_path, "sim", "s1")
