"""`RotationDoc`: the one document that goes from the platform to the sidecar.

Rule 1: versions only go forward; a rollback is a new version with old content.
Rule 2: the identity of a document is the sha256 of its canonical bytes; a push names the document it replaces.
Rule 3: it can tighten limits, never widen them beyond the sidecar's file, and it expires.
Rule 4: bounds live in the types: what decodes can be journaled, stored and compared (a NaN can not be).
Rule 5: every market watched is explained exactly once, with what decided; nobody has to ask why.
Rule 6: what waits for an operator stands in `proposed` and may not be traded.
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
DurationMs = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
Decision = Literal[
    "kept", "added", "dropped", "replaced", "unallotted", "proposed", "waiting", "shadow", "confirming", "out",
    "blacklisted",
]  # fmt: skip
"""Members: kept, added, unallotted (too small an order). Left today: dropped, replaced. Not in: the rest."""
_NUMBER_MAX = Decimal(10) ** 12
_DECIMALS_MAX = 12


class RotationMarket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may be traded, how, and why. Settings only tighten: None and False leave the sidecar's own."""

    coin: Coin
    ntl_max: Decimal
    rank: Ordinal
    score_bps: Decimal
    """Lower bound of what a fill earns."""
    reason: Text
    threshold_bps: Decimal | None = None
    """Raw edge an entry needs, at least the sidecar's own threshold."""
    is_oracle_led_only: bool = False
    """Whether only crosses that an oracle update caused are entered."""
    hold_ms_max: DurationMs | None = None
    """Time stop, at most the sidecar's own."""

    def __post_init__(self) -> None:
        """Refuse numbers that could not be stored; the decoder names the market."""
        _refuse_odd(ntl_max=self.ntl_max, score_bps=self.score_bps, threshold_bps=self.threshold_bps)


class RotationExclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that may not be traded, and why."""

    coin: Coin
    reason: Text
    is_blacklisted: bool
    blacklisted_until: Day | None = None
    """Last day it stays on the list; None is for good, or not blacklisted."""


class RotationExplanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was decided about one market, by which figures, against which other one; also the state of the next day."""

    coin: Coin
    decision: Decision
    reason: Text
    confirmed_days: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """Consecutive days on which it would have entered, counted up to what entering takes."""
    member_since: Day | None = None
    """As-of day on which it entered; None is not a member."""
    mean_usd: Decimal | None = None
    """Dollars a day."""
    se_usd: Decimal | None = None
    score_usd: Decimal | None = None
    """Lower bound: mean - 1 standard error; None is unknown."""
    against: Text = ""
    """The market it was compared with: the next in line of a member, the one to beat of a challenger."""
    against_score_usd: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that could not be stored."""
        _refuse_odd(
            mean_usd=self.mean_usd,
            se_usd=self.se_usd,
            score_usd=self.score_usd,
            against_score_usd=self.against_score_usd,
        )


class RotationProposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market that waits for an operator's approval, and the one it would replace."""

    market: RotationMarket
    replaces: Text = ""
    """Market that leaves when this one enters; empty when a place is free."""


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
    proposed: tuple[RotationProposal, ...] = ()
    """Markets that would enter if an operator approved."""
    explanations: tuple[RotationExplanation, ...] = ()
    stands_down: bool = False
    """An empty list of markets is meant: it ends what the document before allowed."""
    note: Text = ""
    """What an operator did to it, with name and reason."""


def _refuse_odd(**numbers: Decimal | None) -> None:
    for name, number in numbers.items():
        if number is not None and not _is_plain(number):
            raise ValueError(f"{name}: expected a finite number below 1e12 in steps of 1e-12, found {number:.20}")


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
