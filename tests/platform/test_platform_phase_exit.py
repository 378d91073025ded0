"""gold/phase_verdict of a real warehouse, and the sensor that obeys its exits against a control API on loopback."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import msgspec
import polars as pl
import pytest
from platform_warehouse import DAY_1, DAY_2, FixedClock, MarketDay, write_day

from hip3_platform.analytics import gold
from hip3_platform.analytics.phases.tables import read_tables
from hip3_platform.analytics.phases.verdict import SCHEMA, write_phase_verdict
from hip3_platform.assets.bronze import build_bronze
from hip3_platform.assets.gold import build_daily_metrics, build_markouts
from hip3_platform.assets.phases import SIDECAR_PHASE, build_phase_verdict, phase_verdict_spec
from hip3_platform.partitions import daily_partitions
from hip3_platform.resources.phase_control import PhaseControl
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.phase_exit import build_phase_check, build_phase_exit
from streaming.contracts.control import (
    PLATFORM_TOKEN_FILE,
    STATUS_FILE,
    TOKEN_FILE,
    Answer,
    Endpoint,
    PhaseBody,
    StatusView,
    StopBody,
)
from streaming.contracts.paths import bronze_path, control_folder, day_begin_ns, gold_path
from streaming.contracts.phase import VerdictDoc, VerdictExit, decode_verdict, encode_verdict
from streaming.contracts.tables import TABLES

ACCOUNT = "0x" + "ab" * 20


# --- the asset


def materialize(warehouse: WarehouseResource, day: str, account: str = "paper") -> dg.ExecuteInProcessResult:
    partitions = daily_partitions(DAY_1)
    assets = [
        build_bronze(partitions), build_daily_metrics(partitions), build_markouts(partitions),
        build_phase_verdict(partitions),
    ]  # fmt: skip
    clock = FixedClock(day_begin_ns(day))
    resources = {"warehouse": warehouse, "policy": RotationPolicy(account=account), "clock": clock}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(assets, partition_key=day, resources=resources, instance=instance)


def test_phase_verdict_of_a_warehouse_reads_its_tables_and_says_where_figures_come_from(
    warehouse: WarehouseResource,
) -> None:
    market = MarketDay("xyz:GOOD")
    ts = day_begin_ns(DAY_1)
    market.add("specs", seq=500_000, ts_ns=ts, dex="xyz", asset_id=110_000)
    for seq, state in ((500_002, "lost"), (500_003, "open")):
        market.add(
            "events", seq=seq, ordinal=0, ts_ns=ts + (seq - 496_300) * 10**9, kind="connection_changed",
            subject="websocket", state=state, asset_id=-1, coin="",
        )  # fmt: skip
    market.add("configs", seq=500_001, ts_ns=ts, config_json='{"venue": "sim", "account": ""}', asset_id=-1, coin="")
    write_day(warehouse.path, DAY_1, [market])
    result = materialize(warehouse, DAY_1)
    assert result.success
    (event,) = result.asset_materializations_for_node("gold__phase_verdict")
    path = gold_path(warehouse.path, table="phase_verdict", venue="sim", day=DAY_1)
    frame = pl.read_parquet(path)
    assert frame.columns == list(SCHEMA)
    doc = decode_verdict(path.with_suffix(".json").read_bytes())
    found = {(row.phase, row.row): row for row in doc.rows}
    assert (doc.venue, doc.account, list(doc.inputs)) == ("sim", "paper", [DAY_1])
    assert found["paper", "go_spot"].state == "PASS"
    assert found["paper", "go_connection"].figure == "1 recovered (slowest 1.0 s), 0 not"
    assert found["paper", "go_preflight"].state == "PASS"
    assert found["paper", "null_rate"].figure == "worst xyz:GOOD: 2.00%", "one bbo in 50 lacks a side"
    assert found["paper", "positive_markets"].state == "NOT YET", "there are no approvals"
    assert DAY_1 in found["paper", "null_rate"].evidence
    assert event.metadata["passed"].value == sum(row.state == "PASS" for row in doc.rows)
    assert event.metadata["sha256"].value


def test_phase_verdict_run_again_has_the_same_bytes_and_days_after_it_do_not_count(
    warehouse: WarehouseResource,
) -> None:
    write_day(warehouse.path, DAY_1, [MarketDay("xyz:GOOD")])
    write_day(warehouse.path, DAY_2, [MarketDay("xyz:GOOD")], session_id="s2")
    materialize(warehouse, DAY_1)
    path = gold_path(warehouse.path, table="phase_verdict", venue="sim", day=DAY_1, suffix="json")
    first = path.read_bytes()
    materialize(warehouse, DAY_2)
    write_phase_verdict(warehouse.path, "sim", "paper", DAY_1)
    assert path.read_bytes() == first
    assert read_tables(warehouse.path, "sim", "paper", DAY_2).days == (DAY_1, DAY_2)
    assert read_tables(warehouse.path, "testnet", "paper", DAY_2).days == (), "another venue's tables are not read"


def write_bronze(root: Path, table: str, venue: str, day: str, coin: str, **values: object) -> None:
    """Write one row into bronze, and note that the day is complete."""
    gold.record_inputs(root, gold.DayInputs(venue=venue, day=day, digest="d", row_counts={}))
    path = bronze_path(root, table=table, venue=venue, day=day, coin=coin)
    path.parent.mkdir(parents=True, exist_ok=True)
    empty = pl.DataFrame(pl.from_arrow(TABLES[table].schema.empty_table()))
    pl.DataFrame([dict.fromkeys(empty.columns) | values], schema=empty.schema, orient="row").write_parquet(path)


def test_phase_tables_mainnet_reads_testnet_trades_and_phases_from_the_first_day_on(tmp_path: Path) -> None:
    write_bronze(tmp_path, "round_trips", "testnet", "2026-03-01", "xyz:A", seq=7)
    write_bronze(tmp_path, "round_trips", "sim", "2026-03-01", "xyz:A", seq=8)
    write_bronze(tmp_path, "events", "mainnet", "2026-03-02", "_", seq=9, kind="phase_changed")
    write_bronze(tmp_path, "events", "mainnet", "2026-03-02", "xyz:A", seq=10, kind="gate_changed")
    write_bronze(tmp_path, "events", "mainnet", DAY_1, "xyz:A", seq=11, kind="gate_changed")
    write_bronze(tmp_path, "orders", "mainnet", DAY_1, "xyz:A", seq=12, mode="paper")
    found = read_tables(tmp_path, "mainnet", "0xAB", DAY_1)
    assert found.testnet_trips["seq"].to_list() == [7]
    assert found.trips.is_empty()
    assert sorted(found.events.select("day", "seq").rows()) == [("2026-03-02", 9), (DAY_1, 11)]
    assert (found.orders.height, found.account) == (0, "0xab")
    assert read_tables(tmp_path, "sim", "paper", DAY_1).testnet_trips.is_empty()


# --- the sensor


@dataclass
class Sidecar:
    """A control API that remembers what it was told."""

    phase: str = "micro"
    stop_reason: str | None = None
    account: str = ACCOUNT
    venue: str = "sim"
    refusal: tuple[str, ...] = ()
    broken: bytes = b""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(path, authorization, body) of what would change something."""

    def status(self) -> bytes:
        view = StatusView(
            version="0", session_id="s9", venue=self.venue, account=self.account, config_hash="", phase=self.phase,
            is_armed=True, stop_reason=self.stop_reason, is_connected=True, generation=1, reconnect_count=0, seq=1,
            uptime_s=1.0, ready_count=1, market_count=1, entries_closed_by=(), rate_use_ratio=0.1, rotation_version=0,
            rotation_sha256="", rotation_expires_ts_ns=0, event_count=0, signal_count=0, episode_count=0,
            disabled_gates={}, markets=(),
        )  # fmt: skip
        return msgspec.json.encode(view)

    def change(self, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append((path, token, body))
        if self.broken:
            return 200, self.broken
        if self.refusal:
            return 422, msgspec.json.encode(Answer(is_accepted=False, reasons=self.refusal))
        if path == "/v1/phase":
            self.phase = msgspec.json.decode(body, type=PhaseBody).phase
        else:
            self.stop_reason = msgspec.json.decode(body, type=StopBody).reason
        return 200, msgspec.json.encode(Answer(is_accepted=True))


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    told = Sidecar()

    class Handler(BaseHTTPRequestHandler):
        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say(200, told.status())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(*told.change(self.path, self.headers["Authorization"], body))

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    folder = control_folder(tmp_path)
    folder.mkdir(parents=True)
    url = f"http://127.0.0.1:{http.server_address[1]}"
    endpoint = Endpoint(pid=1, session_id="s9", venue="sim", control_url=url, started_ts_ns=0)
    (folder / STATUS_FILE).write_bytes(msgspec.json.encode(endpoint))
    (folder / TOKEN_FILE).write_text("operators")
    (folder / PLATFORM_TOKEN_FILE).write_text("platforms\n")
    yield told
    http.shutdown()
    thread.join()
    http.server_close()


def an_exit(action: str, state: str = "FAIL", key: str = "k1", figure: str = "-0.50 bps a trade") -> VerdictExit:
    return VerdictExit(
        phase="micro", row=f"{action}_rule", state=state, figure=figure, expected="", evidence="bronze/round_trips",
        action=action, to_phase="paper" if action == "demote" else "", key=key,
    )  # type: ignore[arg-type]  # fmt: skip


def write_exits(warehouse: WarehouseResource, *exits: VerdictExit, day: str = DAY_1, account: str = ACCOUNT) -> None:
    doc = VerdictDoc(venue="sim", account=account, day=day, code_version="1", inputs={}, rows=(), exits=exits)
    path = gold_path(warehouse.path, table="phase_verdict", venue="sim", day=day, suffix="json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_verdict(doc))


def tick(warehouse: WarehouseResource, cursor: str | None = None) -> dg.SensorResult:
    """Evaluate the real sensor."""
    sensor = build_phase_exit()
    with dg.build_sensor_context(cursor=cursor) as context:
        result = sensor(context, warehouse=warehouse, phase_control=PhaseControl(root=warehouse.root))
    assert isinstance(result, dg.SensorResult)
    return result


def checks(result: dg.SensorResult) -> list[bool]:
    return [event.passed for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]


def test_exit_demotes_once_with_the_platforms_token_and_is_recorded(
    warehouse: WarehouseResource, sidecar: Sidecar
) -> None:
    write_exits(warehouse, an_exit("demote"))
    first = tick(warehouse)
    ((path, token, raw),) = sidecar.asked
    body = msgspec.json.decode(raw, type=PhaseBody)
    assert (path, token) == ("/v1/phase", "Bearer platforms")
    assert (body.phase, body.operator, body.verdict) == ("paper", "platform", "")
    assert "-0.50 bps a trade" in body.reason
    observation, check = first.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.metadata["phase_before"].value == "micro"
    assert (check.asset_key, check.check_name, check.passed) == (SIDECAR_PHASE, "obeyed", True)
    sidecar.phase = "micro"  # an operator has approved it again
    again = tick(warehouse, first.cursor)
    assert len(sidecar.asked) == 1
    assert again.asset_events == []
    with dg.DagsterInstance.ephemeral() as instance:
        for event in first.asset_events:
            instance.report_runless_asset_event(event)
        assert instance.fetch_observations(SIDECAR_PHASE, limit=1).records


def test_exit_of_another_cause_acts_again(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("latch", key="day of 1"))
    cursor = tick(warehouse).cursor
    assert "verdict" in (sidecar.stop_reason or "")
    sidecar.stop_reason = None  # reset by an operator
    write_exits(warehouse, an_exit("latch", key="day of 1"), day=DAY_2)
    cursor = tick(warehouse, cursor).cursor
    assert sidecar.stop_reason is None, "the same loss, in a newer verdict"
    write_exits(warehouse, an_exit("latch", key="day of 2"), day=DAY_2)
    tick(warehouse, cursor)
    assert [path for path, *_ in sidecar.asked] == ["/v1/stop", "/v1/stop"]


def test_exit_that_is_done_already_sends_nothing_even_without_a_cursor(
    warehouse: WarehouseResource, sidecar: Sidecar
) -> None:
    write_exits(warehouse, an_exit("demote"), an_exit("latch"))
    sidecar.phase, sidecar.stop_reason = "observe", "drill"
    assert checks(tick(warehouse)) == [True, True]
    assert sidecar.asked == []


@pytest.mark.parametrize("phase", ["observe", "paper", "micro", "steady", "rotate"])
def test_exit_never_raises_the_phase(warehouse: WarehouseResource, sidecar: Sidecar, phase: str) -> None:
    write_exits(warehouse, an_exit("demote"))
    sidecar.phase = phase
    tick(warehouse)
    assert sidecar.phase == ("observe" if phase == "observe" else "paper")


@pytest.mark.parametrize("state", ["PASS", "NOT YET"])
def test_exit_that_does_not_act_sends_nothing(warehouse: WarehouseResource, sidecar: Sidecar, state: str) -> None:
    write_exits(warehouse, an_exit("demote", state), an_exit("latch", state), an_exit("review", state))
    assert tick(warehouse).asset_events == []
    assert sidecar.asked == []


@pytest.mark.parametrize(("venue", "account"), [("testnet", ACCOUNT), ("sim", ""), ("sim", "0x" + "cd" * 20)])
def test_exit_of_another_venue_or_account_sends_nothing(
    warehouse: WarehouseResource, sidecar: Sidecar, venue: str, account: str
) -> None:
    write_exits(warehouse, an_exit("demote"), an_exit("latch"))
    sidecar.venue, sidecar.account = venue, account
    result = tick(warehouse)
    assert "the verdict is of" in str(result.skip_reason)
    assert sidecar.asked == []
    sidecar.venue, sidecar.account = "sim", ACCOUNT.upper().replace("X", "x")
    tick(warehouse, result.cursor)
    assert len(sidecar.asked) == 2, "it was not taken as done"


def test_exit_review_is_a_red_check_once_and_no_command(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("review"))
    first = tick(warehouse)
    assert checks(first) == [False]
    assert checks(tick(warehouse, first.cursor)) == []
    assert sidecar.asked == []


def test_exit_refused_is_red_once_and_sent_until_it_is_obeyed(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("demote"))
    sidecar.refusal = ("no",)
    first = tick(warehouse)
    second = tick(warehouse, first.cursor)
    assert (checks(first), checks(second), len(sidecar.asked)) == ([False], [], 2)
    sidecar.refusal = ()
    assert checks(tick(warehouse, second.cursor)) == [True]
    assert sidecar.phase == "paper"


def test_exit_broken_answer_is_red_once_and_tried_again(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("latch"))
    sidecar.broken = b"<html>"
    first = tick(warehouse)
    second = tick(warehouse, first.cursor)
    assert (checks(first), checks(second), len(sidecar.asked)) == ([False], [], 2)
    sidecar.broken = b""
    tick(warehouse, second.cursor)
    assert sidecar.stop_reason is not None


def test_exit_without_verdict_sidecar_or_token_skips_and_keeps_trying(
    warehouse: WarehouseResource, tmp_path: Path
) -> None:
    assert "no verdict yet" in str(tick(warehouse).skip_reason)
    write_exits(warehouse, an_exit("demote"))
    result = tick(warehouse)
    assert "hip3 run" in str(result.skip_reason)
    assert result.asset_events == []
    assert result.cursor is not None
    assert "k1" not in result.cursor
    assert tmp_path == warehouse.path


def test_exit_without_the_platforms_token_is_red(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("demote"))
    (control_folder(warehouse.path) / PLATFORM_TOKEN_FILE).unlink()
    result = tick(warehouse)
    assert checks(result) == [False]
    assert "platform's token" in str(result.skip_reason)
    assert sidecar.asked == []


@pytest.mark.parametrize("text", [None, "", "not json", '{"done": 7}'])
def test_exit_unreadable_cursor_counts_as_none(warehouse: WarehouseResource, sidecar: Sidecar, text: str) -> None:
    write_exits(warehouse, an_exit("demote"))
    tick(warehouse, text)
    assert sidecar.phase == "paper"


def test_exit_unreadable_verdict_is_red(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    write_exits(warehouse, an_exit("demote"))
    path = gold_path(warehouse.path, table="phase_verdict", venue="sim", day=DAY_1, suffix="json")
    path.write_bytes(b"{}")
    assert checks(tick(warehouse)) == [False]
    assert sidecar.asked == []


def test_phase_check_and_asset_belong_together(warehouse: WarehouseResource, sidecar: Sidecar) -> None:
    check = build_phase_check()
    assert phase_verdict_spec().key == SIDECAR_PHASE
    assert [key.asset_key for key in check.check_keys] == [SIDECAR_PHASE]
    control = PhaseControl(root=warehouse.root)
    write_exits(warehouse, an_exit("demote"), an_exit("latch", "PASS"))
    assert not check(warehouse=warehouse, phase_control=control).passed
    sidecar.phase = "paper"
    assert check(warehouse=warehouse, phase_control=control).passed
