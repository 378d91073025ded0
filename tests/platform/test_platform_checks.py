"""Planted defects: each turns exactly its own check red, at its own market; what would move money stops the day."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_builders import START_TS_NS, a_session
from journal_builders import Recorder, edit_segment, record_day
from platform_defects import Feed
from platform_trades import a_trading_day
from platform_warehouse import DAY_1, DAY_2, DAY_3, VENUE, FixedClock, MarketDay, asset_id_of, write_day

from hip3_platform.analytics import gold, gold_evidence, gold_rotation
from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.day_checks import read_looks, states_of
from hip3_platform.analytics.gold_evidence import EvidenceRule
from hip3_platform.analytics.gold_rotation import RankingRules
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.quality import schema_difference
from hip3_platform.analytics.rotating.blacklist import BlacklistRule
from hip3_platform.analytics.rotating.capacity import CapacityRule
from hip3_platform.analytics.rotating.score import ScoreRule
from hip3_platform.assets.common import bronze_key, gold_key
from hip3_platform.checks import parity
from hip3_platform.checks.freshness import build_freshness_check, judge_freshness
from hip3_platform.definitions import JOB, build_definitions
from hip3_platform.partitions import daily_partitions
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import day_begin_ns, day_of, gold_path, manifest_path
from streaming.contracts.tables import TABLES
from streaming.core.effects import AnyOutput, GateId, GatesEvaluated, GateStatus
from streaming.core.units import NS_PER_DAY, NS_PER_S
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import list_segments
from streaming.shell.tables.project import project_session
from streaming.shell.tables.seal import file_sha256

FEED = [bronze_key(t) for t in ("bbo", "ctx", "health", "fills", "ledger", "reconciliations")]
METRICS = gold_key("daily_metrics")


@dataclass
class Run:
    """What a run made, and what its checks said."""

    root: Path
    result: dg.ExecuteInProcessResult

    @property
    def red(self) -> dict[str, dg.AssetCheckEvaluation]:
        return {f"{e.asset_key.to_user_string()}:{e.check_name}": e for e in self.result.get_asset_check_evaluations()
                if not e.passed}  # fmt: skip

    @property
    def evaluated(self) -> set[str]:
        return {f"{e.asset_key.to_user_string()}:{e.check_name}" for e in self.result.get_asset_check_evaluations()}

    @property
    def made(self) -> set[str]:
        return {e.asset_key.to_user_string() for e in self.result.get_asset_materialization_events() if e.asset_key}

    def markets(self, check: str) -> dict[str, set[str]]:
        """Return rule → markets among the findings of a red check."""
        table: Any = self.red[check].metadata["findings"]
        found: dict[str, set[str]] = {}
        for record in table.records:
            found.setdefault(str(record.data["rule"]), set()).add(str(record.data["where"]))
        return found


def _run(warehouse: WarehouseResource, day: str, selection: list[dg.AssetKey] | None = None) -> Run:
    clock = FixedClock(day_begin_ns(DAY_3) + NS_PER_DAY)
    job = build_definitions(warehouse, RotationPolicy(), first=DAY_1, clock=clock).resolve_job_def(JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        return Run(
            warehouse.path,
            job.execute_in_process(
                partition_key=day, raise_on_error=False, instance=instance, asset_selection=selection
            ),
        )


# --- odd markets: red, and the day goes on

_ODD_SIGNALS = 60
_VARIED = tuple(str(20 + i) for i in range(_ODD_SIGNALS))
_BOTH = ("buy", "sell")
_FEEDS = {
    "xyz:GAP": Feed(has_ctx=lambda second: not 100 <= second < 160),
    "xyz:HOLE": Feed(**dict.fromkeys(("has_bbo", "has_ctx", "has_sample"), lambda second: not 100 <= second < 120)),
    "xyz:LATE": Feed(late_ms=9_000, is_late=lambda second: second % 10 == 5),
    "xyz:TWICE": Feed(is_repeated=lambda second: second % 10 == 5),
    "xyz:FROZEN": Feed(seconds=700, does_quote_move=False, oracle_step=Decimal("0.0005")),
    "xyz:QUIET": Feed(seconds=700, does_quote_move=False),
}
_SIGNALS = [
    MarketDay("xyz:OK", signal_count=_ODD_SIGNALS, sides=_BOTH, edges_bps=_VARIED),
    MarketDay("xyz:CRCL", signal_count=79, sides=_BOTH, edges_bps=("42.14",)),
    MarketDay("xyz:ONESIDE", signal_count=_ODD_SIGNALS, sides=("sell",), edges_bps=_VARIED),
    MarketDay("xyz:OLD", signal_count=3, ctx_age_ms=9_500),
    MarketDay("xyz:MISSING", missing_every=2),
    MarketDay("xyz:NULLS", null_every=3),
]
_ODD = {
    "bronze/ctx:gaps": {"holes": {"xyz:GAP"}},
    "bronze/health:gaps": {"gaps": {"xyz:HOLE"}},
    "bronze/bbo:late_rows": {"late rows": {"xyz:LATE"}},
    "bronze/bbo:duplicates": {"repeats": {"xyz:TWICE"}},
    "bronze/bbo:frozen_quotes": {"frozen quotes": {"xyz:FROZEN"}},
    "bronze/signals:expectations": {
        "identical_edge_ratio": {"xyz:CRCL"}, "buy_ratio": {"xyz:ONESIDE"}, "ctx_age_ms_p95": {"xyz:OLD"},
    },
    "bronze/followups:expectations": {"missing_ratio": {"xyz:MISSING"}},
    "gold/daily_metrics:expectations": {"bbo_null_rate": {"xyz:NULLS"}},
}  # fmt: skip
_EVERY_DAY = {
    *(f"bronze/{table}:{name}" for table in TABLES for name in ("contract", "completeness")),
    *(f"bronze/bbo:{name}" for name in ("sequence", "duplicates", "late_rows", "frozen_quotes")),
    *(f"bronze/ctx:{name}" for name in ("sequence", "gaps")),
    *(f"bronze/health:{name}" for name in ("conservation", "gaps", "day_boundary", "asset_ids")),
    *(f"bronze/{table}:expectations" for table in ("signals", "followups", "orders", "fills")),
    "bronze/fills:duplicates", "bronze/ledger:duplicates", "bronze/ledger:double_entry", "bronze/signals:parity",
    "gold/daily_metrics:expectations", "gold/market_ranking:freshness",
}  # fmt: skip


@pytest.fixture(scope="module")
def odd_day(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One judged day with an odd market for every check that warns."""
    root = tmp_path_factory.mktemp("odd")
    feeds = [feed.rows(coin, DAY_1, 1_000_000 * at) for at, (coin, feed) in enumerate(_FEEDS.items(), 2)]
    write_day(root, DAY_1, [*(replace(market, rows={}) for market in _SIGNALS), *feeds])
    return _run(WarehouseResource(root=str(root), venue=VENUE), DAY_1)


