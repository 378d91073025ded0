"""Candles and funding history: what hours leave behind."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_requests import Wallet, order_action, order_item
from venue_bench import NOW_MS, Bench

from streaming.sim.markets.generator import HOUR_MS
from streaming.sim.venue.market.candles import HISTORY_HOURS, INTERVALS_MS, begin_of, end_of

NVDA = "xyz:NVDA"
MINUTE_MS = 60_000
BENCH = Bench()


def candles(bench: Bench, interval: str, start_ms: int, end_ms: int | None = None) -> list[dict[str, str]]:
    request: dict[str, object] = {"coin": NVDA, "interval": interval, "startTime": start_ms}
    if end_ms is not None:
        request["endTime"] = end_ms
    status, body = bench.info({"type": "candleSnapshot", "req": request})
    assert status == 200
    found: list[dict[str, str]] = body
    return found


@given(interval=st.sampled_from(sorted(INTERVALS_MS)), ts_ms=st.integers(0, 4_000_000_000_000))
def test_candle_of_any_instant_contains_it_and_the_next_begins_where_it_ends(interval: str, ts_ms: int) -> None:
    begin_ms = begin_of(interval, ts_ms)
    end_ms = end_of(interval, begin_ms)
    assert begin_ms <= ts_ms <= end_ms
    assert begin_of(interval, end_ms) == begin_ms
    assert begin_of(interval, end_ms + 1) == end_ms + 1


def test_candles_of_a_span_hold_exactly_its_trades() -> None:
    start_ms = begin_of("5m", NOW_MS - 3 * HOUR_MS)
    found = candles(BENCH, "5m", start_ms)
    trades = [
        (int(hour.trade_ts_ms[row]), int(hour.trade_px[row]), int(hour.trade_sz[row]))
        for each in range(start_ms // HOUR_MS, NOW_MS // HOUR_MS + 1)
        for hour in [BENCH.venue.world.source.hour(NVDA, each)]
        for row in range(hour.trade_ts_ms.size)
        if start_ms <= int(hour.trade_ts_ms[row]) <= NOW_MS
    ]
    assert sum(int(candle["n"]) for candle in found) == len(trades) > 100
    assert sum(Decimal(candle["v"]) for candle in found) == Decimal(sum(sz for _, _, sz in trades)).scaleb(-3)
    for candle in found:
        inside = [px for ts_ms, px, _ in trades if int(candle["t"]) <= ts_ms <= int(candle["T"])]
        if inside:
            expected = [inside[0], inside[-1], max(inside), min(inside)]
            assert [Decimal(candle[key]) for key in "ochl"] == [Decimal(px).scaleb(-3) for px in expected]


def test_candles_without_trades_repeat_the_close() -> None:
    found = candles(BENCH, "1m", NOW_MS - 2 * HOUR_MS)
    assert [int(candle["t"]) for candle in found] == list(range(int(found[0]["t"]), NOW_MS + 1, MINUTE_MS))
    quiet = [(one, two) for one, two in pairwise(found) if not two["n"]]
    assert quiet
    for one, two in quiet:
        assert two["o"] == two["c"] == two["h"] == two["l"] == one["c"]
        assert two["v"] == "0.0"


def test_candles_include_the_one_under_way_at_the_start_and_obey_the_end() -> None:
    found = candles(BENCH, "1h", NOW_MS - 3 * HOUR_MS - 1, NOW_MS - HOUR_MS)
    assert int(found[0]["t"]) == begin_of("1h", NOW_MS - 3 * HOUR_MS - 1)
    assert int(found[-1]["t"]) <= NOW_MS - HOUR_MS
    assert candles(BENCH, "1h", NOW_MS + HOUR_MS) == candles(BENCH, "1h", NOW_MS)


def test_candles_of_everything_begin_where_the_history_does() -> None:
    found = candles(BENCH, "1h", 0)
    assert len(found) == HISTORY_HOURS + 1
    assert found == candles(BENCH, "1h", NOW_MS - 400 * HOUR_MS)
    days = candles(BENCH, "1d", 0)
    assert sum(int(day["n"]) for day in days) == sum(int(hour["n"]) for hour in found)


def test_candles_know_trades_of_clients() -> None:
    bench, wallet = Bench(), Wallet(5)
    before = candles(bench, "1m", bench.now_ms)
    bench.call(wallet.sign(order_action(order_item(True, "230", "0.5", asset=110_002))))
    [after] = candles(bench, "1m", bench.now_ms)
    assert int(after["n"]) > sum(int(candle["n"]) for candle in before)
    assert Decimal(after["v"]) >= Decimal("0.5")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"type": "candleSnapshot"}, 422),
        ({"type": "candleSnapshot", "req": {"coin": NVDA, "interval": "7m", "startTime": 0}}, 422),
        ({"type": "candleSnapshot", "req": {"coin": NVDA, "interval": "1m", "startTime": "0"}}, 422),
        ({"type": "candleSnapshot", "req": {"coin": "xyz:NOPE", "interval": "1m", "startTime": 0}}, 500),
        ({"type": "fundingHistory", "coin": NVDA}, 422),
        ({"type": "fundingHistory", "coin": "xyz:NOPE", "startTime": 0}, 500),
    ],
)
def test_history_wrong_requests_get_documented_errors(request_: dict[str, object], expected: int) -> None:
    assert BENCH.info(request_)[0] == expected


def test_funding_history_is_what_each_hour_ended_with_stamped_after_it() -> None:
    status, paid = BENCH.info({"type": "fundingHistory", "coin": NVDA, "startTime": NOW_MS - 10 * HOUR_MS})
    assert status == 200
    assert len(paid) == 10
    for item in paid:
        hour = item["time"] // HOUR_MS
        assert 1 <= item["time"] - hour * HOUR_MS <= 118
        columns = BENCH.venue.world.source.hour(NVDA, hour - 1)
        assert Decimal(item["fundingRate"]) == Decimal(int(columns.funding_e10[-1])).scaleb(-10)
    assert BENCH.info({"type": "fundingHistory", "coin": NVDA, "startTime": NOW_MS})[1] == []
    limited = {"type": "fundingHistory", "coin": NVDA, "startTime": 0, "endTime": NOW_MS - 5 * HOUR_MS}
    assert BENCH.info(limited)[1][-1]["time"] <= NOW_MS - 5 * HOUR_MS
