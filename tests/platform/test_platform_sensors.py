"""Sensors: which runs are asked for, and how a rotation reaches the sidecar."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import msgspec
import pytest
from platform_warehouse import DAY_1, DAY_2, DAY_3, FixedClock, MarketDay, write_day

from hip3_platform.analytics import gold
from hip3_platform.analytics.gold_rotation import write_rotation
from hip3_platform.analytics.landing import Landing
from hip3_platform.analytics.rotating.document import Identity, build_document
from hip3_platform.analytics.store import write_bytes
from hip3_platform.assets.common import SIDECAR_ROTATION, WRITER_POOL, gold_key
from hip3_platform.catch_up import CATCH_UP, OP
from hip3_platform.definitions import JOB, build_definitions
from hip3_platform.partitions import daily_partitions, first_day
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.sidecar import SidecarAbsent, SidecarFailed, SidecarResource
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors import sealed_files as sealed
from hip3_platform.sensors.rotation_push import push_newest
from hip3_platform.sensors.sidecar_health import observe_sidecar
from streaming.contracts.control import Endpoint, RotationAnswer, StatusView
from streaming.contracts.manifest import ManifestLine
from streaming.contracts.paths import day_begin_ns, gold_path, manifest_path
from streaming.contracts.rotation import RotationDoc, RotationMarket, RotationProposal, encode_rotation, rotation_sha256
from streaming.core.units import NS_PER_DAY, NS_PER_S

MINUTE = 60 * NS_PER_S
KEYS = frozenset({DAY_1, DAY_2, DAY_3})
NOON_3 = day_begin_ns(DAY_3) + NS_PER_DAY // 2


def _line(day: str, part: int = 1) -> ManifestLine:
    path = f"landing/bbo/venue=sim/day={day}/s-{part:06d}.parquet"
    return ManifestLine(
        table="bbo", table_version=1, venue="sim", day=day, session_id="s", part=part, path=path, row_count=1,
        byte_count=1, sha256=str(part), seq_min=1, seq_max=1, ts_ns_min=0, ts_ns_max=0, coins=("xyz:A",),
    )  # fmt: skip


def _landing(*lines: ManifestLine) -> Landing:
    return Landing(lines, {})


def _days(plan: sealed.Plan) -> list[str | None]:
    return [request.partition_key for request in plan.requests]


# --- sealed files


def test_plan_closed_days_run_oldest_first_and_only_once() -> None:
    landing = _landing(_line(DAY_2), _line(DAY_1))
    plan = sealed.plan_tick(landing, KEYS, sealed.Cursor(), NOON_3)
    assert _days(plan) == [DAY_1, DAY_2]
    assert plan.requests[0].run_key == f"{DAY_1}:{landing.digest(DAY_1)}"
    assert _days(sealed.plan_tick(landing, KEYS, plan.cursor, NOON_3)) == []


def test_plan_day_is_closed_ten_minutes_after_midnight() -> None:
    landing = _landing(_line(DAY_1))
    midnight = day_begin_ns(DAY_2)
    assert _days(sealed.plan_tick(landing, KEYS, sealed.Cursor(), midnight + 10 * MINUTE - 1)) == []
    assert _days(sealed.plan_tick(landing, KEYS, sealed.Cursor(), midnight + 10 * MINUTE)) == [DAY_1]


def test_plan_late_part_changes_the_digest_and_reopens_the_day() -> None:
    first = sealed.plan_tick(_landing(_line(DAY_1)), KEYS, sealed.Cursor(), NOON_3)
    again = sealed.plan_tick(_landing(_line(DAY_1), _line(DAY_1, part=2)), KEYS, first.cursor, NOON_3)
    assert _days(again) == [DAY_1]
    assert again.requests[0].run_key != first.requests[0].run_key


def test_plan_days_that_an_older_build_judged_are_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    landing = _landing(_line(DAY_1), _line(DAY_2))
    with monkeypatch.context() as older:
        older.setattr("hip3_platform.analytics.landing.DERIVED_FORMAT", 1)
        before = sealed.plan_tick(landing, KEYS, sealed.Cursor(), NOON_3)
    again = sealed.plan_tick(landing, KEYS, before.cursor, NOON_3)
    assert _days(again) == [DAY_1, DAY_2]
    assert {r.run_key for r in again.requests}.isdisjoint(r.run_key for r in before.requests)


@pytest.mark.parametrize("text", [None, "", "not json", '{"requested": 7}'])
def test_plan_lost_cursor_repeats_the_same_run_keys(text: str | None) -> None:
    landing = _landing(_line(DAY_1), _line(DAY_2))
    first = sealed.plan_tick(landing, KEYS, sealed.Cursor(), NOON_3)
    again = sealed.plan_tick(landing, KEYS, sealed.read_cursor(text), NOON_3)
    assert [r.run_key for r in again.requests] == [r.run_key for r in first.requests]


def test_plan_many_waiting_days_are_one_bounded_run_and_the_rest_follows() -> None:
    days = [f"2026-{month:02d}-{n:02d}" for month in (9, 10) for n in range(1, 31)]
    landing = _landing(*(_line(day) for day in days))
    cursor, asked = sealed.Cursor(), []
    for _ in range(2):
        plan = sealed.plan_tick(landing, frozenset(days), cursor, NOON_3)
        (request,) = plan.requests
        assert request.job_name == CATCH_UP
        config = request.run_config["ops"][OP]["config"]
        assert len(config["days"]) <= sealed.CATCH_UP_MAX
        assert config["tags"][config["days"][0]][sealed.INPUT_TAG].startswith(config["days"][0])
        asked += config["days"]
        cursor = plan.cursor
    assert asked == days
    assert sealed.plan_tick(landing, frozenset(days), cursor, NOON_3).requests == []


def test_catch_up_records_every_day_as_a_run_of_the_daily_job(warehouse: WarehouseResource) -> None:
    for day in (DAY_1, DAY_2):
        write_day(warehouse.path, day, [MarketDay("xyz:GOOD")], session_id=f"s-{day}")
    defs = build_definitions(warehouse, RotationPolicy(), first=DAY_1, clock=FixedClock(NOON_3 + NS_PER_DAY))
    tags = {DAY_2: {sealed.INPUT_TAG: "a"}}
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"ops": {OP: {"config": {"days": [DAY_1, DAY_2], "tags": tags}}}}
        result = defs.resolve_job_def(CATCH_UP).execute_in_process(run_config=config, instance=instance)
        assert result.success
        runs = {run.tags["dagster/partition"]: run for run in instance.get_runs(dg.RunsFilter(job_name=JOB))}
    assert {day: run.status for day, run in runs.items()} == dict.fromkeys((DAY_1, DAY_2), dg.DagsterRunStatus.SUCCESS)
    assert runs[DAY_2].tags[sealed.INPUT_TAG] == "a", "the backstop finds that this input was judged"
    newest = gold.newest_rotation(warehouse.path, "sim")
    assert newest is not None
    assert newest[0].as_of_day == DAY_2


def test_catch_up_holds_the_writers_pool_like_every_run_that_writes(warehouse: WarehouseResource) -> None:
    # Its days are not launched, so no coordinator looks at their pools: only the run around them is held back (F-98).
    job = build_definitions(warehouse, RotationPolicy(), first=DAY_1).resolve_job_def(CATCH_UP)
    assert {node.definition.pool for node in job.nodes} == {WRITER_POOL}


def test_catch_up_with_a_day_that_fails_judges_the_next_one_and_fails(warehouse: WarehouseResource) -> None:
    for day in (DAY_1, DAY_2):
        write_day(warehouse.path, day, [MarketDay("xyz:GOOD")], session_id=f"s-{day}")
    part = warehouse.path / warehouse.landing().of(DAY_1, "bbo")[0].path
    part.write_bytes(part.read_bytes()[:-1])
    defs = build_definitions(warehouse, RotationPolicy(), first=DAY_1, clock=FixedClock(NOON_3 + NS_PER_DAY))
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"ops": {OP: {"config": {"days": [DAY_1, DAY_2], "tags": {}}}}}
        job = defs.resolve_job_def(CATCH_UP)
        result = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
    assert not result.success
    assert gold.inputs_digest(warehouse.path, "sim", DAY_1) == ""
    assert gold.inputs_digest(warehouse.path, "sim", DAY_2)


def test_plan_today_waits_for_closed_days_then_at_most_every_thirty_minutes() -> None:
    landing = _landing(_line(DAY_2), _line(DAY_3))
    first = sealed.plan_tick(landing, KEYS, sealed.Cursor(), NOON_3)
    assert _days(first) == [DAY_2]
    second = sealed.plan_tick(landing, KEYS, first.cursor, NOON_3)
    assert _days(second) == [DAY_3]
    grown = _landing(_line(DAY_2), _line(DAY_3), _line(DAY_3, part=2))
    assert _days(sealed.plan_tick(grown, KEYS, second.cursor, NOON_3 + 29 * MINUTE)) == []
    assert _days(sealed.plan_tick(grown, KEYS, second.cursor, NOON_3 + 30 * MINUTE)) == [DAY_3]
    assert _days(sealed.plan_tick(landing, KEYS, second.cursor, NOON_3 + 30 * MINUTE)) == []


def test_plan_today_never_feeds_a_rotation_and_is_run_whole_once_closed() -> None:
    landing = _landing(_line(DAY_3))
    today = sealed.plan_tick(landing, KEYS, sealed.Cursor(), NOON_3)
    (request,) = today.requests
    chosen = {key.to_user_string() for key in request.asset_selection or ()}
    assert not chosen & {"gold/market_ranking", "gold/rotation"}
    assert "gold/markouts" in chosen
    closed = sealed.plan_tick(landing, KEYS, today.cursor, NOON_3 + NS_PER_DAY)
    assert _days(closed) == [DAY_3]
    assert closed.requests[0].asset_selection is None
    assert closed.requests[0].run_key != request.run_key


def test_plan_day_without_a_partition_is_named() -> None:
    plan = sealed.plan_tick(_landing(_line("2020-01-01")), KEYS, sealed.Cursor(), NOON_3)
    assert (plan.requests, plan.unknown_days) == ([], ("2020-01-01",))


def _evaluate(
    warehouse: WarehouseResource,
    ts_ns: int,
    cursor: str | None = None,
    policy: RotationPolicy | None = None,
    *,
    is_busy: bool = False,
) -> dg.SensorResult:
    sensor = sealed.build_sealed_files([_noop()], daily_partitions(DAY_1))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, cursor=cursor) as context,
    ):
        if is_busy:
            instance.create_run_for_job(_noop(), status=dg.DagsterRunStatus.STARTING)
        result = sensor(context, warehouse=warehouse, policy=policy or RotationPolicy(), clock=FixedClock(ts_ns))
    assert isinstance(result, dg.SensorResult)
    return result


def test_sealed_files_on_a_real_warehouse_asks_then_is_quiet(one_day: WarehouseResource) -> None:
    first = _evaluate(one_day, NOON_3)
    assert [r.partition_key for r in first.run_requests or ()] == [DAY_1]
    landed = {event.asset_key.to_user_string(): event for event in first.asset_events}
    assert landed["landing/bbo"].metadata["dagster/row_count"].value == 900
    assert landed["landing/bbo"].partition == DAY_1
    second = _evaluate(one_day, NOON_3, first.cursor)
    assert second.asset_events == []
    assert not second.run_requests
    assert second.skip_reason == dg.SkipReason("nothing new in 1 days")


def test_sealed_files_newest_rotation_of_another_account_is_made_again_alone(
    one_day: WarehouseResource, run_day: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    run_day(DAY_1)
    asked = _evaluate(one_day, NOON_3)
    again = _evaluate(one_day, NOON_3, asked.cursor)
    assert not again.run_requests, "the rotation is for the policy's account"
    other = RotationPolicy(account="0xabc")
    held = _evaluate(one_day, NOON_3, asked.cursor, policy=other, is_busy=True)
    assert not held.run_requests, "what is under way may make it"
    (request,) = _evaluate(one_day, NOON_3, asked.cursor, policy=other).run_requests or ()
    assert (request.partition_key, request.asset_selection) == (DAY_1, [gold_key("rotation")])
    doc, _ = write_rotation(one_day.path, "sim", DAY_1, other.rotation)
    assert (doc.account, doc.version) == ("0xabc", 2026112001), "the next revision of the same day"
    assert not _evaluate(one_day, NOON_3, asked.cursor, policy=other).run_requests


def test_sealed_files_unreadable_manifest_is_said_and_keeps_the_cursor(one_day: WarehouseResource) -> None:
    manifest_path(one_day.path, "sim", "s1").write_bytes(b'{"table": "from the future"}\n')
    result = _evaluate(one_day, NOON_3, '{"requested":{}}')
    assert "newer hip3" in (str(result.skip_reason))
    assert result.cursor == '{"requested":{}}'


def test_sealed_files_older_day_judged_again_asks_for_the_newest_ranking_only(warehouse: WarehouseResource) -> None:
    root = warehouse.path
    for day in (DAY_1, DAY_2):
        gold.record_inputs(root, gold.DayInputs(venue="sim", day=day, digest=f"new-{day}", row_counts={}))
        for table in (gold.DAILY_METRICS, gold.MARKOUTS):
            write_bytes(gold_path(root, table=table, venue="sim", day=day), b"")
    ranking = gold_path(root, table=gold.MARKET_RANKING, venue="sim", day=DAY_2, suffix="json")
    used = {DAY_1: "old", DAY_2: f"new-{DAY_2}"}
    write_bytes(ranking, msgspec.json.encode({"venue": "sim", "day": DAY_2, "inputs": used}))
    request = sealed.stale_ranking_request(warehouse, DAY_2, 14)
    assert request is not None
    looking_back = ["verdicts", "approvals", "standings", "market_ranking", "rotation"]
    assert [key.path[-1] for key in request.asset_selection or ()] == looking_back
    used[DAY_1] = f"new-{DAY_1}"
    write_bytes(ranking, msgspec.json.encode({"venue": "sim", "day": DAY_2, "inputs": used}))
    assert sealed.stale_ranking_request(warehouse, DAY_2, 14) is None


def test_daily_schedule_is_silent_when_the_sensor_has_asked(one_day: WarehouseResource) -> None:
    landing, partitions = one_day.landing(), daily_partitions(DAY_1)
    with dg.DagsterInstance.ephemeral() as instance:
        request = sealed.backstop(instance, landing, partitions, DAY_1)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == DAY_1
        instance.create_run_for_job(_noop(), tags=dict(request.tags))
        assert isinstance(sealed.backstop(instance, landing, partitions, DAY_1), dg.SkipReason)
        assert isinstance(sealed.backstop(instance, landing, partitions, DAY_2), dg.SkipReason)


def test_backstop_leaves_yesterday_until_older_days_were_asked_for(warehouse: WarehouseResource) -> None:
    for day in (DAY_1, DAY_2):
        write_day(warehouse.path, day, [MarketDay("xyz:GOOD")], session_id=f"s-{day}")
    landing, partitions = warehouse.landing(), daily_partitions(DAY_1)
    with dg.DagsterInstance.ephemeral() as instance:
        waits = sealed.backstop(instance, landing, partitions, DAY_2)
        assert isinstance(waits, dg.SkipReason)
        assert str(waits.skip_message).startswith(f"{DAY_1} waits")
        older = sealed.day_request(DAY_1, landing.digest(DAY_1))
        instance.add_run(dg.DagsterRun(job_name=sealed.DAILY_JOB, tags=dict(older.tags)))
        request = sealed.backstop(instance, landing, partitions, DAY_2)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == DAY_2


def _noop() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None:
        pass

    @dg.job
    def job() -> None:
        nothing()

    return job


# --- partitions


def test_first_day_is_the_warehouses_first_and_a_window_back_without_data(warehouse: WarehouseResource) -> None:
    assert first_day(warehouse.path, "sim", NOON_3) == "2026-11-08"
    write_day(warehouse.path, DAY_2, [MarketDay("xyz:A", signal_count=0, bbo_count=1)])
    assert first_day(warehouse.path, "sim", NOON_3) == DAY_2


def test_partitions_are_utc_days_and_hold_today() -> None:
    keys = daily_partitions(DAY_1).get_partition_keys(current_time=_datetime(NOON_3))
    assert keys == [DAY_1, DAY_2, DAY_3]


def _datetime(ts_ns: int) -> datetime:
    return datetime.fromtimestamp(ts_ns / 1e9, tz=UTC)


# --- rotation push


class FakeSidecar(SidecarResource):
    """A sidecar that remembers what was pushed."""

    _held: RotationAnswer
    _answer: RotationAnswer | Exception | None
    _pushed: list[tuple[bytes, str]]
    _session: str

    def setup(self, held: RotationAnswer, answer: RotationAnswer | Exception | None = None) -> "FakeSidecar":
        self._held, self._answer, self._pushed, self._session = held, answer, [], "live-1"
        return self

    def endpoint(self) -> Endpoint:
        return Endpoint(pid=1, session_id=self._session, venue="sim", control_url="http://127.0.0.1:1", started_ts_ns=0)

    def rotation(self) -> RotationAnswer:
        return self._held

    def push_rotation(self, raw: bytes, replaces_sha256: str) -> RotationAnswer:
        self._pushed.append((raw, replaces_sha256))
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None, "nothing was expected to be pushed"
        return self._answer


NOTHING_HELD = RotationAnswer(is_accepted=True, version=0, sha256="")


def _answer(is_accepted: bool, *reasons: str) -> RotationAnswer:
    return RotationAnswer(is_accepted=is_accepted, version=1, sha256="x", reasons=reasons)


def _store(warehouse: WarehouseResource, day: str) -> tuple[RotationDoc, bytes]:
    identity = Identity(venue="sim", account="paper", day=day, code_version="0", config_hash="", expiry_hours=72)
    doc = build_document(
        identity, standings=(), candidates=(), allotments={}, settings={}, score_bps={}, blacklist={}, previous=None
    )
    market = RotationMarket(coin="xyz:A", ntl_max=Decimal(50), rank=1, score_bps=Decimal(3), reason="by hand")
    doc = msgspec.structs.replace(doc, markets=(market,))
    raw = encode_rotation(doc)
    write_bytes(gold_path(warehouse.path, table="rotation", venue="sim", day=day, suffix="json"), raw)
    return doc, raw


def _sidecar(warehouse: WarehouseResource, held: RotationAnswer, answer: object = None) -> FakeSidecar:
    return FakeSidecar(root=warehouse.root).setup(held, answer)


def _checks(result: dg.SensorResult) -> list[dg.AssetCheckEvaluation]:
    return [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]


def test_push_first_document_is_sent_and_its_acceptance_recorded(warehouse: WarehouseResource) -> None:
    doc, raw = _store(warehouse, DAY_1)
    sidecar = _sidecar(warehouse, NOTHING_HELD, _answer(True))
    result = push_newest(None, warehouse, sidecar)
    assert sidecar._pushed == [(raw, "")]
    observation, check = result.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.metadata["version"].value == doc.version
    assert (check.asset_key, check.check_name, check.passed) == (SIDECAR_ROTATION, "accepted", True)


def test_push_a_document_that_only_proposes_waits_and_one_that_stands_down_is_sent(
    warehouse: WarehouseResource,
) -> None:
    doc, _ = _store(warehouse, DAY_1)
    path = gold_path(warehouse.path, table="rotation", venue="sim", day=DAY_1, suffix="json")
    proposed = msgspec.structs.replace(doc, markets=(), proposed=(RotationProposal(market=doc.markets[0]),))
    write_bytes(path, encode_rotation(proposed))
    skipped = push_newest(None, warehouse, _sidecar(warehouse, NOTHING_HELD))
    assert not skipped.asset_events
    assert "until an operator approves xyz:A" in str(skipped.skip_reason)
    down = encode_rotation(msgspec.structs.replace(proposed, stands_down=True))
    write_bytes(path, down)
    sidecar = _sidecar(warehouse, NOTHING_HELD, _answer(True))
    push_newest(None, warehouse, sidecar)
    assert sidecar._pushed == [(down, "")]


def test_push_names_the_document_it_replaces(warehouse: WarehouseResource) -> None:
    _store(warehouse, DAY_1)
    held = RotationAnswer(is_accepted=True, version=7, sha256="abc")
    sidecar = _sidecar(warehouse, held, _answer(True))
    push_newest(None, warehouse, sidecar)
    assert sidecar._pushed[0][1] == "abc"


def test_push_refused_shows_the_reasons_in_red_and_is_not_repeated(warehouse: WarehouseResource) -> None:
    _store(warehouse, DAY_1)
    sidecar = _sidecar(warehouse, NOTHING_HELD, _answer(False, "xyz:A is unknown", "ntl_max 100 is over 50"))
    first = push_newest(None, warehouse, sidecar)
    (check,) = _checks(first)
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert "xyz:A is unknown; ntl_max 100 is over 50" in (check.description or "")
    again = push_newest(first.cursor, warehouse, sidecar)
    assert len(sidecar._pushed) == 1
    assert "was refused" in str(again.skip_reason)
    sidecar._session = "live-2"
    push_newest(again.cursor, warehouse, sidecar)
    assert len(sidecar._pushed) == 2


def test_push_newer_document_is_tried_after_a_refusal(warehouse: WarehouseResource) -> None:
    _store(warehouse, DAY_1)
    sidecar = _sidecar(warehouse, NOTHING_HELD, _answer(False, "no"))
    cursor = push_newest(None, warehouse, sidecar).cursor
    _, raw = _store(warehouse, DAY_2)
    push_newest(cursor, warehouse, sidecar)
    assert sidecar._pushed[-1][0] == raw


def test_push_goes_forward_only(warehouse: WarehouseResource) -> None:
    doc, raw = _store(warehouse, DAY_1)
    newer = RotationAnswer(is_accepted=True, version=doc.version + 1, sha256="other")
    assert "forward only" in str(push_newest(None, warehouse, _sidecar(warehouse, newer)).skip_reason)
    same = RotationAnswer(is_accepted=True, version=doc.version, sha256=rotation_sha256(raw))
    assert "holds version" in str(push_newest(None, warehouse, _sidecar(warehouse, same)).skip_reason)


def test_push_of_an_old_days_rerun_sends_nothing(warehouse: WarehouseResource) -> None:
    newest, raw = _store(warehouse, DAY_2)
    _store(warehouse, DAY_1)
    held = RotationAnswer(is_accepted=True, version=newest.version, sha256=rotation_sha256(raw))
    assert push_newest(None, warehouse, _sidecar(warehouse, held)).asset_events == []


def test_push_broken_answer_is_red_once(warehouse: WarehouseResource) -> None:
    _store(warehouse, DAY_1)
    sidecar = _sidecar(warehouse, NOTHING_HELD, SidecarFailed("timed out"))
    first = push_newest(None, warehouse, sidecar)
    assert [check.passed for check in _checks(first)] == [False]
    assert _checks(push_newest(first.cursor, warehouse, sidecar)) == []


def test_push_without_a_document_or_a_sidecar_skips(warehouse: WarehouseResource) -> None:
    assert "no rotation" in str(push_newest(None, warehouse, SidecarResource(root=warehouse.root)).skip_reason)
    _store(warehouse, DAY_1)
    result = push_newest(None, warehouse, SidecarResource(root=warehouse.root))
    assert "hip3 run" in str(result.skip_reason)
    assert result.asset_events == []


def test_push_events_are_stored_by_the_instance(warehouse: WarehouseResource) -> None:
    _store(warehouse, DAY_1)
    result = push_newest(None, warehouse, _sidecar(warehouse, NOTHING_HELD, _answer(False, "no")))
    with dg.DagsterInstance.ephemeral() as instance:
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        observed = instance.fetch_observations(SIDECAR_ROTATION, limit=1).records
        assert observed[0].asset_observation is not None
        assert "reasons" in observed[0].asset_observation.metadata


# --- health


class WellSidecar(SidecarResource):
    """A sidecar whose status is what the test says."""

    _status: StatusView | Exception

    def status(self) -> StatusView:
        if isinstance(self._status, Exception):
            raise self._status
        return self._status


def _status(**values: object) -> StatusView:
    base = {
        "version": "0", "session_id": "s", "venue": "sim", "account": "", "config_hash": "", "phase": "paper",
        "is_armed": False, "stop_reason": None, "is_connected": True, "generation": 1, "reconnect_count": 0, "seq": 1,
        "uptime_s": 1.0, "ready_count": 3, "market_count": 3, "entries_closed_by": (), "rate_use_ratio": 0.1,
        "rotation_version": 0, "rotation_sha256": "", "rotation_expires_ts_ns": 0, "event_count": 0, "signal_count": 0,
        "episode_count": 0, "disabled_gates": {}, "markets": (),
    }  # fmt: skip
    return StatusView(**{**base, **values})


@pytest.mark.parametrize(
    ("values", "is_well", "word"),
    [
        ({}, True, "3 of 3"),
        ({"stop_reason": "operator"}, False, "stop latch: operator"),
        ({"is_connected": False, "ready_count": 0}, False, "not connected"),
    ],
)
def test_health_is_observed_and_judged(warehouse: WarehouseResource, values, is_well, word) -> None:
    sidecar = WellSidecar(root=warehouse.root)
    sidecar._status = _status(**values)
    observation, check = observe_sidecar(None, sidecar).asset_events
    assert observation.metadata["ready_count"].value == values.get("ready_count", 3)
    assert check.passed is is_well
    assert word in check.description


def test_health_absent_sidecar_is_red_once(warehouse: WarehouseResource) -> None:
    sidecar = WellSidecar(root=warehouse.root)
    sidecar._status = SidecarAbsent("nobody listens")
    first = observe_sidecar("", sidecar)
    assert [check.passed for check in _checks(first)] == [False]
    assert observe_sidecar(first.cursor, sidecar).asset_events == []


def test_definitions_name_one_job_and_its_running_sensors(warehouse: WarehouseResource) -> None:
    defs = build_definitions(warehouse, RotationPolicy(), first=DAY_1)
    names = {sensor.name for sensor in defs.sensors or ()}
    assert names == {"sealed_files", "rotation_push", "sidecar_health", "phase_exit"}
    assert all(s.default_status is dg.DefaultSensorStatus.RUNNING for s in defs.sensors or ())
    assert defs.resolve_job_def(JOB).name == "daily"
