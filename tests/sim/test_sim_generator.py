import dataclasses
import hashlib
import os
import subprocess
import sys
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS, NONE, Generator, MarketHour, tick_of
from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.market.wire import text_of

MONDAY = 494_856  # 2026-06-15T00Z
COINS = [market.coin for market in DEMO.universe.builder_markets]


def is_legal(market: Market, units: int) -> bool:
    px = Decimal(text_of(units, market.px_decimals))
    if px == px.to_integral_value():
        return True
    digits = px.normalize().as_tuple()
    return len(digits.digits) <= 5 and -int(digits.exponent) <= 6 - market.sz_decimals


def digest(hour: MarketHour) -> str:
    columns = [getattr(hour, name) for name in MarketHour.__slots__ if name not in {"market", "hour", "prev_day_px"}]
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


def test_universe_asset_ids_are_those_of_the_real_dex() -> None:
    assert [DEMO.universe.asset_ids[m.coin] for m in DEMO.universe.by_dex["xyz"]] == list(range(110_000, 110_014))
    assert DEMO.universe.asset_ids["xyz:XYZ100"] == 110_000
    assert DEMO.universe.asset_ids["xyz:NVDA"] == 110_002
    assert set(DEMO.characters) == set(DEMO.universe.by_coin)
    assert len(DEMO.universe.builder_markets) >= 12


def test_universe_order_and_decimals_equal_real_snapshots(shared_data: os.PathLike[str]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(f"{shared_data}/markets/oracle_snapshots.parquet").to_pylist()
    snap = "2026-01-16T14:50:43"
    real = [row for row in table if row["dex"] == "xyz" and row["snap"] == snap]
    assert [row["coin"] for row in real[: len(DEMO.universe.builder_markets)]] == COINS
    for row in real[: len(DEMO.universe.builder_markets)]:
        oracle = Decimal(str(row["oracle_px"])).normalize()
        assert -int(oracle.as_tuple().exponent) <= DEMO.universe.by_coin[row["coin"]].px_decimals


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), coin=st.sampled_from(COINS), hour=st.integers(MONDAY - 20_000, MONDAY + 20_000))
def test_hour_any_seed_and_hour_has_legal_prices_on_the_block_grid(seed: int, coin: str, hour: int) -> None:
    columns = Generator(seed, DEMO).hour(coin, hour)
    for prices in (columns.bid_px, columns.ask_px, columns.trade_px):
        for units in np.unique(prices[prices != NONE])[:400].tolist():
            assert is_legal(columns.market, units), text_of(units, columns.market.px_decimals)
    for sizes in (columns.bid_sz, columns.ask_sz, columns.trade_sz):
        assert (sizes[sizes != NONE] >= 1).all()
    assert (columns.bbo_ts_ms % BLOCK_MS == 0).all()
    assert (np.diff(columns.bbo_ts_ms) >= BLOCK_MS).all()
    for ts_ms in (columns.bbo_ts_ms, columns.ctx_ts_ms, columns.trade_ts_ms):
        assert (ts_ms >= hour * HOUR_MS).all()
        assert (ts_ms < (hour + 1) * HOUR_MS).all()
    assert (np.diff(columns.ctx_ts_ms) > 0).all()
    assert columns.ctx_ts_ms.size == 3600
    assert ((columns.bid_px == NONE) == (columns.bid_sz == NONE)).all()
    assert ((columns.ask_px == NONE) == (columns.ask_sz == NONE)).all()
    assert (columns.oracle_px > 0).all()


@given(units=st.integers(1, 10**12), decimals=st.integers(0, 6))
def test_tick_of_any_price_is_the_documented_one(units: int, decimals: int) -> None:
    px = Decimal(units).scaleb(-decimals)
    documented = min(Decimal(1), max(Decimal(10) ** -decimals, Decimal(10) ** (px.adjusted() - 4)))
    assert Decimal(int(tick_of(np.array([units]), decimals)[0])).scaleb(-decimals) == documented


def test_hour_book_is_two_sided_and_uncrossed_but_for_rare_noise() -> None:
    generator = Generator(7, DEMO)
    crossed = missing = total = 0
    for coin in COINS:
        for hour in range(MONDAY, MONDAY + 48, 2):
            columns = generator.hour(coin, hour)
            both = (columns.bid_px != NONE) & (columns.ask_px != NONE)
            crossed += int((columns.bid_px >= columns.ask_px)[both].sum())
            missing += int((~both).sum())
            total += both.size
    assert 0 < crossed < total * 1e-3
    assert 0 < missing < total * 1e-2


