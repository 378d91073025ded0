"""The sidecar's own status every 30 s, as observation and check: plots over time, and red when it is not well."""

from typing import Any

import dagster as dg

from hip3_platform.assets.common import SIDECAR_HEALTH
from hip3_platform.checks.sidecar import HEALTHY, Verdict, judge_health
from hip3_platform.resources.sidecar import SidecarError, SidecarResource
from streaming.contracts.control import StatusView


def _figures(status: StatusView) -> dict[str, Any]:
    return {
        "ready_count": status.ready_count,
        "market_count": status.market_count,
        "event_count": status.event_count,
        "signal_count": status.signal_count,
        "episode_count": status.episode_count,
        "reconnect_count": status.reconnect_count,
        "rate_use_ratio": status.rate_use_ratio,
        "rotation_version": status.rotation_version,
        "uptime_s": status.uptime_s,
        "phase": status.phase,
        "session_id": status.session_id,
        "venue": status.venue,
        "entries_closed_by": ", ".join(status.entries_closed_by) or "nothing",
    }


def _evaluation(verdict: Verdict, figures: dict[str, Any]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=SIDECAR_HEALTH, check_name=HEALTHY, passed=verdict.is_passed, severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.text[:500], metadata=figures,
    )  # fmt: skip


def observe_sidecar(cursor: str | None, sidecar: SidecarResource) -> dg.SensorResult:
    """Ask the sidecar how it is. An absent one is reported once, when it goes, not every 30 s."""
    try:
        status = sidecar.status()
    except SidecarError as error:
        text = str(error)
        events = [] if cursor == text else [_evaluation(Verdict(is_passed=False, text=text), {})]
        return dg.SensorResult(asset_events=events, cursor=text, skip_reason=text)
    verdict, figures = judge_health(status), _figures(status)
    observation = dg.AssetObservation(SIDECAR_HEALTH, description=verdict.text, metadata=figures)
    return dg.SensorResult(
        asset_events=[observation, _evaluation(verdict, figures)], cursor="", skip_reason=verdict.text
    )


def build_sidecar_health() -> dg.SensorDefinition:
    """Return the sensor that observes the sidecar."""

    @dg.sensor(
        name="sidecar_health", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING,
        description="Observes the running sidecar",
    )  # fmt: skip
    def sidecar_health(context: dg.SensorEvaluationContext, sidecar: SidecarResource) -> dg.SensorResult:
        return observe_sidecar(context.cursor, sidecar)

    return sidecar_health
