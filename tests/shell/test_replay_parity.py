import json
import shutil
from pathlib import Path

import msgspec
import pytest
from core_builders import START_TS_NS, a_session
from journal_builders import Recorder, edit_segment, record_day

from streaming.cli import main as hip3
from streaming.contracts.paths import day_begin_ns, day_of
from streaming.core.effects import AnyOutput, FillApplied, GatesEvaluated, GateStatus
from streaming.core.errors import StoreError
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import list_segments
from streaming.shell.replay.parity import check_parity
from streaming.shell.replay.text import parity_text
from streaming.shell.tables.project import project_session

DAY = day_of(START_TS_NS)


def _recorded(root: Path, *, roll_each: int = 11, session_id: str = "s1") -> Recorder:
    recorder = Recorder(root, session=a_session(session_id=session_id))
    record_day(recorder, roll_each=roll_each)
    recorder.close()
    return recorder


def test_parity_i24_recorded_session_has_no_difference(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert report.is_equal
    assert report.input_count == len(recorder.inputs)
    assert report.decision_count == sum(map(len, recorder.outputs))
    assert report.sessions[0].recorded_counts == report.sessions[0].decided_counts


def test_parity_says_plainly_that_other_code_recorded(tmp_path: Path) -> None:
    _recorded(tmp_path)
    same = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    other = check_parity(tmp_path, "sim", code_version="next", session_id="s1")
    assert (same.is_same_code, other.is_same_code) == (True, False)
    assert "code" not in parity_text(same)
    assert "recorded by test, decided again by next" in parity_text(other)
    assert parity_text(other).endswith("the code is not the one that recorded (above); all the same\n")


def test_parity_reads_compressed_segments_too(tmp_path: Path) -> None:
    _recorded(tmp_path)
    project_session(tmp_path, "sim", "s1")
    assert check_parity(tmp_path, "sim", code_version="test", session_id="s1").is_equal


def test_parity_finds_exactly_the_planted_decision(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    planted = next(
        seq
        for seq, outputs in enumerate(recorder.outputs, 1)
        if any(isinstance(output, GatesEvaluated) and output.is_blocked for output in outputs)
    )

    def pass_all(record: fmt.OutputsRecord) -> list[AnyOutput]:
        return [
            msgspec.structs.replace(
                output, results=tuple(msgspec.structs.replace(r, status=GateStatus.PASS) for r in output.results)
            )
            if isinstance(output, GatesEvaluated)
            else output
            for output in record.outputs
        ]

    for segment in list_segments(recorder.journal.folder):
        edit_segment(segment.path, pass_all)
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert (report.difference_count, report.state_difference_count) == (1, 0)
    first = report.first_difference
    assert first is not None
    assert (first.seq, first.event, first.coin) == (planted, "BboUpdated", "xyz:NVDA")
    assert {gate["status"] for gate in first.recorded_gates[0]} == {"pass"}
    assert "block" in {gate["status"] for gate in first.decided_gates[0]}
    assert first.differing_gates
    blocking = {gate["gate"] for gate in first.decided_gates[0] if gate["status"] == "block"}
    assert set(first.differing_gates) == blocking


@pytest.mark.parametrize("what", ["dropped", "added"])
def test_parity_finds_a_decision_too_many_or_too_few(tmp_path: Path, what: str) -> None:
    recorder = _recorded(tmp_path, roll_each=0)

    def change(record: fmt.OutputsRecord) -> list[AnyOutput]:
        if not any(isinstance(output, FillApplied) and output.is_reduce_only for output in record.outputs):
            return record.outputs
        return record.outputs[:-1] if what == "dropped" else [*record.outputs, record.outputs[-1]]

    edit_segment(list_segments(recorder.journal.folder)[0].path, change)
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert report.difference_count == 1
    assert not report.is_equal


def test_parity_finds_a_state_that_inputs_do_not_lead_to(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder)
    recorder.journal._must_roll = True
    recorder.state.signal_count += 1
    recorder.roll()
    recorder.state.signal_count -= 1
    recorder.close()
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert (report.difference_count, report.state_difference_count, report.is_equal) == (0, 1, False)


def test_parity_day_takes_every_session_with_inputs_that_day(tmp_path: Path) -> None:
    first = _recorded(tmp_path)
    second = _recorded(tmp_path, session_id="s2")
    report = check_parity(tmp_path, "sim", code_version="test", day=DAY)
    assert report.session_count == 2
    assert report.input_count == len(first.inputs) + len(second.inputs)
    with pytest.raises(StoreError, match="found none"):
        check_parity(tmp_path, "sim", code_version="test", day="2020-01-01")


def test_parity_day_counts_only_its_own_inputs(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    next_day = day_of(day_begin_ns(DAY) + 86_400_000_000_000)
    with pytest.raises(StoreError, match=f"day {next_day}"):
        check_parity(tmp_path, "sim", code_version="test", day=next_day)
    assert check_parity(tmp_path, "sim", code_version="test", day=DAY).input_count == len(recorder.inputs)


def test_parity_of_a_live_session_leaves_the_unfinished_turn_out(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder)
    (open_segment,) = list_segments(recorder.journal.folder)
    raw = open_segment.path.read_bytes()
    recorder.journal.close()
    path = list_segments(recorder.journal.folder)[0].path
    path.unlink()
    for cut in range(1, 400, 13):
        open_segment.path.write_bytes(raw[:-cut])
        report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
        assert report.is_equal, cut


def test_command_replay_exit_code_tells_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = _recorded(tmp_path)
    where = ["--warehouse", str(tmp_path), "--venue", "sim"]
    assert hip3(["replay", "--day", DAY, *where, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["is_equal"], answer["difference_count"], answer["first_difference"]) == (True, 0, None)
    for segment in list_segments(recorder.journal.folder):
        edit_segment(segment.path, lambda record: record.outputs[1:] or record.outputs * 2)
    assert hip3(["replay", "--session", "s1", *where]) == 1
    text = capsys.readouterr().out
    assert "first difference: session s1, seq 1" in text
    assert "DIFFERENT" in text
    assert hip3(["replay", "--session", "s1", *where, "--set", "detector.edge_bps_min=900"]) == 0
    assert "what-if" in capsys.readouterr().out


def test_command_replay_refuses_wrong_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--warehouse", str(tmp_path), "--venue", "sim"]
    assert hip3(["replay", "--day", "2026-02-30", *where]) == 2
    assert "expected a day as YYYY-MM-DD, found '2026-02-30'" in capsys.readouterr().err
    assert hip3(["replay", "--session", "../x", *where]) == 2
    assert hip3(["replay", "--session", "unknown", *where]) == 4
    shutil.rmtree(tmp_path)
