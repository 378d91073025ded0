"""Frames with something wrong in them: texts in, texts out.

Rule: what is not a JSON object (the greeting) stays as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from streaming.sim.venue.market.wire import compact

Json = Any
_TIMES = frozenset({"time", "t", "T", "timestamp", "statusTimestamp", "serverTime"})
_WRONG = 12345
_PAD = "padding"


def changed(kind: str, text: str, values: Mapping[str, Any]) -> str:
    """Return the frame as a fault of this kind leaves it."""
    try:
        frame = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return _CHANGES[kind](text, frame, values) if isinstance(frame, dict) else text


def again(text: str, number: int) -> str:
    """Return the frame once more, different in the count of orders or in size only: valid news about nothing."""
    try:
        frame = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text

    def bump(key: str, value: Json) -> Json:
        return value + number if key == "n" and isinstance(value, int) else value

    return compact(_walked(frame, bump))


def broken_ack(text: str, shape: str) -> list[str]:
    """Return the frames that a client gets instead of an ack."""
    if shape == "missing":
        return []
    method = msgspec.json.decode(text)["data"]["method"]
    data = {"method": method} if shape == "partial" else {"method": method, "subscription": "ok"}
    return [compact({"channel": "subscriptionResponse", "data": data})]


def _variant(text: str, frame: dict[str, Json], values: Mapping[str, Any]) -> str:
    match values["shape"]:
        case "new_field":
            return compact(frame | {"data": _with_field(frame.get("data"))})
        case "wrong_type":
            return compact(frame | {"data": _first_text_replaced(frame.get("data"))[0]})
        case "new_channel":
            return compact(frame | {"channel": f"{frame.get('channel', '')}V9"})
        case _:
            return text[: len(text) // 2]


def _with_field(data: Json) -> Json:
    if isinstance(data, dict):
        return data | {"notSeenBefore": {"v": [1, "2", None]}}
    if isinstance(data, list):
        return [_with_field(item) for item in data]
    return data


def _first_text_replaced(data: Json) -> tuple[Json, bool]:
    """Replace the first price-like text by a number, else the first value at all."""
    if isinstance(data, str):
        return _WRONG, True
    items = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in items:
        replaced, is_done = (value, False) if key in {"coin", "user"} else _first_text_replaced(value)
        if is_done:
            if isinstance(data, dict):
                return data | {key: replaced}, True
            return [*data[:key], replaced, *data[key + 1 :]], True
    return data, False


def _value(_text: str, frame: dict[str, Json], values: Mapping[str, Any]) -> str:
    return compact(_walked(frame, lambda key, value: values["text"] if key == values["field"] else value))


def _time(_text: str, frame: dict[str, Json], values: Mapping[str, Any]) -> str:
    def moved(key: str, value: Json) -> Json:
        return value + int(values["offset_ms"]) if key in _TIMES and isinstance(value, int) else value

    return compact(_walked(frame, moved))


def _rename(_text: str, frame: dict[str, Json], values: Mapping[str, Any]) -> str:
    return compact(_walked(frame, lambda key, value: values["to"] if key in {"coin", "s"} else value))


def _big(_text: str, frame: dict[str, Json], values: Mapping[str, Any]) -> str:
    return compact(frame | {_PAD: "x" * int(values["bytes"])})


def _walked(value: Json, change: Callable[[str, Json], Json]) -> Json:
    """Return a copy in which every leaf below a key went through `change`."""
    if isinstance(value, dict):
        return {k: _walked(v, change) if isinstance(v, dict | list) else change(k, v) for k, v in value.items()}
    if isinstance(value, list):
        return [_walked(item, change) for item in value]
    return value


_CHANGES: dict[str, Callable[[str, dict[str, Json], Mapping[str, Any]], str]] = {
    "variant": _variant,
    "value": _value,
    "time": _time,
    "rename": _rename,
    "big_frame": _big,
}
