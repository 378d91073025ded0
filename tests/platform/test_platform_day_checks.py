"""The record of a day's checks: what did not run is never passed, the last look wins, and no writer loses another's."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from platform_warehouse import DAY_1, VENUE

from hip3_platform.analytics.day_checks import DAY_CHECKS, Key, Look, read_looks, record_looks, states_of
from hip3_platform.definitions import build_definitions
from hip3_platform.resources.policy import RotationPolicy
from hip3_platform.resources.warehouse import WarehouseResource

SEQUENCE, GAPS = ("bronze/bbo", "sequence"), ("bronze/ctx", "gaps")
GOOD, BAD = Look(is_passed=True, is_error=False, finding="fine"), Look(is_passed=False, is_error=True, finding="torn")


def _record(root: Path, looks: dict[Key, Look], ts_ns: int, digest: str = "d1") -> None:
    record_looks(root, VENUE, DAY_1, looks, digest=digest, ts_ns=ts_ns)


def _states(root: Path) -> dict[Key, dict[str, Any]]:
    rows = states_of(read_looks(root, VENUE, DAY_1)).to_dicts()
    return {(row["table"], row["check"]): row for row in rows}


def test_checks_of_a_day_are_those_of_the_code_location_and_block_alike(warehouse: WarehouseResource) -> None:
    defs = build_definitions(warehouse, RotationPolicy(), first=DAY_1)
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.asset_check_keys]
    of_days = {
        (node.key.asset_key.to_user_string(), node.key.name): node.blocking for node in nodes if node.partitions_def
    }
    assert of_days == {key: check.is_blocking for key, check in DAY_CHECKS.items()}
    assert len(nodes) > len(of_days), "the sidecar's checks belong to no day"


def test_day_without_a_record_has_every_check_and_none_of_them_ran(tmp_path: Path) -> None:
    assert read_looks(tmp_path, VENUE, DAY_1) is None
    states = _states(tmp_path)
    assert set(states) == set(DAY_CHECKS)
    assert {row["state"] for row in states.values()} == {"not run"}


def test_last_look_wins_and_the_others_stay(tmp_path: Path) -> None:
    _record(tmp_path, {SEQUENCE: BAD, GAPS: GOOD}, 10)
    _record(tmp_path, {SEQUENCE: GOOD}, 20)
    states = _states(tmp_path)
    assert [(states[key]["state"], states[key]["at_ts_ns"]) for key in (SEQUENCE, GAPS)] == [
        ("passed", 20), ("passed", 10),
    ]  # fmt: skip
    assert sum(row["state"] == "not run" for row in states.values()) == len(DAY_CHECKS) - 2


def test_look_at_what_had_landed_before_counts_as_not_run_and_says_what_it_said(tmp_path: Path) -> None:
    _record(tmp_path, {SEQUENCE: GOOD, GAPS: BAD}, 10)
    _record(tmp_path, {GAPS: GOOD}, 20, digest="d2")
    row = _states(tmp_path)[SEQUENCE]
    assert (row["state"], row["at_ts_ns"]) == ("not run", 10)
    assert "has landed since it passed: fine" in row["finding"]
    assert _states(tmp_path)[GAPS]["state"] == "passed"


def test_failures_come_first_and_say_whether_they_are_errors(tmp_path: Path) -> None:
    odd = Look(is_passed=False, is_error=False, finding="two\n lines")
    _record(tmp_path, {SEQUENCE: GOOD, GAPS: odd, ("bronze/signals", "parity"): BAD}, 10)
    rows = states_of(read_looks(tmp_path, VENUE, DAY_1)).rows(named=True)
    assert [(row["check"], row["severity"], row["finding"], row["is_blocking"]) for row in rows[:2]] == [
        ("gaps", "warning", "two lines", False), ("parity", "error", "torn", False),
    ]  # fmt: skip
    assert rows[-1]["check"] == "sequence"


def test_check_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="gone"):
        _record(tmp_path, {("bronze/bbo", "gone"): GOOD}, 10)


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: _record(tmp_path, {key: GOOD}, 10), DAY_CHECKS))
    assert {row["state"] for row in _states(tmp_path).values()} == {"passed"}


def test_red_table_leaves_what_it_stopped_as_not_run(one_day: WarehouseResource, run_day) -> None:
    part = one_day.path / one_day.landing().of(DAY_1, "bbo")[0].path
    raw = bytearray(part.read_bytes())
    raw[200] ^= 0x40
    part.write_bytes(raw)
    result = run_day(DAY_1)
    states = _states(one_day.path)
    said = {
        (e.asset_key.to_user_string(), e.check_name): "passed" if e.passed else "failed"
        for e in result.get_asset_check_evaluations()
    }
    assert {key: row["state"] for key, row in states.items() if row["state"] != "not run"} == said
    assert said["bronze/bbo", "contract"] == "failed"
    assert "sha256" in states["bronze/bbo", "contract"]["finding"]
    assert states["gold/market_ranking", "freshness"]["state"] == "not run"
