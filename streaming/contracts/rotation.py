"""`RotationDoc`: the one document that goes from the platform to the sidecar.

Rule 1: versions only go forward; a rollback is a new version with old content.
Rule 2: the identity of a document is the sha256 of its canonical bytes; a push names the document it replaces.
Rule 3: it can tighten limits, never widen them beyond the sidecar's file, and it expires.
"""

import hashlib
from decimal import Decimal

import msgspec

ROTATION_FORMAT = 1


class RotationMarket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may be traded, and why."""

    coin: str
    ntl_max: Decimal
    rank: int
    score_bps: Decimal
    reason: str


class RotationExclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may not be traded, and why."""

    coin: str
    reason: str
    is_blacklisted: bool


class RotationDoc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Markets allowed until `expires_ts_ns`, for exactly one venue and account."""

    format: int = ROTATION_FORMAT
    version: int
    venue: str
    account: str
    """Master address, or `paper` where no order is signed."""
    as_of_day: str
    created_ts_ns: int
    expires_ts_ns: int
    code_version: str
    config_hash: str
    """Hash of the sidecar configuration whose rows were judged; empty when several were."""
    markets: tuple[RotationMarket, ...]
    excluded: tuple[RotationExclusion, ...]


def encode_rotation(doc: RotationDoc) -> bytes:
    """Return the canonical JSON bytes; equal documents have equal bytes."""
    return msgspec.json.encode(doc, order="sorted")


def decode_rotation(raw: bytes) -> RotationDoc:
    """Decode a document; raises `msgspec.DecodeError` (ValidationError for a wrong shape) naming the field."""
    return msgspec.json.decode(raw, type=RotationDoc)


def rotation_sha256(raw: bytes) -> str:
    """Return the identity of a document: sha256 of its bytes as sent."""
    return hashlib.sha256(raw).hexdigest()
