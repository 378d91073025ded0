"""Hashes and signatures of exchange actions: keccak, EIP-712 and secp256k1, functions of bytes alone.

Rule 1: an L1 action is hashed as msgpack in key order + nonce + vault + expiresAfter; the hash is signed as an `Agent`.
Rule 2: a user-signed action hashes only the fields of `USER_SIGNED`; the chain id it names is part of the domain.
Rule 3: keys and signatures never appear in an error's text, and a `Signer` shows its address only (I-34).
Rule 4: whatever does not depend on the action (domain, type hash, source, the key's own form) is computed once.

Source: hyperliquid-protocol.md, section 4; every vector of `signing_vectors.json` is a test.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import msgspec
from coincurve import PrivateKey, PublicKey
from sha3 import keccak_256  # type: ignore[import-untyped]  # safe-pysha3 brings no types
from typing_extensions import override

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve: how many points it has."""
_U64_MAX: Final = 2**64 - 1


class SigningError(ValueError):
    """An action can not be hashed: a field is absent or has the wrong form, or its type is no user-signed one."""


class Field(NamedTuple):
    """One field of a typed message."""

    name: str
    kind: str
    """`string`, `address`, `bool`, `uint64` or `bytes32`."""


class UserSigned(NamedTuple):
    """How a user-signed action is hashed."""

    name: str
    """Primary type behind `HyperliquidTransaction:`."""
    fields: tuple[Field, ...]


class Signature(msgspec.Struct, frozen=True, gc=False):
    """A recoverable signature; `v` is 27 or 28."""

    r: int
    s: int
    v: int

    @property
    def body(self) -> dict[str, str | int]:
        """Wire form, padded to 64 digits."""
        return {"r": f"0x{self.r:064x}", "s": f"0x{self.s:064x}", "v": self.v}


def _fields(text: str) -> tuple[Field, ...]:
    pairs = (part.split() for part in f"string hyperliquidChain, {text}".split(","))
    return tuple(Field(name, kind) for kind, name in pairs)


_TRANSFER = _fields("string destination, string amount, uint64 time")
USER_SIGNED: Final[Mapping[str, UserSigned]] = {
    "usdSend": UserSigned("UsdSend", _TRANSFER),
    "withdraw3": UserSigned("Withdraw", _TRANSFER),
    "spotSend": UserSigned("SpotSend", _fields("string destination, string token, string amount, uint64 time")),
    "usdClassTransfer": UserSigned("UsdClassTransfer", _fields("string amount, bool toPerp, uint64 nonce")),
    "sendAsset": UserSigned(
        "SendAsset",
        _fields(
            "string destination, string sourceDex, string destinationDex, string token, string amount,"
            "string fromSubAccount, uint64 nonce"
        ),
    ),
    "approveAgent": UserSigned("ApproveAgent", _fields("address agentAddress, string agentName, uint64 nonce")),
    "approveBuilderFee": UserSigned("ApproveBuilderFee", _fields("string maxFeeRate, address builder, uint64 nonce")),
    "userDexAbstraction": UserSigned("UserDexAbstraction", _fields("address user, bool enabled, uint64 nonce")),
    "userSetAbstraction": UserSigned("UserSetAbstraction", _fields("address user, string abstraction, uint64 nonce")),
    "tokenDelegate": UserSigned(
        "TokenDelegate", _fields("address validator, uint64 wei, bool isUndelegate, uint64 nonce")
    ),
    "convertToMultiSigUser": UserSigned("ConvertToMultiSigUser", _fields("string signers, uint64 nonce")),
}
"""Type of a user-signed action → what of it is hashed, in order."""


def keccak(data: bytes) -> bytes:
    """Return the 32 bytes of Keccak-256."""
    digest: bytes = keccak_256(data).digest()
    return digest


def action_hash(action: object, nonce: int, vault: str | None, expires_after: int | None) -> bytes:
    """Return the connection id of an L1 action.

    Args:
        action: A mapping in the documented key order, or a struct that encodes to one.
        nonce: Milliseconds, unsigned 64 bit.
        vault: Address traded for, `0x` and 40 hex digits.
        expires_after: Milliseconds; absent is not the same as zero.

    Raises:
        SigningError: For a number or an address out of form.
    """
    return connection_id_of(_packed(action), nonce, vault, expires_after)


