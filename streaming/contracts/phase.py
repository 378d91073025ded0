"""`VerdictDoc`: what the platform found about every row of the phase table, as an operator's approval cites it.

Rule 1: a document is for exactly one venue and account; what was earned elsewhere is not in it.
Rule 2: its identity is the sha256 of its bytes as written; an approval is recorded with it.
Rule 3: a row that a document does not hold counts as NOT YET: missing input blocks.
Rule 4: rows are written by `hip3_platform`; the sidecar only reads states and names.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from streaming.contracts.paths import gold_path

PHASE_VERDICT = "phase_verdict"
"""Name of the gold table and of the document beside it."""
VERDICT_FORMAT: Literal[1] = 1

State = Literal["PASS", "FAIL", "NOT YET"]
Stage = Literal["paper", "micro", "steady"]
Action = Literal["review", "demote", "latch"]
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]

TESTNET_TRADES = "testnet_trades"
STAGE_ROWS: dict[str, tuple[str, ...]] = {
    "paper": (
        "unattended_day", "rate_use_and_degradation", "daily_figures", "positive_markets", "gate_stop_quality",
        "interval_distributions", "null_rate", "go_spec_questions", "go_preflight", "go_connection", "go_spot",
    ),
    "micro": (TESTNET_TRADES, "trade_count", "edge_after_costs", "stop_leak"),
    "steady": ("trade_count", "tail_losses", "gate_false_positives"),
}  # fmt: skip
"""Stage → rows that have to be PASS before it may be left; `observe` and `paper` are one stage."""
LEFT_BY: dict[str, Stage] = {"micro": "paper", "steady": "micro", "rotate": "steady"}
"""Phase that is asked for → stage that is left."""


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One requirement of a stage."""

    phase: Stage
    row: Name
    state: State
    figure: Text
    """What was found; empty where nothing was."""
    expected: Text
    evidence: Text
    """Tables and days it comes from, and what is missing."""


class VerdictExit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exit rule of a stage: PASS does not act, FAIL acts, NOT YET can not be judged."""

    phase: Stage
    row: Name
    state: State
    figure: Text
    expected: Text
    evidence: Text
    action: Action
    to_phase: str = ""
    """Phase that `demote` goes back to."""
    key: Text = ""
    """What exactly made it act: the same key is acted on once."""


class VerdictDoc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every row and exit of one venue and account as of the end of a day."""

    format: Literal[1] = VERDICT_FORMAT
    venue: Text
    account: Text
    """Master address in lower case, or `paper` where no order is signed."""
    day: Day
    code_version: Text
    inputs: dict[str, str]
    """Day → digest of the landing it was judged from."""
    rows: tuple[VerdictRow, ...]
    exits: tuple[VerdictExit, ...]


def encode_verdict(doc: VerdictDoc) -> bytes:
    """Return the canonical JSON bytes; equal documents have equal bytes."""
    return msgspec.json.format(msgspec.json.encode(doc, order="sorted"), indent=2) + b"\n"


def decode_verdict(raw: bytes) -> VerdictDoc:
    """Decode a document; raises `msgspec.DecodeError` (ValidationError for a wrong shape) naming the field."""
    return msgspec.json.decode(raw, type=VerdictDoc)


def verdict_sha256(raw: bytes) -> str:
    """Return the identity of a document: sha256 of its bytes as written."""
    return hashlib.sha256(raw).hexdigest()


def missing_rows(doc: VerdictDoc, phase: str) -> tuple[str, ...]:
    """Return what stands against approving `phase` by this document, one text a row; nothing below `micro`.

    On mainnet `micro` also asks for the testnet trades, which have to come before the first order there.
    """
    stage = LEFT_BY.get(phase)
    if stage is None:
        return ()
    wanted = [(stage, row) for row in STAGE_ROWS[stage]]
    if phase == "micro" and doc.venue == "mainnet":
        wanted.append(("micro", TESTNET_TRADES))
    found = {(row.phase, row.row): row for row in doc.rows}
    missing = []
    for key in wanted:
        row = found.get(key)
        if row is None:
            missing.append(f"{key[1]} is NOT YET: the document does not hold it")
        elif row.state != "PASS":
            missing.append(f"{row.row} is {row.state}: {row.figure or 'no data'}; expected {row.expected}")
    acting = [each for each in doc.exits if each.phase == stage and each.state == "FAIL"]
    return (*missing, *(f"exit {each.row} acts ({each.action}): {each.figure}" for each in acting))


def newest_verdict_path(root: Path, venue: str) -> Path | None:
    """Return the newest document of a venue; None if there is none."""
    folder = gold_path(root, table=PHASE_VERDICT, venue=venue, day="1970-01-01").parent
    found = sorted(folder.glob("day=*.json")) if folder.is_dir() else []
    return found[-1] if found else None