def test_odd_markets_turn_their_own_checks_red_and_no_other(odd_day: Run) -> None:
    assert set(odd_day.red) == set(_ODD)
    assert odd_day.evaluated >= _EVERY_DAY


@pytest.mark.parametrize("check", _ODD)
def test_odd_market_is_named_and_no_other_is(odd_day: Run, check: str) -> None:
    assert odd_day.markets(check) == _ODD[check]


@pytest.mark.parametrize("check", _ODD)
def test_odd_market_is_a_warning_with_expected_and_found(odd_day: Run, check: str) -> None:
    red = odd_day.red[check]
    assert red.severity is dg.AssetCheckSeverity.WARN
    assert {"expected", "found", "first_bad_row"} <= set(red.metadata)


def test_odd_markets_do_not_stop_the_day(odd_day: Run) -> None:
    assert odd_day.result.success
    assert "gold/rotation" in odd_day.made


def test_every_check_of_the_day_is_written_down_as_it_was_said(odd_day: Run) -> None:
    looks = read_looks(odd_day.root, VENUE, DAY_1)
    assert looks is not None
    said = {
        (e.asset_key.to_user_string(), e.check_name): (e.passed, e.severity is dg.AssetCheckSeverity.ERROR)
        for e in odd_day.result.get_asset_check_evaluations()
    }
    assert {(table, name): (passed, error) for table, name, passed, error, *_ in looks.iter_rows()} == said
    assert set(looks["at_ts_ns"]) == {day_begin_ns(DAY_3) + NS_PER_DAY}
    assert set(looks["digest"]) == {read_landing(odd_day.root, VENUE).digest(DAY_1)}
    states = states_of(looks)
    assert "not run" not in set(states["state"])
    (crcl,) = states.filter(table="bronze/signals", check="expectations").rows(named=True)
    assert (crcl["state"], crcl["severity"], crcl["is_blocking"]) == ("failed", "warning", True)
    assert "xyz:CRCL" in crcl["finding"]


