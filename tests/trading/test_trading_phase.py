"""`hip3 phase` and the platform's token at a sidecar that can sign: what raises the phase, what lowers it."""

import json
import stat
from pathlib import Path

import msgspec
import pytest
from children import hip3
from trading_process import Desk, Trader, request

from hip3_platform.resources.phase_control import PhaseControl
from hip3_platform.resources.warehouse import WarehouseResource
from hip3_platform.sensors.phase_exit import obey_exits
from streaming.contracts.paths import gold_path
from streaming.contracts.phase import STAGE_ROWS, VerdictDoc, VerdictExit, VerdictRow, encode_verdict, verdict_sha256
from streaming.core.effects import PhaseChanged

STOP = {"reason": "tail loss", "operator": "platform"}


def phase(desk: Desk, *words: str) -> tuple[int, str, str]:
    """Run `hip3 phase` for a desk's sidecar."""
    done = hip3("phase", *words, "--config", str(desk.config_file))
    return done.returncode, done.stdout, done.stderr


def write_verdict(
    desk: Desk,
    *,
    account: str = "",
    failing: str = "",
    day: str = "2026-11-20",
    exits: tuple[VerdictExit, ...] = (),
) -> tuple[Path, str]:
    """Write a verdict document into the sidecar's warehouse and return its path and sha256."""
    rows = tuple(
        VerdictRow(
            phase=stage, row=row, state="FAIL" if row == failing else "PASS", figure="0.07", expected="at most 0.05",
            evidence="daily_metrics",
        )  # type: ignore[arg-type]
        for stage, names in STAGE_ROWS.items()
        for row in names
    )  # fmt: skip
    doc = VerdictDoc(
        venue="sim", account=account or desk.user, day=day, code_version="1", inputs={}, rows=rows, exits=exits
    )
    path = gold_path(desk.root / "w", table="phase_verdict", venue="sim", day=day, suffix="json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_verdict(doc))
    return path, verdict_sha256(path.read_bytes())


def by_platform(trader: Trader, path: str, body: object, method: str = "POST") -> tuple[int, object]:
    """Ask the way the platform does."""
    token = (trader.desk.root / "w" / "control" / "platform.token").read_text().strip()
    return request(method, trader.child.url + path, body, {"Authorization": f"Bearer {token}"})


def test_trading_phase_is_approved_by_a_verdict_alone_and_recorded_with_it(desk: Desk) -> None:
    approve = ("approve", "--to", "micro", "--reason", "14 days of evidence", "--operator", "ann")
    with desk.sidecar() as trader:
        code, _, error = phase(desk, *approve)
        assert (code, "a verdict is needed" in error) == (1, True), error
        code, text, _ = phase(desk, "status")
        assert (code, "none yet" in text, "there is no verdict yet" in text) == (0, True, True)

        write_verdict(desk, failing="null_rate")
        code, _, error = phase(desk, *approve)
        assert (code, "null_rate is FAIL: 0.07; expected at most 0.05" in error) == (1, True), error
        write_verdict(desk, account="0x" + "12" * 20)
        code, _, error = phase(desk, *approve)
        assert (code, "verdict is of account" in error) == (1, True), error
        assert trader.status().phase == "observe"

        path, sha256 = write_verdict(desk)
        before = json.loads(phase(desk, "status", "--json")[1])
        assert (before["phase"], before["next_phase"], before["missing"]) == ("observe", "micro", [])
        assert (before["path"], before["sha256"]) == (str(path), sha256)
        code, text, error = phase(desk, *approve)
        assert (code, sha256 in text) == (0, True), error
        (change,) = desk.outputs(PhaseChanged)
        assert (change.phase, change.operator, change.reason) == ("micro", "ann", "14 days of evidence")
        assert change.verdict_sha256 == sha256

        write_verdict(desk, failing="stop_leak", day="2026-11-21")
        text = phase(desk, "status")[1]
        assert "missing for steady (to leave micro):\n  - stop_leak is FAIL" in text
        assert text.startswith("phase     micro, not armed; venue sim")
        code, _, error = phase(desk, "approve", "--to", "steady", "--reason", "more")
        assert (code, "stop_leak is FAIL" in error) == (1, True)

        assert phase(desk, "demote", "--to", "steady", "--reason", "up")[0] == 1
        assert phase(desk, "approve", "--to", "paper", "--reason", "down")[0] == 1
        assert phase(desk, "demote", "--to", "paper", "--reason", "enough")[0] == 0
        assert trader.status().phase == "paper"
        assert [each.verdict_sha256 for each in desk.outputs(PhaseChanged)] == [sha256, ""]


def test_trading_phase_platform_token_takes_away_and_never_gives(desk: Desk) -> None:
    path, _ = write_verdict(desk)
    with desk.sidecar() as trader:
        token = desk.root / "w" / "control" / "platform.token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        raised = {"phase": "micro", "reason": "simulated", "operator": "platform"}
        code, answer = by_platform(trader, "/v1/phase", {**raised, "verdict": path.read_text()})
        assert (code, "never raise" in str(answer)) == (422, True)
        for verb, body in (("arm", {"is_armed": True, "operator": "p"}), ("reset", STOP), ("reload", None)):
            assert by_platform(trader, f"/v1/{verb}", body)[0] == 403, verb
        trader.arm()
        assert trader.status().phase == "micro"
        lowered = {"phase": "paper", "reason": "negative edge", "operator": "platform"}
        assert by_platform(trader, "/v1/phase", lowered)[0] == 200
        assert by_platform(trader, "/v1/phase", lowered)[0] == 200, "twice is once"
        assert [change.phase for change in desk.outputs(PhaseChanged)] == ["micro", "paper"]
        assert by_platform(trader, "/v1/stop", STOP)[0] == 200
        assert trader.status().stop_reason == "tail loss"
        assert by_platform(trader, "/v1/rotation", b"{}", "PUT")[0] != 403


@pytest.mark.parametrize("text", ["{}", "not json"])
def test_trading_phase_text_that_is_no_verdict_is_refused_by_name(desk: Desk, text: str) -> None:
    with desk.sidecar() as trader:
        body = {"phase": "micro", "reason": "x", "operator": "me", "verdict": text}
        code, answer = trader.post("/v1/phase", body)
        assert (code, answer["reasons"][0].startswith("verdict: expected")) == (422, True)
        path, _ = write_verdict(desk)
        path.write_text(text)
        code, _, error = phase(desk, "status")
        assert (code, "expected a verdict document" in error) == (2, True)


def test_trading_phase_sensor_demotes_and_stops_a_running_sidecar_once(desk: Desk) -> None:
    """The platform's real sensor and resource against the real control API."""
    acts = VerdictExit(
        phase="micro", row="negative_edge", state="FAIL", figure="-0.50 bps", expected="", evidence="round_trips",
        action="demote", to_phase="paper", key="micro of 1",
    )  # fmt: skip
    stops = msgspec.structs.replace(acts, row="tail_loss", action="latch", to_phase="", key="day of 1")
    warehouse = WarehouseResource(root=str(desk.root / "w"), venue="sim")
    control = PhaseControl(root=warehouse.root)
    with desk.sidecar() as trader:
        trader.arm()
        write_verdict(desk, exits=(acts, stops))
        first = obey_exits(None, warehouse, control)
        view = trader.status()
        assert view.phase == "paper"
        assert (view.stop_reason or "").startswith("phase exit tail_loss: -0.50 bps (verdict ")
        assert obey_exits(first.cursor, warehouse, control).asset_events == []
        assert obey_exits(None, warehouse, control).asset_events, "told again, and done already"
        assert [change.phase for change in desk.outputs(PhaseChanged)] == ["micro", "paper"]
        assert [change.operator for change in desk.outputs(PhaseChanged)] == ["test", "platform"]
        assert not control.demote("micro", "up again").is_accepted
        assert trader.status().phase == "paper"
