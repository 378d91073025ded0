"""Checks of the external sidecar assets. Sensors evaluate them; in the UI they can also be run by hand."""

from typing import NamedTuple

import dagster as dg

from hip3_platform.analytics.gold import newest_rotation
from hip3_platform.assets.common import SIDECAR_HEALTH, SIDECAR_ROTATION
from hip3_platform.resources.sidecar import SidecarError, SidecarResource
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.control import StatusView
from streaming.contracts.rotation import rotation_sha256

ACCEPTED = "accepted"
HEALTHY = "healthy"


class Verdict(NamedTuple):
    """Whether it is good, and why (not)."""

    is_passed: bool
    text: str


def judge_health(status: StatusView) -> Verdict:
    """Return whether the sidecar is connected, ready somewhere and not stopped."""
    reasons = []
    if status.stop_reason is not None:
        reasons.append(f"stop latch: {status.stop_reason}")
    if not status.is_connected:
        reasons.append("not connected to the venue")
    if status.ready_count == 0:
        reasons.append("no market is ready")
    ready = f"{status.ready_count} of {status.market_count} markets ready"
    return Verdict(not reasons, "; ".join(reasons) or ready)


def build_sidecar_checks() -> list[dg.AssetChecksDefinition]:
    """Return `accepted` of sidecar/rotation and `healthy` of sidecar/health."""

    @dg.asset_check(asset=SIDECAR_ROTATION, name=ACCEPTED, description="The sidecar holds the newest rotation document")
    def accepted(warehouse: WarehouseResource, sidecar: SidecarResource) -> dg.AssetCheckResult:
        newest = newest_rotation(warehouse.path, warehouse.checked_venue)
        if newest is None:
            return dg.AssetCheckResult(passed=True, description="there is no rotation document yet")
        doc, raw = newest
        try:
            held = sidecar.rotation()
        except SidecarError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(
            passed=held.sha256 == rotation_sha256(raw),
            description=f"the newest document is version {doc.version}, the sidecar holds version {held.version}",
        )

    @dg.asset_check(asset=SIDECAR_HEALTH, name=HEALTHY, description="Connected, markets ready, stop latch not set")
    def healthy(sidecar: SidecarResource) -> dg.AssetCheckResult:
        try:
            verdict = judge_health(sidecar.status())
        except SidecarError as error:
            verdict = Verdict(is_passed=False, text=str(error))
        return dg.AssetCheckResult(passed=verdict.is_passed, description=verdict.text)

    return [accepted, healthy]