def test_crcl_is_told_as_it_was(odd_day: Run) -> None:
    assert "xyz:CRCL: identical_edge_ratio: expected 0 to 0.5, found 1" in (
        odd_day.red["bronze/signals:expectations"].description or ""
    )


# --- wrong tables: red, and nothing is made of them


def _replant(root: Path, line: ManifestLine, rows: pa.Table) -> None:
    """Replace a part and tell the manifest so, as a writer with a bug would."""
    path = root / line.path
    pq.write_table(rows, path, store_decimal_as_integer=True)
    manifest = manifest_path(root, VENUE, line.session_id)
    new = msgspec.structs.replace(line, sha256=file_sha256(path))
    lines = [new if known.path == line.path else known for known in _lines(root, line.session_id)]
    manifest.write_bytes(b"".join(encode_line(known) for known in lines))


def _lines(root: Path, session_id: str) -> list[ManifestLine]:
    landing = WarehouseResource(root=str(root), venue=VENUE).landing()
    return [line for line in landing.lines if line.session_id == session_id]


def _part(root: Path, table: str) -> tuple[ManifestLine, pa.Table]:
    line = next(line for line in _lines(root, "s1") if line.table == table)
    return line, pq.read_table(root / line.path, partitioning=None)


def _drift(root: Path) -> None:
    line, rows = _part(root, "bbo")
    at = rows.schema.get_field_index("bid_sz")
    drifted = rows.set_column(at, pa.field("bid_sz", pa.float64()), rows.column(at).cast(pa.float64()))
    assert schema_difference(drifted.schema, TABLES["bbo"]) is not None
    _replant(root, line, drifted)


def _row_of_tomorrow(root: Path) -> None:
    line, rows = _part(root, "ctx")
    at = rows.schema.get_field_index("recv_ts_ns")
    times = rows.column(at).to_pylist()
    times[-1] = day_begin_ns(DAY_2)
    moved = rows.set_column(at, rows.schema.field(at), pa.array(times, pa.int64()))
    _replant(root, msgspec.structs.replace(line, ts_ns_max=times[-1]), moved)


def _swapped_sequence(root: Path) -> None:
    line, rows = _part(root, "bbo")
    at = rows.schema.get_field_index("seq")
    seqs = rows.column(at).to_pylist()
    seqs[50], seqs[60] = seqs[60], seqs[50]
    _replant(root, line, rows.set_column(at, rows.schema.field(at), pa.array(seqs, pa.int64())))


def _contradiction(root: Path) -> None:
    other = Feed(does_quote_move=False).rows("xyz:A", DAY_1, 100)
    write_day(root, DAY_1, [replace(other, rows={"bbo": other.rows["bbo"]})], session_id="s1")


