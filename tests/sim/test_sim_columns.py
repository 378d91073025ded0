"""Market data made from columns: the rows of the engine's path, sealed here or by a second process, in either order."""

import dataclasses
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.manifest import ManifestLine, read_manifest
from streaming.contracts.projection import Projector
from streaming.contracts.tables import SESSION_COLUMNS, TABLES
from streaming.core.effects import TradesAccepted
from streaming.core.errors import StoreError
from streaming.core.events import SpecsReceived, TradesReceived
from streaming.core.market import MarketSpec
from streaming.core.units import NS_PER_MS
from streaming.shell.tables.seal import PartWriter
from streaming.sim.history.columnar import ColumnDay, day_tables
from streaming.sim.history.columns import Columns, bbo_columns, ctx_columns, runs_of, trade_columns
from streaming.sim.history.day import DAY_MS, Day, Identity
from streaming.sim.history.feed import Feed, in_force, merged, ranks, within
from streaming.sim.history.listing import Polls
from streaming.sim.history.sealing import Aside, Here
from streaming.sim.history.virtual import VirtualDay
from streaming.sim.markets.generator import HOUR_MS, NONE, Generator, MarketHour
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.load import load_scenario

DAY = "2026-06-15"
HOUR = 494_870
HALTED, CHANGED, DELISTED = "xyz:INTC", "xyz:MSFT", "xyz:AMZN"


def toml_of(values: Mapping[str, object]) -> str:
    return "\n".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in values.items()
    )


def a_changing_scenario(path: Path) -> str:
    """Three markets of the demo, each with one kind of trouble several times a day."""
    special = {
        HALTED: {"label": "halting", "halt_rate_day": 12.0, "halt_s": 300.0},
        CHANGED: {"label": "parameter_changing", "change_every_days": 0.2},
        DELISTED: {"label": "delisting", "cycle_days": 1.0, "delisted_days": 0.2},
    }
    lines = ['name = "changing"', 'base = "demo"']
    for coin, changes in special.items():
        lines += ["[[markets]]", toml_of(msgspec.to_builtins(DEMO.universe.by_coin[coin]))]
        lines += ["[markets.character]", toml_of(msgspec.to_builtins(DEMO.characters[coin]) | changes)]
    path.write_text("\n".join(lines))
    return str(path)


def a_day(root: Path, scenario: str = "demo", *, is_columnar: bool = False) -> Day:
    name = load_scenario(scenario, seed=7).name
    return Day(root=str(root), day=DAY, seed=7, scenario=scenario, scenario_name=name, is_columnar=is_columnar)


def rows_of(day: Day, table: str) -> pa.Table:
    paths = [Path(day.root) / line.path for line in read_manifest(day.manifest) if line.table == table]
    read = pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])
    return read.sort_by([("coin", "ascending"), (TABLES[table].day_column, "ascending"), ("seq", "ascending")])


@pytest.fixture(scope="module")
def engine_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    root = tmp_path_factory.mktemp("engine")
    day = a_day(root, a_changing_scenario(root / "changing.toml"))
    virtual = VirtualDay(day, {HALTED, CHANGED, DELISTED})
    virtual.write(lambda _: None, Here(root, virtual.identity.session))
    return day


@pytest.fixture(scope="module")
def column_day(engine_day: Day, tmp_path_factory: pytest.TempPathFactory) -> Day:
    day = a_day(tmp_path_factory.mktemp("columns"), engine_day.scenario, is_columnar=True)
    hours: list[int] = []
    ColumnDay(day, {HALTED, CHANGED, DELISTED}).write(hours.append)
    assert hours[-1] == 24
    return day


# One hour: columns against feed and projector.


def _sealed(root: Path, table: str, columns: Columns | None, rows: list[tuple[object, ...]] | None) -> pa.Table:
    writer = PartWriter(root, venue="sim", session_id="s1", config_hash="c0")
    day = np.datetime_as_string(np.datetime64(HOUR * HOUR_MS, "ms"), unit="D").item()
    line = writer.seal(table, day, rows) if columns is None else writer.seal_columns(table, day, columns)  # type: ignore[arg-type]
    return pq.ParquetFile(root / line.path).read()


