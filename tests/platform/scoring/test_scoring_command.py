"""`hip3 evidence score` as a whole: JSON, report, exit codes, processes, tables brought from elsewhere."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scoring_builders import a_scenario

from hip3_platform.analytics.evidence.columns import Spec, feeds_of
from hip3_platform.cli.evidence import add_arguments, run
from hip3_platform.scoring.brought import TRUTH, TablesTask, days_of, truth_in, universes_in, work_tables
from hip3_platform.scoring.plans import WINDOW_DAYS, Plan
from hip3_platform.scoring.score import Request, score
from hip3_platform.scoring.truth import TEST_DAYS
from hip3_platform.scoring.universe import MarketPath, found_of, neighboured
from hip3_platform.scoring.workers import TruthTask, Workers
from streaming.core.errors import ConfigError, Hip3Error, StoreError
from streaming.sim.history.columnar import ColumnDay, day_tables
from streaming.sim.history.day import Day
from streaming.sim.markets.truth import read_truth
from streaming.sim.markets.truth_days import Job
from streaming.sim.markets.truth_workers import find_truth

COIN = "xyz:SILVER"
KEYS = {
    "fdr", "power", "power_by_edge", "power_by_rate", "coverage", "bias_bps", "fdr_boundary", "fdr_latency",
    "probe_fdr", "predecessor", "universes", "rows_per_market_day", "seconds", "heavy", "problems",
    "fdr_without_probes", "venue",
}  # fmt: skip


class Silent:
    """Takes progress and counts it."""

    def __init__(self) -> None:
        self.days = 0
        self.total = 0

    def stage(self, text: str, total: int) -> None:
        assert text
        self.total += total

    def on_day(self) -> None:
        self.days += 1


def arguments(*texts: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["score", *texts])


def without_seconds(scored: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scored.items() if name not in {"seconds", "truth_seconds"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("score")


@pytest.fixture(scope="module")
def request_(folder: Path) -> Request:
    return Request(
        universes=1, seed=3, scenario=a_scenario(folder), truth_days=TEST_DAYS, workers=2, keep=str(folder / "keep")
    )


@pytest.fixture(scope="module")
def scored(request_: Request) -> dict[str, Any]:
    shown = Silent()
    found = score(request_, shown)
    assert shown.days == shown.total
    return found


def test_score_has_every_key_and_is_of_the_simulated_venue(scored: dict[str, Any]) -> None:
    assert scored.keys() >= KEYS
    assert scored["predecessor"].keys() >= {"fdr", "power", "claim_error_bps"}
    assert scored["venue"] == "sim"
    assert (scored["universes"], scored["markets"], scored["heavy"]["universes"]) == (1, 2, 1)
    assert scored["rows_per_market_day"] > 86_400
    assert msgspec.json.decode(msgspec.json.encode(scored)) == scored


def test_score_of_a_pulled_and_a_true_edge_approves_the_true_one(scored: dict[str, Any]) -> None:
    assert scored["counts"]["fdr"]["count"] == 0
    assert scored["by_label"]["stale_quote"]["approved"] == 1
    pulled = scored["by_label"]["pulled_quote"]
    assert (pulled["approved_without_probes"], pulled["approved"]) == (1, 0)


def test_score_again_is_the_same_with_one_process_and_kept_truth(
    request_: Request, scored: dict[str, Any], folder: Path
) -> None:
    assert len(list((folder / "keep").glob("two-*"))) == 2
    shown = Silent()
    again = score(msgspec.structs.replace(request_, workers=1), shown)
    assert shown.days == 2 * 2 * WINDOW_DAYS  # no day of the truth
    assert without_seconds(again) == without_seconds(scored)


def test_run_prints_json_and_says_what_is_missed(
    request_: Request, scored: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--scenario", request_.scenario, "--seed", "3", "--universes", "1", "--truth-days", "10", "--keep")
    code = run(arguments(*words, request_.keep, "--json"))
    printed = capsys.readouterr()
    assert without_seconds(msgspec.json.decode(printed.out)) == without_seconds(scored)
    assert code == (1 if scored["problems"] else 0)
    assert all(problem in printed.err for problem in scored["problems"])
    assert "universes" in printed.err  # progress


@pytest.mark.parametrize(
    "words",
    [
        ("--universes", "0"),
        ("--truth-days", "15"),
        ("--workers", "0"),
        ("--scenario", "nowhere"),
        ("--tables", "/nonexistent"),
    ],
)
def test_run_refuses_impossible_arguments(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        run(arguments(*words))


def test_workers_say_why_a_task_can_not_be_worked(tmp_path: Path) -> None:
    task = TruthTask(plan=Plan(scenario=str(tmp_path / "none.toml"), seed=1), coin=COIN, days=1)
    with Workers(1) as workers, pytest.raises(Hip3Error, match=r"none\.toml"):
        list(workers.results([task], lambda: None))


def test_worker_that_is_killed_is_a_store_error(request_: Request) -> None:
    task = TruthTask(plan=Plan(scenario=request_.scenario, seed=1), coin=COIN, days=10_000)
    with Workers(1) as workers:
        pid = workers.pids[0]

        def kill() -> None:
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(StoreError, match="worker"):
            list(workers.results([task], kill))


def test_ctrl_c_ends_the_command_and_its_processes(request_: Request) -> None:
    words = ["score", "--scenario", request_.scenario, "--seed", "5", "--universes", "1"]
    code = (
        "import argparse, sys; from hip3_platform.cli.evidence import add_arguments, run;"
        "p = argparse.ArgumentParser(); add_arguments(p); sys.exit(run(p.parse_args(sys.argv[1:])))"
    )
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert "market-days" in child.stderr.readline()
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        assert len(children) == 2
        child.send_signal(signal.SIGINT)
        child.stderr.read()
        assert child.wait(10) in {1, -signal.SIGINT, 130}  # Python's own end of a KeyboardInterrupt
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def brought(folder: Path) -> Path:
    """A universe as anybody would make it: history in columns, and its truth file."""
    root = folder / "brought"
    plan = Plan(scenario=a_scenario(folder), seed=3)
    days = plan.days[:5]
    for day in days:
        ColumnDay(
            Day(root=str(root), day=day, seed=3, scenario=plan.scenario, scenario_name="two", is_columnar=True)
        ).write(lambda _hours: None)
    job = Job(scenario=plan.scenario, seed=3, first_day=days[0], window_days=len(days), days=5)
    (root / TRUTH).write_bytes(msgspec.json.encode(find_truth(job, workers=2, on_day=lambda _coin: None)))
    return root


def a_task(folder: Path) -> TablesTask:
    truth = truth_in(folder)
    coins = tuple(market.coin for market in truth.markets)
    shifts = dict.fromkeys(coins, 0.0)
    return TablesTask(folder=str(folder), days=days_of(truth), coins=coins, shifts_bps=shifts, hours=truth.hours)


def test_tables_in_a_warehouse_or_plain_are_one_universe(brought: Path, tmp_path: Path) -> None:
    days: list[None] = []
    found = work_tables(a_task(brought), lambda: days.append(None))
    assert (found.day_count, len(days), len(found.outcomes)) == (10, 10, 2)
    plain = tmp_path / brought.name
    for table in ("bbo", "ctx", "specs"):
        for place, path in enumerate(sorted((brought / "landing" / table).rglob("*.parquet"), reverse=True)):
            (plain / table / "any").mkdir(parents=True, exist_ok=True)
            (plain / table / "any" / f"{place}.parquet").symlink_to(path)
    (plain / TRUTH).symlink_to(brought / TRUTH)
    assert work_tables(a_task(plain), lambda: None) == found


def test_tables_are_judged_in_the_hours_of_their_truth(brought: Path) -> None:
    task = a_task(brought)
    assert task.hours == "all"
    whole, part = (
        sum(sum(outcome.test_fills) for outcome in work_tables(each, lambda: None).outcomes)
        for each in (task, msgspec.structs.replace(task, hours="tradable"))
    )
    assert part < whole


def test_tables_that_were_sealed_lead_to_the_outcome_of_tables_in_memory(brought: Path, folder: Path) -> None:
    task = a_task(brought)
    scenario = str(folder / "two.toml")
    feeds, versions = [], set()
    for day in task.days:
        tables = day_tables(Day(root="", day=day, seed=3, scenario=scenario, is_columnar=True), (COIN,))
        versions |= set(tables["bbo"]["spec_version"].unique().to_pylist())
        feeds.append(feeds_of(tables["bbo"], tables["ctx"])[COIN])
    specs = {version: Spec(taker_fee_bps=0.9, is_delisted=False) for version in versions}
    path = MarketPath(COIN, specs, "all")
    for day, before, feed, after in neighboured(task.days, feeds):
        path.add(day, feed, before, after)
    ours = found_of({COIN: path.end()}, {COIN: 0.0}, "memory").outcomes[0]
    sealed = next(each for each in work_tables(task, lambda: None).outcomes if each.coin == COIN)
    assert ours.test_fills == sealed.test_fills
    assert ours.theta_bps == sealed.theta_bps
    assert sum(sealed.test_fills) > 0


def test_run_scores_tables(brought: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments("--tables", str(brought), "--json")) == 1  # five days prove nothing
    scored = msgspec.json.decode(capsys.readouterr().out)
    assert scored["universes"] == 1
    assert scored["tables"] == ["tables brought"]
    assert scored["venue"] == "sim"
    assert "heavy" not in scored
    assert run(arguments("--tables", str(brought.parent))) == 1  # a folder of universes
    assert "1 universes" in capsys.readouterr().out


def test_tables_of_another_venue_or_without_truth_are_refused(brought: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=TRUTH):
        universes_in(tmp_path)
    foreign = msgspec.structs.replace(read_truth(brought / TRUTH), venue="mainnet")
    (tmp_path / TRUTH).write_bytes(msgspec.json.encode(foreign))
    with pytest.raises(ConfigError, match="venue sim"):
        truth_in(tmp_path)
    (tmp_path / TRUTH).write_bytes((brought / TRUTH).read_bytes())
    with pytest.raises(ConfigError, match="table bbo"):
        work_tables(a_task(tmp_path), lambda: None)


def test_tables_with_a_market_that_the_truth_does_not_know_are_refused(brought: Path) -> None:
    task = a_task(brought)
    with pytest.raises(ConfigError, match="xyz:GOLD"):
        work_tables(msgspec.structs.replace(task, coins=(COIN,)), lambda: None)
