"""Exit rules of the phases → sidecar: demote, latch or a red check. It takes away by itself and never gives.

Rule 1: the newest verdict of the venue counts; one of another account or venue than the running sidecar's does nothing.
Rule 2: an exit that acts (state FAIL) is acted on once: its key is kept in the cursor. A lost cursor repeats a command
that changes nothing when it was obeyed; at worst it stops again what an operator had reset, which is the safe side.
Rule 3: `demote` is sent to a sidecar above that phase only, `latch` to one whose latch is open only; else it is done.
Rule 4: what was sent and what was answered is an observation of sidecar/phase and its check `obeyed`; a refusal stays
red and is sent again on the next tick, for it protects money. `review` is a red check: a person has to decide.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg
import msgspec

from hip3_platform.assets.phases import OBEYED, SIDECAR_PHASE
from hip3_platform.resources.phase_control import PhaseControl
from hip3_platform.resources.sidecar import SidecarAbsent, SidecarError
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.control import Answer, StatusView
from streaming.contracts.phase import VerdictDoc, VerdictExit, decode_verdict, newest_verdict_path, verdict_sha256
from streaming.core.events import Phase
from streaming.core.phase import is_promotion

DONE_MAX = 50
"""Keys that are kept: an exit's key is that of its newest cause, so a few are enough."""
PAPER_ACCOUNT = "paper"


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What was acted on, and the trouble that was told last."""

    done: tuple[str, ...] = ()
    trouble: str = ""


def _read_cursor(text: str | None) -> Cursor:
    try:
        return msgspec.json.decode(text, type=Cursor) if text else Cursor()
    except msgspec.DecodeError:
        return Cursor()


def _write_cursor(cursor: Cursor) -> str:
    kept = msgspec.structs.replace(cursor, done=cursor.done[-DONE_MAX:])
    return msgspec.json.encode(kept).decode()


def _key(doc: VerdictDoc, each: VerdictExit) -> str:
    return f"{doc.venue}/{doc.account}/{each.phase}.{each.row}/{each.key}"


def _evaluation(text: str, metadata: dict[str, Any], *, is_passed: bool) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=SIDECAR_PHASE, check_name=OBEYED, passed=is_passed, severity=dg.AssetCheckSeverity.ERROR,
        description=text[:1000], metadata=metadata,
    )  # fmt: skip


def _is_other(doc: VerdictDoc, status: StatusView) -> str:
    account = (status.account or PAPER_ACCOUNT).lower()
    if doc.venue != status.venue:
        return f"the verdict is of venue {doc.venue}, the sidecar runs on {status.venue}"
    if doc.account.lower() != account:
        return f"the verdict is of account {doc.account}, the sidecar's is {account}"
    return ""


def _act(each: VerdictExit, reason: str, status: StatusView, control: PhaseControl) -> tuple[Answer, str]:
    """Send what an exit asks for, and return the answer and what was done."""
    done = Answer(is_accepted=True)
    if each.action == "demote":
        if not is_promotion(Phase(each.to_phase), Phase(status.phase)):
            return done, f"the phase is {status.phase} already"
        return control.demote(each.to_phase, reason), f"demote {status.phase} to {each.to_phase}"
    if each.action == "latch":
        if status.stop_reason is not None:
            return done, f"stopped already: {status.stop_reason}"
        return control.latch(reason), "set the stop latch"
    refused = Answer(is_accepted=False, reasons=("review or withdraw: a person has to decide",))
    return refused, "review"


def _obey(
    doc: VerdictDoc, sha256: str, acting: Iterable[VerdictExit], cursor: Cursor, control: PhaseControl
) -> dg.SensorResult:
    status = control.status()
    if other := _is_other(doc, status):
        return dg.SensorResult(skip_reason=other, cursor=_write_cursor(cursor))
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    said = []
    for each in acting:
        # The verdict's own words may be longer than the control API takes.
        reason = f"phase exit {each.row}: {each.figure} (verdict {sha256[:12]} of {doc.day})"[:300]
        answer, what = _act(each, reason, status, control)
        text = f"{each.row}: {what}; " + ("accepted" if answer.is_accepted else "; ".join(answer.reasons))
        metadata: dict[str, Any] = {
            "exit": each.row, "action": each.action, "figure": each.figure, "evidence": each.evidence,
            "as_of_day": doc.day, "verdict_sha256": sha256, "phase_before": status.phase, "key": each.key,
            "sidecar_session": status.session_id, "accepted": answer.is_accepted,
        }  # fmt: skip
        said.append(text)
        if answer.is_accepted or each.action == "review":
            cursor = msgspec.structs.replace(cursor, done=(*cursor.done, _key(doc, each)), trouble="")
        elif cursor.trouble == text:
            continue  # told already; it is sent again all the same
        else:
            cursor = msgspec.structs.replace(cursor, trouble=text)
        events += [
            dg.AssetObservation(SIDECAR_PHASE, description=text[:500], metadata=metadata),
            _evaluation(text, metadata, is_passed=answer.is_accepted),
        ]
    return dg.SensorResult(asset_events=events, cursor=_write_cursor(cursor), skip_reason="; ".join(said)[:1000])


def obey_exits(cursor_text: str | None, warehouse: WarehouseResource, control: PhaseControl) -> dg.SensorResult:
    """Act on the exits of the newest verdict that were not acted on yet."""
    cursor = _read_cursor(cursor_text)
    path = newest_verdict_path(warehouse.path, warehouse.checked_venue)
    if path is None:
        return dg.SensorResult(skip_reason="no verdict yet", cursor=cursor_text)
    raw = path.read_bytes()
    try:
        doc = decode_verdict(raw)
    except msgspec.DecodeError as error:
        return _trouble(f"{path} is no verdict document: {str(error)[:200]}", cursor)
    acting = [each for each in doc.exits if each.state == "FAIL" and _key(doc, each) not in cursor.done]
    if not acting:
        return dg.SensorResult(skip_reason=f"no exit acts by the verdict of {doc.day}", cursor=_write_cursor(cursor))
    try:
        return _obey(doc, verdict_sha256(raw), acting, cursor, control)
    except SidecarAbsent as error:
        return dg.SensorResult(skip_reason=str(error), cursor=_write_cursor(cursor))
    except SidecarError as error:
        return _trouble(str(error), cursor)


def _trouble(text: str, cursor: Cursor) -> dg.SensorResult:
    events = [] if cursor.trouble == text else [_evaluation(text, {}, is_passed=False)]
    told = msgspec.structs.replace(cursor, trouble=text)
    return dg.SensorResult(asset_events=events, cursor=_write_cursor(told), skip_reason=text[:1000])


def build_phase_exit() -> dg.SensorDefinition:
    """Return the sensor that obeys the exit rules."""

    @dg.sensor(
        name="phase_exit", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING,
        description="Demotes or stops the sidecar when an exit rule of the phases acts; never promotes",
    )  # fmt: skip
    def phase_exit(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource, phase_control: PhaseControl
    ) -> dg.SensorResult:
        return obey_exits(context.cursor, warehouse, phase_control)

    return phase_exit


def build_phase_check() -> dg.AssetChecksDefinition:
    """Return the check `obeyed` of sidecar/phase, for the UI and by hand; the sensor evaluates it otherwise."""

    @dg.asset_check(asset=SIDECAR_PHASE, name=OBEYED, description="The sidecar obeys the exits of the newest verdict")
    def obeyed(warehouse: WarehouseResource, phase_control: PhaseControl) -> dg.AssetCheckResult:
        path = newest_verdict_path(warehouse.path, warehouse.checked_venue)
        if path is None:
            return dg.AssetCheckResult(passed=True, description="there is no verdict yet")
        acting = [each for each in decode_verdict(path.read_bytes()).exits if each.state == "FAIL"]
        try:
            status = phase_control.status()
        except SidecarError as error:
            return dg.AssetCheckResult(passed=not acting, description=str(error))
        against = [each.row for each in acting if not _is_obeyed(each, status)]
        return dg.AssetCheckResult(passed=not against, description=", ".join(against) or "no exit is open")

    return obeyed


def _is_obeyed(each: VerdictExit, status: StatusView) -> bool:
    if each.action == "demote":
        return not is_promotion(Phase(each.to_phase), Phase(status.phase))
    return each.action == "latch" and status.stop_reason is not None