@pytest.mark.parametrize("coin", ["xyz:NVDA", "xyz:COIN", "xyz:XYZ100"])
def test_columns_sealed_are_the_rows_of_feed_and_projector(coin: str, tmp_path: Path) -> None:
    [spec] = [spec for spec in Polls(Generator(7, DEMO), 0, 1).watched if spec.coin == coin]
    other = msgspec.structs.replace(spec, spec_version="another", asset_id=7)
    hour = _with_gaps(Generator(7, DEMO).hour(coin, HOUR))
    steps = [(HOUR * HOUR_MS, {coin: spec}), (HOUR * HOUR_MS + 1_234_000, {coin: other})]
    feed = Feed((DEMO.universe.by_coin[coin],))
    events, places = merged(list(feed.parts(hour)))
    projector, pending = Projector([spec]), list(steps)
    for seq, event in enumerate(events):
        while pending and pending[0][0] * NS_PER_MS <= event.recv_ts_ns:
            at_ns, specs = pending[0][0] * NS_PER_MS, pending.pop(0)[1]
            projector.feed(0, SpecsReceived(recv_mono_ns=at_ns, recv_ts_ns=at_ns, specs=(specs[coin],)), ())
        outputs = (
            [TradesAccepted(ts_ns=event.recv_ts_ns, mono_ns=event.recv_mono_ns, trades=event.trades)]
            if isinstance(event, TradesReceived)
            else []
        )
        projector.feed(seq, event, outputs)
    expected = {table: rows for (table, _), rows in projector.take().items()}
    frame = np.unique(hour.trade_ts_ms, return_inverse=True)[1]
    made = {
        "bbo": bbo_columns(runs_of(hour, hour.bbo_ts_ms, places[0], steps)),
        "ctx": ctx_columns(runs_of(hour, hour.ctx_ts_ms, places[1], steps)),
        "trades": trade_columns(runs_of(hour, hour.trade_ts_ms, places[2][frame], steps)),
    }
    assert set(expected) == set(made)
    for table, columns in made.items():
        by_columns = _sealed(tmp_path / "columns", table, columns, None)
        by_rows = _sealed(tmp_path / "rows", table, None, expected[table])
        assert by_columns.equals(by_rows), table
        assert set(by_columns["spec_version"].to_pylist()) == {spec.spec_version, "another"}
    assert made["bbo"]["bid_px"].null_count
    assert made["ctx"]["mid_px"].null_count
    assert made["ctx"]["premium_ratio"].null_count


def _with_gaps(hour: MarketHour) -> MarketHour:
    """The hour with a few sides missing, as one-sided and empty books have them."""
    names = ("bid_px", "bid_sz", "ask_px", "ask_sz", "mid2_px", "impact_bid_px", "impact_ask_px", "premium_e10")
    columns = {name: getattr(hour, name).copy() for name in names}
    for name, column in columns.items():
        column[slice(10, 14) if name.startswith("bid") else slice(12, 20)] = NONE
    return dataclasses.replace(hour, **columns)


@given(parts=st.lists(st.lists(st.integers(0, 30), max_size=8).map(sorted), min_size=1, max_size=5).filter(any))
def test_ranks_are_a_stable_order_of_time(parts: list[list[int]]) -> None:
    arrays = [np.array(part, dtype=np.int64) + HOUR * HOUR_MS for part in parts]
    places = ranks(arrays)
    order = np.argsort(np.concatenate(arrays), kind="stable")
    expected = np.empty(order.size, dtype=np.int64)
    expected[order] = np.arange(order.size)
    assert np.concatenate(places).tolist() == expected.tolist()
    assert [place.size for place in places] == [array.size for array in arrays]


def test_within_and_in_force_cut_every_channel_at_the_instant() -> None:
    hour = Generator(7, DEMO).hour("xyz:NVDA", HOUR)
    begin_ms = HOUR * HOUR_MS + 600_000
    cut = within(hour, begin_ms, begin_ms + 60_000)
    for ts_ms in (cut.bbo_ts_ms, cut.ctx_ts_ms, cut.trade_ts_ms):
        assert ((begin_ms <= ts_ms) & (ts_ms < begin_ms + 60_000)).all()
    assert cut.ctx_ts_ms.size == cut.oracle_px.size == 60
    last = in_force(hour, begin_ms)
    assert last.bbo_ts_ms.tolist() == hour.bbo_ts_ms[hour.bbo_ts_ms < begin_ms][-1:].tolist()
    assert last.ask_px.size == last.mark_px.size == 1
    assert in_force(hour, HOUR * HOUR_MS).bbo_ts_ms.size == 0


# A day: the columnar path against the engine's.


