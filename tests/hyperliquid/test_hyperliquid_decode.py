import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    BookUpdated,
    CtxUpdated,
    FrameMalformed,
    SessionFrameReceived,
    SubscriptionAcked,
    TradesReceived,
    UserFrameReceived,
    VenueErrorReceived,
)
from streaming.core.trading.events import FillsReceived
from streaming.hyperliquid.decode import decode_frame

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "wire" / "frames.jsonl"
FRAMES = {row["name"]: row["raw"] for row in map(json.loads, FIXTURES.read_text().splitlines())}
USER = "0x00000000000000000000000000000000000000a1"


def decoded(raw: bytes | str) -> AnyEvent:
    return decode_frame(raw, generation=3, recv_mono_ns=11, recv_ts_ns=22)


def a_bbo(bid: object = ("101.25", "4.5"), coin: str = "xyz:ALPHA", **changes: object) -> bytes:
    touch = {"px": bid[0], "sz": bid[1], "n": 1} if isinstance(bid, tuple) else bid
    data = {"coin": coin, "time": 1_790_000_000_000, "bbo": [touch, None], **changes}
    return json.dumps({"channel": "bbo", "data": data}).encode()


def a_ctx(**changes: object) -> bytes:
    ctx = {"funding": "0.00001", "openInterest": "10.5", "oraclePx": "101.4", "markPx": "101.39", **changes}
    return json.dumps({"channel": "activeAssetCtx", "data": {"coin": "xyz:ALPHA", "ctx": ctx}}).encode()


def a_book(bids: list[tuple[str, str]], asks: list[tuple[str, str]], **changes: object) -> bytes:
    levels = [[{"px": px, "sz": sz, "n": 1} for px, sz in side] for side in (bids, asks)]
    data = {"coin": "xyz:ALPHA", "time": 1, "levels": levels, **changes}
    return json.dumps({"channel": "l2Book", "data": data}).encode()


def test_decode_bbo_carries_stamps_generation_and_exact_prices() -> None:
    assert decoded(FRAMES["bbo"]) == BboUpdated(
        recv_mono_ns=11,
        recv_ts_ns=22,
        coin="xyz:ALPHA",
        generation=3,
        venue_ts_ms=1_790_000_000_123,
        bid_px=Decimal("101.25"),
        bid_sz=Decimal("4.5"),
        ask_px=Decimal("101.5"),
        ask_sz=Decimal("0.75"),
    )


def test_decode_bbo_null_sides_stay_none() -> None:
    one_sided, empty = decoded(FRAMES["bbo_no_ask"]), decoded(FRAMES["bbo_empty"])

    assert isinstance(one_sided, BboUpdated)
    assert (one_sided.bid_px, one_sided.ask_px, one_sided.ask_sz) == (Decimal("101.25"), None, None)
    assert isinstance(empty, BboUpdated)
    assert {empty.bid_px, empty.bid_sz, empty.ask_px, empty.ask_sz} == {None}


def test_decode_ctx_rounds_open_interest_up_and_ignores_new_fields() -> None:
    event = decoded(FRAMES["ctx"])

    assert isinstance(event, CtxUpdated)
    assert event.open_interest_sz == Decimal("123456.00000001")
    assert (event.oracle_px, event.mark_px, event.mid_px) == (Decimal("101.4"), Decimal("101.39"), Decimal("101.375"))
    assert (event.impact_bid_px, event.impact_ask_px) == (Decimal("101.21"), Decimal("101.61"))
    assert (event.funding_ratio, event.premium_ratio, event.day_ntl_vlm_usd) == (0.00000625, -0.000123, 9876543.21)


@pytest.mark.parametrize("name", ["ctx_without_book", "ctx_trimmed"])
def test_decode_ctx_null_or_missing_values_are_none_never_zero(name: str) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, CtxUpdated)
    assert {event.mid_px, event.impact_bid_px, event.impact_ask_px, event.premium_ratio} == {None}
    assert event.day_ntl_vlm_usd == (0.0 if name == "ctx_without_book" else None)


def test_decode_spot_context_names_the_coin_that_must_be_dropped() -> None:
    event = decoded(FRAMES["spot_ctx"])

    assert isinstance(event, FrameMalformed)
    assert (event.reason, event.coin, event.channel) == ("spot_context", "@77", "activeSpotAssetCtx")