def connection_id_of(packed_action: bytes, nonce: int, vault: str | None, expires_after: int | None) -> bytes:
    """Return `action_hash` of an action that is msgpack already.

    Raises:
        SigningError: For a number or an address out of form.
    """
    data = packed_action + _u64(nonce) + (b"\x00" if vault is None else b"\x01" + _address_bytes(vault))
    if expires_after is not None:
        data += b"\x00" + _u64(expires_after)
    return keccak(data)


def l1_digest(connection_id: bytes, *, is_mainnet: bool) -> bytes:
    """Return what is signed of an L1 action; the domain is the same on both networks, the source differs."""
    return keccak(_L1_PREFIX + keccak(_agent_prefix(is_mainnet=is_mainnet) + connection_id))


def user_signed_digest(action: Mapping[str, object]) -> bytes:
    """Return what is signed of a user-signed action, as sent; an `agentName` that is absent counts as empty.

    Raises:
        SigningError: For another type, an absent field or a value out of form.
    """
    kind = action.get("type")
    shape = USER_SIGNED.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise SigningError("the action's type is not signed as typed data")
    message = action if action.get("agentName") is not None else {**action, "agentName": ""}
    return typed_digest(shape.name, shape.fields, message, _chain_id(action.get("signatureChainId")))


def typed_digest(name: str, fields: Sequence[Field], message: Mapping[str, object], chain_id: int) -> bytes:
    """Return the EIP-712 digest of a `HyperliquidTransaction:<name>` message.

    Raises:
        SigningError: For an absent field, an unknown kind or a value out of form.
    """
    parts = [_type_hash(name, tuple(fields))]
    for field in fields:
        try:
            parts.append(_ENCODERS[field.kind](message[field.name]))
        except KeyError:
            raise SigningError(f"{field.name}: absent, or of unknown kind {field.kind}") from None
        except SigningError as error:
            raise SigningError(f"{field.name}: {error}") from None
    return keccak(b"\x19\x01" + _domain("HyperliquidSignTransaction", chain_id) + keccak(b"".join(parts)))


def sign_digest(digest: bytes, key: bytes) -> Signature:
    """Sign 32 bytes; deterministic (RFC 6979), low s.

    Raises:
        ValueError: For a key that is none.
    """
    return _signed(PrivateKey(key), digest)


def recover_address(digest: bytes, signature: Signature) -> str | None:
    """Return the lower-case address that signed `digest`; None when the signature belongs to no key."""
    r, s = signature.r, signature.s
    if not (0 < r < ORDER and 0 < s < ORDER and signature.v in (27, 28)):
        return None
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([signature.v - 27])
    try:
        public = PublicKey.from_signature_and_message(raw, digest, hasher=None)
    except ValueError:
        return None
    return _address_of(public)


def address_of_key(key: bytes) -> str:
    """Return the lower-case address of a private key."""
    return _address_of(PrivateKey(key).public_key)


class Presigned(Protocol):
    """A signature that waits for its digest; see `presigning`."""

    def sign(self, digest: bytes) -> bytes:
        """Return r, s and the recovery id; works once."""


class PresignedStore(Protocol):
    """Where a signer finds them."""

    def take(self) -> Presigned | None:
        """Hand one out, for good; None if none is ready."""


