"""Faults of the exchange: refusals, lost and broken answers, slow and absent service.

Rule 1: what depends on the signer is asked inside the exchange (`ExchangeFaults`), what every request meets outside of
it (`ServiceFaults`): an outage or a 429 never reaches the exchange.
Rule 2: texts come from `exchange.requests.refusals`; the body of a 429 is not documented, here it is `null`.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from typing_extensions import override

from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.requests import refusals
from streaming.sim.venue.faults.board import Fault, FaultBoard
from streaming.sim.venue.hooks import HttpAnswer

Json = Any

REJECT_TEXTS: Final[dict[str, str]] = {
    "tick": refusals.TICK,
    "min_ntl": refusals.MIN_NOTIONAL,
    "margin": refusals.MARGIN,
    "reduce_only": refusals.REDUCE_ONLY,
    "alo": refusals.post_only_crosses("100.0", "100.1"),
    "ioc": refusals.IOC_NO_MATCH,
    "trigger_px": refusals.TRIGGER_PX,
    "no_liquidity": refusals.NO_LIQUIDITY,
    "oi_cap": refusals.OI_CAP,
    "oi_cap_aggressive": refusals.OI_CAP_AGGRESSIVE,
    "oi_increase": refusals.OI_TOO_QUICK,
    "spot_balance": refusals.SPOT_BALANCE,
    "oracle": refusals.FAR_FROM_ORACLE,
    "position_limit": refusals.MARGIN_TIER,
    "price_band": refusals.far_from_reference(Decimal("0.8")),
    "invalid_px": refusals.INVALID_PX,
    "invalid_sz": refusals.INVALID_SZ,
    "zero_sz": refusals.ZERO_SZ,
    "post_only": refusals.POST_ONLY_WINDOW,
    "open_orders": refusals.TOO_MANY_OPEN_ORDERS,
    "halted": refusals.HALTED,
}
_HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center>"
_GZIP = bytes.fromhex("1f8b0800000000000003") + b"\xa5\x00broken\xff\xfe"
_DAYS_3_MS = 3 * 86_400_000
_NO_SIGNER = "0x" + "00" * 18 + "dead"


class ExchangeFaults(ExchangeHooks):
    """Answers the exchange's hooks from the board."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board

    @override
    def drop_before(self, user: str, action_type: str, now_ms: int) -> bool:
        return self._of_action("lost_request", user, action_type, now_ms) is not None

    @override
    def drop_answer(self, user: str, action_type: str, now_ms: int) -> bool:
        return self._of_action("lost_answer", user, action_type, now_ms) is not None

    @override
    def extra_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        fault = self._of_action("latency", user, action_type, now_ms)
        return 0 if fault is None else int(fault.values["arrival_ms"])

    @override
    def answer_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        # The same request was counted when it arrived.
        fault = self._board.active("latency", now_ms, channels=(action_type,), users=(user,))
        return 0 if fault is None else int(fault.values["answer_ms"])

    @override
    def refuse_action(self, user: str, action_type: str, now_ms: int) -> str | None:
        return self._batch_error("top", user, action_type, now_ms)

    @override
    def refuse_batch(self, user: str, action_type: str, now_ms: int) -> str | None:
        return self._batch_error("single", user, action_type, now_ms)

    @override
    def refuse(self, user: str, coin: str, now_ms: int) -> str | None:
        if (fault := self._board.strike("reject", now_ms, coin=coin, users=(user,))) is not None:
            return REJECT_TEXTS[str(fault.values["code"])]
        fault = self._board.strike("reject_text", now_ms, coin=coin, users=(user,))
        return None if fault is None else str(fault.values["text"])

    @override
    def is_duplicate_cloid_accepted(self, user: str, now_ms: int) -> bool | None:
        fault = self._board.strike("cloid", now_ms, users=(user,))
        return None if fault is None else bool(fault.values["is_accepted"])

    @override
    def is_post_only(self, now_ms: int) -> bool:
        return self._board.active("post_only", now_ms) is not None

    @override
    def partial_ratio(self, user: str, coin: str, now_ms: int) -> Decimal | None:
        if self._board.strike("pull", now_ms, coin=coin, users=(user,)) is not None:
            return Decimal(0)
        fault = self._board.strike("partial", now_ms, coin=coin, users=(user,))
        return None if fault is None else Decimal(str(fault.values["ratio"]))

    @override
    def reshape_answer(self, user: str, action_type: str, body: Json, now_ms: int) -> Json:
        if _statuses_of(body) is None:
            return body
        fault = self._of_action("statuses", user, action_type, now_ms)
        return body if fault is None else _reshaped(body, str(fault.values["shape"]))

    def _batch_error(self, shape: str, user: str, action_type: str, now_ms: int) -> str | None:
        fault = self._board.active("batch_error", now_ms, channels=(action_type,), users=(user,))
        if fault is None or fault.values["shape"] != shape:
            return None
        fault.strike()
        return str(fault.values["text"])

    def _of_action(self, kind: str, user: str, action_type: str, now_ms: int) -> Fault | None:
        return self._board.strike(kind, now_ms, channels=(action_type,), users=(user,))


