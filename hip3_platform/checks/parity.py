"""Parity: what the engine decides on the recorded inputs of a day equals what was recorded (`hip3 replay`).

The platform starts the replay as a child, so it imports nothing of the sidecar. The check names the first decision that
differs. It does not block: the figures describe what the sidecar did; parity says whether it would do it again.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg
import msgspec

from hip3_platform.assets.common import bronze_key, gold_key
from hip3_platform.checks.result import check_spec, recorded
from hip3_platform.resources.clock import Clock
from hip3_platform.resources.warehouse import WarehouseResource
from streaming.contracts.paths import checked_day, journal_folder

REPLAY_TIMEOUT_S = 1_800
KEY, NAME = bronze_key("signals"), "parity"
_result = partial(dg.AssetCheckResult, asset_key=KEY, check_name=NAME)
_SHOWN = 600


def journaled_sessions(warehouse: WarehouseResource, day: str) -> tuple[str, ...]:
    """Return the sessions with rows on that day whose journal is still there (history has none)."""
    folder = journal_folder(warehouse.path, warehouse.checked_venue)
    sessions = {line.session_id for line in warehouse.landing().by_day.get(day, ())}
    return tuple(sorted(session for session in sessions if (folder / session).is_dir()))


def run_replay(warehouse: WarehouseResource, day: str) -> subprocess.CompletedProcess[bytes]:
    """Run `hip3 replay` over the journals of a day and return its answer."""
    command = [
        "nice", "-n", "10",  # the live sidecar comes first
        sys.executable, "-m", "streaming.cli", "replay", "--day", checked_day(day), "--venue", warehouse.checked_venue,
        "--warehouse", str(warehouse.path), "--json",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, timeout=REPLAY_TIMEOUT_S, check=False)  # noqa: S603 - our own


def _answer_of(child: subprocess.CompletedProcess[bytes]) -> dict[str, Any] | None:
    try:
        answer = msgspec.json.decode(child.stdout)
    except msgspec.DecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def judge_parity(warehouse: WarehouseResource, day: str) -> dg.AssetCheckResult:
    """Replay the journals of a day; a difference is an error that does not block."""
    sessions = journaled_sessions(warehouse, day)
    if not sessions:
        return _result(passed=True, description="no journaled session that day", metadata={"sessions": 0})
    try:
        child = run_replay(warehouse, day)
    except subprocess.TimeoutExpired:
        return _result(passed=False, description=f"the replay took longer than {REPLAY_TIMEOUT_S} s")
    answer = _answer_of(child)
    said = child.stderr.decode(errors="replace")[-_SHOWN:]
    if answer is None:
        return _result(passed=False, description=f"exit code {child.returncode}: {said or 'no answer'}")
    difference = answer.get("first_difference")
    is_equal = child.returncode == 0 and not difference
    metadata: dict[str, Any] = {"sessions": len(sessions), "answer": dg.MetadataValue.json(answer)}
    if isinstance(difference, dict):
        metadata |= _difference_metadata(difference)
    return _result(
        passed=is_equal,
        severity=dg.AssetCheckSeverity.ERROR,
        description="decisions are equal" if is_equal else _difference_text(answer, said)[:_SHOWN],
        metadata=metadata,
    )


def _difference_text(answer: dict[str, Any], said: str) -> str:
    difference = answer.get("first_difference")
    if isinstance(difference, dict):
        gates = [row for row in _gate_rows(difference) if row["recorded"] != row["decided"]]
        shown = "; ".join(f"{row['gate']} recorded {row['recorded']}, decided {row['decided']}" for row in gates)
        where = " ".join(str(difference.get(name, "")) for name in ("session_id", "event", "coin")).strip()
        return f"first difference: {where} at seq {difference.get('seq')}; {shown or 'equal gate vectors'}"
    if answer.get("state_difference_count"):
        return f"{answer['state_difference_count']} snapshots differ from the state that was reached; no decision does"
    return f"the replay is not equal and names no difference: {said}"


def _difference_metadata(difference: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of the first difference: the row, both decisions, both gate vectors side by side."""
    names = ("gate", "recorded", "decided")
    records = [dg.TableRecord({name: row[name] for name in names}) for row in _gate_rows(difference)]
    told = {
        "first_bad_row": f"{difference.get('session_id')} seq {difference.get('seq')} {difference.get('coin')}",
        "expected": dg.MetadataValue.json(difference.get("decided") or []),
        "found": dg.MetadataValue.json(difference.get("recorded") or []),
    }
    if records:
        schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names])
        told["gates"] = dg.MetadataValue.table(records, schema=schema)
    return told


def _gate_rows(difference: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row a gate (and signal of that input): what was recorded beside what is decided now."""
    sides: list[dict[str, str]] = []
    for side in ("recorded_gates", "decided_gates"):
        vectors = difference.get(side) or []
        sides.append({
            gate["gate"] + (f" #{at}" if at > 1 else ""): _gate_text(gate)
            for at, vector in enumerate(vectors, 1)
            for gate in vector
        })  # fmt: skip
    recorded, decided = sides
    return [
        {"gate": gate, "recorded": recorded.get(gate, "none"), "decided": decided.get(gate, "none")}
        for gate in dict.fromkeys((*recorded, *decided))
    ]


def _gate_text(gate: dict[str, Any]) -> str:
    observed, limit = (gate.get(name) for name in ("observed", "limit"))
    return f"{gate.get('status')} (observed {observed}, limit {limit})"


def build_parity_check(partitions: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check `parity` of bronze/signals; it runs after the rotation, which does not wait for it."""

    @dg.multi_asset_check(
        name="signals_parity", specs=[check_spec(KEY, NAME, partitions, needs=[gold_key("rotation")])]
    )
    def parity(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key
        yield from recorded(warehouse, clock, day, [judge_parity(warehouse, day)])

    return parity
