import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from streaming.cli import main
from streaming.contracts.manifest import read_manifest
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.errors import StoreError
from streaming.core.events import BboUpdated, CtxUpdated
from streaming.core.units import NS_PER_DAY, NS_PER_MS
from streaming.hyperliquid.decode import decode_frame
from streaming.sim.history.day import Day
from streaming.sim.history.feed import GENERATION
from streaming.sim.history.listing import Polls
from streaming.sim.history.virtual import VirtualDay
from streaming.sim.history.writers import DayWritten, clear, days_before, is_written, write_days
from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.load import load_scenario
from streaming.sim.venue.market.tape import Tape
from streaming.sim.venue.market.wire import MarketTexts, frame

DAY = "2026-06-15"


def a_day(root: Path, day: str = DAY) -> Day:
    return Day(root=str(root), day=day, seed=7, scenario="demo")


@pytest.fixture(scope="module")
def written_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    day = a_day(tmp_path_factory.mktemp("warehouse"))
    hours: list[int] = []
    counts = VirtualDay(day, frozenset({"xyz:NVDA"})).write(hours.append)
    assert hours == list(range(1, 25))
    assert counts.rows["bbo"] >= 86_400
    return day


def rows_of(day: Day, table: str) -> list[dict[str, object]]:
    paths = [line.path for line in read_manifest(day.manifest) if line.table == table]
    return [row for path in paths for row in pq.read_table(Path(day.root) / path).to_pylist()]


def test_written_day_holds_rows_of_that_day_only_and_all_announced(written_day: Day) -> None:
    lines = list(read_manifest(written_day.manifest))
    begin_ns = day_begin_ns(DAY)
    for line in lines:
        assert line.day == DAY
        assert line.session_id == written_day.session_id
        assert begin_ns <= line.ts_ns_min <= line.ts_ns_max < begin_ns + NS_PER_DAY
    on_disk = {str(p.relative_to(written_day.root)) for p in Path(written_day.root).glob("landing/**/*") if p.is_file()}
    assert on_disk == {line.path for line in lines}
    assert {line.table for line in lines} <= set(TABLES)
    assert {"bbo", "ctx", "episodes", "signals", "gates", "followups", "health", "specs", "configs"} <= {
        line.table for line in lines
    }


def test_written_day_resolves_its_spec_versions_and_config(written_day: Day) -> None:
    [spec] = [spec for spec in Polls(Generator(7, DEMO), 0, 1).watched if spec.coin == "xyz:NVDA"]
    assert {row["spec_version"] for row in rows_of(written_day, "specs")} == {spec.spec_version}
    signals = rows_of(written_day, "signals")
    assert {row["spec_version"] for row in signals} == {spec.spec_version}
    assert {row["asset_id"] for row in signals} == {110_002}
    assert {row["config_hash"] for row in rows_of(written_day, "configs")} == {row["config_hash"] for row in signals}


def test_written_day_every_signal_has_all_gates_and_every_followup(written_day: Day) -> None:
    signals = {row["signal_id"] for row in rows_of(written_day, "signals")}
    assert len(signals) >= 30
    assert Counter(row["signal_id"] for row in rows_of(written_day, "gates")) == dict.fromkeys(signals, 8)
    followups = rows_of(written_day, "followups")
    assert Counter(row["signal_id"] for row in followups) == dict.fromkeys(signals, 3)
    assert sum(bool(row["is_missing"]) for row in followups) < len(followups) / 10
    passed = [row for row in rows_of(written_day, "signals") if not row["is_blocked"]]
    assert len(passed) > len(signals) / 2  # the gates can pass in history


def test_written_day_is_ready_all_day_and_sampled_each_second(written_day: Day) -> None:
    health = rows_of(written_day, "health")
    assert 86_399 <= len(health) <= 86_400
    assert all(row["is_ready"] for row in health)


