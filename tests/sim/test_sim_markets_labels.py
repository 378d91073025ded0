"""Every label keeps its promise on generated columns; the shares are those of section 5 of the evidence method."""

import dataclasses
from functools import cache

import msgspec
import numpy as np
import pytest
from sim_signature import Signature, signature

from streaming.sim.markets.generator import HOUR_MS, NONE, Generator, MarketHour
from streaming.sim.markets.scan import LATENCIES_MS, THRESHOLDS_BPS
from streaming.sim.markets.sessions import is_open, open_window
from streaming.sim.markets.truth_days import day_sums
from streaming.sim.scenario.characters import Label
from streaming.sim.scenario.draw import draw_showcase

MONDAY = 494_856  # 2026-06-15T00Z
DAYS = range(MONDAY, MONDAY + 72)
SEEDS = (1, 3)


@cache
def venue(seed: int) -> Generator:
    return Generator(seed, draw_showcase(seed))


def coin_of(label: Label) -> str:
    return "xyz:" + label.value.replace("_", "-").upper()


@cache
def signature_of(seed: int, label: Label, *, is_led: bool = True) -> Signature:
    return signature(venue(seed), coin_of(label), DAYS, is_led=is_led)


def hours_of(seed: int, label: Label, hours: range) -> list[MarketHour]:
    return [venue(seed).hour(coin_of(label), hour) for hour in hours]


def with_character(seed: int, market_label: Label, **parameters: float | str) -> Generator:
    """The venue with other parameters of one market."""
    scenario, coin = draw_showcase(seed), coin_of(market_label)
    character = msgspec.structs.replace(scenario.characters[coin], **parameters)
    return Generator(seed, dataclasses.replace(scenario, characters={**scenario.characters, coin: character}))


def gap_bps(hour: MarketHour) -> np.ndarray:
    """Mid against oracle at every context, nan without a mid."""
    mid = np.where(hour.mid2_px == NONE, np.nan, hour.mid2_px * 0.5)
    return (mid / hour.oracle_px - 1.0) * 1e4


# Fees of the showcase: 0.9 bps a side.


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "label",
    [
        Label.STALE_QUOTE,
        Label.PULLED_QUOTE,
        Label.THIN_BOOK,
        Label.HALTING,
        Label.PARAMETER_CHANGING,
        Label.DELISTING,
        Label.ONE_SIDED,
    ],
)
def test_stale_labels_quote_closes_the_gap_and_the_oracle_stays(seed: int, label: Label) -> None:
    found = signature_of(seed, label)
    assert found.count >= 30
    assert found.quote_share >= 0.6
    assert abs(found.oracle_share) < 0.3
    assert found.open_ratio < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_stale_quote_makers_follow_in_one_to_three_seconds(seed: int) -> None:
    coin = coin_of(Label.STALE_QUOTE)
    generator = with_character(seed, Label.STALE_QUOTE, pull_ratio=1.0)  # so that the spans are told
    pulls = [generator.pulls(coin, hour) for hour in DAYS]
    delays_s = np.concatenate([pull.end_ms - pull.begin_ms for pull in pulls]) / 1000.0
    assert delays_s.size > 50
    assert 1.0 <= np.median(delays_s) <= 3.8
    # The second, smaller move comes 0.3 to 0.8 s after the first.
    assert np.median(delays_s) == pytest.approx(generator.scenario.characters[coin].slow_delay_s + 0.55, rel=0.25)


@pytest.mark.parametrize("seed", SEEDS)
def test_standing_basis_neither_side_closes_the_gap(seed: int) -> None:
    found = signature_of(seed, Label.STANDING_BASIS)
    assert found.count >= 15
    assert found.open_ratio >= 0.5
    assert abs(found.quote_share) < 0.5
    assert abs(found.oracle_share) < 0.5
    gaps = np.concatenate([gap_bps(hour)[::60] for hour in hours_of(seed, Label.STANDING_BASIS, DAYS)])
    gaps = gaps[~np.isnan(gaps)]
    assert np.median(np.abs(gaps)) > 5.0
    # An hour later most of it is still there.
    assert np.corrcoef(gaps[:-60], gaps[60:])[0, 1] > 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_quote_is_old_and_stays_open(seed: int) -> None:
    found = signature_of(seed, Label.FROZEN_QUOTE)
    assert found.count >= 30
    assert found.open_ratio >= 0.5
    assert found.age_s >= 10.0
    assert signature_of(seed, Label.STALE_QUOTE).age_s < 5.0


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_crosses_are_led_by_quotes_that_come_back_within_fractions_of_a_second(seed: int) -> None:
    found = signature_of(seed, Label.NOISE, is_led=False)
    assert found.count >= 300
    assert signature_of(seed, Label.NOISE).led_ratio < 0.05
    assert found.open_ratio < 0.1
    sums = day_sums(venue(seed), coin_of(Label.NOISE), MONDAY)
    fills = sums.fills[THRESHOLDS_BPS.index(5), 0]
    assert fills[LATENCIES_MS.index(500)] < 0.75 * fills[LATENCIES_MS.index(100)]
    net = sums.net_bps[THRESHOLDS_BPS.index(5), 0, :, 1] / fills
    assert net[LATENCIES_MS.index(100)] > net[LATENCIES_MS.index(800)] + 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_toxic_oracle_leads_and_takes_its_steps_back(seed: int) -> None:
    found = signature_of(seed, Label.TOXIC_ORACLE)
    assert found.count >= 300
    assert found.led_ratio >= 0.5
    assert found.oracle_share >= 0.7
    assert abs(found.quote_share) < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_lagging_oracle_comes_to_the_quote(seed: int) -> None:
    found = signature_of(seed, Label.LAGGING_ORACLE, is_led=False)
    assert found.count >= 100
    assert signature_of(seed, Label.LAGGING_ORACLE).led_ratio < 0.1
    assert found.oracle_share >= 0.5
    assert abs(found.quote_share) < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_thin_book_shows_less_than_a_small_order(seed: int) -> None:
    assert signature_of(seed, Label.THIN_BOOK).touch_usd < 200.0
    assert signature_of(seed, Label.STALE_QUOTE).touch_usd > 1_000.0


