"""Universes as tables, and the path over them: rows of the generator, sums that can be shifted, days in their order."""

from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scoring_builders import a_scenario

from hip3_platform.analytics.evidence.columns import Feed
from hip3_platform.analytics.evidence.family import HourSums
from hip3_platform.scoring.days import UniverseTables
from hip3_platform.scoring.plans import MARKETS, WINDOW_DAYS, Draw, Plan, coins_of, draws_of, scenario_of
from hip3_platform.scoring.universe import neighboured, shifted_sums
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import PX
from streaming.core.units import NS_PER_DAY
from streaming.sim.markets.generator import NONE, Generator
from streaming.sim.markets.truth_days import hour_of

SILVER = "xyz:SILVER"


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    return Draw(plan=Plan(scenario=a_scenario(tmp_path_factory.mktemp("scenario")), seed=3), index=4)


@pytest.fixture(scope="module")
def tables(draw: Draw) -> UniverseTables:
    return UniverseTables(draw)


def test_thirty_universes_are_five_plans_of_24_and_three_heavy_ones_each_with_its_own_noise() -> None:
    draws = draws_of("universe", 7, 30)
    plain = [draw for draw in draws if not draw.plan.is_heavy]
    assert [draw.plan.seed for draw in plain] == [seed for seed in range(7, 12) for _ in range(6)]
    assert all(len(coins_of(draw.plan)) == MARKETS for draw in plain[::6])
    assert len(draws) - len(plain) == 3
    assert len({draw.noise_seed for draw in draws}) == len({draw.name for draw in draws}) == len(draws)
    assert [draw.plan.seed for draw in draws_of("universe", 7, 1)] == [7, 7]


def test_windows_begin_on_all_days_of_the_week() -> None:
    days = [Plan(scenario="universe", seed=seed).days for seed in range(7)]
    assert {date.fromisoformat(each[0]).weekday() for each in days} == set(range(7))
    assert {len(each) for each in days} == {WINDOW_DAYS}


def test_rows_of_a_day_are_the_generator_s(draw: Draw, tables: UniverseTables) -> None:
    feed = next(iter(tables.feeds(SILVER)))
    assert feed is not None
    generator = Generator(draw.noise_seed, scenario_of(draw.plan), plan_seed=draw.plan.seed)
    first = hour_of(draw.plan.days[0])
    hours = [generator.hour(SILVER, hour) for hour in range(first, first + 24)]
    bid = np.concatenate([hour.bid_px for hour in hours])
    assert feed.bbo.num_rows == bid.size
    assert feed.ctx.num_rows == sum(hour.ctx_ts_ms.size for hour in hours)
    assert feed.bbo.schema.field("bid_px").type == PX
    assert (feed.bbo["bid_px"].null_count, feed.ctx["oracle_px"].null_count) == ((bid == NONE).sum(), 0)
    for row in (0, bid.size // 2, bid.size - 1):
        px = feed.bbo["bid_px"][row].as_py()
        assert (None if bid[row] == NONE else int(bid[row])) == (None if px is None else px * 10**4)
    assert set(feed.bbo["spec_version"].unique().to_pylist()) <= set(tables.specs)


def test_seq_puts_rows_in_the_order_of_receipt_bbo_first(tables: UniverseTables) -> None:
    feed = next(iter(tables.feeds(SILVER)))
    assert feed is not None
    stamped = sorted(
        (ts_ns, seq, table)
        for table, rows in (("bbo", feed.bbo), ("ctx", feed.ctx))
        for ts_ns, seq in zip(rows["recv_ts_ns"].to_pylist(), rows["seq"].to_pylist(), strict=True)
    )
    assert [seq for _, seq, _ in stamped] == list(range(1, len(stamped) + 1))
    tied = [(a[2], b[2]) for a, b in pairwise(stamped) if a[0] == b[0]]
    assert set(tied) <= {("bbo", "ctx")}


def test_two_universes_of_a_plan_share_no_noise(draw: Draw, tables: UniverseTables) -> None:
    other = UniverseTables(Draw(plan=draw.plan, index=5))
    ours, theirs = next(iter(tables.feeds(SILVER))), next(iter(other.feeds(SILVER)))
    assert ours is not None
    assert theirs is not None
    assert not ours.bbo["bid_px"][:1000].equals(theirs.bbo["bid_px"][:1000])


def a_feed(day: str, count: int) -> Feed:
    begin_ns = day_begin_ns(day)
    rows = pa.table({"recv_ts_ns": np.arange(count) * (NS_PER_DAY // count) + begin_ns, "seq": np.arange(count)})
    return Feed(bbo=rows, ctx=rows)


def test_days_come_with_the_end_of_the_one_before_and_the_begin_of_the_next() -> None:
    days = ("2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04")
    feeds = [a_feed(days[0], 1440 * 2), a_feed(days[1], 1440 * 2), None, a_feed(days[3], 1440 * 2)]
    seen = list(neighboured(days, feeds))
    assert [day for day, _, _, _ in seen] == list(days)
    assert [feed for _, _, feed, _ in seen] == feeds
    earlier = [None if before is None else before.bbo.num_rows for _, before, _, _ in seen]
    afters = [None if after is None else after.bbo.num_rows for _, _, _, after in seen]
    assert earlier == [None, 3, 3, None]  # 60 s, and the state before them
    assert afters == [2, None, 2, None]


def test_shifted_sums_are_those_of_shifted_fills() -> None:
    rng = np.random.default_rng(5)
    fills = rng.normal(2.0, 3.0, 7)
    sums = HourSums.empty(("2026-06-01",))
    place = (0, 13, 1, 1, 1)
    sums.fills[place] = fills.size
    sums.net_bps[(*place, 2)], sums.net_bps2[(*place, 2)] = fills.sum(), (fills**2).sum()
    moved = shifted_sums(sums, 1.25)
    assert moved.net_bps[(*place, 2)] == pytest.approx((fills - 1.25).sum())
    assert moved.net_bps2[(*place, 2)] == pytest.approx(((fills - 1.25) ** 2).sum())
    assert np.count_nonzero(moved.net_bps) == 4  # every horizon of the place with fills
    assert moved.fills is sums.fills
    assert not shifted_sums(sums, None).fills.any()


def test_scenario_without_such_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="expected"):
        scenario_of(Plan(scenario=str(tmp_path / "none.toml"), seed=1))
