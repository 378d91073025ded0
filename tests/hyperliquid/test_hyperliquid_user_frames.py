import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.events import AnyEvent, FrameMalformed, SessionFrameReceived, VenueErrorReceived
from streaming.core.market import Side
from streaming.core.trading.events import (
    ActionAnswered,
    FillsReceived,
    FundingsReceived,
    OrderUpdatesReceived,
    TransfersReceived,
)
from streaming.core.trading.model import ActionStatus, Funding, OrderUpdate, VenueFill
from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.decode import answer_of_body, decode_frame

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "wire" / "user_frames.jsonl"
FRAMES = {row["name"]: row["raw"] for row in map(json.loads, FIXTURES.read_text().splitlines())}
USER = "0x00000000000000000000000000000000000000a1"
CLOID = "0x0000000000000000000000000000abcd"
T = 1_790_000_001_000
TABLE_EVENTS = FillsReceived | OrderUpdatesReceived | FundingsReceived | TransfersReceived


def decoded(raw: bytes | str) -> AnyEvent:
    return decode_frame(raw, generation=3, recv_mono_ns=11, recv_ts_ns=22)


def answered(raw: bytes | str) -> ActionAnswered:
    event = decoded(raw)
    assert isinstance(event, ActionAnswered), event
    return event


def a_frame(channel: str, data: object) -> str:
    return json.dumps({"channel": channel, "data": data})


def a_fill(**changes: object) -> dict[str, Any]:
    fill = json.loads(FRAMES["fills"])["data"]["fills"][0] | changes
    return {key: value for key, value in fill.items() if value is not ...}


def fills(*items: object) -> str:
    return a_frame("userFills", {"user": USER, "fills": list(items)})


def an_update(status: str = "open", **changes: object) -> str:
    order = json.loads(FRAMES["order_filled"])["data"][0]["order"] | changes
    return a_frame("orderUpdates", [{"order": order, "status": status, "statusTimestamp": T}])


def a_post(response: object, number: object = 7) -> str:
    return a_frame("post", {"id": number, "response": response})


def an_action(payload: object) -> str:
    return a_post({"type": "action", "payload": payload})


def statuses(*items: object) -> dict[str, Any]:
    return {"status": "ok", "response": {"type": "order", "data": {"statuses": list(items)}}}


def a_ledger_item(**delta: object) -> str:
    item = {"time": T, "hash": "0x1f", "delta": delta}
    return a_frame("userNonFundingLedgerUpdates", {"user": USER, "nonFundingLedgerUpdates": [item]})


def moves(raw: str) -> list[tuple[str, Decimal]]:
    event = decoded(raw)
    assert isinstance(event, TransfersReceived), event
    return [(item.dex, item.amount) for item in event.transfers]


# --- fills


def test_user_fill_has_every_field_in_our_words() -> None:
    event = decoded(FRAMES["fills"])

    assert event == FillsReceived(
        recv_mono_ns=11,
        recv_ts_ns=22,
        generation=3,
        is_snapshot=False,
        fills=(
            VenueFill(
                coin="xyz:ALPHA",
                side=Side.SELL,
                px=Decimal("101.5"),
                sz=Decimal("0.25"),
                venue_ts_ms=T,
                oid=71,
                tid=9001,
                cloid=CLOID,
                fee=Decimal("0.002284"),
                builder_fee=Decimal("0.001"),
                fee_token="USDC",  # noqa: S106 - a currency
                start_position_sz=Decimal("0.25"),
                closed_pnl=Decimal("-1.25"),
                direction="Liquidated Isolated Long",
                is_crossed=True,
                is_liquidation=True,
            ),
        ),
    )


def test_user_fills_snapshot_is_told_from_an_increment() -> None:
    snapshot, empty = decoded(FRAMES["fills_snapshot"]), decoded(FRAMES["fills_empty"])

    assert isinstance(snapshot, FillsReceived)
    assert snapshot.is_snapshot
    assert [fill.is_liquidation for fill in snapshot.fills] == [False, False]
    assert isinstance(empty, FillsReceived)
    assert (empty.is_snapshot, empty.fills) == (False, ())


def test_user_fill_of_a_spot_market_with_float_artefacts_and_a_rebate_is_read() -> None:
    event = decoded(FRAMES["fills_snapshot"])

    assert isinstance(event, FillsReceived)
    fill = event.fills[1]
    assert (fill.coin, fill.cloid, fill.is_crossed) == ("@107", "", False)
    assert fill.start_position_sz == Decimal("-3695042.9")
    assert fill.fee == Decimal("-0.00012346")
    assert str(fill.closed_pnl) == "0"


