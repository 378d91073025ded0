"""The verdict document: what stands against a phase, and that its bytes are its identity."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from streaming.contracts.paths import gold_path
from streaming.contracts.phase import (
    STAGE_ROWS,
    VerdictDoc,
    VerdictExit,
    VerdictRow,
    decode_verdict,
    encode_verdict,
    missing_rows,
    newest_verdict_path,
    verdict_sha256,
)


def a_document(states: dict[tuple[str, str], str] | None = None, **changes: object) -> VerdictDoc:
    """Return a document in which every row is PASS but those named."""
    states = states or {}
    rows = tuple(
        VerdictRow(phase=stage, row=row, state=states.get((stage, row), "PASS"), figure="1", expected="1", evidence="t")  # type: ignore[arg-type]
        for stage, names in STAGE_ROWS.items()
        for row in names
    )
    fields = {
        "venue": "testnet", "account": "0x1", "day": "2026-11-20", "code_version": "1", "inputs": {}, "rows": rows,
        "exits": (),
    }  # fmt: skip
    return VerdictDoc(**{**fields, **changes})  # type: ignore[arg-type]  # each a field of the document


@pytest.mark.parametrize("phase", ["micro", "steady", "rotate"])
def test_nothing_is_missing_when_every_row_passes(phase: str) -> None:
    assert missing_rows(a_document(), phase) == ()


@pytest.mark.parametrize("phase", ["observe", "paper"])
def test_phases_without_real_orders_need_nothing(phase: str) -> None:
    assert missing_rows(a_document(rows=()), phase) == ()


@pytest.mark.parametrize(("phase", "stage"), [("micro", "paper"), ("steady", "micro"), ("rotate", "steady")])
@pytest.mark.parametrize("state", ["FAIL", "NOT YET"])
def test_each_row_that_does_not_pass_stands_against_its_own_phase_only(phase: str, stage: str, state: str) -> None:
    for row in STAGE_ROWS[stage]:
        doc = a_document({(stage, row): state})
        (text,) = missing_rows(doc, phase)
        assert text.startswith(f"{row} is {state}")
        assert all(missing_rows(doc, other) == () for other in {"micro", "steady", "rotate"} - {phase})


def test_row_that_the_document_does_not_hold_is_not_yet() -> None:
    doc = a_document()
    cut = msgspec.structs.replace(doc, rows=tuple(row for row in doc.rows if row.row != "null_rate"))
    (text,) = missing_rows(cut, "micro")
    assert text.startswith("null_rate is NOT YET")


def test_mainnet_asks_for_the_testnet_trades_before_micro() -> None:
    states = {("micro", "testnet_trades"): "NOT YET"}
    assert missing_rows(a_document(states), "micro") == ()
    (text,) = missing_rows(a_document(states, venue="mainnet"), "micro")
    assert text.startswith("testnet_trades is NOT YET")


def test_exit_that_acts_stands_against_leaving_its_stage_upwards() -> None:
    acts = VerdictExit(
        phase="micro", row="negative_edge", state="FAIL", figure="-2", expected="", evidence="", action="demote",
        to_phase="paper", key="k",
    )  # fmt: skip
    (text,) = missing_rows(a_document(exits=(acts,)), "steady")
    assert "negative_edge" in text
    assert missing_rows(a_document(exits=(acts,)), "micro") == (), "else nobody could ever begin again"
    quiet = msgspec.structs.replace(acts, state="NOT YET")
    assert missing_rows(a_document(exits=(quiet,)), "steady") == ()


def test_document_survives_its_bytes_and_is_named_by_them() -> None:
    doc = a_document()
    raw = encode_verdict(doc)
    assert decode_verdict(raw) == doc
    assert verdict_sha256(raw) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"format": 2}', encode_verdict(a_document())[:-40]])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_verdict(raw)


def test_newest_document_is_that_of_the_last_day(tmp_path: Path) -> None:
    assert newest_verdict_path(tmp_path, "sim") is None
    for day in ("2026-11-20", "2026-12-01", "2026-11-30"):
        path = gold_path(tmp_path, table="phase_verdict", venue="sim", day=day, suffix="json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = newest_verdict_path(tmp_path, "sim")
    assert found is not None
    assert found.name == "day=2026-12-01.json"