@pytest.mark.parametrize("table", ["bbo", "ctx", "trades"])
def test_column_day_rows_are_those_of_the_engine_in_every_column_but_seq(
    table: str, engine_day: Day, column_day: Day
) -> None:
    own = {"seq", "session_id"}
    names = [name for name in TABLES[table].names if name not in own]
    engine, columns = (rows_of(day, table).select(names) for day in (engine_day, column_day))
    assert engine.num_rows == columns.num_rows > 0
    assert engine.equals(columns)


def test_column_day_numbers_frames_in_the_order_of_the_engine(engine_day: Day, column_day: Day) -> None:
    def in_order(day: Day) -> pa.Table:
        frames = pa.concat_tables(
            rows_of(day, table).select(["seq", "coin", "recv_ts_ns"]).append_column("table", pa.array([table] * count))
            for table in ("bbo", "ctx", "trades")
            for count in [rows_of(day, table).num_rows]
        )
        return frames.sort_by([("seq", "ascending"), ("table", "ascending")]).drop(["seq"])

    assert in_order(engine_day).equals(in_order(column_day))


def test_column_day_resolves_its_spec_versions_and_config(engine_day: Day, column_day: Day) -> None:
    own = ("session_id", "seq", "venue")
    for table in ("specs", "configs"):
        names = [name for name in TABLES[table].names if name not in own]
        engine, columns = (rows_of(day, table).select(names) for day in (engine_day, column_day))
        assert engine.equals(columns)
    used = set(pc.unique(rows_of(column_day, "bbo")["spec_version"]).to_pylist())
    assert used <= set(rows_of(column_day, "specs")["spec_version"].to_pylist())
    assert len(used) > 3


def test_column_day_in_memory_is_what_is_sealed(column_day: Day) -> None:
    tables = day_tables(column_day, {HALTED, CHANGED, DELISTED})
    assert set(tables) == {"bbo", "ctx", "trades"}
    for name, table in tables.items():
        names = [c for c in TABLES[name].names if c not in SESSION_COLUMNS]
        assert table.column_names == names
        sealed = rows_of(column_day, name).select(names)
        assert table.cast(sealed.schema).equals(sealed)


def test_column_day_of_no_other_market_depends_on_it(column_day: Day) -> None:
    alone = day_tables(column_day, {CHANGED})["bbo"]
    together = rows_of(column_day, "bbo")
    together = together.filter(pc.equal(together["coin"], CHANGED))
    assert alone["ask_px"].equals(together["ask_px"])


# Changes of the listing reach the engine.


def _transitions(day: Day, kind: str, coin: str) -> list[tuple[str, str]]:
    events = rows_of(day, "events").to_pylist()
    return [(e["subject"], e["state"]) for e in events if e["kind"] == kind and e["coin"] == coin]


def test_history_of_a_halting_market_trips_gate_6_each_time_and_only_there(engine_day: Day) -> None:
    gates = _transitions(engine_day, "gate_changed", HALTED)
    halts = Generator(7, load_scenario(engine_day.scenario, seed=7)).changes(
        HALTED, engine_day.begin_ms, engine_day.begin_ms + DAY_MS
    )
    assert sum(change.kind == "halt" for change in halts) >= 3
    assert gates.count(("halt", "block")) >= 3
    assert gates.count(("halt", "pass")) >= 3  # and it recovers
    assert ("param_change", "block") not in gates  # listed as delisted until it resumes: a status, and no parameter
    assert ("halt", "block") not in _transitions(engine_day, "gate_changed", CHANGED)
    blocked = Counter(row["blocked_by"] for row in rows_of(engine_day, "signals").to_pylist() if row["coin"] == HALTED)
    assert "" in blocked


def test_history_of_a_parameter_changing_market_trips_gate_5_and_shows_the_versions(engine_day: Day) -> None:
    assert ("param_change", "block") in _transitions(engine_day, "gate_changed", CHANGED)
    changed = _transitions(engine_day, "param_changed", CHANGED)
    assert len(changed) >= 3
    specs = rows_of(engine_day, "specs").to_pylist()
    versions = [row["spec_version"] for row in specs if row["coin"] == CHANGED]
    assert len(versions) == len(set(versions)) >= 3
    bbo = rows_of(engine_day, "bbo")
    bbo = bbo.filter(pc.equal(bbo["coin"], CHANGED))
    assert set(pc.unique(bbo["spec_version"]).to_pylist()) == set(versions)


def test_history_of_a_delisted_market_trips_gate_6_until_it_is_listed_again(engine_day: Day) -> None:
    gates = _transitions(engine_day, "gate_changed", DELISTED)
    assert [state for subject, state in gates if subject == "halt"] == ["block", "pass"]
    assert ("param_change", "block") not in gates
    flags = {row["is_delisted"] for row in rows_of(engine_day, "specs").to_pylist() if row["coin"] == DELISTED}
    assert flags == {False, True}


