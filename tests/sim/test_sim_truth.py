"""Truth files: their arithmetic, hidden rules and plans, the processes that make them."""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streaming.core.errors import ConfigError
from streaming.sim.commands.truth import add_truth_arguments, run_truth
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.markets.scan import HORIZONS_S, LATENCIES_MS, ORIGINS, THRESHOLDS_BPS, Sums
from streaming.sim.markets.truth import BEST_FILLS_PER_DAY, Tally, TruthFile, read_truth
from streaming.sim.markets.truth_days import Job, day_sums, fee_bps, hour_of, market_truth, terms_of
from streaming.sim.markets.truth_workers import find_truth
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.load import load_scenario

DAY = "2026-06-15"
GROUPS = (len(THRESHOLDS_BPS), len(ORIGINS))
SMALL = Job(scenario="demo", seed=7, first_day=DAY, window_days=2, days=2, coins=("xyz:INTC", "xyz:COIN"))


def some_days(count: int, *, fills_max: int) -> list[Sums]:
    rng = np.random.default_rng(4)
    days = []
    for _ in range(count):
        fills = rng.integers(0, fills_max + 1, (*GROUPS, len(LATENCIES_MS)))
        net = rng.normal(1.0, 3.0, (*fills.shape, len(HORIZONS_S))) * fills[..., None]
        days.append(Sums(decisions=fills.max(axis=2) + 1, fills=fills, net_bps=net, net_bps2=net**2))
    return days


def tally_of(days: list[Sums]) -> Tally:
    tally = Tally.empty()
    for day in days:
        tally.add(day)
    return tally


def test_tally_mean_and_error_are_those_of_day_clusters() -> None:
    days = some_days(9, fills_max=6)
    place = (1, 0, 2)
    n = np.array([float(day.fills[place]) for day in days])
    s = np.array([float(day.net_bps[(*place, 3)]) for day in days])
    mean = s.sum() / n.sum()
    groups = (n > 0).sum()
    assert groups < 9, "the case needs a day without fills"
    se = np.sqrt(groups / (groups - 1) * ((s - mean * n) ** 2).sum()) / n.sum()
    policy = tally_of(days).truths()[2].policies[1 * 8 + 0 * 4 + 3]
    assert (policy.threshold_bps, policy.origin, policy.horizon_s) == (5, "any", 10)
    assert policy.mean_bps == pytest.approx(mean, abs=1e-4)
    assert policy.se_bps == pytest.approx(se, abs=1e-4)
    assert policy.fills_per_day == pytest.approx(n.sum() / 9, abs=1e-4)


def test_tally_best_is_the_highest_mean_among_frequent_policies() -> None:
    latency = tally_of(some_days(30, fills_max=21)).truths()[0]
    frequent = [p for p in latency.policies if p.fills_per_day >= BEST_FILLS_PER_DAY]
    assert 0 < len(frequent) < len(latency.policies)
    assert latency.best is not None
    assert latency.best.mean_bps == max(p.mean_bps for p in frequent if p.mean_bps is not None)


def test_tally_without_frequent_policies_has_no_best() -> None:
    assert all(latency.best is None for latency in tally_of(some_days(5, fills_max=3)).truths())
    nothing = tally_of(some_days(2, fills_max=0)).truths()[0]
    assert nothing.policies[0].mean_bps is None
    assert nothing.policies[0].se_bps is None


def test_market_truth_days_are_independent_draws_and_none_is_the_run() -> None:
    done: list[str] = []
    truth = market_truth(SMALL, DEMO, "xyz:INTC", done.append)
    assert len(done) == SMALL.days
    assert truth.label == DEMO.characters["xyz:INTC"].label
    assert truth.character["jump_rate_h"] == DEMO.characters["xyz:INTC"].jump_rate_h
    led = (THRESHOLDS_BPS.index(5), ORIGINS.index("oracle_led"), LATENCIES_MS.index(200))
    run = sum(
        int(day_sums(Generator(SMALL.seed, DEMO), "xyz:INTC", hour_of(DAY) + 24 * day).fills[led]) for day in range(2)
    )
    of_policy = truth.at(200).policies[led[0] * 8 + led[1] * 4].fills_per_day
    assert of_policy != run / 2
    assert 0.1 < of_policy / (run / 2) < 10.0  # volatility of days is heavy
    assert market_truth(SMALL, DEMO, "xyz:INTC", done.append) == truth


def test_find_truth_does_not_depend_on_the_number_of_processes() -> None:
    days: list[str] = []
    one = find_truth(SMALL, workers=1, on_day=days.append)
    two = find_truth(SMALL, workers=2, on_day=days.append)
    assert one == two
    assert [market.coin for market in one.markets] == list(SMALL.coins)
    assert sorted(days) == sorted(SMALL.coins * SMALL.days * 2)


