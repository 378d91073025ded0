"""The code location `hip3`: sealed files in, judged days, rankings and rotations out.

Settings come from the environment once, here: HIP3_WAREHOUSE (default: `warehouse/` of the repository), HIP3_VENUE
(default: sim), HIP3_ACCOUNT (master address that the sidecar trades for, the same name as its own setting; default:
none, so rotations are for `paper`) and HIP3_BLACKLIST (markets, comma separated; default: none). Everything else is a
typed field of a resource. Importing this module imports neither Great Expectations nor pandas (a test holds it).
"""

import warnings
from pathlib import Path
from typing import Any

import dagster as dg

from hip3_platform.assets.bronze import build_bronze, landing_specs
from hip3_platform.assets.counterfactual import build_gate_outcomes, build_gate_prices
from hip3_platform.assets.evidence import build_approvals, build_day_evidence, build_verdicts
from hip3_platform.assets.execution import build_daily_execution
from hip3_platform.assets.gold import (
    build_daily_metrics,
    build_markouts,
    build_views_asset,
)
from hip3_platform.assets.phases import build_phase_verdict, phase_verdict_spec
from hip3_platform.assets.rotation import build_incidents, build_market_ranking, build_rotation_asset
from hip3_platform.assets.sidecar import sidecar_specs
from hip3_platform.catch_up import build_catch_up
from hip3_platform.checks.completeness import build_completeness_checks
from hip3_platform.checks.conservation import build_conservation_check
from hip3_platform.checks.double_entry import build_double_entry_check
from hip3_platform.checks.expectations import build_expectation_checks
from hip3_platform.checks.feed import build_feed_checks
from hip3_platform.checks.freshness import build_freshness_check
from hip3_platform.checks.parity import build_parity_check
from hip3_platform.checks.sidecar import build_sidecar_checks
from hip3_platform.partitions import daily_partitions, first_day
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.evidence import EvidencePolicy
from hip3_platform.resources.phase_control import PhaseControl
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.sidecar import SidecarResource
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.phase_exit import build_phase_check, build_phase_exit
from hip3_platform.sensors.rotation_push import build_rotation_push
from hip3_platform.sensors.sealed_files import build_daily_schedule, build_sealed_files
from hip3_platform.sensors.sidecar_health import build_sidecar_health
from streaming.core.rotation import PAPER_ACCOUNT

# Dagster copies a sensor of several jobs through a beta parameter of its own, and remarks on it; we do not use it.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer")

REPO = Path(__file__).resolve().parent.parent
JOB = "daily"


def _assets(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    return [
        *landing_specs(partitions),
        build_bronze(partitions),
        build_daily_metrics(partitions),
        build_daily_execution(partitions),
        build_markouts(partitions),
        build_day_evidence(partitions),
        build_verdicts(partitions),
        build_approvals(partitions),
        build_gate_outcomes(partitions),
        build_gate_prices(partitions),
        build_incidents(partitions),
        build_market_ranking(partitions),
        build_rotation_asset(partitions),
        build_phase_verdict(partitions),
        build_views_asset(),
        *sidecar_specs(),
        phase_verdict_spec(),
    ]


def _checks(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    return [
        build_conservation_check(partitions),
        build_double_entry_check(partitions),
        build_feed_checks(partitions),
        build_completeness_checks(partitions),
        *build_expectation_checks(partitions),
        build_freshness_check(partitions),
        build_parity_check(partitions),
        *build_sidecar_checks(),
        build_phase_check(),
    ]


def build_definitions(
    warehouse: WarehouseResource,
    policy: RotationPolicy,
    *,
    first: str,
    clock: Clock | None = None,
    evidence: EvidencePolicy | None = None,
) -> dg.Definitions:
    """Return the whole code location for one warehouse and venue, with partitions from the day `first` on."""
    partitions = daily_partitions(first)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups("bronze", "evidence", "gold"),
        executor_def=dg.in_process_executor,
        description="One day, from sealed parts to the rotation; blocking checks hold within the run",
    )

    def daily_over(given: dict[str, Any]) -> dg.JobDefinition:
        return build_definitions(first=first, **given).resolve_job_def(JOB)

    catch_up = build_catch_up(daily_over)
    return dg.Definitions(
        assets=_assets(partitions),
        asset_checks=_checks(partitions),
        jobs=[job, catch_up],
        sensors=[
            build_sealed_files([job, catch_up], partitions),
            build_rotation_push(),
            build_sidecar_health(),
            build_phase_exit(),
        ],
        schedules=[build_daily_schedule(JOB, partitions)],
        resources={
            "warehouse": warehouse,
            "sidecar": SidecarResource(root=warehouse.root),
            "policy": policy,
            "evidence": evidence or EvidencePolicy(),
            "phase_control": PhaseControl(root=warehouse.root),
            "clock": clock or Clock(),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Build the code location from the environment."""
    root = dg.EnvVar("HIP3_WAREHOUSE").get_value(default=str(REPO / "warehouse"))
    venue = dg.EnvVar("HIP3_VENUE").get_value(default="sim")
    blacklist = dg.EnvVar("HIP3_BLACKLIST").get_value(default="") or ""
    account = dg.EnvVar("HIP3_ACCOUNT").get_value(default="") or PAPER_ACCOUNT
    warehouse = WarehouseResource(root=str(Path(str(root)).resolve()), venue=str(venue))
    return build_definitions(
        warehouse,
        RotationPolicy(
            blacklist=[coin.strip() for coin in blacklist.split(",") if coin.strip()], account=account.strip().lower()
        ),
        first=first_day(warehouse.path, warehouse.checked_venue, Clock().now_ts_ns()),
    )