@pytest.mark.parametrize("seed", SEEDS)
def test_widening_open_way_out_is_wider_than_the_way_in(seed: int) -> None:
    found = signature_of(seed, Label.WIDENING_OPEN)
    assert found.count >= 30
    assert found.exit_spread_ratio >= 1.3
    assert found.quote_share >= 1.1
    session = venue(seed).scenario.universe.by_coin[coin_of(Label.WIDENING_OPEN)].session
    inside, outside = [], []
    for hour in hours_of(seed, Label.WIDENING_OPEN, DAYS):
        there = (hour.bid_px != NONE) & (hour.ask_px != NONE)
        spread = (hour.ask_px - hour.bid_px)[there] / hour.bid_px[there]
        window = open_window(session, hour.hour)
        if window is None:
            outside.append(spread)
            continue
        ts_s = (hour.bbo_ts_ms[there] - hour.hour * HOUR_MS) / 1000.0
        inside.append(spread[(ts_s >= window[0]) & (ts_s < window[1])])
    assert len(inside) == 3
    assert np.mean(np.concatenate(inside)) > 1.3 * np.mean(np.concatenate(outside))


@pytest.mark.parametrize("seed", SEEDS)
def test_one_sided_sides_are_missing_as_often_as_drawn(seed: int) -> None:
    character = venue(seed).scenario.characters[coin_of(Label.ONE_SIDED)]
    one = none = total = 0
    for hour in hours_of(seed, Label.ONE_SIDED, DAYS):
        row = np.searchsorted(hour.bbo_ts_ms, hour.ctx_ts_ms, side="right") - 1
        missing = (hour.bid_px[row] == NONE).astype(int) + (hour.ask_px[row] == NONE)
        one, none, total = one + int((missing == 1).sum()), none + int((missing == 2).sum()), total + missing.size
    assert one / total == pytest.approx(character.one_sided_ratio, abs=0.08)
    assert none / total == pytest.approx(character.empty_ratio, abs=0.08)


def test_one_sided_without_any_book_has_contexts_alone() -> None:
    generator = with_character(1, Label.ONE_SIDED, one_sided_ratio=0.0, empty_ratio=1.0)
    hour = generator.hour(coin_of(Label.ONE_SIDED), MONDAY + 14)
    assert hour.bbo_ts_ms.size == 1
    assert hour.trade_ts_ms.size == 0
    for column in (hour.mid2_px, hour.impact_bid_px, hour.impact_ask_px, hour.premium_e10):
        assert (column == NONE).all()
    assert hour.ctx_ts_ms.size == 3600
    assert np.unique(hour.oracle_px).size > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_pre_ipo_book_trades_far_from_its_oracle_at_all_times(seed: int) -> None:
    offset = venue(seed).scenario.characters[coin_of(Label.PRE_IPO)].offset_bps
    assert abs(offset) >= 150.0
    for hour in hours_of(seed, Label.PRE_IPO, range(MONDAY, MONDAY + 168, 6)):
        assert not is_open(hour.market.session, hour.hour * HOUR_MS)
        gap = np.nanmedian(gap_bps(hour))
        assert np.sign(gap) == np.sign(offset)
        assert abs(gap) > 0.7 * abs(offset)