def _second_recorder(root: Path) -> None:
    second = Feed().rows("xyz:A", DAY_1, 100)
    write_day(root, DAY_1, [replace(second, rows={"bbo": second.rows["bbo"][10:]})], session_id="s2")


def _id_of_another(root: Path) -> None:
    write_day(root, DAY_1, [Feed(asset_id=asset_id_of("xyz:A")).rows("xyz:B", DAY_1, 900_000)])


@pytest.mark.parametrize(
    ("plant", "check", "words"),
    [
        (_drift, "bronze/bbo:contract", "column bid_sz: expected decimal128(18, 8), found double"),
        (_row_of_tomorrow, "bronze/ctx:completeness", f"rows outside {DAY_1}"),
        (_swapped_sequence, "bronze/bbo:sequence", "seq runs against the order of receipt"),
        (_contradiction, "bronze/bbo:completeness", "different rows for one key"),
        (_second_recorder, "bronze/bbo:duplicates", "s2 begins 289.0 s before s1 ends"),
        (_id_of_another, "bronze/health:asset_ids", "is xyz:A's alone, found xyz:B has it too"),
    ],
)
def test_wrong_table_turns_its_own_check_red_and_stops_the_figures(
    warehouse: WarehouseResource, plant: Callable[[Path], None], check: str, words: str
) -> None:
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:A", DAY_1, 100)])
    plant(warehouse.path)
    run = _run(warehouse, DAY_1, [*FEED, METRICS])
    assert set(run.red) == {check}
    assert run.red[check].severity is dg.AssetCheckSeverity.ERROR
    assert words in (run.red[check].description or "")
    assert not run.result.success
    assert METRICS.to_user_string() not in run.made


def test_whole_feed_is_green(warehouse: WarehouseResource) -> None:
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:A", DAY_1, 100)])
    run = _run(warehouse, DAY_1, [*FEED, METRICS])
    assert run.result.success
    assert not run.red


def test_asset_id_that_moved_to_another_coin_over_night_is_red(warehouse: WarehouseResource) -> None:
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:SILVER", DAY_1, 100)])
    assert not _run(warehouse, DAY_1, FEED).red
    moved = Feed(asset_id=asset_id_of("xyz:SILVER")).rows("xyz:RIVN", DAY_2, 100)
    write_day(warehouse.path, DAY_2, [moved], session_id="s2")
    run = _run(warehouse, DAY_2, FEED)
    assert set(run.red) == {"bronze/health:asset_ids"}
    assert f"is xyz:SILVER's, as on {DAY_1}, found it is xyz:RIVN's now" in (
        run.red["bronze/health:asset_ids"].description or ""
    )
    assert run.red["bronze/health:asset_ids"].severity is dg.AssetCheckSeverity.ERROR


def test_session_that_is_silent_around_midnight_is_named(warehouse: WarehouseResource) -> None:
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:A", DAY_1, 100)])
    write_day(warehouse.path, DAY_2, [Feed().rows("xyz:A", DAY_2, 10_000)])
    assert not _run(warehouse, DAY_1, FEED).red
    run = _run(warehouse, DAY_2, FEED)
    assert set(run.red) == {"bronze/health:day_boundary"}
    assert f"found {23 * 3_600 + 55 * 60 + 1} s" in (run.red["bronze/health:day_boundary"].description or "")


