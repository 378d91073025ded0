"""What the control API's verbs mean: a checked body in, an event of the engine out.

Rule 1: a verb is a line of `VERBS`; its body is decoded by type, and every free text in it is bounded and printable.
Rule 2: the engine judges; here only what can not be an event at all is refused.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from streaming.contracts.control import ApproveBody, ArmBody, PhaseBody, StopBody
from streaming.contracts.phase import decode_verdict, missing_rows, verdict_sha256
from streaming.contracts.rotation import RotationDoc
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    MarketAllowance,
    Phase,
    PhaseRequested,
    ResetRequested,
    RotationReceived,
    SpecApproved,
    StopRequested,
)

TEXT_LENGTH_MAX = {"operator": 64, "reason": 300, "phase": 40, "coin": 64}
PLATFORM_VERBS = frozenset({"phase", "stop"})
"""Verbs that the platform's token may use: they take away, and the engine refuses it what would not."""

MakeEvent = Callable[[int, int, int], AnyEvent]
"""(command_id, recv_mono_ns, recv_ts_ns) → event."""
Build = Callable[[Any, dict[str, int]], AnyEvent]
Verb = tuple[type[msgspec.Struct], Build]
"""Type of the body, and what makes the event of it and the stamps."""


def _stop(body: StopBody, stamps: dict[str, int]) -> AnyEvent:
    return StopRequested(**stamps, reason=body.reason, operator=body.operator)


def _reset(body: StopBody, stamps: dict[str, int]) -> AnyEvent:
    return ResetRequested(**stamps, reason=body.reason, operator=body.operator)


def _arm(body: ArmBody, stamps: dict[str, int]) -> AnyEvent:
    return ArmRequested(**stamps, is_armed=body.is_armed, operator=body.operator)


def _phase(body: PhaseBody, stamps: dict[str, int]) -> PhaseRequested:
    event = PhaseRequested(
        command_id=stamps["command_id"],
        recv_mono_ns=stamps["recv_mono_ns"],
        recv_ts_ns=stamps["recv_ts_ns"],
        phase=Phase(body.phase),
        reason=body.reason,
        operator=body.operator,
    )
    if not body.verdict:
        return event
    raw = body.verdict.encode()
    doc = decode_verdict(raw)
    return msgspec.structs.replace(
        event,
        verdict_sha256=verdict_sha256(raw),
        verdict_venue=doc.venue,
        verdict_account=doc.account,
        verdict_missing=missing_rows(doc, body.phase),
    )


def _approve(body: ApproveBody, stamps: dict[str, int]) -> AnyEvent:
    return SpecApproved(**stamps, coin=body.coin, operator=body.operator)


VERBS: dict[str, Verb] = {
    "stop": (StopBody, _stop),
    "reset": (StopBody, _reset),
    "arm": (ArmBody, _arm),
    "phase": (PhaseBody, _phase),
    "approve": (ApproveBody, _approve),
}


def verb_event(verb: Verb, raw: bytes, *, is_platform: bool = False) -> MakeEvent | tuple[str, ...]:
    """Return what makes the event, or every reason why the body can not be used.

    Args:
        verb: Line of `VERBS`.
        raw: Body as received.
        is_platform: Whether it came with the platform's token: the event says so, and the engine judges it.
    """
    kind, build = verb
    try:
        body = msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        fields = ", ".join(kind.__struct_fields__)
        return (f"body: expected JSON with {fields}, found {str(error)[:150]}",)
    if reasons := _text_problems(body):
        return reasons

    def make(command_id: int, mono_ns: int, ts_ns: int) -> AnyEvent:
        event = build(body, {"command_id": command_id, "recv_mono_ns": mono_ns, "recv_ts_ns": ts_ns})
        if is_platform and isinstance(event, PhaseRequested):
            return msgspec.structs.replace(event, is_platform=True)
        return event

    return make


def _text_problems(body: msgspec.Struct) -> tuple[str, ...]:
    reasons = []
    for name in body.__struct_fields__:
        text = getattr(body, name)
        if name == "verdict":
            reasons += _verdict_problems(text)
            continue
        if not isinstance(text, str):
            continue
        length_max = TEXT_LENGTH_MAX[name]
        if not text.strip() or len(text) > length_max or not text.isprintable():
            reasons.append(f"{name}: expected 1-{length_max} printable characters, found {text[:40]!r}")
        elif name == "phase" and text not in set(Phase):
            reasons.append(f"phase: expected one of {', '.join(Phase)}, found {text!r}")
    return tuple(reasons)


def _verdict_problems(text: str) -> list[str]:
    try:
        if text:
            decode_verdict(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return [f"verdict: expected a verdict document, found {str(error)[:150]}"]
    return []


def rotation_event(
    doc: RotationDoc, sha256: str, replaces_sha256: str, command_id: int, mono_ns: int, ts_ns: int
) -> RotationReceived:
    """Return the event of a pushed document."""
    return RotationReceived(
        recv_mono_ns=mono_ns,
        recv_ts_ns=ts_ns,
        command_id=command_id,
        version=doc.version,
        sha256=sha256,
        replaces_sha256=replaces_sha256,
        venue=doc.venue,
        account=doc.account,
        expires_ts_ns=doc.expires_ts_ns,
        markets=tuple(
            MarketAllowance(
                coin=market.coin,
                ntl_max=market.ntl_max,
                threshold_bps=market.threshold_bps,
                is_oracle_led_only=market.is_oracle_led_only,
                hold_ms_max=market.hold_ms_max,
            )
            for market in doc.markets
        ),
        blacklist=tuple(market.coin for market in doc.excluded if market.is_blacklisted),
        stands_down=doc.stands_down,
    )
