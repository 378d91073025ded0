import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from core_builders import START_TS_NS
from hypothesis import given
from hypothesis import strategies as st
from journal_builders import bbo_frame, trades_frame

from streaming.cli import main as hip3
from streaming.contracts.manifest import read_manifest
from streaming.contracts.paths import day_of, manifest_path
from streaming.contracts.tables import TABLES
from streaming.core.errors import ConfigError
from streaming.shell.replay.frame_lines import parse_line, read_frame_lines, stamp_ns
from streaming.shell.replay.frames import FramesReport, inferred_specs, replay_frames, survey_frames
from streaming.shell.replay.text import frames_text

NS = 1_000_000_000
FRAME = b'{"channel":"bbo","data":{"coin":"xyz:NVDA","time":1790000000123,"bbo":[null,null]}}'


def _ctx_frame(coin: str = "xyz:NVDA", oracle_px: str = "100") -> bytes:
    ctx = {"funding": "0.0", "openInterest": "5", "oraclePx": oracle_px, "markPx": oracle_px, "midPx": oracle_px}
    return json.dumps({"channel": "activeAssetCtx", "data": {"coin": coin, "ctx": ctx}}).encode()


def _write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def _replay(
    path: Path, *, out: Path | None = None, settings: Sequence[str] = (), specs: Path | None = None
) -> FramesReport:
    return replay_frames(path, code_version="test", out=out, settings=settings, specs=specs)


def _stamped(at_ms: float, frame: bytes) -> bytes:
    return b'{"recv_ts_ns":%d,"raw":%s}' % (START_TS_NS + round(at_ms * 1_000_000), frame)


