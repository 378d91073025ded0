import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.sim.markets.changes import ChangeKind
from streaming.sim.markets.generator import HOUR_MS, NONE, Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.scenario import Scenario

COIN = "xyz:TSLA"
DAY_MS = 24 * HOUR_MS
MONDAY = 494_856  # 2026-06-15T00Z
BEGIN_MS = MONDAY * HOUR_MS
FIELDS = {
    ChangeKind.LEVERAGE_MAX: "leverage_max",
    ChangeKind.GROWTH_MODE: "is_growth_mode",
    ChangeKind.FEE_SCALE: "fee_scale",
    ChangeKind.MARGIN_MODE: "margin_mode",
    ChangeKind.OI_CAP: "oi_cap_usd",
}
BUSY = {
    "halt_rate_day": 20.0,
    "halt_s": 400.0,
    "change_every_days": 0.3,
    "cycle_days": 2.0,
    "delisted_days": 0.5,
}


def scenario_with(**parameters: float) -> Scenario:
    character = msgspec.structs.replace(DEMO.characters[COIN], **parameters)
    return dataclasses.replace(DEMO, characters={**DEMO.characters, COIN: character})


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), begin=st.integers(0, 40 * DAY_MS), length=st.integers(1, 3 * DAY_MS))
def test_changes_any_span_lead_from_one_listing_to_the_next(seed: int, begin: int, length: int) -> None:
    generator = Generator(seed, scenario_with(**BUSY))
    begin_ms, end_ms = BEGIN_MS + begin, BEGIN_MS + begin + length
    facts = generator.listed(COIN, begin_ms)
    market, is_halted, is_delisted = facts.market, facts.is_halted, facts.is_delisted
    changes = generator.changes(COIN, begin_ms + 1, end_ms + 1)
    assert [change.ts_ms for change in changes] == sorted(change.ts_ms for change in changes)
    for change in changes:
        match change.kind:
            case ChangeKind.HALT:
                is_halted = True
            case ChangeKind.DELIST:
                is_delisted = True
            case ChangeKind.RESUME:
                is_halted = is_delisted = False
            case kind:
                assert getattr(market, FIELDS[kind]) != change.value
                market = msgspec.structs.replace(market, **{FIELDS[kind]: change.value})
    now = generator.listed(COIN, end_ms)
    assert (now.market, now.is_halted, now.is_delisted) == (market, is_halted, is_delisted)
    assert now.is_at_oi_cap == (now.market.oi_usd >= now.market.oi_cap_usd)


@given(cut=st.integers(1, 5 * DAY_MS - 1))
def test_changes_split_span_are_those_of_the_whole(cut: int) -> None:
    generator = Generator(3, scenario_with(**BUSY))
    end_ms = BEGIN_MS + 5 * DAY_MS
    whole = generator.changes(COIN, BEGIN_MS, end_ms)
    assert len(whole) > 50
    assert set(FIELDS) - {change.kind for change in whole} == {ChangeKind.MARGIN_MODE}  # cross is never taken back
    parts = generator.changes(COIN, BEGIN_MS, BEGIN_MS + cut) + generator.changes(COIN, BEGIN_MS + cut, end_ms)
    assert parts == whole


def test_changes_ordinary_market_never_come() -> None:
    generator = Generator(3, DEMO)
    assert generator.changes(COIN, 0, 2 * BEGIN_MS) == ()
    assert generator.listed(COIN, BEGIN_MS).is_open
    with pytest.raises(KeyError):
        generator.listed("xyz:NOBODY", BEGIN_MS)


def test_changes_isolated_market_changes_its_margin_mode() -> None:
    coin = "xyz:HOOD"
    character = msgspec.structs.replace(DEMO.characters[coin], change_every_days=1.0)
    generator = Generator(3, dataclasses.replace(DEMO, characters={**DEMO.characters, coin: character}))
    changes = generator.changes(coin, BEGIN_MS, BEGIN_MS + 30 * DAY_MS)
    assert {c.value for c in changes if c.kind is ChangeKind.MARGIN_MODE} == {"strictIsolated", "noCross"}


def test_halt_takes_the_book_away_and_leaves_the_oracle() -> None:
    generator = Generator(5, scenario_with(halt_rate_day=30.0, halt_s=300.0))
    halted = open_rows = 0
    for hour in range(MONDAY, MONDAY + 12):
        columns = generator.hour(COIN, hour)
        row = np.searchsorted(columns.bbo_ts_ms, columns.ctx_ts_ms, side="right") - 1
        for ts_ms, mid, bid in zip(
            columns.ctx_ts_ms[::20].tolist(),
            columns.mid2_px[::20].tolist(),
            columns.bid_px[row][::20].tolist(),
            strict=True,
        ):
            is_halted = generator.listed(COIN, ts_ms - 100).is_halted and generator.listed(COIN, ts_ms).is_halted
            if is_halted:
                assert mid == bid == NONE
                halted += 1
            else:
                open_rows += mid != NONE
        trades = [generator.listed(COIN, ts_ms).is_halted for ts_ms in columns.trade_ts_ms.tolist()]
        assert not any(trades)
        assert np.unique(columns.oracle_px).size > 100
    assert halted > 50
    assert open_rows > 500


def test_delisting_freezes_the_oracle_on_full_hours_and_empties_the_rest() -> None:
    generator = Generator(5, scenario_with(cycle_days=1.0, delisted_days=0.25))
    changes = generator.changes(COIN, BEGIN_MS, BEGIN_MS + 3 * DAY_MS)
    assert [change.kind for change in changes[:2]] in (["delist", "resume"], ["resume", "delist"])
    assert all(change.ts_ms % HOUR_MS == 0 for change in changes)
    delist = next(change.ts_ms for change in changes if change.kind is ChangeKind.DELIST)
    first = delist // HOUR_MS
    before = generator.hour(COIN, first - 1)
    gone = [generator.hour(COIN, first + index) for index in range(6)]
    assert {int(px) for hour in gone for px in np.unique(hour.oracle_px)} == {int(gone[0].mark_px[0])}
    assert gone[0].oracle_px[0] == pytest.approx(before.oracle_px[-1], rel=1e-3)
    for hour in gone:
        assert (hour.bid_px == NONE).all()
        assert (hour.ask_px == NONE).all()
        assert (hour.mid2_px == NONE).all()
        assert hour.trade_ts_ms.size == 0
        assert hour.ctx_ts_ms.size == 3600
        assert not hour.open_interest_sz.any()
    assert generator.hour(COIN, first + 6).mid2_px[0] != NONE


def test_plan_seed_keeps_the_plan_and_changes_the_noise() -> None:
    scenario = scenario_with(**BUSY, regime_strength=1.0)
    run, other_day = Generator(7, scenario), Generator(8, scenario, plan_seed=7)
    span = BEGIN_MS, BEGIN_MS + 10 * DAY_MS
    assert run.changes(COIN, *span) == other_day.changes(COIN, *span)
    assert run.regimes(COIN, *span) == other_day.regimes(COIN, *span)
    assert run.changes(COIN, *span) != Generator(8, scenario).changes(COIN, *span)
    hour = next(h for h in range(MONDAY, MONDAY + 48) if generator_is_listed(run, h))
    assert not np.array_equal(run.hour(COIN, hour).ask_px, other_day.hour(COIN, hour).ask_px)


def generator_is_listed(generator: Generator, hour: int) -> bool:
    return not generator.listed(COIN, hour * HOUR_MS).is_delisted