class ServiceFaults:
    """What HTTP requests and posts meet before and behind the exchange and the info bodies."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board

    def before(self, names: tuple[str, ...], now_ms: int) -> HttpAnswer | None:
        """Return the answer of a venue that does not even look at a request.

        Args:
            names: What the request is: its info or action type, and `info` or `exchange`.
            now_ms: Venue time.
        """
        if (fault := self._board.strike("outage", now_ms)) is not None:
            return HttpAnswer(int(fault.values["status"]), _HTML, "text/html")
        if self._board.strike("rate_limit", now_ms, channels=names) is not None:
            return HttpAnswer(429, b"null")
        return None

    def refusal(self, action_type: str, nonce: int, now_ms: int) -> HttpAnswer | None:
        """Return the refusal of an action for its nonce or its signer."""
        if (fault := self._board.strike("nonce", now_ms, channels=(action_type,))) is not None:
            return _refused(_NONCE_TEXTS[str(fault.values["reason"])](nonce, now_ms))
        if self._board.strike("signer_unknown", now_ms, channels=(action_type,)) is not None:
            return _refused(refusals.unknown_signer(_NO_SIGNER))
        return None

    def answer(self, action_type: str, answer: HttpAnswer, now_ms: int) -> HttpAnswer:
        """Return garbage instead of an answer."""
        fault = self._board.strike("garbage", now_ms, channels=(action_type,))
        if fault is None:
            return answer
        match fault.values["shape"]:
            case "html":
                return HttpAnswer(502, _HTML, "text/html")
            case "cut":
                return HttpAnswer(200, answer.body[: len(answer.body) // 2])
            case _:
                return HttpAnswer(200, _GZIP)


_NONCE_TEXTS: dict[str, Callable[[int, int], str]] = {
    "low": lambda nonce, _now_ms: refusals.low_nonce(nonce, nonce + 1),
    "duplicate": lambda nonce, _now_ms: refusals.duplicate_nonce(nonce),
    "window": lambda nonce, now_ms: refusals.nonce_out_of_window(nonce, now_ms + _DAYS_3_MS),
}


def _refused(text: str) -> HttpAnswer:
    return HttpAnswer(200, msgspec.json.encode({"status": "err", "response": text}))


def _statuses_of(body: Json) -> list[Json] | None:
    match body:
        case {"status": "ok", "response": {"data": {"statuses": list(statuses)}}}:
            return statuses
        case _:
            return None


def _reshaped(body: Json, shape: str) -> Json:
    statuses = _statuses_of(body) or []
    match shape:
        case "short":
            statuses = statuses[:-1]
        case "long":
            statuses = [*statuses, *statuses[-1:]]
        case _:
            statuses = [*statuses[1:], *statuses[:1]]
    response = body["response"]
    return body | {"response": response | {"data": response["data"] | {"statuses": statuses}}}
