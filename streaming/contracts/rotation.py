"""`RotationDoc`: the one document that goes from the platform to the sidecar.

Rule 1: versions only go forward; a rollback is a new version with old content.
Rule 2: the identity of a document is the sha256 of its canonical bytes; a push names the document it replaces.
Rule 3: it can tighten limits, never widen them beyond the sidecar's file, and it expires.
Rule 4: bounds live in the types: what decodes can be journaled, stored and compared (a NaN can not be).
"""

import hashlib
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

ROTATION_FORMAT: Literal[1] = 1

Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
InstantNs = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Coin = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
_NUMBER_MAX = Decimal(10) ** 12
_DECIMALS_MAX = 12


class RotationMarket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may be traded, and why."""

    coin: Coin
    ntl_max: Decimal
    rank: Ordinal
    score_bps: Decimal
    reason: Text

    def __post_init__(self) -> None:
        """Refuse numbers that could not be stored; the decoder names the market."""
        for name, number in (("ntl_max", self.ntl_max), ("score_bps", self.score_bps)):
            if not _is_plain(number):
                raise ValueError(f"{name}: expected a finite number below 1e12 in steps of 1e-12, found {number:.20}")


class RotationExclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may not be traded, and why."""

    coin: Coin
    reason: Text
    is_blacklisted: bool


class RotationDoc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Markets allowed until `expires_ts_ns`, for exactly one venue and account."""

    format: Literal[1] = ROTATION_FORMAT
    version: Ordinal
    venue: Text
    account: Text
    """Master address, or `paper` where no order is signed."""
    as_of_day: Day
    created_ts_ns: InstantNs
    expires_ts_ns: InstantNs
    code_version: Text
    config_hash: Text
    """Hash of the sidecar configuration whose rows were judged; empty when several were."""
    markets: tuple[RotationMarket, ...]
    excluded: tuple[RotationExclusion, ...]


def _is_plain(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_DECIMALS_MAX and abs(number) < _NUMBER_MAX


def encode_rotation(doc: RotationDoc) -> bytes:
    """Return the canonical JSON bytes; equal documents have equal bytes."""
    return msgspec.json.encode(doc, order="sorted")


def decode_rotation(raw: bytes) -> RotationDoc:
    """Decode a document; raises `msgspec.DecodeError` (ValidationError for a wrong shape) naming the field."""
    return msgspec.json.decode(raw, type=RotationDoc)


def rotation_sha256(raw: bytes) -> str:
    """Return the identity of a document: sha256 of its bytes as sent."""
    return hashlib.sha256(raw).hexdigest()
