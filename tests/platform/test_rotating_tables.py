"""What a rotation reads of bronze: incidents, configuration, phase, fees."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.rotating import blacklist
from hip3_platform.analytics.rotating.blacklist import BlacklistRule
from hip3_platform.analytics.rotating.settings import Own
from hip3_platform.analytics.rotating.tables import Sidecar, incidents_on, sidecar_on
from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import bronze_path
from streaming.contracts.tables import TABLES

DAYS = ("2026-11-26", "2026-11-27", "2026-11-28")
D = Decimal


def put(root: Path, table: str, day: str, market: str, **columns: list[Any]) -> None:
    """Write a bronze file that has only the columns a test cares about."""
    schema = pl.DataFrame(pl.from_arrow(TABLES[table].schema.empty_table())).schema
    frame = pl.DataFrame(columns, schema={name: schema[name] for name in columns})
    path = bronze_path(root, table=table, venue="sim", day=day, coin=market)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(path, frame)


def config(edge_bps_min: str) -> str:
    return msgspec.json.encode({"limits": {"detector": {"edge_bps_min": edge_bps_min}}}).decode()


def test_an_empty_warehouse_knows_nothing(tmp_path: Path) -> None:
    assert sidecar_on(tmp_path, "sim", DAYS, ["xyz:A"]) == Sidecar(phase="", own={}, correlation_groups={})


def test_the_newest_row_up_to_the_day_counts_wherever_it_lies(tmp_path: Path) -> None:
    put(tmp_path, "events", DAYS[0], NO_MARKET, ts_ns=[9, 5], seq=[2, 1], kind=["phase_changed"] * 2,
        state=["steady", "micro"])  # fmt: skip
    put(tmp_path, "events", DAYS[1], NO_MARKET, ts_ns=[20], seq=[9], kind=["arm_changed"], state=["armed"])
    put(tmp_path, "configs", DAYS[0], NO_MARKET, ts_ns=[1], seq=[1], config_json=[config("9")])
    put(tmp_path, "configs", DAYS[1], NO_MARKET, ts_ns=[21, 20], seq=[9, 8], config_json=[config("2"), config("7")])
    put(tmp_path, "specs", DAYS[2], "xyz:A", ts_ns=[30, 31], seq=[1, 2], taker_fee_bps=[D(9), D("0.9")])
    found = sidecar_on(tmp_path, "sim", DAYS, ["xyz:A", "xyz:B"])
    # 2 x 0.9 + slippage 1 + least edge 2
    assert found.own == {"xyz:A": Own(D("4.8"), 5_000), "xyz:B": Own(None, 5_000)}
    assert found.phase == "steady"
    assert sidecar_on(tmp_path, "sim", DAYS[:1], ["xyz:A"]).own == {"xyz:A": Own(None, 5_000)}


def test_incidents_of_a_day_are_those_of_its_markets(tmp_path: Path) -> None:
    put(tmp_path, "events", DAYS[2], "xyz:A", coin=["xyz:A"], kind=["gate_changed"], subject=["halt"], state=["block"],
        detail=["was pass; observed 1, limit 0"])  # fmt: skip
    put(tmp_path, "specs", DAYS[2], "xyz:B", coin=["xyz:B"] * 2, spec_version=["a", "b"])
    put(tmp_path, "round_trips", DAYS[2], "xyz:B", coin=["xyz:B"], sz=[D(1)], entry_px=[D(100)], pnl=[D(-3)])
    metrics = pl.DataFrame({"coin": ["xyz:A", "xyz:B"], "oracle_stale_rate": [0.5, 0.0]}, schema=blacklist.METRICS)
    found = incidents_on(tmp_path, "sim", DAYS[2], ["xyz:A", "xyz:B"], metrics, BlacklistRule())
    assert found.select("coin", "kind").rows() == [
        ("xyz:A", "halt"), ("xyz:A", "oracle_stall"), ("xyz:B", "parameter_change"), ("xyz:B", "tail_loss")
    ]  # fmt: skip
    assert incidents_on(tmp_path, "sim", DAYS[1], ["xyz:A"], metrics.clear(), BlacklistRule()).is_empty()
