"""The whole graph in one process: green days, red days that stop everything behind them, and re-runs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
from platform_warehouse import DAY_1, DAY_2, MarketDay, write_day

from hip3_platform.analytics import gold
from hip3_platform.analytics.evidence.tables import (
    APPROVALS,
    DAY_TABLES,
    GATE_OUTCOMES,
    GATE_PRICES,
    STANDINGS,
    VERDICTS,
)
from hip3_platform.assets.common import bronze_key, gold_key
from hip3_platform.checks import parity
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.sealed_files import TODAY_SELECTION
from streaming.contracts.manifest import encode_line
from streaming.contracts.paths import day_begin_ns, gold_path, journal_folder, manifest_path
from streaming.contracts.tables import TABLES

RunDay = Callable[..., dg.ExecuteInProcessResult]


def _made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def _red(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        f"{e.asset_key.to_user_string()}:{e.check_name}": e.description or ""
        for e in result.get_asset_check_evaluations()
        if not e.passed
    }


def _gold_files(warehouse: WarehouseResource) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted((warehouse.path / "gold").rglob("day=*"))}


def test_daily_job_turns_sealed_parts_into_a_rotation_with_metadata(
    one_day: WarehouseResource, run_day: RunDay
) -> None:
    result = run_day(DAY_1)
    assert result.success
    assert not _red(result)
    assert _made(result) == {
        *(f"bronze/{t}" for t in TABLES),
        *(f"gold/{t}" for t in (*DAY_TABLES, VERDICTS, APPROVALS, STANDINGS, GATE_OUTCOMES, GATE_PRICES)),
        *(f"gold/{t}" for t in ("daily_metrics", "daily_execution", "markouts", "incidents", "market_ranking")),
        *(f"gold/{t}" for t in ("rotation", "phase_verdict", "views")),
    }
    doc, _ = gold.newest_rotation(one_day.path, "sim") or (None, None)
    assert doc is not None
    assert doc.markets == (), "one day proves nothing"
    assert {told.coin: told.decision for told in doc.explanations} == dict.fromkeys(
        ("xyz:GOOD", "xyz:LOSS", "xyz:RARE"), "out"
    )
    (ranked,) = result.asset_materializations_for_node("gold__market_ranking")
    assert ranked.metadata["markets_unranked"].value == 3
    assert {"dagster/row_count", "dagster/column_schema", "ranking", "bounds", "path", "venue"} <= set(ranked.metadata)
    checked = {(e.check_name, e.partition) for e in result.get_asset_check_evaluations()}
    assert {("contract", DAY_1), ("completeness", DAY_1), ("expectations", DAY_1), ("conservation", DAY_1)} <= checked
    docs = next(e for e in result.get_asset_check_evaluations() if e.check_name == "expectations")
    assert Path(str(docs.metadata["data_docs_path"].value)).is_file()


def test_daily_job_again_writes_equal_bytes_and_keeps_the_rotation_version(
    one_day: WarehouseResource, run_day: RunDay
) -> None:
    run_day(DAY_1)
    first = _gold_files(one_day)
    result = run_day(DAY_1)
    assert _gold_files(one_day) == first
    (made,) = result.asset_materializations_for_node("gold__rotation")
    assert made.metadata["version"].value == 2026112000


def test_daily_job_flipped_byte_makes_bronze_red_and_stops_everything_behind_it(
    one_day: WarehouseResource, run_day: RunDay
) -> None:
    part = one_day.path / one_day.landing().of(DAY_1, "bbo")[0].path
    raw = bytearray(part.read_bytes())
    raw[200] ^= 0x40
    part.write_bytes(raw)
    result = run_day(DAY_1)
    assert not result.success
    red = _red(result)
    assert list(red) == ["bronze/bbo:contract"]
    assert "sha256" in red["bronze/bbo:contract"]
    made = _made(result)
    assert "bronze/bbo" not in made
    assert not [key for key in made if key.startswith("gold/")]
    assert gold.newest_rotation(one_day.path, "sim") is None


def test_daily_job_contradicting_rows_make_completeness_red(one_day: WarehouseResource, run_day: RunDay) -> None:
    other = [MarketDay("xyz:GOOD", exit_bps=(99.0,))]
    write_day(one_day.path, DAY_1, other, session_id="s1", first_seq=1)
    result = run_day(DAY_1)
    assert not result.success
    assert "different rows for one key" in _red(result)["bronze/followups:completeness"]


def test_daily_job_lost_rows_make_conservation_red(warehouse: WarehouseResource, run_day: RunDay) -> None:
    lines = write_day(warehouse.path, DAY_1, [MarketDay("xyz:GOOD")])
    kept = [line for line in lines if line.table != "ctx" or line.part % 2]
    manifest_path(warehouse.path, "sim", "s1").write_bytes(b"".join(encode_line(line) for line in kept))
    result = run_day(DAY_1)
    assert not result.success
    assert "rows are missing" in _red(result)["bronze/health:conservation"]
    assert "gold/daily_metrics" not in _made(result)


def test_daily_job_signals_against_expectations_block_the_figures(
    warehouse: WarehouseResource, run_day: RunDay
) -> None:
    market = MarketDay("xyz:GOOD")
    market.rows = {}
    write_day(warehouse.path, DAY_1, [market])
    odd = MarketDay("xyz:ODD", signal_count=1, bbo_count=2)
    write_day(warehouse.path, DAY_1, [odd], session_id="s2")
    lines = warehouse.landing().lines
    kept = [line for line in lines if not (line.session_id == "s2" and line.table == "gates")]
    manifest_path(warehouse.path, "sim", "s2").write_bytes(
        b"".join(encode_line(line) for line in kept if line.session_id == "s2")
    )
    result = run_day(DAY_1)
    assert not result.success
    assert "gate_vector_incomplete_count" in _red(result)["bronze/signals:expectations"]
    assert "gold/daily_metrics" not in _made(result)
    assert "bronze/signals" in _made(result)


def test_late_file_changes_the_digest_and_the_figures(one_day: WarehouseResource, run_day: RunDay) -> None:
    run_day(DAY_1)
    before = one_day.landing().digest(DAY_1)
    write_day(one_day.path, DAY_1, [MarketDay("xyz:LATE")], session_id="s2", first_seq=500_000)
    assert one_day.landing().digest(DAY_1) != before
    assert run_day(DAY_1).success
    doc, _ = gold.newest_rotation(one_day.path, "sim") or (None, None)
    assert doc is not None
    assert "xyz:LATE" in {told.coin for told in doc.explanations}
    assert doc.version == 2026112001


def test_today_selection_judges_the_day_but_writes_no_rotation(one_day: WarehouseResource, run_day: RunDay) -> None:
    result = run_day(DAY_1, selection=TODAY_SELECTION)
    assert result.success
    assert gold_key("daily_metrics").to_user_string() in _made(result)
    assert gold.newest_rotation(one_day.path, "sim") is None
    assert not gold_path(one_day.path, table="market_ranking", venue="sim", day=DAY_1).exists()


def test_today_run_by_hand_in_full_still_writes_no_rotation(one_day: WarehouseResource, run_day: RunDay) -> None:
    result = run_day(DAY_1, now_ts_ns=day_begin_ns(DAY_1) + 86_400 * 10**9)
    assert result.success
    assert "gold/market_ranking" in _made(result)
    assert "gold/rotation" not in _made(result)
    assert gold.newest_rotation(one_day.path, "sim") is None


def test_subset_of_bronze_tables_does_not_claim_a_complete_day(one_day: WarehouseResource, run_day: RunDay) -> None:
    assert run_day(DAY_1, selection=[bronze_key("specs")]).success
    assert gold.inputs_digest(one_day.path, "sim", DAY_1) == ""


def test_ranking_of_the_second_day_uses_both(one_day: WarehouseResource, run_day: RunDay) -> None:
    write_day(one_day.path, DAY_2, [MarketDay("xyz:GOOD")], session_id="s2")
    run_day(DAY_1)
    run_day(DAY_2)
    doc, _ = gold.newest_rotation(one_day.path, "sim") or (None, None)
    assert doc is not None
    assert doc.as_of_day == DAY_2
    frame = pl.read_parquet(gold_path(one_day.path, table="market_ranking", venue="sim", day=DAY_2))
    assert dict(frame.select("coin", "day_count").iter_rows())["xyz:GOOD"] == 2
    assert gold.ranking_inputs(one_day.path, "sim", DAY_2) == {
        day: one_day.landing().digest(day) for day in (DAY_1, DAY_2)
    }


# --- parity


def test_parity_without_a_journal_passes_saying_so(one_day: WarehouseResource) -> None:
    result = parity.judge_parity(one_day, DAY_1)
    assert result.passed
    assert result.description == "no journaled session that day"


def _journal(warehouse: WarehouseResource) -> None:
    folder = journal_folder(warehouse.path, "sim", "s1")
    folder.mkdir(parents=True)
    (folder / "000001.jnl").write_bytes(b"x")


def test_parity_names_the_first_difference(one_day: WarehouseResource, monkeypatch) -> None:
    _journal(one_day)
    raw = b'{"is_equal": false, "first_difference": {"seq": 77, "coin": "xyz:GOOD"}}'
    child = subprocess.CompletedProcess([], 1, raw, b"")
    monkeypatch.setattr(parity, "run_replay", lambda *_: child)
    result = parity.judge_parity(one_day, DAY_1)
    assert not result.passed
    assert "77" in (result.description or "")


def test_parity_child_that_fails_is_red_with_its_words(one_day: WarehouseResource, monkeypatch) -> None:
    _journal(one_day)
    child = subprocess.CompletedProcess([], 4, b"", b"hip3 replay: segment 3 is damaged")
    monkeypatch.setattr(parity, "run_replay", lambda *_: child)
    result = parity.judge_parity(one_day, DAY_1)
    assert not result.passed
    assert "segment 3 is damaged" in (result.description or "")


# --- loading


def test_importing_the_code_location_loads_neither_great_expectations_nor_pandas(tmp_path: Path) -> None:
    code = (
        "import sys, hip3_platform.definitions as d; repo = d.defs().get_repository_def(); "
        "assert repo.has_job('daily'); "
        "print([m for m in ('great_expectations', 'pandas', 'scipy', 'aiohttp', 'picows') if m in sys.modules])"
    )
    environment = {"PATH": "/usr/bin:/bin", "HIP3_WAREHOUSE": str(tmp_path), "HOME": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == "[]"
