"""Where rotations lie, every version of them, and what operators did: the only module here that reads and writes.

    <root>/gold/rotation/venue=<v>/day=<D>.json                   newest version of a day: what is pushed
    <root>/gold/rotation_versions/venue=<v>/day=<D>.<RR>.json     every version, never changed: what a rollback goes to
    <root>/control/rotation-acts-<v>.jsonl                        approvals and rollbacks, append only

Rule 1: a day that is judged again applies the acts of that day again, in order, so nothing an operator did is undone by
a late file. An act that no longer fits (a market that is not proposed any more, or is blacklisted) has no effect.
Rule 2: writers hold one lock; the act is on disk before the document that follows from it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from hip3_platform.analytics.rotating.document import (
    REVISION_COUNT,
    RotationRefused,
    approved,
    revised,
    rolled_back,
)
from hip3_platform.analytics.store import write_bytes
from streaming.contracts.paths import checked_name, control_folder, gold_path
from streaming.contracts.rotation import RotationDoc, decode_rotation, encode_rotation

ROTATION = "rotation"
VERSIONS = "rotation_versions"


class Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator did to the document of one day."""

    kind: Literal["approve", "rollback"]
    as_of_day: str
    version: int
    """Document that was looked at."""
    coins: tuple[str, ...] = ()
    """Approved."""
    to_version: int = 0
    """Whose content was put back."""
    operator: str
    reason: str


@contextmanager
def rotation_lock(root: Path) -> Iterator[None]:
    """Hold the lock of everybody who writes rotations of this warehouse."""
    folder = control_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rotation.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _acts_path(root: Path, venue: str) -> Path:
    return control_folder(root) / f"rotation-acts-{checked_name(venue)}.jsonl"


def read_acts(root: Path, venue: str) -> tuple[Act, ...]:
    """Return what operators did, in order; raises msgspec.DecodeError for a line that is none."""
    path = _acts_path(root, venue)
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return tuple(msgspec.json.decode(line, type=Act) for line in lines)


