"""Truth of scored markets: the tallies of `hip3 venue truth`, by date, with hidden rules in and out."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scoring_builders import FILLS, OTHER, POLICY, a_scenario, figures_of

from hip3_platform.analytics.evidence.family import Policy
from hip3_platform.analytics.evidence.walk_forward import FIRST_TEST_DAY
from hip3_platform.scoring.plans import Plan, scenario_of
from hip3_platform.scoring.truth import QUIET_DAYS, TEST_DAYS, Sheet, Truth, is_listed_after, sheet_of
from streaming.sim.markets.truth import Change, Hours, MarketTruth
from streaming.sim.markets.truth_days import Job, market_truth

DAYS = TEST_DAYS + 3
COIN = "xyz:GOLD"


def no_news() -> None:
    """Take no progress."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return Plan(scenario=a_scenario(tmp_path_factory.mktemp("scenario")), seed=3)


@pytest.fixture(scope="module")
def sheet(plan: Plan) -> Sheet:
    return sheet_of(plan, COIN, DAYS, no_news)


@pytest.fixture(scope="module")
def reference(plan: Plan) -> MarketTruth:
    return reference_of(plan, "tradable")


def reference_of(plan: Plan, hours: Hours) -> MarketTruth:
    first, window = plan.days[FIRST_TEST_DAY], TEST_DAYS
    job = Job(scenario=plan.scenario, seed=plan.seed, first_day=first, window_days=window, days=DAYS, hours=hours)
    return market_truth(job, scenario_of(plan), COIN, lambda _coin: None)


def test_truth_is_that_of_venue_truth(plan: Plan, sheet: Sheet, reference: MarketTruth) -> None:
    sent = msgspec.json.decode(msgspec.json.encode(sheet), type=Sheet)
    assert sent == sheet
    assert sheet.true == reference.latencies
    assert sheet.anytime == reference_of(plan, "all").latencies
    assert sheet.anytime != sheet.true
    assert sheet.days == DAYS
    assert Truth.of(sheet, is_listed=True).best(200) == Truth.of_file(reference).best(200)


def test_hidden_rules_are_in_what_is_true_and_out_of_what_is_shown(sheet: Sheet) -> None:
    truth = Truth.of(sheet, is_listed=True)
    assert truth.shown is not None
    t, o, h = POLICY.place
    assert truth.true.fills_per_day[t, o, 1] < 0.2 * truth.shown.fills_per_day[t, o, 1]
    assert truth.true.decisions_per_day[t, o] == truth.shown.decisions_per_day[t, o]
    assert truth.shown.mean_bps[t, o, 1, h] > 3.0
    shown_ratio = float(truth.shown.fills_per_day[t, o, 1] / truth.shown.decisions_per_day[t, o])
    assert truth.fill_ratio(POLICY, 200, shown_ratio) < 0.2


def test_market_without_hidden_rules_has_one_truth(plan: Plan) -> None:
    sheet = sheet_of(plan, "xyz:SILVER", 2, no_news)
    assert sheet.shown == sheet.true
    truth = Truth.of(sheet, is_listed=True)
    assert truth.shown is truth.true


def test_heavy_days_are_others_and_move_more(plan: Plan) -> None:
    def spread(each: Plan) -> float:
        fills = [max(p.fills_per_day for p in sheet_of_day(each, day).anytime[1].policies) for day in range(8)]
        return float(np.std(np.log(fills)))

    def sheet_of_day(each: Plan, day: int) -> Sheet:
        return sheet_of(msgspec.structs.replace(each, seed=each.seed + day), COIN, 1, no_news)

    heavy = Plan(scenario=plan.scenario, seed=plan.seed, is_heavy=True)
    assert spread(heavy) > 2.0 * spread(plan)


def test_quiet_market_is_not_simulated_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "quiet.toml"
    path.write_text(
        Path(a_scenario(tmp_path)).read_text().replace("bbo_rate_s = 0.3", "bbo_rate_s = 0.3\nempty_ratio = 1.0")
    )
    done: list[None] = []
    sheet = sheet_of(Plan(scenario=str(path), seed=3), COIN, QUIET_DAYS + TEST_DAYS, lambda: done.append(None))
    assert sheet.days == QUIET_DAYS == len(done)
    assert Truth.of(sheet, is_listed=True).best(200) is None


def test_shift_is_the_best_edge_that_tables_show_of_a_policy_that_can_be_tested() -> None:
    shown = figures_of({(POLICY, 200): 4.0, (OTHER, 500): 6.0})
    truth = Truth("A", "pulled_quote", figures_of({(POLICY, 200): -2.0}), shown, shown)
    assert truth.shift_bps(200) == 4.0
    assert truth.shift_bps(500) == 6.0
    rare = figures_of({(POLICY, 200): 4.0}, fills=1.9)
    assert Truth("A", "stale_quote", shown, rare, shown).shift_bps(200) == 0.0
    assert Truth("A", "pulled_quote", shown, None, shown).shift_bps(200) is None


def test_stream_is_worth_the_means_of_its_policies_weighted_with_its_fills() -> None:
    figures = figures_of({(POLICY, 200): 3.0, (OTHER, 200): -5.0}, se_bps=0.2)
    truth = Truth("A", "stale_quote", figures, figures, figures)
    found = truth.stream([POLICY, OTHER, None], np.array([3.0, 1.0, 0.0]), 200)
    assert found is not None
    np.testing.assert_allclose(found, ((3.0 * 3.0 - 5.0) / 4.0, 0.2))


def test_stream_of_a_market_with_hidden_rules_in_its_file_is_not_known(reference: MarketTruth) -> None:
    assert Truth.of_file(reference).stream([POLICY], np.array([5.0]), 200) is None


def test_truth_file_policies_stand_in_their_places(reference: MarketTruth) -> None:
    truth = Truth.of_file(reference)
    assert truth.true.fills_per_day.shape == FILLS
    for policy in reference.at(500).policies:
        ours = Policy(policy.threshold_bps, policy.origin, policy.horizon_s)
        assert truth.mean_bps(ours, 500) == policy.mean_bps
        assert truth.true.fills_per_day[ours.place[0], ours.place[1], 3] == policy.fills_per_day


def test_delisted_is_what_was_delisted_last_and_did_not_come_back(reference: MarketTruth) -> None:
    for kinds, is_listed in (((), True), (("delist",), False), (("delist", "resume", "oi_cap"), True)):
        changes = [Change(ts_ms=at, kind=kind, value="") for at, kind in enumerate(kinds)]
        assert Truth.of_file(msgspec.structs.replace(reference, changes=changes)).is_listed is is_listed
    plan = Plan(scenario="universe", seed=11)
    assert not is_listed_after(plan, "xyz:RIVN")
    assert is_listed_after(plan, "xyz:GOLD")