def test_fill_and_postings_of_two_sessions_are_red_before_money_is_counted_twice(
    warehouse: WarehouseResource,
) -> None:
    for session_id in ("s1", "s2"):
        day = a_trading_day(day_begin_ns(DAY_1) + 3_600 * NS_PER_S)
        account = replace(day.account_rows, rows={**day.account_rows.rows})
        market = replace(day.market, signal_count=0, bbo_count=0)
        write_day(warehouse.path, DAY_1, [market, account], session_id=session_id)
    selection = [bronze_key(t) for t in ("orders", "fills", "ledger", "reconciliations")]
    run = _run(warehouse, DAY_1, [*selection, gold_key("daily_execution")])
    # What stands twice also takes twice what its order asked for.
    assert set(run.red) == {"bronze/fills:duplicates", "bronze/ledger:duplicates", "bronze/fills:expectations"}
    assert run.markets("bronze/fills:expectations") == {"over_order_count": {"xyz:GOOD"}}
    assert "xyz:GOOD: fills twice" in (run.red["bronze/fills:duplicates"].description or "")
    assert {red.severity for red in run.red.values()} == {dg.AssetCheckSeverity.ERROR}
    assert "gold/daily_execution" not in run.made


# --- freshness


def _judge_by_hand(root: Path, day: str) -> None:
    """Make bronze and everything that a ranking of the day rests on without a run."""
    landing = read_landing(root, VENUE)
    for table in TABLES:
        assert compact(root, table, VENUE, day, landing.of(day, table)).findings.is_clean
    gold.record_inputs(root, gold.DayInputs(venue=VENUE, day=day, digest=landing.digest(day), row_counts={}))
    gold.write_daily_metrics(root, VENUE, day)
    gold.write_markouts(root, VENUE, day)
    gold_evidence.write_day_evidence(root, VENUE, day)
    gold_rotation.write_incidents(root, VENUE, day, BlacklistRule())


def _rank_by_hand(root: Path, day: str) -> None:
    """Write verdicts, approvals and a ranking over what is judged now."""
    gold_evidence.write_verdicts(root, VENUE, day, EvidenceRule())
    gold_evidence.write_approvals(root, VENUE, day, EvidenceRule())
    gold_rotation.write_ranking(root, VENUE, day, RankingRules(CapacityRule(), ScoreRule()))


def _two_days(root: Path) -> None:
    for day, session_id in ((DAY_1, "s1"), (DAY_2, "s2")):
        write_day(root, day, [MarketDay("xyz:A", signal_count=3)], session_id=session_id)


