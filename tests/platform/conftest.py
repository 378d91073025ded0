"""Fixtures of the platform's tests: a small judged warehouse, and the code location over it."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from platform_warehouse import DAY_1, DAY_3, VENUE, FixedClock, MarketDay, write_day

from hip3_platform.definitions import JOB, build_definitions
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_DAY

RunDay = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    """An empty warehouse."""
    return WarehouseResource(root=str(tmp_path), venue=VENUE)


@pytest.fixture
def markets() -> list[MarketDay]:
    """One good market, one that loses, one with too few episodes."""
    return [MarketDay("xyz:GOOD"), MarketDay("xyz:LOSS", exit_bps=(-5.0, 1.0)), MarketDay("xyz:RARE", signal_count=3)]


@pytest.fixture
def one_day(warehouse: WarehouseResource, markets: list[MarketDay]) -> WarehouseResource:
    """A warehouse with one sealed day."""
    write_day(warehouse.path, DAY_1, markets)
    return warehouse


@pytest.fixture
def run_day(warehouse: WarehouseResource) -> RunDay:
    """Run the daily job of a day in this process; a failure is in the result."""

    def run(
        day: str, selection: list[dg.AssetKey] | None = None, now_ts_ns: int = day_begin_ns(DAY_3) + NS_PER_DAY
    ) -> dg.ExecuteInProcessResult:
        clock = FixedClock(now_ts_ns)
        job = build_definitions(warehouse, RotationPolicy(), first=DAY_1, clock=clock).resolve_job_def(JOB)
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(
                partition_key=day, raise_on_error=False, instance=instance, asset_selection=selection
            )

    return run
