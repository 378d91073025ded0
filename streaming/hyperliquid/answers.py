"""What the venue answers to actions: posts over the websocket and bodies of POST /exchange.

Why this module exists: what is sent a second time, or believed not to have happened, on a wrong reading of an answer is
a position that nobody wanted.

Rule 1: the way makes no difference: a post carries the body that REST would have returned.
Rule 2: an answer is a refusal only where the venue says so; everything that does not say whether the action was
    executed is `is_unknown`, with its text, as long as its id can be read (I-03).
Rule 3: nothing here raises; text that goes on is cut and printable ASCII (I-35).

Source: hyperliquid-protocol.md, sections 1.3, 1.4, 3.1, 3.2 and 3.5.
"""

import re
from typing import Final, NamedTuple

import msgspec

from streaming.core.events import SessionFrameReceived
from streaming.core.trading.events import ActionAnswered
from streaming.core.trading.model import ActionStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.core.units import ZERO
from streaming.hyperliquid import wire_user as wire
from streaming.hyperliquid.number import WireNumberError, positive_decimal
from streaming.hyperliquid.refusals import TEXT_LENGTH_MAX, code_of_text, printable
from streaming.hyperliquid.user_frames import rounded

REST_GENERATION: Final = -1

_NOT_EXECUTED_HTTP: Final = frozenset({400, 405, 415, 422})
"""Documented refusals of a request before anything reads the action in it."""
_ID_MAX: Final = 2**63 - 1

_decode_response = msgspec.json.Decoder(wire.PostResponse).decode
_decode_body = msgspec.json.Decoder(wire.ActionBody).decode
_decode_text = msgspec.json.Decoder(str).decode
_http_status = re.compile(r"\s*([1-5][0-9]{2})\b", re.ASCII).match
_post_id = re.compile(r"\bid=([0-9]{1,19})\Z", re.ASCII).search
_NOT_READABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, WireNumberError)


class _Outcome(NamedTuple):
    statuses: tuple[ActionStatus, ...] = ()
    code: RefusalCode = RefusalCode.NONE
    text: str = ""
    is_unknown: bool = False


def answer_of_body(action_id: int, status_code: int, body: bytes, recv_mono_ns: int, recv_ts_ns: int) -> ActionAnswered:
    """Return what the answer of POST /exchange says; never raises.

    Args:
        action_id: Our id of the action.
        status_code: HTTP status.
        body: What came with it, whatever that is.
        recv_mono_ns: CLOCK_BOOTTIME at receipt.
        recv_ts_ns: Our wall clock at receipt, UTC.
    """
    if status_code == 200:
        outcome = _of_body(body)
    else:
        outcome = _of_http(status_code, f"HTTP {status_code}: {_excerpt(body)}"[:TEXT_LENGTH_MAX])
    return _answered(action_id, REST_GENERATION, outcome, recv_mono_ns, recv_ts_ns)


def answer_of_post(
    frame: wire.PostFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> ActionAnswered | SessionFrameReceived:
    """Return what a `post` frame means; an answer to an info request is for whoever asked."""
    outcome = _of_response(frame.data.response)
    if outcome is None:
        return SessionFrameReceived(
            recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, channel="post"
        )
    return _answered(frame.data.id, generation, outcome, recv_mono_ns, recv_ts_ns)


def answer_of_error_text(text: str, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> ActionAnswered | None:
    """Return the answer that a text of the error channel is; None where it does not end in the `id=<n>` of a post."""
    found = _post_id(text)
    if found is None or int(found[1]) > _ID_MAX:
        return None
    return _answered(int(found[1]), generation, _of_text(text), recv_mono_ns, recv_ts_ns)


def _answered(action_id: int, generation: int, outcome: _Outcome, recv_mono_ns: int, recv_ts_ns: int) -> ActionAnswered:
    return ActionAnswered(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        action_id=action_id,
        generation=generation,
        statuses=outcome.statuses,
        code=outcome.code,
        text=outcome.text,
        is_unknown=outcome.is_unknown,
    )


def _of_body(raw: bytes | msgspec.Raw) -> _Outcome:
    try:
        body = _decode_body(raw)
        if isinstance(body.response, str):
            return _of_words(body.status, body.response)
        statuses = _statuses(body.response) if body.status == "ok" else ()
    except _NOT_READABLE:
        statuses = ()
    return _Outcome(statuses=statuses) if statuses else _Outcome(text=_excerpt(raw), is_unknown=True)


def _of_words(status: str, text: str) -> _Outcome:
    short = printable(text, TEXT_LENGTH_MAX)
    if status == "ok":
        return _Outcome(text=short, is_unknown=True)
    return _Outcome(code=code_of_text(text), text=short)


def _statuses(accepted: wire.Accepted) -> tuple[ActionStatus, ...]:
    if accepted.data is not None:
        return tuple(map(_status, accepted.data.statuses))
    return (ActionStatus(kind="success"),) if accepted.type == "default" else ()


def _status(item: str | wire.ItemStatus) -> ActionStatus:
    if isinstance(item, str):
        return ActionStatus(kind="success" if item == "success" else "waiting")
    match (item.resting, item.filled, item.error):
        case (wire.Resting(oid=oid), None, None):
            return ActionStatus(kind="resting", oid=oid)
        case (None, wire.Filled() as filled, None):
            avg_px = rounded(filled.avg_px)
            if avg_px <= ZERO:
                raise WireNumberError("number is not positive")
            return ActionStatus(
                kind="filled", oid=filled.oid, total_sz=positive_decimal(filled.total_sz), avg_px=avg_px
            )
        case (None, None, str() as text):
            return ActionStatus(kind="error", code=code_of_text(text), text=printable(text, TEXT_LENGTH_MAX))
        case _:
            raise WireNumberError("not one status")


def _of_response(raw: msgspec.Raw) -> _Outcome | None:
    """Return the outcome that a post's response tells; None for that of an info request."""
    try:
        response = _decode_response(raw)
        if response.type == "info":
            return None
        if response.type == "action":
            return _of_body(response.payload)
        if response.type == "error":
            return _of_text(_decode_text(response.payload))
    except _NOT_READABLE:
        pass  # then it says nothing certain
    return _Outcome(text=_excerpt(raw), is_unknown=True)


def _of_text(text: str) -> _Outcome:
    """Read an error in words, which mirrors HTTP: `422 Failed to …`, or is a known refusal without a number."""
    short = printable(text, TEXT_LENGTH_MAX)
    found = _http_status(text)
    if found is not None:
        return _of_http(int(found[1]), short)
    code = code_of_text(text)
    return _Outcome(text=short, is_unknown=True) if code is RefusalCode.UNKNOWN else _Outcome(code=code, text=short)


def _of_http(status_code: int, short: str) -> _Outcome:
    if status_code in _NOT_EXECUTED_HTTP:
        return _Outcome(code=RefusalCode.SCHEMA, text=short)
    # The limit may stand before or behind the exchange: neither proves that the action was not taken.
    code = RefusalCode.RATE_LIMIT if status_code == 429 else RefusalCode.NONE
    return _Outcome(code=code, text=short, is_unknown=True)


def _excerpt(raw: bytes | msgspec.Raw) -> str:
    return printable(bytes(memoryview(raw)[:TEXT_LENGTH_MAX]).decode(errors="replace"), TEXT_LENGTH_MAX) or "no body"
