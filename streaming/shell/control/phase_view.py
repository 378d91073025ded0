"""`hip3 phase status`: the running sidecar's phase beside the newest verdict document, for people and for programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from streaming.contracts.control import StatusView
from streaming.contracts.paths import gold_path
from streaming.contracts.phase import (
    LEFT_BY,
    PHASE_VERDICT,
    VerdictDoc,
    decode_verdict,
    missing_rows,
    newest_verdict_path,
    verdict_sha256,
)
from streaming.core.errors import ConfigError
from streaming.shell.control.status_text import table

_HEAD = ("stage", "row", "state", "found", "expected", "evidence")
_NEXT = {"observe": "micro", "paper": "micro", "micro": "steady", "steady": "rotate"}


@dataclass(frozen=True, slots=True)
class Cited:
    """A verdict document as it lies in the warehouse, or where it was looked for."""

    path: Path
    raw: bytes = b""
    doc: VerdictDoc | None = None

    @property
    def sha256(self) -> str:
        """Identity of the document; empty without one."""
        return verdict_sha256(self.raw) if self.doc is not None else ""


def newest_verdict(root: Path, venue: str) -> Cited:
    """Return the newest document of a venue.

    Raises:
        ConfigError: If the file is there and can not be read as one.
    """
    path = newest_verdict_path(root, venue)
    if path is None:
        return Cited(gold_path(root, table=PHASE_VERDICT, venue=venue, day="1970-01-01", suffix="json").parent)
    try:
        raw = path.read_bytes()
        return Cited(path, raw, decode_verdict(raw))
    except OSError as error:
        raise ConfigError(f"expected to read {path}, found {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"expected a verdict document in {path}, found {str(error)[:150]}; run the asset gold/phase_verdict again"
        ) from error


def next_phase(running: StatusView | None) -> str:
    """Return the phase that would be approved next; empty above the last one."""
    return "micro" if running is None else _NEXT.get(running.phase, "")


def phase_json(running: StatusView | None, cited: Cited) -> str:
    """Return the phase, the document and what is missing as JSON."""
    doc, wanted = cited.doc, next_phase(running)
    shown: dict[str, Any] = {
        "phase": None if running is None else running.phase,
        "is_armed": None if running is None else running.is_armed,
        "venue": None if running is None else running.venue,
        "account": None if running is None else running.account,
        "next_phase": wanted or None,
        "missing": list(_missing(doc, wanted)),
        "path": str(cited.path),
        "sha256": cited.sha256 or None,
        "verdict": doc,
    }
    return msgspec.json.encode(shown).decode()


def phase_text(running: StatusView | None, cited: Cited) -> str:
    """Return the phase, every row with its state and figure, what is missing, and the file it was read from."""
    doc, wanted = cited.doc, next_phase(running)
    facts = [
        ("phase", "unknown: no sidecar runs in this warehouse" if running is None else _running_text(running)),
        ("verdict", f"none yet in {cited.path}" if doc is None else f"{cited.path} (sha256 {cited.sha256})"),
    ]
    if doc is not None:
        facts.append(("as of", f"{doc.day}, venue {doc.venue}, account {doc.account}, version {doc.code_version}"))
    lines = [f"{name:<9} {text}" for name, text in facts]
    parts = ["\n".join(lines) + "\n"]
    if doc is not None:
        rows = [(row.phase, row.row, row.state, row.figure, row.expected, row.evidence) for row in doc.rows]
        parts.append(table(_HEAD, rows))
        exits = [
            (each.phase, each.row, "acts" if each.state == "FAIL" else each.state, each.figure, each.expected,
             f"{each.action} {each.to_phase}".strip()) for each in doc.exits
        ]  # fmt: skip
        parts.append(table(("stage", "exit", "state", "found", "acts when", "action"), exits))
    parts.append(_missing_text(doc, wanted))
    return "\n".join(parts)


def _running_text(running: StatusView) -> str:
    armed = "armed" if running.is_armed else "not armed"
    return f"{running.phase}, {armed}; venue {running.venue}, account {running.account or 'none (observing)'}"


def _missing(doc: VerdictDoc | None, wanted: str) -> tuple[str, ...]:
    if not wanted:
        return ()
    return ("there is no verdict yet: run the asset gold/phase_verdict",) if doc is None else missing_rows(doc, wanted)


def _missing_text(doc: VerdictDoc | None, wanted: str) -> str:
    if not wanted:
        return "nothing comes after this phase\n"
    missing = _missing(doc, wanted)
    if not missing:
        return f"nothing is missing for {wanted}: hip3 phase approve --to {wanted} --reason ...\n"
    stage = LEFT_BY[wanted]
    return f"missing for {wanted} (to leave {stage}):\n" + "".join(f"  - {text}\n" for text in missing)