class Signer:
    """One key on one network, with everything precomputed that an action does not change."""

    __slots__ = ("_agent_prefix", "_key", "_store", "address", "is_mainnet")

    def __init__(self, key: bytes, *, is_mainnet: bool, store: PresignedStore | None = None) -> None:
        """Take the 32 bytes of a private key.

        Args:
            key: Signs.
            is_mainnet: Network of L1 actions.
            store: Presignatures of this key: L1 actions use them up before they sign anew; None signs by RFC 6979 only.

        Raises:
            SigningError: For a key that is none.
        """
        try:
            self._key = PrivateKey(key)
        except ValueError:
            raise SigningError("expected a private key: 32 bytes between 1 and the order of the curve") from None
        self._agent_prefix = _agent_prefix(is_mainnet=is_mainnet)
        self._store = store
        self.is_mainnet = is_mainnet
        self.address: Final = _address_of(self._key.public_key)
        """Lower case."""

    @override
    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def sign_l1(
        self, packed_action: bytes, nonce: int, vault: str | None = None, expires_after: int | None = None
    ) -> Signature:
        """Sign an L1 action given as msgpack in the documented key order; the arguments are those of `action_hash`.

        Raises:
            SigningError: For a number or an address out of form.
        """
        return _signature_of(self.sign_l1_raw(packed_action, nonce, vault, expires_after))

    def sign_l1_raw(
        self, packed_action: bytes, nonce: int, vault: str | None = None, expires_after: int | None = None
    ) -> bytes:
        """Sign as `sign_l1`; returns r, s (32 bytes each, big endian) and v - 27 (1 byte): what the hot path spells.

        Raises:
            SigningError: For a number or an address out of form.
        """
        connection_id = connection_id_of(packed_action, nonce, vault, expires_after)
        digest = keccak(_L1_PREFIX + keccak(self._agent_prefix + connection_id))
        if self._store is not None and (presigned := self._store.take()) is not None:
            return presigned.sign(digest)
        return self._key.sign_recoverable(digest, hasher=None)

    def sign_user_action(self, action: Mapping[str, object]) -> Signature:
        """Sign a user-signed action as it is sent; its own `hyperliquidChain` says the network.

        Raises:
            SigningError: As `user_signed_digest`.
        """
        return _signed(self._key, user_signed_digest(action))


def _signed(key: PrivateKey, digest: bytes) -> Signature:
    return _signature_of(key.sign_recoverable(digest, hasher=None))


def _signature_of(raw: bytes) -> Signature:
    return Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), 27 + raw[64])


def _agent_prefix(*, is_mainnet: bool) -> bytes:
    return _AGENT_TYPE + (_SOURCE_MAINNET if is_mainnet else _SOURCE_TESTNET)


def _address_of(public: PublicKey) -> str:
    return f"0x{keccak(public.format(compressed=False)[1:])[-20:].hex()}"


def _packed(action: object) -> bytes:
    try:
        return msgspec.msgpack.encode(action)
    except (OverflowError, RecursionError, TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        raise SigningError("the action holds what msgpack has no form for") from None


def _u64(value: object) -> bytes:
    if type(value) is not int or not 0 <= value <= _U64_MAX:
        raise SigningError("expected an unsigned 64 bit number")
    return value.to_bytes(8, "big")


def _address_bytes(value: object) -> bytes:
    if not isinstance(value, str) or len(value) != 42 or not value.startswith("0x"):
        raise SigningError("expected an address of 40 hex digits")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise SigningError("expected an address of 40 hex digits") from None


def _string_word(value: object) -> bytes:
    if not isinstance(value, str):
        raise SigningError("expected a string")
    try:
        return keccak(value.encode())
    except UnicodeEncodeError:
        raise SigningError("expected text that UTF-8 can hold") from None


def _bool_word(value: object) -> bytes:
    if not isinstance(value, bool):
        raise SigningError("expected true or false")
    return int(value).to_bytes(32, "big")


def _bytes_word(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise SigningError("expected 32 bytes")
    return value


_ENCODERS: Final = {
    "string": _string_word,
    "address": lambda value: bytes(12) + _address_bytes(value),
    "bool": _bool_word,
    "uint64": lambda value: bytes(24) + _u64(value),
    "bytes32": _bytes_word,
}


@lru_cache(maxsize=64)
def _type_hash(name: str, fields: tuple[Field, ...]) -> bytes:
    inside = ",".join(f"{field.kind} {field.name}" for field in fields)
    return keccak(f"HyperliquidTransaction:{name}({inside})".encode())


@lru_cache(maxsize=64)
def _domain(name: str, chain_id: int) -> bytes:
    kind = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    words = (keccak(kind.encode()), keccak(name.encode()), keccak(b"1"), chain_id.to_bytes(32, "big"), bytes(32))
    return keccak(b"".join(words))


def _chain_id(value: object) -> int:
    if not isinstance(value, str) or not value.startswith("0x") or not 3 <= len(value) <= 18:
        raise SigningError("signatureChainId: expected a hex number")
    try:
        return int(value, 16)
    except ValueError:
        raise SigningError("signatureChainId: expected a hex number") from None


_L1_PREFIX: Final = b"\x19\x01" + _domain("Exchange", 1337)
_AGENT_TYPE: Final = keccak(b"Agent(string source,bytes32 connectionId)")
_SOURCE_MAINNET: Final = keccak(b"a")
_SOURCE_TESTNET: Final = keccak(b"b")
