"""The generated side as the exchange sees it, and books as clients see them."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override
from venue_bench import GENERATOR, NOW_MS, Bench

from streaming.sim.exchange.view import Listed
from streaming.sim.markets.generator import HOUR_MS, NONE, Generator, MarketHour
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.hooks import Overrides, Prices, Touch
from streaming.sim.venue.market.books import DEEP_LEVELS, aggregate, ladder
from streaming.sim.venue.market.tape import Tape
from streaming.sim.venue.market.world import World

NVDA = "xyz:NVDA"
HOUR = NOW_MS // HOUR_MS
BENCH = Bench()
TAPE = BENCH.venue.world.tape
COLUMNS = {"bbo": "bbo_ts_ms", "ctx": "ctx_ts_ms", "trades": "trade_ts_ms"}


def stamps(kind: str, coin: str) -> list[int]:
    hours = [TAPE.columns(coin, hour) for hour in (HOUR - 1, HOUR)]
    return [ts_ms for hour in hours if hour is not None for ts_ms in getattr(hour, COLUMNS[kind]).tolist()]


STAMPS = {(kind, coin): stamps(kind, coin) for kind in COLUMNS for coin in (NVDA, "xyz:META")}
SPAN_MS = st.integers((HOUR - 1) * HOUR_MS, (HOUR + 1) * HOUR_MS - 1)


def stamp_of(kind: str, place: tuple[MarketHour, int]) -> int:
    return int(getattr(place[0], COLUMNS[kind])[place[1]])


@given(
    key=st.sampled_from(sorted(STAMPS)),
    instants=st.lists(st.tuples(SPAN_MS, st.integers(0, 90_000)), min_size=1, max_size=5),
)
def test_tape_answers_any_instants_as_a_search_through_all_rows(
    key: tuple[str, str], instants: list[tuple[int, int]]
) -> None:
    kind, coin = key
    for ts_ms, length_ms in instants:
        last = bisect_right(STAMPS[key], ts_ms)
        place = TAPE.last(kind, coin, ts_ms)
        assert (place is None) == (last == 0)
        if place is not None:
            assert stamp_of(kind, place) == STAMPS[key][last - 1]
        until = bisect_right(STAMPS[key], ts_ms + length_ms)
        between = [stamp_of(kind, each) for each in TAPE.between(kind, coin, ts_ms, ts_ms + length_ms)]
        assert between == STAMPS[key][last:until]


def test_tape_outside_of_what_is_loaded_has_the_nearest() -> None:
    first, last = STAMPS["bbo", NVDA][0], STAMPS["bbo", NVDA][-1]
    assert stamp_of("bbo", TAPE.latest("bbo", NVDA, (HOUR - 5) * HOUR_MS)) == first
    assert stamp_of("bbo", TAPE.latest("bbo", NVDA, (HOUR + 5) * HOUR_MS)) == last
    assert TAPE.between("bbo", NVDA, (HOUR + 2) * HOUR_MS, (HOUR + 3) * HOUR_MS) == []
    with pytest.raises(LookupError, match="no bbo"):
        Tape(GENERATOR).latest("bbo", NVDA, NOW_MS)


@pytest.mark.parametrize("coin", [market.coin for market in DEMO.universe.markets])
def test_world_shows_the_exchange_what_the_feed_shows_clients(coin: str) -> None:
    world = BENCH.venue.world
    for now_ms in range(NOW_MS - 600_000, NOW_MS, 61_234):
        hour, row = TAPE.latest("bbo", coin, now_ms)
        touch = BENCH.venue.quotes.texts[coin].touch(hour, row)
        liquidity = world.liquidity(coin, now_ms)
        for side, shown in zip((liquidity.bids, liquidity.asks), touch, strict=True):
            first = {"px": str(side[0].px), "sz": str(side[0].sz), "n": side[0].n} if side else None
            assert (first is None) == (shown is None)
            if first is not None and shown is not None:
                assert Decimal(str(first["px"])) == Decimal(str(shown["px"]))
                assert Decimal(str(first["sz"])) == Decimal(str(shown["sz"]))
                assert first["n"] == shown["n"]
        ctx = BENCH.venue.quotes.ctx(coin, now_ms)
        assert Decimal(ctx["oraclePx"]) == world.oracle_px(coin, now_ms)
        assert Decimal(ctx["markPx"]) == world.mark_px(coin, now_ms)
        assert Decimal(ctx["funding"]) == world.funding_ratio(coin, now_ms)
        assert Decimal(ctx["openInterest"]) == world.open_interest_sz(coin, now_ms)


def test_world_version_changes_exactly_with_the_row() -> None:
    world = BENCH.venue.world
    at_ms = STAMPS["bbo", NVDA][-200]
    following = STAMPS["bbo", NVDA][-199]
    assert world.liquidity(NVDA, at_ms) is world.liquidity(NVDA, following - 1)
    assert world.liquidity(NVDA, at_ms).version != world.liquidity(NVDA, following).version


def test_world_trades_are_those_of_the_public_frames() -> None:
    trades = list(BENCH.venue.world.trades(NVDA, NOW_MS - 600_000, NOW_MS))
    shown = BENCH.venue.quotes.trades.between(NVDA, NOW_MS - 600_000, NOW_MS)
    assert [(trade.ts_ms, trade.px, trade.sz, trade.is_buy) for trade in trades] == [
        (trade["time"], Decimal(trade["px"]), Decimal(trade["sz"]), trade["side"] == "B") for trade in shown
    ]
    assert len(trades) > 5


@dataclass(frozen=True)
class Change:
    ts_ms: int


class Halting(Generator):
    """NVDA stops for a minute, then has another leverage."""

    @override
    def listed(self, coin: str, ts_ms: int) -> Listed:
        listed = super().listed(coin, ts_ms)
        if coin != NVDA or ts_ms < NOW_MS + 5_000:
            return listed
        if ts_ms < NOW_MS + 65_000:
            return replace(listed, is_halted=True)
        return replace(listed, market=changed(listed.market), is_at_oi_cap=True)

    @override
    def changes(self, coin: str, begin_ms: int, end_ms: int) -> tuple[Change, ...]:  # type: ignore[override]
        edges = (NOW_MS + 5_000, NOW_MS + 65_000) if coin == NVDA else ()
        return tuple(Change(edge) for edge in edges if begin_ms <= edge < end_ms)


def changed(market: Market) -> Market:
    return msgspec.structs.replace(market, leverage_max=5, is_growth_mode=False, margin_mode="strictIsolated")


def entry(bench: Bench) -> dict[str, object]:
    universe = bench.info({"type": "meta", "dex": "xyz"})[1]["universe"]
    found: dict[str, object] = next(each for each in universe if each["name"] == NVDA)
    return found


def test_world_halt_empties_the_market_and_changes_reach_the_listing() -> None:
    bench = Bench(Halting(7, DEMO))
    bbo = bench.listen(type="bbo", coin=NVDA)
    trades = bench.listen(type="trades", coin=NVDA)
    assert "growthMode" in entry(bench)
    bench.run(5_100)
    assert bbo.data("bbo")[-1]["bbo"] == [None, None]
    assert bench.venue.world.liquidity(NVDA, bench.now_ms)[:2] == ((), ())
    assert bench.info({"type": "l2Book", "coin": NVDA})[1]["levels"] == [[], []]
    assert bench.info({"type": "l2Book", "coin": NVDA, "nSigFigs": 3})[1]["levels"] == [[], []]
    ctx = bench.info({"type": "metaAndAssetCtxs", "dex": "xyz"})[1][1][2]
    assert [ctx["midPx"], ctx["premium"], ctx["impactPxs"]] == [None, None, None]
    count, traded = len(bbo.texts), len(trades.texts)
    bench.run(59_000)
    assert len(bbo.texts) == count, "nothing changes while it is halted"
    assert len(trades.texts) == traded
    mids = bench.info({"type": "allMids", "dex": "xyz"})[1]
    assert Decimal(mids[NVDA]) > 0, "the last trade stands in"
    assert entry(bench)["maxLeverage"] == 20, "no documented field says that it is halted"
    bench.run(1_100)
    assert bbo.data("bbo")[-1]["bbo"][0] is not None
    assert entry(bench)["maxLeverage"] == 5
    assert entry(bench)["marginMode"] == "strictIsolated"
    assert "growthMode" not in entry(bench)
    assert bench.info({"type": "perpsAtOpenInterestCap", "dex": "xyz"})[1] == [NVDA]


class Everything(Overrides):
    @override
    def is_active(self, coin: str) -> bool:
        return coin == NVDA

    @override
    def touch(self, coin: str, touch: Touch, now_ms: int) -> Touch:
        return touch._replace(ask_px=NONE, ask_sz=NONE)

    @override
    def depth_ratio(self, coin: str, now_ms: int) -> float:
        return 0.5

    @override
    def prices(self, coin: str, prices: Prices, now_ms: int) -> Prices:
        return Prices(prices.oracle_px * 10, prices.mark_px)

    @override
    def listed(self, listed: Listed, now_ms: int) -> Listed:
        return replace(listed, is_delisted=listed.market.coin == "xyz:GOLD")


def test_world_overrides_reach_book_prices_and_listing() -> None:
    plain, world = BENCH.venue.world, World(GENERATOR, Everything())
    for hour in (HOUR - 1, HOUR):
        world.tape.load(hour)
    before, after = plain.liquidity(NVDA, NOW_MS), world.liquidity(NVDA, NOW_MS)
    assert after.asks == ()
    assert after.version != before.version
    halves = [max(Decimal("0.001"), level.sz / 2) for level in before.bids]
    assert all(abs(level.sz - half) <= Decimal("0.001") for level, half in zip(after.bids, halves, strict=True))
    assert world.oracle_px(NVDA, NOW_MS) == 10 * plain.oracle_px(NVDA, NOW_MS)
    assert world.mark_px(NVDA, NOW_MS) == plain.mark_px(NVDA, NOW_MS)
    assert world.liquidity("xyz:TSLA", NOW_MS) == plain.liquidity("xyz:TSLA", NOW_MS)
    assert world.listed("xyz:GOLD", NOW_MS).is_delisted
    assert world.liquidity("xyz:GOLD", NOW_MS)[:2] == ((), ())
    with pytest.raises(KeyError):
        world.listed("xyz:NOPE", NOW_MS)


# Aggregated books


@given(
    coin=st.sampled_from([market.coin for market in DEMO.universe.markets]),
    figures=st.integers(2, 5),
    step=st.sampled_from([1, 2, 5]),
    sign=st.sampled_from([-1, 1]),
)
def test_aggregate_keeps_all_size_moves_no_price_inward_and_is_on_its_grid(
    coin: str, figures: int, step: int, sign: int
) -> None:
    hour, row = TAPE.latest("bbo", coin, NOW_MS)
    touch = Touch(int(hour.bid_px[row]), int(hour.bid_sz[row]), int(hour.ask_px[row]), int(hour.ask_sz[row]))
    side = ladder(DEMO.universe.by_coin[coin], touch, NOW_MS, DEEP_LEVELS)[sign > 0]
    levels = aggregate(side, sign, figures, step)
    assert 1 <= len(levels) <= 20
    prices = [px for px, _, _ in levels]
    assert prices == sorted(set(prices), reverse=sign < 0)
    assert (levels[0][0] - side[0][0]) * sign >= 0
    if len(levels) < 20:
        assert sum(sz for _, sz, _ in levels) == sum(sz for _, sz, _ in side)
        assert sum(n for _, _, n in levels) == sum(n for _, _, n in side)
    for px, _, _ in levels:
        digits = str(px).rstrip("0")
        assert len(digits) <= figures
        assert figures < 5 or step == 1 or int(str(px)[:figures]) % step == 0


def test_book_aggregated_has_the_spread_and_begins_where_the_fine_one_does() -> None:
    fine = BENCH.info({"type": "l2Book", "coin": NVDA})[1]
    assert "spread" not in fine
    for figures in (2, 3, 4, 5):
        coarse = BENCH.info({"type": "l2Book", "coin": NVDA, "nSigFigs": figures})[1]
        bid, ask = (Decimal(side[0]["px"]) for side in fine["levels"])
        assert Decimal(coarse["spread"]) == ask - bid
        assert Decimal(coarse["levels"][0][0]["px"]) <= bid < ask <= Decimal(coarse["levels"][1][0]["px"])
    wide = BENCH.info({"type": "l2Book", "coin": NVDA, "nSigFigs": 5, "mantissa": 5})[1]
    assert all(int(Decimal(level["px"]) * 100) % 5 == 0 for side in wide["levels"] for level in side)
    assert len(wide["levels"][0]) == 20