@pytest.mark.parametrize(
    ("line", "stamp"),
    [
        (FRAME, None),
        (b'{"raw":' + FRAME + b"}", None),
        (b'{"raw":' + json.dumps(FRAME.decode()).encode() + b',"recv_ts_ns":1790000000123456789}', 1790000000123456789),
        (b'{"t":1790000000123,"frame":' + FRAME + b"}", 1790000000123 * 1_000_000),
        (b'{"timestamp":1790000000.5,"data":' + FRAME + b"}", 1790000000 * NS + NS // 2),
        (b'{"ts_us":1790000000123456,"msg":' + FRAME + b"}", 1790000000123456000),
        (b'{"time":"2026-09-21T13:33:20.25Z","ver_num":1,"raw":' + FRAME + b"}", 1789997600 * NS + NS // 4),
        (b'{"time":"2026-09-21T13:33:20","raw":' + FRAME + b"}", 1789997600 * NS),
        (b"[1790000000123," + FRAME + b"]", 1790000000123 * 1_000_000),
        (b"[1790000000.25," + json.dumps(FRAME.decode()).encode() + b"]", 1790000000 * NS + NS // 4),
        (b'{"payload":{"raw":' + FRAME + b'},"ts":1790000000}', 1790000000 * NS),
        (FRAME[:-1] + b',"recv_ts_ms":1790000000123}', 1790000000123 * 1_000_000),
    ],
)
def test_line_in_any_common_wrapping_gives_the_frame_and_its_stamp(line: bytes, stamp: int | None) -> None:
    found = parse_line(line)
    assert json.loads(found.raw)["channel"] == "bbo"
    assert found.recv_ts_ns == stamp


@pytest.mark.parametrize("line", [b"nonsense", b"{}", b"[]", b"7", b'{"raw":{"a":1}}', b"[[[[[[[[1]]]]]]]]", b"\xff"])
def test_line_without_a_frame_is_handed_on_whole(line: bytes) -> None:
    assert parse_line(line) == (line, None)


@given(line=st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    assert len(list(read_frame_lines([line]))) <= 1


@pytest.mark.parametrize("value", [b"12", b"-5", b"true", b'"soon"', b"1e400", b"NaN", b"99999999999999999999999"])
def test_number_that_is_no_wall_clock_is_no_stamp(value: bytes) -> None:
    assert stamp_ns(value) is None


def test_frames_every_frame_is_counted_once_by_channel_and_reason(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "f.jsonl",
        bbo_frame(0),
        _ctx_frame(),
        b'{"channel":"pong"}',
        b'{"channel":"somethingNew","data":{}}',
        b'{"channel":"bbo","data":{"coin":"xyz:NVDA","time":1,"bbo":[{"px":"-1","sz":"1","n":1},null]}}',
        b"garbage",
        b"",
    )
    report = _replay(path)
    assert (report.frame_count, report.read_count, report.unreadable_count, report.unknown_count) == (6, 3, 2, 1)
    assert report.channels["bbo"]["unreadable_count"] == 1
    assert list(report.channels["bbo"]["reasons"].values()) == [1]
    assert report.channels["unknown"]["reasons"] == {"not JSON": 1}
    assert report.channels["somethingNew"]["unknown_count"] == 1
    text = frames_text(report)
    assert "unknown: 1 x not JSON" in text


def test_frames_signal_reaches_the_tables_under_venue_replay(tmp_path: Path) -> None:
    lines = [_stamped(i * 100, bbo_frame(i * 100)) for i in range(30)]
    lines[1:1] = [_stamped(50, _ctx_frame())]
    lines += [_stamped(3_000, bbo_frame(3_000, "98.90", "99.00")), _stamped(3_400, bbo_frame(3_400))]
    lines += [_stamped(3_450, trades_frame(3_450, 1, 2)), _stamped(9_000, _ctx_frame())]
    out = tmp_path / "wh"
    report = _replay(_write(tmp_path / "f.jsonl", *lines), out=out)
    (market,) = report.markets
    assert (market.day, market.coin, market.bbo_count, market.ctx_count) == (day_of(START_TS_NS), "xyz:NVDA", 32, 2)
    assert (market.cross_buy_count, market.cross_sell_count) == (1, 0)
    assert (market.episode_count, market.signal_count, market.blocked_count) == (1, 1, 1)
    assert {"oi_cap", "halt"} <= set(market.blocked_by)
    assert market.bbo_interval_ms is not None
    assert market.bbo_interval_ms.p50 == 100.0
    assert report.stamp_sources == {"recorder": len(lines), "venue": 0, "synthetic": 0}
    found = {line.table: line for line in read_manifest(manifest_path(out, "replay", report.session_id))}
    assert {"bbo", "ctx", "trades", "signals", "gates", "followups", "episodes", "specs", "configs"} <= set(found)
    table = pq.read_table(out / found["signals"].path)
    assert table.schema.equals(TABLES["signals"].schema, check_metadata=True)
    assert table["spec_version"][0].as_py().startswith("inferred-")
    assert table["venue"].to_pylist() == ["replay"]


def test_frames_replayed_twice_are_the_same_parts(tmp_path: Path) -> None:
    path = _write(tmp_path / "f.jsonl", _stamped(0, bbo_frame(0)), _stamped(10, _ctx_frame()))
    reports = [_replay(path, out=tmp_path / "wh") for _ in range(2)]
    assert reports[0] == reports[1]
    manifest = manifest_path(tmp_path / "wh", "replay", reports[0].session_id)
    assert len(list(read_manifest(manifest))) == reports[0].part_count
    other = _replay(path, out=tmp_path / "wh", settings=["detector.edge_bps_min=3"])
    assert other.session_id != reports[0].session_id


def test_frames_without_stamps_say_where_their_time_comes_from(tmp_path: Path) -> None:
    report = _replay(_write(tmp_path / "f.jsonl", _ctx_frame(), bbo_frame(0), _ctx_frame(), bbo_frame(500)))
    assert report.stamp_sources == {"recorder": 0, "venue": 2, "synthetic": 2}
    assert any("took the venue's time" in text for text in report.assumptions)
    assert report.markets[0].day == day_of(START_TS_NS)


def test_frames_time_never_runs_backwards(tmp_path: Path) -> None:
    lines = [_stamped(at_ms, bbo_frame(at_ms)) for at_ms in (100, 50, 200)]
    report = _replay(_write(tmp_path / "f.jsonl", *lines))
    assert report.clamped_count == 1
    assert report.reconnect_count == 1, "venue time ran backwards too: gate 8 asks for a new connection"


def test_frames_hole_is_a_lost_connection_not_a_night_of_samples(tmp_path: Path) -> None:
    hour_ms = 3_600_000
    lines = [_stamped(at_ms, bbo_frame(at_ms)) for at_ms in (0, 100, 8 * hour_ms, 8 * hour_ms + 100)]
    report = _replay(_write(tmp_path / "f.jsonl", *lines), out=tmp_path / "wh")
    assert report.hole_count == 1
    assert report.row_counts["health"] < 70
    interval = report.markets[0].bbo_interval_ms
    assert interval is not None
    assert interval.p99 == 100.0, "no interval reaches over the hole"


def test_specs_are_inferred_from_what_was_quoted() -> None:
    survey = survey_frames(read_frame_lines([bbo_frame(0, "99.981", "100.02"), trades_frame(1, 1), _ctx_frame("BTC")]))
    btc, nvda = inferred_specs(survey)
    assert (btc.coin, btc.dex, nvda.dex, nvda.asset_id) == ("BTC", "", "xyz", -1)
    assert nvda.sz_decimals == 1, "0.5 was traded, and 99.981 allows at most 3"
    assert nvda.taker_fee_bps == Decimal(9)


def test_frames_given_specs_replace_inference(tmp_path: Path) -> None:
    path = _write(tmp_path / "f.jsonl", _stamped(0, bbo_frame(0)))
    specs = tmp_path / "specs.json"
    specs.write_text("[]")
    assert _replay(path, specs=specs).row_counts.get("bbo") is None
    specs.write_text("{}")
    with pytest.raises(ConfigError, match="JSON array of specs"):
        _replay(path, specs=specs)


def test_command_replay_frames_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "f.jsonl", _stamped(0, bbo_frame(0)), _stamped(1, _ctx_frame()))
    assert hip3(["replay", "--frames", str(path)]) == 0
    text = capsys.readouterr().out
    assert "2 frames, 2 read, 0 unreadable" in text
    assert "assumed: specs are inferred" in text
    assert hip3(["replay", "--frames", str(path), "--json", "--out", str(tmp_path / "wh")]) == 0
    assert json.loads(capsys.readouterr().out)["part_count"] > 0
    assert hip3(["replay", "--frames", str(tmp_path / "none.jsonl")]) == 2


def test_frames_real_recording_is_read_whole(shared_data: Path, tmp_path: Path) -> None:
    report = _replay(shared_data / "wire" / "frames.jsonl", out=tmp_path)
    assert (report.frame_count, report.read_count, report.unreadable_count) == (30, 30, 0)
    assert {"bbo", "activeAssetCtx", "l2Book", "trades", "userFills", "error"} <= set(report.channels)
    assert "xyz:AAPL" in {market.coin for market in report.markets}