def test_written_day_rows_are_what_the_live_server_plays(written_day: Day) -> None:
    texts, tape = (
        MarketTexts(DEMO.universe.by_coin["xyz:NVDA"]),
        Tape(Generator(7, DEMO)),
    )
    begin_ms = day_begin_ns(DAY) // NS_PER_MS + 5 * 3_600_000
    end_ms = begin_ms + 600_000
    tape.load(begin_ms // 3_600_000)
    played_bbo = [texts.bbo(*place) for place in tape.between("bbo", "xyz:NVDA", begin_ms, end_ms)]
    played_ctx = [
        frame("activeAssetCtx", {"coin": "xyz:NVDA", "ctx": texts.ctx(*place)})
        for place in tape.between("ctx", "xyz:NVDA", begin_ms, end_ms)
    ]
    decoded = [
        decode_frame(text, generation=GENERATION, recv_mono_ns=0, recv_ts_ns=0) for text in (*played_bbo, *played_ctx)
    ]
    bbo = [(e.venue_ts_ms, e.bid_px, e.bid_sz, e.ask_px, e.ask_sz) for e in decoded if isinstance(e, BboUpdated)]
    ctx = [(e.oracle_px, e.mark_px, e.mid_px, e.funding_ratio) for e in decoded if isinstance(e, CtxUpdated)]

    def between(table: str, names: tuple[str, ...]) -> list[tuple[object, ...]]:
        rows = rows_of(written_day, table)
        span = range(begin_ms * NS_PER_MS + 1, end_ms * NS_PER_MS + 1)
        return [tuple(row[name] for name in names) for row in rows if row["recv_ts_ns"] in span]

    assert bbo == between("bbo", ("venue_ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz"))
    assert ctx == between("ctx", ("oracle_px", "mark_px", "mid_px", "funding_ratio"))
    assert len(bbo) > 300
    assert len(ctx) == 600


def test_day_again_in_another_process_and_hash_seed_makes_the_same_parts(written_day: Day, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from streaming.sim.scenario.demo import DEMO\n"
        "from streaming.sim.history.day import Day\n"
        "from streaming.sim.history.virtual import VirtualDay\n"
        f"day = Day(root=sys.argv[1], day={DAY!r}, seed=7, scenario='demo')\n"
        "VirtualDay(day, frozenset({'xyz:NVDA'})).write(lambda _: None)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=os.environ | {"PYTHONHASHSEED": "99"}, check=True)
    again = a_day(tmp_path)
    assert again.manifest.read_bytes() == written_day.manifest.read_bytes()


def test_write_days_leaves_a_complete_day_alone(written_day: Day) -> None:
    stamp = written_day.manifest.stat().st_mtime_ns
    told: list[DayWritten] = []
    [result] = write_days([written_day], workers=1, is_forced=False, on_hours=lambda *_: None, on_day=told.append)
    assert not result.is_new
    assert told == [result]
    assert written_day.manifest.stat().st_mtime_ns == stamp


@pytest.fixture
def small_scenario(tmp_path: Path) -> str:
    """Two markets, so that whole days go through the real processes quickly."""
    lines = ['name = "small"', "[[dexes]]", 'name = "xyz"', 'full_name = "XYZ"']
    for coin in ("xyz:NVDA", "xyz:GOLD"):
        lines += ["[[markets]]", toml_of(DEMO.universe.by_coin[coin])]
        lines += ["[markets.character]", toml_of(DEMO.characters[coin])]
    path = tmp_path / "small.toml"
    path.write_text("\n".join(lines))
    return str(path)


def toml_of(struct: object) -> str:
    values = msgspec.to_builtins(struct)
    return "\n".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in values.items()
    )


def test_history_command_columns_of_a_scenario_file_by_one_writer_day_after_day(
    small_scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--columns", "--scenario", small_scenario, "--workers", "1", "--from", DAY, "--to", "2026-06-17", "--json"]
    previous = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["history", "--warehouse", str(tmp_path), *words]) == 0
        first = json.loads(capsys.readouterr().out)["days"]
        assert main(["history", "--warehouse", str(tmp_path), *words]) == 0
        again = json.loads(capsys.readouterr().out)["days"]
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert [day["day"] for day in first] == [DAY, "2026-06-16", "2026-06-17"]
    assert all(day["rows"]["ctx"] == 2 * 86_400 and day["rows"]["specs"] == 2 for day in first)
    assert all(day["session_id"].startswith(f"cols-{day['day']}-s7-small-") for day in first)
    assert [day["is_new"] for day in again] == [False] * 3
    assert [day["rows"] for day in again] == [day["rows"] for day in first]
    assert {path.name.split("-s7")[0] for path in tmp_path.glob("landing/bbo/**/*.parquet")} == {
        f"cols-{day['day']}" for day in first
    }


def test_write_days_through_the_engine_tells_every_hour_and_counts_what_it_announced(
    small_scenario: str, tmp_path: Path
) -> None:
    name = load_scenario(small_scenario, seed=7).name
    day = Day(root=str(tmp_path / "a"), day=DAY, seed=7, scenario=small_scenario, scenario_name=name)
    hours: list[int] = []
    [written] = write_days(
        [day], workers=2, is_forced=False, on_hours=lambda _, count: hours.append(count), on_day=lambda _: None
    )
    assert hours == list(range(1, 25))
    assert written.rows["health"] in {2 * 86_399, 2 * 86_400}
    announced = Counter[str]()
    for line in read_manifest(day.manifest):
        announced[line.table] += line.row_count
    assert announced == written.rows


def test_clear_removes_the_announcement_and_every_part_of_the_session_only(tmp_path: Path) -> None:
    day = a_day(tmp_path)
    other = tmp_path / "landing/bbo/venue=sim" / f"day={DAY}" / "hist-2026-06-15-s70-000001.parquet"
    mine = other.with_name(f"{day.session_id}-000001.parquet")
    torn = other.with_name(f"{day.session_id}-000002.parquet.tmp")
    for path in (other, mine, torn, day.manifest):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    clear(day)
    assert other.exists()
    assert not any(path.exists() for path in (mine, torn, day.manifest))


def test_write_days_unwritable_warehouse_is_a_store_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(StoreError, match=DAY):
        write_days([a_day(blocker)], workers=1, is_forced=False, on_hours=lambda *_: None, on_day=lambda _: None)


def test_days_before_are_complete_utc_days() -> None:
    now_ns = day_begin_ns("2026-03-01") + 1
    assert days_before(now_ns, 2) == ["2026-02-27", "2026-02-28"]
    assert not is_written(a_day(Path("/nonexistent")))


@pytest.mark.parametrize(
    "words",
    [
        ["--days", "0"],
        ["--days", "2", "--from", "2026-01-01"],
        ["--from", "yesterday"],
        ["--from", "2026-01-02", "--to", "2026-01-01"],
        ["--from", "2099-01-01"],
        ["--to", "2026-01-01"],
        ["--workers", "0"],
        ["--scenario", "nobody"],
        ["--scenario", "nowhere/file.toml"],
    ],
)
def test_history_command_bad_days_are_refused_with_what_was_expected(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    previous = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["history", "--warehouse", str(tmp_path), *words]) == 2
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert "expected" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_history_command_ended_announces_nothing_and_leaves_no_writer(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "streaming.cli", "history", "--from", DAY, "--warehouse", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert f"{DAY} 1/24 h" in process.stderr.readline()  # a writer is at work
        [writer] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        end = os.pidfd_open(int(writer))
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == code
        # A killed parent ends nobody: its writer finds out with the next hour that it reports.
        assert select.select([end], [], [], 0 if number is not signal.SIGKILL else 60)[0]
        os.close(end)
    finally:
        process.kill()
        process.wait()
    assert not is_written(a_day(tmp_path))
