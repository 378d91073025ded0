"""Daily re-approval: who keeps it, the e-values' guarantee by enumeration, and the measure of repeated looks."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from evidence_sums import day_names, steady_market
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from hip3_platform.analytics.evidence.approval import LEVELS, Approval, MarketEvidence, approve_markets
from hip3_platform.analytics.evidence.estimate import estimate
from hip3_platform.analytics.evidence.monitor import (
    DayNoise,
    Standing,
    draw_days,
    e_discoveries,
    e_values,
    level_of,
    measure_looks,
    next_level,
    reapprove,
)

COIN = "xyz:GOOD"
DAYS = day_names(12, "2026-11-27")  # over the end of a month
STRONG = ((60.0, 80.0, 70.0, 90.0, 75.0, 65.0, 85.0, 80.0, 70.0, 75.0), (20,) * 10)
WEAK = ((60.0, -80.0, 70.0, -90.0, 75.0, -65.0, 85.0, -80.0, 70.0, -75.0), (20,) * 10)
NONE, FRAGILE, MICRO, TRADE = (states[-1] for states in LEVELS)


@pytest.fixture(scope="module")
def row() -> Approval:
    sums = steady_market(np.random.default_rng(1), 4.0)
    return approve_markets({COIN: MarketEvidence(sums, "stale_quote")}, latency_ms=200)[0]


def _look(row: Approval, state: str, stay: str | None = None, stream: tuple = STRONG) -> Approval:
    return replace(row, state=state, stay_state=stay or state, daily_net_bps=stream[0], daily_fills=stream[1])


def _days(looks: list[Approval], days: tuple[str, ...] = DAYS) -> list[Standing]:
    previous: dict[str, Standing] = {}
    history = []
    for day, look in zip(days, looks, strict=False):
        (standing,) = reapprove(previous, (look,), day)
        previous = {look.coin: standing}
        history.append(standing)
    return history


# --- rule 1: confirmation, and removal at once


def test_an_approval_needs_two_consecutive_days(row: Approval) -> None:
    history = _days([_look(row, MICRO), _look(row, MICRO), _look(row, MICRO)])
    assert [each.state for each in history] == [NONE, MICRO, MICRO]
    assert [each.since for each in history] == [None, DAYS[1], DAYS[1]]
    assert "to be confirmed tomorrow" in history[0].reason
    assert "confirmed on 2 consecutive days" in history[1].reason
    assert row.reason in history[1].reason


def test_a_day_that_does_not_approve_begins_the_confirmation_anew(row: Approval) -> None:
    history = _days([_look(row, MICRO), _look(row, NONE), _look(row, MICRO), _look(row, MICRO)])
    assert [each.state for each in history] == [NONE, NONE, NONE, MICRO]


def test_a_day_without_a_decision_confirms_nothing_but_takes_nothing(row: Approval) -> None:
    gap = (DAYS[0], DAYS[2], DAYS[3], DAYS[5])
    history = _days([_look(row, MICRO)] * 4, gap)
    assert [each.state for each in history] == [NONE, NONE, MICRO, MICRO]
    assert history[3].since == DAYS[3]


def test_what_is_held_stays_while_20_percent_rejects_and_goes_the_day_it_does_not(row: Approval) -> None:
    held = [_look(row, MICRO)] * 2
    history = _days([*held, _look(row, NONE, MICRO), _look(row, NONE, MICRO), _look(row, NONE), _look(row, MICRO)])
    assert [each.state for each in history] == [NONE, MICRO, MICRO, MICRO, NONE, NONE]
    assert "no longer proved at 5 % but at 20 %" in history[2].reason
    assert "lowered from approved_micro at once" in history[4].reason


def test_20_percent_alone_never_enters(row: Approval) -> None:
    assert [each.state for each in _days([_look(row, NONE, MICRO)] * 4)] == [NONE] * 4


def test_levels_rise_by_confirmation_and_fall_at_once(row: Approval) -> None:
    looks = [_look(row, each) for each in (FRAGILE, MICRO, MICRO, TRADE, TRADE, FRAGILE, TRADE)]
    assert [each.state for each in _days(looks)] == [NONE, FRAGILE, MICRO, MICRO, TRADE, FRAGILE, FRAGILE]


def test_an_insufficient_market_says_so(row: Approval) -> None:
    assert _days([_look(row, "insufficient")])[0].state == "insufficient"


def test_a_market_no_longer_watched_is_not_held(row: Approval) -> None:
    previous = {each.coin: each for each in _days([_look(row, MICRO)] * 2)}
    other = replace(_look(row, NONE), coin="xyz:B")
    assert [each.coin for each in reapprove(previous, (other,), DAYS[2])] == ["xyz:B"]


def test_the_same_look_twice_is_refused(row: Approval) -> None:
    previous = {each.coin: each for each in _days([_look(row, MICRO)])}
    with pytest.raises(ValueError, match="in order"):
        reapprove(previous, (_look(row, MICRO),), DAYS[0])


LEVEL = st.integers(0, 3)


@given(LEVEL, LEVEL, LEVEL, LEVEL, LEVEL)
def test_next_level_rises_only_with_evidence_and_never_above_it(held, yesterday, today, more, better) -> None:
    stay = max(today, more)
    level = int(next_level(*(np.asarray(each) for each in (held, yesterday, today, stay))))
    assert level <= stay
    assert level <= held or level <= min(yesterday, today)
    higher = (max(held, better), max(yesterday, better), max(today, better), max(stay, better))
    assert int(next_level(*(np.asarray(each) for each in higher))) >= level


# --- rule 2: trade waits for the anytime bound


def test_trade_waits_for_the_anytime_bound(row: Approval) -> None:
    history = _days([_look(row, TRADE, stream=WEAK)] * 3)
    assert [each.state for each in history] == [NONE, MICRO, MICRO]
    assert "trade waits for the anytime bound" in history[2].reason
    assert [each.state for each in _days([_look(row, TRADE)] * 3)] == [NONE, TRADE, TRADE]


def test_trade_is_lowered_to_micro_when_its_bound_is_lost(row: Approval) -> None:
    loss = ((-200.0,) * 10, (20,) * 10)
    history = _days([_look(row, TRADE)] * 2 + [_look(row, TRADE, stream=loss)] * 6)
    assert history[1].state == TRADE
    assert history[-1].state == MICRO
    assert history[-1].e_value < history[1].e_value


def test_each_calendar_day_is_bet_on_once(row: Approval) -> None:
    first = _look(row, MICRO, stream=((1.0, 2.0, 3.0), (1, 2, 3)))
    then = _look(row, MICRO, stream=((20.0, 30.0, 4.0), (20, 30, 4)))
    history = _days([first, then])
    assert history[1].net_bps == (1.0, 2.0, 3.0, 4.0)
    assert history[1].fills == (1, 2, 3, 4)
    after_a_gap = _days([first, then], (DAYS[0], DAYS[2]))
    assert after_a_gap[1].net_bps == (1.0, 2.0, 3.0, 30.0, 4.0)
    assert history[1].e_value == pytest.approx(e_values(np.array([1.0, 2, 3, 4]), np.array([1, 2, 3, 4]))[-1])


# --- e-values


def test_e_values_of_a_few_days_are_those_worked_by_hand() -> None:
    net, fills = np.array([3.0, -1.0, 0.0, 5.0]), np.array([4, 2, 0, 6])
    y = [s / math.sqrt(n * (1 + 0.008 * n)) if n else 0.0 for s, n in zip(net, fills, strict=True)]
    scale = math.sqrt((y[0] ** 2 + y[1] ** 2) / 2)
    last = sum(1 + math.tanh(c * y[3] / scale) for c in (0.25, 0.5, 1.0, 2.0)) / 4
    assert e_values(net, fills).tolist() == pytest.approx([1.0, 1.0, 1.0, last])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 100.0), min_size=8, max_size=8),
    st.lists(st.integers(0, 50), min_size=8, max_size=8),
    st.floats(0.0, 20.0),
)
def test_e_values_average_1_over_all_signs_and_less_when_the_mean_is_below_0(sizes, fills, loss) -> None:
    # Whatever the sizes: 2^8 equally likely sign patterns are a symmetric market without an edge.
    n = np.array(fills)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=8))).T
    net = signs * np.array(sizes)[:, None] * (n > 0)[:, None]
    even = e_values(net, np.broadcast_to(n[:, None], net.shape))
    np.testing.assert_allclose(even.mean(axis=1), 1.0, rtol=1e-6)
    stopped = np.where((even >= 2).any(axis=0), even[(even >= 2).argmax(axis=0), np.arange(256)], even[-1])
    assert stopped.mean() == pytest.approx(1.0, rel=1e-6)  # also when one stops at the first success
    assert (even.max(axis=0) >= 10).mean() <= 0.1
    losing = e_values(net - loss * n[:, None], np.broadcast_to(n[:, None], net.shape))
    assert (losing.mean(axis=1) <= 1 + 1e-6).all()


def test_e_values_of_a_skewed_loss_market_do_not_grow_either() -> None:
    rng = np.random.default_rng(1)
    net, fills = draw_days(rng, 40, 200, (-0.5,) * 4, DayNoise(crash_rate=0.05, crash_sds=3.0))
    assert (e_values(net, fills).max(axis=0) >= 20).mean() <= 0.05


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), st.sampled_from([0.05, 0.2]))
def test_e_discoveries_are_those_of_the_definition_of_e_bh(e, rate) -> None:
    m, ordered = len(e), sorted(e, reverse=True)
    passing = [k for k in range(1, m + 1) if ordered[k - 1] >= m / (rate * k) * (1 + 1e-12)]
    least = ordered[passing[-1] - 1] if passing else math.inf
    near = any(math.isclose(ordered[k - 1], m / (rate * k), rel_tol=1e-9) for k in range(1, m + 1))
    assert near or e_discoveries(np.array(e), rate).tolist() == [each >= least for each in e]


# --- the measure


def test_days_are_drawn_with_the_design_effects_of_the_method() -> None:
    # Evidence method, section 3: 1.10 at 5-20 fills a day, 1.26 at 20-50, 1.67 at 50-120, 2.9 above.
    for rate, effect in ((12.0, 1.10), (35.0, 1.26), (85.0, 1.67), (240.0, 2.9)):
        noise = DayNoise(fills_per_day=(rate, rate), log_vol_sd=0.0, crash_rate=0.05)
        net, fills = draw_days(np.random.default_rng(2), 40, 200, (0.0,) * 8, noise)
        found = float((net**2).sum() / (noise.sd_bps**2 * fills.sum()))
        crashes = 1 + noise.crash_sds**2 * noise.crash_rate * (1 - noise.crash_rate)
        assert found == pytest.approx(1 + (effect - 1) * crashes, rel=0.06)
        assert abs(net.sum() / fills.sum()) < 0.1


def test_volatile_days_keep_the_standard_deviation_of_a_fill() -> None:
    noise = DayNoise(fills_per_day=(20.0, 20.0), intraclass=0.0, common_share=0.0)
    net, fills = draw_days(np.random.default_rng(3), 40, 200, (0.0,) * 8, noise)
    assert float((net**2).sum() / fills.sum()) == pytest.approx(noise.sd_bps**2, rel=0.06)


def _slow_levels(net: np.ndarray, fills: np.ndarray, looks: int, *, is_confirmed: bool) -> np.ndarray:
    held, yesterday, history = [False] * net.shape[1], [False] * net.shape[1], []
    for look in range(looks):
        p = []
        for market in range(net.shape[1]):
            s, n = net[look : look + 10, market], fills[look : look + 10, market]
            whole, last = estimate(s, n), estimate(s[-4:], n[-4:])
            is_out = whole.fills < 50 or whole.clusters < 8 or not last.less_one_se_bps > 0
            p.append(1.0 if is_out else float(whole.p))
        adjusted = multipletests(p, method="fdr_bh")[1]
        enters = [each <= 0.05 for each in adjusted]
        held = [
            (was and each <= 0.20) or (enter and (before or not is_confirmed))
            for was, each, enter, before in zip(held, adjusted, enters, yesterday, strict=True)
        ]
        yesterday = enters
        history.append(held)
    return np.array(history)


def test_measured_looks_are_those_of_a_slow_reference() -> None:
    looks, edges = 8, (0.0,) * 4 + (0.7,) * 4
    rates = measure_looks(7, universes=25, looks=looks, edges_bps=edges)
    net, fills = draw_days(np.random.default_rng(7), 9 + looks, 25, edges, DayNoise())
    one_day, confirmed = (
        np.array([_slow_levels(net[:, u], fills[:, u], looks, is_confirmed=rule) for u in range(25)])
        for rule in (False, True)
    )
    assert rates.ever_unconfirmed == pytest.approx(one_day[..., :4].any(axis=(1, 2)).mean())
    assert rates.ever_micro == pytest.approx(confirmed[..., :4].any(axis=(1, 2)).mean())
    assert rates.false_days_micro == pytest.approx(confirmed[..., :4].mean())
    assert rates.false_days_unconfirmed == pytest.approx(one_day[..., :4].mean())
    assert rates.power_micro == pytest.approx(confirmed[:, -1, 4:].mean())
    in_force, false = confirmed.sum(axis=2), confirmed[..., :4].sum(axis=2)
    assert rates.fdr_micro == pytest.approx((false / np.maximum(in_force, 1)).mean())
    assert 0 < rates.power_micro < 1


def test_daily_looks_find_false_approvals_that_confirmation_and_the_anytime_bound_take_away() -> None:
    rates = measure_looks(3, universes=150, looks=30)
    assert rates.first_look <= 0.10
    assert rates.first_look < rates.ever_micro < rates.ever_unconfirmed
    assert rates.ever_trade <= 0.05
    assert rates.false_days_trade <= rates.false_days_micro < rates.false_days_unconfirmed < 0.01
    assert rates.fdr_micro <= 0.05
    assert (rates.power_micro, rates.power_trade) == (None, None)


def test_the_anytime_bound_costs_days_and_little_power() -> None:
    edges = (0.0,) * 18 + (3.0,) * 6
    early, late = (measure_looks(4, universes=60, looks=looks, edges_bps=edges) for looks in (2, 14))
    assert early.power_micro is not None
    assert early.power_trade is not None
    assert late.power_micro is not None
    assert late.power_trade is not None
    assert early.power_micro >= 0.9
    assert early.power_trade < early.power_micro
    assert late.power_trade >= late.power_micro - 0.03


def test_equal_seeds_measure_the_same() -> None:
    noise = DayNoise(fills_per_day=(40.0, 40.0))
    edges = (0.0,) * 8 + (1.0,) * 4
    first, again, other = (
        measure_looks(seed, universes=30, looks=10, edges_bps=edges, noise=noise) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_level_of_orders_states_by_what_they_allow() -> None:
    states = ("insufficient", "rejected", "latency_fragile", "approved_micro", "approved_trade")
    assert [level_of(each) for each in states] == [0, 0, 1, 2, 3]