@pytest.mark.parametrize(
    ("name", "is_fast", "counts"),
    [("book_slow", False, (6, 6)), ("book_fast", True, (1, 2)), ("book_empty", True, (0, 0))],
)
def test_decode_book_tells_fast_from_slow(name: str, is_fast: bool, counts: tuple[int, int]) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, BookUpdated)
    assert event.is_fast is is_fast
    assert (len(event.bids), len(event.asks)) == counts


def test_decode_book_fast_key_outweighs_the_level_count() -> None:
    event = decoded(a_book([("1", "1")], [("2", "1")], fast=False))

    assert isinstance(event, BookUpdated)
    assert not event.is_fast


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([("1", "1"), ("2", "1")], []), ([], [("2", "1"), ("1", "1")]), ([("1", "1"), ("1", "1")], [])],
)
def test_decode_book_with_levels_out_of_order_is_malformed(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> None:
    event = decoded(a_book(bids, asks))

    assert isinstance(event, FrameMalformed)
    assert event.reason == "levels out of order"


def test_decode_trades_gives_the_aggressors_side() -> None:
    event = decoded(FRAMES["trades"])

    assert isinstance(event, TradesReceived)
    assert [(t.side, t.px, t.tid, t.venue_ts_ms) for t in event.trades] == [
        ("sell", Decimal("101.25"), 501, 1_789_999_990_000),
        ("buy", Decimal("101.5"), 502, 1_790_000_000_000),
    ]


@pytest.mark.parametrize(
    ("name", "channel", "coin", "is_fast", "user"),
    [
        ("ack", "bbo", "xyz:ALPHA", False, ""),
        ("ack_fast_book", "l2Book", "xyz:ALPHA", True, ""),
        ("ack_user", "userFills", "", False, USER),
        ("already_subscribed", "l2Book", "xyz:ALPHA", True, ""),
    ],
)
def test_decode_subscription_response_is_an_ack(name: str, channel: str, coin: str, is_fast: bool, user: str) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, SubscriptionAcked)
    assert (event.channel, event.coin, event.is_fast, event.user) == (channel, coin, is_fast, user)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("pong", "pong"),
        ("post", "post"),
        ("unsubscribed", "subscriptionResponse"),
        ("greeting", "greeting"),
        ("all_mids", "unknown:allMids"),
    ],
)
def test_decode_session_frames_have_no_meaning_for_markets(name: str, channel: str) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, SessionFrameReceived)
    assert event.channel == channel


@pytest.mark.parametrize(
    ("name", "channel", "item_count"),
    [
        ("user_event_fills", "user", 1),
        ("user_event_funding", "userEvents", 1),
        ("user_event_cancel", "user", 2),
        ("clearinghouse", "clearinghouseState", 1),
        ("open_orders", "openOrders", 0),
        ("web_data", "webData3", 2),
        ("notification", "notification", 1),
    ],
)
def test_decode_user_channels_that_nothing_acts_on_are_counted(name: str, channel: str, item_count: int) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, UserFrameReceived)
    assert (event.channel, event.item_count, event.is_snapshot) == (channel, item_count, False)


def test_decode_error_text_is_cut_and_printable() -> None:
    plain = decoded(FRAMES["error"])
    hostile = decoded(json.dumps({"channel": "error", "data": "\x1b[2J\u202e" + "x" * 5_000}))
    broken_ack = decoded(json.dumps({"channel": "error", "data": "Already subscribed: {oops"}))

    assert isinstance(plain, VenueErrorReceived)
    assert plain.text == "Cannot track more than 10 total users."
    assert isinstance(hostile, VenueErrorReceived)
    assert hostile.text.isascii()
    assert hostile.text.isprintable()
    assert len(hostile.text) == 200
    assert isinstance(broken_ack, VenueErrorReceived)