@pytest.mark.parametrize("seed", SEEDS)
def test_self_referential_oracle_is_the_slow_average_of_its_own_book(seed: int) -> None:
    """The documented rule, applied to the published impact prices alone, gives the published oracle."""
    saturday = range(MONDAY + 5 * 24 + 2, MONDAY + 5 * 24 + 8)
    hours = hours_of(seed, Label.SELF_REFERENTIAL, saturday)
    assert not is_open(hours[0].market.session, saturday.start * HOUR_MS)
    level, errors, moves = float(hours[0].oracle_px[0]), [], []
    for hour in hours:
        for bid, ask, oracle in zip(
            hour.impact_bid_px.tolist(), hour.impact_ask_px.tolist(), hour.oracle_px.tolist(), strict=True
        ):
            if bid != NONE:
                level += -np.expm1(-1.0 / 1800.0) * (max(bid - level, 0.0) - max(level - ask, 0.0))
            errors.append((level / oracle - 1.0) * 1e4)
        moves.append(hour.oracle_px[-1] / hour.oracle_px[0])
    assert np.ptp(moves) > 1e-4
    assert np.mean(np.abs(errors)) < 1.2
    assert np.max(np.abs(errors)) < 5.0


@pytest.mark.parametrize("seed", SEEDS)
def test_self_referential_gap_outlives_a_minute_off_hours(seed: int) -> None:
    saturday = range(MONDAY + 5 * 24 + 2, MONDAY + 5 * 24 + 8)
    gap = np.concatenate([gap_bps(hour) for hour in hours_of(seed, Label.SELF_REFERENTIAL, saturday)])
    gap = gap[~np.isnan(gap)]
    assert np.std(gap) > 0.5
    assert np.corrcoef(gap[:-60], gap[60:])[0, 1] > 0.5


def test_stale_quote_weekend_oracle_follows_its_book() -> None:
    """Outside its session every market is like that: nothing steps ahead of the quote."""
    generator = venue(1)
    coin = coin_of(Label.STALE_QUOTE)
    week, weekend = range(MONDAY + 24, MONDAY + 48), range(MONDAY + 5 * 24 + 2, MONDAY + 6 * 24 + 2)
    steps = []
    for hours in (week, weekend):
        oracle = np.concatenate([generator.hour(coin, hour).oracle_px for hour in hours])
        steps.append(np.abs(np.diff(oracle)) / oracle[1:] * 1e4)
    assert (steps[0] > 4.0).sum() > 20
    assert (steps[1] > 4.0).sum() == 0


# Pulled quotes: nothing that can be seen differs.


@pytest.mark.parametrize("seed", SEEDS)
def test_pulled_quote_columns_are_those_of_the_stale_quote_with_the_same_parameters(seed: int) -> None:
    pulled, coin = venue(seed), coin_of(Label.PULLED_QUOTE)
    assert pulled.scenario.characters[coin].pull_ratio > 0.9
    stale = with_character(seed, Label.PULLED_QUOTE, label=Label.STALE_QUOTE, pull_ratio=0.0)
    for hour in (MONDAY + 15, MONDAY + 130):
        one, two = pulled.hour(coin, hour), stale.hour(coin, hour)
        assert one.market == two.market
        assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in MarketHour.__slots__[1:])
    begin_ms = (MONDAY + 15) * HOUR_MS
    assert not any(stale.is_pulled(coin, begin_ms + after_ms, 7) for after_ms in range(0, HOUR_MS, 997))


@pytest.mark.parametrize("seed", SEEDS)
def test_pulled_quote_makers_leave_while_they_have_to_follow_and_at_no_other_time(seed: int) -> None:
    generator, coin = venue(seed), coin_of(Label.PULLED_QUOTE)
    pulls = generator.pulls(coin, MONDAY + 15)
    assert pulls.begin_ms.size >= 1
    middles = (pulls.begin_ms + pulls.end_ms) // 2
    pulled = [generator.is_pulled(coin, int(ts_ms), oid) for ts_ms in middles for oid in range(40)]
    assert np.mean(pulled) == pytest.approx(pulls.ratio, abs=0.08)
    for ts_ms in range((MONDAY + 15) * HOUR_MS, (MONDAY + 16) * HOUR_MS, 1009):
        if not pulls.covers(ts_ms):
            assert not generator.is_pulled(coin, ts_ms, 7)


def test_pulled_quote_what_is_left_to_take_loses() -> None:
    """The same market with and without the hidden rule: one earns, the other does not."""
    coin = coin_of(Label.PULLED_QUOTE)
    steps = {"jump_rate_h": 8.0, "jump_bps_min": 10.0, "spike_rate_h": 0.7, "spike_bps_min": 10.0, "slow_ratio": 0.8}
    means, fills = [], []
    for ratio in (0.0, 1.0):
        generator = with_character(1, Label.PULLED_QUOTE, pull_ratio=ratio, **steps)
        days = [day_sums(generator, coin, MONDAY + 24 * day) for day in range(3)]
        place = THRESHOLDS_BPS.index(8), 1, LATENCIES_MS.index(200)
        count = sum(int(day.fills[place]) for day in days)
        means.append(sum(float(day.net_bps[place][2]) for day in days) / max(count, 1))
        fills.append(count)
    assert fills[0] >= 60
    assert fills[1] < 0.4 * fills[0]
    assert means[0] > 2.0
    assert means[1] < 0.0
