"""The main job, as a stranger runs it: `hip3 up --once --json`, then what it left behind is judged once more."""

import json
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest
from journal_builders import edit_segment
from ports import free_ports

from hip3_platform.analytics.landing import read_landing
from hip3_platform.checks.parity import journaled_sessions, judge_parity
from hip3_platform.definitions import JOB, build_definitions
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.sealed_files import TODAY_SELECTION
from streaming.contracts.paths import journal_folder
from streaming.core.effects import AnyOutput, GateChanged, GateStatus
from streaming.shell.journal.format import OutputsRecord
from streaming.shell.journal.reader import list_segments

ROOT = Path(__file__).resolve().parent.parent.parent


def _hip3(*words: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streaming.cli", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip


def _processes_that_mention(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text in words:
                found.append(words)
    return found


def _rows(warehouse: Path, table: str) -> pl.DataFrame:
    """Return everything that is sealed of a table, of the live session alone."""
    (session,) = (path.name for path in journal_folder(warehouse, "sim").iterdir())
    lines = [line for line in read_landing(warehouse, "sim").lines if (line.table, line.session_id) == (table, session)]
    return pl.concat([pl.read_parquet(warehouse / line.path) for line in lines])


def _judged_live_days(warehouse: Path) -> list[dg.ExecuteInProcessResult]:
    """Judge the days in which a sidecar traded, as far as a day that is not closed is judged."""
    resource = WarehouseResource(root=str(warehouse), venue="sim")
    sessions = {path.name for path in journal_folder(warehouse, "sim").iterdir()}
    days = sorted({line.day for line in resource.landing().lines if line.session_id in sessions})
    job = build_definitions(resource, RotationPolicy(), first=days[0]).resolve_job_def(JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        return [
            job.execute_in_process(partition_key=day, instance=instance, asset_selection=TODAY_SELECTION)
            for day in days
        ]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "warehouse"


def _up_once(warehouse: Path, *words: str) -> dict[str, Any]:
    venue, control, dagster = (str(port) for port in free_ports(3))
    home = str(warehouse.parent / "dagster_home")
    done = _hip3(
        "up", "--once", "--json", "--warehouse", str(warehouse), "--dagster-home", home,
        "--venue-port", venue, "--control-port", control, "--dagster-port", dagster, *words, timeout_s=1200,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def outcome(warehouse: Path) -> dict[str, Any]:
    return _up_once(warehouse)


@pytest.mark.timeout(1500)
def test_up_once_ends_with_an_accepted_rotation_over_two_weeks(outcome: dict[str, Any]) -> None:
    assert outcome["rotation_accepted"] is True
    assert outcome["rotation"]["markets"]
    assert len(outcome["days"]) == 14
    assert all(count >= 2 * 12 * 86_400 for count in outcome["days"].values()), (
        "12 markets, ctx 1/s and bbo >= 1/s each"
    )
    assert outcome["markets_ranked"] >= 2
    assert set(outcome["seconds"]) >= {"venue", "sidecar", "history", "dagster", "truth", "trades", "audit", "total"}


@pytest.mark.timeout(300)
def test_up_once_approves_markets_that_are_truly_good_and_rotates_no_other(outcome: dict[str, Any]) -> None:
    # Known truth: brute force over other days of the same scenario, by code the evidence does not share.
    assert outcome["approved_wrongly"] == []
    assert set(outcome["approved"]) <= set(outcome["truly_good"])
    assert len(outcome["approved"]) >= 4, "six markets of the history are stale quotes"
    assert set(outcome["rotation"]["markets"]) <= set(outcome["approved"])


@pytest.mark.timeout(300)
def test_up_once_says_of_every_market_why_it_is_in_or_out(outcome: dict[str, Any], warehouse: Path) -> None:
    newest = max((warehouse / "gold" / "rotation" / "venue=sim").glob("day=*.json"))
    told = {each["coin"]: each for each in json.loads(newest.read_bytes())["explanations"]}
    assert len(told) >= 14
    assert all(each["reason"] for each in told.values())
    assert {coin for coin, each in told.items() if each["member_since"]} == set(outcome["rotation"]["markets"])


@pytest.mark.timeout(300)
def test_up_once_makes_a_hundred_signed_trades_that_are_the_venues_to_the_cent(
    outcome: dict[str, Any], warehouse: Path
) -> None:
    assert outcome["trades"] >= 100
    assert outcome["venue_trades"] == outcome["trades"]
    assert outcome["fills_equal"] is True
    assert abs(Decimal(outcome["ledger_difference_usd"])) < Decimal("0.01")
    assert Decimal(outcome["reconciliation_difference_usd"]) < Decimal("0.01")
    assert outcome["reconciliations"] >= 3
    assert (outcome["positions_left"], outcome["orders_open"], outcome["replay_differences"]) == (0, 0, 0)
    # Once more by other code: what the venue says the account gained is what the ledger's live cash legs sum to.
    live = _rows(warehouse, "ledger").filter(pl.col("mode") == "live")
    gained_usd = Decimal(outcome["venue_usd"])
    assert abs(sum(live.filter(pl.col("account") == "cash")["amount"]) - gained_usd) < Decimal("0.01")
    assert sum(live["amount"]) == 0
    assert Decimal(outcome["realised_usd"]) - Decimal(outcome["fees_usd"]) + Decimal(outcome["funding_usd"]) == sum(
        live.filter(pl.col("account") == "cash")["amount"]
    )
    fills = _rows(warehouse, "fills").filter(pl.col("mode") == "live")
    assert fills["tid"].n_unique() == fills.height == outcome["trades"]
    assert set(fills["coin"]) <= set(outcome["rotation"]["markets"]), "real money enters only what the rotation allows"


@pytest.mark.timeout(300)
def test_up_once_leaves_no_key_behind(outcome: dict[str, Any], warehouse: Path) -> None:
    assert outcome["trades"]
    assert not [*warehouse.rglob("*.key"), *warehouse.rglob("agents.jsonl")]
    printed = b"".join(path.read_bytes() for path in (warehouse / "logs").glob("keys-*.log"))
    assert b'"address"' in printed
    assert not re.search(rb"(0x)?[0-9a-fA-F]{64}", printed)


@pytest.mark.timeout(300)
def test_day_of_up_passes_the_platforms_checks_and_shows_its_trades(outcome: dict[str, Any], warehouse: Path) -> None:
    trade_count = 0
    for result in _judged_live_days(warehouse):
        checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
        assert checks["double_entry"].passed
        assert checks["conservation"].passed
        (made,) = result.asset_materializations_for_node("gold__daily_execution")
        trade_count += int(str(made.metadata["trades"].value))
        assert made.metadata["in_doubt"].value == 0
    assert trade_count == outcome["trades"]


@pytest.mark.timeout(300)
def test_up_once_leaves_no_process(outcome: dict[str, Any], warehouse: Path) -> None:
    assert outcome
    assert _processes_that_mention(str(warehouse)) == []


@pytest.mark.timeout(300)
def test_live_session_of_up_replays_to_the_same_decisions(outcome: dict[str, Any], warehouse: Path) -> None:
    assert outcome
    sessions = sorted(path.name for path in journal_folder(warehouse, "sim").iterdir())
    assert len(sessions) == 1
    done = _hip3("replay", "--session", sessions[0], "--warehouse", str(warehouse), "--json", timeout_s=200)
    report = json.loads(done.stdout)
    assert report["is_equal"] is True, report["first_difference"]
    assert report["difference_count"] == 0
    assert report["input_count"] > 1000
    assert done.returncode == 0


@pytest.mark.timeout(300)
def test_days_of_up_replay_without_a_difference(outcome: dict[str, Any], warehouse: Path) -> None:
    assert outcome
    resource = WarehouseResource(root=str(warehouse), venue="sim")
    days = [day for day in resource.landing().by_day if journaled_sessions(resource, day)]
    assert days
    for day in days:
        done = _hip3("replay", "--day", day, "--venue", "sim", "--warehouse", str(warehouse), "--json", timeout_s=200)
        report = json.loads(done.stdout)
        assert (done.returncode, report["difference_count"], report["state_difference_count"]) == (0, 0, 0)


@pytest.mark.timeout(300)
def test_planted_decision_in_the_live_session_turns_parity_red_at_that_row(
    outcome: dict[str, Any], warehouse: Path, tmp_path: Path
) -> None:
    assert outcome
    forged = tmp_path / "warehouse"
    for part in ("journal", "manifest"):
        shutil.copytree(warehouse / part, forged / part)
    (session,) = journal_folder(forged, "sim").iterdir()
    planted: list[int] = []

    def plant(record: OutputsRecord) -> list[AnyOutput]:
        outputs = list(record.outputs)
        for place, output in enumerate(outputs):
            if isinstance(output, GateChanged) and not planted:
                planted.append(record.seq)
                outputs[place] = msgspec.structs.replace(output, current=GateStatus.REDUCE)
        return outputs

    for segment in list_segments(session):
        if not planted:
            edit_segment(segment.path, plant)
    resource = WarehouseResource(root=str(forged), venue="sim")
    day = next(day for day in sorted(resource.landing().by_day, reverse=True) if journaled_sessions(resource, day))
    verdict = judge_parity(resource, day)
    assert verdict.passed is False
    answer = verdict.metadata["answer"].value
    assert isinstance(answer, dict)
    assert answer["difference_count"] == 1
    assert answer["first_difference"]["seq"] == planted[0]


@pytest.mark.timeout(900)
def test_second_start_on_what_the_first_left_writes_no_history_and_trades_for_its_own_account(
    outcome: dict[str, Any], warehouse: Path, tmp_path: Path
) -> None:
    shutil.copytree(warehouse.parent, tmp_path / "again")
    kept = tmp_path / "again" / "warehouse"
    history = sorted((kept / "manifest" / "venue=sim").glob("[ch]*-*"))
    again = _up_once(kept, "--trades", "10")
    assert sorted((kept / "manifest" / "venue=sim").glob("[ch]*-*")) == history
    assert len(history) == len(outcome["days"])
    assert set(outcome["days"]) <= set(again["days"])
    assert again["rotation"]["version"] > outcome["rotation"]["version"], "it names another account"
    assert again["rotation_accepted"] is True
    assert again["rotation"]["markets"]
    assert set(again["rotation"]["markets"]) <= set(again["approved"])
    assert again["trades"] >= 10
    assert all(result.success for result in _judged_live_days(kept)), "two sessions, mostly in one day"