@pytest.mark.parametrize(
    "changes",
    [
        {"px": "0"},
        {"px": "1.123456789"},
        {"px": 1.5},
        {"sz": "-1"},
        {"sz": "NaN"},
        {"fee": "1e5"},
        {"fee": None},
        {"fee": "10000000000"},
        {"startPosition": "inf"},
        {"startPosition": ...},
        {"closedPnl": "-10000000000.5"},
        {"closedPnl": "9999999999.999999999"},
        {"side": "C"},
        {"cloid": "0x12"},
        {"cloid": CLOID + "\n"},
        {"cloid": CLOID.replace("a", "g")},
        {"coin": "xyz:A\u202e"},
        {"coin": ""},
        {"tid": 2**63},
        {"time": 0},
        {"crossed": "true"},
    ],
)
def test_user_fill_that_can_not_be_is_malformed(changes: dict[str, object]) -> None:
    event = decoded(fills(a_fill(**changes)))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "userFills"


def test_user_fill_texts_are_cut_and_escaped() -> None:
    event = decoded(fills(a_fill(dir="\u202e" * 100_000, feeToken="\x1b[31m")))

    assert isinstance(event, FillsReceived)
    direction, token = event.fills[0].direction, event.fills[0].fee_token
    assert direction.startswith("\\u202e")
    assert len(direction) <= 64
    assert token == "\\x1b[31m"  # noqa: S105 - a currency


# --- orders


def test_order_update_says_what_is_left_and_what_it_means() -> None:
    event = decoded(FRAMES["order_filled"])

    assert event == OrderUpdatesReceived(
        recv_mono_ns=11,
        recv_ts_ns=22,
        generation=3,
        updates=(
            OrderUpdate(
                coin="xyz:ALPHA",
                cloid=CLOID,
                oid=71,
                side=Side.BUY,
                limit_px=Decimal("101.5"),
                left_sz=Decimal(0),
                original_sz=Decimal("0.25"),
                status="filled",
                code=RefusalCode.NONE,
                venue_ts_ms=T + 70,
            ),
            OrderUpdate(
                coin="xyz:ALPHA",
                cloid="",
                oid=72,
                side=Side.SELL,
                limit_px=Decimal("101.5"),
                left_sz=Decimal("0.25"),
                original_sz=Decimal("0.25"),
                status="open",
                code=RefusalCode.NONE,
                venue_ts_ms=T + 70,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("order_ioc_rejected", "iocCancelRejected", RefusalCode.NO_MATCH),
        ("order_new_status", "someNewStatus", RefusalCode.UNKNOWN),
    ],
)
def test_order_update_keeps_the_venues_word_beside_the_code(name: str, status: str, code: RefusalCode) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, OrderUpdatesReceived)
    assert [(update.status, update.code) for update in event.updates] == [(status, code)]


def test_order_updates_may_be_none() -> None:
    event = decoded(FRAMES["order_updates_none"])

    assert isinstance(event, OrderUpdatesReceived)
    assert event.updates == ()


def test_order_update_hostile_status_is_cut_and_escaped() -> None:
    event = decoded(an_update("\x1b[2J" + "x" * 1_000_000))

    assert isinstance(event, OrderUpdatesReceived)
    assert event.updates[0].status.isprintable()
    assert len(event.updates[0].status) <= 64


@pytest.mark.parametrize(
    "changes", [{"limitPx": "0"}, {"sz": "-0.1"}, {"sz": "-0.0"}, {"origSz": "1e3"}, {"cloid": "x"}, {"oid": -1}]
)
def test_order_update_that_can_not_be_is_malformed(changes: dict[str, object]) -> None:
    event = decoded(an_update(**changes))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "orderUpdates"


# --- money


def test_user_fundings_are_signed_as_received() -> None:
    event = decoded(FRAMES["fundings_snapshot"])

    assert isinstance(event, FundingsReceived)
    assert event.is_snapshot
    assert event.fundings == (
        Funding(coin="xyz:ALPHA", amount=Decimal("-0.010125"), position_sz=Decimal("1.5"), venue_ts_ms=T),
        Funding(coin="xyz:OMEGA", amount=Decimal("2.378343"), position_sz=Decimal("-15.0"), venue_ts_ms=T),
    )


