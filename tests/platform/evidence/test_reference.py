"""The SQL reference and the kernel agree on generated market-days, in every column."""

from dataclasses import dataclass, replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evidence_feed import COIN, DAY, SPECS, feeds, table
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import Feed, MarketDay, feeds_of, market_day, specs_of
from hip3_platform.analytics.evidence.episode_rows import episode_rows
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, THRESHOLDS_BPS
from hip3_platform.analytics.evidence.markouts import State, markouts_of
from hip3_platform.analytics.evidence.reference import EPISODE_COLUMNS, Grid, episodes, markouts, run_reference
from streaming.sim.history.columnar import ColumnDay, day_tables
from streaming.sim.history.day import Day, Identity

UNIVERSE = ("xyz:INTC", "xyz:COST", "xyz:AVGO")
"""One that halts, a frozen quote and a toxic oracle of the scenario `universe`, seed 61."""
DEMO = ("xyz:INTC", "xyz:COIN")


@dataclass
class Tables:
    bbo: pa.Table
    ctx: pa.Table
    specs: pa.Table


def generated(scenario: str, seed: int, coins: tuple[str, ...]) -> Tables:
    day = Day(root="", day=DAY, seed=seed, scenario=scenario, scenario_name=scenario, is_columnar=True)
    found = day_tables(day, coins)
    specs = [
        pa.table(columns) for name, columns in ColumnDay(day, coins)._facts(Identity.of(day)) if name == "specs"
    ]  # fmt: skip
    return Tables(*(_in_session(found[name]) for name in ("bbo", "ctx")), pa.concat_tables(specs))


def _in_session(rows: pa.Table) -> pa.Table:
    return rows.append_column("session_id", pa.array(["s"] * rows.num_rows))


def market_days_of(tables: Tables) -> list[MarketDay]:
    specs = specs_of([tables.specs])
    found = feeds_of(tables.bbo, tables.ctx)
    return [market_day(venue="sim", day=DAY, coin=coin, feed=found[coin], specs=specs) for coin in sorted(found)]


def sql_of(
    tables: Tables, days: list[MarketDay], grid: Grid, order_usd: float = 50.0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    closed = [(day.coin, *span) for day in days for span in day.closed_ns.tolist()]
    spans = pl.DataFrame(
        closed, schema={"coin": pl.String, "begin_ns": pl.Int64, "end_ns": pl.Int64}, orient="row"
    ).to_arrow()  # fmt: skip
    with duckdb.connect() as connection:
        for name, rows in (("bbo", tables.bbo), ("ctx", tables.ctx), ("specs", tables.specs), ("closed", spans)):
            connection.register(name, rows)
        run_reference(connection, (days[0].begin_ns, days[0].end_ns), grid, order_usd)
        return episodes(connection), markouts(connection)


def assert_agree(tables: Tables, days: list[MarketDay], grid: Grid, order_usd: float = 50.0) -> int:
    """Compare every column of every row; returns how many episodes there were."""
    crossed, marked = sql_of(tables, days, grid, order_usd)
    rows = pl.concat([episode_rows(day, grid.thresholds_bps) for day in days]).select(EPISODE_COLUMNS)
    for name in EPISODE_COLUMNS:
        if rows.schema[name] == pl.Float64:
            np.testing.assert_allclose(crossed[name], rows[name], atol=1e-9, err_msg=name)
        else:
            assert crossed[name].cast(rows.schema[name]).to_list() == rows[name].to_list(), name
    states, nets = [], []
    for day in days:
        decisions = decisions_of(day, grid.thresholds_bps)
        found = markouts_of(
            day, decisions, order_usd=order_usd, latencies_ms=grid.latencies_ms, horizons_s=grid.horizons_s
        )
        states.append(np.repeat(found.state.ravel(), len(grid.horizons_s)))
        nets.append(found.net_bps.ravel())
    names = [State(state).name.lower() for state in np.concatenate(states)]
    assert marked["state"].to_list() == names
    filled = np.array(names) == "filled"
    assert marked["net_bps"].is_not_null().to_list() == filled.tolist()
    np.testing.assert_allclose(marked["net_bps"].drop_nulls(), np.concatenate(nets)[filled], atol=1e-9)
    return rows.height


@pytest.mark.parametrize(("scenario", "seed", "coins"), [("universe", 61, UNIVERSE), ("demo", 7, DEMO)])
def test_sql_and_kernel_agree_on_generated_days(scenario: str, seed: int, coins: tuple[str, ...]) -> None:
    tables = generated(scenario, seed, coins)
    assert assert_agree(tables, market_days_of(tables), Grid()) > 500


def test_sql_and_kernel_agree_on_another_grid() -> None:
    tables = generated("universe", 61, ("xyz:AVGO",))
    days = [replace(day, end_ns=day.begin_ns + 6 * 3600 * 10**9) for day in market_days_of(tables)]
    assert assert_agree(tables, days, Grid((4, 9), (300,), (2, 7)), 1_000.0) > 50


@settings(max_examples=25, deadline=None)
@given(rows=feeds())
def test_sql_and_kernel_agree_on_days_full_of_gaps_halts_and_ties(rows: Feed) -> None:
    specs = [
        {"spec_version": version, "taker_fee_bps": spec.taker_fee_bps, "is_delisted": spec.is_delisted}
        for version, spec in SPECS.items()
    ]
    tables = Tables(rows.bbo, rows.ctx, table("specs", specs))
    day = market_day(venue="sim", day=DAY, coin=COIN, feed=rows, specs=SPECS)
    assert_agree(tables, [day], Grid(THRESHOLDS_BPS, LATENCIES_MS[:2], HORIZONS_S[:2]), 20.0)
