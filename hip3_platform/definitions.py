"""The code location `hip3`: sealed files in, judged days, rankings and rotations out.

Settings come from the environment once, here: HIP3_WAREHOUSE (default: `warehouse/` of the repository), HIP3_VENUE
(default: sim), HIP3_ACCOUNT (master address that the sidecar trades for, the same name as its own setting; default:
none, so rotations are for `paper`) and HIP3_BLACKLIST (markets, comma separated; default: none). Everything else is a
typed field of a resource. Importing this module imports neither Great Expectations nor pandas (a test holds it).
"""

from pathlib import Path

import dagster as dg

from hip3_platform.assets.bronze import build_bronze, landing_specs
from hip3_platform.assets.execution import build_daily_execution
from hip3_platform.assets.gold import (
    build_daily_metrics,
    build_market_ranking,
    build_markouts,
    build_rotation_asset,
    build_views_asset,
)
from hip3_platform.assets.sidecar import sidecar_specs
from hip3_platform.checks.conservation import build_conservation_check
from hip3_platform.checks.double_entry import build_double_entry_check
from hip3_platform.checks.parity import build_parity_check
from hip3_platform.checks.sidecar import build_sidecar_checks
from hip3_platform.checks.signals import build_signals_check
from hip3_platform.partitions import daily_partitions, first_day
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.sidecar import SidecarResource
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.rotation_push import build_rotation_push
from hip3_platform.sensors.sealed_files import build_daily_schedule, build_sealed_files
from hip3_platform.sensors.sidecar_health import build_sidecar_health
from streaming.core.rotation import PAPER_ACCOUNT

REPO = Path(__file__).resolve().parent.parent
JOB = "daily"


def build_definitions(
    warehouse: WarehouseResource, policy: RotationPolicy, *, first: str, clock: Clock | None = None
) -> dg.Definitions:
    """Return the whole code location for one warehouse and venue, with partitions from the day `first` on."""
    partitions = daily_partitions(first)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups("bronze", "gold"),
        executor_def=dg.in_process_executor,
        description="One day, from sealed parts to the rotation; blocking checks hold within the run",
    )
    return dg.Definitions(
        assets=[
            *landing_specs(partitions),
            build_bronze(partitions),
            build_daily_metrics(partitions),
            build_daily_execution(partitions),
            build_markouts(partitions),
            build_market_ranking(partitions),
            build_rotation_asset(partitions),
            build_views_asset(),
            *sidecar_specs(),
        ],
        asset_checks=[
            build_conservation_check(partitions),
            build_double_entry_check(partitions),
            build_signals_check(partitions),
            build_parity_check(partitions),
            *build_sidecar_checks(),
        ],
        jobs=[job],
        sensors=[build_sealed_files(JOB, partitions), build_rotation_push(), build_sidecar_health()],
        schedules=[build_daily_schedule(JOB, partitions)],
        resources={
            "warehouse": warehouse,
            "sidecar": SidecarResource(root=warehouse.root),
            "policy": policy,
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