HOSTILE_NUMBERS = [
    "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "inf", "0", "0.0", "-0", "-0.0", "-1", "+1", "1e400", "1E5", "1e-3",
    "123456789012345678901234567890", "10000000000", "0.000000001", "1.123456789", "1_0", " 1", "1 ", "1.", ".5", "",
    "0x10", "1,5", "٣", "\uff11", "1\n", "1" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_decode_hostile_px_or_sz_is_malformed(number: str) -> None:
    # F-12, F-84
    frames = [
        a_bbo((number, "1")),
        a_bbo(("1", number)),
        a_ctx(oraclePx=number),
        a_ctx(markPx=number),
        a_ctx(midPx=number),
        a_ctx(impactPxs=["1", number]),
        a_book([(number, "1")], []),
        a_book([], [("1", number)]),
    ]
    for frame in frames:
        event = decoded(frame)
        assert isinstance(event, FrameMalformed), frame
        assert event.channel in {"bbo", "activeAssetCtx", "l2Book"}
        assert len(event.reason) < 200


@pytest.mark.parametrize("number", [1, 1.5, True, None, [], {}])
def test_decode_json_value_in_place_of_a_number_string_is_malformed(number: object) -> None:
    for frame in (a_bbo((number, "1")), a_bbo(("1", number)), a_ctx(oraclePx=number), a_ctx(openInterest=number)):
        event = decoded(frame)
        assert isinstance(event, FrameMalformed)
        assert "wrong shape" in event.reason


@pytest.mark.parametrize("number", ["-1", "NaN", "1e9", "-0.0", "9" * 40])
def test_decode_hostile_open_interest_is_malformed(number: str) -> None:
    assert isinstance(decoded(a_ctx(openInterest=number)), FrameMalformed)


@pytest.mark.parametrize("number", ["NaN", "inf", "1e400", "0x1"])
def test_decode_hostile_statistic_is_malformed(number: str) -> None:
    assert isinstance(decoded(a_ctx(premium=number)), FrameMalformed)


def test_decode_open_interest_above_the_table_range_is_kept() -> None:
    event = decoded(a_ctx(openInterest="20000000000.0"))

    assert isinstance(event, CtxUpdated)
    assert event.open_interest_sz == Decimal(20_000_000_000)


@pytest.mark.parametrize(
    "coin",
    [
        "",
        "x" * 33,
        "xyz:A B",
        "xyz:A\n",
        "xyz:\x1b[31mA",
        "xyz:\u202eA",
        "../etc",
        "xyz:{A}",
        "xyz:%s",
        "xyz:A'--",
        "xyz:É",
    ],
)
def test_decode_hostile_coin_is_malformed(coin: str) -> None:
    # F-108, I-35
    event = decoded(a_bbo(coin=coin))

    assert isinstance(event, FrameMalformed)
    assert event.reason == "coin is no valid name"


@pytest.mark.parametrize("coin", ["BTC", "kPEPE", "xyz:XYZ100", "io:A-B_c.1", "abc:WHAT?*"])
def test_decode_accepts_the_names_the_venue_uses(coin: str) -> None:
    assert isinstance(decoded(a_bbo(coin=coin)), BboUpdated)


@pytest.mark.parametrize(
    ("raw", "channel", "reason"),
    [
        (b"", "unknown", "not JSON"),
        (b'{"channel":"bbo","data":{"coin":"xyz', "unknown", "not JSON"),
        (b"\x00\x01\x02\xff\xfe", "unknown", "not JSON"),
        (b'{"channel":"\xff\xfe"}', "unknown", "not UTF-8"),
        ("\ud800", "unknown", "not UTF-8"),
        (b"[]", "unknown", "no channel"),
        (b'"text"', "unknown", "no channel"),
        (b'{"data":1}', "unknown", "no channel"),
        (b'{"channel":7}', "unknown", "no channel"),
        (b'{"channel":"bbo","data":' + b"[" * 100_000, "unknown", "nested too deeply"),
        (b'{"channel":"new","data":' + b'{"a":' * 100_000, "unknown", "nested too deeply"),
    ],
)
def test_decode_garbage_is_malformed_with_a_short_reason(raw: bytes | str, channel: str, reason: str) -> None:
    # F-10
    event = decoded(raw)

    assert isinstance(event, FrameMalformed)
    assert (event.channel, event.reason) == (channel, reason)


@pytest.mark.parametrize(
    "raw",
    [
        a_bbo(bbo=[]),
        a_bbo(bbo=[None]),
        a_bbo(bbo=[None, None, None]),
        a_bbo(bbo=None),
        a_bbo(time="1"),
        a_bbo(time=0),
        a_bbo(time=-1),
        a_bbo(time=2**60),
        a_bbo(time=10**30),
        a_bbo(["101.25", "4.5"]),
        a_book([("1", "1")], [], levels=[[]]),
        b'{"channel":"trades","data":{}}',
        b'{"channel":"trades","data":[{"coin":"a","side":"X","px":"1","sz":"1","time":1,"tid":1}]}',
        b'{"channel":"trades","data":[{"coin":"a","side":"A","px":"1","sz":"1","time":1,"tid":9223372036854775808}]}',
        b'{"channel":"subscriptionResponse","data":{"type":"bbo"}}',
        b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"b b"}}}',
        b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"userFills","user":"me"}}}',
        b'{"channel":"orderUpdates","data":{}}',
        b'{"channel":"userFills","data":{"fills":[{"coin":"a","px":"NaN","sz":"1","side":"A","time":1,"oid":1,"tid":1}]}}',
        b'{"channel":"user","data":{"fills":[{"coin":"a","px":"1","sz":"-1","side":"A","time":1,"oid":1,"tid":1}]}}',
        b'{"channel":"error"}',
    ],
)
def test_decode_changed_shape_is_malformed_and_names_its_channel(raw: bytes) -> None:
    # F-11
    event = decoded(raw)

    assert isinstance(event, FrameMalformed)
    assert event.channel == json.loads(raw)["channel"]


