"""What-if: recorded inputs under other limits, compared with what was recorded, signal by signal."""

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from core_builders import START_TS_NS, a_bbo, a_session, feed, of_type, stamps
from journal_builders import Recorder, record_day

from streaming.cli import main as hip3
from streaming.contracts.paths import day_of
from streaming.core.effects import EntryRefused, FillApplied, GatesEvaluated, PositionChanged, SignalRaised
from streaming.core.engine import new_state
from streaming.core.errors import ConfigError, StoreError
from streaming.core.events import LimitsReloaded
from streaming.core.limits import WIDER_WHEN, Limits
from streaming.shell.replay.recorded import told_on_stderr
from streaming.shell.replay.settings import changed_limits, named_settings
from streaming.shell.replay.text import what_if_text
from streaming.shell.replay.whatif import WhatIfReport, check_what_if

DAY = day_of(START_TS_NS)
AGENT = "0x" + "a1" * 20


def _recorded(root: Path, *, roll_each: int = 11, **session: str) -> Recorder:
    recorder = Recorder(root, session=a_session(**session))
    record_day(recorder, roll_each=roll_each)
    recorder.close()
    return recorder


def _what_if(root: Path, *settings: str) -> WhatIfReport:
    return check_what_if(root, "sim", settings, code_version="test", session_id="s1")


# --- names of settings