def test_user_fundings_without_the_key_are_no_snapshot() -> None:
    event = decoded(FRAMES["fundings"])

    assert isinstance(event, FundingsReceived)
    assert not event.is_snapshot


def test_ledger_updates_are_signed_and_stand_on_their_dex() -> None:
    event = decoded(FRAMES["ledger_snapshot"])

    assert isinstance(event, TransfersReceived)
    assert event.is_snapshot
    assert [(item.kind, item.dex, item.amount) for item in event.transfers] == [
        ("deposit", "", Decimal("2703997.45")),
        ("withdraw", "", Decimal("-99.5")),
        ("accountClassTransfer", "", Decimal("-12.0")),
        ("accountClassTransfer", "", Decimal("13.0")),
        ("send", "", Decimal("-25.5")),
        ("send", "xyz", Decimal("25.5")),
        ("internalTransfer", "", Decimal("7.0")),
        ("internalTransfer", "", Decimal("-8.0")),
        ("spotTransfer", "", Decimal(0)),
    ]
    references = [item.reference for item in event.transfers]
    assert references[4] == references[5]
    assert len(set(references)) == len(references) - 1
    assert {item.venue_ts_ms for item in event.transfers} == {T}


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"sourceDex": "spot", "destinationDex": "xyz", "destination": USER}, [("xyz", Decimal(5))]),
        ({"sourceDex": "xyz", "destinationDex": "spot", "destination": USER}, [("xyz", Decimal(-5))]),
        ({"sourceDex": "xyz", "destinationDex": "", "destination": "0xb2"}, [("xyz", Decimal(-5))]),
        ({"sourceDex": "spot", "destinationDex": "spot", "destination": USER}, [("", Decimal(0))]),
    ],
)
def test_ledger_send_counts_only_what_touches_a_dex_of_ours(
    delta: dict[str, object], expected: list[tuple[str, Decimal]]
) -> None:
    assert moves(a_ledger_item(type="send", amount="5", user=USER, **delta)) == expected


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"type": "vaultDeposit", "vault": "0xb2", "usdc": "5.0"}, Decimal(-5)),
        ({"type": "vaultWithdraw", "requestedUsd": "9.0", "netWithdrawnUsd": "8.5"}, Decimal("8.5")),
        ({"type": "vaultDistribution", "usdc": "2.0"}, Decimal(2)),
        ({"type": "liquidation", "accountValue": "5.0", "liquidatedPositions": []}, Decimal(0)),
        ({"type": "rewardsClaim", "amount": "5.0"}, Decimal(0)),
    ],
)
def test_ledger_kinds_without_a_dex_are_about_the_validator_dex(delta: dict[str, object], expected: Decimal) -> None:
    assert moves(a_ledger_item(**delta)) == [("", expected)]


def test_ledger_new_kind_is_on_record_with_nothing_moved() -> None:
    event = decoded(FRAMES["ledger_new_kind"])

    assert isinstance(event, TransfersReceived)
    assert not event.is_snapshot
    assert [(item.kind, item.amount) for item in event.transfers] == [("somethingNew\\u202e", Decimal(0))]


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"type": 1},
        {"type": "deposit", "usdc": 5},
        {"type": "deposit", "usdc": "1e400"},
        {"type": "deposit", "usdc": "99999999999"},
        {"type": "send", "amount": "1", "sourceDex": "\x1b[31m"},
    ],
)
def test_ledger_item_of_a_known_kind_in_another_shape_is_malformed(delta: dict[str, object]) -> None:
    event = decoded(a_ledger_item(**delta))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "userNonFundingLedgerUpdates"


# --- answers


@pytest.mark.parametrize(
    ("name", "action_id", "expected"),
    [
        ("answer_resting", 256, [ActionStatus(kind="resting", oid=88383)]),
        (
            "answer_filled",
            257,
            [
                ActionStatus(kind="filled", oid=62014, total_sz=Decimal("0.02"), avg_px=Decimal("2686.61234568")),
                ActionStatus(
                    kind="error",
                    code=RefusalCode.NO_MATCH,
                    text="Order could not immediately match against any resting orders. asset=110002",
                ),
                ActionStatus(kind="waiting"),
            ],
        ),
        (
            "answer_cancel",
            258,
            [
                ActionStatus(kind="success"),
                ActionStatus(
                    kind="error",
                    code=RefusalCode.UNKNOWN_ORDER,
                    text="Order was never placed, already canceled, or filled. asset=4",
                ),
            ],
        ),
        ("answer_default", 259, [ActionStatus(kind="success")]),
    ],
)
def test_answer_has_one_status_an_item(name: str, action_id: int, expected: list[ActionStatus]) -> None:
    assert answered(FRAMES[name]) == ActionAnswered(
        recv_mono_ns=11, recv_ts_ns=22, action_id=action_id, generation=3, statuses=tuple(expected)
    )