def _append_act(root: Path, venue: str, act: Act) -> None:
    with _acts_path(root, venue).open("ab") as file:
        file.write(msgspec.json.encode(act) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_day(root: Path, venue: str, day: str) -> RotationDoc | None:
    """Return the newest version of a day's document."""
    path = gold_path(root, table=ROTATION, venue=venue, day=day, suffix="json")
    return decode_rotation(path.read_bytes()) if path.is_file() else None


def read_version(root: Path, venue: str, version: int) -> RotationDoc:
    """Return one version; raises RotationRefused if it is not there."""
    digits, revision = divmod(version, REVISION_COUNT)
    text = f"{digits:08d}"
    path = _version_path(root, venue, f"{text[:4]}-{text[4:6]}-{text[6:]}", revision)
    if not path.is_file():
        raise RotationRefused(
            f"expected a version of {path.parent}, found no {version}; `hip3 rotation show` says which"
        )
    return decode_rotation(path.read_bytes())


def _version_path(root: Path, venue: str, day: str, revision: int) -> Path:
    try:
        return gold_path(root, table=VERSIONS, venue=venue, day=day, suffix=f"{revision:02d}.json")
    except ValueError as error:
        raise RotationRefused(f"expected a version as YYYYMMDDRR: {error}") from error


def versions(root: Path, venue: str) -> tuple[int, ...]:
    """Return every version stored, ascending."""
    folder = gold_path(root, table=VERSIONS, venue=venue, day="1970-01-01").parent
    names = [path.name.split(".") for path in folder.glob("day=*.*.json")] if folder.is_dir() else []
    return tuple(sorted(int(n[0][4:].replace("-", "")) * REVISION_COUNT + int(n[1]) for n in names))


def document_before(root: Path, venue: str, day: str) -> RotationDoc | None:
    """Return the newest document of an earlier day, the state that `day` begins with."""
    folder = gold_path(root, table=ROTATION, venue=venue, day=day).parent
    names = sorted(path.name for path in folder.glob("day=*.json")) if folder.is_dir() else []
    earlier = [name[4:14] for name in names if name[4:14] < day]
    return read_day(root, venue, earlier[-1]) if earlier else None


def newest(root: Path, venue: str) -> RotationDoc | None:
    """Return the document of the highest version."""
    return document_before(root, venue, "9999-12-31")


def settle(root: Path, doc: RotationDoc) -> tuple[RotationDoc, Path]:
    """Apply the acts of its day to a document that `rotate` made, version it and store it. Hold `rotation_lock`.

    Returns:
        The document as stored, and where.
    """
    for act in read_acts(root, doc.venue):
        if act.as_of_day == doc.as_of_day:
            doc = _repeated(root, doc, act)
    return _store(root, doc)


def _repeated(root: Path, doc: RotationDoc, act: Act) -> RotationDoc:
    if act.kind == "rollback":
        return _rollback(root, doc, act)
    still = [coin for coin in act.coins if coin in {p.market.coin for p in doc.proposed}]
    return approved(doc, still, operator=act.operator, reason=act.reason) if still else doc


def _rollback(root: Path, doc: RotationDoc, act: Act) -> RotationDoc:
    # The document that was looked at was newer than the one rolled back to; what is made of the day now is no older.
    looked_at = msgspec.structs.replace(doc, version=act.version)
    old = read_version(root, doc.venue, act.to_version)
    try:
        return rolled_back(looked_at, old, operator=act.operator, reason=act.reason)
    except RotationRefused:
        return doc


def _store(root: Path, doc: RotationDoc) -> tuple[RotationDoc, Path]:
    stored = read_day(root, doc.venue, doc.as_of_day)
    doc = revised(doc, stored)
    raw = encode_rotation(doc)
    path = gold_path(root, table=ROTATION, venue=doc.venue, day=doc.as_of_day, suffix="json")
    # A reader that finds a version in force finds it in the archive too.
    write_bytes(_version_path(root, doc.venue, doc.as_of_day, doc.version % REVISION_COUNT), raw)
    write_bytes(path, raw)
    return doc, path


def _looked_at(root: Path, venue: str, version: int | None) -> RotationDoc:
    doc = newest(root, venue)
    if doc is None:
        raise RotationRefused(f"there is no rotation of {venue} in {root}; a closed day makes one")
    if version is not None and version != doc.version:
        raise RotationRefused(f"expected the newest version, {doc.version}, found {version}; look at it first")
    return doc


def approve(
    root: Path, venue: str, *, version: int | None, coins: Sequence[str], operator: str, reason: str
) -> RotationDoc:
    """Let proposed markets of the newest document in (all of them when none is named); returns the new version.

    Raises:
        RotationRefused: If `version` is not the newest, or a market is not proposed.
    """
    with rotation_lock(root):
        doc = _looked_at(root, venue, version)
        chosen = tuple(sorted(set(coins))) or tuple(p.market.coin for p in doc.proposed)
        made = approved(doc, chosen, operator=operator, reason=reason)
        act = Act(kind="approve", as_of_day=doc.as_of_day, version=doc.version, coins=chosen, operator=operator,
                  reason=reason)  # fmt: skip
        _append_act(root, venue, act)
        return _store(root, made)[0]


def roll_back(
    root: Path, venue: str, *, version: int | None, to_version: int, operator: str, reason: str
) -> RotationDoc:
    """Put the content of an older version in force as a new one; returns it.

    Raises:
        RotationRefused: If `version` is not the newest, or the older one is missing or may not come back.
    """
    with rotation_lock(root):
        doc = _looked_at(root, venue, version)
        old = read_version(root, venue, to_version)
        made = rolled_back(doc, old, operator=operator, reason=reason)
        act = Act(kind="rollback", as_of_day=doc.as_of_day, version=doc.version, to_version=to_version,
                  operator=operator, reason=reason)  # fmt: skip
        _append_act(root, venue, act)
        return _store(root, made)[0]