def test_ranking_over_a_day_that_grew_is_stale_until_that_day_and_the_ranking_are_made_again(
    warehouse: WarehouseResource,
) -> None:
    _two_days(warehouse.path)
    for day in (DAY_1, DAY_2):
        _judge_by_hand(warehouse.path, day)
    _rank_by_hand(warehouse.path, DAY_2)
    assert judge_freshness(warehouse, DAY_2).passed
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:LATE", DAY_1, 10)], session_id="s3")
    for words in ("tables made of the parts that landed", "a ranking made of"):
        stale = judge_freshness(warehouse, DAY_2)
        assert (stale.passed, stale.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert f"{DAY_1}: freshness: expected {words}" in (stale.description or "")
        _judge_by_hand(warehouse.path, DAY_1)
    _rank_by_hand(warehouse.path, DAY_2)
    assert judge_freshness(warehouse, DAY_2).passed


def test_ranking_without_a_day_that_has_data_warns(warehouse: WarehouseResource) -> None:
    _two_days(warehouse.path)
    _judge_by_hand(warehouse.path, DAY_2)
    _rank_by_hand(warehouse.path, DAY_2)
    stale = judge_freshness(warehouse, DAY_2)
    assert (stale.passed, stale.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"{DAY_1}: freshness" in (stale.description or "")


def test_missing_ranking_and_figures_older_than_their_bronze_are_stale(warehouse: WarehouseResource) -> None:
    write_day(warehouse.path, DAY_1, [MarketDay("xyz:A", signal_count=3)])
    _judge_by_hand(warehouse.path, DAY_1)
    assert "gold/market_ranking of the day, found none" in (judge_freshness(warehouse, DAY_1).description or "")
    old = gold_path(warehouse.path, table="daily_metrics", venue=VENUE, day=DAY_1)
    kept = old.read_bytes()
    write_day(warehouse.path, DAY_1, [Feed().rows("xyz:LATE", DAY_1, 10)], session_id="s3")
    _judge_by_hand(warehouse.path, DAY_1)
    _rank_by_hand(warehouse.path, DAY_1)
    old.write_bytes(kept)
    assert "daily_metrics made of" in (judge_freshness(warehouse, DAY_1).description or "")


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two judged days and the ranking of the second; before/ holds what stood before a part came late."""
    root = tmp_path_factory.mktemp("ranked") / "now"
    _two_days(root)
    for day in (DAY_1, DAY_2):
        _judge_by_hand(root, day)
        _rank_by_hand(root, day)
    shutil.copytree(root / "gold", root / "before")
    write_day(root, DAY_1, [Feed().rows("xyz:LATE", DAY_1, 10)], session_id="s3")
    _judge_by_hand(root, DAY_1)
    _rank_by_hand(root, DAY_2)
    return root


_OF_DAYS = ("daily_metrics", "policy_fills", "policy_hours", "basis", "basis_gaps", "incidents")
_AS_OF = ("verdicts", "approvals", "standings", "market_ranking")
_RESTS_ON = [*((table, DAY_1) for table in _OF_DAYS), *((table, DAY_2) for table in _AS_OF)]


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "older"])
@pytest.mark.parametrize(("table", "day"), _RESTS_ON)
def test_every_table_that_a_ranking_rests_on_has_to_be_there_and_made_of_what_landed(
    ranked: Path, tmp_path: Path, table: str, day: str, *, is_gone: bool
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(ranked, root)
    warehouse = WarehouseResource(root=str(root), venue=VENUE)
    assert judge_freshness(warehouse, DAY_2).passed
    path = gold_path(root, table=table, venue=VENUE, day=day)
    path.unlink()
    if not is_gone:
        shutil.copy(root / "before" / path.relative_to(root / "gold"), path)
    stale = judge_freshness(warehouse, DAY_2)
    assert (stale.passed, stale.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert f"gold/{table} made of" in (stale.description or "")


def test_table_that_does_not_say_what_it_was_made_of_has_to_be_made_again(ranked: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(ranked, root)
    path = gold_path(root, table="policy_fills", venue=VENUE, day=DAY_1)
    pl.read_parquet(path).write_parquet(path)
    stale = judge_freshness(WarehouseResource(root=str(root), venue=VENUE), DAY_2)
    assert "found one that does not say: judge the day again" in (stale.description or "")


def test_freshness_blocks_the_rotation() -> None:
    (spec,) = build_freshness_check(daily_partitions(DAY_1)).check_specs
    assert (spec.asset_key, spec.blocking) == (gold_key("market_ranking"), True)


# --- parity


def test_planted_wrong_decision_turns_parity_red_at_its_row_with_both_gate_vectors(
    warehouse: WarehouseResource,
) -> None:
    recorder = Recorder(warehouse.path, session=a_session(session_id="s1"))
    record_day(recorder)
    recorder.close()
    day = day_of(START_TS_NS)
    planted = next(
        seq for seq, outputs in enumerate(recorder.outputs, 1)
        if any(isinstance(output, GatesEvaluated) and output.is_blocked for output in outputs)
    )  # fmt: skip
    project_session(warehouse.path, VENUE, "s1")
    assert parity.judge_parity(warehouse, day).passed

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
    red = parity.judge_parity(warehouse, day)
    assert not red.passed
    assert f"s1 BboUpdated xyz:NVDA at seq {planted}" in (red.description or "")
    gates: Any = red.metadata["gates"]
    rows = {str(record.data["gate"]): record.data for record in gates.records}
    assert set(rows) == {gate.value for gate in GateId}
    assert {str(row["recorded"]).split()[0] for row in rows.values()} == {"pass"}
    assert "block" in {str(row["decided"]).split()[0] for row in rows.values()}