@pytest.mark.parametrize(
    ("name", "action_id", "code", "is_unknown"),
    [
        ("answer_refused", 260, RefusalCode.NONCE_DUPLICATE, False),
        ("answer_422", 261, RefusalCode.SCHEMA, False),
        ("answer_429", 262, RefusalCode.RATE_LIMIT, True),
        ("answer_502", 263, RefusalCode.NONE, True),
        ("posts_pending", 1234, RefusalCode.RATE_LIMIT, False),
    ],
)
def test_answer_is_a_refusal_only_where_the_venue_says_so(
    name: str, action_id: int, code: RefusalCode, is_unknown: bool
) -> None:
    answer = answered(FRAMES[name])

    assert (answer.action_id, answer.generation, answer.statuses) == (action_id, 3, ())
    assert (answer.code, answer.is_unknown) == (code, is_unknown)
    assert answer.text


def test_answer_to_an_info_request_is_for_whoever_asked() -> None:
    event = decoded(FRAMES["answer_info"])

    assert isinstance(event, SessionFrameReceived)
    assert event.channel == "post"


@pytest.mark.parametrize("avg_px", ["1.000000005", "1.000000015"])
def test_answer_mean_price_is_rounded_half_to_even(avg_px: str) -> None:
    answer = answered(an_action(statuses({"filled": {"totalSz": "1", "avgPx": avg_px, "oid": 1}})))

    even = {"1.000000005": Decimal(1), "1.000000015": Decimal("1.00000002")}[avg_px]
    assert answer.statuses[0].avg_px == even


@pytest.mark.parametrize(
    "raw",
    [
        a_frame("post", {"id": 7}),
        a_post(None),
        a_post(5),
        a_post({"type": "newType", "payload": 1}),
        a_post({"type": "error", "payload": {"code": 5}}),
        a_post({"type": "error", "payload": "something went wrong"}),
        a_post({"type": "error"}),
        an_action(None),
        an_action("ok"),
        an_action([]),
        an_action({}),
        an_action({"status": "maybe", "response": "x"}),
        an_action({"status": "ok"}),
        an_action({"status": "ok", "response": "words"}),
        an_action({"status": "ok", "response": {"type": "order"}}),
        an_action({"status": "ok", "response": {"type": "order", "data": {}}}),
        an_action({"status": "err", "response": {"type": "default"}}),
        an_action(statuses()),
        an_action(statuses("unheardOf")),
        an_action(statuses({})),
        an_action(statuses({"new": 1})),
        an_action(statuses({"resting": {"oid": 1}, "error": "x"})),
        an_action(statuses({"resting": {"oid": "1"}})),
        an_action(statuses({"resting": {"oid": 1}}, {"filled": {"totalSz": "NaN", "avgPx": "1", "oid": 2}})),
        an_action(statuses({"filled": {"totalSz": "1", "avgPx": "0", "oid": 2}})),
        an_action(statuses({"filled": {"totalSz": "1", "avgPx": "-1", "oid": 2}})),
        an_action(statuses({"filled": {"totalSz": "0.0", "avgPx": "1", "oid": 2}})),
        an_action(statuses({"filled": {"totalSz": 1, "avgPx": "1", "oid": 2}})),
        b'{"channel":"post","data":{"id":7,"response":{"type":"action","payload":"\xff\xfe"}}}',
    ],
)
def test_answer_that_says_nothing_certain_is_unknown_as_long_as_its_id_is_readable(raw: bytes | str) -> None:
    answer = answered(raw)

    assert answer.action_id == 7
    assert answer.is_unknown
    assert (answer.statuses, answer.code) == ((), RefusalCode.NONE)
    assert answer.text


