"""Newest rotation document → sidecar. Forward only; what the sidecar says becomes an observation and a check.

Rule 1: the newest *version* is pushed, never the latest materialization: a re-run of an old day pushes nothing.
Rule 2: every push names the document it replaces (`If-Match`); if that changed meanwhile, the next tick looks again.
Rule 3: a refused document is not pushed again to the same session of the sidecar: the check stays red until a newer
document or another session comes.
Rule 4: what waits for an operator is not in the markets of a document; one that allows nothing and does not say that it
means it is not pushed, and the reason names what waits.
"""

from typing import Any

import dagster as dg
import msgspec

from hip3_platform.analytics.gold import newest_rotation
from hip3_platform.assets.common import SIDECAR_ROTATION
from hip3_platform.checks.sidecar import ACCEPTED
from hip3_platform.resources.sidecar import SidecarAbsent, SidecarError, SidecarResource
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.control import RotationAnswer
from streaming.contracts.rotation import RotationDoc, rotation_sha256


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The last document that was refused or failed, and by which session."""

    sha256: str = ""
    session_id: str = ""
    trouble: str = ""


def _read_cursor(text: str | None) -> Cursor:
    try:
        return msgspec.json.decode(text, type=Cursor) if text else Cursor()
    except msgspec.DecodeError:
        return Cursor()


def _write_cursor(cursor: Cursor) -> str:
    return msgspec.json.encode(cursor).decode()


def _events(
    doc: RotationDoc, answer: RotationAnswer, sha256: str, session_id: str
) -> list[dg.AssetObservation | dg.AssetCheckEvaluation]:
    reasons = "\n".join(f"- {reason}" for reason in answer.reasons)
    metadata: dict[str, Any] = {
        "version": doc.version,
        "as_of_day": doc.as_of_day,
        "sha256": sha256,
        "sidecar_session": session_id,
        "market_count": len(doc.markets),
        "markets": ", ".join(f"{market.coin} ({market.ntl_max})" for market in doc.markets) or "none",
        "expires": dg.MetadataValue.timestamp(doc.expires_ts_ns / 1e9),
        "proposed": ", ".join(proposal.market.coin for proposal in doc.proposed) or "none",
        "accepted": answer.is_accepted,
    }
    metadata |= {"reasons": dg.MetadataValue.md(reasons)} if reasons else {}
    said = "accepted" if answer.is_accepted else "refused: " + "; ".join(answer.reasons)
    return [
        dg.AssetObservation(SIDECAR_ROTATION, description=f"version {doc.version} {said}"[:500], metadata=metadata),
        evaluation(answer.is_accepted, f"version {doc.version} {said}", metadata),
    ]


def evaluation(is_passed: bool, text: str, metadata: dict[str, Any] | None = None) -> dg.AssetCheckEvaluation:
    """Return the evaluation of check `accepted` with its reason."""
    return dg.AssetCheckEvaluation(
        asset_key=SIDECAR_ROTATION, check_name=ACCEPTED, passed=is_passed, severity=dg.AssetCheckSeverity.ERROR,
        description=text[:1000], metadata=metadata or {},
    )  # fmt: skip


def _nothing_to_push(doc: RotationDoc) -> str:
    """Return why a document is not pushed; empty when it is."""
    if doc.markets or doc.stands_down or not doc.proposed:
        return ""
    waiting = ", ".join(proposal.market.coin for proposal in doc.proposed)
    return f"version {doc.version} allows nothing until an operator approves {waiting}: hip3 rotation approve"


def _push(doc: RotationDoc, raw: bytes, sidecar: SidecarResource, cursor: Cursor) -> dg.SensorResult:
    sha256 = rotation_sha256(raw)
    session_id = sidecar.endpoint().session_id
    held = sidecar.rotation()
    if held.sha256 == sha256:
        return dg.SensorResult(skip_reason=f"the sidecar holds version {held.version}", cursor=_write_cursor(Cursor()))
    if doc.version <= held.version:
        return dg.SensorResult(
            skip_reason=f"the sidecar holds version {held.version}, the newest document is {doc.version}: forward only",
            cursor=_write_cursor(Cursor()),
        )
    if (cursor.sha256, cursor.session_id) == (sha256, session_id):
        return dg.SensorResult(
            skip_reason=f"version {doc.version} was refused: {cursor.trouble}", cursor=_write_cursor(cursor)
        )
    answer = sidecar.push_rotation(raw, held.sha256)
    refused = Cursor(sha256=sha256, session_id=session_id, trouble="; ".join(answer.reasons)[:300])
    return dg.SensorResult(
        asset_events=_events(doc, answer, sha256, session_id),
        cursor=_write_cursor(Cursor() if answer.is_accepted else refused),
        skip_reason=f"version {doc.version} pushed: {'accepted' if answer.is_accepted else 'refused'}",
    )


def push_newest(cursor_text: str | None, warehouse: WarehouseResource, sidecar: SidecarResource) -> dg.SensorResult:
    """Push the newest document if the sidecar does not hold it or a newer one."""
    cursor = _read_cursor(cursor_text)
    newest = newest_rotation(warehouse.path, warehouse.checked_venue)
    if newest is None:
        return dg.SensorResult(skip_reason="no rotation document yet", cursor=cursor_text)
    if waiting := _nothing_to_push(newest[0]):
        return dg.SensorResult(skip_reason=waiting, cursor=cursor_text)
    try:
        return _push(*newest, sidecar, cursor)
    except SidecarAbsent as error:
        return dg.SensorResult(skip_reason=str(error), cursor=cursor_text)
    except SidecarError as error:
        text = str(error)
        if cursor.trouble == text:
            return dg.SensorResult(skip_reason=text, cursor=cursor_text)
        return dg.SensorResult(
            asset_events=[evaluation(is_passed=False, text=text)],
            cursor=_write_cursor(Cursor(trouble=text)),
            skip_reason=text,
        )


def build_rotation_push() -> dg.SensorDefinition:
    """Return the sensor that pushes rotations."""

    @dg.sensor(
        name="rotation_push", minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING,
        description="Pushes the newest rotation document to the sidecar and records its answer",
    )  # fmt: skip
    def rotation_push(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource, sidecar: SidecarResource
    ) -> dg.SensorResult:
        return push_newest(context.cursor, warehouse, sidecar)

    return rotation_push
