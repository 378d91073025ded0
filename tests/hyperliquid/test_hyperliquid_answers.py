import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from user_frame_builders import FRAMES, JSON_VALUES, a_frame, a_post, an_action, check_meaning, decoded, statuses

from streaming.core.events import FrameMalformed, SessionFrameReceived, VenueErrorReceived
from streaming.core.trading.events import ActionAnswered
from streaming.core.trading.model import ActionStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.decode import answer_of_body


def answered(raw: bytes | str) -> ActionAnswered:
    event = decoded(raw)
    assert isinstance(event, ActionAnswered), event
    return event


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


def test_answer_of_body_that_is_unknown_names_the_http_status() -> None:
    assert answer_of_body(5, 502, b"Bad Gateway", 11, 22).text == "HTTP 502: Bad Gateway"


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
        (200, b"", RefusalCode.NONE, True),
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
    assert answer.text
    assert answer.text.isprintable()
    assert len(answer.text) <= 200


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