def test_decode_unknown_channel_is_counted_and_escaped() -> None:
    # F-11
    event = decoded(json.dumps({"channel": "\x1b[31m" + "é" * 100, "data": {}}))

    assert isinstance(event, SessionFrameReceived)
    assert event.channel.startswith("unknown:\\x1b[31m")
    assert event.channel.isascii()
    assert len(event.channel) <= len("unknown:") + 32


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHANNELS = [
    "bbo", "activeAssetCtx", "l2Book", "trades", "subscriptionResponse", "error", "userFills", "orderUpdates",
    "userFundings", "userNonFundingLedgerUpdates", "post", "user", "clearinghouseState", "openOrders",
]  # fmt: skip


@settings(max_examples=300, derandomize=True, deadline=None)
@given(raw=st.binary(max_size=200) | st.text(max_size=200))
def test_decode_any_bytes_never_raises(raw: bytes | str) -> None:
    # F-10, I-35
    decoded(raw)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(channel=st.sampled_from(CHANNELS), data=JSON_VALUES)
def test_decode_any_json_on_a_known_channel_never_raises(channel: str, data: object) -> None:
    decoded(json.dumps({"channel": channel, "data": data}))


@settings(max_examples=400, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), cut=st.integers(0, 400), byte=st.integers(0, 255), is_cut=st.booleans())
def test_decode_corrupted_real_frame_never_raises_and_keeps_numbers_in_bounds(
    name: str, cut: int, byte: int, is_cut: bool
) -> None:
    raw = bytearray(FRAMES[name].encode())
    position = cut % len(raw)
    if is_cut:
        del raw[position:]
    else:
        raw[position] = byte
    event = decoded(bytes(raw))
    if isinstance(event, BboUpdated):
        for value in (event.bid_px, event.bid_sz, event.ask_px, event.ask_sz):
            assert value is None or is_storable(value)


def is_storable(value: Decimal) -> bool:
    # What decimal128(18, 8) holds exactly, zero and below excluded.
    exponent = value.as_tuple().exponent
    return value.is_finite() and 0 < value < 10**10 and isinstance(exponent, int) and exponent >= -8


@settings(max_examples=300, derandomize=True, deadline=None)
@given(value=st.decimals(allow_nan=True, allow_infinity=True) | st.decimals("0.00000001", "9999999999", places=8))
def test_decode_px_is_either_exact_and_storable_or_refused(value: Decimal) -> None:
    text = str(value)
    event = decoded(a_bbo((text, "1")))
    if isinstance(event, BboUpdated):
        assert event.bid_px == value
        assert is_storable(value)
    else:
        assert isinstance(event, FrameMalformed)
        is_plain = "E" not in text and not text.startswith("-")
        assert not (is_plain and value.is_finite() and is_storable(value))


EXPECTED_BY_CHANNEL = {
    "bbo": BboUpdated,
    "activeAssetCtx": CtxUpdated,
    "l2Book": BookUpdated,
    "trades": TradesReceived,
    "subscriptionResponse": SubscriptionAcked,
    "error": VenueErrorReceived,
    "pong": SessionFrameReceived,
    "post": SessionFrameReceived,
    "userFills": FillsReceived,
}


def test_decode_recorded_frames_of_the_venue_all_have_their_meaning(shared_data: Path) -> None:
    lines = (shared_data / "wire" / "frames.jsonl").read_bytes().splitlines()
    raws = [bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["raw"]) for line in lines]
    assert len(raws) >= 30
    for raw in raws:
        event = decoded(raw)
        expected = EXPECTED_BY_CHANNEL[json.loads(raw)["channel"]]
        if expected is VenueErrorReceived and b"Already subscribed" in raw:
            expected = SubscriptionAcked
        assert isinstance(event, expected), raw