@pytest.mark.parametrize("bad", ["nonsense", "detector.x=1", "detector=1", "gates.ctx_age_ms_max=0", "detector.a.b=1"])
def test_setting_refuses_what_is_no_limit(bad: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        changed_limits(Limits(), [bad])


@pytest.mark.parametrize(
    ("bad", "near"),
    [
        ("detector.edge_bps=3", "detector.edge_bps_min"),
        ("gates.ctx_age_ms=3", "gates.ctx_age_ms_max"),
        ("edge_bps_min=3", "detector.edge_bps_min"),
        ("gate.halt_cooldown_ms=3", "gates.halt_cooldown_ms"),
        ("gates.disabled_gates=x", "gates.disabled_gates.NAME"),
    ],
)
def test_setting_unknown_names_what_comes_near(bad: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean .*{near}"):
        changed_limits(Limits(), [bad])


def test_setting_unlike_everything_names_the_sections() -> None:
    with pytest.raises(ConfigError, match="sections are detector, gates, sizing"):
        changed_limits(Limits(), ["qqqq=1"])


def test_setting_words_may_stand_in_another_order() -> None:
    assert changed_limits(Limits(), ["detector.min_edge_bps=7"]).detector.edge_bps_min == 7
    assert named_settings(["limits.detector.min_edge_bps= 7"]) == ["detector.edge_bps_min=7"]


@pytest.mark.parametrize("name", sorted(WIDER_WHEN))
def test_setting_every_limit_can_be_named(name: str) -> None:
    value = msgspec.to_builtins(Limits(), builtin_types=(Decimal,))
    for part in name.split("."):
        value = value[part]
    if name == "losses.correlation_groups":
        changed = changed_limits(Limits(), [f"{name}.tech=xyz:A,xyz:B"])
        assert changed.losses.correlation_groups == {"tech": ("xyz:A", "xyz:B")}
        return
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    assert changed_limits(Limits(), [f"{name}={text}"]) == Limits()


def test_setting_reads_lists_flags_and_entries_of_maps() -> None:
    assert changed_limits(Limits(), ["detector.followup_offsets_ms=1,2"]).detector.followup_offsets_ms == (1, 2)
    assert changed_limits(Limits(), ["losses.is_closed_session_traded=true"]).losses.is_closed_session_traded
    disabled = changed_limits(Limits(), ["gates.disabled_gates.halt=a drill"])
    assert disabled.gates.disabled_gates == {"halt": "a drill"}
    assert changed_limits(disabled, ["gates.disabled_gates.halt="]) == Limits()
    assert changed_limits(Limits(), []) == Limits()


# --- two runs


def test_what_if_that_changes_nothing_finds_every_signal_alike(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    report = _what_if(tmp_path, "detector.edge_bps_min=2")
    total = report.total
    assert report.input_count == len(recorder.inputs)
    assert total.before == total.after
    assert (total.same_count, total.changed_count, total.only_before_count, total.only_after_count) == (2, 0, 0, 0)
    assert report.first_change is None


def test_what_if_before_is_what_was_recorded(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    outputs = [output for step in recorder.outputs for output in step]
    before = _what_if(tmp_path, "detector.edge_bps_min=900").total.before
    gates = of_type(outputs, GatesEvaluated)
    assert before.signal_count == len(of_type(outputs, SignalRaised)) == 2
    assert before.passed_count == sum(not g.is_blocked for g in gates)
    assert before.blocked_by == {name: 1 for g in gates for name in g.blocked_by}
    fees = sum(f.fee for f in of_type(outputs, FillApplied))
    realised = sum(p.realised_pnl for p in of_type(outputs, PositionChanged))
    assert (before.fees_usd, before.realised_usd, before.net_usd) == (fees, realised, realised - fees)
    assert (before.entry_count, before.entry_filled_count, before.round_trip_count) == (1, 1, 1)


def test_what_if_higher_edge_takes_the_signals_away(tmp_path: Path) -> None:
    _recorded(tmp_path)
    report = _what_if(tmp_path, "detector.edge_bps_min=900")
    assert (report.total.only_before_count, report.total.after.signal_count) == (2, 0)
    assert report.total.after.net_usd == 0
    first = report.first_change
    assert first is not None
    assert first.recorded_gates
    assert first.decided_gates == []
    assert [change.after for change in report.sessions[0].changes] == [None, None]


def test_what_if_may_widen_which_a_reload_may_not(tmp_path: Path) -> None:
    _recorded(tmp_path)
    report = _what_if(tmp_path, "gates.mark_mid_divergence_bps_max=500")
    (session,) = report.sessions
    assert session.widened == ("gates.mark_mid_divergence_bps_max",)
    assert "mark_mid_divergence" in report.total.before.blocked_by
    assert "mark_mid_divergence" not in report.total.after.blocked_by
    assert (report.total.same_count, report.total.changed_count) == (1, 1)
    first = report.first_change
    assert first is not None
    assert "mark_mid_divergence" in first.differing_gates
    assert first.recorded_gates[0] != first.decided_gates[0]
    assert "wider than it ran with" in what_if_text(report)


def test_what_if_decides_as_an_engine_that_began_with_those_limits(tmp_path: Path) -> None:
    recorder = _recorded(tmp_path)
    settings = [
        "detector.edge_bps_min=0.5",
        "paper.latency_ms=100",
        "sizing.order_ntl_max=20",
        "detector.rearm_ratio=0.9",
    ]
    fresh = new_state(recorder.session, changed_limits(Limits(), settings), recorder.specs)
    outputs = feed(fresh, *recorder.inputs)
    after = _what_if(tmp_path, *settings).total.after
    assert after.signal_count == len(of_type(outputs, SignalRaised))
    assert after.fees_usd == sum(f.fee for f in of_type(outputs, FillApplied)) > 0
    assert after.realised_usd == sum(p.realised_pnl for p in of_type(outputs, PositionChanged))
    assert sum(after.refused_by.values()) == len(of_type(outputs, EntryRefused))


def test_what_if_of_a_session_that_could_sign_is_decided_on_paper_twice(tmp_path: Path) -> None:
    _recorded(tmp_path / "live", account="0x" + "b2" * 20, agent=AGENT)
    _recorded(tmp_path / "paper")
    live = _what_if(tmp_path / "live", "detector.edge_bps_min=2")
    paper = _what_if(tmp_path / "paper", "detector.edge_bps_min=2")
    assert (live.sessions[0].is_paper_only, paper.sessions[0].is_paper_only) == (True, False)
    assert live.total == paper.total


def test_what_if_a_day_sums_its_sessions_and_markets(tmp_path: Path) -> None:
    _recorded(tmp_path)
    _recorded(tmp_path, session_id="s2")
    report = check_what_if(tmp_path, "sim", ["detector.edge_bps_min=900"], code_version="test", day=DAY)
    assert (report.session_count, report.total.before.signal_count) == (2, 4)
    assert report.markets["xyz:NVDA"] == report.total
    with pytest.raises(StoreError, match="found none"):
        check_what_if(tmp_path, "sim", ["detector.edge_bps_min=1"], code_version="test", day="2020-01-01")


def test_what_if_reload_of_the_recording_keeps_the_changed_limit(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record_day(recorder)
    tighter = changed_limits(Limits(), ["detector.edge_bps_min=5"])
    recorder.event(LimitsReloaded(**stamps(9_200), command_id=2, config_hash="c1", limits=tighter))
    recorder.event(a_bbo(12_000))
    recorder.close()
    report = _what_if(tmp_path, "detector.edge_bps_min=900")
    assert report.total.after.signal_count == 0


# --- the command


def test_command_what_if_speaks_json_and_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _recorded(tmp_path)
    words = [
        "replay",
        "--day",
        DAY,
        "--warehouse",
        str(tmp_path),
        "--venue",
        "sim",
        "--set",
        "detector.min_edge_bps=900",
    ]
    assert hip3([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["settings"] == ["detector.edge_bps_min=900"]
    assert (answer["total"]["before"]["signal_count"], answer["total"]["after"]["signal_count"]) == (2, 0)
    assert hip3(words) == 0
    assert "0 alike, 0 judged otherwise, 2 gone, 0 new" in capsys.readouterr().out
    assert hip3([*words[:-1], "gates.ctx_age=1"]) == 2
    assert "gates.ctx_age_ms_max" in capsys.readouterr().err


def test_command_without_a_session_takes_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--warehouse", str(tmp_path), "--venue", "sim"]
    assert hip3(["replay", *where, "--set", "detector.edge_bps_min=3"]) == 4
    assert "found none" in capsys.readouterr().err
    _recorded(tmp_path)
    assert hip3(["replay", *where, "--set", "detector.edge_bps_min=900", "--json"]) == 0
    assert [s["session_id"] for s in json.loads(capsys.readouterr().out)["sessions"]] == ["s1"]
    assert hip3(["replay", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_equal"]


def test_progress_is_silent_for_the_first_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    tell = told_on_stderr("hip3 replay")
    tell("at once")
    assert capsys.readouterr().err == ""