@pytest.mark.parametrize("number", ["7", None, -1, 2**63, 1.5])
def test_answer_without_a_readable_id_is_malformed(number: object) -> None:
    event = decoded(a_post({"type": "action", "payload": statuses("success")}, number))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "post"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\x1b[2J\u202e" * 100, "\x00"])
def test_answer_hostile_texts_are_cut_and_escaped(text: str) -> None:
    whole = answered(an_action({"status": "err", "response": text}))
    single = answered(an_action(statuses({"error": text})))
    http = answered(a_post({"type": "error", "payload": text}))

    assert (whole.code, whole.is_unknown) == (RefusalCode.UNKNOWN, False)
    assert single.statuses[0].code is RefusalCode.UNKNOWN
    assert http.is_unknown
    for shown in (whole.text, single.statuses[0].text, http.text):
        assert shown.isascii()
        assert shown.isprintable()
        assert len(shown) <= 200


@pytest.mark.parametrize(
    ("text", "is_answer"),
    [
        ("too many pending post requests id=1234", True),
        ("Something new about a post, id=1234", True),
        ("too many pending post requests", False),
        ("id=1234 was not good", False),
        ("valid=1234", False),
        ("id=99999999999999999999", False),
        (f"id={2**63}", False),
        ('Error parsing JSON into valid websocket request: {"method":"post","id":1234}', False),
    ],
)
def test_error_text_is_an_answer_only_with_the_id_of_a_post(text: str, is_answer: bool) -> None:
    event = decoded(a_frame("error", text))

    assert isinstance(event, ActionAnswered if is_answer else VenueErrorReceived)
    if isinstance(event, ActionAnswered):
        assert event.action_id == 1234
        assert event.is_unknown is (event.code is not RefusalCode.RATE_LIMIT)


# --- the same over HTTP


@pytest.mark.parametrize(
    "name", ["answer_resting", "answer_filled", "answer_cancel", "answer_default", "answer_refused"]
)
def test_answer_of_body_says_the_same_as_the_post(name: str) -> None:
    posted = answered(FRAMES[name])
    body = json.dumps(json.loads(FRAMES[name])["data"]["response"]["payload"]).encode()

    assert answer_of_body(posted.action_id, 200, body, 11, 22) == msgspec.structs.replace(posted, generation=-1)


@pytest.mark.parametrize(
    ("status_code", "body", "code", "is_unknown"),
    [
        (422, b"Failed to deserialize the JSON body into the target type", RefusalCode.SCHEMA, False),
        (400, b"Failed to parse the request body as JSON", RefusalCode.SCHEMA, False),
        (415, b"", RefusalCode.SCHEMA, False),
        (429, b"null", RefusalCode.RATE_LIMIT, True),
        (429, b"", RefusalCode.RATE_LIMIT, True),
        (500, b"null", RefusalCode.NONE, True),
        (502, b"<html>\xff\x00" + b"x" * 1_000_000, RefusalCode.NONE, True),
        (504, b'{"status":"err","response":"Orders are empty"}', RefusalCode.NONE, True),
        (403, b"", RefusalCode.NONE, True),
        (204, b"", RefusalCode.NONE, True),
        (200, b"not JSON", RefusalCode.NONE, True),
        (200, b"[" * 100_000, RefusalCode.NONE, True),
        (200, b'{"status":"err","response":"Orders are empty"}', RefusalCode.EMPTY_BATCH, False),
    ],
)
def test_answer_of_body_goes_by_the_http_status(
    status_code: int, body: bytes, code: RefusalCode, is_unknown: bool
) -> None:
    answer = answer_of_body(5, status_code, body, 11, 22)

    assert (answer.action_id, answer.generation, answer.recv_mono_ns, answer.recv_ts_ns) == (5, -1, 11, 22)
    assert (answer.statuses, answer.code, answer.is_unknown) == ((), code, is_unknown)
    assert answer.text.isprintable()
    assert len(answer.text) <= 200


# --- whatever comes

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def is_storable(value: Decimal) -> bool:
    # What decimal128(18, 8) holds exactly.
    exponent = value.as_tuple().exponent
    return value.is_finite() and abs(value) < 10**10 and isinstance(exponent, int) and exponent >= -8


def check_meaning(event: AnyEvent) -> None:
    """Whatever was read: numbers fit the tables, texts are harmless, an answer says exactly one thing."""
    if isinstance(event, TABLE_EVENTS):
        flat = msgspec.to_builtins(event, builtin_types=(Decimal,))
        items = next(value for value in flat.values() if isinstance(value, (list, tuple)))
        for value in (value for item in items for value in item.values()):
            assert not isinstance(value, Decimal) or is_storable(value)
            assert not isinstance(value, str) or (value.isascii() and value.isprintable() and len(value) <= 200)
    if isinstance(event, ActionAnswered):
        is_refused = event.code is not RefusalCode.NONE and not event.is_unknown
        assert [bool(event.statuses), is_refused, event.is_unknown].count(True) == 1
        assert event.text.isprintable()
        assert len(event.text) <= 200


def places(node: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value of a JSON document below its root."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


def with_value(raw: str, at: int, value: object) -> str:
    document = json.loads(raw)
    *parents, last = (paths := places(document))[at % len(paths)]
    node = document
    for key in parents:
        node = node[key]
    node[last] = value
    return json.dumps(document)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), at=st.integers(0, 200), value=JSON_VALUES)
