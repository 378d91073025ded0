import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.events import BboUpdated, CtxUpdated, TradesReceived
from streaming.hyperliquid.decode import decode_frame
from streaming.sim.history.feed import GENERATION, Feed, merged
from streaming.sim.markets.generator import NONE, Generator, MarketHour
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.universe import Market
from streaming.sim.venue.market.books import FAST_LEVELS, SLOW_LEVELS, book
from streaming.sim.venue.market.wire import MarketTexts, frame, text_of

HOUR = 494_870
GENERATOR = Generator(7, DEMO)


def ctx_frame(texts: MarketTexts, hour: MarketHour, row: int) -> str:
    return frame("activeAssetCtx", {"coin": texts.coin, "ctx": texts.ctx(hour, row)})


@given(units=st.integers(-(10**15), 10**15), decimals=st.integers(0, 10))
def test_text_of_any_integer_is_exact_and_canonical(units: int, decimals: int) -> None:
    text = text_of(units, decimals)
    assert Decimal(text) == Decimal(units).scaleb(-decimals)
    whole, _, fraction = text.partition(".")
    assert fraction == "0" or not fraction.endswith("0")
    assert "e" not in text.lower()
    assert whole.lstrip("-").isdigit()


@pytest.mark.parametrize("coin", ["xyz:XYZ100", "xyz:INTC", "xyz:META"])
def test_feed_event_equals_the_decoded_frame_of_the_same_row(coin: str) -> None:
    hour, texts, feed = (
        GENERATOR.hour(coin, HOUR),
        MarketTexts(DEMO.universe.by_coin[coin]),
        Feed(DEMO.universe.markets),
    )
    played = {
        "bbo": [texts.bbo(hour, row) for row in range(hour.bbo_ts_ms.size)],
        "ctx": [ctx_frame(texts, hour, row) for row in range(hour.ctx_ts_ms.size)],
    }
    for channel, part in (("bbo", feed.bbo(hour)), ("ctx", feed.ctx(hour))):
        for event, text in zip(part.events, played[channel], strict=True):
            stamps = {"recv_mono_ns": event.recv_mono_ns, "recv_ts_ns": event.recv_ts_ns}
            assert decode_frame(text, generation=GENERATION, **stamps) == event
    trades = [event for event in feed.trades(hour).events if isinstance(event, TradesReceived)]
    assert sum(len(event.trades) for event in trades) == hour.trade_ts_ms.size > 50
    decoded = decode_frame(
        frame("trades", [texts.trade(hour, row) for row in range(hour.trade_ts_ms.size)]),
        generation=GENERATION,
        recv_mono_ns=0,
        recv_ts_ns=0,
    )
    assert isinstance(decoded, TradesReceived)
    assert decoded.trades == tuple(trade for event in trades for trade in event.trades)


def test_feed_merged_is_in_time_order_and_keeps_the_place_of_every_event() -> None:
    feed = Feed(DEMO.universe.markets)
    parts = [
        part for market in DEMO.universe.builder_markets[:3] for part in feed.parts(GENERATOR.hour(market.coin, HOUR))
    ]
    events, places = merged(parts)
    stamps = [event.recv_ts_ns for event in events]
    assert stamps == sorted(stamps)
    assert HOUR * 3_600_000 * 1_000_000 <= stamps[0] <= stamps[-1] < (HOUR + 1) * 3_600_000 * 1_000_000
    assert {type(event) for event in events} >= {BboUpdated, CtxUpdated}
    assert len(events) == sum(len(part.events) for part in parts)
    for part, place in zip(parts, places, strict=True):
        assert [events[index] for index in place.tolist()] == list(part.events)


def test_feed_missing_side_is_none_never_zero() -> None:
    hour, row = next(
        (hour, row)
        for index in range(200)
        for hour in [GENERATOR.hour("xyz:COIN", HOUR + index)]
        for row in np.flatnonzero(hour.bid_px == NONE).tolist()
    )
    event = Feed(DEMO.universe.markets).bbo(hour).events[row]
    assert isinstance(event, BboUpdated)
    assert event.bid_px is None
    assert event.bid_sz is None
    assert '"bbo":[null,' in MarketTexts(hour.market).bbo(hour, row)


@pytest.mark.parametrize("market", DEMO.universe.builder_markets, ids=lambda market: market.coin)
def test_book_begins_with_the_touch_and_decodes_in_order(market: Market) -> None:
    hour = GENERATOR.hour(market.coin, HOUR)
    texts = MarketTexts(market)
    for row in range(0, hour.bbo_ts_ms.size, 500):
        for count in (FAST_LEVELS, SLOW_LEVELS):
            levels = book(market, texts, hour, row, count)
            if hour.bid_px[row] == NONE or hour.ask_px[row] == NONE or hour.bid_px[row] >= hour.ask_px[row]:
                continue
            assert [len(side) for side in levels] == [count, count]
            data = {"coin": market.coin, "time": int(hour.bbo_ts_ms[row]), "levels": levels}
            event = decode_frame(frame("l2Book", data), generation=1, recv_mono_ns=0, recv_ts_ns=0)
            assert type(event).__name__ == "BookUpdated", event
            assert levels[0][0]["px"] == text_of(int(hour.bid_px[row]), market.px_decimals)
            for level in (*levels[0], *levels[1]):
                px = Decimal(str(level["px"]))
                assert px == px.to_integral_value() or len(px.normalize().as_tuple().digits) <= 5


def shape(value: object) -> object:
    """The structure of JSON: keys and types, the first element of lists."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_frames_have_the_shape_of_recorded_ones(shared_data: Path) -> None:
    recorded = [json.loads(line)["raw"] for line in (shared_data / "wire" / "frames.jsonl").read_text().splitlines()]
    hour, texts = GENERATOR.hour("xyz:AAPL", HOUR), MarketTexts(DEMO.universe.by_coin["xyz:AAPL"])
    ours = {
        "bbo": texts.bbo(hour, 0),
        "activeAssetCtx": ctx_frame(texts, hour, 0),
        "trades": frame("trades", [texts.trade(hour, 0)]),
    }
    # Transcribed frames were trimmed: their keys must be ours, with the same types. Nulls stand for absent sides.
    for channel, text in ours.items():
        mine = shape(json.loads(text))
        full = [
            raw for raw in recorded if raw["channel"] == channel and ": null" not in json.dumps(raw) and "[null" not in
            json.dumps(raw)
        ]  # fmt: skip
        assert full
        for raw in full:
            assert is_within(shape(raw), mine), (channel, raw)


def is_within(part: object, whole: object) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_within(item, whole[key]) for key, item in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return all(is_within(item, whole[0]) for item in part)
    return part == whole