def test_hour_joins_the_next_one_without_a_jump() -> None:
    generator = Generator(11, DEMO)
    for coin in COINS:
        for hour in range(MONDAY + 6, MONDAY + 12):
            before, after = generator.hour(coin, hour), generator.hour(coin, hour + 1)
            oracle = before.oracle_px[-1] / after.oracle_px[0]
            mid = before.mid2_px[-1] / after.mid2_px[0]
            assert abs(oracle - 1) < 8e-4
            assert abs(mid - 1) < 8e-4
            assert before.open_interest_sz[-1] == pytest.approx(after.open_interest_sz[0], rel=1e-3)


def test_hour_ctx_mid_is_that_of_the_touch_in_force() -> None:
    columns = Generator(7, DEMO).hour("xyz:NVDA", MONDAY + 15)
    row = np.searchsorted(columns.bbo_ts_ms, columns.ctx_ts_ms, side="right") - 1
    bid, ask = columns.bid_px[row], columns.ask_px[row]
    expected = np.where((bid == NONE) | (ask == NONE), NONE, bid + ask)
    assert (columns.mid2_px == expected).all()


def test_hour_cadences_are_those_of_the_venue() -> None:
    generator = Generator(7, DEMO)
    for coin in COINS:
        hours = [generator.hour(coin, MONDAY + index) for index in range(24)]
        assert sum(hour.bbo_ts_ms.size for hour in hours) / 86_400 >= 1.0
        ctx_ms = np.concatenate([hour.ctx_ts_ms for hour in hours])
        assert 0.97 < np.median(np.diff(ctx_ms)) / 1000 < 1.03
        oracle = np.concatenate([hour.oracle_px for hour in hours])
        changed_ms = ctx_ms[1:][np.diff(oracle) != 0]
        assert np.diff(changed_ms).min() > 1900  # never faster than the oracle's own clock, seen once a second
        assert 2.9 < np.median(np.diff(changed_ms)) / 1000 < 7.1


def test_hour_equal_seed_gives_equal_columns_and_another_seed_others() -> None:
    once, again = Generator(7, DEMO), Generator(7, DEMO)
    again.hour("xyz:NVDA", MONDAY + 1)  # what else was generated must not matter
    assert digest(once.hour("xyz:NVDA", MONDAY)) == digest(again.hour("xyz:NVDA", MONDAY))
    assert digest(once.hour("xyz:NVDA", MONDAY)) != digest(Generator(8, DEMO).hour("xyz:NVDA", MONDAY))
    assert digest(once.hour("xyz:NVDA", MONDAY)) != digest(once.hour("xyz:NVDA", MONDAY + 24))