def test_polls_watch_what_trades_at_the_begin_and_read_again_only_after_a_change(tmp_path: Path) -> None:
    scenario = load_scenario(a_changing_scenario(tmp_path / "changing.toml"), seed=7)
    generator = Generator(7, scenario)
    begin_ms = a_day(tmp_path).begin_ms
    delist = next(
        change for change in generator.changes(DELISTED, begin_ms, begin_ms + 2 * DAY_MS) if change.kind == "delist"
    )
    polls = Polls(generator, delist.ts_ms - HOUR_MS, delist.ts_ms + HOUR_MS)
    before, after = polls.at(delist.ts_ms - 1), polls.at(delist.ts_ms)
    assert polls.at(delist.ts_ms - 1) is before

    def is_delisted(specs: tuple[MarketSpec, ...]) -> bool:
        return next(spec.is_delisted for spec in specs if spec.coin == DELISTED)

    assert (is_delisted(before.specs), is_delisted(after.specs)) == (False, True)
    [status] = [status for status in after.statuses if status.coin == DELISTED]
    assert status.is_halted
    later = Polls(generator, delist.ts_ms, delist.ts_ms + HOUR_MS)
    assert DELISTED not in {spec.coin for spec in later.watched}
    assert len(later.watched) == len(polls.watched) - 1


# Who seals.


def test_sealing_aside_is_sealing_here_byte_for_byte_in_any_hash_seed(engine_day: Day, tmp_path: Path) -> None:
    script = (
        "import sys, msgspec\n"
        "from pathlib import Path\n"
        "from streaming.sim.history.day import Day\n"
        "from streaming.sim.history.sealing import Aside\n"
        "from streaming.sim.history.virtual import VirtualDay\n"
        "day = msgspec.json.decode(sys.argv[1], type=Day)\n"
        "virtual = VirtualDay(day, set(sys.argv[2:]))\n"
        "with Aside(Path(day.root), virtual.identity.session) as sealer:\n"
        "    virtual.write(lambda _: None, sealer)\n"
    )
    day = msgspec.structs.replace(engine_day, root=str(tmp_path))
    command = [sys.executable, "-c", script, msgspec.json.encode(day).decode(), HALTED, CHANGED, DELISTED]
    subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "99"}, check=True, timeout=240)
    assert day.manifest.read_bytes() == engine_day.manifest.read_bytes()
    for line in read_manifest(day.manifest):
        assert (tmp_path / line.path).read_bytes() == (Path(engine_day.root) / line.path).read_bytes()


def _one_part(root: Path) -> tuple[Day, Columns]:
    day = a_day(root)
    tables = ColumnDay(day, {"xyz:NVDA"}).tables(0, 1)
    return day, tables["bbo"]


def _seal_many(sealer: Aside, columns: Columns) -> None:
    for _ in range(50):
        sealer.seal("bbo", DAY, columns)
        sealer.catch_up()
    sealer.finish()


def test_aside_answers_with_the_lines_of_its_parts_in_order(tmp_path: Path) -> None:
    day, columns = _one_part(tmp_path)
    with Aside(tmp_path, Identity.of(day).session) as sealer:
        for _ in range(3):
            sealer.seal("bbo", DAY, columns)
            sealer.catch_up()
        lines: list[ManifestLine] = sealer.finish()
    assert [line.part for line in lines] == [1, 2, 3]
    assert all((tmp_path / line.path).is_file() for line in lines)


def test_aside_that_can_not_write_says_why(tmp_path: Path) -> None:
    day, columns = _one_part(tmp_path)
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with Aside(blocker, Identity.of(day).session) as sealer, pytest.raises(StoreError, match="can not seal"):
        _seal_many(sealer, columns)


def test_aside_killed_is_a_store_error_and_leaves_no_process(tmp_path: Path) -> None:
    day, columns = _one_part(tmp_path)
    with Aside(tmp_path, Identity.of(day).session) as sealer:
        process = sealer._process
        process.kill()
        with pytest.raises(StoreError, match="found it ended: -9"):
            _seal_many(sealer, columns)
    assert process.poll() == -9


def test_sealing_process_ends_when_its_pipe_does(tmp_path: Path) -> None:
    with Aside(tmp_path, Identity.of(a_day(tmp_path)).session) as sealer:
        assert sealer.finish() == []
        assert sealer._process.poll() == 0