def test_user_frame_with_any_value_in_any_place_keeps_its_promises(name: str, at: int, value: object) -> None:
    check_meaning(decoded(with_value(FRAMES[name], at, value)))


@settings(max_examples=500, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), cut=st.integers(0, 2_000), byte=st.integers(0, 255), is_cut=st.booleans())
def test_user_frame_corrupted_keeps_its_promises(name: str, cut: int, byte: int, is_cut: bool) -> None:
    raw = bytearray(FRAMES[name].encode())
    position = cut % len(raw)
    if is_cut:
        del raw[position:]
    else:
        raw[position] = byte
    check_meaning(decoded(bytes(raw)))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(status_code=st.sampled_from([200, 200, 200, 400, 422, 429, 500]), body=st.binary(max_size=200))
def test_answer_of_any_body_keeps_its_promises(status_code: int, body: bytes) -> None:
    check_meaning(answer_of_body(1, status_code, body, 11, 22))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(payload=JSON_VALUES)
def test_answer_of_any_json_keeps_its_promises(payload: object) -> None:
    check_meaning(answer_of_body(1, 200, json.dumps(payload).encode(), 11, 22))
    check_meaning(decoded(an_action(payload)))
    check_meaning(decoded(an_action(statuses(payload))))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(value=st.decimals(allow_nan=True, allow_infinity=True) | st.decimals("-9999999999", "9999999999", places=12))
def test_user_fill_amount_is_within_half_a_quantum_or_refused(value: Decimal) -> None:
    event = decoded(fills(a_fill(fee=str(value), startPosition=str(value))))
    if isinstance(event, FillsReceived):
        fill = event.fills[0]
        assert fill.fee == fill.start_position_sz
        assert abs(fill.fee - value) <= Decimal("5e-9")
        assert is_storable(fill.fee)
    else:
        assert isinstance(event, FrameMalformed)


def recorded(shared_data: Path, *names: str) -> list[dict[str, Any]]:
    bodies = []
    for name in names:
        cassette = yaml.safe_load((shared_data / "wire" / "sdk-cassettes" / name).read_text())
        for exchange in cassette["interactions"]:
            text = exchange["response"]["body"]["string"]
            bodies += json.loads(gzip.decompress(text) if isinstance(text, bytes) else text)
    return bodies


def test_user_fills_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_get_user_fills.yaml", "test_get_user_fills_by_time.yaml")

    # Some bodies are of 2023, before fills had a tid.
    event = decoded(fills(*({"tid": 1} | item for item in items)))

    assert len(items) > 100
    assert isinstance(event, FillsReceived)
    assert [(fill.coin, fill.px, fill.sz) for fill in event.fills] == [
        (item["coin"], Decimal(item["px"]), Decimal(item["sz"])) for item in items
    ]


def test_ledger_updates_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_user_non_funding_ledger_updates_without_end_time.yaml")

    event = decoded(a_frame("userNonFundingLedgerUpdates", {"user": USER, "nonFundingLedgerUpdates": items}))

    assert len(items) >= 5
    assert isinstance(event, TransfersReceived)
    assert [item.kind for item in event.transfers] == [item["delta"]["type"] for item in items]


def test_fundings_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_user_funding_history_without_end_time.yaml")

    payments = [item["delta"] | {"time": item["time"]} for item in items]
    event = decoded(a_frame("userFundings", {"user": USER, "fundings": payments}))

    assert items
    assert isinstance(event, FundingsReceived)
    assert [item.amount for item in event.fundings] == [Decimal(item["usdc"]) for item in payments]
