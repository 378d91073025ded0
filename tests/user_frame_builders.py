"""Frames of user channels and answers to actions: own fixtures, builders, and what holds for whatever is read."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from streaming.core.events import AnyEvent
from streaming.core.trading.events import (
    ActionAnswered,
    FillsReceived,
    FundingsReceived,
    OrderUpdatesReceived,
    TransfersReceived,
)
from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.decode import decode_frame

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "wire" / "user_frames.jsonl"
FRAMES = {row["name"]: row["raw"] for row in map(json.loads, FIXTURES.read_text().splitlines())}
USER = "0x00000000000000000000000000000000000000a1"
CLOID = "0x0000000000000000000000000000abcd"
T = 1_790_000_001_000
TABLE_EVENTS = FillsReceived | OrderUpdatesReceived | FundingsReceived | TransfersReceived


def decoded(raw: bytes | str) -> AnyEvent:
    return decode_frame(raw, generation=3, recv_mono_ns=11, recv_ts_ns=22)


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