def test_terms_closed_times_and_fees_are_those_of_the_listing() -> None:
    scenario = load_scenario("showcase", seed=3)
    generator = Generator(3, scenario)
    begin_ms = hour_of(DAY) * HOUR_MS
    times = begin_ms + np.arange(0, 24 * HOUR_MS, 61_000)
    seen = set()
    for coin in ("xyz:HALTING", "xyz:DELISTING", "xyz:PARAMETER-CHANGING"):
        terms = terms_of(generator, coin, begin_ms, begin_ms + 24 * HOUR_MS)
        listed = [generator.listed(coin, int(ts)) for ts in times]
        assert terms.is_closed(times).tolist() == [not found.is_open for found in listed]
        assert terms.fee_at(times).tolist() == [fee_bps(found.market) for found in listed]
        seen |= {(found.is_halted, found.is_delisted, fee_bps(found.market) > 1.0) for found in listed}
    assert {flags[0] for flags in seen} == {flags[1] for flags in seen} == {flags[2] for flags in seen} == {False, True}


def test_pulled_quotes_fill_seldom_though_the_columns_show_an_edge() -> None:
    coin = "xyz:INTC"
    character = msgspec.structs.replace(DEMO.characters[coin], pull_ratio=0.95)
    scenario = replace(DEMO, characters={**DEMO.characters, coin: character})
    seen, true = Tally.empty(), Tally.empty()
    for day in range(3):
        first = hour_of(DAY) + 24 * day
        seen.add(day_sums(Generator(7, DEMO), coin, first))
        true.add(day_sums(Generator(7, scenario), coin, first))
    place = (THRESHOLDS_BPS.index(5), ORIGINS.index("oracle_led"), LATENCIES_MS.index(200))
    assert true.decisions[place[:2]] == seen.decisions[place[:2]]
    assert 0 < true.n[place] < 0.15 * seen.n[place]
    assert seen.mean_bps()[(*place, 2)] > 3.0


@pytest.mark.parametrize(("day", "is_open"), [("2026-06-17", True), ("2026-06-20", False)])
def test_tradable_hours_are_all_of_a_wednesday_and_none_of_a_saturday(day: str, is_open: bool) -> None:
    generator = Generator(7, DEMO)
    at_all_hours = day_sums(generator, "xyz:INTC", hour_of(day))
    found = day_sums(generator, "xyz:INTC", hour_of(day), "tradable")
    assert at_all_hours.decisions.sum() > 0
    assert found.decisions.sum() == (at_all_hours.decisions.sum() if is_open else 0)
    np.testing.assert_allclose(found.net_bps, at_all_hours.net_bps if is_open else 0.0)


def arguments(*texts: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_truth_arguments(parser)
    return parser.parse_args(["--scenario", "demo", "--days", "1", "--window", "1", "--coin", "xyz:COIN", *texts])


def test_run_truth_out_holds_the_answer_and_is_not_computed_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "truth.json"
    assert run_truth(arguments("--out", str(out))) == 0
    assert "written" in capsys.readouterr().out
    truth = read_truth(out)
    assert [market.coin for market in truth.markets] == ["xyz:COIN"]
    before = out.stat().st_mtime_ns
    assert run_truth(arguments("--out", str(out), "--json")) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=TruthFile) == truth
    assert out.stat().st_mtime_ns == before
    assert run_truth(arguments("--out", str(out), "--seed", "8")) == 0
    assert read_truth(out).seed == 8
    assert read_truth(out).hours == "all"
    assert run_truth(arguments("--out", str(out), "--seed", "8", "--hours", "tradable")) == 0
    assert read_truth(out).hours == "tradable"


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (("--days", "0"), "--days"),
        (("--window", "1000"), "--window"),
        (("--coin", "xyz:NOBODY"), "--coin"),
        (("--from", "yesterday"), "--from"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_run_truth_impossible_option_names_it(texts: tuple[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        run_truth(arguments(*texts))


@pytest.mark.parametrize("raw", [b"", b'{"format": "hip3-truth"', b"[]"])
def test_read_truth_other_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "truth.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="truth file"):
        read_truth(path)


def test_read_truth_other_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    truth = TruthFile(
        version=2, scenario="demo", seed=1, first_day=DAY, window_days=1, days=1, fingerprint="", markets=[]
    )
    path.write_bytes(msgspec.json.encode(truth))
    with pytest.raises(ConfigError, match="hip3-truth 1, found hip3-truth 2"):
        read_truth(path)


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_run_truth_out_that_is_no_regular_file_is_left_alone(tmp_path: Path, more: tuple[str, ...]) -> None:
    out = tmp_path / "device"
    os.mkfifo(out)
    with pytest.raises(ConfigError, match=r"--out: expected a file or nothing"):
        run_truth(arguments("--out", str(out), *more))
    assert out.is_fifo()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_truth_ended_leaves_no_worker_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import argparse; from streaming.sim.commands.truth import *; p = argparse.ArgumentParser();"
        "add_truth_arguments(p); run_truth(p.parse_args())"
    )
    out = tmp_path / "truth.json"
    options = ["--scenario", "demo", "--days", "40", "--coin", "xyz:COIN", "--coin", "xyz:META", "--out", str(out)]
    with subprocess.Popen([sys.executable, "-c", code, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "hip3 venue truth: 4/80 market-days\n"
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        process.communicate(timeout=20)
        assert process.returncode != 0
    assert len(workers) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not out.exists()