def test_hour_hash_seed_of_python_changes_nothing() -> None:
    script = (
        "import hashlib\n"
        "from streaming.sim.markets.generator import Generator\n"
        "from streaming.sim.scenario.demo import DEMO\n"
        f"h = Generator(7, DEMO).hour('xyz:META', {MONDAY})\n"
        "print(hashlib.sha256(h.bid_px.tobytes() + h.ctx_ts_ms.tobytes() + h.trade_tid.tobytes()).hexdigest())\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(texts) == 1


numbers = st.floats(0.0, 1.0, allow_nan=False)


@settings(max_examples=60)
@given(
    shares=st.lists(numbers, min_size=22, max_size=22),
    maker=st.sampled_from(["oracle", "underlying"]),
    hour=st.integers(0, 500),
)
def test_hour_any_character_within_its_bounds_has_legal_columns(shares: list[float], maker: str, hour: int) -> None:
    names = {
        "jump_rate_h": 3600, "jump_bps_min": 1000, "jump_bps_scale": 1000, "shock_bps": 1000, "oracle_noise_bps": 1000,
        "oracle_lag_s": 60, "spike_rate_h": 3600, "spike_bps_min": 1000, "spike_bps_scale": 1000, "slow_ratio": 1,
        "basis_bps": 1000, "freeze_s": 86_400, "blip_rate_h": 3600, "blip_bps_min": 1000, "widen_factor": 20,
        "open_factor": 20, "open_widen_factor": 20, "halt_rate_day": 1000, "empty_ratio": 0.5, "one_sided_ratio": 0.5,
        "bbo_rate_s": 14, "regime_strength": 1,
    }  # fmt: skip
    least = {"widen_factor": 1.0, "open_factor": 1.0, "open_widen_factor": 1.0, "bbo_rate_s": 0.01}
    drawn = {
        name: max(share * most, least.get(name, 0.0)) for share, (name, most) in zip(shares, names.items(), strict=True)
    }
    fixed = {"slow_delay_s": 10.0, "blip_life_s": 0.3, "widen_s": 60.0, "halt_s": 600.0, "pull_ratio": 1.0}
    character = msgspec.convert(drawn | fixed | {"label": "stale_quote", "maker": maker}, Character)
    scenario = dataclasses.replace(DEMO, characters={**DEMO.characters, "xyz:NVDA": character})
    generator = Generator(1, scenario)
    columns = generator.hour("xyz:NVDA", MONDAY + hour)
    for prices in (columns.bid_px, columns.ask_px, columns.oracle_px, columns.mark_px, columns.impact_bid_px):
        there = prices[prices != NONE]
        assert (there > 0).all()
        assert (there < 2**53).all()
    assert (np.diff(columns.bbo_ts_ms) >= BLOCK_MS).all()
    assert columns.ctx_ts_ms.size == 3600
    pulls = generator.pulls("xyz:NVDA", MONDAY + hour)
    assert (pulls.end_ms > pulls.begin_ms).all()


# Ground truth: what a follower of the oracle's lead earns, executable, by label.


def executable_bps(generator: Generator, coin: str, first_hour: int) -> tuple[int, float]:
    """Episodes of a day over the threshold, and the mean result of taking the touch and leaving at +5 s, after fees."""
    market = DEMO.universe.by_coin[coin]
    fee = 0.9 if market.is_growth_mode else 9.0
    threshold = 2 * fee + 3
    hours = [generator.hour(coin, first_hour + index) for index in range(24)]
    bbo_ms, bid, ask, ctx_ms, oracle = (
        np.concatenate([getattr(hour, name) for hour in hours])
        for name in ("bbo_ts_ms", "bid_px", "ask_px", "ctx_ts_ms", "oracle_px")
    )
    ts_ms = np.sort(np.concatenate([bbo_ms, ctx_ms]), kind="stable")
    row = np.searchsorted(bbo_ms, ts_ms, side="right") - 1
    seen = oracle[np.maximum(np.searchsorted(ctx_ms, ts_ms, side="right") - 1, 0)]
    valid = (bid[row] != NONE) & (ask[row] != NONE) & (ask[row] > bid[row])
    results = []
    for touch, exit_touch, sign in ((ask, bid, 1), (bid, ask, -1)):
        edge = np.where(valid, sign * (seen - touch[row]) / seen * 1e4, -99.0)
        place = 0
        while (over := np.flatnonzero(edge[place:] > threshold)).size:
            place += int(over[0])
            later = int(np.searchsorted(bbo_ms, ts_ms[place] + 5_000, side="right")) - 1
            if exit_touch[later] != NONE:
                entry = touch[row[place]]
                results.append(sign * (exit_touch[later] - entry) / entry * 1e4 - 2 * fee)
            back = np.flatnonzero(edge[place:] <= threshold / 2)
            if not back.size:
                break
            place += int(back[0])
    return len(results), float(np.mean(results)) if results else 0.0


@pytest.mark.parametrize("coin", ["xyz:NVDA", "xyz:TSLA", "xyz:INTC"])
def test_stale_quote_taking_the_touch_pays_after_fees(coin: str) -> None:
    generator = Generator(7, DEMO)
    assert generator.scenario.characters[coin].label is Label.STALE_QUOTE
    count, mean_bps = executable_bps(generator, coin, MONDAY)
    assert count >= 30
    assert mean_bps > 2.0


@pytest.mark.parametrize("coin", ["xyz:AAPL", "xyz:GOOGL", "xyz:COIN", "xyz:META"])
def test_other_characters_taking_the_touch_costs_spread_and_fees(coin: str) -> None:
    generator = Generator(7, DEMO)
    assert generator.scenario.characters[coin].label is not Label.STALE_QUOTE
    count, mean_bps = executable_bps(generator, coin, MONDAY)
    assert count >= 20
    assert mean_bps < -1.0
